//! The tracker as a program: a listener, links, a store and a console around [`engine::tracker::Tracker`].

mod console;
mod disk;
pub mod embedded;
mod run;
mod scribe;
pub mod store;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use engine::limits::TRACKER_LINKS_MAX;
use engine::recording::Record;
use engine::seed::Seed;
use engine::tracker::Tracker;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::channel::Listener;
use crate::data_dir::DataDir;
use crate::exit::{Exit, Failure};
use crate::identity::{Identity, TRACKER_FILE};
use crate::recorder::Recorder;
use run::Parts;
use store::{Store, StoreError};

/// Open files that are no links: the store, the lock, standard streams, signals, the poller, and some to spare.
const FILES_BESIDE_LINKS: usize = 64;

/// What a tracker is run with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its place in the tracker list, from 1.
    pub number: usize,
    /// Its address there: exactly this one is bound.
    pub listen: SocketAddr,
    /// Where it keeps its state.
    pub data_dir: PathBuf,
    /// Where everything that its machine takes in is written down, if anywhere.
    pub record: Option<PathBuf>,
}

/// Runs a tracker until it is told to quit.
///
/// # Errors
/// Why it could not start, or what stopped it, with the remedy.
pub fn main(options: &Options) -> Result<Exit, Failure> {
    let dir = DataDir::open(&options.data_dir).map_err(|error| Failure::cannot_start(&error))?;
    let identity = identity(&dir)?;
    let store = Store::open(dir).map_err(|error| Failure::cannot_start(&error))?;
    let machine = machine(&store).map_err(|error| Failure::cannot_start(&error))?;
    let listener = Listener::bind(options.listen).map_err(|error| no_listener(options, &error))?;
    let recorder = Recorder::start(options.record.as_deref(), || begun(&store))
        .map_err(|error| Failure::cannot_start(&error))?;
    let (number, links_max) = (options.number, links_max());
    let parts = Parts { number, machine, recorder, identity, store, listener, links_max };
    run::run(parts).map(|()| Exit::Success)
}

/// The key in the data folder.
fn identity(dir: &DataDir) -> Result<Arc<Identity>, Failure> {
    Identity::load_or_make(dir, TRACKER_FILE).map(Arc::new).map_err(|error| Failure::cannot_start(&error))
}

/// The machine with what the store holds.
fn machine(store: &Store) -> Result<Tracker, StoreError> {
    let stored = store.load()?;
    Tracker::new(Seed(store.secret()), &stored)
        .map_err(|_| store.damaged("its snapshot or its log does not decode"))
}

/// How the machine begins, for a recording.
fn begun(store: &Store) -> Result<Record, String> {
    let stored = store.load().map_err(|error| error.to_string())?;
    Ok(Record::Tracker(Box::new(stored), Seed(store.secret())))
}

fn no_listener(options: &Options, error: &io::Error) -> Failure {
    let Options { number, listen, .. } = options;
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "end the process that uses the port, or give this tracker another one in the list".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => format!(
            "it is no address of this machine; run tracker {number} on the machine it is, or correct the list"
        ),
        io::ErrorKind::PermissionDenied => {
            "give this tracker a port from 1024 on in the list, which needs no privilege".to_owned()
        }
        _ => "correct the list of trackers, or this machine's network".to_owned(),
    };
    Failure::cannot_start(&format!("tracker {number} cannot listen on {listen} ({error}); {remedy}"))
}

/// How many links this process may have, after it took all the open files that the system lets it.
fn links_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::info!(%error, "the limit of open files stays as it is");
            limit.current
        }
    };
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    let links_max = files.saturating_sub(FILES_BESIDE_LINKS).clamp(1, TRACKER_LINKS_MAX);
    tracing::info!(links_max, "links at most");
    links_max
}
