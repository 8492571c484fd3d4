//! The piece hashes of a file: fetched from a neighbour before any piece, checked against the catalogue, and told to others.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Peer;
use super::file::Gathering;
use super::io::{EntryState, Work};
use super::jobs::Job;
use super::turn::Turn;
use crate::id::{FileId, LinkId, Sha1};
use crate::limits::HASHES_PER_MESSAGE;
use crate::piece::Hashes;
use crate::violation::Violation;
use crate::wire::list::SharedList;
use crate::wire::peer::PeerMessage;

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
            .find(|(link, n)| n.have.count() > 0 && !n.owes_hashes && rested(link))
            .map(|(link, _)| *link)
        else {
            return;
        };
        if let Some(download) = file.download_mut() {
            download.gathering = Some(Gathering { link, list: Vec::new(), since: now });
        }
        self.ask_for_hashes(link, id, 0, turn);
    }

    fn ask_for_hashes(&mut self, link: LinkId, id: FileId, from: u32, turn: &mut Turn<'_>) {
        if let Some(neighbour) = self.files.get_mut(id).and_then(|file| file.neighbours.get_mut(&link)) {
            neighbour.owes_hashes = true;
        }
        self.send(link, PeerMessage::GetHashes { file: id, from }, turn);
    }

    /// Writes the hashes down: without them, what is held could not be served after a restart.
    fn remember_hashes(&mut self, id: FileId, turn: &mut Turn<'_>) {
        let Some(file) = self.files.get(id) else { return };
        if let Some(entry) = self.entry(file, EntryState::Partial { hashes: file.hashes.clone() }) {
            self.jobs.start(Job::Memory, Work::Remember(Box::new(entry)), turn);
        }
    }

    /// Somebody wants the piece hashes of a file. A downloader that lacks them itself sends none.
    pub(super) fn tell_hashes(&mut self, link: LinkId, id: FileId, from: u32, turn: &mut Turn<'_>) {
        let known = self.files.get(id).and_then(|file| file.hashes.as_ref()).map(Hashes::list);
        let page = match known {
            Some(list) if from == 0 && list.len() <= HASHES_PER_MESSAGE => list.clone(),
            Some(list) => list.iter().skip(from as usize).take(HASHES_PER_MESSAGE).copied().collect(),
            None => Arc::default(),
        };
        let list = SharedList::new(page);
        self.send(link, PeerMessage::Hashes { file: id, from, list }, turn);
    }

    /// Piece hashes came, or word that there are none.
    pub(super) fn hashes(
        &mut self,
        link: LinkId,
        id: FileId,
        from: u32,
        page: &Arc<[Sha1]>,
        turn: &mut Turn<'_>,
    ) {
        let Some(file) = self.files.get_mut(id) else { return };
        let (len, root) = (file.held.len() as usize, file.content.hashes);
        let neighbour = file.neighbours.get_mut(&link);
        if !neighbour.is_some_and(|neighbour| core::mem::take(&mut neighbour.owes_hashes)) {
            return self.violation(link, Violation::UnaskedAnswer, turn);
        }
        let Some(download) = file.download_mut() else { return };
        let Some(gathering) = download.gathering.as_mut().filter(|gathering| gathering.link == link) else {
            // It comes too late: somebody else was asked meanwhile, or nobody could be.
            return self.gather_hashes(id, turn);
        };
        if from as usize != gathering.list.len() || gathering.list.len() + page.len() > len {
            return self.violation(link, Violation::FalseHashes, turn);
        }
        gathering.since = turn.now;
        if page.is_empty() {
            download.gathering = None;
            self.rest(link, turn);
            return self.gather_hashes(id, turn);
        }
        let hashes = if page.len() == len {
            Hashes::from(page.clone())
        } else {
            gathering.list.extend_from_slice(page);
            if gathering.list.len() < len {
                let from = u32::try_from(gathering.list.len()).unwrap_or(u32::MAX);
                return self.ask_for_hashes(link, id, from, turn);
            }
            Hashes::new(core::mem::take(&mut gathering.list))
        };
        download.gathering = None;
        if hashes.root() != root {
            return self.violation(link, Violation::FalseHashes, turn);
        }
        file.hashes = Some(hashes);
        self.remember_hashes(id, turn);
        self.finish_if_whole(id, turn);
    }
}
