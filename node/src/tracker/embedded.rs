//! A tracker inside a process that does something else: a demonstration, or a test.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_channel::Sender;
use engine::tracker::Status;

use super::console::Request;
use super::run::{Event, Parts, Shell};
use super::store::Store;
use super::{config, identity, machine, open};
use crate::channel::Listener;
use crate::exit::Failure;
use crate::identity::Identity;
use crate::known_trackers::KnownTrackers;
use crate::recorder::Recorder;

/// Links of an embedded tracker at most.
const LINKS_MAX: usize = 128;

/// A tracker on a thread of its own, on a free port of loopback. It ends when told to, not when dropped.
#[derive(Debug)]
pub struct Embedded {
    address: SocketAddr,
    events: Sender<Event>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Embedded {
    /// Starts a tracker that keeps its state in `folder`.
    ///
    /// # Errors
    /// Why it could not start.
    pub fn start(folder: &Path) -> Result<Embedded, Failure> {
        let dir = open(folder)?;
        let identity = identity(&dir)?;
        let store = Store::open(dir).map_err(|error| Failure::cannot_start(&error))?;
        Embedded::serve(identity, store)
    }

    /// Starts a tracker that keeps its state in `store`.
    pub(super) fn serve(identity: Arc<Identity>, store: Store) -> Result<Embedded, Failure> {
        let parts = parts(identity, store)?;
        let address = parts.listener.address();
        let (shell, queue) = Shell::start(parts)?;
        let events = shell.events();
        let thread = thread::Builder::new()
            .name("tracker".to_owned())
            .spawn(move || shell.run(&queue))
            .map_err(|error| Failure::cannot_start(&format!("no thread for the tracker: {error}")))?;
        Ok(Embedded { address, events, thread })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How things stand; none if it has ended.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let (sender, status) = async_channel::bounded(1);
        self.events.send_blocking(Event::Console(Request::Status(sender))).ok()?;
        status.recv_blocking().ok()
    }

    /// Ends it.
    ///
    /// # Errors
    /// What stopped it before.
    pub fn quit(self) -> Result<(), Failure> {
        // If nobody takes the request, it has ended already, and says why.
        let _ended = self.events.send_blocking(Event::Console(Request::Quit));
        self.thread.join().unwrap_or_else(|_| Err(Failure::broken("the tracker's thread panicked")))
    }
}

/// What a tracker on a free port of loopback is made of.
pub(super) fn parts(identity: Arc<Identity>, store: Store) -> Result<Parts, Failure> {
    let machine = machine(&store, config(&store, &identity, 1, Vec::new()))
        .map_err(|error| Failure::cannot_start(&error))?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(any_port)
        .map_err(|error| Failure::cannot_start(&format!("no port of loopback is free: {error}")))?;
    let known = KnownTrackers::load(store.folder(), &[]).map_err(|why| Failure::cannot_start(&why))?;
    let (known, recorder) = (Arc::new(known), Recorder::default());
    Ok(Parts { number: 1, machine, recorder, identity, known, store, listener, links_max: LINKS_MAX })
}
