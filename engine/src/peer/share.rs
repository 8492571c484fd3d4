//! The life of a file here: shared, fetched, complete, ended.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Peer;
use super::alarm::Alarm;
use super::command::{Failure, News, Reply};
use super::file::{Download, Ended, Fetched, Key, Phase};
use super::io::{EntryState, Outcome, Stamp, Survey, Work};
use super::jobs::Job;
use super::turn::Turn;
use crate::bitfield::Bitfield;
use crate::id::{ChainingValue, CommandId, FileId};
use crate::limits::{HAVE_DELAY, OPENING_MAX, SWEEP};
use crate::name::Place;
use crate::piece::{Content, Hashes};
use crate::refusal::{DiskError, Refusal};
use crate::tree::Tree;

/// A share that is to be looked at before it is served.
#[derive(Debug)]
pub(super) struct ToOpen {
    file: FileId,
    stamp: Stamp,
    /// The command that waits for it, if one does.
    command: Option<CommandId>,
}

/// A download that waits until an earlier one of the same place is closed.
#[derive(Debug)]
pub(super) struct Wanted {
    id: CommandId,
    key: Key,
    content: Content,
    place: Place,
}

impl Peer {
    /// A surveyed file is listed: serve it, and write it down.
    pub(super) fn begin_share(
        &mut self,
        id: CommandId,
        key: Key,
        place: Place,
        survey: Survey,
        turn: &mut Turn<'_>,
    ) {
        if self.session.user.is_none() {
            return self.reply(id, Err(Refusal::SessionEnded), turn);
        }
        if let Err(refusal) = self.check_free(&key) {
            return self.reply(id, Err(refusal), turn);
        }
        let Survey { content, hashes, stamp } = survey;
        let file = self.files.insert(key, content, place);
        self.hold_all(file, hashes.clone());
        let entry =
            self.files.get(file).and_then(|file| self.entry(file, EntryState::Shared { stamp, hashes }));
        if let Some(entry) = entry {
            self.jobs.start(Job::RememberShare { id, file, stamp }, Work::Remember(Box::new(entry)), turn);
        }
    }

    /// A complete file is here, with these hashes.
    fn hold_all(&mut self, id: FileId, hashes: Hashes) {
        let Some(file) = self.files.get_mut(id) else { return };
        file.held = Bitfield::full(file.content.size.pieces());
        file.hashes = Some(hashes);
    }

    /// Looks at a shared file before it is served.
    pub(super) fn resume_share(&mut self, id: FileId, stamp: Stamp, hashes: Hashes, turn: &mut Turn<'_>) {
        self.hold_all(id, hashes);
        self.to_open.push_back(ToOpen { file: id, stamp, command: None });
        self.open_shares(turn);
    }

    /// Opens shares, a few at a time.
    pub(super) fn open_shares(&mut self, turn: &mut Turn<'_>) {
        while self.opening < OPENING_MAX {
            let Some(ToOpen { file, stamp, command }) = self.to_open.pop_front() else { return };
            match self.files.get(file).map(|file| file.place.clone()) {
                Some(place) => {
                    self.opening += 1;
                    self.jobs.start(
                        Job::OpenShare { file, id: command },
                        Work::OpenShare { file, place, stamp },
                        turn,
                    );
                }
                None => self.share_answered(file, command, Err(Refusal::SessionEnded), turn),
            }
        }
    }

    pub(super) fn share_opened(
        &mut self,
        id: FileId,
        command: Option<CommandId>,
        outcome: Outcome,
        turn: &mut Turn<'_>,
    ) {
        self.opening -= 1;
        self.open_shares(turn);
        let content =
            self.files.get(id).filter(|file| matches!(file.phase, Phase::Opening)).map(|file| file.content);
        match (outcome, content) {
            (Outcome::Done, Some(content)) => {
                self.complete(id, turn);
                if command.is_some() {
                    // What the person asks next comes to the tracker after this.
                    self.announce(&[id], true, turn);
                }
                self.share_answered(id, command, Ok(Reply::Shared { content }), turn);
            }
            (Outcome::Done, None) => {
                self.jobs.start(Job::Memory, Work::CloseFile { file: id }, turn);
                self.share_answered(id, command, Err(Refusal::SessionEnded), turn);
            }
            (Outcome::Failed(why), _) => {
                self.share_answered(id, command, Err(Refusal::Disk(why.clone())), turn);
                self.lose_share(id, why, turn);
            }
            (other, _) => unreachable!("opening a share does not end in {other:?}"),
        }
    }

