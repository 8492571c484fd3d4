//! The BLAKE3 tree of a file, grown piece by piece in any order.
//!
//! A piece is exactly one subtree. Whenever two sibling subtrees are whole they are merged, so that only the roots of the largest whole
//! subtrees are kept: of pieces that come at random, never more than about 0.36 for each piece of the file, and in the end one.
//!
//! Source: the BLAKE3 paper, section 2.1 (the left subtree is the largest power of two below the whole).

use alloc::collections::BTreeMap;
use core::ops::Range;

use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::id::{Blake3, ChainingValue};

/// What is known of a file's tree.
#[derive(Debug)]
pub(crate) struct Tree {
    pieces: u32,
    /// The chaining values of the largest whole subtrees, by the pieces that they span: from and to. The root is not merged.
    whole: BTreeMap<(u32, u32), ChainingValue>,
}

impl Tree {
    /// The tree of a file of so many pieces, of which none is here.
    pub(crate) const fn new(pieces: u32) -> Tree {
        Tree { pieces, whole: BTreeMap::new() }
    }

    /// How many pieces are in it.
    pub(crate) fn count(&self) -> u32 {
        self.whole.keys().map(|(from, to)| to - from).sum()
    }

    /// Adds the chaining value of a piece; of a file of one piece, its digest.
    ///
    /// # Panics
    /// If the file has no such piece.
    pub(crate) fn insert(&mut self, piece: u32, value: ChainingValue) {
        assert!(piece < self.pieces, "a piece lies inside its file");
        let root = 0..self.pieces;
        let (inside, _) = if self.pieces == 1 { (root.clone(), root) } else { halves(&root, piece) };
        if let Some(value) = self.grow(inside.clone(), piece, value) {
            self.whole.insert((inside.start, inside.end), value);
        }
    }

    /// Adds a piece to a subtree; its value if it is whole now.
    fn grow(&mut self, node: Range<u32>, piece: u32, value: ChainingValue) -> Option<ChainingValue> {
        if node.len() == 1 {
            return Some(value);
        }
        let (inside, beside) = halves(&node, piece);
        let value = self.grow(inside.clone(), piece, value)?;
        let Some(other) = self.whole.remove(&(beside.start, beside.end)) else {
            self.whole.insert((inside.start, inside.end), value);
            return None;
        };
        let (left, right) = if inside.start < beside.start { (value, other) } else { (other, value) };
        Some(ChainingValue(merge_subtrees_non_root(&left.0, &right.0, Mode::Hash)))
    }

    /// BLAKE3 of the file, if every piece is here.
    pub(crate) fn checksum(&self) -> Option<Blake3> {
        match self.pieces {
            0 => Some(Blake3(*blake3::hash(&[]).as_bytes())),
            1 => self.whole.get(&(0, 1)).map(|only| Blake3(only.0)),
            pieces => {
                let (left, right) = halves(&(0..pieces), 0);
                let [left, right] = [left, right].map(|half| self.whole.get(&(half.start, half.end)));
                Some(Blake3(*merge_subtrees_root(&left?.0, &right?.0, Mode::Hash).as_bytes()))
            }
        }
    }
}

/// The halves of a subtree of more than one piece: the one with `piece` in it, and the other.
fn halves(node: &Range<u32>, piece: u32) -> (Range<u32>, Range<u32>) {
    let middle = node.start + (node.end - node.start).next_power_of_two() / 2;
    let (left, right) = (node.start..middle, middle..node.end);
    if piece < middle { (left, right) } else { (right, left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{PIECE_LEN, Size, checksum};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_of_the_pieces_does_not_matter(
            order in (0u32..70).prop_flat_map(|pieces| Just((0..pieces).collect::<Vec<_>>()).prop_shuffle()),
        ) {
            let pieces = u32::try_from(order.len()).unwrap();
            let value = |piece: u32| ChainingValue(*blake3::hash(&piece.to_le_bytes()).as_bytes());
            let mut tree = Tree::new(pieces);
            for (count, piece) in (0u32..).zip(&order) {
                prop_assert_eq!(tree.count(), count);
                prop_assert_eq!(tree.checksum(), None);
                tree.insert(*piece, value(*piece));
            }
            let values: Vec<_> = (0..pieces).map(value).collect();
            let size = Size::new(u64::from(pieces) * u64::from(PIECE_LEN)).unwrap();
            prop_assert_eq!(tree.checksum(), Some(checksum(size, &values)));
        }
    }
}
