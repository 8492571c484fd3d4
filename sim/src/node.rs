//! What the world keeps of each node: a client with its disk, a tracker with its store, or somebody driven by hand.

use std::net::{Ipv4Addr, SocketAddr};

use engine::id::{CommandId, DeviceId, FileId, JobId, LinkId, Slot};
use engine::name::{Place, UserName};
use engine::peer::Peer;
use engine::peer::command::{News, Reply};
use engine::peer::strategy::Strategy;
use engine::refusal::Refusal;
use engine::table::Table;
use engine::time::Time;
use engine::tracker::Tracker;
use engine::tracker::io::Stored;
use engine::violation::Violation;

use crate::content::Bytes;
use crate::disk::Disk;
use crate::faults::Clock;
use crate::jobs::Work;
use crate::network::{Access, Line, NodeId, Packet, Transfer};
use crate::scenario::Behaviour;

/// The answer to a command.
pub type Answer = Result<Reply, Refusal>;

/// A node of the world.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) device: DeviceId,
    pub(crate) address: SocketAddr,
    pub(crate) line: Line,
    /// Grows with each start: what was planned for an earlier life is void.
    pub(crate) life: u32,
    pub(crate) wake: Option<Time>,
    /// Connections that it has an end of.
    pub(crate) links: Vec<LinkId>,
    /// Jobs under way, with what is to be done or came of it; each ends once.
    pub(crate) jobs: Table<JobId, Work>,
    /// Jobs of one file end in the order given: when the last of each does.
    pub(crate) lanes: Table<Lane, Time>,
    /// Whether its disk or its memory spoils pieces, so that others may rightly blame it.
    pub(crate) tainted: bool,
    pub(crate) clock: Clock,
    pub(crate) kind: Kind,
}

/// Jobs that run one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Those of the files at one place: which of the client's `places` that is.
    File(usize),
    /// Those of what the client writes down.
    Memory,
    /// Those of the tracker's store.
    Store,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Client(Box<Client>),
    Tracker(Box<TrackerNode>),
    Puppet(Box<Puppet>),
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) machine: Option<Box<Peer>>,
    pub(crate) strategy: Strategy,
    pub(crate) disk: Disk,
    /// What is in each buffer that is not empty.
    pub(crate) slots: Table<Slot, Bytes>,
    /// Places of files that were open in this life, and which of them is whose.
    pub(crate) places: Vec<Place>,
    pub(crate) place_of: Table<FileId, usize>,
    pub(crate) last_command: u64,
    pub(crate) answers: Table<CommandId, Answer>,
    pub(crate) news: Vec<(Time, News)>,
    /// Who is logged in, as far as the tracker has said to this node.
    pub(crate) user: Option<UserName>,
    /// Whether the program ended by itself.
    pub(crate) exited: bool,
    /// Whether it keeps to the rules; if it is mute, these pieces are held back.
    pub(crate) behaviour: Behaviour,
    pub(crate) held_back: Vec<Transfer>,
    /// Pieces that it took in from each node.
    pub(crate) received: Table<NodeId, u32>,
}

#[derive(Debug)]
pub(crate) struct TrackerNode {
    pub(crate) machine: Option<Box<Tracker>>,
    pub(crate) store: Stored,
    pub(crate) disk_full: bool,
}

/// Somebody without a machine: a test says what it sends, and reads what it gets.
#[derive(Debug, Default)]
pub(crate) struct Puppet {
    pub(crate) user: Option<UserName>,
    pub(crate) seq: u64,
    pub(crate) heard: Vec<(LinkId, Heard)>,
}

/// The first address; the others follow.
const FIRST: u32 = 0x0a00_0001;

/// Where every node listens.
const PORT: u16 = 4_000;

/// Where the node of that number listens.
fn address(id: NodeId) -> SocketAddr {
    let number = u32::try_from(id.0).unwrap_or(u32::MAX);
    SocketAddr::from((Ipv4Addr::from_bits(FIRST.saturating_add(number)), PORT))
}

/// The number of the node that would listen there.
pub(crate) fn node_at(address: SocketAddr) -> Option<NodeId> {
    let SocketAddr::V4(address) = address else { return None };
    let number = address.ip().to_bits().checked_sub(FIRST).filter(|_| address.port() == PORT)?;
    Some(NodeId(number as usize))
}

/// What happened to a puppet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A connection stands, with this node.
    Up(NodeId),
    /// Somebody said something.
    Said(Packet),
    /// A piece came.
    Piece(u32),
    /// The connection ended; for this violation, if the other side said so to its own shell.
    Down(Option<Violation>),
}

impl Node {
    pub(crate) fn new(id: NodeId, access: Access, kind: Kind) -> Node {
        Node {
            device: crate::network::device(id),
            address: address(id),
            line: Line::new(access),
            life: 0,
            wake: None,
            links: Vec::new(),
            jobs: Table::default(),
            lanes: Table::default(),
            tainted: false,
            clock: Clock::default(),
            kind,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        match &self.kind {
            Kind::Client(client) => client.machine.is_some(),
            Kind::Tracker(tracker) => tracker.machine.is_some(),
            Kind::Puppet(_) => true,
        }
    }

    /// Whether it keeps to the protocol, so that nobody may blame it.
    pub(crate) fn is_honest(&self) -> bool {
        match &self.kind {
            Kind::Client(client) => client.behaviour == Behaviour::Honest && !self.tainted,
            Kind::Tracker(_) => true,
            Kind::Puppet(_) => false,
        }
    }

    pub(crate) fn user(&self) -> Option<&UserName> {
        match &self.kind {
            Kind::Client(client) => client.user.as_ref(),
            Kind::Tracker(_) => None,
            Kind::Puppet(puppet) => puppet.user.as_ref(),
        }
    }

    /// When its machine wants to be woken, in the time of the world.
    pub(crate) fn next_wakeup(&self) -> Option<Time> {
        let own = match &self.kind {
            Kind::Client(client) => client.machine.as_ref()?.next_wakeup(),
            Kind::Tracker(tracker) => tracker.machine.as_ref()?.next_wakeup(),
            Kind::Puppet(_) => None,
        };
        own.map(|own| self.clock.world(own))
    }
}
