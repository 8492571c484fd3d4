//! What the person at this client asks for: each command begins here.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use rand::RngExt as _;

use super::Peer;
use super::command::{Command, DownloadRow, Leaving, News, Reply, ShareRow};
use super::file::{Ended, Key, Phase};
use super::io::{Entry, EntryState, Outcome, Recalled, Work};
use super::jobs::Job;
use super::leaving::Departure;
use super::purpose::Purpose;
use super::session::LoggedIn;
use super::turn::Turn;
use crate::id::{CommandId, FileId, Password, Salt};
use crate::limits::{COMMANDS_MAX, FILES_MAX, SWEEP};
use crate::name::{FileName, GroupName, Place, UserName};
use crate::refusal::{Refusal, Table};
use crate::time::Span;
use crate::wire::tracker::{Answer, Change, Request};

/// A login that is answered when what the user shared before was looked at.
#[derive(Debug)]
pub(super) struct Resuming {
    id: CommandId,
    /// Shares that were not looked at yet.
    pub(super) unopened: BTreeSet<FileId>,
    /// Those that are served again.
    pub(super) shares: usize,
    /// Downloads that an earlier session did not end.
    partial: usize,
}

impl Peer {
    /// Answers a command, unless the person no longer waits for it.
    pub(super) fn reply(&mut self, id: CommandId, reply: Result<Reply, Refusal>, turn: &mut Turn<'_>) {
        if self.commands.remove(&id) {
            turn.answer(id, reply);
        }
    }

    pub(super) fn forget(&mut self, id: CommandId) {
        self.commands.remove(&id);
        self.waits.retain(|(waiting, _)| *waiting != id);
        self.stay(id);
    }

    pub(super) fn command(&mut self, id: CommandId, command: Command, turn: &mut Turn<'_>) {
        if self.commands.len() >= COMMANDS_MAX {
            return turn.answer(id, Err(Refusal::Full(Table::Commands)));
        }
        let new = self.commands.insert(id);
        assert!(new, "the shell numbers commands");
        let logged_in = self.session.user.as_ref().map(|session| session.user.clone());
        match (command, logged_in) {
            (Command::CreateUser { user, password }, _) => self.create_user(id, user, password, turn),
            (Command::Login { .. }, Some(user)) => self.reply(id, Err(Refusal::AlreadyLoggedIn(user)), turn),
            (Command::Login { user, password }, None) => {
                let request = Request::GetSalt { user: user.clone() };
                self.ask(request, Purpose::Salt { id, user, password }, turn);
            }
            (Command::Quit { .. }, None) => self.quit(id, turn),
            (_, None) => self.reply(id, Err(Refusal::LogInFirst), turn),
            (command, Some(user)) => self.member_command(id, command, user, turn),
        }
    }

    /// A command of somebody who is logged in.
    fn member_command(&mut self, id: CommandId, command: Command, user: UserName, turn: &mut Turn<'_>) {
        match command {
            Command::Logout { when } => self.leave(id, when, false, turn),
            Command::Quit { when } => self.leave(id, when, true, turn),
            Command::UploadFile { group, name, place } => self.upload(id, group, name, place, turn),
            Command::DownloadFile { group, name, place, named } => {
                self.fetch(id, group, name, (place, named), turn);
            }
            Command::ShowDownloads => {
                let rows = self.download_rows(turn);
                self.reply(id, Ok(Reply::Downloads(rows)), turn);
            }
            Command::Explain { group, name } => {
                let explanation = self.explain(&(group, name), turn);
                self.reply(id, explanation.map(Reply::Explanation), turn);
            }
            Command::StopDownload { group, name } => {
                let stopped = self.stop_download(&(group, name), turn);
                self.reply(id, stopped.map(|()| Reply::Done), turn);
            }
            Command::StopShare { group, name } => {
                let stopped = self.stop_share(&(group, name), &user, turn);
                self.reply(id, stopped.map(|()| Reply::Done), turn);
            }
            Command::RemoveFile { group, name } => {
                let change = Change::RemoveFile { group: group.clone(), name: name.clone() };
                self.ask(Request::Change(change), Purpose::Unlist { id, group, name }, turn);
            }
            Command::ShowShares => {
                let rows = self.share_rows();
                self.reply(id, Ok(Reply::Shares(rows)), turn);
            }
            Command::WhoAmI => {
                let (device, listen, tracker) =
                    (self.config.device, self.config.listen, self.session.tracker());
                self.reply(id, Ok(Reply::WhoAmI { user, device, listen, tracker }), turn);
            }
            Command::Wait { file } => self.wait(id, file, turn),
            other => self.ask_tracker(id, other, turn),
        }
    }

