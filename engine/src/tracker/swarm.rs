//! Swarms: who is online with how much of which file. Soft state, rebuilt from announces, never logged.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use rand::Rng;

use super::guests::is_guest;
use crate::id::LinkId;
use crate::limits::{PEERS_PER_ANSWER, SWARM_ENTRIES_PER_LINK};
use crate::name::{FileName, GroupName};
use crate::wire::cluster::Part;

/// What names a swarm.
pub(super) type Key = (GroupName, FileName);

/// All swarms of a tracker.
#[derive(Debug, Default)]
pub(super) struct Swarms {
    by_file: BTreeMap<Key, Swarm>,
    by_link: BTreeMap<LinkId, BTreeSet<Key>>,
    entries: usize,
}

/// The peers of one file.
#[derive(Debug, Default)]
pub(super) struct Swarm {
    /// In no order, so that a random choice is cheap.
    peers: Vec<SwarmPeer>,
    place: BTreeMap<LinkId, usize>,
    seeders: u32,
    /// Peers that, with their neighbours, hold every piece.
    reaching: u32,
}

/// One peer of a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SwarmPeer {
    pub(super) link: LinkId,
    pub(super) held: u32,
    seeds: bool,
    reaches: bool,
}

impl Swarm {
    /// How many peers hold all of the file.
    pub(super) const fn seeders(&self) -> u32 {
        self.seeders
    }

    /// How many peers fetch what they lack.
    #[expect(clippy::cast_possible_truncation, reason = "fewer links than 2^32")]
    pub(super) const fn leechers(&self) -> u32 {
        self.peers.len() as u32 - self.seeders
    }

    /// How many others than the one on `link` seed and leech.
    pub(super) fn others(&self, link: LinkId) -> (u32, u32) {
        match self.place.get(&link).map(|&at| self.peers[at].seeds) {
            Some(true) => (self.seeders() - 1, self.leechers()),
            Some(false) => (self.seeders(), self.leechers() - 1),
            None => (self.seeders(), self.leechers()),
        }
    }

    /// Whether those online hold the whole file together.
    pub(super) const fn available(&self) -> bool {
        self.reaching > 0
    }

    fn insert(&mut self, peer: SwarmPeer) -> bool {
        let new = match self.place.get(&peer.link) {
            Some(&at) => {
                let old = core::mem::replace(&mut self.peers[at], peer);
                self.discount(old);
                false
            }
            None => {
                self.place.insert(peer.link, self.peers.len());
                self.peers.push(peer);
                true
            }
        };
        self.seeders += u32::from(peer.seeds);
        self.reaching += u32::from(peer.reaches);
        new
    }

    fn remove(&mut self, link: LinkId) {
        let Some(at) = self.place.remove(&link) else { return };
        let old = self.peers.swap_remove(at);
        if let Some(moved) = self.peers.get(at) {
            self.place.insert(moved.link, at);
        }
        self.discount(old);
    }

    fn discount(&mut self, old: SwarmPeer) {
        self.seeders -= u32::from(old.seeds);
        self.reaching -= u32::from(old.reaches);
    }

    /// Up to [`PEERS_PER_ANSWER`] others that can be of use to `asker`: to a seeder, only those that are not.
    pub(super) fn choose(&self, asker: LinkId, rng: &mut impl Rng) -> Vec<SwarmPeer> {
        let seeds = self.place.get(&asker).is_some_and(|&at| self.peers[at].seeds);
        let useful = |peer: &SwarmPeer| peer.link != asker && !(seeds && peer.seeds);
        // Twice as many as are wanted are looked at, so that the work is bounded in a swarm of seeders.
        let looks = (2 * PEERS_PER_ANSWER).min(self.peers.len());
        rand::seq::index::sample(rng, self.peers.len(), looks)
            .into_iter()
            .map(|at| self.peers[at])
            .filter(useful)
            .take(PEERS_PER_ANSWER)
            .collect()
    }
}

