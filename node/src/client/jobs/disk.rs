//! What all file jobs need: opening without following links, stamps, and errors in the engine's terms.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::OnceLock;

use engine::name::Place;
use engine::peer::io::Stamp;
use engine::refusal::DiskError;
use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::exit::{Exit, Failure};

/// The path that a place stands for.
pub(super) fn path(place: &Place) -> &Path {
    Path::new(OsStr::from_bytes(&place.0))
}

/// What an error of the system means for a person.
pub(crate) fn disk_error(error: &io::Error) -> DiskError {
    use io::ErrorKind as Kind;
    if let Some(Errno::LOOP | Errno::NXIO) = Errno::from_io_error(error) {
        return DiskError::NotAFile;
    }
    match error.kind() {
        Kind::NotFound | Kind::NotADirectory => DiskError::Missing,
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => DiskError::Denied,
        Kind::AlreadyExists => DiskError::Exists,
        Kind::StorageFull | Kind::QuotaExceeded => DiskError::DiskFull,
        Kind::FileTooLarge => DiskError::TooLong,
        Kind::IsADirectory => DiskError::NotAFile,
        _ => DiskError::Other(error.to_string()),
    }
}

/// Passes on the success of a sync. A full disk is an error like others; after any other failure nobody knows what is on the disk, and
/// going on could acknowledge what is lost: the process ends.
pub(super) fn synced(result: io::Result<()>, what: &Path) -> Result<(), DiskError> {
    match result.map_err(|error| (disk_error(&error), error)) {
        Ok(()) => Ok(()),
        Err((DiskError::DiskFull, _)) => Err(DiskError::DiskFull),
        Err((_, error)) => broken(format_args!("cannot sync {} to its disk ({error})", what.display())),
    }
}

/// Ends the process: what the disk holds is unknown.
pub(crate) fn broken(why: std::fmt::Arguments<'_>) -> ! {
    let exit =
        Failure::broken(&format!("{why}: check the disk, then start again; downloads go on where they were"))
            .report();
    std::process::exit(exit as i32)
}

/// Ends the process if its thread panics: a job that never answers would leave the engine waiting for ever.
pub(crate) struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::exit(Exit::Broken as i32);
        }
    }
}

/// What tells `file` from a changed one.
pub(super) fn stamp(file: &Metadata) -> Stamp {
    Stamp { inode: (file.dev(), file.ino()), len: file.len(), modified: (file.mtime(), file.mtime_nsec()) }
}

/// The stamp of what stands at `path` now.
pub(super) fn stamp_at(path: &Path) -> Result<Stamp, DiskError> {
    let metadata = std::fs::symlink_metadata(path).map_err(|error| disk_error(&error))?;
    if metadata.is_file() { Ok(stamp(&metadata)) } else { Err(DiskError::NotAFile) }
}

/// Opens the regular file at `path` for reading. A link is not followed, and a pipe is not waited for.
pub(super) fn open_regular(path: &Path) -> Result<(File, Stamp), DiskError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| disk_error(&error))?;
    let metadata = file.metadata().map_err(|error| disk_error(&error))?;
    if metadata.is_file() { Ok((file, stamp(&metadata))) } else { Err(DiskError::NotAFile) }
}

/// Opens the regular file at `path` if it is what it was.
pub(super) fn open_unchanged(path: &Path, was: Stamp) -> Result<File, DiskError> {
    let (file, is) = open_regular(path)?;
    if is == was { Ok(file) } else { Err(DiskError::Changed) }
}

/// Checks that a file that was opened from `path`, and still is open, is what it was and still there: as long as it is open, no other
/// has its inode number.
pub(super) fn check_unchanged(path: &Path, was: Stamp) -> Result<(), DiskError> {
    if stamp_at(path)? == was { Ok(()) } else { Err(DiskError::Changed) }
}

/// Fills `bytes` with what stands at `offset` of `file`, if the system has it in memory; says whether it did. What was read counts only
/// if the file then still is what it `was`, wherever it now stands. Of a file that is still being written, that is not known yet.
pub(super) fn read_ready(
    file: &File,
    was: &OnceLock<Stamp>,
    offset: u64,
    bytes: &mut [u8],
) -> Result<bool, DiskError> {
    let len = bytes.len();
    match preadv2(file, &mut [IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) if read == len => check_content(file, was).map(|()| true),
        // Whatever stands in the way, a read that waits meets it, too.
        Ok(_) | Err(_) => Ok(false),
    }
}

/// Fills `bytes` with what stands at `offset` of `file`, if it still is what it `was`, as [`read_ready`] has it.
pub(super) fn read(
    file: &File,
    was: &OnceLock<Stamp>,
    offset: u64,
    bytes: &mut [u8],
) -> Result<(), DiskError> {
    file.read_exact_at(bytes, offset).map_err(|error| read_error(&error))?;
    check_content(file, was)
}

fn check_content(file: &File, was: &OnceLock<Stamp>) -> Result<(), DiskError> {
    let Some(was) = was.get() else { return Ok(()) };
    let is = file.metadata().map_err(|error| disk_error(&error))?;
    if stamp(&is) == *was { Ok(()) } else { Err(DiskError::Changed) }
}

/// What an error of reading a file at a place inside it means: the end came too soon if the file became shorter.
pub(super) fn read_error(error: &io::Error) -> DiskError {
    if error.kind() == io::ErrorKind::UnexpectedEof { DiskError::Changed } else { disk_error(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_open() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), b"x").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let error = |name: &str| open_regular(&at(name)).err();
        assert_eq!(error("file"), None);
        assert_eq!(error("link"), Some(DiskError::NotAFile));
        assert_eq!(error("pipe"), Some(DiskError::NotAFile));
        assert_eq!(error("."), Some(DiskError::NotAFile));
        assert_eq!(error("none"), Some(DiskError::Missing));
        assert_eq!(error("file/none"), Some(DiskError::Missing));
    }

    #[test]
    fn a_file_that_changed_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"first").unwrap();
        let (_held, was) = open_regular(&path).unwrap();
        let check = || check_unchanged(&path, was);
        assert_eq!(check(), Ok(()));

        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        writer.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(check(), Err(DiskError::Changed), "another time");
        assert!(open_unchanged(&path, was).is_err());

        let was = open_regular(&path).unwrap().1;
        std::fs::write(folder.path().join("new"), b"other").unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(check_unchanged(&path, was), Err(DiskError::Changed), "another file");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(check_unchanged(&path, was), Err(DiskError::Missing), "no file");
    }
}
