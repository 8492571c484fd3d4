//! What a person may ask of a client, and what they are told.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::explain::Explanation;
use crate::id::{DeviceId, Password, Sha1};
use crate::name::{FileName, GroupName, Place, UserName};
use crate::piece::Content;
use crate::refusal::{DiskError, Refusal};
use crate::time::Span;
use crate::wire::tracker::{FileRow, GroupRow, MemberRow, Notice, PeerInfo};

/// Something that a person asks for.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Command {
    /// Make an account.
    CreateUser {
        /// Its name.
        user: UserName,
        /// Its password.
        password: Password,
    },
    /// Begin a session.
    Login {
        /// The account.
        user: UserName,
        /// Its password.
        password: Password,
    },
    /// End the session, perhaps only when others hold what is shared here.
    Logout {
        /// What to wait for.
        when: Leaving,
    },
    /// End the program, perhaps only when others hold what is shared here.
    Quit {
        /// What to wait for.
        when: Leaving,
    },
    /// Make a group.
    CreateGroup {
        /// Its name.
        group: GroupName,
    },
    /// Ask to join a group.
    JoinGroup {
        /// The group.
        group: GroupName,
    },
    /// List who waits to join.
    ListRequests {
        /// The group.
        group: GroupName,
    },
    /// Let somebody in.
    AcceptRequest {
        /// The group.
        group: GroupName,
        /// Who asked.
        user: UserName,
    },
    /// Keep somebody out.
    RejectRequest {
        /// The group.
        group: GroupName,
        /// Who asked.
        user: UserName,
    },
    /// Leave a group.
    LeaveGroup {
        /// The group.
        group: GroupName,
    },
    /// List members.
    ListMembers {
        /// The group.
        group: GroupName,
    },
    /// Make a member an admin.
    MakeAdmin {
        /// The group.
        group: GroupName,
        /// The member.
        user: UserName,
    },
    /// Remove a member.
    RemoveMember {
        /// The group.
        group: GroupName,
        /// The member.
        user: UserName,
    },
    /// List all groups.
    ListGroups,
    /// List a group's files.
    ListFiles {
        /// The group.
        group: GroupName,
    },
    /// Share a file.
    UploadFile {
        /// The group.
        group: GroupName,
        /// The name under which it is listed.
        name: FileName,
        /// Where it is.
        place: Place,
    },
    /// Fetch a file, in the background.
    DownloadFile {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
        /// Where it will be; none to go on with an earlier download where it was, or else where `default` says.
        place: Place,
        /// Whether the person named the place; if not, an earlier download of the file goes on at its own.
        named: bool,
    },
    /// List downloads of this session.
    ShowDownloads,
    /// Say why a download is as fast as it is.
    Explain {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
    },
    /// Stop a download, keeping what is verified.
    StopDownload {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
    },
    /// Stop sharing a file from this client.
    StopShare {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
    },
    /// Unlist a file.
    RemoveFile {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
    },
    /// Everything about one file.
    FileInfo {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
    },
    /// List what this client shares.
    ShowShares,
    /// Who is logged in here.
    WhoAmI,
    /// Wait until a download, or every download, has ended.
    Wait {
        /// Which; all if none.
        file: Option<(GroupName, FileName)>,
    },
}

/// When to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Leaving {
    /// At once.
    Now,
    /// When nobody online still fetches a file shared here, if none; else when so many full copies of each are online elsewhere.
    WhenReplicated(Option<u32>),
}

/// The answer to a command that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done, as asked.
    Done,
    /// A session began.
    LoggedIn {
        /// Files that are shared again.
        shares: usize,
        /// Downloads that an earlier session did not end.
        partial: usize,
    },
    /// Groups, by name.
    Groups(Vec<GroupRow>),
    /// Members, by name.
    Members(Vec<MemberRow>),
    /// Users who wait to join, by name.
    JoinRequests(Vec<UserName>),
    /// Files, by name.
    Files(Vec<FileRow>),
    /// A file is shared.
    Shared {
        /// What is in it.
        content: Content,
    },
    /// A download began, or went on.
    Downloading {
        /// What is in it.
        content: Content,
        /// Pieces that were here already.
        held: u32,
    },
    /// Downloads, in the order they began.
    Downloads(Vec<DownloadRow>),
    /// Why a download is as fast as it is.
    Explanation(Explanation),
    /// One file.
    FileInfo(FileInfo),
    /// Shares, by group and name.
    Shares(Vec<ShareRow>),
    /// Who is logged in here.
    WhoAmI {
        /// The account.
        user: UserName,
        /// This device.
        device: DeviceId,
        /// Where it listens.
        listen: SocketAddr,
        /// The tracker it is connected to, if any.
        tracker: Option<SocketAddr>,
    },
}

