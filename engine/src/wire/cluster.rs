//! What trackers say to each other.
//!
//! A tracker dials each other tracker of its list and speaks on that link alone; on the links that it accepted it listens. Everything here is
//! bounded, and of our own making: what `raft` would encode never meets its decoder.

use alloc::boxed::Box;

use bincode::{Decode, Encode};

use super::list::List;
use super::tracker::Address;
use crate::id::DeviceId;
use crate::limits::{
    ENTRIES_PER_MESSAGE, ENTRY_LEN_MAX, NOTES_PER_MESSAGE, RAFT_CONTEXT_LEN_MAX, SNAPSHOT_PART_LEN_MAX,
};
use crate::name::{FileName, GroupName, UserName};

/// A copy of the registry: one store of one tracker. A tracker that lost its store, or stepped back, is another replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ReplicaId(pub u64);

/// The bytes of one entry of the log.
pub type EntryBytes = List<u8, ENTRY_LEN_MAX>;

/// A message between two trackers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ClusterMessage {
    /// The first message on a link, and again every second: who speaks, and what it belongs to.
    Hello(Hello),
    /// A step of the agreement.
    Raft(Box<RaftMessage>),
    /// A part of the registry, for a replica that is too far behind for the log. Parts come in order, from the first byte to the last.
    SnapshotPart(Box<SnapshotPart>),
    /// An encoded command for the leader to put into the log.
    Propose(EntryBytes),
    /// A change of the members for the leader to put into the log.
    Reform(Reform),
    /// Who is connected to the speaker, and takes part in what: what changed since it was told last.
    Notes(List<Note, NOTES_PER_MESSAGE>),
}

/// What a tracker says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Its place in the list, from 1.
    pub number: u16,
    /// The generation that its replica belongs to; zero if to none.
    pub generation: u64,
    /// Its replica.
    pub replica: ReplicaId,
    /// Whether its store is blank: it belongs to no cluster, and can become part of one.
    pub blank: bool,
    /// Whether the replica of the listener is a member of the cluster it belongs to.
    pub you_are_member: bool,
}

/// A member of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    /// Its tracker's place in the list, from 1.
    pub number: u16,
    /// Its tracker's key.
    pub device: DeviceId,
    /// Log index at which it became a member.
    pub since: u64,
}

/// A change of the members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Reform {
    /// Who leaves.
    pub remove: Option<ReplicaId>,
    /// Who comes.
    pub add: Option<(ReplicaId, Member)>,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LogEntry {
    /// The term in which it was made.
    pub term: u64,
    /// Its place.
    pub index: u64,
    /// What it says.
    pub content: Content,
}

/// What an entry of the log says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// Nothing: it begins a term.
    Blank,
    /// An encoded command.
    Command(EntryBytes),
    /// The members change.
    Reform(Reform),
}

/// What a message of the agreement is; the words are those of the Raft paper. There is no proposal among them: those come as commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[expect(missing_docs, reason = "the words of the Raft paper")]
pub enum RaftKind {
    Append,
    AppendResponse,
    RequestVote,
    RequestVoteResponse,
    Snapshot,
    Heartbeat,
    HeartbeatResponse,
    TimeoutNow,
    ReadIndex,
    ReadIndexResponse,
    RequestPreVote,
    RequestPreVoteResponse,
}

/// A message of the agreement; which fields mean something depends on its kind.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[expect(missing_docs, reason = "the words of the Raft paper")]
pub struct RaftMessage {
    pub generation: u64,
    pub kind: RaftKind,
    pub from: ReplicaId,
    pub to: ReplicaId,
    pub term: u64,
    pub log_term: u64,
    pub index: u64,
    pub entries: List<LogEntry, ENTRIES_PER_MESSAGE>,
    pub commit: u64,
    pub commit_term: u64,
    pub reject: bool,
    pub reject_hint: u64,
    pub context: List<u8, RAFT_CONTEXT_LEN_MAX>,
}

/// A part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotPart {
    /// The message that is complete with the last part.
    pub head: RaftMessage,
    /// Bytes of the whole.
    pub len: u64,
    /// Where this part begins.
    pub offset: u64,
    /// Its bytes.
    pub bytes: List<u8, SNAPSHOT_PART_LEN_MAX>,
}

/// Something about a client of the speaker; the latest word counts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Note {
    /// It is logged in.
    Here {
        /// The speaker's link to it.
        client: u64,
        /// Its device.
        device: DeviceId,
        /// Its user.
        user: UserName,
        /// Where it listens.
        listen: Address,
    },
    /// It is not, any more, and takes part in nothing.
    Gone {
        /// The speaker's link to it.
        client: u64,
    },
    /// What it has of a file.
    Part {
        /// The speaker's link to it.
        client: u64,
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
        /// How much; none if it does not take part, any more.
        part: Option<Part>,
    },
}

/// What a peer has of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Part {
    /// Pieces that it holds.
    pub held: u32,
    /// Whether that is all of them.
    pub seeds: bool,
    /// Whether it and its neighbours hold all of them.
    pub reaches: bool,
}
