//! Who takes part in a file: from the tracker's word to an open file on a link, and to the end of it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use rand::RngExt as _;

use super::alarm::Alarm;
use super::file::{File, Key, Neighbour};
use super::io::{Action, Role};
use super::link::Link;
use super::turn::Turn;
use super::{KEEP_ALIVE, Peer};
use crate::bitfield::{Bitfield, pieces_of};
use crate::id::{DeviceId, DialId, FileId, LinkId};
use crate::limits::{
    BITS_BYTES_PER_MESSAGE, CANDIDATES_MAX, DEVICES_REMEMBERED_MAX, DIALS_MAX, FILES_PER_LINK, HAVE_DELAY,
    HAVES_PER_MESSAGE, LINK_CREDIT, LINKS_MAX, PIECES_MAX, REDIAL, VOUCHES_PER_LINK,
};
use crate::time::Time;
use crate::violation::Violation;
use crate::wire::few::Few;
use crate::wire::list::List;
use crate::wire::peer::{Open, PeerMessage};
use crate::wire::tracker::PeerInfo;

impl Peer {
    /// Says something to a peer; one that does not read what it is told loses its link.
    pub(super) fn send(&mut self, link: LinkId, message: PeerMessage, turn: &mut Turn<'_>) {
        match self.links.get_mut(link) {
            Some(there) if there.credit > 0 => {
                there.credit -= 1;
                turn.act(Action::Send { link, message });
            }
            Some(_) => self.violation(link, Violation::NotReading, turn),
            None => {}
        }
    }

    /// Says the same to several peers.
    fn spread(&mut self, mut links: Vec<LinkId>, message: PeerMessage, turn: &mut Turn<'_>) {
        let mut full = Vec::new();
        links.retain(|link| {
            let Some(there) = self.links.get_mut(*link) else { return false };
            let room = there.credit > 0;
            if room {
                there.credit -= 1;
            } else {
                full.push(*link);
            }
            room
        });
        if !links.is_empty() {
            turn.act(Action::Spread { links, message });
        }
        for link in full {
            self.violation(link, Violation::NotReading, turn);
        }
    }

    pub(super) fn violation(&mut self, link: LinkId, violation: Violation, turn: &mut Turn<'_>) {
        self.drop_link(link, turn);
        turn.act(Action::Close { link, violation: Some(violation) });
    }

    /// The tracker names peers of a file.
    pub(super) fn swarm(
        &mut self,
        key: &Key,
        peers: Vec<PeerInfo>,
        seeders: u32,
        leechers: u32,
        turn: &mut Turn<'_>,
    ) {
        let Some(id) = self.files.find(key).map(|(id, _)| id) else { return };
        if let Some(file) = self.files.get_mut(id) {
            file.swarm = Some((seeders, leechers, turn.now));
        }
        self.acquaintances.note_named(&key.0, &peers, self.config.neighbours);
        for peer in peers {
            if peer.device != self.config.device {
                self.note_candidate(id, peer.device, peer.address.0, turn.now);
            }
        }
        self.dial_peers_of(&[id], turn);
        self.consider_leaving(turn);
    }

    /// Remembers somebody who takes part in a file. One who could not be reached lately makes room for one who perhaps can;
    /// nobody is remembered in vain, where there are neighbours enough.
    pub(super) fn note_candidate(&mut self, id: FileId, device: DeviceId, address: SocketAddr, now: Time) {
        let (redial, links, wanted) = (&self.redial, &self.links, self.config.neighbours);
        let Some(file) = self.files.get_mut(id) else { return };
        let here = links.by_device.get(&device);
        if here.is_some_and(|link| file.neighbours.contains_key(link) || file.knocked.contains(link)) {
            return;
        }
        if file.neighbours.len() >= wanted {
            return;
        }
        if file.candidates.len() >= CANDIDATES_MAX.min(wanted * 2) {
            let rests = |device: &DeviceId| redial.get(device).is_some_and(|until| *until > now);
            let Some(gone) = file.candidates.keys().copied().find(rests) else { return };
            file.candidates.remove(&gone);
        }
        file.candidates.insert(device, address);
    }

