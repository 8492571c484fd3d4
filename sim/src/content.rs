//! Content without bytes: what is in a piece is a function of (content, piece), and so are its digests.

use engine::id::{ChainingValue, Sha1};
use engine::piece::{self, Content, Hashes, PieceDigest, Size};

/// What is in a file: two files of the same content and length have the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u64);

/// The bytes of one piece, as what they are and not one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// The content they belong to.
    pub content: ContentId,
    /// Which piece of it.
    pub piece: u32,
    /// How many.
    pub len: u32,
    /// Whether somebody spoilt them.
    pub spoilt: bool,
}

impl Bytes {
    /// The digests of the piece.
    #[must_use]
    pub fn digest(&self) -> PieceDigest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.content.0.to_le_bytes());
        hasher.update(&self.piece.to_le_bytes());
        hasher.update(&self.len.to_le_bytes());
        hasher.update(&[u8::from(self.spoilt)]);
        let cv = ChainingValue(*hasher.finalize().as_bytes());
        hasher.update(b"sha1");
        let mut sha1 = [0; 20];
        sha1.copy_from_slice(&hasher.finalize().as_bytes()[..20]);
        PieceDigest { sha1: Sha1(sha1), cv }
    }
}

/// A whole file: a content and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// What is in it.
    pub content: ContentId,
    /// Its length.
    pub size: Size,
}

impl Whole {
    /// The piece of that number.
    #[must_use]
    pub fn piece(&self, piece: u32) -> Bytes {
        Bytes { content: self.content, piece, len: self.size.piece_len(piece), spoilt: false }
    }

    /// What a survey of the file finds.
    #[must_use]
    pub fn survey(&self) -> (Content, Hashes) {
        let digests: Vec<_> = (0..self.size.pieces()).map(|piece| self.piece(piece).digest()).collect();
        let values: Vec<_> = digests.iter().map(|digest| digest.cv).collect();
        let hashes = Hashes::new(digests.iter().map(|digest| digest.sha1).collect());
        let checksum = piece::checksum(self.size, &values);
        (Content { size: self.size, checksum, hashes: hashes.root() }, hashes)
    }
}
