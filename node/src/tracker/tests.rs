//! The tracker as a whole, on a socket and a disk, talked to by a client of a few lines.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use async_channel::Receiver;
use engine::id::{DeviceId, Key, LinkId, Salt};
use engine::peer::io::Role;
use engine::tracker::io::Batch;
use engine::wire::tracker::{Address, Answer, ClientMessage, Request as Wanted, TrackerMessage};

use super::embedded::{self, Embedded};
use super::run::{Event, Shell};
use super::*;
use crate::channel;
use crate::link::{self, Link, Watchdog};

fn start(folder: &Path) -> Embedded {
    Embedded::start(folder).unwrap()
}

fn accounts(tracker: &Embedded) -> usize {
    tracker.status().unwrap().users
}

/// A client that says what the test says.
struct Client {
    link: Link,
    events: Receiver<link::Event<TrackerMessage>>,
    _watchdog: Arc<Watchdog>,
}

impl Client {
    fn connect(tracker: &Embedded, device: u8) -> Client {
        Client::connect_to(tracker.address(), device)
    }

    fn connect_to(tracker: SocketAddr, device: u8) -> Client {
        let endpoint = channel::tests::endpoint(device);
        let channel = smol::block_on(endpoint.connect(tracker, Role::Tracker, None)).unwrap();
        let (into, events) = async_channel::bounded(8);
        let watchdog = Watchdog::start();
        let link = Link::start(LinkId(0), channel, None, &watchdog, into, |_, event| event);
        link.send(&ClientMessage::Hello { listen: Address(([127, 0, 0, 1], 9_001).into()) });
        Client { link, events, _watchdog: watchdog }
    }

    /// What the tracker says next; none if the link ended.
    fn hear(&self) -> Option<TrackerMessage> {
        loop {
            match self.events.recv_blocking().unwrap() {
                link::Event::Message(message) => return Some(message),
                link::Event::Down => return None,
                link::Event::Sent(_) => {}
                other => unreachable!("{other:?} on a tracker's link"),
            }
        }
    }

    fn ask(&self, seq: u64, request: Wanted) -> Option<TrackerMessage> {
        self.link.send(&ClientMessage::Request { seq, request: Box::new(request) });
        self.hear()
    }
}

fn create_ann() -> Wanted {
    Wanted::CreateUser { user: "ann".parse().unwrap(), salt: Salt([1; 16]), key: Key([2; 32]) }
}

fn log_ann_in() -> Wanted {
    Wanted::Login { user: "ann".parse().unwrap(), key: Key([2; 32]) }
}

#[test]
fn a_client_that_asks_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = start(folder.path());
    let client = Client::connect(&tracker, 1);
    client.link.send(&ClientMessage::Ping);
    assert_eq!(client.hear(), Some(TrackerMessage::Pong));
    tracker.quit().unwrap();
    assert_eq!(client.hear(), None, "the link ends with the tracker");
}

#[test]
fn a_connection_that_a_tracker_had_not_looked_at_when_it_ended_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(open(folder.path()).unwrap()).unwrap();
    let parts = embedded::parts(Arc::new(Identity::from_seed([9; 32])), store).unwrap();
    let address = parts.listener.address();
    let (shell, queue) = Shell::start(parts).unwrap();
    let others = shell.events();
    others.send_blocking(Event::Console(super::console::Request::Quit)).unwrap();
    let client = Client::connect_to(address, 1);
    while queue.len() < 2 {
        std::thread::yield_now();
    }
    shell.run(&queue).unwrap();
    assert_eq!(client.hear(), None);
}

#[test]
fn an_account_outlives_the_tracker_that_acknowledged_it() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = start(folder.path());
    let answer = Client::connect(&tracker, 1).ask(1, create_ann());
    assert_eq!(answer, Some(TrackerMessage::Answer { seq: 1, answer: Ok(Box::new(Answer::Done)) }));
    assert_eq!(accounts(&tracker), 1);
    tracker.quit().unwrap();

    // It answers when it leads again, and then it has applied all that was acknowledged.
    let tracker = start(folder.path());
    let answer = Client::connect(&tracker, 1).ask(2, log_ann_in());
    let Some(TrackerMessage::Answer { seq: 2, answer: Ok(answer) }) = answer else {
        panic!("no login: {answer:?}")
    };
    assert!(matches!(*answer, Answer::LoggedIn { .. }), "{answer:?}");
    assert_eq!(accounts(&tracker), 1);
    tracker.quit().unwrap();
}

#[test]
fn a_store_that_does_not_decode_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(open(folder.path()).unwrap()).unwrap();
    let entries = vec![(1, (*b"no entry").into())];
    store.persist(&Batch { entries, ..Batch::default() }).unwrap();
    let config = Config::alone(Seed([1; 32]), DeviceId([9; 32]));
    let error = machine(&store, config).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn an_address_in_use_is_refused_with_the_remedy() {
    let taken = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trackers = vec![taken.address().into()];
    let options = Options { number: 1, trackers, data_dir: folder.path().into(), record: None };
    let failure = main(&options).unwrap_err();
    assert_eq!(failure.exit, Exit::CannotStart);
    assert!(failure.message.contains("end the process that uses the port"), "{}", failure.message);
}

#[test]
fn a_tracker_whose_disk_fails_ends_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(open(folder.path()).unwrap()).unwrap();
    let faults = store.faults();
    let tracker = Embedded::serve(Arc::new(Identity::from_seed([9; 32])), store).unwrap();
    let client = Client::connect(&tracker, 1);
    client.link.send(&ClientMessage::Ping);
    assert_eq!(client.hear(), Some(TrackerMessage::Pong));
    faults.break_syncs();
    assert_eq!(client.ask(1, create_ann()), None, "nothing is acknowledged, and the link ends");
    let failure = tracker.quit().unwrap_err();
    assert_eq!(failure.exit, Exit::Broken);
    assert!(failure.message.contains("look after its disk"), "{}", failure.message);
}
