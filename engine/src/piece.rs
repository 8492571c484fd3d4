//! Files as pieces: lengths, extents, hashes, and the root that binds them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bincode::{Decode, Encode};
use blake3::hazmat::HasherExt as _;

use crate::id::{Blake3, ChainingValue, FileId, Sha1};
use crate::limits::PIECES_MAX;

/// Bytes in every piece but the last, which may be shorter. 2^19 bytes are 512 BLAKE3 chunks: exactly one subtree.
pub const PIECE_LEN: u32 = 512 * 1024;

/// The length of a file, in bytes, known to be at most [`PIECES_MAX`] pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode)]
pub struct Size(u64);

impl Size {
    /// The largest file: 1 TiB.
    pub const MAX: Size = Size(PIECES_MAX as u64 * PIECE_LEN as u64);

    /// Takes `bytes` if a file may be so long.
    #[must_use]
    pub const fn new(bytes: u64) -> Option<Size> {
        if bytes <= Size::MAX.0 { Some(Size(bytes)) } else { None }
    }

    /// The length in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// How many pieces the file has; none if it is empty.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most PIECES_MAX")]
    pub const fn pieces(self) -> u32 {
        self.0.div_ceil(PIECE_LEN as u64) as u32
    }

    /// The length of `piece` in bytes.
    ///
    /// # Panics
    /// If the file has no such piece.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most PIECE_LEN")]
    pub const fn piece_len(self, piece: u32) -> u32 {
        assert!(piece < self.pieces(), "a piece lies inside its file");
        let rest = self.0 - piece as u64 * PIECE_LEN as u64;
        if rest < PIECE_LEN as u64 { rest as u32 } else { PIECE_LEN }
    }

    /// Where `piece` of `file` lies, if it exists.
    #[must_use]
    pub fn extent(self, file: FileId, piece: u32) -> Option<Extent> {
        (piece < self.pieces()).then(|| Extent { file, piece, len: self.piece_len(piece) })
    }
}

impl<C> Decode<C> for Size {
    fn decode<D: bincode::de::Decoder<Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        Size::new(u64::decode(decoder)?).ok_or(bincode::error::DecodeError::Other("a file is too long"))
    }
}
bincode::impl_borrow_decode!(Size);

/// One piece of one file: the unit in which bytes are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Extent {
    /// The file, in this peer's numbers.
    pub file: FileId,
    /// The piece, from 0.
    pub piece: u32,
    /// Its length in bytes.
    pub len: u32,
}

impl Extent {
    /// Where the piece begins in its file, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.piece as u64 * PIECE_LEN as u64
    }
}

/// What the catalogue knows of a file's content: constant in size, however long the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Content {
    /// Length of the file.
    pub size: Size,
    /// BLAKE3 of the whole file.
    pub checksum: Blake3,
    /// The [`Hashes::root`] of its pieces' hashes.
    pub hashes: Blake3,
}

/// The SHA-1 of each piece of a file, in order. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hashes(Arc<[Sha1]>);

impl Hashes {
    /// Takes the hashes of all pieces, in order.
    #[must_use]
    pub fn new(list: Vec<Sha1>) -> Hashes {
        Hashes(list.into())
    }

    /// The hashes, by piece.
    #[must_use]
    pub const fn list(&self) -> &Arc<[Sha1]> {
        &self.0
    }

    /// BLAKE3 of the concatenated hashes: what the catalogue holds, so that the list can come from anybody.
    #[must_use]
    pub fn root(&self) -> Blake3 {
        let mut hasher = blake3::Hasher::new();
        for hash in self.0.iter() {
            hasher.update(&hash.0);
        }
        Blake3(*hasher.finalize().as_bytes())
    }
}

impl From<Arc<[Sha1]>> for Hashes {
    fn from(list: Arc<[Sha1]>) -> Hashes {
        Hashes(list)
    }
}

