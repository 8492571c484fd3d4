//! The world: time, the future, and the nodes; and how what happens reaches a machine.
//!
//! Deterministic from one seed. The shell's side of the contract in `engine::peer::io` and `engine::tracker::io` is kept here to
//! the letter, and what the engine must keep is asserted: credit, jobs that end once, no word on a link after its end, no
//! blame for the honest, no piece to somebody who is no member.

use std::collections::BTreeMap;
use std::hash::Hash as _;

use engine::id::{DialId, FileId, JobId, LinkId};
use engine::name::{GroupName, UserName};
use engine::peer::Peer;
use engine::peer::io::{Action as PeerAction, Config, Input as PeerInput};
use engine::peer::strategy::Strategy;
use engine::seed::Seed;
use engine::table::Table;
use engine::time::{Span, Time};
use engine::tracker::io::{Input as TrackerInput, Stored};
use engine::tracker::{Config as TrackerConfig, Tracker};
use engine::violation::Violation;
use engine::wire::peer::PeerMessage;
use engine::wire::tracker::TrackerMessage;

use crate::checks::Ledger;
use crate::content::{Bytes, Digests};
use crate::faults::Faults;
use crate::lookahead::Lookahead;
use crate::network::{Access, Connections, NodeId, Packet};
use crate::node::{Client, Heard, Kind, Node, Puppet, TrackerNode};
use crate::queue::Queue;
use crate::scenario::Behaviour;
use crate::trace::Trace;

/// How long each kind of work takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// To derive a key.
    pub key: Span,
    /// To hash a piece.
    pub hash: Span,
    /// To write a piece.
    pub write: Span,
    /// To sync, to open, or to write a record.
    pub sync: Span,
}

impl Default for Costs {
    fn default() -> Costs {
        Costs { key: Span::from_millis(100), hash: Span(500), write: Span(300), sync: Span::from_millis(2) }
    }
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Event {
    Wake { node: NodeId },
    Dialled { node: NodeId, life: u32, dial: Option<DialId>, to: std::net::SocketAddr },
    Said { link: LinkId, to: usize, message: PeerMessage },
    Spread { to: Box<[(LinkId, usize)]>, message: PeerMessage },
    Packet { link: LinkId, to: usize, packet: Box<Packet> },
    Piece { link: LinkId, to: usize, file: FileId, bytes: Bytes },
    Refund { link: LinkId, side: usize },
    Uplink { node: NodeId, begun: u64 },
    Job { node: NodeId, life: u32, job: JobId },
    Down { link: LinkId, side: usize },
}

/// Virtual machines on a virtual network.
#[derive(Debug)]
pub struct World {
    pub(crate) name: u64,
    pub(crate) seed: Seed,
    pub(crate) now: Time,
    pub(crate) future: Queue<Event>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Connections,
    pub(crate) digests: Digests,
    pub(crate) costs: Costs,
    /// Neighbours that each download seeks.
    pub(crate) neighbours: usize,
    /// Whether machines are checked after every step, and messages encoded and decoded.
    pub(crate) checks: bool,
    pub(crate) trace: Trace,
    /// Where machines put their actions: emptied after each turn, kept for its memory.
    pub(crate) outbox: Vec<PeerAction>,
    pub(crate) passwords: Vec<String>,
    /// Who blamed whom for what.
    pub(crate) blames: Vec<(NodeId, NodeId, Violation)>,
    /// When the tracker said that somebody is no longer a member.
    pub(crate) expelled: BTreeMap<(GroupName, UserName), Time>,
    pub(crate) pieces_delivered: u64,
    /// What a run of a scenario wants to know.
    pub(crate) watch: crate::watch::Watch,
    pub(crate) faults: Faults,
    pub(crate) listener: Option<crate::narrate::Listener>,
    pub(crate) ledger: Ledger,
    /// How this world is broken on purpose.
    #[cfg(test)]
    pub(crate) sabotage: Option<crate::checks::Sabotage>,
    /// Things that happened.
    pub(crate) events: u64,
    pub(crate) lookahead: Lookahead,
}

/// The node that every world has first.
pub(crate) const TRACKER: NodeId = NodeId(0);

impl World {
    /// A world with a tracker and nobody else. The same seed gives the same course of things.
    #[must_use]
    pub fn new(seed: u64) -> World {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut world = World {
            name: seed,
            seed: Seed(bytes),
            now: Time::default(),
            future: Queue::new(),
            nodes: Vec::new(),
            links: Connections::default(),
            digests: Digests::default(),
            costs: Costs::default(),
            neighbours: engine::limits::NEIGHBOURS_WANTED,
            checks: true,
            trace: Trace::default(),
            outbox: Vec::new(),
            passwords: Vec::new(),
            blames: Vec::new(),
            expelled: BTreeMap::new(),
            pieces_delivered: 0,
            watch: crate::watch::Watch::default(),
            faults: Faults::new(&Seed(bytes)),
            listener: None,
            ledger: Ledger::default(),
            #[cfg(test)]
            sabotage: None,
            events: 0,
            lookahead: Lookahead::default(),
        };
        let access = Access { up: 1 << 30, down: 1 << 30, ..Access::default() };
        let tracker = TrackerNode { machine: None, store: Stored::default(), disk_full: false };
        world.add(access, Kind::Tracker(Box::new(tracker)));
        world.start(TRACKER);
        world
    }

