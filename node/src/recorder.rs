//! Writes down what goes into a machine, so that `sim replay` can let it live again.
//!
//! Each input is in the file before the machine takes it in, so that whatever happens then can be looked at. A file that cannot be written
//! any more is given up, and the log says so: the node goes on.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use engine::recording::{Digest, MAGIC, Record};

/// A recording that is being made, or none.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Option<Recording>);

#[derive(Debug)]
struct Recording {
    file: File,
    digest: Digest,
}

impl Recorder {
    /// Begins a recording in a file that only this user may read, if one is asked for; `begun` says how the machine began.
    ///
    /// # Errors
    /// Why the file cannot be written, with the remedy.
    pub(crate) fn start<E: From<String>>(
        path: Option<&Path>,
        begun: impl FnOnce() -> Result<Record, E>,
    ) -> Result<Recorder, E> {
        let Some(path) = path else { return Ok(Recorder::default()) };
        let begun = begun()?;
        let failed = |error: io::Error| {
            E::from(format!("cannot record into {} ({error}); choose another file", path.display()))
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        file.write_all(&MAGIC).and_then(|()| file.write_all(&begun.framed())).map_err(failed)?;
        Ok(Recorder(Some(Recording { file, digest: Digest::default() })))
    }

    /// Writes down what the machine is about to take in.
    pub(crate) fn takes(&mut self, input: impl FnOnce() -> Record) {
        if self.0.is_some() {
            self.write(&input());
        }
    }

    /// Writes down the digest of what the machine did.
    pub(crate) fn acted(&mut self, actions: &[impl Debug]) {
        if let Some(recording) = &mut self.0 {
            let digest = recording.digest.take(actions);
            self.write(&Record::Acted(digest));
        }
    }

    fn write(&mut self, record: &Record) {
        let Some(recording) = &mut self.0 else { return };
        if let Err(error) = recording.file.write_all(&record.framed()) {
            tracing::error!(%error, "the recording ends here");
            self.0 = None;
        }
    }
}
