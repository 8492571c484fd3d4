//! Why a person does not get what they asked for, and what they can do about it.

use core::fmt;

use alloc::string::String;

use bincode::{Decode, Encode};

use crate::id::DeviceId;
use crate::limits::NAMES_IN_REFUSAL_MAX;
use crate::name::{FileName, GroupName, UserName};
use crate::wire::list::List;
use crate::wire::tracker::Address;

/// A request that is refused. The text names the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Refusal {
    /// The command needs a session.
    LogInFirst,
    /// This client has a session.
    AlreadyLoggedIn(UserName),
    /// The account exists.
    UserExists(UserName),
    /// To a device that never logged in: which of the two it is, is not said.
    LoginFailed,
    /// There is no such account.
    NoSuchUser(UserName),
    /// The account exists; the password does not fit.
    WrongPassword(UserName),
    /// Too many failed logins.
    TooManyTries {
        /// Seconds until the next try is looked at.
        wait_secs: u64,
    },
    /// The group exists.
    GroupExists(GroupName),
    /// There is no such group.
    NoSuchGroup(GroupName),
    /// Only members may.
    NotMember(GroupName),
    /// The caller is a member.
    AlreadyMember(GroupName),
    /// The caller has asked before and waits.
    AlreadyPending(GroupName),
    /// Nobody of that name waits to join.
    NoSuchRequest(GroupName, UserName),
    /// Only owner and admins may.
    NotAdmin(GroupName),
    /// Only the owner may.
    NotOwner(GroupName),
    /// Nobody of that name is a member.
    NoSuchMember(GroupName, UserName),
    /// The member is admin or owner.
    AlreadyAdmin(GroupName, UserName),
    /// The owner cannot be removed, nor an admin by an admin.
    OutranksYou(GroupName, UserName),
    /// One does not remove oneself.
    LeaveInstead(GroupName),
    /// The group lists no such file.
    NoSuchFile(GroupName, FileName),
    /// The group lists another content under that name.
    FileDiffers {
        /// The group.
        group: GroupName,
        /// The file.
        name: FileName,
        /// Some who share it.
        sharers: List<UserName, NAMES_IN_REFUSAL_MAX>,
    },
    /// Only who shared a file, an admin or the owner may unlist it.
    NotSharer(GroupName, FileName),
    /// This client is fetching it.
    AlreadyDownloading(GroupName, FileName),
    /// This client shares it.
    AlreadyShared(GroupName, FileName),
    /// No download of that name is running here.
    NotDownloading(GroupName, FileName),
    /// This client does not share it.
    NotShared(GroupName, FileName),
    /// A download that was waited for was stopped or failed.
    DownloadEnded(GroupName, FileName, String),
    /// Something went wrong with a file on this machine.
    Disk(DiskError),
    /// No tracker answers.
    NoTracker,
    /// The tracker has another key than it must have.
    OtherKey {
        /// Where it is.
        tracker: Address,
        /// The key that it must have.
        expected: DeviceId,
        /// The key that it has.
        found: DeviceId,
    },
    /// The tracker cannot write to its disk.
    TrackerReadOnly,
    /// A table is full.
    Full(Table),
    /// The session ended while the command was under way.
    SessionEnded,
    /// Too few trackers are up to agree on a change.
    NoMajority,
    /// So many later changes of this client were answered that this one's answer is not kept any more, if it was made.
    Forgotten {
        /// The number of the latest.
        latest: u64,
    },
}

/// What may be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Table {
    /// Accounts of the network.
    Users,
    /// Groups of the network.
    Groups,
    /// Members of a group.
    Members,
    /// Requests to join a group.
    JoinRequests,
    /// Files of a group.
    Files,
    /// Files that one client shares and fetches.
    Shares,
    /// Commands under way at this client.
    Commands,
    /// Changes under way at the tracker.
    Changes,
}

