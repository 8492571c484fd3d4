//! A set of pieces, one bit each.

use alloc::vec::Vec;

use smallvec::{SmallVec, smallvec};

/// Which pieces of a file somebody holds. Counts as it goes, so that `count` costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitfield {
    /// Up to 256 pieces are in the set itself.
    words: SmallVec<[u64; 4]>,
    len: u32,
    count: u32,
}

impl Bitfield {
    /// The empty set of `len` pieces.
    #[must_use]
    pub fn new(len: u32) -> Bitfield {
        Bitfield { words: smallvec![0; len.div_ceil(64) as usize], len, count: 0 }
    }

    /// The set of all `len` pieces.
    #[must_use]
    pub fn full(len: u32) -> Bitfield {
        let mut all = Bitfield { words: smallvec![u64::MAX; len.div_ceil(64) as usize], len, count: len };
        if let (Some(last), rest @ 1..) = (all.words.last_mut(), len % 64) {
            *last = (1 << rest) - 1;
        }
        all
    }

    /// How many pieces the file has.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "`len` is the size of the file; `count` says what is held"
    )]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// How many pieces are in the set.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether every piece is in the set.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.count == self.len
    }

    /// Whether `piece` is in the set; false beyond the end.
    #[must_use]
    pub fn has(&self, piece: u32) -> bool {
        self.words.get(piece as usize / 64).is_some_and(|word| word >> (piece % 64) & 1 == 1)
    }

    /// Adds `piece`; says whether it was new.
    ///
    /// # Panics
    /// If the file has no such piece.
    pub fn insert(&mut self, piece: u32) -> bool {
        assert!(piece < self.len, "piece {piece} lies inside a file of {}", self.len);
        let word = &mut self.words[piece as usize / 64];
        let new = *word >> (piece % 64) & 1 == 0;
        *word |= 1 << (piece % 64);
        self.count += u32::from(new);
        new
    }

    /// The first piece from `from` on that is not in the set.
    #[must_use]
    pub fn first_absent(&self, from: u32) -> Option<u32> {
        self.first_clear(self.words.iter().copied(), from)
    }

    /// The first piece from `from` on that is neither in this set nor in `other`, of the same file.
    #[must_use]
    pub fn first_absent_in_both(&self, other: &Bitfield, from: u32) -> Option<u32> {
        self.first_clear(self.words.iter().zip(other.words.iter()).map(|(mine, theirs)| mine | theirs), from)
    }

    fn first_clear(&self, words: impl Iterator<Item = u64>, from: u32) -> Option<u32> {
        let mut before = (1u64 << (from % 64)) - 1;
        for (index, word) in words.enumerate().skip(from as usize / 64) {
            let absent = !(word | before);
            before = 0;
            if absent != 0 {
                let piece = u32::try_from(index).ok()? * 64 + absent.trailing_zeros();
                return (piece < self.len).then_some(piece);
            }
        }
        None
    }

    /// The pieces in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(self.words.iter()).flat_map(|(index, &word)| Ones(word).map(move |bit| index * 64 + bit))
    }

    /// The pieces of this set that are not in `other`, in order.
    pub fn without<'a>(&'a self, other: &'a Bitfield) -> impl Iterator<Item = u32> + 'a {
        (0u32..)
            .zip(self.words.iter().zip(other.words.iter()))
            .flat_map(|(index, (mine, theirs))| Ones(mine & !theirs).map(move |bit| index * 64 + bit))
    }

    /// Whether this set has a piece that `other` lacks.
    #[must_use]
    pub fn exceeds(&self, other: &Bitfield) -> bool {
        self.words.iter().zip(other.words.iter()).any(|(mine, theirs)| mine & !theirs != 0)
    }

    /// The `len` bytes from `from`: piece 0 is the lowest bit of byte 0.
    #[must_use]
    pub fn bytes(&self, from: usize, len: usize) -> Vec<u8> {
        self.words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .take(self.len.div_ceil(8) as usize)
            .skip(from)
            .take(len)
            .collect()
    }
}

/// The positions of the bits that are set, lowest first.
struct Ones(u64);

impl Iterator for Ones {
    type Item = u32;
    fn next(&mut self) -> Option<u32> {
        let bit = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (bit < 64).then_some(bit)
    }
}

/// The pieces named by `bytes` of a bit map that begins at piece `from * 8`, in order.
pub fn pieces_of(from: u32, bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    (from..)
        .zip(bytes.iter())
        .flat_map(|(index, &byte)| Ones(u64::from(byte)).map(move |bit| index * 8 + bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_set(len in 1u32..300, picks in proptest::collection::vec(0u32..300, 0..200), others in proptest::collection::vec(0u32..300, 0..200)) {
            let mut field = Bitfield::new(len);
            let mut other = Bitfield::new(len);
            let mut model = BTreeSet::new();
            let mut model_other = BTreeSet::new();
            for pick in picks.into_iter().filter(|pick| *pick < len) {
                prop_assert_eq!(field.insert(pick), model.insert(pick));
            }
            for pick in others.into_iter().filter(|pick| *pick < len) {
                prop_assert_eq!(other.insert(pick), model_other.insert(pick));
            }
            prop_assert_eq!(field.count() as usize, model.len());
            prop_assert_eq!(field.is_full(), model.len() == len as usize);
            prop_assert_eq!(field.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(field.without(&other).collect::<Vec<_>>(), model.difference(&model_other).copied().collect::<Vec<_>>());
            for from in [0, 63, 64, 65, len / 2, len] {
                prop_assert_eq!(field.first_absent(from), (from..len).find(|piece| !model.contains(piece)));
                let neither = |piece: &u32| !model.contains(piece) && !model_other.contains(piece);
                prop_assert_eq!(field.first_absent_in_both(&other, from), (from..len).find(neither));
            }
            prop_assert_eq!(field.exceeds(&other), !model.is_subset(&model_other));
            prop_assert_eq!((0..310).filter(|piece| field.has(*piece)).count(), model.len());
            let bytes = field.bytes(0, usize::MAX);
            prop_assert_eq!(pieces_of(0, &bytes).collect::<BTreeSet<_>>(), model);
        }

        #[test]
        fn full_has_each_piece_and_no_more(len in 0u32..300) {
            let full = Bitfield::full(len);
            prop_assert!(full.is_full());
            prop_assert_eq!(full.iter().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
        }
    }
}