    /// Opens files on the links there are to candidates; as many as fit, since a link takes no more than its credit.
    fn knock_on_links(&mut self, ids: &[FileId], turn: &mut Turn<'_>) {
        let mut knocks = Vec::new();
        for (id, file) in self.active_of(ids) {
            let linked = file.candidates.keys().filter_map(|device| self.links.by_device.get(device));
            knocks.extend(linked.map(|link| (*link, id)));
        }
        for (link, id) in knocks {
            if self.links.get(link).is_some_and(|there| there.credit > LINK_CREDIT / 2) {
                self.knock(link, id, turn);
            }
        }
    }

    /// Finds neighbours for all files that have too few: opens them on links that there are, and dials.
    pub(super) fn dial_peers(&mut self, turn: &mut Turn<'_>) {
        self.dial_peers_of(&self.files.ids(), turn);
    }

    /// The same for some files, of which there is news.
    pub(super) fn dial_peers_of(&mut self, ids: &[FileId], turn: &mut Turn<'_>) {
        let few = |file: &File| file.neighbours.len() < self.config.neighbours;
        if !self.active_of(ids).any(|(_, file)| few(file)) {
            return;
        }
        self.knock_on_links(ids, turn);
        let mut wanted: Vec<(DeviceId, SocketAddr)> = Vec::new();
        let anywhere: usize = self.peer_rng.random_range(0..CANDIDATES_MAX);
        for (_, file) in self.active_of(ids) {
            let coming = file.neighbours.len() + file.knocked.len() + self.dials.len();
            // Half are dialled at a time: the other half will dial us.
            let room = self.config.neighbours.saturating_sub(coming).min(self.config.neighbours.div_ceil(2));
            // Candidates are in order of their devices; begin anywhere, or everybody would dial the same few.
            let first = anywhere % file.candidates.len().max(1);
            let in_turn = file.candidates.iter().skip(first).chain(file.candidates.iter().take(first));
            let free = in_turn.filter(|(device, _)| self.may_dial(turn.now, device));
            wanted.extend(free.take(room).map(|(device, address)| (*device, *address)));
        }
        for (device, address) in wanted {
            let full =
                self.dials.len() >= DIALS_MAX || self.links.table.len() + self.dials.len() >= LINKS_MAX;
            if full || !self.may_dial(turn.now, &device) {
                continue;
            }
            let dial = self.next_dial();
            self.dials.insert(dial, device);
            turn.act(Action::Dial { dial, to: address, role: Role::Peer });
        }
    }

    fn active_of(&self, ids: &[FileId]) -> impl Iterator<Item = (FileId, &File)> {
        let files = ids.iter().filter_map(|id| Some((*id, self.files.get(*id)?)));
        files.filter(|(_, file)| file.is_active())
    }

    fn may_dial(&self, now: Time, device: &DeviceId) -> bool {
        !self.links.by_device.contains_key(device)
            && !self.banned.contains(device)
            && !self.dials.values().any(|dialled| dialled == device)
            && self.redial.get(device).is_none_or(|until| *until <= now)
    }

    pub(super) fn next_dial(&mut self) -> DialId {
        self.last_dial = self.last_dial.wrapping_add(1);
        DialId(self.last_dial)
    }

    pub(super) fn rest_from_dialling(&mut self, now: Time, device: DeviceId) {
        if self.redial.len() >= DEVICES_REMEMBERED_MAX {
            self.redial.retain(|_, until| *until > now);
        }
        if self.redial.len() < DEVICES_REMEMBERED_MAX {
            self.redial.insert(device, now + REDIAL);
        }
    }

    pub(super) fn peer_up(
        &mut self,
        id: LinkId,
        dialled: Option<DeviceId>,
        device: DeviceId,
        from: SocketAddr,
        turn: &mut Turn<'_>,
    ) {
        let stranger = dialled.is_some_and(|expected| expected != device);
        let refused = self.session.user.is_none()
            || self.links.table.len() >= LINKS_MAX
            || device == self.config.device;
        if stranger || refused || self.banned.contains(&device) {
            return turn.act(Action::Close { link: id, violation: None });
        }
        if let Some(old) = self.links.by_device.get(&device).copied() {
            // Both dialled at once: the link stays that was dialled by the lower device. A second of the same direction is a new one.
            let lower_dials = self.config.device < device;
            let old_dialled = self.links.get(old).is_some_and(|link| link.dialled);
            if old_dialled != dialled.is_some() && old_dialled == lower_dials {
                return turn.act(Action::Close { link: id, violation: None });
            }
            self.drop_link(old, turn);
            turn.act(Action::Close { link: old, violation: None });
        }
        self.links.insert(id, Link::new(turn.now, device, from, dialled.is_some()));
        self.alarms.set(Alarm::KeepAlive, turn.now + KEEP_ALIVE);
        self.knock_on_links(&self.files.ids(), turn);
    }