    /// A command that is one request to the tracker, or one listing.
    fn ask_tracker(&mut self, id: CommandId, command: Command, turn: &mut Turn<'_>) {
        let after = None;
        let (request, purpose) = match command {
            Command::ListGroups => {
                (Request::Groups { after: None }, Purpose::Groups { id, rows: Vec::new() })
            }
            Command::ListRequests { group } => (
                Request::JoinRequests { group: group.clone(), after },
                Purpose::JoinRequests { id, group, rows: Vec::new() },
            ),
            Command::ListMembers { group } => (
                Request::Members { group: group.clone(), after },
                Purpose::Members { id, group, rows: Vec::new() },
            ),
            Command::ListFiles { group } => (
                Request::Files { group: group.clone(), after: None },
                Purpose::Files { id, group, rows: Vec::new() },
            ),
            Command::FileInfo { group, name } => {
                (Request::File { group: group.clone(), name }, Purpose::FileInfo { id, group })
            }
            other => (Request::Change(change(other)), Purpose::Done(id)),
        };
        self.ask(request, purpose, turn);
    }

    fn create_user(&mut self, id: CommandId, user: UserName, password: Password, turn: &mut Turn<'_>) {
        // One salt from each seed: the next account has the seed's child.
        self.salts = self.salts.child(0);
        let salt = Salt(self.salts.stream(crate::seed::Purpose::Salts).random());
        self.jobs.start(Job::KeyForAccount { id, user, salt }, Work::DeriveKey { password, salt }, turn);
    }

    /// A key was derived from a password.
    pub(super) fn key_derived(&mut self, job: Job, outcome: Outcome, turn: &mut Turn<'_>) {
        match (job, outcome) {
            (Job::KeyForAccount { id, user, salt }, Outcome::Key(key)) => {
                self.ask(Request::CreateUser { user, salt, key }, Purpose::Done(id), turn);
            }
            (Job::KeyForLogin { id, user }, Outcome::Key(key)) => {
                let request = Request::Login { user: user.clone(), key: key.clone() };
                self.ask(request, Purpose::Login { id, user, key }, turn);
            }
            (Job::KeyForAccount { id, .. } | Job::KeyForLogin { id, .. }, Outcome::Failed(error)) => {
                self.reply(id, Err(Refusal::Disk(error)), turn);
            }
            (job, outcome) => unreachable!("{job:?} does not end in {outcome:?}"),
        }
    }

    pub(super) fn logged_in(
        &mut self,
        id: CommandId,
        login: LoggedIn,
        answer: Result<Answer, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        let inbox = match answer {
            Ok(Answer::LoggedIn { inbox }) => inbox,
            other => {
                // The next tracker may know more.
                if other == Err(Refusal::NoMajority) {
                    self.give_up_tracker(turn);
                }
                return self.reply(id, other.map(|_| Reply::Done), turn);
            }
        };
        if let Some(other) = &self.session.user {
            // Two logins were under way at once; the first to arrive stands, and the tracker is told so again.
            let refusal = Refusal::AlreadyLoggedIn(other.user.clone());
            let LoggedIn { user, key } = other.clone();
            self.ask(Request::Login { user, key }, Purpose::Nothing, turn);
            // The other login has cleared what the tracker knew of this client's files.
            self.announce_afresh();
            self.alarms.set(super::alarm::Alarm::Sweep, turn.now + SWEEP);
            return self.reply(id, Err(refusal), turn);
        }
        let user = login.user.clone();
        self.session_began(login);
        self.news_after_login = inbox.into_vec();
        self.jobs.start(Job::Recall { id, user: user.clone() }, Work::Recall { user }, turn);
    }

