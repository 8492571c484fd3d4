//! What clients and trackers say to each other.

use alloc::boxed::Box;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use bincode::{Decode, Encode};

use super::cluster::ClusterMessage;
use super::list::List;
use crate::id::{Blake3, DeviceId, Key, Salt};
use crate::limits::{
    ANNOUNCES_PER_MESSAGE, INBOX_MAX, MEMBERS_MAX, NAMES_IN_REFUSAL_MAX, PEERS_PER_ANSWER, ROWS_PER_PAGE,
};
use crate::name::{FileName, GroupName, UserName};
use crate::piece::Content;
use crate::refusal::Refusal;
use crate::ticket::{Expulsions, Signed, Ticket};

/// A socket address on the wire: an IPv4 address travels mapped into IPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Encode for Address {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        let ip = match self.0.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        ip.octets().encode(encoder)?;
        self.0.port().encode(encoder)
    }
}

impl<C> Decode<C> for Address {
    fn decode<D: bincode::de::Decoder<Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let ip = Ipv6Addr::from(<[u8; 16]>::decode(decoder)?).to_canonical();
        Ok(Address(SocketAddr::new(ip, u16::decode(decoder)?)))
    }
}
bincode::impl_borrow_decode!(Address);

/// A message from a client to a tracker.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ClientMessage {
    /// The first message: where this peer listens. An unspecified address stands for the one it is seen to come from.
    Hello {
        /// Where other peers reach it.
        listen: Address,
    },
    /// A request, answered once by `Answer` with its number.
    Request {
        /// Grows with every request of a device, over restarts; a request sent again keeps its number.
        seq: u64,
        /// What is wanted.
        request: Box<Request>,
    },
    /// What this peer holds, fetches or gave up. Each is answered by `Swarm` if it asks for peers and not too much is on its way already.
    Announce(List<Announce, ANNOUNCES_PER_MESSAGE>),
    /// "Are you there?"
    Ping,
    /// "I go."
    Bye,
    /// From a tracker, not a client.
    Cluster(Box<ClusterMessage>),
}

/// What a client asks of a tracker.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// A new account.
    CreateUser {
        /// Its name.
        user: UserName,
        /// The salt with which the key was derived.
        salt: Salt,
        /// The key, which opens the account.
        key: Key,
    },
    /// The salt of an account; a lasting invention where there is none.
    GetSalt {
        /// The account.
        user: UserName,
    },
    /// Makes this link the session of the account.
    Login {
        /// The account.
        user: UserName,
        /// Derived from password and salt.
        key: Key,
    },
    /// Ends the session.
    Logout,
    /// A change of groups, members or files.
    Change(Change),
    /// A page of all groups, after the one named.
    Groups {
        /// Where the last page ended.
        after: Option<GroupName>,
    },
    /// A page of a group's members.
    Members {
        /// The group.
        group: GroupName,
        /// Where the last page ended.
        after: Option<UserName>,
    },
    /// A page of those who wait to join a group.
    JoinRequests {
        /// The group.
        group: GroupName,
        /// Where the last page ended.
        after: Option<UserName>,
    },
    /// A page of a group's files.
    Files {
        /// The group.
        group: GroupName,
        /// Where the last page ended.
        after: Option<FileName>,
    },
    /// One file, with who holds it.
    File {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
    },
    /// A ticket that shows the caller's membership to other peers.
    Ticket {
        /// The group.
        group: GroupName,
        /// The epoch of its latest list of removals that the caller knows; 0 if it knows none.
        known: u64,
    },
}

/// A change that the registry applies in order and keeps.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// A new group, owned by the caller.
    CreateGroup {
        /// Its name.
        group: GroupName,
    },
    /// The caller asks to become a member.
    JoinGroup {
        /// The group.
        group: GroupName,
    },
    /// A request is granted.
    Accept {
        /// The group.
        group: GroupName,
        /// Who asked.
        user: UserName,
    },
    /// A request is refused.
    Reject {
        /// The group.
        group: GroupName,
        /// Who asked.
        user: UserName,
    },
    /// The caller leaves.
    Leave {
        /// The group.
        group: GroupName,
    },
    /// A member becomes an admin.
    MakeAdmin {
        /// The group.
        group: GroupName,
        /// The member.
        user: UserName,
    },
    /// A member is removed.
    RemoveMember {
        /// The group.
        group: GroupName,
        /// The member.
        user: UserName,
    },
    /// A file is listed, or the caller joins those who share it.
    AddFile {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
        /// What is in it.
        content: Content,
    },
    /// A file is no longer listed.
    RemoveFile {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
    },
}

/// What one peer has of one file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Announce {
    /// The group.
    pub group: GroupName,
    /// The file.
    pub name: FileName,
    /// The root of its piece hashes: another file of the same name is not meant.
    pub hashes: Blake3,
    /// Whether the peer takes part, and how far it is.
    pub state: Standing,
    /// Whether the answer should name peers.
    pub want_peers: bool,
}

