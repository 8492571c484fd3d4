//! Files that this peer shares or fetches, and the neighbours it has for each.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

use smallvec::SmallVec;

use super::command::{DownloadState, Failure, Giver};
use super::picker::Picker;
use super::rate::Meter;
use crate::bitfield::Bitfield;
use crate::id::{DeviceId, FileId, LinkId, Slot};
use crate::name::{FileName, GroupName, Place};
use crate::piece::{Content, Hashes};
use crate::table::{Table, make_room};
use crate::time::{Span, Time};
use crate::tree::Tree;

/// What names a file among people.
pub(super) type Key = (GroupName, FileName);

/// A file that this peer shares, fetches or fetched.
#[derive(Debug)]
pub(super) struct File {
    pub(super) key: Key,
    pub(super) content: Content,
    pub(super) place: Place,
    pub(super) hashes: Option<Hashes>,
    pub(super) held: Bitfield,
    /// Of a download of an earlier session that was not opened yet: how many pieces its journal notes.
    pub(super) noted: u32,
    pub(super) phase: Phase,
    /// Peers on whose link the file is open, from both sides.
    pub(super) neighbours: Table<LinkId, Neighbour>,
    /// Links on which we opened the file and wait for the other side's word.
    pub(super) knocked: Vec<LinkId>,
    /// Peers that the tracker named and that are not linked.
    pub(super) candidates: Table<DeviceId, SocketAddr>,
    /// Pieces that neighbours were not told of yet.
    pub(super) news: Vec<u32>,
    /// What the tracker was told last: pieces held, pieces in reach.
    pub(super) announced: Option<(u32, u32)>,
    /// When the tracker was told something last.
    pub(super) announced_at: Time,
    /// Seeders and leechers elsewhere, when the tracker last said, and when that was.
    pub(super) swarm: Option<(u32, u32, Time)>,
    /// Bytes sent to others.
    pub(super) sent: u64,
    /// Of a complete file: the pieces that somebody has named here.
    pub(super) named: Bitfield,
    /// Of a complete file: the piece after that which was hinted at last.
    pub(super) next_hint: u32,
    /// Of a file that was fetched in this session: how that went.
    pub(super) fetched: Option<Fetched>,
    /// Grows from file to file: the order in which downloads are listed.
    pub(super) order: u64,
}

/// How a download went, or goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetched {
    pub(super) began: Time,
    pub(super) took: Option<Span>,
    pub(super) meter: Meter,
    pub(super) givers: Vec<Giver>,
}

/// Where a file is in its life here.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its place on the disk is being opened.
    Opening,
    /// Pieces are fetched, and served.
    Fetching(Box<Download>),
    /// All pieces are here; the file is being synced and renamed.
    Finishing,
    /// Complete, and served.
    Complete,
    /// Not active, though it may be again.
    Ended(Ended),
}

/// Why a file is not active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// A download was stopped, or belongs to an earlier session.
    Stopped,
    /// A download failed.
    Failed(Failure),
    /// A complete file is no longer shared, or was never meant to be listed longer than its download.
    Unshared,
}

/// A download under way.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) picker: Picker,
    pub(super) flights: Table<u32, Flight>,
    /// The chaining values of the pieces held.
    pub(super) tree: Tree,
    /// Requests for slots that were not granted yet, over all neighbours: each has a slot of ours in reserve.
    pub(super) asks: usize,
    /// How many of those wait with neighbours that are overdue.
    pub(super) overdue: usize,
    /// The hashes as they arrive, from whom, and since when.
    pub(super) gathering: Option<Gathering>,
    /// Pieces written since the last checkpoint.
    pub(super) unsynced: u32,
    /// Until when nothing is asked for, because the disk is full.
    pub(super) paused_until: Option<Time>,
}

/// The list of piece hashes on its way here.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) link: LinkId,
    pub(super) list: Vec<crate::id::Sha1>,
    pub(super) since: Time,
}

/// A piece on its way here.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Who owes it, with the slot it goes to and when it was asked for.
    pub(super) sources: SmallVec<[Source; 1]>,
    /// Copies that arrived and are being hashed or written.
    pub(super) arrived: usize,
    /// Whether a copy was verified, so that no other is needed.
    pub(super) verified: bool,
}

/// One copy of a piece on its way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) link: LinkId,
    pub(super) slot: Slot,
    pub(super) asked: Time,
}

/// A peer that takes part in a file.
#[derive(Debug)]
pub(super) struct Neighbour {
    /// The file's number there.
    pub(super) theirs: FileId,
    pub(super) have: Bitfield,
    /// Whether the picker counts it as holding everything, and not piece by piece.
    pub(super) counted_as_seeder: bool,
    /// Of what it holds, how much is not here.
    pub(super) useful: u32,
    /// Requests for a slot that it has not granted.
    pub(super) asks: usize,
    /// When the oldest of those was sent.
    pub(super) asked: Time,
    /// Whether they have waited for so long that they keep us from asking others no more.
    pub(super) overdue: bool,
    /// Whether one of them was taken back, and the word on that is awaited.
    pub(super) withdrawing: bool,
    /// Pieces that were taken back, and the word on that is awaited: until then they are not asked for again here.
    pub(super) cancelling: Vec<u32>,
    /// Pieces that it owes.
    pub(super) requests: usize,
    /// Whether its queue was full, so that it is not asked until it says that it has a place.
    pub(super) busy: bool,
    /// Whether it was asked for piece hashes and has not answered.
    pub(super) owes_hashes: bool,
    /// Whether a piece was sent to it from here.
    pub(super) was_served: bool,
    /// It had nothing that was not under way; until there is news, it is not asked.
    pub(super) fruitless: bool,
}

