//! What goes into a peer machine and what comes out.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::id::{
    Blake3, ChainingValue, CommandId, DeviceId, DialId, FileId, JobId, Key, LinkId, Password, Salt, Slot,
};
use crate::name::{FileName, GroupName, Place, UserName};
use crate::peer::command::{Command, News, Reply};
use crate::piece::{Content, Extent, Hashes, PieceDigest, Size};
use crate::refusal::{DiskError, Refusal};
use crate::ticket::{Signature, UnixTime};
use crate::violation::Violation;
use crate::wire::peer::PeerMessage;
use crate::wire::tracker::{ClientMessage, TrackerMessage};

/// Something that happened to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "recording", derive(bincode::Encode, bincode::Decode))]
pub enum Input {
    /// The person asks for something; answered once by `Answer`.
    Command {
        /// The shell's number for it.
        id: CommandId,
        /// What is asked.
        command: Command,
    },
    /// The person no longer waits for a command (an interrupted `wait`). Its answer, if it was not given, never comes.
    Forget {
        /// The command.
        id: CommandId,
    },
    /// A connection stands, its handshake done.
    LinkUp {
        /// The connection.
        link: LinkId,
        /// The dial it answers; none if the other side dialled.
        dial: Option<DialId>,
        /// The device at the other end.
        device: DeviceId,
        /// The address at the other end.
        from: SocketAddr,
    },
    /// A dial did not lead to a connection.
    DialFailed {
        /// The dial.
        dial: DialId,
        /// Why.
        why: DialFailure,
    },
    /// A connection ended, from either side. Jobs that send on it still answer.
    LinkDown {
        /// The connection.
        link: LinkId,
    },
    /// Another peer said something.
    Message {
        /// The connection.
        link: LinkId,
        /// What it said.
        message: PeerMessage,
    },
    /// The tracker said something.
    Tracker {
        /// The connection.
        link: LinkId,
        /// What it said.
        message: TrackerMessage,
    },
    /// Messages left for the network: the credit they took comes back.
    Sent {
        /// The connection.
        link: LinkId,
        /// How many messages.
        messages: u32,
    },
    /// All bytes of an expected piece arrived.
    Block {
        /// The connection.
        link: LinkId,
        /// The piece.
        extent: Extent,
        /// The buffer it is in.
        slot: Slot,
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

/// Why a dial did not lead to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum DialFailure {
    /// Nobody is there, or does not shake hands.
    Unreachable,
    /// A tracker has another key than the one it must have.
    OtherKey {
        /// The one that it must have.
        expected: DeviceId,
        /// The one that it has.
        found: DeviceId,
    },
}

/// Something that the shell of a peer must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect. Answered once by `LinkUp` or `DialFailed`.
    Dial {
        /// The dial.
        dial: DialId,
        /// Where to.
        to: SocketAddr,
        /// To a tracker, or to a peer.
        role: Role,
    },
    /// Say the same to several peers. On each link it counts like a `Send`.
    Spread {
        /// The connections.
        links: Vec<LinkId>,
        /// The message.
        message: PeerMessage,
    },
    /// Say something to a peer. Never more than [`crate::limits::LINK_CREDIT`] unsent on one link.
    Send {
        /// The connection.
        link: LinkId,
        /// What to say.
        message: PeerMessage,
    },
    /// Say something to the tracker.
    SendTracker {
        /// The connection.
        link: LinkId,
        /// What to say.
        message: ClientMessage,
    },
    /// Bytes of this piece may arrive on the link: put them into the slot; when all are there, `Block`. Replaces an earlier expectation
    /// of the same extent on the link.
    Expect {
        /// The connection.
        link: LinkId,
        /// The piece, in this peer's number for the file.
        extent: Extent,
        /// The buffer.
        slot: Slot,
    },
    /// Bytes of this piece are no longer wanted; its slot is free for others at once. What arrives is read and dropped, and no `Block` follows.
    Discard {
        /// The connection.
        link: LinkId,
        /// The piece.
        extent: Extent,
    },
    /// The remote said that no more of this piece comes: what is left of an expectation or a discard ends.
    Unexpect {
        /// The connection.
        link: LinkId,
        /// The piece.
        extent: Extent,
    },
    /// End a connection, after what was sent before. A `LinkDown` follows.
    Close {
        /// The connection.
        link: LinkId,
        /// What the remote did wrong, if it did.
        violation: Option<Violation>,
    },
    /// Begin a job. Jobs of one file on disk run in the order given; others side by side.
    Start {
        /// The job.
        job: JobId,
        /// What to do.
        work: Work,
    },
    /// End a `Send` job early. It still answers.
    Stop {
        /// The job.
        job: JobId,
    },
    /// Answer the person.
    Answer {
        /// The command.
        id: CommandId,
        /// The answer, or why there is none.
        reply: Result<Box<Reply>, Box<Refusal>>,
    },
    /// Tell the person something they did not ask for just now.
    Tell(Box<News>),
    /// The person asked to end the program, and everybody was told: end it when the links are closed.
    Exit,
}

/// Who is at the other end of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A tracker.
    Tracker,
    /// Another peer.
    Peer,
}

