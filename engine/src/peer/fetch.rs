//! Fetching pieces: hashes first, then a slot at an uploader, then the piece that is rarest by then.
//!
//! A peer queues at an uploader for a slot, never for a piece: which piece it is, is decided when the slot is granted. Each request for
//! a slot has one of our buffers in reserve, so that what is granted can always be received.

use alloc::vec::Vec;

use rand::RngExt as _;

use super::Peer;
use super::alarm::Alarm;
use super::command::{Failure, News};
use super::file::{Download, File, Flight, Gathering, Neighbour, Source};
use super::io::{Action, Outcome, Work};
use super::jobs::Job;
use super::link::Link;
use super::strategy::Strategy;
use super::turn::Turn;
use crate::id::{ChainingValue, FileId, LinkId, Sha1, Slot};
use crate::limits::{
    BAD_PIECES_BAN, DISK_RETRY, END_GAME_COPIES, FAST_PIECE, HASHES_PER_MESSAGE, OUTSTANDING_PER_LINK,
    OUTSTANDING_SLOW, PIECES_PER_SYNC, RANDOM_FIRST_PIECES, SLOTS, STALL, SWEEP,
};
use crate::piece::{Extent, Hashes, PieceDigest};
use crate::refusal::DiskError;
use crate::time::{Span, Time};
use crate::violation::Violation;
use crate::wire::list::List;
use crate::wire::peer::PeerMessage;

/// How long a piece is expected to take from a peer that was never measured: optimistic, so that each gets a try.
const UNMEASURED: Span = Span::from_millis(1);

/// The same, before a request for a slot that nobody answered is taken back: pessimistic, so that slow peers keep their turn.
const UNTRIED: Span = Span(STALL.0 / 4);