impl Swarms {
    /// The swarm of a file, if anybody takes part.
    pub(super) fn get(&self, key: &Key) -> Option<&Swarm> {
        self.by_file.get(key)
    }

    /// Peers times files.
    pub(super) const fn entries(&self) -> usize {
        self.entries
    }

    /// What a peer has of a file, if it takes part.
    pub(super) fn part(&self, key: &Key, link: LinkId) -> Option<Part> {
        let swarm = self.by_file.get(key)?;
        let SwarmPeer { held, seeds, reaches, .. } = swarm.peers[*swarm.place.get(&link)?];
        Some(Part { held, seeds, reaches })
    }

    /// All parts of clients of this tracker.
    pub(super) fn local_parts(&self) -> impl Iterator<Item = (LinkId, &Key)> {
        let local = self.by_link.iter().filter(|(link, _)| !is_guest(**link));
        local.flat_map(|(link, keys)| keys.iter().map(|key| (*link, key)))
    }

    /// All files that somebody takes part in.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.by_file.keys()
    }

    /// Notes that a peer takes part. Ignored beyond the peer's limit.
    pub(super) fn enter(&mut self, key: &Key, link: LinkId, part: Part) {
        let keys = self.by_link.entry(link).or_default();
        if keys.len() >= SWARM_ENTRIES_PER_LINK && !keys.contains(key) {
            return;
        }
        keys.insert(key.clone());
        let Part { held, seeds, reaches } = part;
        let peer = SwarmPeer { link, held, seeds, reaches };
        self.entries += usize::from(self.by_file.entry(key.clone()).or_default().insert(peer));
    }

    /// Notes that a peer no longer takes part.
    pub(super) fn leave(&mut self, key: &Key, link: LinkId) {
        if self.by_link.get_mut(&link).is_some_and(|keys| keys.remove(key)) {
            self.remove(key, link);
        }
    }

    /// Notes that a peer takes part in nothing any more; returns in what it did.
    pub(super) fn leave_all(&mut self, link: LinkId) -> BTreeSet<Key> {
        let keys = self.by_link.remove(&link).unwrap_or_default();
        for key in &keys {
            self.remove(key, link);
        }
        keys
    }

    /// Notes that a peer no longer takes part in the files of a group; returns in which it did.
    pub(super) fn leave_group(&mut self, group: &GroupName, link: LinkId) -> Vec<Key> {
        let keys: Vec<_> =
            self.by_link.get(&link).into_iter().flatten().filter(|key| key.0 == *group).cloned().collect();
        for key in &keys {
            self.leave(key, link);
        }
        keys
    }

    /// Ends the swarm of a file; returns who took part.
    pub(super) fn end(&mut self, key: &Key) -> Vec<LinkId> {
        let links: Vec<_> =
            self.by_file.get(key).into_iter().flat_map(|swarm| &swarm.peers).map(|p| p.link).collect();
        for link in &links {
            self.leave(key, *link);
        }
        links
    }

    fn remove(&mut self, key: &Key, link: LinkId) {
        let Some(swarm) = self.by_file.get_mut(key) else { return };
        swarm.remove(link);
        self.entries -= 1;
        if swarm.peers.is_empty() {
            self.by_file.remove(key);
        }
    }

    pub(super) fn check(&self) {
        let mut entries = 0;
        for (key, swarm) in &self.by_file {
            assert_eq!(swarm.peers.len(), swarm.place.len());
            assert_eq!(swarm.seeders as usize, swarm.peers.iter().filter(|peer| peer.seeds).count());
            assert_eq!(swarm.reaching as usize, swarm.peers.iter().filter(|peer| peer.reaches).count());
            for (at, peer) in swarm.peers.iter().enumerate() {
                assert_eq!(swarm.place.get(&peer.link), Some(&at));
                assert!(self.by_link.get(&peer.link).is_some_and(|keys| keys.contains(key)));
            }
            entries += swarm.peers.len();
        }
        assert_eq!(entries, self.entries);
        assert_eq!(entries, self.by_link.values().map(BTreeSet::len).sum::<usize>());
    }
}