    /// What the user shared and fetched from here before.
    pub(super) fn recalled(&mut self, id: CommandId, user: &UserName, outcome: Outcome, turn: &mut Turn<'_>) {
        let entries = match outcome {
            Outcome::Recalled(entries) => entries,
            Outcome::Failed(error) => return self.reply(id, Err(Refusal::Disk(error)), turn),
            other => unreachable!("a recall does not end in {other:?}"),
        };
        if self.session.user.as_ref().is_none_or(|session| session.user != *user) {
            return self.reply(id, Err(Refusal::SessionEnded), turn);
        }
        let mut resuming = Resuming { id, unopened: BTreeSet::new(), shares: 0, partial: 0 };
        for Recalled { entry, noted } in entries.into_iter().take(FILES_MAX) {
            let key: Key = (entry.group, entry.name);
            if self.files.find(&key).is_some() {
                continue;
            }
            let file = self.files.insert(key, entry.content, entry.place);
            match entry.state {
                EntryState::Shared { stamp, hashes } => {
                    resuming.unopened.insert(file);
                    self.resume_share(file, stamp, hashes, turn);
                }
                EntryState::Partial { hashes } => {
                    resuming.partial += 1;
                    if let Some(file) = self.files.get_mut(file) {
                        file.hashes = hashes;
                        file.noted = noted;
                    }
                    self.end_file(file, Ended::Stopped, turn);
                }
            }
        }
        self.resuming = Some(resuming);
        self.settle_login(turn);
    }

    /// Answers a login once every share was looked at and announced, so that what the person asks next finds each as it is.
    pub(super) fn settle_login(&mut self, turn: &mut Turn<'_>) {
        let Some(done) = self.resuming.take_if(|resuming| resuming.unopened.is_empty()) else { return };
        self.announce_complete(turn);
        self.reply(done.id, Ok(Reply::LoggedIn { shares: done.shares, partial: done.partial }), turn);
        self.tell_news_after_login(turn);
    }

    fn tell_news_after_login(&mut self, turn: &mut Turn<'_>) {
        for notice in core::mem::take(&mut self.news_after_login) {
            turn.tell(News::Notice(notice));
        }
    }

    fn upload(&mut self, id: CommandId, group: GroupName, name: FileName, place: Place, turn: &mut Turn<'_>) {
        let key = (group, name);
        if let Err(refusal) = self.check_free(&key) {
            return self.reply(id, Err(refusal), turn);
        }
        let (group, name) = key;
        self.jobs.start(Job::Survey { id, group, name, place: place.clone() }, Work::Survey { place }, turn);
    }

    /// Whether a file of that name could become active here.
    pub(super) fn check_free(&self, key: &Key) -> Result<(), Refusal> {
        match self.files.find(key).map(|(_, file)| &file.phase) {
            Some(Phase::Complete) => Err(Refusal::AlreadyShared(key.0.clone(), key.1.clone())),
            Some(Phase::Opening | Phase::Fetching(_) | Phase::Finishing) => {
                Err(Refusal::AlreadyDownloading(key.0.clone(), key.1.clone()))
            }
            None if self.files.table.len() >= FILES_MAX => Err(Refusal::Full(Table::Shares)),
            Some(Phase::Ended(_)) | None => Ok(()),
        }
    }

    pub(super) fn surveyed(&mut self, job: Job, outcome: Outcome, turn: &mut Turn<'_>) {
        let Job::Survey { id, group, name, place } = job else { unreachable!("the caller looked") };
        match outcome {
            Outcome::Surveyed(survey) => {
                let change =
                    Change::AddFile { group: group.clone(), name: name.clone(), content: survey.content };
                self.ask(Request::Change(change), Purpose::Share { id, group, name, place, survey }, turn);
            }
            Outcome::Failed(error) => self.reply(id, Err(Refusal::Disk(error)), turn),
            other => unreachable!("a survey does not end in {other:?}"),
        }
    }

