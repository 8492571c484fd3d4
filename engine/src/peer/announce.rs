//! What the tracker hears of our files, and what we do when one is no longer listed.

use alloc::vec::Vec;

use super::Peer;
use super::command::{Failure, News};
use super::file::{Ended, Key};
use super::turn::Turn;
use crate::id::FileId;
use crate::limits::{ANNOUNCE, ANNOUNCES_PER_MESSAGE};
use crate::wire::list::List;
use crate::wire::tracker::{Announce, ClientMessage, Standing};

impl Peer {
    /// Tells the tracker how far files are.
    pub(super) fn announce(&mut self, ids: &[FileId], want_peers: bool, turn: &mut Turn<'_>) {
        if !self.session.is_ready() || self.session.user.is_none() {
            return;
        }
        self.seek_tickets(ids, turn);
        for page in ids.chunks(ANNOUNCES_PER_MESSAGE) {
            let items: Vec<Announce> =
                page.iter().filter_map(|id| self.announcement(*id, want_peers)).collect();
            if !self.tell_tracker(ClientMessage::Announce(List::new(items)), turn) {
                return;
            }
            for id in page {
                if let Some(file) = self.files.get_mut(*id) {
                    file.announced = Some((file.held.count(), file.held.len() - file.unreachable()));
                    file.announced_at = turn.now;
                }
            }
        }
    }

    fn announcement(&self, id: FileId, want_peers: bool) -> Option<Announce> {
        let file = self.files.get(id)?;
        let (group, name) = file.key.clone();
        let state = if file.is_active() {
            Standing::Active { held: file.held.count(), reachable: file.held.len() - file.unreachable() }
        } else {
            Standing::Gone
        };
        Some(Announce { group, name, hashes: file.content.hashes, state, want_peers })
    }

    /// Announces what has become complete and was not announced yet.
    pub(super) fn announce_complete(&mut self, turn: &mut Turn<'_>) {
        let mut complete = core::mem::take(&mut self.to_announce);
        complete.retain(|id| self.files.get(*id).is_some_and(|file| file.announced.is_none()));
        self.announce(&complete, true, turn);
    }

    /// On a new link to a tracker, nothing was announced yet.
    pub(super) fn announce_afresh(&mut self) {
        self.files.table.values_mut().for_each(|file| file.announced = None);
    }

    /// Announces what the tracker does not know yet, and asks for peers where there are few.
    pub(super) fn announce_due(&mut self, turn: &mut Turn<'_>) {
        let mut fresh = Vec::new();
        let mut changed = Vec::new();
        for (id, file) in self.files.active() {
            let due = turn.now.since(file.announced_at) >= ANNOUNCE;
            let now = Some((file.held.count(), file.held.len() - file.unreachable()));
            let lonely = file.download().is_some() && file.neighbours.len() < self.config.neighbours;
            if file.announced.is_none() || (due && lonely) {
                fresh.push(id);
            } else if due && file.announced != now {
                changed.push(id);
            }
        }
        self.announce(&fresh, true, turn);
        self.announce(&changed, false, turn);
    }

    /// A file that we announced is not listed.
    pub(super) fn not_listed(&mut self, key: &Key, turn: &mut Turn<'_>) {
        self.acquaintances.forget_file(key);
        let Some((id, file)) = self.files.find(key) else { return };
        if file.is_active() {
            if file.is_complete() {
                let (group, name) = key.clone();
                turn.tell(News::ShareLost {
                    group,
                    name,
                    why: crate::refusal::DiskError::Other("it is no longer listed in the group".into()),
                });
            }
            self.end_or_fail(id, Failure::Unlisted, turn);
            self.strike_own(key, turn);
        }
    }

    pub(super) fn strike_own(&mut self, key: &Key, turn: &mut Turn<'_>) {
        if let Some(session) = &self.session.user {
            let user = session.user.clone();
            self.strike(user, key, turn);
        }
    }

    /// This person unlisted a file: the tracker's news of it is no news.
    pub(super) fn unlisted_by_us(&mut self, key: &Key, turn: &mut Turn<'_>) {
        self.acquaintances.forget_file(key);
        if let Some((id, _)) = self.files.find(key).filter(|(_, file)| file.is_active()) {
            self.end_or_fail(id, Failure::Unlisted, turn);
            self.strike_own(key, turn);
        }
    }

    /// Ends a share quietly, a download as failed.
    pub(super) fn end_or_fail(&mut self, id: FileId, why: Failure, turn: &mut Turn<'_>) {
        match self.files.get(id) {
            Some(file) if file.is_complete() => self.end_file(id, Ended::Unshared, turn),
            Some(file) if file.is_active() => self.fail(id, why, turn),
            _ => {}
        }
    }
}
