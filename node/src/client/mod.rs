//! A client: [`engine::peer::Peer`] on real sockets and a real disk, and a handle to it for whoever asks it for things.

mod jobs;
mod passwords;
mod run;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_channel::{Receiver, Sender, TrySendError};
use engine::id::{CommandId, Password};
use engine::limits::LINKS_MAX;
use engine::peer::Peer;
use engine::peer::command::{Command, News, Reply};
use engine::peer::io::{Config, Role};
use engine::peer::strategy::Strategy;
use engine::recording::Record;
use engine::refusal::Refusal;
use engine::seed::Seed;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::apart::apart;
use crate::channel::{Endpoint, Listener};
use crate::data_dir::DataDir;
use crate::identity::{DEVICE_FILE, Identity};
use crate::known_trackers::KnownTrackers;
use crate::link::throttle::Throttles;
use crate::link::{Bulk, Watchdog};
use crate::rate::Rate;
use crate::recorder::Recorder;
use crate::tracker_info::Tracker;
use jobs::disk::EndOnPanic;
use jobs::{Jobs, Progress};
use passwords::Passwords;
use run::{EVENTS_MAX, Event, Shell, State};
use store::Store;

/// News that wait to be read.
const NEWS_MAX: usize = 1_024;

/// What a client is run with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The trackers, in the order to try them.
    pub trackers: Vec<Tracker>,
    /// Where it keeps its state.
    pub data_dir: PathBuf,
    /// The rule by which uploaders are chosen.
    pub strategy: Strategy,
    /// How fast pieces may leave, over all links; as fast as they can if nothing is said.
    pub upload_limit: Option<Rate>,
    /// How fast pieces may come in.
    pub download_limit: Option<Rate>,
    /// Where everything that its machine takes in is written down, if anywhere.
    pub record: Option<PathBuf>,
}

/// Why a client cannot start, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// A handle to a running client; cheap to clone. It runs on until it is told to quit.
#[derive(Clone, Debug)]
pub struct Client {
    listen: SocketAddr,
    events: Sender<Event>,
    news: Receiver<News>,
    passwords: Arc<Passwords>,
    throttles: Arc<Throttles>,
    surveyed: Arc<Progress>,
    commands_ever: Arc<AtomicU64>,
    /// Closed when the client has ended.
    alive: Receiver<()>,
}

impl Client {
    /// Locks the data folder, opens the store, listens, and starts the client's loop.
    ///
    /// # Errors
    /// Why it cannot start: another process uses the folder or the address, or the store is damaged.
    pub async fn start(options: Options) -> Result<Client, StartError> {
        apart(move || start(&options)).await.map_err(no_thread)?
    }

    /// The address that is listened on.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Runs a command to its end. Whoever drops the future no longer waits for it.
    ///
    /// # Errors
    /// Why it was refused, or failed.
    pub async fn run(&self, command: Command) -> Result<Reply, Refusal> {
        let (answer, answered) = async_channel::bounded(1);
        let id = CommandId(self.commands_ever.fetch_add(1, Ordering::Relaxed));
        let _asked = Asked { id, password: passwords::named_by(&command), client: self };
        if self.events.send(Event::Asked(id, command, answer)).await.is_err() {
            return Err(Refusal::SessionEnded);
        }
        answered.recv().await.unwrap_or(Err(Refusal::SessionEnded))
    }

    /// Keeps a password for a command that names the token; it is forgotten when the command is over.
    #[must_use]
    pub fn keep_password(&self, password: String) -> Password {
        self.passwords.keep(password)
    }

    /// News for the person, in order. Ends when the client has ended.
    #[must_use]
    pub fn news(&self) -> Receiver<News> {
        self.news.clone()
    }

    /// How fast pieces may come and go. What is set holds at once.
    #[must_use]
    pub fn throttles(&self) -> &Throttles {
        &self.throttles
    }

    /// The file that is being read to share it: path, bytes read, bytes in all.
    #[must_use]
    pub fn survey(&self) -> Option<(PathBuf, u64, u64)> {
        self.surveyed.get()
    }