    pub(crate) fn add(&mut self, access: Access, kind: Kind) -> NodeId {
        let id = NodeId(self.nodes.len());
        let node = Node::new(id, access, kind);
        self.nodes.push(node);
        id
    }

    pub(crate) fn add_client(&mut self, access: Access, strategy: Strategy) -> NodeId {
        let client = Client {
            machine: None,
            strategy,
            disk: crate::disk::Disk::default(),
            slots: Table::default(),
            places: Vec::new(),
            place_of: Table::default(),
            last_command: 0,
            answers: Table::default(),
            news: Vec::new(),
            user: None,
            exited: false,
            behaviour: Behaviour::Honest,
            held_back: Vec::new(),
            received: Table::default(),
        };
        let id = self.add(access, Kind::Client(Box::new(client)));
        self.start(id);
        id
    }

    pub(crate) fn add_puppet(&mut self) -> NodeId {
        self.add(Access::default(), Kind::Puppet(Box::<Puppet>::default()))
    }

    /// Begins a node's next life.
    pub(crate) fn start(&mut self, id: NodeId) {
        let trackers = vec![self.nodes[TRACKER.0].address];
        let node = &mut self.nodes[id.0];
        assert!(!node.is_up(), "a node is started once");
        node.life += 1;
        node.jobs.clear();
        node.lanes.clear();
        let seed = self.seed.child(id.0 as u64).child(u64::from(node.life));
        match &mut node.kind {
            Kind::Client(client) => {
                let config = Config {
                    device: node.device,
                    listen: node.address,
                    trackers,
                    signers: Vec::new(),
                    strategy: client.strategy,
                    neighbours: self.neighbours,
                    first_seq: u64::from(node.life) << 32,
                };
                client.exited = false;
                client.user = None;
                client.machine = Some(Box::new(Peer::new(config, seed)));
            }
            Kind::Tracker(tracker) => {
                // The salts of strangers last, so the tracker's seed does.
                let seed = self.seed.child(0);
                let machine = Tracker::new(TrackerConfig::alone(seed, node.device), &tracker.store);
                let machine = machine.expect("the store is sound");
                tracker.machine = Some(Box::new(machine));
            }
            Kind::Puppet(_) => {}
        }
        if id == TRACKER {
            // What it did not come to say, everybody hears when they have found it again.
            (0..self.nodes.len()).for_each(|node| self.faults.late_word(NodeId(node), self.now));
        }
        let wall = crate::notary::wall(self.now);
        match &self.nodes[id.0].kind {
            Kind::Client(_) => self.give_peer(id, PeerInput::Clock(wall)),
            Kind::Tracker(_) => self.give_tracker(TrackerInput::Clock(wall)),
            Kind::Puppet(_) => {}
        }
        self.arm(id);
    }