/// What hashing one piece gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PieceDigest {
    /// SHA-1 of the piece.
    pub sha1: Sha1,
    /// Its BLAKE3 chaining value inside the file; for a file of one piece, the BLAKE3 digest of that piece.
    pub cv: ChainingValue,
}

/// A piece's BLAKE3 chaining value, from its bytes as they come.
///
/// Source: the BLAKE3 paper, section 2.1 (tree structure); a full piece is exactly one subtree of 512 chunks.
#[derive(Clone, Debug)]
pub struct Chaining(blake3::Hasher);

impl Chaining {
    /// Begins with the first byte of a piece.
    #[must_use]
    pub fn new(piece: u32) -> Chaining {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(u64::from(piece) * u64::from(PIECE_LEN));
        Chaining(hasher)
    }

    /// Takes in the bytes that follow. Fastest are powers of two of them, from 16 KiB on.
    ///
    /// # Panics
    /// If there are more than a piece has.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// How many bytes were taken in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// The chaining value of all bytes of the piece inside a file of `size`, or their digest itself if it is the only piece.
    #[must_use]
    pub fn value(&self, size: Size) -> ChainingValue {
        match size.pieces() {
            0 | 1 => ChainingValue(*self.0.finalize().as_bytes()),
            _ => ChainingValue(self.0.finalize_non_root()),
        }
    }
}

/// The [`Chaining::value`] of a piece whose `bytes` are all there.
#[must_use]
pub fn chaining_value(size: Size, piece: u32, bytes: &[u8]) -> ChainingValue {
    let mut chaining = Chaining::new(piece);
    chaining.update(bytes);
    chaining.value(size)
}

/// BLAKE3 of a file from the chaining values of its pieces, in order; of the empty file if there are none.
///
/// # Panics
/// If the number of values is not the number of pieces.
#[must_use]
pub fn checksum(size: Size, values: &[ChainingValue]) -> Blake3 {
    assert_eq!(values.len(), size.pieces() as usize, "one chaining value a piece");
    match values {
        [] => Blake3(*blake3::hash(&[]).as_bytes()),
        [only] => Blake3(only.0),
        _ => {
            let (left, right) = halves(values);
            let root = blake3::hazmat::merge_subtrees_root(
                &subtree(left),
                &subtree(right),
                blake3::hazmat::Mode::Hash,
            );
            Blake3(*root.as_bytes())
        }
    }
}

fn subtree(values: &[ChainingValue]) -> [u8; 32] {
    if let [only] = values {
        return only.0;
    }
    let (left, right) = halves(values);
    blake3::hazmat::merge_subtrees_non_root(&subtree(left), &subtree(right), blake3::hazmat::Mode::Hash)
}

/// The left subtree is the largest power of two below the whole. Recursion is at most 21 deep (2^21 pieces).
fn halves(values: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    values.split_at(values.len().next_power_of_two() / 2)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn lengths_at_the_edges() {
        let pieces = |bytes| Size::new(bytes).map(Size::pieces);
        assert_eq!(pieces(0), Some(0));
        assert_eq!(pieces(1), Some(1));
        assert_eq!(pieces(524_288), Some(1));
        assert_eq!(pieces(524_289), Some(2));
        assert_eq!(Size::new(524_289).map(|size| size.piece_len(1)), Some(1));
        assert_eq!(Size::new(Size::MAX.bytes() + 1), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_root_of_the_pieces_is_the_hash_of_the_file(len in 0usize..6 * PIECE_LEN as usize, fill: u8) {
            let mut bytes = vec![fill; len];
            for (i, byte) in bytes.iter_mut().enumerate() {
                *byte = byte.wrapping_add((i / 977) as u8);
            }
            let size = Size::new(len as u64).unwrap();
            let values: Vec<_> = bytes
                .chunks(PIECE_LEN as usize)
                .enumerate()
                .map(|(i, piece)| chaining_value(size, i as u32, piece))
                .collect();
            prop_assert_eq!(checksum(size, &values).0, *blake3::hash(&bytes).as_bytes());
        }
    }
}
