//! The tracker as a program: a listener, links, a store and a console around [`engine::tracker::Tracker`].

mod backup;
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
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::limits::TRACKER_LINKS_MAX;
use engine::recording::Record;
use engine::seed::Seed;
use engine::tracker::cluster::Listed as Other;
use engine::tracker::io::Stored;
use engine::tracker::{Config, Tracker};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::channel::Listener;
use crate::data_dir::DataDir;
use crate::exit::{Exit, Failure};
use crate::identity::{Identity, TRACKER_FILE};
use crate::known_trackers::KnownTrackers;
use crate::recorder::Recorder;
use crate::tracker_info::{self, Tracker as Listed};
use run::Parts;
use store::{Store, StoreError};

/// Open files that are no links: the store, the lock, standard streams, signals, the poller, and some to spare.
const FILES_BESIDE_LINKS: usize = 64;

/// What a tracker is run with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its place in the tracker list, from 1.
    pub number: usize,
    /// All trackers of the list. It listens at exactly the address that it has there.
    pub trackers: Vec<Listed>,
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
    let Options { number, trackers, data_dir, record } = options;
    let listen = tracker_info::pick(trackers, *number).map_err(|error| Failure::usage(&error))?;
    let dir = open(data_dir)?;
    let identity = identity(&dir)?;
    let known = KnownTrackers::load(Arc::clone(&dir), trackers).map_err(|why| Failure::cannot_start(&why))?;
    let store = Store::open(dir).map_err(|error| Failure::cannot_start(&error))?;
    let config = config(&store, &identity, *number, others(trackers, *number, &known));
    let machine = machine(&store, config.clone()).map_err(|error| Failure::cannot_start(&error))?;
    let listener = Listener::bind(listen).map_err(|error| no_listener(*number, listen, &error))?;
    let recorder = Recorder::start(record.as_deref(), || begun(&store, config))
        .map_err(|error| Failure::cannot_start(&error))?;
    let (number, known, links_max) = (*number, Arc::new(known), links_max());
    let parts = Parts { number, machine, recorder, identity, known, store, listener, links_max };
    run::run(parts).map(|()| Exit::Success)
}

/// Begins the store of a tracker, alone, with what the console command `backup` wrote.
///
/// # Errors
/// If there is a store already, or the backup is none.
pub fn restore(options: &Options, backup: &Path) -> Result<Exit, Failure> {
    let Options { number, trackers, data_dir, .. } = options;
    tracker_info::pick(trackers, *number).map_err(|error| Failure::usage(&error))?;
    let registry = backup::read(backup).map_err(|why| Failure::cannot_start(&why))?;
    let dir = open(data_dir)?;
    let identity = identity(&dir)?;
    let mut store = Store::open(dir).map_err(|error| Failure::cannot_start(&error))?;
    if store.load().map_err(|error| Failure::cannot_start(&error))? != Stored::default() {
        let shown = data_dir.display();
        return Err(Failure::cannot_start(&format!(
            "there is a tracker in {shown} already; name an empty folder with --data-dir"
        )));
    }
    let config = config(&store, &identity, *number, Vec::new());
    let stored = Tracker::restored(&config, &registry).map_err(|_| {
        Failure::cannot_start(&"the backup does not decode: another version of this program wrote it")
    })?;
    store.begin(stored).map_err(|error| Failure::cannot_start(&error))?;
    Ok(Exit::Success)
}

fn open(data_dir: &Path) -> Result<Arc<DataDir>, Failure> {
    DataDir::open(data_dir).map(Arc::new).map_err(|error| Failure::cannot_start(&error))
}

/// Who this tracker is, and who the others are.
fn config(store: &Store, identity: &Identity, number: usize, others: Vec<Other>) -> Config {
    let number = u16::try_from(number).expect("a list has few trackers");
    Config { seed: Seed(store.secret()), device: identity.device(), number, others }
}

/// All trackers of the list but this one, with their keys as far as they are known.
fn others(trackers: &[Listed], number: usize, known: &KnownTrackers) -> Vec<Other> {
    let numbered = (1..).zip(trackers).filter(|(other, _)| usize::from(*other) != number);
    numbered
        .map(|(number, listed)| Other {
            number,
            address: listed.address,
            device: known.expected(listed.address),
        })
        .collect()
}

/// The key in the data folder.
fn identity(dir: &DataDir) -> Result<Arc<Identity>, Failure> {
    Identity::load_or_make(dir, TRACKER_FILE).map(Arc::new).map_err(|error| Failure::cannot_start(&error))
}

/// The machine with what the store holds.
fn machine(store: &Store, config: Config) -> Result<Tracker, StoreError> {
    let stored = store.load()?;
    Tracker::new(config, &stored).map_err(|_| store.damaged("its snapshot or its log does not decode"))
}

/// How the machine begins, for a recording.
fn begun(store: &Store, config: Config) -> Result<Record, String> {
    let stored = store.load().map_err(|error| error.to_string())?;
    Ok(Record::Tracker(Box::new(config), Box::new(stored)))
}

fn no_listener(number: usize, listen: SocketAddr, error: &io::Error) -> Failure {
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
