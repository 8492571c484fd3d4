//! Clusters of trackers: the real machines on virtual links, disks and clocks, with clients that change and ask, and faults.
//!
//! [`soak::run`] is one seed: a safety phase in which things break, then all is mended and the cluster must serve again in a stated time.
//! What is looked at after every step: one leader a term, and the same registry after the same number of entries. At the end: every key's
//! history is linearizable ([`history`]), and all trackers hold the same registry.

pub mod client;
mod disk;
mod faults;
pub mod history;
mod network;
pub mod soak;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use engine::id::{DeviceId, JobId, LinkId};
use engine::limits::FRAME_LEN_MAX;
use engine::seed::Seed;
use engine::time::{Span, Time};
use engine::tracker::cluster::Listed;
use engine::tracker::io::{Action, Input, Order, Stored, Work};
use engine::tracker::replica::Role;
use engine::tracker::{Config, Status, Tracker};
use engine::wire::codec;
use engine::wire::tracker::{ClientMessage, TrackerMessage};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use client::Client;
use network::Line;

/// How much later than it is due a wakeup comes at most: other things happen in between, as they do on a busy machine.
const LATE_MAX: Span = Span::from_millis(20);

/// How long a write takes when nothing is wrong.
const SYNC: Span = Span::from_millis(3);

/// A tracker of the cluster.
#[derive(Debug)]
pub struct Node {
    machine: Option<Box<Tracker>>,
    store: Stored,
    /// What names its store and its key: a new disk has others.
    disk: u64,
    /// Grows with each start.
    life: u32,
    wake: Option<Time>,
    /// Writes under way, in order.
    writes: Vec<(JobId, Work)>,
    full: bool,
    sync: Span,
    /// Until when the process is stopped.
    stopped: Time,
    /// What it told the person at its console.
    said: Vec<String>,
}

/// Something that will happen.
#[derive(Debug)]
enum Event {
    Wake(usize),
    ToTracker { link: LinkId, message: ClientMessage },
    FromTracker { link: LinkId, message: TrackerMessage },
    Dialled { node: usize, life: u32, to: u16, expected: Option<DeviceId>, timed_out: bool },
    Sent { node: usize, life: u32, link: LinkId },
    Written { node: usize, life: u32, job: JobId, work: Work },
    Down { link: LinkId, dialler: bool },
    Client(usize),
}

/// The cluster and its clients.
#[derive(Debug)]
pub struct World {
    name: u64,
    now: Time,
    rng: ChaCha8Rng,
    events: BTreeMap<(Time, u64), Event>,
    events_ever: u64,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    lines: BTreeMap<LinkId, Line>,
    lines_ever: u64,
    /// Pairs of trackers, the lower number first, between which nothing travels.
    cuts: BTreeSet<(usize, usize)>,
    disks_ever: u64,
    /// Who led in each generation and term.
    leaders: BTreeMap<(u64, u64), usize>,
    /// The registry after so many entries.
    digests: BTreeMap<u64, u64>,
    /// How often a fault struck, by name.
    struck: BTreeMap<&'static str, u32>,
}

/// Where the tracker of that index listens.
fn address(index: usize) -> SocketAddr {
    let low = u8::try_from(index).expect("few trackers") + 1;
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, low), 7_401))
}

fn number(index: usize) -> u16 {
    u16::try_from(index).expect("few trackers") + 1
}

fn seed_of(name: u64, disk: u64) -> Seed {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&name.to_le_bytes());
    Seed(bytes).child(disk)
}

