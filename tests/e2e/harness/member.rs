//! A client driven by hand: it logs in like any other, and is as honest as the test wants it to be.

use std::net::{SocketAddr, TcpListener};

use engine::id::{FileId, Key, Salt};
use engine::name::{FileName, GroupName, UserName};
use engine::peer::io::Role;
use engine::refusal::Refusal;
use engine::ticket::Ticket;
use engine::wire::codec;
use engine::wire::few::Few;
use engine::wire::list::{List, SharedList};
use engine::wire::peer::{Open, PeerMessage};
use engine::wire::tracker::{
    Address, Announce, Answer, Change, ClientMessage, Request, Standing, TrackerMessage,
};
use node::identity::Identity;

use super::client::Client;
use super::content::Content;
use super::wire::{Frame, Link};
use super::world::World;

/// The number by which a hand-driven peer names its one file.
pub(crate) const FILE: FileId = FileId(1);

/// Somebody with an account, a session at the tracker, and a port on which other peers reach them.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) user: UserName,
    pub(crate) identity: Identity,
    pub(crate) tracker: Link,
    /// What shows that they are a member of the last group that let them in.
    pub(crate) ticket: Option<Ticket>,
    listener: TcpListener,
    seq: u64,
}

impl Member {
    /// Makes an account and logs in.
    pub(crate) fn log_in(world: &World, name: &str) -> Member {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap();
        Member::log_in_from(world.tracker.address, name, listener, listen)
    }

    /// The same at `tracker`, for somebody who is reached at `listen`, and so at `listener`.
    pub(crate) fn log_in_from(
        tracker: SocketAddr,
        name: &str,
        listener: TcpListener,
        listen: SocketAddr,
    ) -> Member {
        let seed = *blake3::hash(name.as_bytes()).as_bytes();
        let identity = Identity::from_seed(seed);
        let tracker = Link::connect(tracker, Role::Tracker, &identity);
        let user = UserName::new(name).unwrap();
        let mut member = Member { user: user.clone(), identity, tracker, ticket: None, listener, seq: 0 };
        member.tracker.send(&ClientMessage::Hello { listen: Address(listen) }).unwrap();
        let key = Key(seed);
        let salt = Salt([7; 16]);
        member.request(Request::CreateUser { user: user.clone(), salt, key: key.clone() }).unwrap();
        member.request(Request::Login { user, key }).unwrap();
        member
    }

    /// Sends a request without waiting for the answer; gives its number.
    pub(crate) fn send_request(&mut self, request: Request) -> u64 {
        self.seq += 1;
        let message = ClientMessage::Request { seq: self.seq, request: Box::new(request) };
        self.tracker.send(&message).unwrap();
        self.seq
    }

    /// The next message of the tracker.
    pub(crate) fn told(&mut self) -> TrackerMessage {
        match self.tracker.receive() {
            Some(Frame::Message(body)) => codec::decode(&body).unwrap(),
            other => panic!("a tracker sends messages, not {other:?}"),
        }
    }

    pub(crate) fn request(&mut self, request: Request) -> Result<Answer, Refusal> {
        let asked = self.send_request(request);
        loop {
            if let TrackerMessage::Answer { seq, answer } = self.told()
                && seq == asked
            {
                return answer.map(|it| *it).map_err(|it| *it);
            }
        }
    }

    /// Becomes a member of `owner`'s group.
    pub(crate) fn join(&mut self, group: &str, owner: &mut Client) {
        self.request(Request::Change(Change::JoinGroup { group: group_name(group) })).unwrap();
        owner.ok(&format!("accept_request {group} {}", self.user));
        let Ok(Answer::Ticket { ticket, .. }) =
            self.request(Request::Ticket { group: group_name(group), known: 0 })
        else {
            panic!("a member gets a ticket")
        };
        self.ticket = Some(*ticket);
    }

    /// Lists a file, and says that it holds `held` pieces of it.
    pub(crate) fn share(&mut self, file: &Shared, held: u32) {
        self.share_as(file, file.content.listed(), held);
    }

    /// Lists this of a file, whatever is in it.
    pub(crate) fn share_as(&mut self, file: &Shared, listed: engine::piece::Content, held: u32) {
        let Shared { group, name, .. } = file;
        let add = Change::AddFile { group: group.clone(), name: name.clone(), content: listed };
        self.request(Request::Change(add)).unwrap();
        let announce = Announce {
            group: group.clone(),
            name: name.clone(),
            hashes: listed.hashes,
            state: Standing::Active { held, reachable: held },
            want_peers: true,
        };
        self.tracker.send(&ClientMessage::Announce(List::new(vec![announce]))).unwrap();
        // The answer says that the tracker knows.
        while !matches!(self.told(), TrackerMessage::Swarm { .. }) {}
    }

