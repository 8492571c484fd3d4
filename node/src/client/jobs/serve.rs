//! Serving: a job opens the file that a piece is in, and the link reads the piece from there as it leaves. A piece that has to come
//! from the disk first, the job reads as a whole.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use engine::id::{FileId, JobId};
use engine::peer::io::{Outcome, Stamp};
use engine::piece::Extent;
use engine::refusal::DiskError;

use super::disk::{self, open_unchanged};
use super::{Open, Shared};
use crate::link::{Piece, PieceSender, Source};
use crate::pool::Buffer;

/// A complete file, open, and what it was when it was shared.
#[derive(Debug)]
struct Share {
    file: File,
    was: OnceLock<Stamp>,
}

impl Share {
    fn new(file: File, was: Stamp) -> Share {
        Share { file, was: was.into() }
    }
}

impl Source for Share {
    fn read_ready(&self, offset: u64, bytes: &mut [u8]) -> Result<bool, DiskError> {
        disk::read_ready(&self.file, &self.was, offset, bytes)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        disk::read(&self.file, &self.was, offset, bytes)
    }
}

/// A piece that had to come from the disk.
#[derive(Debug)]
struct Fetched {
    extent: Extent,
    bytes: Buffer,
}

impl Source for Fetched {
    fn read_ready(&self, offset: u64, bytes: &mut [u8]) -> Result<bool, DiskError> {
        self.read(offset, bytes).map(|()| true)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        let from = usize::try_from(offset - self.extent.offset()).expect("inside the piece");
        bytes.copy_from_slice(&self.bytes[from..from + bytes.len()]);
        Ok(())
    }
}

impl Shared {
    /// Hands a piece to its link, which answers; or says why not.
    pub(super) fn send(
        &self,
        job: JobId,
        extent: Extent,
        theirs: FileId,
        to: Option<(PieceSender, Arc<AtomicBool>)>,
    ) -> Option<Outcome> {
        let Some((link, stop)) = to else { return Some(Outcome::Stopped) };
        if stop.load(Ordering::Relaxed) {
            return Some(Outcome::Stopped);
        }
        match self.source(extent) {
            Ok(source) => {
                let piece = Piece { job, theirs, extent, source, stop };
                link.send(piece).err().map(|_ended| Outcome::Stopped)
            }
            Err(why) => Some(Outcome::Failed(why)),
        }
    }

    /// Where a piece is read from.
    fn source(&self, extent: Extent) -> Result<Arc<dyn Source>, DiskError> {
        let source: Arc<dyn Source> = match self.get(extent.file) {
            Some(Open::Share(path, stamp)) => Arc::new(Share::new(open_unchanged(&path, stamp)?, stamp)),
            Some(Open::Part(part)) => part,
            None => return Err(DiskError::Missing),
        };
        // As a rule all of a piece is in memory if both its ends are.
        let (offset, len) = (extent.offset(), extent.len as usize);
        let is_ready = |offset| source.read_ready(offset, &mut [0]);
        if is_ready(offset)? && is_ready(offset + u64::from(extent.len) - 1)? {
            return Ok(source);
        }
        let mut bytes = self.fetched.take();
        source.read(offset, &mut bytes[..len])?;
        Ok(Arc::new(Fetched { extent, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::client::jobs::disk::open_regular;
    use crate::pool::Pool;

    const LEN: usize = 10_000;

    fn share(path: &Path) -> (Share, Stamp) {
        std::fs::write(path, [7; LEN]).unwrap();
        let (file, stamp) = open_regular(path).unwrap();
        (Share::new(file, stamp), stamp)
    }

    #[test]
    fn what_is_read_of_a_share_counts_while_it_is_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let writer = || File::options().write(true).open(&path).unwrap();
        let shorten = || writer().set_len(10).unwrap();
        let overwrite = || writer().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let changes: [&dyn Fn(); 2] = [&shorten, &overwrite];
        for change in changes {
            let ((share, _), mut bytes) = (share(&path), [0; 100]);
            assert_eq!(share.read(5_000, &mut bytes), Ok(()));
            assert_eq!(bytes, [7; 100]);
            change();
            assert_ne!(share.read_ready(5_000, &mut bytes), Ok(true));
            assert_eq!(share.read(5_000, &mut bytes), Err(DiskError::Changed));
        }
    }

    #[test]
    fn a_piece_that_was_begun_is_read_to_its_end_though_the_name_now_is_anothers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let replace = || {
            std::fs::write(path.with_extension("new"), [8; LEN]).unwrap();
            std::fs::rename(path.with_extension("new"), &path).unwrap();
        };
        let remove = || std::fs::remove_file(&path).unwrap();
        let changes: [(&dyn Fn(), _); 2] = [(&replace, DiskError::Changed), (&remove, DiskError::Missing)];
        for (change, why) in changes {
            let ((share, was), mut bytes) = (share(&path), [0; 100]);
            change();
            assert_eq!(share.read(5_000, &mut bytes), Ok(()));
            assert_eq!(bytes, [7; 100]);
            assert_eq!(open_unchanged(&path, was).err(), Some(why), "and the next is not begun");
        }
    }

    #[test]
    fn a_piece_that_came_from_the_disk_is_read_from_memory() {
        let pool = Pool::new(LEN);
        let mut bytes = pool.take();
        bytes[5_000..].fill(7);
        let fetched = Fetched { extent: Extent { file: FileId(1), piece: 2, len: 10_000 }, bytes };
        let mut read = [0; 200];
        let offset = fetched.extent.offset() + 4_900;
        assert_eq!(fetched.read_ready(offset, &mut read), Ok(true));
        assert_eq!((read[99], read[100]), (0, 7));
    }
}