    /// Ends a node's life at once: its connections break, what it was doing is lost, its disk stays.
    pub(crate) fn end_life(&mut self, id: NodeId) {
        if id == TRACKER {
            self.note_tracker_death();
        }
        let node = &mut self.nodes[id.0];
        node.life += 1;
        node.wake = None;
        node.jobs.clear();
        node.line.waiting.clear();
        node.line.current = None;
        match &mut node.kind {
            Kind::Client(client) => {
                client.machine = None;
                client.disk.close_all();
                client.places.clear();
                client.place_of.clear();
                client.held_back.clear();
                client.slots.clear();
            }
            Kind::Tracker(tracker) => tracker.machine = None,
            Kind::Puppet(_) => {}
        }
        for link in self.nodes[id.0].links.clone() {
            self.end_link(link);
        }
    }

    /// Plans the node's next wake-up, if it is earlier than what is planned.
    pub(crate) fn arm(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0];
        if let Some(at) = node.next_wakeup() {
            let at = at.max(self.now);
            if node.wake.is_none_or(|planned| at < planned) {
                node.wake = Some(at);
                self.future.plan(at, Event::Wake { node: id });
            }
        }
    }

    /// Lets the next thing happen. False if there is nothing, before `until`.
    pub(crate) fn step(&mut self, until: Time) -> bool {
        let Some((at, event)) = self.future.pop(until) else { return false };
        assert!(at >= self.now, "time does not run backwards");
        self.now = at;
        self.events += 1;
        self.look_ahead();
        self.note(&event);
        self.narrate_event(&event);
        match event {
            Event::Wake { node } => self.wake(node),
            Event::Dialled { node, life, dial, to } => self.dialled(node, life, dial, to),
            Event::Said { link, to, message } => self.deliver(link, to, Packet::Peer(message)),
            Event::Spread { to, message } => self.deliver_all(&to, &message),
            Event::Packet { link, to, packet } => self.deliver(link, to, *packet),
            Event::Piece { link, to, file, bytes } => self.deliver_piece(link, to, file, bytes),
            Event::Refund { link, side } => self.refund(link, side),
            Event::Uplink { node, begun } => self.uplink_free(node, begun),
            Event::Job { node, life, job } => {
                if self.nodes[node.0].life == life {
                    self.finish_job(node, job);
                }
            }
            Event::Down { link, side } => self.link_down(link, side),
        }
        true
    }

    /// Mixes what happens into the trace.
    fn note(&mut self, event: &Event) {
        self.trace.mix(self.now.0);
        let (kind, who) = match event {
            Event::Wake { node } => (1, node.0 as u64),
            Event::Dialled { node, .. } => (2, node.0 as u64),
            Event::Said { link, message, .. } => {
                message.hash(&mut self.trace);
                (3, link.0)
            }
            Event::Spread { to, message } => {
                message.hash(&mut self.trace);
                to.iter().for_each(|(link, _)| self.trace.mix(link.0));
                (10, to.len() as u64)
            }
            Event::Packet { link, .. } => (4, link.0),
            Event::Piece { link, bytes, .. } => {
                self.trace.mix(bytes.piece.into());
                (5, link.0)
            }
            Event::Refund { link, .. } => (6, link.0),
            Event::Uplink { node, .. } => (7, node.0 as u64),
            Event::Job { node, job, .. } => {
                self.trace.mix(job.0.into());
                (8, node.0 as u64)
            }
            Event::Down { link, .. } => (9, link.0),
        };
        self.trace.mix(who << 4 | kind);
    }

