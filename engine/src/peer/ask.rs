//! Asking for slots: whom, how many, and which piece once a slot is granted.
//!
//! A peer queues at an uploader for a slot, never for a piece: which piece it is, is decided when the slot is granted. Each request for
//! a slot has one of our buffers in reserve, so that what is granted can always be received.

use alloc::vec::Vec;

use rand::RngExt as _;

use super::Peer;
use super::file::{Download, File, Flight, Neighbour, Source};
use super::io::Action;
use super::link::Link;
use super::strategy::Strategy;
use super::turn::Turn;
use crate::id::{FileId, LinkId, Slot};
use crate::limits::{
    COPY_PATIENCE, END_GAME_COPIES, END_GAME_COPIES_MAX, FAST_PIECE, OUTSTANDING_PER_LINK, OUTSTANDING_SLOW,
    RANDOM_FIRST_PIECES, SLOTS, STALL,
};
use crate::time::{Span, Time};
use crate::violation::Violation;
use crate::wire::peer::PeerMessage;

/// Requests for slots beyond the number of pieces that are coming in.
const SPARE_ASKS: usize = 4;
/// Requests for slots when pieces are fast: half of all buffers.
const ASKS_FAST: usize = SLOTS as usize / 2;

impl Peer {
    /// Asks for as many slots as there is use and room for.
    pub(super) fn fill(&mut self, turn: &mut Turn<'_>) {
        if self.reserved == self.free_slots.len() {
            return;
        }
        let mut downloads =
            self.files.downloads().filter(|(_, file)| may_fetch(file, turn.now)).map(|(id, _)| id);
        let Some(only) = downloads.next() else { return };
        let mut ids: Vec<FileId> = downloads.collect();
        if ids.is_empty() {
            return self.fill_file(only, usize::from(SLOTS), turn);
        }
        ids.push(only);
        let share = usize::from(SLOTS).div_ceil(ids.len()).max(OUTSTANDING_SLOW);
        let first = self.peer_rng.random_range(0..ids.len());
        ids.rotate_left(first);
        for id in ids {
            self.fill_file(id, share, turn);
        }
    }

    /// Asks for slots for one file, until it has its share.
    fn fill_file(&mut self, id: FileId, share: usize, turn: &mut Turn<'_>) {
        while self.reserved < self.free_slots.len() {
            let Some(link) = self.next_uploader(id, share, turn.now) else { return };
            self.ask_for_slot(link, id, turn);
        }
    }

    /// The neighbour to ask for the next slot, by the chosen strategy; one that sent a bad piece, or was silent, only if no
    /// other holds what is wanted.
    fn next_uploader(&mut self, id: FileId, share: usize, now: Time) -> Option<LinkId> {
        let file = self.files.get(id)?;
        let download = file.download()?;
        // Who waits at more places than it has pieces coming in keeps others from them; so does one who holds nothing yet, and
        // comes before others, if it has many pieces coming in. Where many pieces come in at once, that would give most to whoever has most:
        // there all wait at as many places.
        let patient = match file.held.count() {
            0 => SPARE_ASKS.saturating_sub(download.flights.len()),
            _ if self.piece_time.get().is_some_and(|time| time <= FAST_PIECE) => ASKS_FAST,
            _ => SPARE_ASKS + download.flights.len(),
        };
        let hopeful = download.asks - download.overdue;
        if download.outstanding() >= share || hopeful >= askable(download, self.late(now)).min(patient) {
            return None;
        }
        let (links, bad, rng) = (&self.links, &self.bad_pieces, &mut self.peer_rng);
        let silent = &self.silent;
        let is_bad = |id: &LinkId| {
            links.get(*id).is_some_and(|link| bad.contains_key(&link.device) || silent.contains(&link.device))
        };
        let bad_will_do = (bad.is_empty() && silent.is_empty())
            || !file.neighbours.iter().any(|(id, n)| n.useful > 0 && !is_bad(id));
        let strategy = self.config.strategy;
        // Who was never measured is taken for one like the others.
        let typical = self.piece_time.get().unwrap_or_default();
        file.neighbours
            .iter()
            .filter_map(|(id, neighbour)| {
                // Most have no place for us: they are passed over before their link is looked up.
                if !is_open(neighbour) || (!bad_will_do && is_bad(id)) {
                    return None;
                }
                let link = links.get(*id).filter(|link| can_ask(neighbour, link, now))?;
                let rank = rank(strategy, neighbour, link, now, typical);
                Some(((rank, rng.random::<u32>()), *id))
            })
            .min()
            .map(|(_, link)| link)
    }