    /// Takes the next connection that another peer opens.
    pub(crate) fn accept(&self) -> Link {
        Link::accept(&self.listener, &self.identity).with(self.ticket.clone())
    }

    /// Opens a connection to another peer.
    pub(crate) fn dial(&self, to: SocketAddr) -> Link {
        Link::connect(to, Role::Peer, &self.identity).with(self.ticket.clone())
    }
}

pub(crate) fn group_name(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

/// A file in a group.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) group: GroupName,
    pub(crate) name: FileName,
    pub(crate) content: Content,
}

impl Shared {
    pub(crate) fn new(group: &str, name: &str, content: Content) -> Shared {
        Shared { group: group_name(group), name: FileName::new(name).unwrap(), content }
    }

    /// The opening of this file by somebody who holds `count` pieces.
    pub(crate) fn open(&self, count: u32) -> PeerMessage {
        self.open_as(FILE, count)
    }

    /// The same, under another number.
    pub(crate) fn open_as(&self, file: FileId, count: u32) -> PeerMessage {
        PeerMessage::Open(Box::new(Open {
            file,
            group: self.group.clone(),
            name: self.name.clone(),
            hashes: self.content.hashes.root(),
            count,
        }))
    }
}

/// What a peer answers to the opening of a file.
pub(crate) fn answer(stranger: &Member, to: SocketAddr, file: &Shared) -> Option<PeerMessage> {
    let mut link = stranger.dial(to);
    link.send(&file.open(0)).unwrap();
    link.peer_message()
}

/// Shows a ticket, opens `file` as somebody who holds nothing of it, and waits until the other side has opened it, too.
pub(crate) fn open_as_member(link: &mut Link, file: &Shared) -> Open {
    link.introduce();
    link.send(&file.open(0)).unwrap();
    match link.peer_message() {
        Some(PeerMessage::Open(open)) => *open,
        other => panic!("a member is served, not told {other:?}"),
    }
}

/// What a peer that fetches has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It opened the file.
    Opened,
    /// It wants the hashes of the pieces.
    Hashes,
    /// It wants a slot.
    Asked,
    /// It wants this piece; data is for the number that it has for the file.
    Requested(FileId, u32),
}

/// What a test does at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// What an honest peer would.
    Honest,
    /// Something else, and it has done so already.
    Done,
    /// Nothing more on this link.
    Stop,
}

/// Serves `file` to the peer at the other end of `link`, of which we say that we hold the pieces in `held`. At each stage `act` decides.
/// Ends, with the link, when `act` says so; or without it when the other side has ended the link.
pub(crate) fn serve(
    mut link: Link,
    file: &Shared,
    held: &[u32],
    mut act: impl FnMut(&mut Link, Stage) -> Deed,
) -> Option<Link> {
    let mut theirs = FileId(0);
    while let Some(message) = link.peer_message() {
        let stage = match &message {
            PeerMessage::Open(open) => {
                assert_eq!(open.name, file.name);
                theirs = open.file;
                Stage::Opened
            }
            PeerMessage::GetHashes { .. } => Stage::Hashes,
            PeerMessage::Ask { .. } => Stage::Asked,
            PeerMessage::Request { piece, .. } => Stage::Requested(theirs, *piece),
            PeerMessage::Cancel { piece, .. } => {
                if link.send(&PeerMessage::Cancelled { file: FILE, piece: *piece }).is_err() {
                    return None;
                }
                continue;
            }
            _ => continue,
        };
        match act(&mut link, stage) {
            Deed::Honest => {
                // If the link has ended, the next read says so.
                let _ended = reply(&mut link, file, held, &message, theirs);
            }
            Deed::Done => {}
            Deed::Stop => return Some(link),
        }
    }
    None
}

/// What an honest peer says to `message`.
fn reply(
    link: &mut Link,
    file: &Shared,
    held: &[u32],
    message: &PeerMessage,
    theirs: FileId,
) -> std::io::Result<()> {
    match message {
        PeerMessage::Open(_) => {
            let count = u32::try_from(held.len()).unwrap();
            link.send(&file.open(count))?;
            if count == file.content.pieces() {
                return Ok(());
            }
            link.send(&PeerMessage::Have { file: FILE, pieces: Few::new(held) })
        }
        PeerMessage::GetHashes { from, .. } => {
            let list = SharedList::new(file.content.hashes.list()[*from as usize..].into());
            link.send(&PeerMessage::Hashes { file: FILE, from: *from, list })
        }
        PeerMessage::Ask { .. } => link.send(&PeerMessage::Grant { file: FILE, queue: 0, hint: None }),
        PeerMessage::Request { piece, .. } => link.send_piece(theirs, *piece, file.content.piece(*piece)),
        other => unreachable!("not a stage: {other:?}"),
    }
}
