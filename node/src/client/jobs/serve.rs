//! Serving: a job opens the file that a piece is in, and the link reads the piece from there as it leaves. A piece that has to come
//! from the disk first, the job reads as a whole.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::id::{FileId, JobId};
use engine::peer::io::{Outcome, Stamp};
use engine::piece::Extent;
use engine::refusal::DiskError;

use super::disk::{self, check_unchanged, open_unchanged};
use super::{Open, Shared};
use crate::link::{Piece, PieceSender, Source};
use crate::pool::Buffer;

/// A complete file, open. What is read of it counts only if the file was still what it was afterwards.
#[derive(Debug)]
struct Share {
    file: File,
    path: Arc<Path>,
    stamp: Stamp,
}

impl Source for Share {
    fn read_ready(&self, offset: u64, bytes: &mut [u8]) -> Result<bool, DiskError> {
        let ready = disk::read_ready(&self.file, offset, bytes);
        if ready {
            check_unchanged(&self.path, self.stamp)?;
        }
        Ok(ready)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        disk::read(&self.file, offset, bytes)?;
        check_unchanged(&self.path, self.stamp)
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
            Some(Open::Share(path, stamp)) => {
                let file = open_unchanged(&path, stamp)?;
                Arc::new(Share { file, path, stamp })
            }
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