    /// Opens a file on a link, unless that was done.
    pub(super) fn knock(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id) else { return };
        if !file.is_active() || file.neighbours.contains_key(&link) || file.knocked.contains(&link) {
            return;
        }
        let group = file.key.0.clone();
        let Some(device) = self.links.get(link).map(|there| there.device) else { return };
        if !self.have_met(link, &group, &device) {
            return self.introduce(link, (group, id), turn);
        }
        let Some(file) = self.files.get_mut(id) else { return };
        file.knocked.push(link);
        if let Some(there) = self.links.get(link) {
            file.candidates.remove(&there.device);
        }
        self.open(link, id, turn);
    }

    /// Says that we take part in a file, and what we hold of it.
    fn open(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id) else { return };
        let (group, name) = file.key.clone();
        let count = file.held.count();
        let open = Open { file: id, group, name, hashes: file.content.hashes, count };
        let pages = if count == 0 || file.held.is_full() { 0 } else { file.held.len().div_ceil(8) as usize };
        let bits: Vec<_> = (0..pages)
            .step_by(BITS_BYTES_PER_MESSAGE)
            .map(|from| (from, file.held.bytes(from, BITS_BYTES_PER_MESSAGE)))
            .collect();
        self.send(link, PeerMessage::Open(Box::new(open)), turn);
        for (from, bytes) in bits {
            let from = u32::try_from(from).unwrap_or(u32::MAX);
            self.send(link, PeerMessage::Bits { file: id, from, bytes: List::new(bytes) }, turn);
        }
    }

    /// A peer says that it takes part in a file.
    pub(super) fn opened(&mut self, link: LinkId, open: &Open, turn: &mut Turn<'_>) {
        let Some(there) = self.links.get_mut(link) else { return };
        if let Some(Some(_)) = there.file(open.file) {
            return self.violation(link, Violation::FileOpenedTwice, turn);
        }
        if there.files_open() >= FILES_PER_LINK {
            return self.violation(link, Violation::TooManyFiles, turn);
        }
        let device = there.device;
        let key = (open.group.clone(), open.name.clone());
        if let Some(at) = there.unanswered.iter().position(|(_, closed)| *closed == key) {
            // It answers an opening of ours that we have closed since; the remote will learn, if it has not.
            there.unanswered.swap_remove(at);
            there.set_file(open.file, None);
            return;
        }
        let ours = self.files.find(&key);
        let Some((id, _)) = ours.filter(|(_, file)| file.is_active() && file.content.hashes == open.hashes)
        else {
            return self.decline(link, open.file, turn);
        };
        if self.member(&open.group, &device).is_some() {
            return self.welcome(link, id, open, turn);
        }
        // A stranger is declined, whatever there is here.
        self.decline(link, open.file, turn);
    }

    fn decline(&mut self, link: LinkId, theirs: FileId, turn: &mut Turn<'_>) {
        if let Some(there) = self.links.get_mut(link) {
            there.set_file(theirs, None);
        }
        self.send(link, PeerMessage::Decline { file: theirs }, turn);
    }

    /// A peer does not take part in a file that we opened.
    pub(super) fn declined(&mut self, link: LinkId, id: FileId) {
        let Some(there) = self.links.get_mut(link) else { return };
        there.unanswered.retain(|(closed, _)| *closed != id);
        let device = there.device;
        if let Some(file) = self.files.get_mut(id) {
            file.knocked.retain(|knocked| *knocked != link);
            file.candidates.remove(&device);
        }
    }

    /// Ends links that no file needs: none is open, or both sides hold all of each.
    pub(super) fn drop_idle_links(&mut self, turn: &mut Turn<'_>) {
        let mut needed: Vec<LinkId> = Vec::new();
        for (_, file) in self.files.active() {
            needed.extend(&file.knocked);
            let useful = file.neighbours.iter().filter(|(_, n)| !file.is_complete() || !n.have.is_full());
            needed.extend(useful.map(|(link, _)| *link));
        }
        let mut ended = Vec::new();
        for (link, there) in &mut self.links.table {
            if needed.contains(link) {
                there.idle_since = None;
            } else if there.idle_since.is_some() {
                ended.push(*link);
            } else {
                there.idle_since = Some(turn.now);
            }
        }
        for link in ended {
            self.say_bye(link, turn);
        }
    }

    /// Both sides take part in the file: from now on they can exchange pieces.
    fn welcome(&mut self, link: LinkId, id: FileId, open: &Open, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id) else { return };
        if file.neighbours.contains_key(&link) {
            return self.violation(link, Violation::FileOpenedTwice, turn);
        }
        let len = file.held.len();
        if open.count > len {
            return self.violation(link, Violation::NoSuchPiece, turn);
        }
        let seeds = open.count == len;
        let have = if seeds { Bitfield::full(len) } else { Bitfield::new(len) };
        let useful = if seeds { len - file.held.count() } else { 0 };
        if let Some(download) = file.download_mut().filter(|_| seeds) {
            download.picker.add_seeder();
        }
        let knocked =
            file.knocked.iter().position(|knocked| *knocked == link).map(|at| file.knocked.swap_remove(at));
        file.neighbours.insert(link, Neighbour::new(open.file, have, seeds, useful));
        if let Some(there) = self.links.get_mut(link) {
            file.candidates.remove(&there.device);
            there.set_file(open.file, Some(id));
            there.idle_since = None;
        }
        if knocked.is_none() {
            self.open(link, id, turn);
        }
        self.gather_hashes(id, turn);
    }

    /// Part of a peer's bit map came.
    pub(super) fn bits(&mut self, link: LinkId, id: FileId, from: u32, bytes: &[u8], turn: &mut Turn<'_>) {
        if from >= PIECES_MAX / 8 {
            return self.violation(link, Violation::NoSuchPiece, turn);
        }
        let pieces = pieces_of(from, bytes).collect::<Vec<_>>();
        self.has(link, id, &pieces, turn);
    }

    /// A peer holds these pieces.
    pub(super) fn has(&mut self, link: LinkId, id: FileId, pieces: &[u32], turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id) else { return };
        if pieces.iter().any(|piece| *piece >= file.held.len()) {
            return self.violation(link, Violation::NoSuchPiece, turn);
        }
        let Some(neighbour) = file.neighbours.get_mut(&link) else { return };
        let mut useful = 0;
        for piece in pieces {
            if neighbour.have.insert(*piece) {
                useful += u32::from(!file.held.has(*piece));
                if let super::file::Phase::Fetching(download) = &mut file.phase {
                    download.picker.increment(*piece);
                }
            }
        }
        // News of one more useful piece changes nothing where others could be asked for already.
        turn.fills |= useful > 0 && (neighbour.useful == 0 || neighbour.fruitless);
        neighbour.useful += useful;
        neighbour.fruitless &= useful == 0;
        self.gather_hashes(id, turn);
    }

    /// A peer holds all pieces.
    pub(super) fn has_all(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id) else { return };
        let Some(neighbour) = file.neighbours.get(&link) else { return };
        let pieces: Vec<u32> = Bitfield::full(file.held.len()).without(&neighbour.have).collect();
        self.has(link, id, &pieces, turn);
    }

    /// Tells neighbours of the pieces that arrived lately, each of those that it lacks. In the end all hear that all are here; before that,
    /// those that hold all of the file need not know. One on whose link the file was opened, and that has not answered yet, has heard
    /// what was held then, and hears the rest like a neighbour that holds nothing.
    pub(super) fn tell_news(&mut self, turn: &mut Turn<'_>) {
        self.news_at = turn.now + HAVE_DELAY;
        for id in self.files.take_with_news() {
            self.tell_news_of(id, turn);
        }
    }

    fn tell_news_of(&mut self, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get_mut(id).filter(|file| !file.news.is_empty()) else { return };
        let mut news = core::mem::take(&mut file.news);
        if file.held.is_full() {
            let links = file.neighbours.keys().chain(&file.knocked).copied().collect();
            self.spread(links, PeerMessage::Whole { file: id }, turn);
        } else if let [piece] = news[..] {
            let lacks = |(link, neighbour): (_, &Neighbour)| (!neighbour.have.has(piece)).then_some(link);
            let links = file.neighbours.iter().filter_map(lacks).chain(&file.knocked).copied().collect();
            self.spread(links, PeerMessage::Have { file: id, pieces: Few::one(piece) }, turn);
        } else {
            self.tell_each(id, &news, turn);
        }
        news.clear();
        if let Some(file) = self.files.get_mut(id) {
            file.news = news;
        }
    }

    /// Tells each neighbour which of several new pieces it lacks.
    fn tell_each(&mut self, id: FileId, news: &[u32], turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id) else { return };
        let neighbours = file.neighbours.iter().map(|(link, neighbour)| (*link, Some(&neighbour.have)));
        let knocked = file.knocked.iter().map(|link| (*link, None));
        let mut sends = Vec::new();
        for (link, have) in neighbours.chain(knocked) {
            let lacks = |piece: &u32| have.is_none_or(|have| !have.has(*piece));
            let lacks: Vec<u32> = news.iter().copied().filter(lacks).collect();
            sends.extend(lacks.chunks(HAVES_PER_MESSAGE).map(|page| (link, Few::new(page))));
        }
        for (link, pieces) in sends {
            self.send(link, PeerMessage::Have { file: id, pieces }, turn);
        }
    }

    /// A piece is held now: neighbours hear of it at once, unless they heard something just before.
    pub(super) fn note_news(&mut self, id: FileId, piece: u32, turn: &mut Turn<'_>) {
        self.files.note_news(id, piece);
        if self.news_at <= turn.now {
            self.tell_news(turn);
        } else {
            self.alarms.set(Alarm::Haves, self.news_at);
        }
    }

    /// A peer no longer takes part in a file, or a link is gone.
    pub(super) fn part(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        self.abandon_requests(link, id, turn);
        self.forget_uploads(link, Some(id), turn);
        let Some(file) = self.files.get_mut(id) else { return };
        file.knocked.retain(|knocked| *knocked != link);
        let Some(neighbour) = file.neighbours.remove(&link) else { return };
        if let Some(download) = file.download_mut() {
            if neighbour.counted_as_seeder {
                download.picker.remove_seeder();
            } else {
                neighbour.have.iter().for_each(|piece| download.picker.decrement(piece));
            }
            if download.gathering.as_ref().is_some_and(|gathering| gathering.link == link) {
                download.gathering = None;
            }
        }
        self.gather_hashes(id, turn);
    }

    /// Ends our part in a file on a link, and says so.
    pub(super) fn close_on(&mut self, link: LinkId, id: FileId, turn: &mut Turn<'_>) {
        let theirs =
            self.files.get(id).and_then(|file| file.neighbours.get(&link)).map(|neighbour| neighbour.theirs);
        let knocked =
            self.files.get(id).filter(|file| file.knocked.contains(&link)).map(|file| file.key.clone());
        if theirs.is_none() && knocked.is_none() {
            return;
        }
        self.part(link, id, turn);
        let Some(there) = self.links.get_mut(link) else { return };
        if let Some(theirs) = theirs {
            there.set_file(theirs, None);
        }
        if let Some(key) = knocked {
            if there.unanswered.len() >= VOUCHES_PER_LINK {
                return self.violation(link, Violation::NotReading, turn);
            }
            there.unanswered.push((id, key));
        }
        self.send(link, PeerMessage::Close { file: id }, turn);
    }

    /// Forgets a link and all that was open on it.
    pub(super) fn drop_link(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        let Some(there) = self.links.get(link) else { return };
        let (device, dialled, from) = (there.device, there.dialled, there.from);
        for id in self.files.ids() {
            let Some(file) = self.files.get_mut(id) else { continue };
            let was_here = file.neighbours.contains_key(&link) || file.knocked.contains(&link);
            if was_here {
                self.part(link, id, turn);
            }
            if let Some(file) = self.files.get_mut(id).filter(|_| was_here && dialled) {
                file.candidates.insert(device, from);
            }
        }
        self.forget_uploads(link, None, turn);
        self.links.remove(link);
        self.rest_from_dialling(turn.now, device);
    }
}

impl Neighbour {
    fn new(theirs: FileId, have: Bitfield, seeds: bool, useful: u32) -> Neighbour {
        Neighbour {
            theirs,
            have,
            counted_as_seeder: seeds,
            useful,
            asks: 0,
            asked: Time::default(),
            overdue: false,
            withdrawing: false,
            cancelling: Vec::new(),
            requests: 0,
            busy: false,
            owes_hashes: false,
            was_served: false,
            fruitless: false,
        }
    }
}
