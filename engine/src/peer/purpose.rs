//! What each request to a tracker was for, and what its answer leads to.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Peer;
use super::command::{FileInfo, Reply};
use super::file::Key;
use super::io::{Survey, Work};
use super::jobs::Job;
use super::session::LoggedIn;
use super::turn::Turn;
use crate::id::{self, CommandId, Password};
use crate::limits::ROWS_MAX;
use crate::name::{FileName, GroupName, Place, UserName};
use crate::refusal::Refusal;
use crate::wire::tracker::{Answer, FileRow, GroupRow, MemberRow, Page, Request};

/// What to do with the answer to a request.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To restore the session on a new link.
    Restore,
    /// A ticket of this client's own.
    Ticket { group: GroupName },
    /// Nobody waits.
    Nothing,
    /// A person waits to hear that it is done.
    Done(CommandId),
    /// A person logs in: the salt comes first.
    Salt { id: CommandId, user: UserName, password: Password },
    /// A person logs in.
    Login { id: CommandId, user: UserName, key: id::Key },
    /// A person logs out.
    Logout(CommandId),
    /// A listing of groups, page by page.
    Groups { id: CommandId, rows: Vec<GroupRow> },
    /// A listing of members, page by page.
    Members { id: CommandId, group: GroupName, rows: Vec<MemberRow> },
    /// A listing of requests to join, page by page.
    JoinRequests { id: CommandId, group: GroupName, rows: Vec<UserName> },
    /// A listing of files, page by page.
    Files { id: CommandId, group: GroupName, rows: Vec<FileRow> },
    /// Everything about one file.
    FileInfo { id: CommandId, group: GroupName },
    /// A file to fetch.
    Download { id: CommandId, group: GroupName, name: FileName, to: (Place, bool) },
    /// A file to share, which was surveyed.
    Share { id: CommandId, group: GroupName, name: FileName, place: Place, survey: Box<Survey> },
    /// A file to unlist.
    Unlist { id: CommandId, group: GroupName, name: FileName },
}

impl Peer {
    /// Goes on with whatever an answer, or its absence, was for.
    pub(super) fn answered(
        &mut self,
        purpose: Purpose,
        answer: Result<Answer, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        if let (
            Purpose::Files { group, .. } | Purpose::FileInfo { group, .. } | Purpose::Download { group, .. },
            Ok(answer),
        ) = (&purpose, &answer)
        {
            self.acquaintances.note_listed(group, answer);
        }
        match purpose {
            Purpose::Nothing => {}
            Purpose::Restore => self.restored(answer, turn),
            Purpose::Ticket { group } => self.ticket_came(&group, answer, turn),
            Purpose::Done(id) => self.reply(id, answer.map(|_| Reply::Done), turn),
            Purpose::Logout(id) => self.reply(id, Ok(Reply::Done), turn),
            Purpose::Salt { id, user, password } => self.salted(id, user, password, answer, turn),
            Purpose::Login { id, user, key } => self.logged_in(id, LoggedIn { user, key }, answer, turn),
            Purpose::Unlist { id, group, name } => {
                if answer.is_ok() {
                    self.unlisted_by_us(&(group, name), turn);
                }
                self.reply(id, answer.map(|_| Reply::Done), turn);
            }
            Purpose::FileInfo { id, group } => self.file_info(id, group, answer, turn),
            Purpose::Download { id, group, name, to } => self.found(id, (group, name), to, answer, turn),
            Purpose::Share { id, group, name, place, survey } => match answer {
                Ok(_) => self.begin_share(id, (group, name), place, *survey, turn),
                Err(refusal) => self.reply(id, Err(refusal), turn),
            },
            listing => self.listed(listing, answer, turn),
        }
    }

    fn salted(
        &mut self,
        id: CommandId,
        user: UserName,
        password: Password,
        answer: Result<Answer, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        match answer {
            Ok(Answer::Salt(salt)) => {
                self.jobs.start(Job::KeyForLogin { id, user }, Work::DeriveKey { password, salt }, turn);
            }
            other => self.reply(id, other.map(|_| Reply::Done), turn),
        }
    }

