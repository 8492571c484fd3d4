//! Serving pieces: a short queue of requests for slots, and pieces sent one after another.
//!
//! Whoever asks for a slot hears at once whether it may wait. A slot is used for one piece, named when it is granted. On a slow
//! uplink pieces go one after another, since a piece that has arrived can be served on; on a fast one several, to hide the round trips.

use alloc::vec::Vec;

use rand::RngExt as _;

use super::Peer;
use super::alarm::Alarm;
use super::io::{Action, Outcome, Work};
use super::jobs::Job;
use super::places::{Place, Stage};
use super::turn::Turn;
use crate::id::{FileId, JobId, LinkId};
use crate::limits::{GRANT_PATIENCE, SWEEP, UPLOAD_QUEUE_MAX};
use crate::piece::Extent;
use crate::time::Time;
use crate::violation::Violation;
use crate::wire::peer::PeerMessage;

impl Peer {
    /// Requests for a slot that wait here, or were turned away until there is a place.
    #[must_use]
    pub fn waiting_for_slots(&self) -> usize {
        self.uploads.queued() + self.uploads.told_busy.len()
    }

    /// A peer asks for a slot.
    pub(super) fn asked(&mut self, link: LinkId, file: FileId, turn: &mut Turn<'_>) {
        let uploads = &mut self.uploads;
        let fair = uploads.fair_share(turn.now);
        uploads.take(link, file, Stage::is_offered);
        let queued = uploads.queued();
        let there_is_room = queued < UPLOAD_QUEUE_MAX && uploads.room(turn.now) > 0;
        let goes_first = queued <= UPLOAD_QUEUE_MAX
            && self.files.is_new(link, file)
            && !uploads.at(Stage::is_queued).any(|place| self.files.is_new(place.link, place.file));
        self.alarms.set(Alarm::Sweep, turn.now + SWEEP);
        let comes_too_late = self.last_sends.is_some();
        if uploads.of_link(link) >= fair || !(there_is_room || goes_first) || comes_too_late {
            uploads.tell_later(link, file);
            let queue = uploads.load();
            return self.send(link, PeerMessage::Busy { file, queue }, turn);
        }
        if queued == 0 && uploads.in_use() < uploads.slots(turn.now) {
            return self.grant(link, file, turn);
        }
        uploads.reach(Stage::Queued, (link, file), turn.now);
        let queue = uploads.load();
        self.send(link, PeerMessage::Queued { file, queue }, turn);
    }

    fn grant(&mut self, link: LinkId, file: FileId, turn: &mut Turn<'_>) {
        self.uploads.reach(Stage::Granted, (link, file), turn.now);
        let (hint, queue) = (self.hint(link, file), self.uploads.load());
        self.send(link, PeerMessage::Grant { file, queue, hint }, turn);
    }

    /// Of the pieces that a neighbour lacks, the next in turn: so a seeder gives all of its pieces before it gives one twice.
    fn hint(&mut self, link: LinkId, id: FileId) -> Option<u32> {
        let file = self.files.get_mut(id).filter(|file| file.is_complete())?;
        let have = &file.neighbours.get(&link)?.have;
        let fresh = |from: u32| have.first_absent_in_both(&file.named, from);
        let next = file.next_hint;
        let hint = fresh(next)
            .or_else(|| fresh(0))
            .or_else(|| have.first_absent(next))
            .or_else(|| have.first_absent(0))?;
        file.next_hint = hint + 1;
        Some(hint)
    }

    /// A peer does not want the place that was kept for it. There is none if a request of its own, which crossed the offer, has it.
    pub(super) fn passed(&mut self, link: LinkId, id: FileId) {
        self.uploads.take(link, id, Stage::is_offered);
    }