    fn ask_for_slot(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id) else { return };
        let Some(neighbour) = file.neighbours.get_mut(&link) else { return };
        if neighbour.asks == 0 {
            neighbour.asked = turn.now;
        }
        neighbour.asks += 1;
        if let Some(download) = file.download_mut() {
            download.asks += 1;
        }
        self.reserved += 1;
        self.send(link, PeerMessage::Ask { file: id }, turn);
    }

    /// A request for a slot was answered; false if there was none.
    fn ask_answered(&mut self, link: LinkId, id: FileId, now: Time) -> bool {
        let Some(file) = self.files.get_mut(id) else { return false };
        let Some(neighbour) = file.neighbours.get_mut(&link).filter(|neighbour| neighbour.asks > 0) else {
            return false;
        };
        let overdue = if core::mem::take(&mut neighbour.overdue) { neighbour.asks } else { 0 };
        neighbour.asks -= 1;
        neighbour.asked = now;
        neighbour.withdrawing &= neighbour.asks > 0;
        if let Some(download) = file.download_mut() {
            download.asks -= 1;
            download.overdue -= overdue;
        }
        self.reserved -= 1;
        true
    }

    /// An uploader said how long its queue is.
    pub(super) fn queue_is(&mut self, link: LinkId, queue: u16) {
        if let Some(there) = self.links.get_mut(link) {
            there.queue = queue;
        }
    }

    pub(super) fn granted(&mut self, link: LinkId, id: FileId, hint: Option<u32>, turn: &mut Turn<'_>) {
        if !self.ask_answered(link, id, turn.now) {
            return self.violation(link, Violation::UnaskedAnswer, turn);
        }
        let late = self.late(turn.now);
        let fetching = self.files.get(id).filter(|file| may_fetch(file, turn.now));
        let may_fetch = fetching.is_some();
        let picked = fetching.and_then(|file| {
            let neighbour = file.neighbours.get(&link)?;
            pick(file, neighbour, link, hint, late, &mut self.piece_rng)
        });
        let slot = picked.and_then(|_| self.free_slots.pop());
        match (picked, slot) {
            (Some(piece), Some(slot)) => self.request(link, id, piece, slot, turn),
            _ => {
                if let Some(neighbour) = self.neighbour_mut(link, id) {
                    neighbour.fruitless = may_fetch;
                }
                self.send(link, PeerMessage::Return { file: id }, turn);
            }
        }
    }

    fn request(&mut self, link: LinkId, id: FileId, piece: u32, slot: Slot, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id) else { return };
        let Some(extent) = file.content.size.extent(id, piece) else { return };
        if let Some(neighbour) = file.neighbours.get_mut(&link) {
            neighbour.requests += 1;
        }
        if let Some(download) = file.download_mut() {
            download.picker.remove(piece);
            let end_game = download.picker.wanted() == 0;
            let source = Source { link, slot, asked: turn.now };
            download.flights.or_default(piece).sources.push(source);
            if end_game {
                // From now on second copies are wanted, so those that had nothing may have something.
                file.neighbours.values_mut().for_each(|neighbour| neighbour.fruitless = false);
            }
        }
        if let Some(there) = self.links.get_mut(link) {
            if there.owed == 0 {
                there.waiting_since = turn.now;
            }
            there.owed += 1;
        }
        turn.act(Action::Expect { link, extent, slot });
        self.send(link, PeerMessage::Request { file: id, piece }, turn);
    }

    pub(super) fn busy(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        if !self.ask_answered(link, id, turn.now) {
            return self.violation(link, Violation::UnaskedAnswer, turn);
        }
        if let Some(neighbour) = self.neighbour_mut(link, id) {
            neighbour.busy = true;
        }
    }

    pub(super) fn withdrawn(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        let neighbour = self.neighbour_mut(link, id);
        let expected = neighbour.is_some_and(|neighbour| core::mem::take(&mut neighbour.withdrawing));
        if !expected || !self.ask_answered(link, id, turn.now) {
            self.violation(link, Violation::UnaskedAnswer, turn);
        }
    }

    /// An uploader whose queue was full keeps a place in it: take it now, or pass.
    pub(super) fn offered(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        let Some(neighbour) = self.neighbour_mut(link, id) else { return };
        neighbour.busy = false;
        let before = neighbour.asks;
        self.fill(turn);
        turn.fills = false;
        if self.neighbour_mut(link, id).is_some_and(|neighbour| neighbour.asks == before) {
            self.send(link, PeerMessage::Pass { file: id }, turn);
        }
    }

    /// In the end game, a copy that was asked for before this time does not count any more.
    pub(super) fn late(&self, now: Time) -> Time {
        let patience = self.piece_time.get().map_or(STALL, |typical| (typical * 4).max(COPY_PATIENCE));
        now - patience
    }

    fn neighbour_mut(&mut self, link: LinkId, id: FileId) -> Option<&mut Neighbour> {
        self.files.get_mut(id)?.neighbours.get_mut(&link)
    }
}

