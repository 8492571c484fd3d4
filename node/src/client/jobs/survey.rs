//! Hashing a whole file that a person wants to share, on all cores, in constant memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use engine::peer::io::Survey;
use engine::piece::{self, Content, Hashes, PIECE_LEN, PieceDigest, Size};
use engine::refusal::DiskError;

use super::disk::{EndOnPanic, check_unchanged, open_regular, read_error};
use super::hash;
use crate::pages::Pages;
use crate::sha1;

/// Pieces in memory at once, over all threads that hash one file: 32 x 512 KiB = 16 MiB.
const PIECES_AT_ONCE: usize = 32;

/// Bytes that are allocated for them: more than the C library's allocator keeps for later (32 MiB), so that they go back to the system at
/// once. What is not touched takes no memory.
const BUFFER_LEN: usize = 33 * 1024 * 1024;

/// Threads that hash one file.
const THREADS_MAX: usize = 8;

/// How far the file is that is being read, and whether to go on. Surveys run one after another.
#[derive(Debug, Default)]
pub(in crate::client) struct Progress {
    cancelled: AtomicBool,
    file: Mutex<Option<(PathBuf, Size)>>,
    bytes: AtomicU64,
}

impl Progress {
    /// The file, how many of its bytes were read, and how many it has; none if none is being read.
    pub(in crate::client) fn get(&self) -> Option<(PathBuf, u64, u64)> {
        let (path, size) = self.file().clone()?;
        Some((path, self.bytes.load(Ordering::Relaxed), size.bytes()))
    }

    /// Lets this survey and those that follow fail.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    fn begin(&self, path: &Path, size: Size) {
        self.bytes.store(0, Ordering::Relaxed);
        *self.file() = Some((path.into(), size));
    }

    fn file(&self) -> MutexGuard<'_, Option<(PathBuf, Size)>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads and hashes a whole file.
///
/// # Errors
/// It is no regular file, may not be read, is too long, or changes meanwhile.
pub(super) fn survey(path: &Path, progress: &Progress) -> Result<Survey, DiskError> {
    let (file, stamp) = open_regular(path)?;
    let size = Size::new(stamp.len).ok_or(DiskError::TooLong)?;
    progress.begin(path, size);
    let digests = hash_all(&file, size, progress);
    *progress.file() = None;
    let digests = digests.map_err(|error| read_error(&error))?;
    check_unchanged(path, stamp)?;
    let values: Vec<_> = digests.iter().map(|digest| digest.cv).collect();
    let hashes = Hashes::new(digests.into_iter().map(|digest| digest.sha1).collect());
    let content = Content { size, checksum: piece::checksum(size, &values), hashes: hashes.root() };
    Ok(Survey { content, hashes, stamp })
}

fn hash_all(file: &File, size: Size, progress: &Progress) -> io::Result<Vec<PieceDigest>> {
    let next = AtomicU32::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let batch = sha1::batch_len();
    let threads = cores.min(THREADS_MAX).min(PIECES_AT_ONCE / batch).min(size.pieces() as usize);
    let mut buffer = Pages::new(BUFFER_LEN);
    let parts: Vec<io::Result<_>> = thread::scope(|scope| {
        let worker = |buffer: &mut [u8]| {
            let _unanswered = EndOnPanic;
            let part = hash_some(file, size, &next, progress, buffer);
            if part.is_err() {
                // The others need not go on.
                next.store(size.pieces(), Ordering::Relaxed);
            }
            part
        };
        let buffers = buffer.chunks_mut(batch * PIECE_LEN as usize).take(threads);
        let workers: Vec<_> = buffers.map(|buffer| scope.spawn(move || worker(buffer))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a panic has ended the process")).collect()
    });
    let mut digests = Vec::with_capacity(size.pieces() as usize);
    for part in parts {
        digests.extend(part?);
    }
    digests.sort_unstable_by_key(|(piece, _)| *piece);
    Ok(digests.into_iter().map(|(_, digest)| digest).collect())
}

/// Hashes the next pieces that nobody has taken, as many at a time as the buffer holds, until none is left.
fn hash_some(
    file: &File,
    size: Size,
    next: &AtomicU32,
    progress: &Progress,
    buffer: &mut [u8],
) -> io::Result<Vec<(u32, PieceDigest)>> {
    let batch = u32::try_from(buffer.len()).map_or(1, |len| len / PIECE_LEN);
    let mut digests = Vec::new();
    loop {
        let first = next.fetch_add(batch, Ordering::Relaxed);
        if first >= size.pieces() {
            return Ok(digests);
        }
        if progress.cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other("the client is leaving: share the file when it runs again"));
        }
        let offset = u64::from(first) * u64::from(PIECE_LEN);
        let len = usize::try_from(size.bytes() - offset).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        let bytes = &mut buffer[..len];
        file.read_exact_at(bytes, offset)?;
        let pieces: Vec<_> = (first..)
            .zip(bytes.chunks(PIECE_LEN as usize))
            .map(|(piece, bytes)| (size, piece, bytes))
            .collect();
        digests.extend((first..).zip(hash::digests(&pieces)));
        progress.bytes.fetch_add(len as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::sha1::Digest as _;
    use engine::id::Sha1;

    #[test]
    fn digests_are_those_of_the_usual_tools() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for len in [
            0,
            1,
            PIECE_LEN as usize - 1,
            PIECE_LEN as usize,
            3 * PIECE_LEN as usize + 5,
            35 * PIECE_LEN as usize + 5,
        ] {
            let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
            std::fs::write(&path, &bytes).unwrap();
            let survey = survey(&path, &Progress::default()).unwrap();
            assert_eq!(survey.content.checksum.0, *blake3::hash(&bytes).as_bytes());
            let sha1s: Vec<Sha1> = bytes
                .chunks(PIECE_LEN as usize)
                .map(|piece| Sha1(::sha1::Sha1::digest(piece).into()))
                .collect();
            assert_eq!(survey.hashes.list()[..], sha1s);
            assert_eq!(survey.content.size.bytes(), len as u64);
        }
    }

    #[test]
    fn a_survey_that_is_cancelled_fails_soon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        File::create(&path).unwrap().set_len(Size::MAX.bytes()).unwrap();
        let progress = Progress::default();
        thread::scope(|scope| {
            let surveying = scope.spawn(|| survey(&path, &progress));
            while progress.get().is_none_or(|(_, bytes, _)| bytes == 0) {
                thread::yield_now();
            }
            assert_eq!(
                progress.get().map(|(path, _, total)| (path, total)),
                Some((path.clone(), Size::MAX.bytes()))
            );
            progress.cancel();
            assert!(surveying.join().unwrap().is_err());
        });
        assert_eq!(progress.get(), None);
    }

    #[test]
    fn a_file_longer_than_allowed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        File::create(&path).unwrap().set_len(Size::MAX.bytes() + 1).unwrap();
        assert_eq!(survey(&path, &Progress::default()).err(), Some(DiskError::TooLong));
    }
}
