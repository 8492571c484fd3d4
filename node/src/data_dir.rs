//! The folder in which a tracker or a client keeps its state, used by one process at a time.
//!
//! Invariant: whoever holds a [`DataDir`] holds the lock of its lock file, and nobody else does. The operating system lets go of the
//! lock when the process ends, however it ends, so a lock file left behind blocks nobody.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

/// The file that is locked; it holds the number of the process that has the lock.
const LOCK_FILE: &str = "lock";

/// A symbolic link is not opened.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// A data folder, locked as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug)]
pub enum DataDirError {
    /// Another process uses it.
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process, if it is known.
        pid: Option<u32>,
    },
    /// It cannot be made, opened or locked.
    Io {
        /// The folder or the file in it.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for DataDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataDirError::InUse { path, pid } => {
                let pid = pid.map_or(String::new(), |pid| format!(" (process {pid})"));
                write!(
                    f,
                    "another process{pid} uses the data folder {}; end it, or name another folder with --data-dir",
                    path.display()
                )
            }
            DataDirError::Io { path, error } => write!(
                f,
                "the data folder cannot be used ({}: {error}); name another with --data-dir",
                path.display()
            ),
        }
    }
}

impl std::error::Error for DataDirError {}

impl DataDir {
    /// Makes the folder if it is missing, for its owner alone, and locks it.
    ///
    /// # Errors
    /// If another process uses the folder, or the disk does not let us.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        let io = |error| DataDirError::Io { path: path.into(), error };
        make(path).map_err(io)?;
        let mut lock = open_private(&path.join(LOCK_FILE)).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse { path: path.into(), pid: read_pid(&mut lock) });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        write_pid(&mut lock).map_err(io)?;
        Ok(DataDir { path: path.into(), _lock: lock })
    }

    /// Where the folder is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the file `name` in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens the file `name` for reading; none if it is not there.
    ///
    /// # Errors
    /// What the system says; among others, if the file is a symbolic link.
    pub fn open_existing(&self, name: &str) -> io::Result<Option<File>> {
        let options = OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(self.file(name));
        match options {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts `bytes` into the file `name`, all or nothing, synced, for its owner alone.
    ///
    /// # Errors
    /// What the system says; the file is then what it was.
    pub fn replace_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.file(&format!("{name}.new"));
        let mut file = open_private(&new)?;
        file.set_len(0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, self.file(name))?;
        sync_folder(&self.path)
    }

    /// Opens the file `name` for reading and writing, and makes it if it is missing; its name is on disk before this returns.
    ///
    /// # Errors
    /// What the system says; among others, if the file is a symbolic link.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        let file = open_private(&self.file(name))?;
        sync_folder(&self.path)?;
        Ok(file)
    }
}

/// The folder `name` of this program under the XDG data folder of the person.
///
/// # Errors
/// A message with the remedy if the person has no home folder.
pub fn default_path(name: &str) -> Result<PathBuf, String> {
    let base = etcetera::base_strategy::Xdg::new()
        .map_err(|error| format!("no folder for data is known ({error}); name one with --data-dir"))?;
    Ok(base.data_dir().join("group-sharing").join(name))
}

/// Makes `path` and its parents, synced, so that what is stored in it later can be found after a power cut.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        result => result?,
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Opens or makes a file that only its owner may read, and that is no symbolic link.
fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(NO_FOLLOW)
        .open(path)
}

fn read_pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_is_made_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let dir = DataDir::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(dir.open_file("x").unwrap());
        assert_eq!(std::fs::metadata(path.join("x")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_in_use_is_refused_until_it_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(folder.path()).unwrap();
        let refused = DataDir::open(folder.path()).unwrap_err().to_string();
        let expected = format!("another process (process {}) uses the data folder", std::process::id());
        assert!(refused.starts_with(&expected), "{refused}");
        drop(first);
        DataDir::open(folder.path()).unwrap();
    }

    #[test]
    fn a_link_in_the_folder_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("store")).unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        assert!(dir.open_file("store").is_err());
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = DataDir::open(file.path()).unwrap_err().to_string();
        assert!(refused.contains("name another with --data-dir"), "{refused}");
    }
}
