//! The file under the store: what redb does to it, watched, so that a full disk can be told from a broken one.
//!
//! A write that finds no room wrote nothing that counts, and the store can go on. A sync that failed says nothing about what is on the
//! disk, whatever its reason, so the process must end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;

/// What went wrong with a file since it was opened.
#[derive(Debug, Default)]
pub(super) struct Faults {
    full: AtomicBool,
    other: AtomicBool,
    /// A limit to the length of the file, so that tests see a disk fill up; none if zero.
    #[cfg(test)]
    pub(super) len_max: std::sync::atomic::AtomicU64,
    /// Whether syncs fail, as tests want it.
    #[cfg(test)]
    fail_syncs: AtomicBool,
}

impl Faults {
    /// From now on syncs fail, as tests want it.
    #[cfg(test)]
    pub(super) fn break_syncs(&self) {
        self.fail_syncs.store(true, Ordering::Release);
    }

    /// Whether the disk was full, and nothing else went wrong.
    pub(super) fn only_full(&self) -> bool {
        self.full.load(Ordering::Acquire) && !self.other.load(Ordering::Acquire)
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            if full { &self.full } else { &self.other }.store(true, Ordering::Release);
        }
        result
    }

    fn note_sync(&self, result: io::Result<()>) -> io::Result<()> {
        if result.is_err() {
            self.other.store(true, Ordering::Release);
        }
        result
    }
}

/// The file, as redb sees it. The data folder's lock keeps other processes away, so it needs no lock of its own.
#[derive(Debug)]
pub(super) struct DiskFile {
    pub(super) file: File,
    pub(super) faults: Arc<Faults>,
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        self.faults.note(self.file.metadata()).map(|metadata| metadata.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.faults.note(self.file.read_exact_at(out, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.note(self.room(len).and_then(|()| self.file.set_len(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.note_sync(self.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.note(self.file.write_all_at(data, offset))
    }
}

impl DiskFile {
    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests limit the room")]
    fn room(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn room(&self, len: u64) -> io::Result<()> {
        match self.faults.len_max.load(Ordering::Acquire) {
            max if max > 0 && len > max => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    #[cfg(not(test))]
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    #[cfg(test)]
    fn sync(&self) -> io::Result<()> {
        match self.faults.fail_syncs.load(Ordering::Acquire) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => self.file.sync_data(),
        }
    }
}