/// What is wrong with a file or its disk.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DiskError {
    /// Nothing is there.
    Missing,
    /// It is a folder, a device, or something else that is no regular file.
    NotAFile,
    /// It may not be read or written.
    Denied,
    /// Something is there already.
    Exists,
    /// The folder for it is not there.
    NoFolder,
    /// The disk is full.
    DiskFull,
    /// The file is not what it was when it was shared.
    Changed,
    /// It is longer than a file here may be.
    TooLong,
    /// Its name cannot be listed.
    BadName(String),
    /// Anything else, in the words of the system.
    Other(String),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskError::Missing => f.write_str("no such file: check the path"),
            DiskError::NotAFile => f.write_str(
                "not a regular file: name the file that a link leads to, or pack a folder into one",
            ),
            DiskError::Denied => {
                f.write_str("permission denied: check the rights of the file and its folder")
            }
            DiskError::Exists => {
                f.write_str("something is there already: choose another destination, or move it away")
            }
            DiskError::NoFolder => f.write_str("the destination folder does not exist: create it first"),
            DiskError::DiskFull => f.write_str("the disk is full: make room, then ask again"),
            DiskError::Changed => {
                f.write_str("the file was changed since it was shared: upload it again, under a new name")
            }
            DiskError::TooLong => f.write_str("longer than 1 TiB: split it"),
            DiskError::BadName(why) => write!(f, "{why}: rename the file"),
            DiskError::Other(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Refusal as R;
        match self {
            R::LogInFirst => f.write_str("log in first: login <user_id> <passwd>"),
            R::AlreadyLoggedIn(user) => write!(f, "already logged in as {user}: logout first"),
            R::UserExists(user) => write!(f, "the name {user} is taken: choose another, or login"),
            R::LoginFailed => f.write_str("unknown user or wrong password: check both, or create_user"),
            R::NoSuchUser(user) => write!(f, "there is no user {user}: check the name, or create_user"),
            R::WrongPassword(user) => write!(f, "wrong password for {user}: try again"),
            R::TooManyTries { wait_secs } => write!(f, "too many failed logins: try again in {wait_secs} s"),
            R::GroupExists(group) => {
                write!(f, "group {group} exists: choose another name, or join_group {group}")
            }
            R::NoSuchGroup(group) => {
                write!(f, "there is no group {group}: see list_groups, or create_group {group}")
            }
            R::NotMember(group) => write!(f, "you are not a member of {group}: join_group {group}"),
            R::AlreadyMember(group) => write!(f, "you are a member of {group} already"),
            R::AlreadyPending(group) => {
                write!(f, "you asked to join {group} already: its owner or an admin must answer")
            }
            R::NoSuchRequest(group, user) => {
                write!(f, "{user} has not asked to join {group}: see list_requests {group}")
            }
            R::NotAdmin(group) => {
                write!(f, "only the owner and admins of {group} may do that: ask one of them")
            }
            R::NotOwner(group) => write!(f, "only the owner of {group} may do that: ask them"),
            R::NoSuchMember(group, user) => {
                write!(f, "{user} is not a member of {group}: see list_members {group}")
            }
            R::AlreadyAdmin(group, user) => write!(f, "{user} is an admin of {group} already"),
            R::OutranksYou(group, user) => write!(f, "you may not remove {user} from {group}: ask the owner"),
            R::LeaveInstead(group) => write!(f, "you cannot remove yourself: leave_group {group}"),
            R::NoSuchFile(group, name) => write!(f, "{group} lists no file {name}: see list_files {group}"),
            R::FileDiffers { group, name, sharers } => {
                write!(f, "{group} lists another file under the name {name}, shared by ")?;
                write_names(f, sharers)?;
                f.write_str(": rename yours")
            }
            R::NotSharer(group, name) => {
                write!(
                    f,
                    "only who shared {name}, an admin or the owner of {group} may unlist it: ask one of them"
                )
            }
            R::AlreadyDownloading(_, name) => {
                write!(f, "{name} is being downloaded already: see show_downloads")
            }
            R::AlreadyShared(_, name) => {
                write!(f, "you share {name} from this client already: see show_shares")
            }
            R::NotDownloading(_, name) => {
                write!(f, "no download of {name} is running here: see show_downloads")
            }
            R::NotShared(_, name) => write!(f, "{name} is not shared from this client: see show_shares"),
            R::DownloadEnded(_, name, why) => write!(f, "the download of {name} ended: {why}"),
            R::Disk(error) => error.fmt(f),
            R::NoTracker => {
                f.write_str("no tracker answers: check tracker_info.txt, and that a tracker is running")
            }
            R::OtherKey { tracker, expected, found } => write!(
                f,
                "the tracker at {tracker} has the fingerprint {found}, and must have {expected}: somebody else may answer in its \
                 place. Ask its operator; if the new one is right, put it into tracker_info.txt behind the address, or strike \
                 the tracker's line from known_trackers in the data folder"
            ),
            R::TrackerReadOnly => {
                f.write_str("the tracker cannot write to its disk: its operator must make room")
            }
            R::NoMajority => f.write_str(
                "too few trackers are up to agree: their operators must start the others. A change that you asked for may still be made; \
                 ask again when they are up",
            ),
            R::Forgotten { .. } => f.write_str(
                "the tracker has answered later requests of this client and does not know this one any more: look whether it was done, and ask again",
            ),
            R::Full(table) => table.fmt(f),
            R::SessionEnded => f.write_str("the session ended before the command did: log in and ask again"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Table::Users => "the network has as many users as it can hold",
            Table::Groups => "the network has as many groups as it can hold: end one that is not used",
            Table::Members => "the group has as many members as it can hold: make another",
            Table::JoinRequests => "too many wait to join the group: its owner must answer some first",
            Table::Files => "the group lists as many files as it can hold: remove_file one that is not used",
            Table::Shares => "this client shares as many files as it can: stop_share one first",
            Table::Commands => "too many commands are under way here: wait for some to end",
            Table::Changes => "the tracker has too many changes under way: try again in a moment",
        })
    }
}

fn write_names(f: &mut fmt::Formatter<'_>, names: &[UserName]) -> fmt::Result {
    for (index, name) in names.iter().enumerate() {
        write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
    }
    Ok(())
}
