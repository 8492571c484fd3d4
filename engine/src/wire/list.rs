//! A list from outside whose length is checked before anything is allocated.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;

use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};

/// At most `MAX` items.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// Takes the items.
    ///
    /// # Panics
    /// If there are more than `MAX`: the sender's mistake, so ours.
    #[must_use]
    pub fn new(items: Vec<T>) -> Self {
        assert!(items.len() <= MAX, "a list of {} has at most {MAX} items", items.len());
        List(items)
    }

    /// The items.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        List(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// A list that its sender, and its reader, may have elsewhere too, and do not copy. On the wire it is a [`List`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SharedList<T, const MAX: usize>(Arc<[T]>);

impl<T, const MAX: usize> SharedList<T, MAX> {
    /// Takes the items.
    ///
    /// # Panics
    /// If there are more than `MAX`: the sender's mistake, so ours.
    #[must_use]
    pub fn new(items: Arc<[T]>) -> Self {
        assert!(items.len() <= MAX, "a list of {} has at most {MAX} items", items.len());
        SharedList(items)
    }

    /// The items.
    #[must_use]
    pub const fn items(&self) -> &Arc<[T]> {
        &self.0
    }
}

impl<T: Encode, const MAX: usize> Encode for SharedList<T, MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        write(&self.0, encoder)
    }
}

impl<C, T: Decode<C>, const MAX: usize> Decode<C> for SharedList<T, MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        List::<T, MAX>::decode(decoder).map(|list| SharedList(list.into_vec().into()))
    }
}

impl<'de, C, T: BorrowDecode<'de, C>, const MAX: usize> BorrowDecode<'de, C> for SharedList<T, MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        List::<T, MAX>::borrow_decode(decoder).map(|list| SharedList(list.into_vec().into()))
    }
}

impl<T: Encode, const MAX: usize> Encode for List<T, MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        write(&self.0, encoder)
    }
}

impl<C, T: Decode<C>, const MAX: usize> Decode<C> for List<T, MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        gather::<T, D, MAX>(decoder, T::decode)
    }
}

impl<'de, C, T: BorrowDecode<'de, C>, const MAX: usize> BorrowDecode<'de, C> for List<T, MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        gather::<T, D, MAX>(decoder, T::borrow_decode)
    }
}

fn write<T: Encode, E: Encoder>(items: &[T], encoder: &mut E) -> Result<(), EncodeError> {
    (items.len() as u64).encode(encoder)?;
    items.iter().try_for_each(|item| item.encode(encoder))
}

fn gather<T, D: Decoder, const MAX: usize>(
    decoder: &mut D,
    item: impl Fn(&mut D) -> Result<T, DecodeError>,
) -> Result<List<T, MAX>, DecodeError> {
    const { assert!(size_of::<T>() > 0, "an item costs something, so that a false length does not loop") };
    let len = super::codec::decode_len::<MAX, D>(decoder)?;
    decoder.claim_container_read::<T>(len)?;
    let mut items = Vec::with_capacity(len);
    for _ in 0..len {
        decoder.unclaim_bytes_read(size_of::<T>());
        items.push(item(decoder)?);
    }
    Ok(List(items))
}
