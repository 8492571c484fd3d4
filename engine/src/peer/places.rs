//! Who waits for pieces from here, and how far each is: from a place that is kept in the queue to a piece that is being sent.
//!
//! There are few places, so they stand in one short list, each stage in the order in which it was reached; to reach a stage is to go to the
//! end of the list.

use alloc::vec::Vec;

use super::rate::Smooth;
use crate::id::{FileId, JobId, LinkId};
use crate::limits::{ANSWER_PATIENCE, FAST_PIECE, GRANTS_MAX, SENDS_FAST, UPLOAD_QUEUE_MAX};
use crate::piece::Extent;
use crate::table::make_room;
use crate::time::{Span, Time};

/// On a slow uplink the next slot is granted when no more than this part of a piece's time is left, or what an answer takes.
const AHEAD: u64 = 8;

/// Slots and queue of this peer as an uploader.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    pub(super) places: Vec<Place>,
    /// Links that were told that the queue is full, and not yet that it has a place for them.
    pub(super) told_busy: Vec<(LinkId, FileId)>,
    pub(super) piece_time: Smooth,
    /// From the grant of a slot to the name of the piece.
    pub(super) answer_time: Smooth,
    pub(super) last_sent: Time,
}

/// Somebody on the way to a piece from here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) link: LinkId,
    pub(super) file: FileId,
    pub(super) stage: Stage,
    /// Since when it is at this stage.
    pub(super) since: Time,
}

/// How far somebody is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// A place in the queue is kept for it, since it was told of that.
    Offered,
    /// It waits for a slot: first come, first served.
    Queued,
    /// It has a slot, and has not named a piece.
    Granted,
    /// It has named a piece, which is not being sent yet.
    Named(Extent),
    /// The piece is being sent.
    Sending { extent: Extent, job: JobId, cancelled: bool },
}

impl Stage {
    pub(super) const fn is_queued(&self) -> bool {
        matches!(self, Stage::Queued)
    }

    pub(super) const fn is_offered(&self) -> bool {
        matches!(self, Stage::Offered)
    }

    pub(super) const fn is_granted(&self) -> bool {
        matches!(self, Stage::Granted)
    }

    pub(super) const fn is_named(&self) -> bool {
        matches!(self, Stage::Named(_))
    }

    pub(super) const fn is_sending(&self) -> bool {
        matches!(self, Stage::Sending { .. })
    }

    /// Whether it has a slot.
    const fn has_slot(&self) -> bool {
        matches!(self, Stage::Granted | Stage::Named(_) | Stage::Sending { .. })
    }
}

impl Uploads {
    pub(super) fn is_fast(&self) -> bool {
        self.piece_time.get().is_some_and(|time| time <= FAST_PIECE)
    }