/// A download in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadRow {
    /// The group.
    pub group: GroupName,
    /// The file.
    pub name: FileName,
    /// Where it will be, or is.
    pub place: Place,
    /// How it stands.
    pub state: DownloadState,
    /// What is in it.
    pub content: Content,
    /// Verified pieces.
    pub held: u32,
    /// Verified bytes.
    pub bytes: u64,
    /// Bytes a second, smoothed over the last seconds.
    pub rate: u64,
    /// Peers that take part in the file and are connected.
    pub peers: u32,
    /// How many of the missing pieces nobody connected holds.
    pub unreachable: u32,
    /// How long it will take at this rate.
    pub left: Option<Span>,
}

/// How a download stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownloadState {
    /// Under way.
    Running,
    /// Complete, verified, in its place.
    Complete,
    /// Stopped by the person, or by the end of an earlier session.
    Stopped,
    /// Waits for room on the disk.
    Paused,
    /// Ended without success.
    Failed(Failure),
}

/// Why a download failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Something with the disk.
    Disk(DiskError),
    /// The pieces fit their hashes, but together they are not the file that the catalogue lists.
    ChecksumDiffers,
    /// The file was unlisted.
    Unlisted,
    /// The user is no member any more.
    NotMember,
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Failure::Disk(error) => error.fmt(f),
            Failure::ChecksumDiffers => f.write_str(
                "its pieces do not make up the file that was listed: ask who shared it to upload it again",
            ),
            Failure::Unlisted => f.write_str("it is no longer listed in the group"),
            Failure::NotMember => f.write_str("you are no longer a member of the group"),
        }
    }
}

/// A share in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareRow {
    /// The group.
    pub group: GroupName,
    /// The file.
    pub name: FileName,
    /// Where it is.
    pub place: Place,
    /// What is in it.
    pub content: Content,
    /// Bytes sent to others since it was shared in this session.
    pub sent: u64,
    /// Peers connected that fetch it.
    pub leechers: u32,
}

/// Everything about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// As it is listed.
    pub row: FileRow,
    /// Some of the users who shared it.
    pub sharers: Vec<UserName>,
    /// The peers online that take part, this one not among them.
    pub peers: Vec<PeerInfo>,
    /// Pieces that this client holds, if it takes part.
    pub held: Option<u32>,
    /// The hash of each piece, if this client knows them.
    pub hashes: Option<Vec<Sha1>>,
}

/// Something that a person is told without asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The tracker says so.
    Notice(Notice),
    /// A download is complete, verified, synced and in its place.
    DownloadComplete {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
        /// Where it is.
        place: Place,
        /// What it took.
        took: Span,
        /// Who gave how many pieces, most first.
        from: Vec<Giver>,
    },
    /// A download failed.
    DownloadFailed {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
        /// Why.
        why: Failure,
    },
    /// A download waits for room on the disk.
    DownloadPaused {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
    },
    /// A download was begun anew at another place: what an earlier one fetched stays where it is, and is not used.
    PartLeft {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
        /// Where the earlier one would have put it.
        place: Place,
    },
    /// A share was withdrawn: the file is not what it was.
    ShareLost {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
        /// What is wrong with it.
        why: DiskError,
    },
    /// The tracker went away; another is sought.
    TrackerLost,
    /// No tracker of the list answers yet; this client goes on trying.
    NoTracker,
    /// A tracker was found again.
    TrackerFound(SocketAddr),
    /// Whether the tracker reaches too few others, so that what it shows may be out of date.
    TrackerCutOff(bool),
    /// A tracker whose key was not known until now, and is trusted from now on.
    FirstContact {
        /// Where it is.
        tracker: SocketAddr,
        /// Its key.
        key: DeviceId,
    },
    /// A tracker is not talked to: it has another key than it must have.
    TrackerDistrusted(Refusal),
    /// The session could not be restored: log in again.
    SessionLost(String),
    /// Before leaving: copies that are still missing.
    Replicating {
        /// Files that are not yet where they must be.
        files: usize,
        /// Peers that still fetch one.
        leechers: u32,
    },
}

/// Who gave how much of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Giver {
    /// The device.
    pub device: DeviceId,
    /// Its user, if known.
    pub user: Option<UserName>,
    /// Pieces that it sent and that were good.
    pub pieces: u32,
}
