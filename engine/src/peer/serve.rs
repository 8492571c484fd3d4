//! Serving pieces: a short queue of requests for slots, and pieces sent one after another.
//!
//! Whoever asks for a slot hears at once whether it may wait. A slot is used for one piece, named when it is granted. On a slow
//! uplink pieces go one after another, since a piece that has arrived can be served on; on a fast one several, to hide the round trips.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use rand::RngExt as _;

use super::Peer;
use super::alarm::Alarm;
use super::io::{Action, Outcome, Work};
use super::jobs::Job;
use super::rate::Smooth;
use super::turn::Turn;
use crate::id::{FileId, JobId, LinkId};
use crate::limits::{
    ANSWER_PATIENCE, FAST_PIECE, GRANT_PATIENCE, GRANTS_MAX, SENDS_FAST, SWEEP, UPLOAD_QUEUE_MAX,
};
use crate::piece::Extent;
use crate::table::Table;
use crate::time::{Span, Time};
use crate::violation::Violation;
use crate::wire::peer::PeerMessage;

/// On a slow uplink the next slot is granted when no more than this part of a piece's time is left, or what an answer takes.
const AHEAD: u64 = 8;

/// Slots and queue of this peer as an uploader.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// Requests for slots that wait, first come, first served.
    queue: VecDeque<(LinkId, FileId)>,
    /// Slots granted for which no piece was named yet.
    granted: Vec<Granted>,
    /// Pieces named that are not being sent yet.
    requests: VecDeque<(LinkId, Extent)>,
    sending: Table<JobId, Sending>,
    /// Links that were told that the queue is full, and not yet that it has a place for them.
    told_busy: VecDeque<(LinkId, FileId)>,
    /// Places in the queue that are kept for those who were told of them.
    offers: Vec<Granted>,
    piece_time: Smooth,
    /// From the grant of a slot to the name of the piece.
    answer_time: Smooth,
    last_sent: Time,
}

/// A place or a slot, and since when it waits for a word of whom it was given to.
#[derive(Clone, Copy, Debug)]
struct Granted {
    link: LinkId,
    file: FileId,
    since: Time,
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    link: LinkId,
    extent: Extent,
    since: Time,
    cancelled: bool,
}

impl Uploads {
    fn is_fast(&self) -> bool {
        self.piece_time.get().is_some_and(|time| time <= FAST_PIECE)
    }

    /// How many slots may be in use. On a slow uplink the next is granted just before the piece that is being sent has left, so that the
    /// choice of the next piece is as late as can be.
    fn slots(&self, now: Time) -> usize {
        if self.is_fast() {
            return GRANTS_MAX;
        }
        let ahead = self.grant_ahead_at().is_some_and(|at| at <= now);
        let unanswered = self.granted.len() - self.waits_for(&self.granted, now);
        (self.side_by_side(now) + usize::from(ahead) + unanswered).min(GRANTS_MAX)
    }

    /// When the next slot is to be granted, if something is being sent, and it is known how long that takes: whoever is granted one too
    /// early on a slow uplink waits for so long that it gives up.
    fn grant_ahead_at(&self) -> Option<Time> {
        let began = self.sending.values().map(|sending| sending.since).min()?;
        let piece_time = self.piece_time.get()?;
        let answer_time = self.answer_time.get().unwrap_or(piece_time);
        let lead_us = (piece_time.0 / AHEAD).max(answer_time.0 * 3 / 2);
        Some(began + Span(piece_time.0.saturating_sub(lead_us)))
    }

    /// How many places one link may take, so that each that waits comes to its turn.
    fn fair_share(&self, now: Time) -> usize {
        (self.slots(now) + UPLOAD_QUEUE_MAX).div_ceil(self.told_busy.len() + 1)
    }

    /// Of slots or places, those whose owners may still be about to answer. Others are not kept free for them: whoever is cut off would
    /// otherwise stop the uplink.
    fn waits_for(&self, given: &[Granted], now: Time) -> usize {
        let usual = self.answer_time.get().unwrap_or(Span::ZERO);
        let patience = ANSWER_PATIENCE.max(usual * 4);
        given.iter().filter(|granted| now.since(granted.since) < patience).count()
    }

    /// Places in slots and queue that nobody has, and for which nobody was asked just now.
    fn room(&self, now: Time) -> usize {
        let taken = self.in_use() + self.queue.len() + self.waits_for(&self.offers, now);
        (self.slots(now) + UPLOAD_QUEUE_MAX).saturating_sub(taken)
    }

    fn in_use(&self) -> usize {
        self.granted.len() + self.requests.len() + self.sending.len()
    }