    /// Waits for the end of the client.
    pub async fn ended(&self) {
        // Nothing is ever sent: it ends with an error when the other side is gone.
        let _gone = self.alive.recv().await;
    }
}

/// A command under way. Dropped, the command is forgotten, if it still is, and so is its password.
struct Asked<'a> {
    id: CommandId,
    password: Option<Password>,
    client: &'a Client,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(password) = self.password {
            drop(self.client.passwords.take(password));
        }
        let events = &self.client.events;
        if let Err(TrySendError::Full(event)) = events.try_send(Event::Forget(self.id)) {
            let events = events.clone();
            // It fails only when the client has ended.
            smol::spawn(async move { events.send(event).await.is_ok() }).detach();
        }
    }
}

/// Allows as many open files as the system lets this process have: each download and each link takes some.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn no_thread(error: std::io::Error) -> StartError {
    StartError(format!("the system gives no thread ({error}); end some processes"))
}

fn start(options: &Options) -> Result<Client, StartError> {
    raise_file_limit();
    let dir = DataDir::open(&options.data_dir).map_err(|error| StartError(error.to_string()))?;
    let dir = Arc::new(dir);
    let store_path = dir.file(store::FILE);
    let known = KnownTrackers::load(Arc::clone(&dir), &options.trackers).map_err(StartError)?;
    let identity =
        Identity::load_or_make(&dir, DEVICE_FILE).map_err(|error| StartError(error.to_string()))?;
    let endpoint = Endpoint::new(Arc::new(identity));
    let (store, first_seq) = Store::open(dir)
        .map_err(|error| StartError(format!("the store {} cannot be used: {error}", store_path.display())))?;
    let listener = Listener::bind(options.listen).map_err(|error| {
        let address = options.listen;
        StartError(format!(
            "cannot listen on {address} ({error}); choose another address, or port 0 for any free one"
        ))
    })?;
    let listen = listener.address();
    let seed = store::random()
        .map_err(|error| StartError(format!("the system gives no random numbers: {error}")))?;
    let config = Config {
        device: endpoint.device(),
        listen,
        trackers: options.trackers.iter().map(|tracker| tracker.address).collect(),
        signers: known.signers(&options.trackers),
        strategy: options.strategy,
        neighbours: engine::limits::NEIGHBOURS_WANTED,
        first_seq,
    };
    let (events, queue) = async_channel::bounded(EVENTS_MAX);
    let (news_sender, news) = async_channel::bounded(NEWS_MAX);
    let (bulk, passwords) = (Bulk::default(), Arc::new(Passwords::default()));
    bulk.throttles.up.set(options.upload_limit);
    bulk.throttles.down.set(options.download_limit);
    let throttles = Arc::clone(&bulk.throttles);
    let surveyed = Arc::new(Progress::default());
    let jobs = Jobs::start(
        Arc::clone(&bulk.slots),
        store,
        Arc::clone(&passwords),
        Arc::clone(&surveyed),
        events.clone(),
    )
    .map_err(no_thread)?;
    let begun = || Ok(Record::Peer(Box::new(config.clone()), Seed(seed)));
    let recorder = Recorder::start(options.record.as_deref(), begun).map_err(StartError)?;
    let machine = Peer::new(config, Seed(seed));
    let accept = listener.run(Role::Peer, endpoint.clone(), LINKS_MAX, events.clone(), Event::Accepted);
    let accepting = smol::spawn(accept);
    let shell = Shell {
        machine,
        recorder,
        endpoint,
        known: Arc::new(known),
        jobs,
        bulk,
        events: events.clone(),
        news: news_sender,
        watchdog: Watchdog::start(),
        state: State::default(),
    };
    let (still_alive, alive) = async_channel::bounded(1);
    // Beside the links' tasks, so that what happens on a link wakes no thread.
    smol::spawn(async move {
        let _unanswered = EndOnPanic;
        shell.run(queue).await;
        accepting.cancel().await;
        drop(still_alive);
    })
    .detach();
    let commands_ever = Arc::default();
    Ok(Client { listen, events, news, passwords, throttles, surveyed, commands_ever, alive })
}
