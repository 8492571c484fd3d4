//! Clients of the other trackers: who they are, and what they have of which file.
//!
//! Each tracker tells the others of its own clients, so that peers find each other wherever they are connected. It is soft state: what the
//! last note says counts, and all of a tracker's guests are forgotten with its link.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Tracker;
use super::swarm::Key;
use crate::id::{DeviceId, LinkId};
use crate::name::UserName;
use crate::wire::cluster::Note;
use crate::wire::tracker::Address;

/// Guests are numbered from here, beside the links of the shell.
const FIRST: u64 = 1 << 63;

/// A client of another tracker.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) device: DeviceId,
    pub(super) user: UserName,
    pub(super) listen: Address,
    /// The tracker's number and its name for the client.
    host: (u16, u64),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Guests {
    by_link: BTreeMap<LinkId, Guest>,
    by_host: BTreeMap<(u16, u64), LinkId>,
    by_user: BTreeMap<UserName, BTreeSet<LinkId>>,
    ever: u64,
}

/// Whether this stands for a client of another tracker.
pub(super) const fn is_guest(link: LinkId) -> bool {
    link.0 >= FIRST
}

impl Guests {
    pub(super) fn get(&self, link: LinkId) -> Option<&Guest> {
        self.by_link.get(&link)
    }

    pub(super) fn of_user(&self, user: &UserName) -> Vec<LinkId> {
        self.by_user.get(user).into_iter().flatten().copied().collect()
    }

    fn insert(&mut self, guest: Guest) {
        let link = LinkId(FIRST | self.ever);
        self.ever += 1;
        self.by_host.insert(guest.host, link);
        self.by_user.entry(guest.user.clone()).or_default().insert(link);
        self.by_link.insert(link, guest);
    }

    fn remove(&mut self, host: (u16, u64)) -> Option<LinkId> {
        let link = self.by_host.remove(&host)?;
        let guest = self.by_link.remove(&link)?;
        if let Some(links) = self.by_user.get_mut(&guest.user) {
            links.remove(&link);
            if links.is_empty() {
                self.by_user.remove(&guest.user);
            }
        }
        Some(link)
    }

    pub(super) fn check(&self) {
        assert_eq!(self.by_link.len(), self.by_host.len());
        assert_eq!(self.by_link.len(), self.by_user.values().map(BTreeSet::len).sum::<usize>());
        assert!(self.by_link.iter().all(|(link, guest)| self.by_host.get(&guest.host) == Some(link)));
    }
}

impl Tracker {
    /// What the others are told of a client, or of its part in a file, as it is now.
    pub(super) fn note(&self, link: LinkId, file: Option<Key>) -> Note {
        let client = link.0;
        if let Some((group, name)) = file {
            let key = (group, name);
            let part = self.swarms.part(&key, link);
            let (group, name) = key;
            return Note::Part { client, group, name, part };
        }
        let here =
            self.sessions.get(link).and_then(|client| Some((client, client.user.clone()?, client.listen?)));
        match here {
            Some((there, user, listen)) => {
                Note::Here { client, device: there.device, user, listen: Address(listen) }
            }
            None => Note::Gone { client },
        }
    }

    /// Takes in what a tracker tells of its clients.
    pub(super) fn take_notes(&mut self, number: u16, notes: Vec<Note>) {
        for note in notes {
            match note {
                Note::Here { client, device, user, listen } => {
                    let host = (number, client);
                    let known = self.guests.by_host.get(&host).and_then(|link| self.guests.get(*link));
                    if known.is_some_and(|known| known.user == user && known.device == device) {
                        continue;
                    }
                    self.guest_left(host);
                    self.guests.insert(Guest { device, user, listen, host });
                }
                Note::Gone { client } => self.guest_left((number, client)),
                Note::Part { client, group, name, part } => {
                    let Some(link) = self.guests.by_host.get(&(number, client)) else { continue };
                    match part {
                        Some(part) => self.swarms.enter(&(group, name), *link, part),
                        None => self.swarms.leave(&(group, name), *link),
                    }
                }
            }
        }
    }

    fn guest_left(&mut self, host: (u16, u64)) {
        if let Some(link) = self.guests.remove(host) {
            self.swarms.leave_all(link);
        }
    }

    /// A tracker's clients are no longer known.
    pub(super) fn guests_left(&mut self, number: u16) {
        let hosts: Vec<_> =
            self.guests.by_host.range((number, 0)..=(number, u64::MAX)).map(|(host, _)| *host).collect();
        for host in hosts {
            self.guest_left(host);
        }
    }
}