/// A job of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Derive a key: Argon2id(password, salt).
    DeriveKey {
        /// The password, which the shell holds and may forget when it answers.
        password: Password,
        /// The salt.
        salt: Salt,
    },
    /// Read and hash a whole file that a person wants to share.
    Survey {
        /// The file.
        place: Place,
    },
    /// Write down what is shared and fetched, for the next start, synced.
    Remember(Box<Entry>),
    /// Strike an entry from what was written down, synced.
    Forget {
        /// Whose entry.
        user: UserName,
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
    },
    /// Read back what a user shared and fetched from this client.
    Recall {
        /// The user.
        user: UserName,
    },
    /// Open a shared file to serve it, after looking that it is what it was.
    OpenShare {
        /// The number that extents name it by.
        file: FileId,
        /// Where it is.
        place: Place,
        /// What it was like.
        stamp: Stamp,
    },
    /// Open the partial file and the journal of a download, or make them; check what an earlier run left.
    OpenPart {
        /// The number that extents name it by.
        file: FileId,
        /// Where the complete file will be.
        place: Place,
        /// What will be in it.
        size: Size,
        /// The content, so that a journal of another content is not mistaken for this one's.
        hashes: Blake3,
        /// Whether this user began the download before: only then may a partial file be there.
        resume: bool,
    },
    /// Look whether a signature of a statement is this signer's.
    Verify {
        /// Whose it should be.
        signer: DeviceId,
        /// What was signed.
        statement: Box<[u8]>,
        /// The signature.
        signature: Box<Signature>,
    },
    /// Hash the piece in a slot.
    Hash {
        /// The buffer.
        slot: Slot,
        /// Which piece it is.
        extent: Extent,
        /// The length of its file, on which the chaining value depends.
        size: Size,
    },
    /// Write a verified piece to the partial file, and its line to the journal.
    Write {
        /// The buffer.
        slot: Slot,
        /// Which piece it is.
        extent: Extent,
        /// What the journal notes.
        cv: ChainingValue,
    },
    /// Sync the partial file, then the journal, so that the journal vouches for what was written before.
    Sync {
        /// The file.
        file: FileId,
    },
    /// Sync a partial file, rename it into its place unless something is there, sync the folder, and remove the journal.
    Finish {
        /// The file.
        file: FileId,
    },
    /// Close a file. The partial file and journal of a download stay.
    CloseFile {
        /// The file.
        file: FileId,
    },
    /// Read a piece and send it on a link, as data of the file that the remote calls `theirs`.
    Send {
        /// The connection.
        link: LinkId,
        /// The piece.
        extent: Extent,
        /// The file's number at the remote.
        theirs: FileId,
    },
}

/// What came of a job. Each kind of work has its outcomes; any may be `Failed`.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Outcome {
    /// `DeriveKey`: the key.
    Key(Key),
    /// `Survey`: what is in the file.
    Surveyed(Box<Survey>),
    /// `Recall`: what was written down.
    Recalled(Vec<Recalled>),
    /// `OpenPart`: the pieces that are there and verified, with what the journal noted.
    PartOpen(Vec<(u32, ChainingValue)>),
    /// `Verify`: whether it is.
    Verified(bool),
    /// `Hash`: the digests.
    Hashed(PieceDigest),
    /// `Finish`: what the complete file is like.
    Finished(Stamp),
    /// `Send`: all bytes left for the network.
    Sent,
    /// `Send`: it was stopped, or the link ended; not all bytes left.
    Stopped,
    /// `Remember`, `Forget`, `OpenShare`, `Write`, `Sync`, `CloseFile`: done.
    Done,
    /// It could not be done.
    Failed(DiskError),
}

/// What hashing a whole file gives.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Survey {
    /// What is in it.
    pub content: Content,
    /// The hash of each piece.
    pub hashes: Hashes,
    /// What the file was like, before and after.
    pub stamp: Stamp,
}

/// What tells a changed file from an unchanged one without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Stamp {
    /// Device and inode number.
    pub inode: (u64, u64),
    /// Length in bytes.
    pub len: u64,
    /// Time of the last change of content: seconds, nanoseconds.
    pub modified: (i64, i64),
}

/// What a client writes down of one file, by user, group and name.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Entry {
    /// Whose.
    pub user: UserName,
    /// The group.
    pub group: GroupName,
    /// The file's name there.
    pub name: FileName,
    /// What is in it.
    pub content: Content,
    /// Where it is, or will be when complete.
    pub place: Place,
    /// Complete, or under way.
    pub state: EntryState,
}

/// A file that a client wrote down.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Recalled {
    /// What it wrote down.
    pub entry: Entry,
    /// Of a download: how many pieces its journal notes. Whether they are sound shows when it goes on.
    pub noted: u32,
}

/// How far a file is that a client wrote down.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum EntryState {
    /// Complete and shared.
    Shared {
        /// What the file was like.
        stamp: Stamp,
        /// The hash of each piece.
        hashes: Hashes,
    },
    /// A download that has not ended.
    Partial {
        /// The hash of each piece, once they are known: what is held can then be served to others after a restart.
        hashes: Option<Hashes>,
    },
}

/// What a peer machine is made from.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "recording", derive(bincode::Encode, bincode::Decode))]
pub struct Config {
    /// This device.
    pub device: DeviceId,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The trackers, in the order to try them.
    pub trackers: Vec<SocketAddr>,
    /// Keys of trackers that are known already: their tickets count. At most [`crate::limits::SIGNERS_MAX`].
    pub signers: Vec<DeviceId>,
    /// The rule by which uploaders are chosen.
    pub strategy: super::strategy::Strategy,
    /// Neighbours that a download seeks; more may come by themselves.
    pub neighbours: usize,
    /// The number of its first request; the shell makes it grow over restarts.
    pub first_seq: u64,
}
