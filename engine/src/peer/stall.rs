//! What waits for too long: pieces that a peer owes, slots that it does not grant, hashes that it does not tell.

use alloc::vec::Vec;

use super::Peer;
use super::ask::askable;
use super::fetch::want_again;
use super::file::Neighbour;
use super::io::Action;
use super::link::Link;
use super::turn::Turn;
use crate::id::{FileId, LinkId};
use crate::limits::{DEVICES_REMEMBERED_MAX, STALL};
use crate::time::{Span, Time};
use crate::wire::peer::PeerMessage;

/// How long a piece is expected to take, before a request for a slot that nobody answered is taken back, from a peer that was never
/// measured: pessimistic, so that slow peers keep their turn.
const UNTRIED: Span = Span(STALL.0 / 4);

impl Peer {
    /// Asks nothing of a peer for a while.
    pub(super) fn rest(&mut self, link: LinkId, turn: &Turn<'_>) {
        if let Some(there) = self.links.get_mut(link) {
            there.stalls += 1;
            there.rests_until = turn.now + STALL * (1 << there.stalls.min(3));
        }
    }

    /// Looks for peers that let pieces, slots or hashes wait for too long.
    pub(super) fn sweep_fetches(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        let ids: Vec<FileId> = self.files.downloads().map(|(id, _)| id).collect();
        let downloads = self.files.downloads().filter_map(|(_, file)| file.download());
        let flights = downloads.flat_map(|download| download.flights.values());
        let mut stalled: Vec<LinkId> =
            flights.flat_map(|flight| &flight.sources).map(|source| source.link).collect();
        stalled.sort_unstable();
        stalled.dedup();
        stalled.retain(|link| self.links.get(*link).is_some_and(|link| is_stalled(link, now)));
        for id in ids {
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
        self.note_overdue(id, now);
        self.withdraw_late(id, turn);
        self.copy_late(id, turn.now);
    }

    /// In the end game copies that have become late are wanted once more, perhaps of those that had nothing else.
    fn copy_late(&mut self, id: FileId, now: Time) {
        let late = self.late(now);
        let Some(file) = self.files.get_mut(id) else { return };
        if file
            .download()
            .is_some_and(|download| download.picker.wanted() == 0 && askable(download, late) > 0)
        {
            file.neighbours.values_mut().for_each(|neighbour| neighbour.fruitless = false);
        }
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

    /// Requests for slots that wait for more than four times what a piece usually takes keep their place, and no longer count among those
    /// that are enough: else one silent peer would keep us from all others.
    fn note_overdue(&mut self, id: FileId, now: Time) {
        let late = self.late(now);
        let Some(file) = self.files.get_mut(id) else { return };
        let mut more = 0;
        for neighbour in file.neighbours.values_mut().filter(|neighbour| neighbour.asks > 0) {
            if !neighbour.overdue && neighbour.asked <= late {
                neighbour.overdue = true;
                more += neighbour.asks;
            }
        }
        if let Some(download) = file.download_mut() {
            download.overdue += more;
        }
    }

    /// Takes back requests for slots that wait for more than four times what they should. One that does not even answer that holds slots of
    /// ours for nothing: it loses its link, is not dialled for a while, and comes last from then on.
    fn withdraw_late(&mut self, id: FileId, turn: &mut Turn<'_>) {
        let links = &self.links;
        let late = |link: &LinkId, neighbour: &Neighbour| {
            let expected = links
                .get(*link)
                .map_or(STALL, |link| link.expected(turn.now, neighbour.outstanding(), UNTRIED));
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
            // It may be cut off, or far behind, and come back: who is banned for that is lost to us for ever.
            if let Some(there) = self.links.get(link)
                && self.silent.len() < DEVICES_REMEMBERED_MAX
            {
                self.silent.insert(there.device);
            }
            self.drop_link(link, turn);
            turn.act(Action::Close { link, violation: None });
        }
    }
}

fn is_stalled(link: &Link, now: Time) -> bool {
    let patience = link.piece_time.get().map_or(STALL, |time| (time * 4).max(STALL));
    link.owed > 0 && now.since(link.waiting_since) >= patience * (1 << link.stalls.min(3))
}
