//! A list that mostly holds one item, which then needs no memory of its own. On the wire it is a [`List`].

use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};
use core::ops::Deref;
use core::slice;

use super::list::List;

/// At most `MAX` items.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Few<T, const MAX: usize>(Items<T, MAX>);

/// One item is never kept as a list: equal lists look alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Items<T, const MAX: usize> {
    One(T),
    Many(List<T, MAX>),
}

impl<T, const MAX: usize> Few<T, MAX> {
    /// A list of this item only.
    #[must_use]
    pub const fn one(item: T) -> Self {
        Few(Items::One(item))
    }
}

impl<T: Copy, const MAX: usize> Few<T, MAX> {
    /// Takes the items.
    ///
    /// # Panics
    /// If there are more than `MAX`: the sender's mistake, so ours.
    #[must_use]
    pub fn new(items: &[T]) -> Self {
        match items {
            [item] => Few::one(*item),
            items => Few(Items::Many(List::new(items.to_vec()))),
        }
    }
}

impl<T, const MAX: usize> Deref for Few<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match &self.0 {
            Items::One(item) => slice::from_ref(item),
            Items::Many(list) => list,
        }
    }
}

impl<T: Copy, const MAX: usize> From<List<T, MAX>> for Few<T, MAX> {
    fn from(list: List<T, MAX>) -> Self {
        match list[..] {
            [item] => Few::one(item),
            _ => Few(Items::Many(list)),
        }
    }
}

impl<T: Encode, const MAX: usize> Encode for Few<T, MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.len() as u64).encode(encoder)?;
        self.iter().try_for_each(|item| item.encode(encoder))
    }
}

impl<C, T: Copy + Decode<C>, const MAX: usize> Decode<C> for Few<T, MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        List::decode(decoder).map(Few::from)
    }
}

impl<'de, C, T: Copy + BorrowDecode<'de, C>, const MAX: usize> BorrowDecode<'de, C> for Few<T, MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        List::borrow_decode(decoder).map(Few::from)
    }
}