impl World {
    /// As many trackers, all new and up, and no client.
    #[must_use]
    pub fn new(name: u64, trackers: usize) -> World {
        let mut world = World {
            name,
            now: Time(1),
            rng: ChaCha8Rng::from_seed(seed_of(name, u64::MAX).0),
            events: BTreeMap::new(),
            events_ever: 0,
            nodes: Vec::new(),
            clients: Vec::new(),
            lines: BTreeMap::new(),
            lines_ever: 0,
            cuts: BTreeSet::new(),
            disks_ever: 0,
            leaders: BTreeMap::new(),
            digests: BTreeMap::new(),
            struck: BTreeMap::new(),
        };
        for _ in 0..trackers {
            let disk = world.next_disk();
            world.nodes.push(Node {
                machine: None,
                store: Stored::default(),
                disk,
                life: 0,
                wake: None,
                writes: Vec::new(),
                full: false,
                sync: SYNC,
                stopped: Time::default(),
                said: Vec::new(),
            });
        }
        (0..trackers).for_each(|index| world.start(index));
        world
    }

    fn next_disk(&mut self) -> u64 {
        self.disks_ever += 1;
        self.disks_ever
    }

    /// The key of the tracker with that disk.
    fn device(&self, disk: u64) -> DeviceId {
        DeviceId(seed_of(self.name, disk).child(1).0)
    }

    /// The key that a tracker has now.
    #[must_use]
    pub fn key(&self, index: usize) -> DeviceId {
        self.device(self.nodes[index].disk)
    }

    /// Begins a tracker's next life. It knows the others' addresses and no keys, as from a list without fingerprints; those it met before
    /// are in its store, as members.
    pub fn start(&mut self, index: usize) {
        let others = (0..self.nodes.len()).filter(|other| *other != index);
        let others = others
            .map(|other| Listed { number: number(other), address: address(other), device: None })
            .collect();
        let disk = self.nodes[index].disk;
        let seed = seed_of(self.name, disk);
        let config = Config { seed, device: self.device(disk), number: number(index), others };
        let node = &mut self.nodes[index];
        assert!(node.machine.is_none(), "a tracker is started once");
        node.life += 1;
        let machine = Tracker::new(config, &node.store).expect("the store is sound");
        node.machine = Some(Box::new(machine));
        self.give(index, Input::Wake);
    }

    fn plan(&mut self, at: Time, event: Event) {
        self.events_ever += 1;
        self.events.insert((at, self.events_ever), event);
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.rng.random_range(0..below.max(1))
    }

    /// Gives a tracker an input, and does what it says.
    fn give(&mut self, index: usize, input: Input) {
        let now = self.now;
        let Some(machine) = &mut self.nodes[index].machine else { return };
        let mut outbox = Vec::new();
        machine.handle(now, input, &mut outbox);
        machine.check();
        for action in outbox {
            self.act(index, action);
        }
        self.look_at(index);
        self.arm(index);
    }

    fn arm(&mut self, index: usize) {
        let wakeup = self.nodes[index].machine.as_ref().and_then(|machine| machine.next_wakeup());
        let Some(wakeup) = wakeup else { return };
        let due = wakeup.max(self.now);
        if self.nodes[index].wake.is_none_or(|planned| due + LATE_MAX < planned) {
            let at = due + Span(self.draw(LATE_MAX.0));
            self.nodes[index].wake = Some(at);
            self.plan(at, Event::Wake(index));
        }
    }

    fn act(&mut self, index: usize, action: Action) {
        let life = self.nodes[index].life;
        match action {
            Action::Send { link, message } => {
                self.sent(index, link);
                self.travel(link, Event::FromTracker { link, message });
            }
            Action::Speak { link, message } => {
                let bytes = codec::encode(&message);
                assert!(bytes.len() <= FRAME_LEN_MAX, "{} bytes are no frame", bytes.len());
                assert_eq!(codec::decode(&bytes).as_ref(), Ok(&message), "it survives the wire");
                self.sent(index, link);
                self.travel(link, Event::ToTracker { link, message });
            }
            Action::Close { link, violation } => {
                assert_eq!(
                    violation,
                    None,
                    "seed {}: tracker {} blames somebody at {}",
                    self.name,
                    index + 1,
                    self.now
                );
                self.assert_stands(index, link);
                self.close(index, link);
            }
            Action::Reach { tracker, expected, .. } => self.dial(index, life, tracker, expected),
            Action::Start { job, work: Work::Sign(_) } => {
                unreachable!("nobody asks for tickets here: {job:?}")
            }
            Action::Start { job, work } => self.begin_write(index, job, work),
            Action::Say(text) => self.nodes[index].said.push(text.into()),
        }
    }