/// Whether pieces of a file can be asked for now.
fn may_fetch(file: &File, now: Time) -> bool {
    // After a pause for want of room, one piece at a time finds out whether there is some; one that somebody has long owed does not.
    let fresh = |flight: &Flight| {
        flight.arrived > 0 || flight.sources.iter().any(|source| now.since(source.asked) < STALL)
    };
    let paused = |download: &Download| {
        download.paused_until.is_some_and(|until| now < until || download.flights.values().any(fresh))
    };
    file.hashes.is_some() && file.download().is_some_and(|download| !paused(download))
}

/// How many slots there is use for: the pieces not under way, or in the end game those under way once only.
pub(super) fn askable(download: &Download, late: Time) -> usize {
    if download.picker.wanted() > 0 {
        return download.picker.wanted();
    }
    download.flights.values().filter(|flight| needs_a_copy(flight, late)).count()
}

/// Whether a further copy of a piece is wanted in the end game: those that are late do not count, up to a limit.
fn needs_a_copy(flight: &Flight, late: Time) -> bool {
    let in_time = flight.sources.iter().filter(|source| source.asked > late).count();
    let more = in_time < END_GAME_COPIES && flight.sources.len() < END_GAME_COPIES_MAX;
    more && !flight.verified && flight.arrived == 0
}

/// Whether a neighbour has something for us, and perhaps a place.
const fn is_open(neighbour: &Neighbour) -> bool {
    let waits = neighbour.overdue || neighbour.withdrawing || neighbour.busy;
    neighbour.useful > 0 && !neighbour.fruitless && !waits
}

fn can_ask(neighbour: &Neighbour, link: &Link, now: Time) -> bool {
    let depth = match link.piece_time.get() {
        // Who never gave anything gets one try at a time.
        None => 1,
        Some(time) if time <= FAST_PIECE => OUTSTANDING_PER_LINK,
        Some(_) => OUTSTANDING_SLOW,
    };
    link.rests_until <= now && neighbour.outstanding() < depth
}

/// What a strategy orders uploaders by: the least is asked.
fn rank(strategy: Strategy, neighbour: &Neighbour, link: &Link, now: Time, typical: Span) -> u64 {
    match strategy {
        Strategy::LeastLoaded => neighbour.outstanding() as u64,
        Strategy::FewestPieces => u64::from(neighbour.have.count()),
        Strategy::Random => 0,
        Strategy::Adaptive => link.expected(now, neighbour.outstanding(), typical).0,
    }
}

/// The piece to ask of a neighbour that granted a slot: random first, then rarest; then a second copy of what is long under way.
///
/// Among equally rare pieces the uploader's hint decides: one who holds all of a file knows best what it has not given to anybody yet.
fn pick(
    file: &File,
    neighbour: &Neighbour,
    link: LinkId,
    hint: Option<u32>,
    late: Time,
    rng: &mut crate::seed::Choice,
) -> Option<u32> {
    let download = file.download()?;
    let random_first = file.held.count() < RANDOM_FIRST_PIECES;
    if let Some(piece) = download.picker.pick(&neighbour.have, random_first, rng) {
        let rarity = download.picker.availability(piece);
        let as_good = |hint: &u32| {
            *hint < file.held.len()
                && download.picker.wants(*hint)
                && neighbour.have.has(*hint)
                && download.picker.availability(*hint) <= rarity
        };
        let piece = hint.filter(as_good).unwrap_or(piece);
        return Some(piece).filter(|piece| !neighbour.cancelling.contains(piece));
    }
    if download.picker.wanted() > 0 {
        return None;
    }
    let elsewhere = |flight: &Flight| flight.sources.iter().all(|source| source.link != link);
    download
        .flights
        .iter()
        .filter(|(piece, flight)| {
            needs_a_copy(flight, late) && elsewhere(flight) && neighbour.have.has(**piece)
        })
        .filter(|(piece, _)| !neighbour.cancelling.contains(piece))
        .min_by_key(|(_, flight)| flight.sources.iter().map(|source| source.asked).min())
        .map(|(piece, _)| *piece)
}