impl Neighbour {
    pub(super) const fn outstanding(&self) -> usize {
        self.asks + self.requests
    }
}

impl File {
    pub(super) fn new(key: Key, content: Content, place: Place, order: u64) -> File {
        File {
            key,
            content,
            place,
            hashes: None,
            held: Bitfield::new(content.size.pieces()),
            noted: 0,
            phase: Phase::Opening,
            neighbours: Table::default(),
            knocked: Vec::new(),
            candidates: Table::default(),
            news: Vec::new(),
            announced: None,
            announced_at: Time::default(),
            swarm: None,
            sent: 0,
            named: Bitfield::new(content.size.pieces()),
            next_hint: 0,
            fetched: None,
            order,
        }
    }

    /// Whether it is served or fetched.
    pub(super) const fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Fetching(_) | Phase::Finishing | Phase::Complete)
    }

    pub(super) const fn is_complete(&self) -> bool {
        matches!(self.phase, Phase::Complete)
    }

    pub(super) const fn download(&self) -> Option<&Download> {
        if let Phase::Fetching(download) = &self.phase { Some(download) } else { None }
    }

    pub(super) const fn download_mut(&mut self) -> Option<&mut Download> {
        if let Phase::Fetching(download) = &mut self.phase { Some(download) } else { None }
    }

    /// Bytes in the pieces held.
    pub(super) fn bytes_held(&self) -> u64 {
        let last = self.held.len().checked_sub(1).filter(|last| self.held.has(*last));
        let full =
            u64::from(self.held.count() - u32::from(last.is_some())) * u64::from(crate::piece::PIECE_LEN);
        full + last.map_or(0, |last| u64::from(self.content.size.piece_len(last)))
    }

    /// Pieces and bytes that are here, as far as is known.
    pub(super) fn progress(&self) -> (u32, u64) {
        let noted_bytes = u64::from(self.noted) * u64::from(crate::piece::PIECE_LEN);
        match self.phase {
            Phase::Ended(Ended::Stopped) if self.held.count() == 0 => {
                (self.noted, noted_bytes.min(self.content.size.bytes()))
            }
            _ => (self.held.count(), self.bytes_held()),
        }
    }

    /// Missing pieces that no neighbour holds.
    pub(super) fn unreachable(&self) -> u32 {
        self.download().map_or(0, |download| {
            let flying =
                download.flights.keys().filter(|piece| download.picker.availability(**piece) == 0).count();
            download.picker.unreachable() + u32::try_from(flying).unwrap_or(u32::MAX)
        })
    }

    /// How it stands as a download, if it is or was one.
    pub(super) fn download_state(&self) -> Option<DownloadState> {
        match &self.phase {
            Phase::Opening | Phase::Finishing => self.fetched.is_some().then_some(DownloadState::Running),
            Phase::Fetching(download) if download.paused_until.is_some() => Some(DownloadState::Paused),
            Phase::Fetching(_) => Some(DownloadState::Running),
            Phase::Complete | Phase::Ended(Ended::Unshared) => {
                self.fetched.is_some().then_some(DownloadState::Complete)
            }
            Phase::Ended(Ended::Stopped) => Some(DownloadState::Stopped),
            Phase::Ended(Ended::Failed(why)) => Some(DownloadState::Failed(why.clone())),
        }
    }

    pub(super) fn check(&self, links: &super::link::Links) {
        for (link, neighbour) in &self.neighbours {
            assert!(links.get(*link).is_some(), "a neighbour has a link");
            let useful = neighbour.have.without(&self.held).count();
            assert_eq!(useful, neighbour.useful as usize, "what a neighbour has for us is counted");
        }
        let Some(download) = self.download() else { return };
        download.picker.check();
        let asks: usize = self.neighbours.values().map(|neighbour| neighbour.asks).sum();
        assert_eq!(asks, download.asks);
        let overdue = self.neighbours.values().filter(|neighbour| neighbour.overdue);
        assert_eq!(overdue.map(|neighbour| neighbour.asks).sum::<usize>(), download.overdue);
        for piece in 0..self.held.len() {
            let flies = download.flights.contains_key(&piece);
            let wanted = download.picker.wants(piece);
            let uses = usize::from(self.held.has(piece)) + usize::from(flies) + usize::from(wanted);
            assert_eq!(uses, 1, "piece {piece} is held, under way, or wanted");
        }
        assert_eq!(download.tree.count(), self.held.count(), "each piece held has its chaining value");
        for flight in download.flights.values() {
            assert!(
                flight.arrived > 0 || !flight.sources.is_empty(),
                "a piece under way comes from somewhere"
            );
        }
    }

    /// Notes that `device` gave a good piece.
    pub(super) fn credit_giver(&mut self, device: DeviceId, user: Option<&crate::name::UserName>) {
        let Some(fetched) = &mut self.fetched else { return };
        match fetched.givers.iter_mut().find(|giver| giver.device == device) {
            Some(giver) => giver.pieces += 1,
            None => {
                make_room(&mut fetched.givers);
                fetched.givers.push(Giver { device, user: user.cloned(), pieces: 1 });
            }
        }
    }
}