    /// The file that the person wants is listed, or was when a tracker last answered.
    fn found(
        &mut self,
        id: CommandId,
        key: Key,
        to: (Place, bool),
        answer: Result<Answer, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        let content = match answer {
            Ok(Answer::File { row, .. }) => Ok(row.content),
            Ok(_) => return self.reply(id, Ok(Reply::Done), turn),
            Err(Refusal::NoTracker) => self.listed_before(&key, turn).ok_or(Refusal::NoTracker),
            Err(refusal) => Err(refusal),
        };
        match content {
            Ok(content) => self.begin_download(id, key, content, to, turn),
            Err(refusal) => self.reply(id, Err(refusal), turn),
        }
    }

    fn file_info(
        &mut self,
        id: CommandId,
        group: GroupName,
        answer: Result<Answer, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        let reply = match answer {
            Ok(Answer::File { row, sharers, peers }) => {
                let here = self.files.find(&(group, row.name.clone())).map(|(_, file)| file);
                let here = here.filter(|file| file.content == row.content);
                Ok(Reply::FileInfo(FileInfo {
                    held: here.map(|file| file.held.count()),
                    hashes: here.and_then(|file| file.hashes.as_ref()).map(|hashes| hashes.list().to_vec()),
                    row: *row,
                    sharers: sharers.into_vec(),
                    peers: peers.into_vec(),
                }))
            }
            other => other.map(|_| Reply::Done),
        };
        self.reply(id, reply, turn);
    }

    /// Takes in a page of a listing; asks for the next, or hands over the whole.
    fn listed(&mut self, listing: Purpose, answer: Result<Answer, Refusal>, turn: &mut Turn<'_>) {
        match (listing, answer) {
            (Purpose::Groups { id, mut rows }, Ok(Answer::Groups(page))) => match gather(&mut rows, page) {
                true => {
                    let after = rows.last().map(|row| row.group.clone());
                    self.ask(Request::Groups { after }, Purpose::Groups { id, rows }, turn);
                }
                false => self.reply(id, Ok(Reply::Groups(rows)), turn),
            },
            (Purpose::Members { id, group, mut rows }, Ok(Answer::Members(page))) => {
                match gather(&mut rows, page) {
                    true => {
                        let after = rows.last().map(|row| row.user.clone());
                        let request = Request::Members { group: group.clone(), after };
                        self.ask(request, Purpose::Members { id, group, rows }, turn);
                    }
                    false => self.reply(id, Ok(Reply::Members(rows)), turn),
                }
            }
            (Purpose::JoinRequests { id, group, mut rows }, Ok(Answer::JoinRequests(page))) => {
                match gather(&mut rows, page) {
                    true => {
                        let request =
                            Request::JoinRequests { group: group.clone(), after: rows.last().cloned() };
                        self.ask(request, Purpose::JoinRequests { id, group, rows }, turn);
                    }
                    false => self.reply(id, Ok(Reply::JoinRequests(rows)), turn),
                }
            }
            (Purpose::Files { id, group, mut rows }, Ok(Answer::Files(page))) => {
                match gather(&mut rows, page) {
                    true => {
                        let after = rows.last().map(|row| row.name.clone());
                        let request = Request::Files { group: group.clone(), after };
                        self.ask(request, Purpose::Files { id, group, rows }, turn);
                    }
                    false => self.reply(id, Ok(Reply::Files(rows)), turn),
                }
            }
            (
                Purpose::Groups { id, .. }
                | Purpose::Members { id, .. }
                | Purpose::JoinRequests { id, .. }
                | Purpose::Files { id, .. },
                other,
            ) => self.reply(id, other.map(|_| Reply::Done), turn),
            (other, _) => unreachable!("not a listing: {other:?}"),
        }
    }
}

/// Adds a page's rows; says whether to ask for more.
fn gather<T>(rows: &mut Vec<T>, page: Page<T>) -> bool {
    let more = page.more && !page.rows.is_empty();
    rows.extend(page.rows.into_vec());
    more && rows.len() < ROWS_MAX
}