    /// Slots that a link has.
    fn in_use_by(&self, link: LinkId) -> usize {
        self.granted.iter().filter(|granted| granted.link == link).count()
            + self.requests.iter().filter(|(other, _)| *other == link).count()
            + self.sending.values().filter(|sending| sending.link == link).count()
    }

    /// Slots that a link has, waits for or was offered.
    fn of_link(&self, link: LinkId) -> usize {
        self.in_use_by(link)
            + self.queue.iter().filter(|(other, _)| *other == link).count()
            + self.offers.iter().filter(|offer| offer.link == link).count()
    }

    fn load(&self) -> u16 {
        u16::try_from(self.in_use() + self.queue.len()).unwrap_or(u16::MAX)
    }

    /// How many pieces are sent side by side; one more for each that has long been under way, so that a slow reader blocks nobody.
    fn side_by_side(&self, now: Time) -> usize {
        let patience = self.piece_time.get().map_or(Span::from_secs(1), |time| time * 4);
        let slow = self.sending.values().filter(|sending| now.since(sending.since) > patience).count();
        if self.is_fast() { SENDS_FAST + slow } else { 1 + slow }
    }

    pub(super) fn is_sending(&self) -> bool {
        !self.sending.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_use() == 0 && self.queue.is_empty() && self.told_busy.is_empty() && self.offers.is_empty()
    }

    pub(super) fn check(&self) {
        assert!(self.in_use() <= GRANTS_MAX, "no more slots are used than there are");
        assert!(self.queue.len() <= UPLOAD_QUEUE_MAX + 1, "no more than one goes before others");
    }
}

impl Peer {
    /// Requests for a slot that wait here, or were turned away until there is a place.
    #[must_use]
    pub fn waiting_for_slots(&self) -> usize {
        self.uploads.queue.len() + self.uploads.told_busy.len()
    }

    /// A peer asks for a slot.
    pub(super) fn asked(&mut self, link: LinkId, file: FileId, turn: &mut Turn<'_>) {
        let uploads = &mut self.uploads;
        let fair = uploads.fair_share(turn.now);
        uploads.take_offer(link, file);
        let there_is_room = uploads.room(turn.now) > 0 && uploads.queue.len() < UPLOAD_QUEUE_MAX;
        let goes_first = self.files.is_new(link, file)
            && uploads.queue.len() <= UPLOAD_QUEUE_MAX
            && !uploads.queue.iter().any(|(link, file)| self.files.is_new(*link, *file));
        self.alarms.set(Alarm::Sweep, turn.now + SWEEP);
        let comes_too_late = self.last_sends.is_some();
        if uploads.of_link(link) >= fair || !(there_is_room || goes_first) || comes_too_late {
            uploads.tell_later(link, file);
            let queue = uploads.load();
            return self.send(link, PeerMessage::Busy { file, queue }, turn);
        }
        if uploads.in_use() < uploads.slots(turn.now) && uploads.queue.is_empty() {
            return self.grant(link, file, turn);
        }
        uploads.queue.push_back((link, file));
        let queue = uploads.load();
        self.send(link, PeerMessage::Queued { file, queue }, turn);
    }

    fn grant(&mut self, link: LinkId, file: FileId, turn: &mut Turn<'_>) {
        self.uploads.granted.push(Granted { link, file, since: turn.now });
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
        self.uploads.take_offer(link, id);
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
        if file.is_complete() {
            file.named.insert(piece);
        }
        let Some(granted) = self.uploads.take_grant(link, id) else {
            return self.violation(link, Violation::NoSlot, turn);
        };
        self.uploads.answer_time.add(turn.now.since(granted.since));
        self.uploads.requests.push_back((link, extent));
    }

    /// A peer has no use for its slot.
    pub(super) fn returned(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        if self.uploads.take_grant(link, id).is_none() {
            self.violation(link, Violation::NoSlot, turn);
        }
    }

    /// A peer no longer waits for a slot.
    pub(super) fn withdraw(&mut self, link: LinkId, file: FileId, turn: &mut Turn<'_>) {
        if let Some(at) = self.uploads.queue.iter().position(|waiting| *waiting == (link, file)) {
            self.uploads.queue.remove(at);
            self.send(link, PeerMessage::Withdrawn { file }, turn);
        }
    }