impl Download {
    pub(super) fn new(held: &Bitfield, tree: Tree) -> Download {
        Download {
            picker: Picker::new(held),
            flights: Table::default(),
            tree,
            asks: 0,
            overdue: 0,
            gathering: None,
            unsynced: 0,
            paused_until: None,
        }
    }

    /// Slots that are reserved or in use for pieces owed.
    pub(super) fn outstanding(&self) -> usize {
        self.asks + self.flights.values().map(|flight| flight.sources.len() + flight.arrived).sum::<usize>()
    }
}

/// All files, by number and by name. There may be thousands of them, most of which only wait for somebody who wants them: what happens often
/// looks only at those that it concerns.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) table: Table<FileId, Box<File>>,
    pub(super) by_key: BTreeMap<Key, FileId>,
    /// Those that are being fetched.
    fetching: BTreeSet<FileId>,
    /// Those that hold pieces of which neighbours were not told.
    with_news: BTreeSet<FileId>,
    next: u32,
    order: u64,
}

impl Files {
    /// Whether a neighbour has nothing to give yet: the sooner it has, the sooner its uplink works for all. It is believed once, or
    /// whoever keeps silent about what it holds would come before all others for ever.
    pub(super) fn is_new(&self, link: LinkId, file: FileId) -> bool {
        let neighbour = self.get(file).and_then(|file| file.neighbours.get(&link));
        neighbour.is_some_and(|neighbour| neighbour.have.count() == 0 && !neighbour.was_served)
    }

    pub(super) fn get(&self, id: FileId) -> Option<&File> {
        self.table.get(&id).map(|file| &**file)
    }

    pub(super) fn get_mut(&mut self, id: FileId) -> Option<&mut File> {
        self.table.get_mut(&id).map(|file| &mut **file)
    }

    pub(super) fn find(&self, key: &Key) -> Option<(FileId, &File)> {
        let id = self.by_key.get(key)?;
        Some((*id, self.get(*id)?))
    }

    /// Adds a file; one of the same name that was there is forgotten, so it must have ended.
    pub(super) fn insert(&mut self, key: Key, content: Content, place: Place) -> FileId {
        self.order += 1;
        let file = File::new(key.clone(), content, place, self.order);
        while self.table.contains_key(&FileId(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let id = FileId(self.next);
        self.next = self.next.wrapping_add(1);
        self.table.insert(id, Box::new(file));
        if let Some(old) = self.by_key.insert(key, id) {
            let old = self.table.remove(&old);
            assert!(old.is_none_or(|old| !old.is_active()), "an active file is not replaced");
        }
        id
    }

    /// A file comes to another place in its life.
    pub(super) fn set_phase(&mut self, id: FileId, phase: Phase) {
        let Some(file) = self.get_mut(id) else { return };
        file.phase = phase;
        if file.download().is_some() {
            self.fetching.insert(id);
        } else {
            self.fetching.remove(&id);
        }
    }

    /// Those that are being fetched.
    pub(super) fn downloads(&self) -> impl Iterator<Item = (FileId, &File)> {
        self.fetching.iter().filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// A piece is held of which neighbours are to be told.
    pub(super) fn note_news(&mut self, id: FileId, piece: u32) {
        if let Some(file) = self.get_mut(id) {
            file.news.push(piece);
            self.with_news.insert(id);
        }
    }

    /// Those that hold pieces of which neighbours were not told; they are being told now.
    pub(super) fn take_with_news(&mut self) -> BTreeSet<FileId> {
        core::mem::take(&mut self.with_news)
    }

    pub(super) fn remove(&mut self, id: FileId) {
        if let Some(file) = self.table.remove(&id) {
            self.by_key.remove(&file.key);
            self.fetching.remove(&id);
        }
    }

    pub(super) fn active(&self) -> impl Iterator<Item = (FileId, &File)> {
        self.table.iter().filter(|(_, file)| file.is_active()).map(|(id, file)| (*id, &**file))
    }

    pub(super) fn ids(&self) -> Vec<FileId> {
        self.table.keys().copied().collect()
    }

    pub(super) fn check(&self) {
        for (id, file) in &self.table {
            assert_eq!(self.by_key.get(&file.key), Some(id));
            assert_eq!(self.fetching.contains(id), file.download().is_some(), "what is fetched is known");
            assert!(file.news.is_empty() || self.with_news.contains(id), "what is news is known");
        }
        assert!(self.downloads().count() == self.fetching.len(), "what is fetched is there");
    }
}
