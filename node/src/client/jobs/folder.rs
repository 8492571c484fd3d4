//! An open folder: what is done in it is done there, even if its path comes to mean another, and never through a link.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use engine::refusal::DiskError;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::disk::disk_error;

#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

fn error(errno: Errno) -> DiskError {
    disk_error(&errno.into())
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Folder, DiskError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())) {
            Ok(folder) => Ok(Folder(folder)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Err(DiskError::NoFolder),
            Err(errno) => Err(error(errno)),
        }
    }

    pub(super) fn has(&self, name: &OsStr) -> Result<bool, DiskError> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(error(errno)),
        }
    }

    /// Checks that a file that was opened still has its name: who had its lock before may have moved it into its place.
    pub(super) fn check_same(&self, name: &OsStr, file: &File) -> Result<(), DiskError> {
        let opened = rustix::fs::fstat(file).map_err(error)?;
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino) => Ok(()),
            Ok(_) | Err(Errno::NOENT) => Err(DiskError::Exists),
            Err(errno) => Err(error(errno)),
        }
    }

    /// Makes a file that was not there.
    pub(super) fn make(&self, name: &OsStr) -> Result<File, DiskError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = retry_on_intr(|| rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o666)));
        made.map(File::from).map_err(error)
    }

    /// Opens a regular file that is there. Anything else is somebody else's.
    pub(super) fn open_file(&self, name: &OsStr) -> Result<File, DiskError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| rustix::fs::openat(&self.0, name, flags, Mode::empty())) {
            Ok(file) => File::from(file),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(DiskError::Exists),
            Err(errno) => return Err(error(errno)),
        };
        let metadata = file.metadata().map_err(|error| disk_error(&error))?;
        if metadata.is_file() { Ok(file) } else { Err(DiskError::Exists) }
    }

    /// Gives a file a name that nothing else has.
    pub(super) fn rename_new(&self, from: &OsStr, to: &OsStr) -> Result<(), DiskError> {
        match rustix::fs::renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link_new(from, to),
            Err(errno) => Err(error(errno)),
        }
    }

    /// The same where the file system cannot rename so: by a second name that takes the place of the first.
    pub(super) fn link_new(&self, from: &OsStr, to: &OsStr) -> Result<(), DiskError> {
        rustix::fs::linkat(&self.0, from, &self.0, to, AtFlags::empty()).map_err(error)?;
        self.remove(from);
        Ok(())
    }

    /// Removes what is of no more use; if it stays, it takes a little room and does no harm.
    pub(super) fn remove(&self, name: &OsStr) {
        if let Err(error) = rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            tracing::warn!(?name, %error, "cannot remove a file that is no longer needed");
        }
    }

    /// Syncs the names in the folder.
    pub(super) fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.0) {
            // Some file systems have no such thing; they do what they can without.
            Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
