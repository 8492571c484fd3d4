//! Pieces on their way in: from the socket through hashing and writing to being held, and what happens to bad and abandoned ones.

use alloc::vec::Vec;

use super::Peer;
use super::command::{Failure, News};
use super::file::{File, Source};
use super::io::{Action, Outcome, Work};
use super::jobs::Job;
use super::turn::Turn;
use crate::id::{ChainingValue, FileId, LinkId, Slot};
use crate::limits::{BAD_PIECES_BAN, DISK_RETRY, PIECES_PER_SYNC};
use crate::piece::{Extent, PieceDigest};
use crate::refusal::DiskError;
use crate::violation::Violation;
use crate::wire::peer::PeerMessage;

impl Peer {
    /// A buffer is free: something can be asked for.
    fn free(&mut self, slot: Slot, turn: &mut Turn<'_>) {
        self.free_slots.push(slot);
        turn.fills = true;
    }

    /// Takes a source out of a flight, if it is there.
    pub(super) fn land(&mut self, link: LinkId, extent: Extent, slot: Option<Slot>) -> Option<Source> {
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
            let took = turn.now.since(there.waiting_since.max(source.asked));
            there.piece_time.add(took);
            self.piece_time.add(took);
            there.waiting_since = turn.now;
            there.stalls = 0;
            self.silent.remove(&there.device);
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
            None => self.free(slot, turn),
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
        let Some(flight) = flight else { return self.free(slot, turn) };
        if flight.verified {
            flight.arrived -= 1;
            return self.free(slot, turn);
        }
        flight.verified = true;
        for source in flight.sources.clone() {
            self.cancel(source.link, extent, turn);
        }
        let work = Work::Write { slot, extent, cv: digest.cv };
        self.jobs.start(Job::Write { extent, slot, link, cv: digest.cv }, work, turn);
    }

    /// Takes back a request for a piece; its slot is free at once.
    pub(super) fn cancel(&mut self, link: LinkId, extent: Extent, turn: &mut Turn<'_>) {
        if let Some(source) = self.land(link, extent, None) {
            let typical = self.piece_time.get().unwrap_or_default();
            if let Some(there) = self.links.get_mut(link) {
                there.gave_up(turn.now.since(there.waiting_since.max(source.asked)), typical);
            }
            turn.act(Action::Discard { link, extent });
            self.free(source.slot, turn);
            let neighbour = self.files.get_mut(extent.file).and_then(|file| file.neighbours.get_mut(&link));
            neighbour.into_iter().for_each(|neighbour| neighbour.cancelling.push(extent.piece));
            self.send(link, PeerMessage::Cancel { file: extent.file, piece: extent.piece }, turn);
        }
    }

    /// A piece does not match its hash: it is dropped, and whoever sent it is avoided, then banned.
    fn bad_piece(&mut self, (extent, slot, link): (Extent, Slot, LinkId), turn: &mut Turn<'_>) {
        self.free(slot, turn);
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
        self.free(slot, turn);
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

    /// A checkpoint is over. If it failed, what the disk holds is unknown: whoever goes on opens the partial file anew, which verifies it.
    pub(super) fn synced(&mut self, id: FileId, outcome: Outcome, turn: &mut Turn<'_>) {
        match outcome {
            Outcome::Done => {}
            Outcome::Failed(why) => {
                if self.files.get(id).is_some_and(|file| file.download().is_some()) {
                    self.fail(id, Failure::Disk(why), turn);
                }
            }
            other => unreachable!("syncing does not end in {other:?}"),
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
        download.tree.insert(extent.piece, cv);
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
            let member = self.members.get(&file.key.0).and_then(|devices| devices.get(&device));
            file.credit_giver(device, member.map(|member| &member.user));
        }
        self.note_news(extent.file, extent.piece, turn);
        if checkpoint {
            self.jobs.start(Job::Sync { file: extent.file }, Work::Sync { file: extent.file }, turn);
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
            // We did not take it back: it has not what it said to have, and others are asked first.
            self.rest(link, turn);
            self.free(source.slot, turn);
            if let Some(file) = self.files.get_mut(id) {
                want_again(file, piece);
            }
        }
    }

    /// Gives up all that a peer owes of a file, and all slots asked of it: the link or the file on it is gone.
    pub(super) fn abandon_requests(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        turn.fills = true;
        let Some(file) = self.files.get_mut(id) else { return };
        let (asks, overdue) = file.neighbours.get_mut(&link).map_or((0, false), |neighbour| {
            (core::mem::take(&mut neighbour.asks), core::mem::take(&mut neighbour.overdue))
        });
        self.reserved -= asks;
        let Some(download) = file.download_mut() else { return };
        download.asks -= asks;
        if overdue {
            download.overdue -= asks;
        }
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
    pub(super) fn take_back(&mut self, link: LinkId, id: FileId, piece: u32, turn: &mut Turn<'_>) {
        let Some(extent) = self.files.get(id).and_then(|file| file.content.size.extent(id, piece)) else {
            return;
        };
        if let Some(source) = self.land(link, extent, None) {
            turn.act(Action::Discard { link, extent });
            self.free(source.slot, turn);
        }
        if let Some(file) = self.files.get_mut(id) {
            want_again(file, piece);
        }
    }
}

/// If no copy of a piece is on its way any more, it is wanted again; neighbours that had nothing of use may have this.
pub(super) fn want_again(file: &mut File, piece: u32) {
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