    /// Those at a stage, in the order in which they reached it.
    pub(super) fn at(&self, stage: impl Fn(&Stage) -> bool) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(move |place| stage(&place.stage))
    }

    fn count(&self, stage: impl Fn(&Stage) -> bool) -> usize {
        self.at(stage).count()
    }

    pub(super) fn queued(&self) -> usize {
        self.count(Stage::is_queued)
    }

    pub(super) fn sending(&self) -> usize {
        self.count(Stage::is_sending)
    }

    pub(super) fn in_use(&self) -> usize {
        self.count(Stage::has_slot)
    }

    /// How many slots may be in use. On a slow uplink the next is granted just before the piece that is being sent has left, so that the
    /// choice of the next piece is as late as can be.
    pub(super) fn slots(&self, now: Time) -> usize {
        if self.is_fast() {
            return GRANTS_MAX;
        }
        let ahead = self.grant_ahead_at().is_some_and(|at| at <= now);
        let unanswered = self.count(Stage::is_granted) - self.waits_for(Stage::is_granted, now);
        (self.side_by_side(now) + usize::from(ahead) + unanswered).min(GRANTS_MAX)
    }

    /// When the next slot is to be granted, if something is being sent, and it is known how long that takes: whoever is granted one too
    /// early on a slow uplink waits for so long that it gives up.
    pub(super) fn grant_ahead_at(&self) -> Option<Time> {
        let began = self.at(Stage::is_sending).map(|place| place.since).min()?;
        let piece_time = self.piece_time.get()?;
        let answer_time = self.answer_time.get().unwrap_or(piece_time);
        let lead_us = (piece_time.0 / AHEAD).max(answer_time.0 * 3 / 2);
        Some(began + Span(piece_time.0.saturating_sub(lead_us)))
    }

    /// How many places one link may take, so that each that waits comes to its turn.
    pub(super) fn fair_share(&self, now: Time) -> usize {
        (self.slots(now) + UPLOAD_QUEUE_MAX).div_ceil(self.told_busy.len() + 1)
    }

    /// Of slots or places, those whose owners may still be about to answer. Others are not kept free for them: whoever is cut off would
    /// otherwise stop the uplink.
    fn waits_for(&self, stage: impl Fn(&Stage) -> bool, now: Time) -> usize {
        let usual = self.answer_time.get().unwrap_or(Span::ZERO);
        let patience = ANSWER_PATIENCE.max(usual * 4);
        self.at(stage).filter(|place| now.since(place.since) < patience).count()
    }

    /// Places in slots and queue that nobody has, and for which nobody was asked just now.
    pub(super) fn room(&self, now: Time) -> usize {
        let taken = self.in_use() + self.queued() + self.waits_for(Stage::is_offered, now);
        (self.slots(now) + UPLOAD_QUEUE_MAX).saturating_sub(taken)
    }

    /// Slots that a link has.
    pub(super) fn in_use_by(&self, link: LinkId) -> usize {
        self.places.iter().filter(|place| place.link == link && place.stage.has_slot()).count()
    }

    /// Slots that a link has, waits for or was offered.
    pub(super) fn of_link(&self, link: LinkId) -> usize {
        self.places.iter().filter(|place| place.link == link).count()
    }

    /// Slots in use or waited for.
    pub(super) fn load(&self) -> u16 {
        u16::try_from(self.count(|stage| !stage.is_offered())).unwrap_or(u16::MAX)
    }

    /// How many pieces are sent side by side; one more for each that has long been under way, so that a slow reader blocks nobody.
    pub(super) fn side_by_side(&self, now: Time) -> usize {
        let patience = self.piece_time.get().map_or(Span::from_secs(1), |time| time * 4);
        let slow = self.at(Stage::is_sending).filter(|place| now.since(place.since) > patience).count();
        if self.is_fast() { SENDS_FAST + slow } else { 1 + slow }
    }

    pub(super) fn is_sending(&self) -> bool {
        self.sending() > 0
    }

    pub(super) fn is_idle(&self) -> bool {
        self.places.is_empty() && self.told_busy.is_empty()
    }

    /// Somebody reaches a stage.
    pub(super) fn reach(&mut self, stage: Stage, (link, file): (LinkId, FileId), now: Time) {
        make_room(&mut self.places);
        self.places.push(Place { link, file, stage, since: now });
    }

    /// Takes out the first that a file on a link has at a stage, if there is one.
    pub(super) fn take(
        &mut self,
        link: LinkId,
        file: FileId,
        stage: impl Fn(&Stage) -> bool,
    ) -> Option<Place> {
        let is = |place: &Place| place.link == link && place.file == file && stage(&place.stage);
        let at = self.places.iter().position(is)?;
        Some(self.places.remove(at))
    }

    /// Takes out the first that has named a piece.
    pub(super) fn take_named(&mut self) -> Option<(LinkId, Extent)> {
        let at = self.places.iter().position(|place| place.stage.is_named())?;
        let Place { link, stage: Stage::Named(extent), .. } = self.places.remove(at) else { return None };
        Some((link, extent))
    }

    pub(super) fn tell_later(&mut self, link: LinkId, file: FileId) {
        if !self.told_busy.contains(&(link, file)) {
            self.told_busy.push((link, file));
        }
    }

    pub(super) fn check(&self) {
        assert!(self.in_use() <= GRANTS_MAX, "no more slots are used than there are");
        assert!(self.queued() <= UPLOAD_QUEUE_MAX + 1, "no more than one goes before others");
    }
}