    fn wake(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0];
        if node.wake != Some(self.now) {
            return;
        }
        node.wake = None;
        if node.next_wakeup().is_none_or(|at| at > self.now) {
            return self.arm(id);
        }
        match &node.kind {
            Kind::Client(_) => self.give_peer(id, PeerInput::Wake),
            Kind::Tracker(_) => self.give_tracker(TrackerInput::Wake),
            Kind::Puppet(_) => {}
        }
        let next = self.nodes[id.0].next_wakeup();
        assert!(next.is_none_or(|at| at > self.now), "after a wake-up the next lies ahead");
    }

    /// Gives a client's machine an input, and does what it says.
    pub(crate) fn give_peer(&mut self, id: NodeId, input: PeerInput) {
        let (now, checks) = (self.nodes[id.0].clock.own(self.now), self.checks);
        let Kind::Client(client) = &mut self.nodes[id.0].kind else { unreachable!("{id:?} is no client") };
        let Some(machine) = &mut client.machine else { return };
        let mut outbox = std::mem::take(&mut self.outbox);
        machine.handle(now, input, &mut outbox);
        if checks {
            machine.check();
        }
        for action in outbox.drain(..) {
            std::mem::discriminant(&action).hash(&mut self.trace);
            self.peer_acts(id, action);
        }
        self.outbox = outbox;
        if checks {
            self.check_limits(id);
        }
        self.arm(id);
    }

    /// Gives the tracker's machine an input, and does what it says.
    pub(crate) fn give_tracker(&mut self, input: TrackerInput) {
        let (now, checks) = (self.nodes[TRACKER.0].clock.own(self.now), self.checks);
        let Kind::Tracker(tracker) = &mut self.nodes[TRACKER.0].kind else { unreachable!("it is the first") };
        let Some(machine) = &mut tracker.machine else { return };
        let mut outbox = Vec::new();
        machine.handle(now, input, &mut outbox);
        if checks {
            machine.check();
        }
        for action in outbox {
            std::mem::discriminant(&action).hash(&mut self.trace);
            self.tracker_acts(action);
        }
        self.check_tracker_rebirth();
        self.arm(TRACKER);
    }

    /// Notes what the tracker's words mean for what others may do.
    pub(crate) fn overhear(&mut self, link: LinkId, message: &TrackerMessage) {
        match message {
            TrackerMessage::Expelled { group, user } => {
                self.expelled.entry((group.clone(), user.clone())).or_insert(self.now);
            }
            TrackerMessage::Answer { seq, answer: Ok(answer) } => {
                if !matches!(**answer, engine::wire::tracker::Answer::LoggedIn { .. }) {
                    return;
                }
                let Some(connection) = self.links.get_mut(link) else { return };
                let end = &mut connection.ends[0];
                let (node, logins) = (end.node, &mut end.notes.logins);
                let login = logins.iter().position(|(asked, _)| asked == seq);
                let user = login.map(|at| logins.swap_remove(at).1);
                match &mut self.nodes[node.0].kind {
                    Kind::Client(client) => client.user = user,
                    Kind::Puppet(puppet) => puppet.user = user,
                    Kind::Tracker(_) => {}
                }
            }
            _ => {}
        }
    }

    /// Somebody says that somebody else broke the rules.
    pub(crate) fn blame(&mut self, by: NodeId, link: LinkId, violation: Violation) {
        let Some(connection) = self.links.get(link) else { return };
        let whom = connection.ends[1 - connection.side(by)].node;
        self.check_blame(by, whom, violation);
        self.blames.push((by, whom, violation));
    }

    /// Somebody driven by hand hears something.
    pub(crate) fn puppet_hears(&mut self, id: NodeId, link: LinkId, heard: Heard) {
        if let Kind::Puppet(puppet) = &mut self.nodes[id.0].kind {
            puppet.heard.push((link, heard));
        }
    }
}
