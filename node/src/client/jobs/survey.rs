//! Hashing a whole file that a person wants to share, on all cores, in constant memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use engine::id::Sha1;
use engine::peer::io::Survey;
use engine::piece::{self, Content, Hashes, PIECE_LEN, PieceDigest, Size};
use engine::refusal::DiskError;
use sha1::Digest as _;

use super::disk::{check_unchanged, open_regular, read_error};

/// Threads that hash one file.
const THREADS_MAX: usize = 8;

/// The digests of a piece.
pub(super) fn digest(size: Size, index: u32, bytes: &[u8]) -> PieceDigest {
    let sha1 = Sha1(sha1::Sha1::digest(bytes).into());
    PieceDigest { sha1, cv: piece::chaining_value(size, index, bytes) }
}

/// Reads and hashes a whole file.
///
/// # Errors
/// It is no regular file, may not be read, is too long, or changes meanwhile.
pub(super) fn survey(path: &Path) -> Result<Survey, DiskError> {
    let (file, stamp) = open_regular(path)?;
    let size = Size::new(stamp.len).ok_or(DiskError::TooLong)?;
    let digests = hash_all(&file, size).map_err(|error| read_error(&error))?;
    check_unchanged(&file, path, stamp)?;
    let values: Vec<_> = digests.iter().map(|digest| digest.cv).collect();
    let hashes = Hashes::new(digests.into_iter().map(|digest| digest.sha1).collect());
    let content = Content { size, checksum: piece::checksum(size, &values), hashes: hashes.root() };
    Ok(Survey { content, hashes, stamp })
}

fn hash_all(file: &File, size: Size) -> io::Result<Vec<PieceDigest>> {
    let next = AtomicU32::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(size.pieces() as usize);
    let parts: Vec<io::Result<Vec<(u32, PieceDigest)>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| hash_some(file, size, &next))).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        workers.into_iter().map(join).collect()
    });
    let mut digests = Vec::with_capacity(size.pieces() as usize);
    for part in parts {
        digests.extend(part?);
    }
    digests.sort_unstable_by_key(|(piece, _)| *piece);
    Ok(digests.into_iter().map(|(_, digest)| digest).collect())
}

/// Hashes the next piece that nobody has taken, until none is left.
fn hash_some(file: &File, size: Size, next: &AtomicU32) -> io::Result<Vec<(u32, PieceDigest)>> {
    let mut buffer = vec![0; PIECE_LEN as usize];
    let mut digests = Vec::new();
    loop {
        let piece = next.fetch_add(1, Ordering::Relaxed);
        if piece >= size.pieces() {
            return Ok(digests);
        }
        let bytes = &mut buffer[..size.piece_len(piece) as usize];
        file.read_exact_at(bytes, u64::from(piece) * u64::from(PIECE_LEN))?;
        digests.push((piece, digest(size, piece, bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_usual_tools() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for len in [0, 1, PIECE_LEN as usize - 1, PIECE_LEN as usize, 3 * PIECE_LEN as usize + 5] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let survey = survey(&path).unwrap();
            assert_eq!(survey.content.checksum.0, *blake3::hash(&bytes).as_bytes());
            let sha1s: Vec<Sha1> =
                bytes.chunks(PIECE_LEN as usize).map(|piece| Sha1(sha1::Sha1::digest(piece).into())).collect();
            assert_eq!(survey.hashes.list(), sha1s);
            assert_eq!(survey.content.size.bytes(), len as u64);
        }
    }
}