/// A peer's part in a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Standing {
    /// It takes part.
    Active {
        /// Pieces it holds.
        held: u32,
        /// Pieces that it or a neighbour holds; when all, the file can be completed.
        reachable: u32,
    },
    /// It does not, any more.
    Gone,
}

/// A message from a tracker to a client.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum TrackerMessage {
    /// The answer to a request.
    Answer {
        /// The request's number.
        seq: u64,
        /// What came of it.
        answer: Result<Box<Answer>, Box<Refusal>>,
    },
    /// Who else takes part in a file.
    Swarm {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
        /// Those online, a random choice if there are many.
        peers: List<PeerInfo, PEERS_PER_ANSWER>,
        /// How many others hold all of it.
        seeders: u32,
        /// How many others hold some or none of it and fetch the rest.
        leechers: u32,
    },
    /// A file that this peer announced is not listed, or its user is no member.
    NotListed {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
    },
    /// Something that the person wants to know.
    Notice(Notice),
    /// Somebody is no longer a member: no more bytes of the group to any of that user's devices.
    Expelled {
        /// The group.
        group: GroupName,
        /// Who left or was removed.
        user: UserName,
    },
    /// Answer to `Ping`.
    Pong,
    /// Who ceased to be a member of a group, to be handed on to those who cannot hear it.
    Expulsions(Box<Signed<Expulsions>>),
    /// The keys of all trackers: what any of them signs counts.
    Signers(List<DeviceId, MEMBERS_MAX>),
    /// This tracker does not reach enough others: what it answers from now on may be out of date, until it says that it is not.
    CutOff(bool),
}

/// One peer of a swarm.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PeerInfo {
    /// Its device.
    pub device: DeviceId,
    /// Its user: a member of the group.
    pub user: UserName,
    /// Where it listens.
    pub address: Address,
    /// Pieces it holds.
    pub held: u32,
}

/// The answer to a request that was not refused.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// Done, as asked.
    Done,
    /// A salt.
    Salt(Salt),
    /// The session stands.
    LoggedIn {
        /// What happened while the user was away.
        inbox: List<Notice, INBOX_MAX>,
    },
    /// A page of groups.
    Groups(Page<GroupRow>),
    /// A page of members.
    Members(Page<MemberRow>),
    /// A page of users who wait to join.
    JoinRequests(Page<UserName>),
    /// A page of files.
    Files(Page<FileRow>),
    /// One file.
    File {
        /// As it is listed.
        row: Box<FileRow>,
        /// Some of the users who shared it.
        sharers: List<UserName, NAMES_IN_REFUSAL_MAX>,
        /// Some of the peers online that take part.
        peers: List<PeerInfo, PEERS_PER_ANSWER>,
    },
    /// A ticket, and who ceased to be a member of its group.
    Ticket {
        /// The ticket.
        ticket: Box<Ticket>,
        /// The latest there is.
        expulsions: Box<Signed<Expulsions>>,
    },
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Page<T> {
    /// The rows, in order of name.
    pub rows: List<T, ROWS_PER_PAGE>,
    /// Whether more rows follow.
    pub more: bool,
}

/// What a user is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Role {
    /// Made it or inherited it; exactly one a group.
    Owner,
    /// May accept, reject and remove.
    Admin,
    /// May list, fetch and share files.
    Member,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::Member => "member",
        })
    }
}

/// A group in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GroupRow {
    /// Its name.
    pub group: GroupName,
    /// How many members it has.
    pub members: u32,
    /// What the caller is in it.
    pub standing: GroupStanding,
}

/// The caller's relation to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum GroupStanding {
    /// A member, in this role.
    In(Role),
    /// Waits to be accepted.
    Pending,
    /// Neither.
    Outside,
}

/// A member in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MemberRow {
    /// Who.
    pub user: UserName,
    /// As what.
    pub role: Role,
    /// Whether a client of theirs is logged in at present.
    pub online: bool,
}

/// A file in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FileRow {
    /// Its name.
    pub name: FileName,
    /// What is in it.
    pub content: Content,
    /// How many peers online hold all of it.
    pub seeders: u32,
    /// How many peers online hold some or none of it and fetch the rest.
    pub leechers: u32,
    /// Whether those online hold all of it together.
    pub available: bool,
}

/// News for a person, told live or at the next login.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Notice {
    /// To owner and admins: somebody asks to join.
    JoinRequested {
        /// The group.
        group: GroupName,
        /// Who asks.
        user: UserName,
    },
    /// Your request was granted.
    Accepted {
        /// The group.
        group: GroupName,
    },
    /// Your request was refused.
    Rejected {
        /// The group.
        group: GroupName,
    },
    /// You were removed from the group.
    Removed {
        /// The group.
        group: GroupName,
    },
    /// You are an admin now.
    MadeAdmin {
        /// The group.
        group: GroupName,
    },
    /// The owner left, and the group is yours.
    MadeOwner {
        /// The group.
        group: GroupName,
    },
}
