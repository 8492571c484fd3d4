//! Content of files: pseudo-random, and the same for the same seed.

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;

use engine::id::{Blake3, Sha1};
use engine::piece::{self, Hashes, Size};
use sha1::Digest as _;

use super::PIECE;

/// Content in memory, with its hashes.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hashes: Hashes,
}

impl Content {
    pub(crate) fn new(len: usize, seed: u64) -> Content {
        let mut bytes = vec![0; len];
        stream(seed).fill(&mut bytes);
        Content::from_bytes(bytes)
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Content {
        let hashes = bytes.chunks(PIECE).map(|piece| Sha1(sha1::Sha1::digest(piece).into())).collect();
        Content { bytes, hashes: Hashes::new(hashes) }
    }

    /// The bytes of a piece.
    pub(crate) fn piece(&self, piece: u32) -> &[u8] {
        let start = piece as usize * PIECE;
        &self.bytes[start..(start + PIECE).min(self.bytes.len())]
    }

    pub(crate) fn pieces(&self) -> u32 {
        u32::try_from(self.hashes.list().len()).unwrap()
    }

    /// What the catalogue lists.
    pub(crate) fn listed(&self) -> piece::Content {
        piece::Content {
            size: Size::new(self.bytes.len() as u64).unwrap(),
            checksum: Blake3(*blake3::hash(&self.bytes).as_bytes()),
            hashes: self.hashes.root(),
        }
    }
}

fn stream(seed: u64) -> blake3::OutputReader {
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof()
}

/// Writes a file of `len` bytes, without holding it in memory.
pub(crate) fn write_file(path: &Path, len: u64, seed: u64) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create_new(path).unwrap());
    let mut stream = stream(seed);
    let mut block = vec![0; 1 << 20];
    let mut left = len;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        stream.fill(&mut block[..part]);
        file.write_all(&block[..part]).unwrap();
        left -= part as u64;
    }
    file.flush().unwrap();
}

/// BLAKE3 of a file, without holding it in memory.
pub(crate) fn checksum(path: &Path) -> blake3::Hash {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block).unwrap() {
            0 => return hasher.finalize(),
            read => {
                hasher.update(&block[..read]);
            }
        }
    }
}

/// Two files have the same content.
pub(crate) fn assert_same(one: &Path, other: &Path) {
    let len =
        |path: &Path| fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len();
    assert_eq!(len(one), len(other), "{} and {}", one.display(), other.display());
    assert_eq!(checksum(one), checksum(other), "{} and {}", one.display(), other.display());
}