    /// A peer has a piece from elsewhere.
    pub(super) fn cancel_upload(&mut self, link: LinkId, id: FileId, piece: u32, turn: &mut Turn<'_>) {
        let wanted = |extent: &Extent| extent.file == id && extent.piece == piece;
        if let Some(at) =
            self.uploads.requests.iter().position(|(other, extent)| *other == link && wanted(extent))
        {
            self.uploads.requests.remove(at);
            return self.send(link, PeerMessage::Cancelled { file: id, piece }, turn);
        }
        let sending = self.uploads.sending.iter_mut().find(|(_, s)| s.link == link && wanted(&s.extent));
        match sending {
            Some((job, sending)) => {
                sending.cancelled = true;
                turn.act(Action::Stop { job: *job });
            }
            // All of it has left already.
            None => self.send(link, PeerMessage::Cancelled { file: id, piece }, turn),
        }
    }

    /// Forgets what a link, or a file on it, has to do with uploads.
    pub(super) fn forget_uploads(&mut self, link: LinkId, file: Option<FileId>, turn: &mut Turn<'_>) {
        let concerns = |other: LinkId, id: FileId| other == link && file.is_none_or(|file| file == id);
        let uploads = &mut self.uploads;
        uploads.queue.retain(|(other, id)| !concerns(*other, *id));
        uploads.granted.retain(|granted| !concerns(granted.link, granted.file));
        uploads.offers.retain(|offer| !concerns(offer.link, offer.file));
        uploads.requests.retain(|(other, extent)| !concerns(*other, extent.file));
        uploads.told_busy.retain(|(other, id)| !concerns(*other, *id));
        for (job, _) in uploads.sending.iter().filter(|(_, s)| concerns(s.link, s.extent.file)) {
            turn.act(Action::Stop { job: *job });
        }
    }

    /// Grants slots that are free, begins sending, and tells those that were turned away that there is room.
    pub(super) fn serve(&mut self, turn: &mut Turn<'_>) {
        if self.is_quitting(turn) {
            return;
        }
        self.start_sends(turn);
        while self.uploads.in_use() < self.uploads.slots(turn.now) {
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
        let rank = |link: LinkId, file: FileId| (!files.is_new(link, file), uploads.in_use_by(link));
        let (at, _) = (0usize..).zip(&uploads.queue).min_by_key(|(_, (link, file))| rank(*link, *file))?;
        uploads.queue.remove(at)
    }

    /// Keeps a free place for each that was turned away, as far as there are places.
    fn offer_places(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..self.uploads.room(turn.now) {
            let Some(at) = self.next_to_offer(turn.now) else { return };
            let Some((link, file)) = self.uploads.told_busy.swap_remove_back(at) else { return };
            self.uploads.offers.push(Granted { link, file, since: turn.now });
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
        while self.uploads.sending.len() < self.uploads.side_by_side(turn.now) {
            let Some((link, extent)) = self.uploads.requests.pop_front() else { return };
            let file = self.files.get_mut(extent.file);
            let Some(neighbour) = file.and_then(|file| file.neighbours.get_mut(&link)) else { continue };
            neighbour.was_served = true;
            let theirs = neighbour.theirs;
            let work = Work::Send { link, extent, theirs };
            let job = self.jobs.start(Job::Send, work, turn);
            self.uploads.sending.insert(job, Sending { link, extent, since: turn.now, cancelled: false });
        }
    }

    pub(super) fn sent(&mut self, job: JobId, outcome: Outcome, turn: &mut Turn<'_>) {
        let Some(Sending { link, extent, since, cancelled }) = self.uploads.sending.remove(&job) else {
            return;
        };
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
        let late = |granted: &&Granted| turn.now.since(granted.since) >= GRANT_PATIENCE;
        let links: Vec<LinkId> = self
            .uploads
            .granted
            .iter()
            .chain(&self.uploads.offers)
            .filter(late)
            .map(|granted| granted.link)
            .collect();
        for link in links {
            self.violation(link, Violation::SlotUnused, turn);
        }
    }
}

impl Uploads {
    /// Uses up a granted slot; none if there is none.
    fn take_grant(&mut self, link: LinkId, file: FileId) -> Option<Granted> {
        let at = self.granted.iter().position(|granted| granted.link == link && granted.file == file)?;
        Some(self.granted.remove(at))
    }

    /// Gives up a place that was kept, if one was.
    fn take_offer(&mut self, link: LinkId, file: FileId) {
        if let Some(at) = self.offers.iter().position(|offer| offer.link == link && offer.file == file) {
            self.offers.swap_remove(at);
        }
    }

    fn tell_later(&mut self, link: LinkId, file: FileId) {
        if !self.told_busy.contains(&(link, file)) {
            self.told_busy.push_back((link, file));
        }
    }
}
