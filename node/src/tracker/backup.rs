//! Backups: all that trackers keep for their users, in one file that can be carried elsewhere.
//!
//! A line says what it is; then come the BLAKE3 sum and the bytes, which are the engine's own.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What a backup begins with.
const HEAD: &[u8] = b"group-sharing backup 1\n";

/// Bytes of the sum.
const SUM_LEN: usize = 32;

/// Writes a backup into a new file, synced, for its owner alone: the verifiers of passwords are in it.
///
/// # Errors
/// What the system says; among others, if there is a file of that name.
pub(super) fn write(path: &Path, registry: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(HEAD)?;
    file.write_all(blake3::hash(registry).as_bytes())?;
    file.write_all(registry)?;
    file.sync_all()
}

/// The bytes that were backed up.
///
/// # Errors
/// A message with the remedy.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| format!("{shown} cannot be read ({error}); name the file that `backup` wrote"))?;
    let body = bytes.strip_prefix(HEAD).and_then(|rest| rest.split_at_checked(SUM_LEN));
    match body {
        Some((sum, registry)) if blake3::hash(registry).as_bytes() == sum => Ok(registry.to_vec()),
        Some(_) => Err(format!("{shown} is damaged; take another copy of it")),
        None => Err(format!("{shown} is no backup; name the file that `backup` wrote")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_was_damaged_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        write(&path, b"all of it").unwrap();
        assert_eq!(read(&path).unwrap(), b"all of it");
        assert_eq!(write(&path, b"other").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(read(&path).unwrap_err().contains("is damaged"));
        std::fs::write(&path, b"a text").unwrap();
        assert!(read(&path).unwrap_err().contains("is no backup"));
    }
}
