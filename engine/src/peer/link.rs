//! Links to other peers.

use alloc::vec::Vec;
use core::net::SocketAddr;

use smallvec::SmallVec;

use super::file::Key;
use super::glance::start;
use super::rate::Smooth;
use crate::id::{DeviceId, FileId, LinkId};
use crate::limits::{LINK_CREDIT, VOUCHES_PER_LINK};
use crate::name::GroupName;
use crate::table::Table;
use crate::time::{Span, Time};

/// A peer at the other end of a link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) device: DeviceId,
    pub(super) from: SocketAddr,
    /// Whether this side dialled.
    pub(super) dialled: bool,
    /// Messages that may still be sent before the shell refunds some.
    pub(super) credit: u32,
    pub(super) heard: Time,
    /// The remote's numbers for files, in order, and ours; none for a file that this side closed or declined.
    files: SmallVec<[(FileId, Option<FileId>); 1]>,
    /// Files to be opened when both sides have shown that they are members.
    pub(super) waiting: Vec<(GroupName, FileId)>,
    /// Groups of which our ticket was shown; whether the remote has seen that it is good.
    pub(super) shown: SmallVec<[(GroupName, bool); 1]>,
    /// What it has shown and is being verified.
    pub(super) verifying: usize,
    /// Files that we opened and closed before the remote answered the opening.
    pub(super) unanswered: Vec<(FileId, Key)>,
    /// How long the remote takes for a piece.
    pub(super) piece_time: Smooth,
    /// Pieces owed by the remote, over all files.
    pub(super) owed: usize,
    /// Since when the remote owes pieces and none came.
    pub(super) waiting_since: Time,
    /// How often it let pieces wait for too long.
    pub(super) stalls: u32,
    /// Until when nothing is asked of it, after a stall.
    pub(super) rests_until: Time,
    /// Slots granted or waited for at the remote, when it last said.
    pub(super) queue: u16,
    /// Since when no file ties the two together.
    pub(super) idle_since: Option<Time>,
}

impl Link {
    pub(super) fn new(now: Time, device: DeviceId, from: SocketAddr, dialled: bool) -> Link {
        Link {
            device,
            from,
            dialled,
            credit: LINK_CREDIT,
            heard: now,
            files: SmallVec::new(),
            waiting: Vec::new(),
            shown: SmallVec::new(),
            verifying: 0,
            unanswered: Vec::new(),
            piece_time: Smooth::default(),
            owed: 0,
            waiting_since: now,
            stalls: 0,
            rests_until: Time::default(),
            queue: 0,
            idle_since: None,
        }
    }

    /// Names the lines of memory that word from it needs.
    pub(super) fn glance(&self, fetch: &mut impl FnMut(*const u8)) {
        start(&self.heard, fetch);
        start(&self.credit, fetch);
        start(&self.files, fetch);
    }

    /// Our number for a file that the remote opened.
    pub(super) fn file(&self, theirs: FileId) -> Option<Option<FileId>> {
        self.find(theirs).ok().map(|at| self.files[at].1)
    }

    /// Files that the remote opened, those that this side closed or declined among them.
    pub(super) fn files_open(&self) -> usize {
        self.files.len()
    }

    /// From now on this is what a number of the remote's stands for.
    pub(super) fn set_file(&mut self, theirs: FileId, ours: Option<FileId>) {
        match self.find(theirs) {
            Ok(at) => self.files[at].1 = ours,
            Err(at) => {
                if self.files.len() == self.files.capacity() {
                    // Most links have one.
                    self.files.reserve_exact(self.files.len() / 4 + 1);
                }
                self.files.insert(at, (theirs, ours));
            }
        }
    }

    /// The remote's number stands for nothing any more.
    pub(super) fn forget_file(&mut self, theirs: FileId) -> Option<FileId> {
        self.find(theirs).ok().and_then(|at| self.files.remove(at).1)
    }

    fn find(&self, theirs: FileId) -> Result<usize, usize> {
        self.files.binary_search_by_key(&theirs, |(id, _)| *id)
    }

    /// Whether our ticket of a group was shown, and if so, whether the remote has seen that it is good.
    pub(super) fn has_seen(&self, group: &GroupName) -> Option<bool> {
        self.shown.iter().find(|(other, _)| other == group).map(|(_, seen)| *seen)
    }

    /// How long the remote will take until one more piece from it is here: its queue and what it owes us, times its smoothed time for a
    /// piece. What it owes and has not sent yet tells something, too: it takes at least as long as we have waited.
    pub(super) fn expected(&self, now: Time, outstanding: usize, unmeasured: Span) -> Span {
        let ahead = (outstanding as u64).max(u64::from(self.queue)) + 1;
        self.piece_time.get().unwrap_or(unmeasured).max(self.waited(now)) * ahead
    }

    /// How long it has owed a piece, or nothing at all.
    fn waited(&self, now: Time) -> Span {
        if self.owed > 0 { now.since(self.waiting_since) } else { Span::default() }
    }

    /// A piece is taken back from it: if we waited longer than it should have taken, it is that slow at least.
    pub(super) fn gave_up(&mut self, waited: Span, typical: Span) {
        if waited > self.piece_time.get().unwrap_or(typical) {
            self.piece_time.add(waited);
        }
    }
}

/// All links to peers; at most one to a device.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) table: Table<LinkId, Link>,
    pub(super) by_device: Table<DeviceId, LinkId>,
}

impl Links {
    pub(super) fn get(&self, link: LinkId) -> Option<&Link> {
        self.table.get(&link)
    }

    pub(super) fn get_mut(&mut self, link: LinkId) -> Option<&mut Link> {
        self.table.get_mut(&link)
    }

    pub(super) fn insert(&mut self, id: LinkId, link: Link) {
        self.by_device.insert(link.device, id);
        let twin = self.table.insert(id, link);
        assert!(twin.is_none(), "a link comes up once");
    }

    pub(super) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let link = self.table.remove(&id)?;
        if self.by_device.get(&link.device) == Some(&id) {
            self.by_device.remove(&link.device);
        }
        Some(link)
    }

    pub(super) fn check(&self) {
        assert_eq!(self.table.len(), self.by_device.len(), "one link a device");
        for (device, link) in &self.by_device {
            assert_eq!(self.table.get(link).map(|link| link.device), Some(*device));
        }
        for link in self.table.values() {
            assert!(link.credit <= LINK_CREDIT);
            assert!(
                link.waiting.len() <= VOUCHES_PER_LINK
                    && link.verifying <= VOUCHES_PER_LINK
                    && link.unanswered.len() <= VOUCHES_PER_LINK
            );
        }
    }
}