    /// A peer names the piece for which it was granted a slot.
    pub(super) fn requested(&mut self, link: LinkId, id: FileId, piece: u32, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id) else { return };
        let Some(extent) = file.content.size.extent(id, piece) else {
            return self.violation(link, Violation::NoSuchPiece, turn);
        };
        if !file.held.has(piece) {
            return self.violation(link, Violation::NotHeld, turn);
        }
        let Some(granted) = self.uploads.take(link, id, Stage::is_granted) else {
            return self.violation(link, Violation::NoSlot, turn);
        };
        if file.is_complete() {
            file.named.insert(piece);
        }
        self.uploads.answer_time.add(turn.now.since(granted.since));
        self.uploads.reach(Stage::Named(extent), (link, id), turn.now);
    }

    /// A peer has no use for its slot.
    pub(super) fn returned(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        if self.uploads.take(link, id, Stage::is_granted).is_none() {
            self.violation(link, Violation::NoSlot, turn);
        }
    }

    /// A peer no longer waits for a slot.
    pub(super) fn withdraw(&mut self, link: LinkId, file: FileId, turn: &mut Turn<'_>) {
        if self.uploads.take(link, file, Stage::is_queued).is_some() {
            self.send(link, PeerMessage::Withdrawn { file }, turn);
        }
    }

    /// A peer has a piece from elsewhere.
    pub(super) fn cancel_upload(&mut self, link: LinkId, id: FileId, piece: u32, turn: &mut Turn<'_>) {
        let is_it = |extent: &Extent| extent.piece == piece;
        let named = |stage: &Stage| matches!(stage, Stage::Named(extent) if is_it(extent));
        if self.uploads.take(link, id, named).is_some() {
            return self.send(link, PeerMessage::Cancelled { file: id, piece }, turn);
        }
        for place in self.uploads.places.iter_mut().filter(|place| place.link == link && place.file == id) {
            if let Stage::Sending { extent, job, cancelled } = &mut place.stage
                && is_it(extent)
            {
                *cancelled = true;
                return turn.act(Action::Stop { job: *job });
            }
        }
        // All of it has left already.
        self.send(link, PeerMessage::Cancelled { file: id, piece }, turn);
    }

    /// Forgets what a link, or a file on it, has to do with uploads.
    pub(super) fn forget_uploads(&mut self, link: LinkId, file: Option<FileId>, turn: &mut Turn<'_>) {
        let concerns = |other: LinkId, id: FileId| other == link && file.is_none_or(|file| file == id);
        let uploads = &mut self.uploads;
        uploads.told_busy.retain(|(other, id)| !concerns(*other, *id));
        uploads.places.retain(|place| {
            let concerned = concerns(place.link, place.file);
            let Stage::Sending { job, .. } = place.stage else { return !concerned };
            if concerned {
                turn.act(Action::Stop { job });
            }
            true
        });
        turn.serves = true;
    }

    /// Grants slots that are free, begins sending, and tells those that were turned away that there is room.
    pub(super) fn serve(&mut self, turn: &mut Turn<'_>) {
        if self.is_quitting(turn) {
            return;
        }
        self.start_sends(turn);
        while self.uploads.queued() > 0 && self.uploads.in_use() < self.uploads.slots(turn.now) {
            let Some((link, file)) = self.next_to_grant() else { break };
            self.grant(link, file, turn);
        }
        self.offer_places(turn);
        if let Some(at) = self.uploads.grant_ahead_at().filter(|at| *at > turn.now) {
            self.alarms.set(Alarm::GrantAhead, at);
        }
    }

    /// Takes out of the queue who begins, or whoever has least from us already; of those, who came first.
    fn next_to_grant(&mut self) -> Option<(LinkId, FileId)> {
        let (uploads, files) = (&mut self.uploads, &self.files);
        let rank = |place: &&Place| (!files.is_new(place.link, place.file), uploads.in_use_by(place.link));
        let Place { link, file, .. } = *uploads.at(Stage::is_queued).min_by_key(rank)?;
        uploads.take(link, file, Stage::is_queued).map(|place| (place.link, place.file))
    }

    /// Keeps a free place for each that was turned away, as far as there are places.
    fn offer_places(&mut self, turn: &mut Turn<'_>) {
        if self.uploads.told_busy.is_empty() {
            return;
        }
        for _ in 0..self.uploads.room(turn.now) {
            let Some(at) = self.next_to_offer(turn.now) else { return };
            let (link, file) = self.uploads.told_busy.swap_remove(at);
            self.uploads.reach(Stage::Offered, (link, file), turn.now);
            let queue = self.uploads.load();
            self.send(link, PeerMessage::Free { file, queue }, turn);
        }
    }

    /// Whose turn it is: one who begins, or anybody.
    fn next_to_offer(&mut self, now: Time) -> Option<usize> {
        let (uploads, files, rng) = (&self.uploads, &self.files, &mut self.peer_rng);
        let fair = uploads.fair_share(now);
        (0usize..)
            .zip(&uploads.told_busy)
            .filter(|(_, (link, _))| uploads.of_link(*link) < fair)
            .min_by_key(|(_, (link, file))| (!files.is_new(*link, *file), rng.random::<u32>()))
            .map(|(at, _)| at)
    }

    fn start_sends(&mut self, turn: &mut Turn<'_>) {
        while self.uploads.at(Stage::is_named).next().is_some()
            && self.uploads.sending() < self.uploads.side_by_side(turn.now)
        {
            let Some((link, extent)) = self.uploads.take_named() else { return };
            let file = self.files.get_mut(extent.file);
            let Some(neighbour) = file.and_then(|file| file.neighbours.get_mut(&link)) else { continue };
            neighbour.was_served = true;
            let theirs = neighbour.theirs;
            let work = Work::Send { link, extent, theirs };
            let job = self.jobs.start(Job::Send, work, turn);
            let stage = Stage::Sending { extent, job, cancelled: false };
            self.uploads.reach(stage, (link, extent.file), turn.now);
        }
    }

    pub(super) fn sent(&mut self, job: JobId, outcome: Outcome, turn: &mut Turn<'_>) {
        turn.serves = true;
        let is_it = |place: &Place| matches!(place.stage, Stage::Sending { job: other, .. } if other == job);
        let Some(at) = self.uploads.places.iter().position(is_it) else { return };
        let Place { link, since, stage, .. } = self.uploads.places.remove(at);
        let Stage::Sending { extent, cancelled, .. } = stage else { return };
        match outcome {
            Outcome::Sent => {
                let began = since.max(self.uploads.last_sent);
                self.uploads.piece_time.add(turn.now.since(began));
                self.uploads.last_sent = turn.now;
                if let Some(file) = self.files.get_mut(extent.file) {
                    file.sent += u64::from(extent.len);
                }
            }
            Outcome::Stopped => {}
            Outcome::Failed(why) => self.lose_share(extent.file, why, turn),
            other => unreachable!("sending does not end in {other:?}"),
        }
        let open = self.files.get(extent.file).is_some_and(|file| file.neighbours.contains_key(&link));
        if cancelled && open {
            self.send(link, PeerMessage::Cancelled { file: extent.file, piece: extent.piece }, turn);
        }
    }

    /// Looks for slots that are granted, and places that are kept, and not used.
    pub(super) fn sweep_uploads(&mut self, turn: &mut Turn<'_>) {
        let unused = self.uploads.at(|stage| stage.is_granted() || stage.is_offered());
        let late = unused.filter(|place| turn.now.since(place.since) >= GRANT_PATIENCE);
        let links: Vec<LinkId> = late.map(|place| place.link).collect();
        for link in links {
            self.violation(link, Violation::SlotUnused, turn);
        }
    }
}
