//! Content without bytes: what is in a piece is a function of (content, piece), and so are its digests.

use std::collections::BTreeMap;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        let known = Known::new(*self);
        (known.content, known.hashes)
    }
}

/// The digests of all content that anybody had to do with: each is computed once, and not once for each peer.
#[derive(Debug, Default)]
pub(crate) struct Digests(BTreeMap<Whole, Known>);

#[derive(Debug)]
struct Known {
    pieces: Box<[PieceDigest]>,
    content: Content,
    hashes: Hashes,
}

impl Known {
    fn new(whole: Whole) -> Known {
        let pieces: Box<[_]> = (0..whole.size.pieces()).map(|piece| whole.piece(piece).digest()).collect();
        let values: Vec<_> = pieces.iter().map(|digest| digest.cv).collect();
        let hashes = Hashes::new(pieces.iter().map(|digest| digest.sha1).collect());
        let checksum = piece::checksum(whole.size, &values);
        Known { pieces, content: Content { size: whole.size, checksum, hashes: hashes.root() }, hashes }
    }
}

impl Digests {
    fn known(&mut self, whole: Whole) -> &Known {
        self.0.entry(whole).or_insert_with(|| Known::new(whole))
    }

    /// What a survey of a file finds.
    pub(crate) fn survey(&mut self, whole: Whole) -> (Content, Hashes) {
        let known = self.known(whole);
        (known.content, known.hashes.clone())
    }

    /// The digests of a piece that came as one of `whole`.
    pub(crate) fn of(&mut self, whole: Whole, bytes: &Bytes) -> PieceDigest {
        let expected = bytes.piece < whole.size.pieces() && *bytes == whole.piece(bytes.piece);
        if expected { self.known(whole).pieces[bytes.piece as usize] } else { bytes.digest() }
    }
}
