//! The network: access links only. An uplink is a serial server with a rate; a downlink adds what it must; each connection delivers in
//! order, after a latency. Messages are small and slip between the chunks of pieces.

use std::collections::VecDeque;

use engine::id::{DeviceId, FileId, JobId, LinkId, Slot};
use engine::name::{GroupName, UserName};
use engine::peer::glance::whole;
use engine::piece::Extent;
use engine::table::Table;
use engine::time::{Span, Time};
use engine::wire::peer::PeerMessage;
use engine::wire::tracker::{ClientMessage, TrackerMessage};
use smallvec::SmallVec;

use crate::content::Bytes;
use crate::lookahead::fetch;

/// A machine of the world, or somebody driven by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// Rates and latency of a node's access to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Bytes a second out.
    pub up: u64,
    /// Bytes a second in.
    pub down: u64,
    /// One way, to anybody; of a connection, the longer of both ends counts.
    pub latency: Span,
}

impl Default for Access {
    /// An ordinary line, so fast that tests take seconds of virtual time: 16 MiB/s out (32 pieces), four times that in, 5 ms.
    fn default() -> Access {
        Access { up: 16 << 20, down: 64 << 20, latency: Span::from_millis(5) }
    }
}

/// What travels on a connection, pieces excepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Between peers.
    Peer(PeerMessage),
    /// From a client to the tracker.
    Client(ClientMessage),
    /// From the tracker to a client.
    Tracker(TrackerMessage),
}

/// One side of a connection: what each message needs, in few bytes, and the rest.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) node: NodeId,
    /// Which life of the node.
    pub(crate) life: u32,
    /// Messages that have not left for the network, as far as the machine was told.
    pub(crate) unsent: u32,
    /// Nothing is delivered to this side before.
    pub(crate) last_delivery: Time,
    /// No `LinkDown` was given yet.
    pub(crate) up: bool,
    /// This side ended it.
    pub(crate) closed: bool,
    /// Its shell did, for a breach, and its machine has not heard of that.
    pub(crate) unheard: bool,
    pub(crate) notes: Box<Notes>,
}

/// What is known of one side of a connection, beyond that it stands.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Pieces that may arrive, and where they go; nowhere if they were discarded.
    pub(crate) expected: Table<(FileId, u32), Option<Slot>>,
    /// Files that this side opened, by its own number, with their groups.
    pub(crate) opened: SmallVec<[(FileId, GroupName); 1]>,
    /// Logins that this side asked for, by their sequence.
    pub(crate) logins: Vec<(u64, UserName)>,
    /// How many changes the registry had seen when this side was last found to send to a member only.
    pub(crate) cleared: Option<u64>,
}

impl End {
    pub(crate) fn new(node: NodeId, life: u32) -> End {
        End {
            node,
            life,
            unsent: 0,
            last_delivery: Time::default(),
            up: true,
            closed: false,
            unheard: false,
            notes: Box::default(),
        }
    }
}

/// A connection: the side that dialled comes first.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) ends: [End; 2],
    pub(crate) latency: Span,
    /// Whether its end is on the way to both sides.
    pub(crate) ending: bool,
}

impl Connection {
    /// Which side `node` is.
    pub(crate) fn side(&self, node: NodeId) -> usize {
        usize::from(self.ends[0].node != node)
    }
}

/// All connections, by number: those that ended leave an empty place.
#[derive(Debug, Default)]
pub(crate) struct Connections(Vec<Option<Connection>>);

impl Connections {
    /// Adds a connection; its number was never used before.
    pub(crate) fn insert(&mut self, connection: Connection) -> LinkId {
        self.0.push(Some(connection));
        LinkId(self.0.len() as u64 - 1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "numbers come from `insert`")]
    fn place(link: LinkId) -> usize {
        link.0 as usize
    }

    /// Has the memory of a connection fetched, and does not wait for it.
    pub(crate) fn fetch(&self, link: LinkId) {
        self.0.get(Self::place(link)).into_iter().for_each(|place| whole(place, &mut fetch));
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<&Connection> {
        self.0.get(Self::place(link))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, link: LinkId) -> Option<&mut Connection> {
        self.0.get_mut(Self::place(link))?.as_mut()
    }

    pub(crate) fn remove(&mut self, link: LinkId) {
        if let Some(place) = self.0.get_mut(Self::place(link)) {
            *place = None;
        }
    }
}

/// A piece that is being sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) job: JobId,
    pub(crate) link: LinkId,
    pub(crate) extent: Extent,
    pub(crate) theirs: FileId,
    pub(crate) bytes: Bytes,
}

/// A downlink that is so far behind is jammed.
const JAM: Span = Span::from_secs(5);

/// A node's uplink, and what its downlink has taken on.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) access: Access,
    pub(crate) waiting: VecDeque<Transfer>,
    /// What is being sent, since when, and the number of the event that ends it.
    pub(crate) current: Option<(Transfer, Time, u64)>,
    pub(crate) begun: u64,
    pub(crate) down_free: Time,
    /// Until when what comes in waits for long behind other things.
    pub(crate) jammed: Time,
}

impl Line {
    pub(crate) const fn new(access: Access) -> Line {
        Line {
            access,
            waiting: VecDeque::new(),
            current: None,
            begun: 0,
            down_free: Time(0),
            jammed: Time(0),
        }
    }

    /// Bytes that left between two times.
    pub(crate) const fn cut_off(&self, began: Time, now: Time) -> u64 {
        now.since(began).0 * self.access.up / 1_000_000
    }

    /// When a piece that left between `began` and `now` has come in.
    pub(crate) fn come_in(&mut self, began: Time, now: Time, len: u32) -> Time {
        let done = now.max(self.down_free.max(began) + duration(len, self.access.down));
        self.down_free = done;
        if done.since(now) >= JAM {
            self.jammed = self.jammed.max(done);
        }
        done
    }
}

/// How long `len` bytes take at a rate.
pub(crate) fn duration(len: u32, rate: u64) -> Span {
    Span((u64::from(len) * 1_000_000).div_ceil(rate.max(1)))
}

/// The identity of the node of that number.
pub(crate) fn device(node: NodeId) -> DeviceId {
    DeviceId(*blake3::hash(&(node.0 as u64).to_le_bytes()).as_bytes())
}