    /// What must hold after every step.
    fn look_at(&mut self, index: usize) {
        let Some(machine) = &self.nodes[index].machine else { return };
        let (generation, term, role) = machine.course();
        if role == Role::Leader {
            let leader = *self.leaders.entry((generation, term)).or_insert(index);
            assert_eq!(leader, index, "seed {}: two leaders in term {term} at {}", self.name, self.now);
        }
        let registry = machine.registry();
        if registry.applied() > 0 && !self.digests.contains_key(&registry.applied())
            || self.events_ever.is_multiple_of(16)
        {
            let digest = registry.digest();
            let known = *self.digests.entry(registry.applied()).or_insert(digest);
            let applied = registry.applied();
            assert_eq!(
                known, digest,
                "seed {}: two registries after {applied} entries at {}",
                self.name, self.now
            );
        }
    }

    /// Lets the next thing happen; false if there is nothing more, or it lies after `end`.
    fn step(&mut self, end: Time) -> bool {
        let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end) else {
            return false;
        };
        let ((at, _), event) = entry.remove_entry();
        self.now = at;
        if let Some(until) = self.stopped_until(&event) {
            if let Event::Wake(index) = event {
                // One that was put off already counts no more.
                if self.nodes[index].wake != Some(at) {
                    return true;
                }
                self.nodes[index].wake = Some(until);
            }
            self.plan(until, event);
            return true;
        }
        match event {
            Event::Wake(index) => {
                if self.nodes[index].wake == Some(at) {
                    self.nodes[index].wake = None;
                    self.give(index, Input::Wake);
                }
            }
            Event::ToTracker { link, message } => self.tracker_gets(link, message),
            Event::FromTracker { link, message } => self.tracker_says(link, message),
            Event::Dialled { node, life, to, expected, timed_out } => {
                self.dialled(node, life, to, expected, timed_out);
            }
            Event::Sent { node, life, link } => self.refund(node, life, link),
            Event::Written { node, life, job, work } => self.written(node, life, job, work),
            Event::Down { link, dialler } => self.down(link, dialler),
            Event::Client(client) => self.client_acts(client),
        }
        true
    }

    /// Lets time pass.
    pub fn advance(&mut self, span: Span) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until something is so.
    ///
    /// # Panics
    /// If it is not so in time.
    #[track_caller]
    pub fn until(&mut self, what: &str, within: Span, mut so: impl FnMut(&World) -> bool) {
        let end = self.now + within;
        while !so(self) {
            let statuses: Vec<_> = (0..self.nodes.len()).map(|index| self.status(index)).collect();
            assert!(
                self.step(end),
                "seed {}: not in {} s: {what}; {statuses:#?}",
                self.name,
                within.secs_rounded_up()
            );
        }
    }

    /// What a tracker's console shows, if it is up.
    #[must_use]
    pub fn status(&self, index: usize) -> Option<Status> {
        self.nodes[index].machine.as_ref().map(|machine| machine.status(self.now))
    }

    /// The tracker that leads and has applied all that was agreed before, if there is one that is not stopped.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| node.machine.as_ref().is_some_and(|machine| machine.is_settled());
        let candidates = (0..self.nodes.len())
            .filter(|index| leads(&self.nodes[*index]) && self.nodes[*index].stopped <= self.now);
        candidates.max_by_key(|index| self.nodes[*index].machine.as_ref().map(|machine| machine.course().1))
    }

    /// Somebody at a tracker's console wants something.
    pub fn order(&mut self, index: usize, order: Order) {
        self.give(index, Input::Order(order));
    }
}