    fn fetch(
        &mut self,
        id: CommandId,
        group: GroupName,
        name: FileName,
        to: (Place, bool),
        turn: &mut Turn<'_>,
    ) {
        let key = (group, name);
        if let Err(refusal) = self.check_free(&key) {
            return self.reply(id, Err(refusal), turn);
        }
        let (group, name) = key;
        let purpose = Purpose::Download { id, group: group.clone(), name: name.clone(), to };
        self.ask(Request::File { group, name }, purpose, turn);
    }

    fn stop_share(&mut self, key: &Key, user: &UserName, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        match self.files.find(key) {
            Some((id, file)) if file.is_complete() => {
                self.end_file(id, Ended::Unshared, turn);
                self.strike(user.clone(), key, turn);
                Ok(())
            }
            _ => Err(Refusal::NotShared(key.0.clone(), key.1.clone())),
        }
    }

    /// Strikes a file from what the client remembers.
    pub(super) fn strike(&mut self, user: UserName, key: &Key, turn: &mut Turn<'_>) {
        let work = Work::Forget { user, group: key.0.clone(), name: key.1.clone() };
        self.jobs.start(Job::Memory, work, turn);
    }

    /// Writes down a file as it is now.
    pub(super) fn entry(&self, file: &super::file::File, state: EntryState) -> Option<Entry> {
        let user = self.session.user.as_ref()?.user.clone();
        let (group, name) = file.key.clone();
        Some(Entry { user, group, name, content: file.content, place: file.place.clone(), state })
    }

    fn wait(&mut self, id: CommandId, file: Option<(GroupName, FileName)>, turn: &mut Turn<'_>) {
        if let Some(key) = &file
            && self.files.find(key).and_then(|(_, file)| file.download_state()).is_none()
        {
            let refusal = Refusal::NotDownloading(key.0.clone(), key.1.clone());
            return self.reply(id, Err(refusal), turn);
        }
        self.waits.push((id, file));
        self.settle_waits(turn);
    }

