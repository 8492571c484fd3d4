//! What goes into a tracker machine and what comes out.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::id::{DeviceId, JobId, LinkId};
use crate::ticket::{Signature, UnixTime};
use crate::violation::Violation;
use crate::wire::tracker::{ClientMessage, TrackerMessage};

/// Something that happened to a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "recording", derive(bincode::Encode, bincode::Decode))]
pub enum Input {
    /// A client connected.
    LinkUp {
        /// The connection.
        link: LinkId,
        /// Whose device is at the other end.
        device: DeviceId,
        /// The address it comes from.
        from: IpAddr,
    },
    /// A connection to another tracker stands, as [`Action::Reach`] wanted.
    Reached {
        /// The tracker's place in the list.
        tracker: u16,
        /// The connection.
        link: LinkId,
        /// Its key.
        device: DeviceId,
    },
    /// Another tracker was not reached.
    Unreached {
        /// The tracker's place in the list.
        tracker: u16,
    },
    /// The tracker at the other end of a connection that was reached answered a `Ping`.
    Echo {
        /// The connection.
        link: LinkId,
    },
    /// The person at the console wants something; answered by [`Action::Say`].
    Order(Order),
    /// A connection ended, from either side.
    LinkDown {
        /// The connection.
        link: LinkId,
    },
    /// A client said something.
    Message {
        /// The connection.
        link: LinkId,
        /// What it said.
        message: ClientMessage,
    },
    /// Messages left for the network: the credit they took comes back.
    Sent {
        /// The connection.
        link: LinkId,
        /// How many messages.
        messages: u32,
    },
    /// A job ended.
    Done {
        /// The job.
        job: JobId,
        /// What came of it.
        outcome: Outcome,
    },
    /// What the wall clock shows now: at the start, and whenever it may have gone another way than the time.
    Clock(UnixTime),
    /// The time of `next_wakeup` came.
    Wake,
}

/// What a person at a tracker's console may want of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "recording", derive(bincode::Encode, bincode::Decode))]
pub enum Order {
    /// Go on without the others.
    ForceSingle,
    /// Let a tracker take part, in the place of the one of its number, if there is one.
    Add {
        /// Its place in the list.
        number: u16,
        /// Its key; needed unless it is known already.
        device: Option<DeviceId>,
    },
    /// Let a tracker take part no more.
    Remove {
        /// Its place in the list.
        number: u16,
    },
}

/// Something that the shell of a tracker must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a message. Never more than [`crate::limits::LINK_CREDIT`] unsent on one link.
    Send {
        /// The connection.
        link: LinkId,
        /// What to say.
        message: TrackerMessage,
    },
    /// Connect to another tracker; answered once, by `Reached` or `Unreached`.
    Reach {
        /// Its place in the list.
        tracker: u16,
        /// Its address.
        address: SocketAddr,
        /// The key that it must have; if none is said, the one that the shell knows, or that it has at the first contact.
        expected: Option<DeviceId>,
    },
    /// Say something to another tracker, on a connection that was reached, on the same credit as `Send`.
    Speak {
        /// The connection.
        link: LinkId,
        /// What to say.
        message: ClientMessage,
    },
    /// Tell the person at the console.
    Say(Box<str>),
    /// End a connection, after what was sent before. A `LinkDown` follows.
    Close {
        /// The connection.
        link: LinkId,
        /// What the client did wrong, if it did.
        violation: Option<Violation>,
    },
    /// Begin a job.
    Start {
        /// The job.
        job: JobId,
        /// What to do.
        work: Work,
    },
}

/// A job of a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Write this to the store, synced, in one step.
    Persist(Batch),
    /// Sign these with this tracker's key.
    Sign(Vec<Box<[u8]>>),
}

/// What goes to the store in one step. To the store all of it is bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Replaces what was stored under this name before.
    pub standing: Box<[u8]>,
    /// A new snapshot, with the index of the last entry in it: entries up to there are dropped.
    pub snapshot: Option<(u64, Box<[u8]>)>,
    /// Whether all entries are dropped, and the old snapshot, whether or not there is a new one.
    pub clears: bool,
    /// Index and bytes of entries, consecutive. Those that are stored from the first of them on are dropped.
    pub entries: Vec<(u64, Box<[u8]>)>,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Outcome {
    /// It is on disk, synced.
    Durable,
    /// The disk is full; nothing of it was written.
    DiskFull,
    /// `Sign`: whose signatures, and one for each.
    Signed(DeviceId, Vec<Signature>),
}

/// What a tracker's store held when the tracker started.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Stored {
    /// What [`Batch::standing`] said last.
    pub standing: Option<Box<[u8]>>,
    /// The last snapshot, if there was one: the index of the last entry in it, and its bytes.
    pub snapshot: Option<(u64, Box<[u8]>)>,
    /// The log entries after it, consecutive.
    pub entries: Vec<(u64, Box<[u8]>)>,
}

impl Stored {
    /// Takes in a batch, as the store does.
    pub fn take(&mut self, batch: Batch) {
        self.standing = Some(batch.standing);
        if batch.clears {
            (self.snapshot, self.entries) = (None, Vec::new());
        }
        if let Some((index, bytes)) = batch.snapshot {
            self.entries.retain(|(entry, _)| *entry > index);
            self.snapshot = Some((index, bytes));
        }
        if let Some((first, _)) = batch.entries.first() {
            let first = *first;
            self.entries.retain(|(entry, _)| *entry < first);
        }
        self.entries.extend(batch.entries);
    }
}
