//! What goes into a tracker machine and what comes out.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

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
    /// Append entries to the durable log, synced.
    Append {
        /// Log index and encoded command of each, consecutive.
        entries: Vec<(u64, Box<[u8]>)>,
    },
    /// Replace all entries up to `index` by the encoded registry, synced, in one step.
    Snapshot {
        /// The index of the last command that the registry has applied.
        index: u64,
        /// The encoded registry.
        registry: Box<[u8]>,
    },
    /// Sign these with this tracker's key.
    Sign(Vec<Box<[u8]>>),
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
    /// The last snapshot, if there was one: index and encoded registry.
    pub snapshot: Option<(u64, Box<[u8]>)>,
    /// The log entries after it, consecutive.
    pub entries: Vec<(u64, Box<[u8]>)>,
}