    pub(super) fn download_rows(&mut self, turn: &Turn<'_>) -> Vec<DownloadRow> {
        let mut rows: Vec<_> = self
            .files
            .table
            .values_mut()
            .filter_map(|file| {
                let state = file.download_state()?;
                let rate = file
                    .fetched
                    .as_mut()
                    .filter(|fetched| fetched.took.is_none())
                    .map_or(0, |f| f.meter.rate(turn.now));
                let (held, bytes) = file.progress();
                let missing = file.content.size.bytes() - bytes;
                let unreachable = file.unreachable();
                let left = || missing.saturating_mul(1_000_000).checked_div(rate).map(Span);
                let row = DownloadRow {
                    group: file.key.0.clone(),
                    name: file.key.1.clone(),
                    place: file.place.clone(),
                    state,
                    content: file.content,
                    held,
                    bytes,
                    rate,
                    peers: u32::try_from(file.neighbours.len()).unwrap_or(u32::MAX),
                    unreachable,
                    left: if unreachable == 0 { left() } else { None },
                };
                Some((file.order, row))
            })
            .collect();
        rows.sort_by_key(|(order, _)| *order);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn share_rows(&self) -> Vec<ShareRow> {
        let shared =
            self.files.by_key.values().filter_map(|id| self.files.get(*id)).filter(|file| file.is_complete());
        shared
            .map(|file| ShareRow {
                group: file.key.0.clone(),
                name: file.key.1.clone(),
                place: file.place.clone(),
                content: file.content,
                sent: file.sent,
                leechers: u32::try_from(file.neighbours.values().filter(|n| !n.have.is_full()).count())
                    .unwrap_or(u32::MAX),
            })
            .collect()
    }

    fn leave(&mut self, id: CommandId, when: Leaving, quit: bool, turn: &mut Turn<'_>) {
        match when {
            Leaving::Now if quit => self.quit(id, turn),
            Leaving::Now => self.log_out(id, turn),
            Leaving::WhenReplicated(copies) => {
                if let Some(earlier) = self.departure.take() {
                    self.reply(earlier.id, Err(Refusal::SessionEnded), turn);
                }
                self.departure = Some(Departure { id, copies, quit, since: turn.now, told: None });
                self.alarms.set(super::alarm::Alarm::Sweep, turn.now + SWEEP);
                self.ask_about_copies(turn);
            }
        }
    }

    pub(super) fn log_out(&mut self, id: CommandId, turn: &mut Turn<'_>) {
        self.end_session(turn);
        self.ask(Request::Logout, Purpose::Logout(id), turn);
    }

    /// Ends everything that belongs to the session. What is shared and fetched stays written down.
    pub(super) fn end_session(&mut self, turn: &mut Turn<'_>) {
        for file in self.files.ids() {
            self.end_file(file, Ended::Stopped, turn);
            self.files.remove(file);
        }
        for link in self.links.table.keys().copied().collect::<Vec<_>>() {
            self.say_bye(link, turn);
        }
        self.members.clear();
        self.papers.forget();
        self.acquaintances.forget();
        self.session.user = None;
        self.drop_requests(turn);
        for (id, _) in core::mem::take(&mut self.waits) {
            self.reply(id, Err(Refusal::SessionEnded), turn);
        }
        if let Some(resuming) = self.resuming.take() {
            self.reply(resuming.id, Err(Refusal::SessionEnded), turn);
        }
        self.tell_news_after_login(turn);
        if let Some(departure) = self.departure.take() {
            self.reply(departure.id, Err(Refusal::SessionEnded), turn);
        }
    }

    /// Files that a job has just ended or that ended otherwise may be what somebody waits for.
    pub(super) fn settle_waits(&mut self, turn: &mut Turn<'_>) {
        let waits = core::mem::take(&mut self.waits);
        for (id, file) in waits {
            match self.verdict(file.as_ref()) {
                Some(verdict) => self.reply(id, verdict.map(|()| Reply::Done), turn),
                None => self.waits.push((id, file)),
            }
        }
    }

    /// Whether a download, or every download of this session, has ended, and how.
    fn verdict(&self, key: Option<&Key>) -> Option<Result<(), Refusal>> {
        use super::command::DownloadState as D;
        let mut verdict = Ok(());
        let waited_for: Vec<_> = match key {
            Some(key) => self.files.find(key).into_iter().map(|(_, file)| file).collect(),
            None => {
                self.files.table.values().map(|file| &**file).filter(|file| file.fetched.is_some()).collect()
            }
        };
        for file in waited_for {
            let ended =
                |why: &str| Err(Refusal::DownloadEnded(file.key.0.clone(), file.key.1.clone(), why.into()));
            match file.download_state() {
                Some(D::Running | D::Paused) => return None,
                Some(D::Failed(why)) => verdict = ended(&alloc::format!("{why}")),
                Some(D::Stopped) => verdict = ended("it was stopped"),
                Some(D::Complete) | None => {}
            }
        }
        Some(verdict)
    }
}

/// The change of the registry that a command stands for.
fn change(command: Command) -> Change {
    match command {
        Command::CreateGroup { group } => Change::CreateGroup { group },
        Command::JoinGroup { group } => Change::JoinGroup { group },
        Command::AcceptRequest { group, user } => Change::Accept { group, user },
        Command::RejectRequest { group, user } => Change::Reject { group, user },
        Command::LeaveGroup { group } => Change::Leave { group },
        Command::MakeAdmin { group, user } => Change::MakeAdmin { group, user },
        Command::RemoveMember { group, user } => Change::RemoveMember { group, user },
        other => unreachable!("handled before: {other:?}"),
    }
}