impl Peer {
    /// Asks a neighbour that holds something for the piece hashes, if they are not known or on their way.
    pub(super) fn gather_hashes(&mut self, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id) else { return };
        let unknown =
            file.hashes.is_none() && file.download().is_some_and(|download| download.gathering.is_none());
        if !unknown {
            return;
        }
        let now = turn.now;
        let links = &self.links;
        let rested = |link: &LinkId| links.get(*link).is_some_and(|link| link.rests_until <= now);
        let Some(link) = file
            .neighbours
            .iter()
            .find(|(link, n)| n.have.count() > 0 && rested(link))
            .map(|(link, _)| *link)
        else {
            return;
        };
        if let Some(download) = file.download_mut() {
            download.gathering = Some(Gathering { link, list: Vec::new(), since: now });
        }
        self.send(link, PeerMessage::GetHashes { file: id, from: 0 }, turn);
    }

    /// Somebody wants the piece hashes of a file. A downloader that lacks them itself sends none.
    pub(super) fn tell_hashes(&mut self, link: LinkId, id: FileId, from: u32, turn: &mut Turn<'_>) {
        let known = self.files.get(id).and_then(|file| file.hashes.as_ref());
        let rest = known.map_or(&[][..], |hashes| hashes.list().get(from as usize..).unwrap_or_default());
        let list = List::new(rest.iter().take(HASHES_PER_MESSAGE).copied().collect());
        self.send(link, PeerMessage::Hashes { file: id, from, list }, turn);
    }

    /// Piece hashes came, or word that there are none.
    pub(super) fn hashes(&mut self, link: LinkId, id: FileId, from: u32, page: &[Sha1], turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id) else { return };
        let (len, root) = (file.held.len() as usize, file.content.hashes);
        let Some(download) = file.download_mut() else { return };
        let Some(gathering) = download.gathering.as_mut().filter(|gathering| gathering.link == link) else {
            return self.violation(link, Violation::UnaskedAnswer, turn);
        };
        if from as usize != gathering.list.len() || gathering.list.len() + page.len() > len {
            return self.violation(link, Violation::FalseHashes, turn);
        }
        gathering.list.extend_from_slice(page);
        gathering.since = turn.now;
        let have = gathering.list.len();
        if page.is_empty() {
            download.gathering = None;
            self.rest(link, turn);
            return self.gather_hashes(id, turn);
        }
        if have < len {
            let from = u32::try_from(have).unwrap_or(u32::MAX);
            return self.send(link, PeerMessage::GetHashes { file: id, from }, turn);
        }
        let list = download.gathering.take().map(|gathering| gathering.list).unwrap_or_default();
        let hashes = Hashes::new(list);
        if hashes.root() != root {
            return self.violation(link, Violation::FalseHashes, turn);
        }
        file.hashes = Some(hashes);
        self.finish_if_whole(id, turn);
    }

    /// Asks nothing of a peer for a while.
    fn rest(&mut self, link: LinkId, turn: &Turn<'_>) {
        if let Some(there) = self.links.get_mut(link) {
            there.stalls += 1;
            there.rests_until = turn.now + STALL * (1 << there.stalls.min(3));
        }
    }

    /// Asks for as many slots as there is use and room for.
    pub(super) fn fill(&mut self, turn: &mut Turn<'_>) {
        let mut ids: Vec<FileId> =
            self.files.active().filter(|(_, file)| may_fetch(file, turn.now)).map(|(id, _)| id).collect();
        if ids.is_empty() {
            return;
        }
        let share = usize::from(SLOTS).div_ceil(ids.len()).max(OUTSTANDING_SLOW);
        let first = self.peer_rng.random_range(0..ids.len());
        ids.rotate_left(first);
        for id in ids {
            while self.reserved < self.free_slots.len() {
                let Some(link) = self.next_uploader(id, share, turn.now) else { break };
                self.ask_for_slot(link, id, turn);
            }
        }
    }

    /// The neighbour to ask for the next slot, by the chosen strategy; one that sent a bad piece only if nobody else can help.
    fn next_uploader(&mut self, id: FileId, share: usize, now: Time) -> Option<LinkId> {
        let file = self.files.get(id)?;
        let download = file.download()?;
        if download.outstanding() >= share || download.asks >= askable(download) {
            return None;
        }
        let (links, bad, rng) = (&self.links, &self.bad_pieces, &mut self.peer_rng);
        let strategy = self.config.strategy;
        file.neighbours
            .iter()
            .filter_map(|(id, neighbour)| {
                let link = links.get(*id).filter(|link| can_ask(neighbour, link, now))?;
                let rank = rank(strategy, neighbour, link);
                Some(((bad.contains_key(&link.device), rank, rng.random::<u32>()), *id))
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
        neighbour.asks -= 1;
        neighbour.asked = now;
        neighbour.withdrawing &= neighbour.asks > 0;
        if let Some(download) = file.download_mut() {
            download.asks -= 1;
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

    pub(super) fn granted(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        if !self.ask_answered(link, id, turn.now) {
            return self.violation(link, Violation::UnaskedAnswer, turn);
        }
        let fetching = self.files.get(id).filter(|file| may_fetch(file, turn.now));
        let may_fetch = fetching.is_some();
        let picked = fetching.and_then(|file| {
            let neighbour = file.neighbours.get(&link)?;
            pick(file, neighbour, link, &mut self.piece_rng)
        });
        let slot = picked.and_then(|_| self.free_slots.pop());
        match (picked, slot) {
            (Some(piece), Some(slot)) => self.request(link, id, piece, slot, turn),
            _ => {
                if let Some(neighbour) =
                    self.files.get_mut(id).and_then(|file| file.neighbours.get_mut(&link))
                {
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
            download.flights.entry(piece).or_default().sources.push(source);
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
        let wait = self.links.get(link).map_or(SWEEP, |there| there.expected(0, SWEEP));
        if let Some(neighbour) = self.files.get_mut(id).and_then(|file| file.neighbours.get_mut(&link)) {
            // The word that there is room may be lost with what it was for, so look again in any case.
            neighbour.busy_until = turn.now + wait * 4;
        }
        self.alarms.set(Alarm::Sweep, turn.now + SWEEP);
    }

    pub(super) fn withdrawn(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        let neighbour = self.files.get_mut(id).and_then(|file| file.neighbours.get_mut(&link));
        let expected = neighbour.is_some_and(|neighbour| core::mem::take(&mut neighbour.withdrawing));
        if !expected || !self.ask_answered(link, id, turn.now) {
            self.violation(link, Violation::UnaskedAnswer, turn);
        }
    }

    /// An uploader's queue has room again.
    pub(super) fn free(&mut self, link: LinkId) {
        for file in self.files.table.values_mut() {
            if let Some(neighbour) = file.neighbours.get_mut(&link) {
                neighbour.busy_until = Time::default();
            }
        }
    }

    /// Takes a source out of a flight, if it is there.
    fn land(&mut self, link: LinkId, extent: Extent, slot: Option<Slot>) -> Option<Source> {
        let file = self.files.get_mut(extent.file)?;
        let download = file.download_mut()?;
        let flight = download.flights.get_mut(&extent.piece)?;
        let at =
            flight.sources.iter().position(|s| s.link == link && slot.is_none_or(|slot| slot == s.slot))?;
        let source = flight.sources.swap_remove(at);
        if let Some(neighbour) = file.neighbours.get_mut(&link) {
            neighbour.requests -= 1;
        }
        if let Some(there) = self.links.get_mut(link) {
            there.owed -= 1;
        }
        Some(source)
    }

    /// A piece has arrived. One that was discarded meanwhile is none of ours any more, nor is its slot.
    pub(super) fn arrived(&mut self, link: LinkId, extent: Extent, slot: Slot, turn: &mut Turn<'_>) {
        let Some(source) = self.land(link, extent, Some(slot)) else { return };
        if let Some(there) = self.links.get_mut(link) {
            there.piece_time.add(turn.now.since(there.waiting_since.max(source.asked)));
            there.waiting_since = turn.now;
            there.stalls = 0;
        }
        let Some(file) = self.files.get_mut(extent.file) else { return };
        let size = file.content.size;
        if let Some(flight) = file.download_mut().and_then(|download| download.flights.get_mut(&extent.piece))
        {
            flight.arrived += 1;
        }
        self.jobs.start(Job::Hash { extent, slot, link }, Work::Hash { slot, extent, size }, turn);
    }

    pub(super) fn hashed(
        &mut self,
        (extent, slot, link): (Extent, Slot, LinkId),
        outcome: Outcome,
        turn: &mut Turn<'_>,
    ) {
        let digest = match outcome {
            Outcome::Hashed(digest) => digest,
            other => unreachable!("hashing does not end in {other:?}"),
        };
        let file = self.files.get(extent.file).filter(|file| file.download().is_some());
        let expected =
            file.and_then(|file| file.hashes.as_ref()).map(|hashes| hashes.list()[extent.piece as usize]);
        match expected {
            // The download was stopped while the piece was being hashed.
            None => self.free_slots.push(slot),
            Some(sha1) if sha1 != digest.sha1 => self.bad_piece((extent, slot, link), turn),
            Some(_) => self.good_piece((extent, slot, link), digest, turn),
        }
    }

    fn good_piece(
        &mut self,
        (extent, slot, link): (Extent, Slot, LinkId),
        digest: PieceDigest,
        turn: &mut Turn<'_>,
    ) {
        let flight = self
            .files
            .get_mut(extent.file)
            .and_then(|file| file.download_mut()?.flights.get_mut(&extent.piece));
        let Some(flight) = flight else { return self.free_slots.push(slot) };
        if flight.verified {
            flight.arrived -= 1;
            return self.free_slots.push(slot);
        }
        flight.verified = true;
        for source in flight.sources.clone() {
            self.cancel(source.link, extent, turn);
        }
        let work = Work::Write { slot, extent, cv: digest.cv };
        self.jobs.start(Job::Write { extent, slot, link, cv: digest.cv }, work, turn);
    }

    /// Takes back a request for a piece; its slot is free at once.
    fn cancel(&mut self, link: LinkId, extent: Extent, turn: &mut Turn<'_>) {
        if let Some(source) = self.land(link, extent, None) {
            turn.act(Action::Discard { link, extent });
            self.free_slots.push(source.slot);
            let neighbour = self.files.get_mut(extent.file).and_then(|file| file.neighbours.get_mut(&link));
            neighbour.into_iter().for_each(|neighbour| neighbour.cancelling.push(extent.piece));
            self.send(link, PeerMessage::Cancel { file: extent.file, piece: extent.piece }, turn);
        }
    }

    /// A piece does not match its hash: it is dropped, and whoever sent it is avoided, then banned.
    fn bad_piece(&mut self, (extent, slot, link): (Extent, Slot, LinkId), turn: &mut Turn<'_>) {
        self.free_slots.push(slot);
        self.piece_back(extent, false);
        if self.count_against(link) {
            self.violation(link, Violation::BadPieces, turn);
        }
    }

    /// Notes that a peer did what only a bad one does; says whether it is banned.
    fn count_against(&mut self, link: LinkId) -> bool {
        let Some(device) = self.links.get(link).map(|link| link.device) else { return false };
        let count = self.bad_pieces.entry(device).or_default();
        *count += 1;
        let banned = *count >= BAD_PIECES_BAN;
        if banned {
            self.banned.insert(device);
        }
        banned
    }

    /// A copy that had arrived is of no use: the piece is wanted again, unless another copy is on its way.
    fn piece_back(&mut self, extent: Extent, was_verified: bool) {
        let Some(file) = self.files.get_mut(extent.file) else { return };
        let Some(download) = file.download_mut() else { return };
        if let Some(flight) = download.flights.get_mut(&extent.piece) {
            flight.arrived -= 1;
            flight.verified &= !was_verified;
        }
        want_again(file, extent.piece);
    }

    pub(super) fn written(
        &mut self,
        (extent, slot, link): (Extent, Slot, LinkId),
        cv: ChainingValue,
        outcome: Outcome,
        turn: &mut Turn<'_>,
    ) {
        self.free_slots.push(slot);
        match outcome {
            Outcome::Done => self.stored(extent, link, cv, turn),
            Outcome::Failed(DiskError::DiskFull) => {
                self.piece_back(extent, true);
                self.pause(extent.file, turn);
            }
            Outcome::Failed(why) => {
                if self.files.get(extent.file).is_some_and(|file| file.download().is_some()) {
                    self.fail(extent.file, Failure::Disk(why), turn);
                }
            }
            other => unreachable!("writing does not end in {other:?}"),
        }
    }

    fn pause(&mut self, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id) else { return };
        let key = file.key.clone();
        let Some(download) = file.download_mut() else { return };
        let was_paused = download.paused_until.replace(turn.now + DISK_RETRY).is_some();
        if !was_paused {
            turn.tell(News::DownloadPaused { group: key.0, name: key.1 });
        }
    }

    /// A verified piece is on the disk: it counts as held, and is served from now on.
    fn stored(&mut self, extent: Extent, link: LinkId, cv: ChainingValue, turn: &mut Turn<'_>) {
        let device = self.links.get(link).map(|link| link.device);
        let Some(file) = self.files.get_mut(extent.file) else { return };
        let Some(download) = file.download_mut() else { return };
        download.flights.remove(&extent.piece);
        download.values.insert(extent.piece, cv);
        download.paused_until = None;
        download.unsynced += 1;
        let checkpoint = download.unsynced >= PIECES_PER_SYNC;
        if checkpoint {
            download.unsynced = 0;
        }
        let new = file.held.insert(extent.piece);
        assert!(new, "a piece is stored once");
        for neighbour in file.neighbours.values_mut().filter(|neighbour| neighbour.have.has(extent.piece)) {
            neighbour.useful -= 1;
        }
        if let Some(fetched) = &mut file.fetched {
            fetched.meter.add(turn.now, u64::from(extent.len));
        }
        if let Some(device) = device {
            let user = self.members.get(&file.key.0).and_then(|devices| devices.get(&device));
            file.credit_giver(device, user);
        }
        self.note_news(extent.file, extent.piece, turn);
        if checkpoint {
            self.jobs.start(Job::Sync, Work::Sync { file: extent.file }, turn);
        }
        self.finish_if_whole(extent.file, turn);
    }

    /// An uploader says that no more of a piece comes.
    pub(super) fn cancelled(&mut self, link: LinkId, id: FileId, piece: u32, turn: &mut Turn<'_>) {
        let Some(extent) = self.files.get(id).and_then(|file| file.content.size.extent(id, piece)) else {
            return;
        };
        turn.act(Action::Unexpect { link, extent });
        if let Some(neighbour) = self.files.get_mut(id).and_then(|file| file.neighbours.get_mut(&link)) {
            neighbour.cancelling.retain(|other| *other != piece);
            neighbour.fruitless = false;
        }
        if let Some(source) = self.land(link, extent, None) {
            self.free_slots.push(source.slot);
            if let Some(file) = self.files.get_mut(id) {
                want_again(file, piece);
            }
        }
    }

    /// Gives up all that a peer owes of a file, and all slots asked of it: the link or the file on it is gone.
    pub(super) fn abandon_requests(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id) else { return };
        let asks = file.neighbours.get_mut(&link).map_or(0, |neighbour| core::mem::take(&mut neighbour.asks));
        self.reserved -= asks;
        let Some(download) = file.download_mut() else { return };
        download.asks -= asks;
        let owed: Vec<u32> = download
            .flights
            .iter()
            .filter(|(_, f)| f.sources.iter().any(|s| s.link == link))
            .map(|(p, _)| *p)
            .collect();
        for piece in owed {
            self.take_back(link, id, piece, turn);
        }
    }

    /// Stops waiting for a piece from one peer; it is wanted from others.
    fn take_back(&mut self, link: LinkId, id: FileId, piece: u32, turn: &mut Turn<'_>) {
        let Some(extent) = self.files.get(id).and_then(|file| file.content.size.extent(id, piece)) else {
            return;
        };
        if let Some(source) = self.land(link, extent, None) {
            turn.act(Action::Discard { link, extent });
            self.free_slots.push(source.slot);
        }
        if let Some(file) = self.files.get_mut(id) {
            want_again(file, piece);
        }
    }

    /// Looks for peers that let pieces, slots or hashes wait for too long.
    pub(super) fn sweep_fetches(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        let stalled: Vec<LinkId> =
            self.links.table.iter().filter(|(_, link)| is_stalled(link, now)).map(|(id, _)| *id).collect();
        for id in self.files.ids() {
            self.sweep_file(id, &stalled, turn);
        }
        for link in stalled {
            self.rest(link, turn);
            if let Some(there) = self.links.get_mut(link) {
                there.waiting_since = now;
            }
        }
    }

    fn sweep_file(&mut self, id: FileId, stalled: &[LinkId], turn: &mut Turn<'_>) {
        let now = turn.now;
        let Some(file) = self.files.get_mut(id) else { return };
        let Some(download) = file.download_mut() else { return };
        if download.gathering.as_ref().is_some_and(|gathering| now.since(gathering.since) >= STALL) {
            let late = download.gathering.take().map(|gathering| gathering.link);
            if let Some(link) = late {
                self.rest(link, turn);
            }
        }
        self.gather_hashes(id, turn);
        for link in stalled {
            self.take_back_from_stalled(*link, id, turn);
        }
        self.withdraw_late(id, turn);
    }

    /// Takes back what a silent peer owes, as far as somebody else can give it.
    fn take_back_from_stalled(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id) else { return };
        let Some(download) = file.download() else { return };
        let elsewhere =
            |piece: u32| file.neighbours.iter().any(|(other, n)| *other != link && n.have.has(piece));
        let owed: Vec<u32> = download
            .flights
            .iter()
            .filter(|(piece, flight)| flight.sources.iter().any(|s| s.link == link) && elsewhere(**piece))
            .map(|(piece, _)| *piece)
            .collect();
        for piece in owed {
            if let Some(extent) = self.files.get(id).and_then(|file| file.content.size.extent(id, piece)) {
                self.cancel(link, extent, turn);
            }
            if let Some(file) = self.files.get_mut(id) {
                want_again(file, piece);
            }
        }
    }

    /// Takes back requests for slots that wait for more than four times what they should. One that does not even answer that holds slots of
    /// ours for nothing: it loses its link, and counts as if it had sent a bad piece.
    fn withdraw_late(&mut self, id: FileId, turn: &mut Turn<'_>) {
        let links = &self.links;
        let late = |link: &LinkId, neighbour: &Neighbour| {
            let expected =
                links.get(*link).map_or(STALL, |link| link.expected(neighbour.outstanding(), UNTRIED));
            let patience = if neighbour.withdrawing { STALL } else { (expected * 4).max(STALL) };
            turn.now.since(neighbour.asked) >= patience
        };
        let Some(file) = self.files.get_mut(id) else { return };
        let (mut withdrawals, mut silent) = (Vec::new(), Vec::new());
        for (link, neighbour) in &mut file.neighbours {
            if neighbour.asks == 0 || !late(link, neighbour) {
                continue;
            }
            if neighbour.withdrawing {
                silent.push(*link);
            } else {
                neighbour.withdrawing = true;
                neighbour.asked = turn.now;
                withdrawals.push(*link);
            }
        }
        for link in withdrawals {
            self.send(link, PeerMessage::Withdraw { file: id }, turn);
        }
        for link in silent {
            self.count_against(link);
            self.drop_link(link, turn);
            turn.act(Action::Close { link, violation: None });
        }
    }
}

/// Whether pieces of a file can be asked for now.
fn may_fetch(file: &File, now: Time) -> bool {
    // After a pause for want of room, one piece at a time finds out whether there is some.
    let paused = |download: &Download| {
        download.paused_until.is_some_and(|until| now < until || !download.flights.is_empty())
    };
    file.hashes.is_some() && file.download().is_some_and(|download| !paused(download))
}

/// How many slots there is use for: the pieces not under way, or in the end game those under way once only.
fn askable(download: &Download) -> usize {
    if download.picker.wanted() > 0 {
        return download.picker.wanted();
    }
    download.flights.values().filter(|flight| needs_a_copy(flight)).count()
}

fn needs_a_copy(flight: &Flight) -> bool {
    !flight.verified && flight.arrived == 0 && flight.sources.len() < END_GAME_COPIES
}

fn can_ask(neighbour: &Neighbour, link: &Link, now: Time) -> bool {
    let fast = link.piece_time.get().is_some_and(|time| time <= FAST_PIECE);
    let depth = if fast { OUTSTANDING_PER_LINK } else { OUTSTANDING_SLOW };
    neighbour.useful > 0
        && !neighbour.fruitless
        && !neighbour.withdrawing
        && neighbour.busy_until <= now
        && link.rests_until <= now
        && neighbour.outstanding() < depth
}

/// What a strategy orders uploaders by: the least is asked.
fn rank(strategy: Strategy, neighbour: &Neighbour, link: &Link) -> u64 {
    match strategy {
        Strategy::LeastLoaded => neighbour.outstanding() as u64,
        Strategy::FewestPieces => u64::from(neighbour.have.count()),
        Strategy::Random => 0,
        Strategy::Adaptive => link.expected(neighbour.outstanding(), UNMEASURED).0,
    }
}

/// The piece to ask of a neighbour that granted a slot: random first, then rarest; then a second copy of what is long under way.
fn pick(file: &File, neighbour: &Neighbour, link: LinkId, rng: &mut rand_chacha::ChaCha8Rng) -> Option<u32> {
    let download = file.download()?;
    let random_first = file.held.count() < RANDOM_FIRST_PIECES;
    if let Some(piece) = download.picker.pick(&neighbour.have, random_first, rng) {
        return Some(piece).filter(|piece| !neighbour.cancelling.contains(piece));
    }
    if download.picker.wanted() > 0 {
        return None;
    }
    let elsewhere = |flight: &Flight| flight.sources.iter().all(|source| source.link != link);
    download
        .flights
        .iter()
        .filter(|(piece, flight)| needs_a_copy(flight) && elsewhere(flight) && neighbour.have.has(**piece))
        .filter(|(piece, _)| !neighbour.cancelling.contains(piece))
        .min_by_key(|(_, flight)| flight.sources.iter().map(|source| source.asked).min())
        .map(|(piece, _)| *piece)
}

/// If no copy of a piece is on its way any more, it is wanted again; neighbours that had nothing of use may have this.
fn want_again(file: &mut File, piece: u32) {
    let Some(download) = file.download_mut() else { return };
    let over =
        download.flights.get(&piece).is_none_or(|flight| flight.sources.is_empty() && flight.arrived == 0);
    if over
        && !file.held.has(piece)
        && let Some(download) = file.download_mut()
    {
        download.flights.remove(&piece);
        download.picker.insert(piece);
    }
    for neighbour in file.neighbours.values_mut().filter(|neighbour| neighbour.have.has(piece)) {
        neighbour.fruitless = false;
    }
}

fn is_stalled(link: &Link, now: Time) -> bool {
    let patience = link.piece_time.get().map_or(STALL, |time| (time * 4).max(STALL));
    link.owed > 0 && now.since(link.waiting_since) >= patience * (1 << link.stalls.min(3))
}