    /// Answers the command that waits for a share, if one does; or the login, if this was the last that it waited for.
    fn share_answered(
        &mut self,
        file: FileId,
        command: Option<CommandId>,
        reply: Result<Reply, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        if let Some(resuming) = &mut self.resuming
            && resuming.unopened.remove(&file)
        {
            resuming.shares += usize::from(reply.is_ok());
            self.settle_login(turn);
        }
        if let Some(id) = command {
            self.reply(id, reply, turn);
        }
    }

    /// From now on a file is whole and served.
    fn complete(&mut self, id: FileId, turn: &Turn<'_>) {
        self.files.set_phase(id, Phase::Complete);
        let Some(file) = self.files.get_mut(id) else { return };
        file.announced = None;
        self.to_announce.push(id);
        self.alarms.set(Alarm::Haves, turn.now + HAVE_DELAY);
    }

    /// A shared file is not what it was: stop offering it, and say so.
    pub(super) fn lose_share(&mut self, id: FileId, why: DiskError, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id) else { return };
        let key = file.key.clone();
        let (group, name) = key.clone();
        match &file.phase {
            Phase::Complete | Phase::Opening => {
                self.end_file(id, Ended::Unshared, turn);
                self.strike_own(&key, turn);
                turn.tell(News::ShareLost { group, name, why });
            }
            Phase::Fetching(_) | Phase::Finishing => self.fail(id, Failure::Disk(why), turn),
            Phase::Ended(_) => {}
        }
    }

    /// The catalogue knows the file that the person wants: open a place for it.
    pub(super) fn begin_download(
        &mut self,
        id: CommandId,
        key: Key,
        content: Content,
        (place, named): (Place, bool),
        turn: &mut Turn<'_>,
    ) {
        if self.session.user.is_none() {
            return self.reply(id, Err(Refusal::SessionEnded), turn);
        }
        if let Err(refusal) = self.check_free(&key) {
            return self.reply(id, Err(refusal), turn);
        }
        let earlier = self
            .files
            .find(&key)
            .map(|(_, file)| file)
            .filter(|file| matches!(file.phase, Phase::Ended(Ended::Stopped | Ended::Failed(_))));
        let earlier_place = earlier.map(|file| file.place.clone());
        let known =
            earlier.filter(|file| file.content.hashes == content.hashes).and_then(|file| file.hashes.clone());
        let place = if named { place } else { earlier_place.clone().unwrap_or(place) };
        let resume = earlier_place.as_ref() == Some(&place);
        if self.closing.contains(&place) {
            return self.after_closing.push(Wanted { id, key, content, place });
        }
        let hashes = content.hashes;
        let file = self.files.insert(key, content, place.clone());
        if let Some(new) = self.files.get_mut(file) {
            new.hashes = known;
            new.fetched = Some(Fetched { began: turn.now, ..Fetched::default() });
        }
        let work = Work::OpenPart { file, place, size: content.size, hashes, resume };
        self.jobs.start(Job::OpenPart { file, id, earlier: earlier_place }, work, turn);
    }

    pub(super) fn part_opened(
        &mut self,
        id: FileId,
        (command, earlier): (CommandId, Option<Place>),
        outcome: Outcome,
        turn: &mut Turn<'_>,
    ) {
        match outcome {
            Outcome::PartOpen(pieces) => {
                self.tell_what_is_left(id, earlier, turn);
                self.start_fetching(id, command, pieces, turn);
            }
            Outcome::Failed(why) => {
                match (earlier, self.files.get_mut(id)) {
                    // The earlier one is as stopped as it was, and where it was.
                    (Some(place), Some(file)) => {
                        file.place = place;
                        self.end_file(id, Ended::Stopped, turn);
                    }
                    _ => self.files.remove(id),
                }
                self.reply(command, Err(Refusal::Disk(why)), turn);
            }
            other => unreachable!("opening a part does not end in {other:?}"),
        }
    }

    /// Says where an earlier download of a file stopped, if this one is at another place.
    fn tell_what_is_left(&self, id: FileId, earlier: Option<Place>, turn: &mut Turn<'_>) {
        if let (Some(place), Some(file)) = (earlier, self.files.get(id))
            && place != file.place
        {
            let (group, name) = file.key.clone();
            turn.tell(News::PartLeft { group, name, place });
        }
    }

    fn start_fetching(
        &mut self,
        id: FileId,
        command: CommandId,
        pieces: Vec<(u32, ChainingValue)>,
        turn: &mut Turn<'_>,
    ) {
        let Some(file) = self.files.get_mut(id).filter(|file| matches!(file.phase, Phase::Opening)) else {
            // The session ended meanwhile.
            self.jobs.start(Job::Memory, Work::CloseFile { file: id }, turn);
            return self.reply(command, Err(Refusal::SessionEnded), turn);
        };
        let mut tree = Tree::new(file.held.len());
        for (piece, value) in pieces {
            if piece < file.held.len() && file.held.insert(piece) {
                tree.insert(piece, value);
            }
        }
        if file.held.len() == 0 {
            file.hashes = Some(Hashes::new(Vec::new()));
        }
        let (content, held) = (file.content, file.held.count());
        let download = Download::new(&file.held, tree);
        self.files.set_phase(id, Phase::Fetching(Box::new(download)));
        let entry = self
            .files
            .get(id)
            .and_then(|file| self.entry(file, EntryState::Partial { hashes: file.hashes.clone() }));
        if let Some(entry) = entry {
            let work = Work::Remember(Box::new(entry));
            self.jobs.start(Job::RememberPart { id: command, content, held }, work, turn);
        }
        self.alarms.set(Alarm::Sweep, turn.now + SWEEP);
        if self.session.is_ready() {
            self.announce(&[id], true, turn);
        } else {
            self.ask_acquaintances(id, turn);
        }
        self.finish_if_whole(id, turn);
    }

    /// When every piece is here and the hashes are known: is it the file that was listed?
    pub(super) fn finish_if_whole(&mut self, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id) else { return };
        let Some(download) = file.download() else { return };
        if !file.held.is_full() || file.hashes.is_none() {
            return;
        }
        if download.tree.checksum() != Some(file.content.checksum) {
            return self.fail(id, Failure::ChecksumDiffers, turn);
        }
        self.files.set_phase(id, Phase::Finishing);
        self.jobs.start(Job::Finish { file: id }, Work::Finish { file: id }, turn);
    }

    pub(super) fn finished(&mut self, id: FileId, outcome: Outcome, turn: &mut Turn<'_>) {
        match outcome {
            Outcome::Finished(stamp) => self.remember_finished(id, stamp, turn),
            Outcome::Failed(why) => self.fail(id, Failure::Disk(why), turn),
            other => unreachable!("finishing does not end in {other:?}"),
        }
    }

    /// The complete file stands under its name. It becomes a share once that is written down.
    fn remember_finished(&mut self, id: FileId, stamp: Stamp, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id).filter(|file| matches!(file.phase, Phase::Finishing)) else {
            return;
        };
        let Some(hashes) = file.hashes.clone() else { return };
        if let Some(entry) = self.entry(file, EntryState::Shared { stamp, hashes }) {
            self.jobs.start(Job::RememberFinished { file: id }, Work::Remember(Box::new(entry)), turn);
        }
    }

    /// Something was written down for the next start: now the person may be told of it.
    pub(super) fn remembered(&mut self, job: Job, outcome: &Outcome, turn: &mut Turn<'_>) {
        let failed = if let Outcome::Failed(why) = outcome { Some(why.clone()) } else { None };
        let told = |reply| failed.clone().map_or(Ok(reply), |why| Err(Refusal::Disk(why)));
        match job {
            Job::RememberShare { id, file, stamp } => match failed {
                None => {
                    self.to_open.push_back(ToOpen { file, stamp, command: Some(id) });
                    self.open_shares(turn);
                }
                Some(why) => {
                    self.files.remove(file);
                    self.reply(id, Err(Refusal::Disk(why)), turn);
                }
            },
            Job::RememberPart { id, content, held } => {
                self.reply(id, told(Reply::Downloading { content, held }), turn);
            }
            // A full disk costs the memory of the share, not the file.
            Job::RememberFinished { file } => self.report_finished(file, turn),
            other => unreachable!("nothing of {other:?} is written down"),
        }
    }

    /// A finished download is written down as a share: report it.
    fn report_finished(&mut self, id: FileId, turn: &mut Turn<'_>) {
        let finishing = self.files.get(id).is_some_and(|file| matches!(file.phase, Phase::Finishing));
        if !finishing {
            return;
        }
        self.complete(id, turn);
        self.announce(&[id], true, turn);
        let Some(file) = self.files.get_mut(id) else { return };
        let Some(fetched) = &mut file.fetched else { return };
        let took = turn.now.since(fetched.began);
        fetched.took = Some(took);
        fetched.givers.sort_by_key(|giver| core::cmp::Reverse(giver.pieces));
        let (group, name) = file.key.clone();
        turn.tell(News::DownloadComplete {
            group,
            name,
            place: file.place.clone(),
            took,
            from: fetched.givers.clone(),
        });
        self.settle_waits(turn);
    }

    /// Ends a download without success, and says so.
    pub(super) fn fail(&mut self, id: FileId, why: Failure, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id) else { return };
        let (group, name) = file.key.clone();
        turn.tell(News::DownloadFailed { group, name, why: why.clone() });
        self.end_file(id, Ended::Failed(why), turn);
    }

    pub(super) fn stop_download(&mut self, key: &Key, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        match self.files.find(key) {
            Some((id, file)) if file.download().is_some() => {
                self.end_file(id, Ended::Stopped, turn);
                Ok(())
            }
            _ => Err(Refusal::NotDownloading(key.0.clone(), key.1.clone())),
        }
    }

    /// Takes a file out of use: nobody is served, nothing is asked for; what is verified stays on the disk.
    pub(super) fn end_file(&mut self, id: FileId, ended: Ended, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id) else { return };
        let was_active = file.is_active();
        let was_fetching = file.download().is_some();
        let links: Vec<_> = file.neighbours.keys().chain(&file.knocked).copied().collect();
        for link in links {
            self.close_on(link, id, turn);
        }
        self.files.set_phase(id, Phase::Ended(ended));
        let Some(file) = self.files.get_mut(id) else { return };
        file.candidates.clear();
        file.news.clear();
        if was_fetching {
            self.jobs.start(Job::Sync { file: id }, Work::Sync { file: id }, turn);
        }
        if was_active {
            self.close_file(id, turn);
            self.announce(&[id], false, turn);
        }
        self.settle_waits(turn);
    }

    fn close_file(&mut self, id: FileId, turn: &mut Turn<'_>) {
        let Some(place) = self.files.get(id).map(|file| file.place.clone()) else { return };
        self.closing.push(place.clone());
        self.jobs.start(Job::Close { place }, Work::CloseFile { file: id }, turn);
    }

    /// A file is closed: a download to the same place that waited for it can begin.
    pub(super) fn closed(&mut self, place: &Place, turn: &mut Turn<'_>) {
        if let Some(at) = self.closing.iter().position(|closing| closing == place) {
            self.closing.swap_remove(at);
        }
        for Wanted { id, key, content, place } in core::mem::take(&mut self.after_closing) {
            self.begin_download(id, key, content, (place, true), turn);
        }
    }
}
