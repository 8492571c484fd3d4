//! Serving pieces: a short queue of requests for slots, and pieces sent one after another.
//!
//! Whoever asks for a slot hears at once whether it may wait. A slot is used for one piece, named when it is granted. On a slow
//! uplink pieces go one after another, since a piece that has arrived can be served on; on a fast one several, to hide the round trips.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::Peer;
use super::alarm::Alarm;
use super::io::{Action, Outcome, Work};
use super::jobs::Job;
use super::rate::Smooth;
use super::turn::Turn;
use crate::id::{FileId, JobId, LinkId};
use crate::limits::{
    FAST_PIECE, GRANT_PATIENCE, GRANTS_MAX, OUTSTANDING_SLOW, SENDS_FAST, SWEEP, UPLOAD_QUEUE_MAX,
};
use crate::piece::Extent;
use crate::time::{Span, Time};
use crate::violation::Violation;
use crate::wire::peer::PeerMessage;

/// Slots and queue of this peer as an uploader.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// Requests for slots that wait, first come, first served.
    queue: VecDeque<(LinkId, FileId)>,
    /// Slots granted for which no piece was named yet.
    granted: Vec<Granted>,
    /// Pieces named that are not being sent yet.
    requests: VecDeque<(LinkId, Extent)>,
    sending: BTreeMap<JobId, Sending>,
    /// Links that were told that the queue is full, and not yet that it has room.
    told_busy: VecDeque<(LinkId, FileId)>,
    piece_time: Smooth,
    last_sent: Time,
}

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

    fn slots(&self) -> usize {
        if self.is_fast() { GRANTS_MAX } else { OUTSTANDING_SLOW }
    }

    fn in_use(&self) -> usize {
        self.granted.len() + self.requests.len() + self.sending.len()
    }

    fn of_link(&self, link: LinkId) -> usize {
        self.queue.iter().filter(|(other, _)| *other == link).count()
            + self.granted.iter().filter(|granted| granted.link == link).count()
            + self.requests.iter().filter(|(other, _)| *other == link).count()
            + self.sending.values().filter(|sending| sending.link == link).count()
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

    pub(super) fn is_idle(&self) -> bool {
        self.in_use() == 0 && self.queue.is_empty() && self.told_busy.is_empty()
    }

    pub(super) fn check(&self) {
        assert!(self.in_use() <= GRANTS_MAX, "no more slots are used than there are");
        assert!(self.queue.len() <= UPLOAD_QUEUE_MAX);
    }
}

impl Peer {
    /// A peer asks for a slot.
    pub(super) fn asked(&mut self, link: LinkId, file: FileId, turn: &mut Turn<'_>) {
        let fair = self.fair_share(file);
        let uploads = &mut self.uploads;
        let message = if uploads.of_link(link) >= fair {
            uploads.tell_later(link, file);
            PeerMessage::Busy { file, queue: uploads.load() }
        } else if uploads.in_use() < uploads.slots() && uploads.queue.is_empty() {
            uploads.granted.push(Granted { link, file, since: turn.now });
            PeerMessage::Grant { file, queue: uploads.load() }
        } else if uploads.queue.len() < UPLOAD_QUEUE_MAX {
            uploads.queue.push_back((link, file));
            PeerMessage::Queued { file, queue: uploads.load() }
        } else {
            uploads.tell_later(link, file);
            PeerMessage::Busy { file, queue: uploads.load() }
        };
        self.alarms.set(Alarm::Sweep, turn.now + SWEEP);
        self.send(link, message, turn);
    }

    /// How many places one link may take, so that each that fetches the file comes to its turn.
    fn fair_share(&self, id: FileId) -> usize {
        let leechers = self
            .files
            .get(id)
            .map_or(0, |file| file.neighbours.values().filter(|n| !n.have.is_full()).count());
        (self.uploads.slots() + UPLOAD_QUEUE_MAX).div_ceil(leechers.max(1))
    }

    /// A peer names the piece for which it was granted a slot.
    pub(super) fn requested(&mut self, link: LinkId, id: FileId, piece: u32, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id) else { return };
        let Some(extent) = file.content.size.extent(id, piece) else {
            return self.violation(link, Violation::NoSuchPiece, turn);
        };
        if !file.held.has(piece) {
            return self.violation(link, Violation::NotHeld, turn);
        }
        if !self.uploads.take_grant(link, id) {
            return self.violation(link, Violation::NoSlot, turn);
        }
        self.uploads.requests.push_back((link, extent));
    }

    /// A peer has no use for its slot.
    pub(super) fn returned(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        if !self.uploads.take_grant(link, id) {
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
        uploads.requests.retain(|(other, extent)| !concerns(*other, extent.file));
        uploads.told_busy.retain(|(other, id)| !concerns(*other, *id));
        for (job, _) in uploads.sending.iter().filter(|(_, s)| concerns(s.link, s.extent.file)) {
            turn.act(Action::Stop { job: *job });
        }
    }

    /// Grants slots that are free, begins sending, and tells those that were turned away that there is room.
    pub(super) fn serve(&mut self, turn: &mut Turn<'_>) {
        self.start_sends(turn);
        while self.uploads.in_use() < self.uploads.slots() {
            let Some((link, file)) = self.uploads.queue.pop_front() else { break };
            self.uploads.granted.push(Granted { link, file, since: turn.now });
            let queue = self.uploads.load();
            self.send(link, PeerMessage::Grant { file, queue }, turn);
        }
        let mut room = UPLOAD_QUEUE_MAX.saturating_sub(self.uploads.queue.len())
            + self.uploads.slots().saturating_sub(self.uploads.in_use());
        for (link, file) in core::mem::take(&mut self.uploads.told_busy) {
            if room == 0 || self.uploads.of_link(link) >= self.fair_share(file) {
                self.uploads.told_busy.push_back((link, file));
                continue;
            }
            let queue = self.uploads.load();
            self.send(link, PeerMessage::Free { queue }, turn);
            room -= 1;
        }
    }

    fn start_sends(&mut self, turn: &mut Turn<'_>) {
        while self.uploads.sending.len() < self.uploads.side_by_side(turn.now) {
            let Some((link, extent)) = self.uploads.requests.pop_front() else { return };
            let theirs =
                self.files.get(extent.file).and_then(|file| file.neighbours.get(&link)).map(|n| n.theirs);
            let Some(theirs) = theirs else { continue };
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

    /// Looks for slots that are granted and not used.
    pub(super) fn sweep_uploads(&mut self, turn: &mut Turn<'_>) {
        let late = |granted: &&Granted| turn.now.since(granted.since) >= GRANT_PATIENCE;
        let links: Vec<LinkId> =
            self.uploads.granted.iter().filter(late).map(|granted| granted.link).collect();
        for link in links {
            self.violation(link, Violation::SlotUnused, turn);
        }
    }
}

impl Uploads {
    /// Uses up a granted slot; false if there is none.
    fn take_grant(&mut self, link: LinkId, file: FileId) -> bool {
        let at = self.granted.iter().position(|granted| granted.link == link && granted.file == file);
        at.map(|at| self.granted.remove(at)).is_some()
    }

    fn tell_later(&mut self, link: LinkId, file: FileId) {
        if !self.told_busy.contains(&(link, file)) {
            self.told_busy.push_back((link, file));
        }
    }
}
