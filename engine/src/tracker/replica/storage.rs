//! The log as `raft` sees it: what is on disk, and over it what is on its way there.
//!
//! Invariants: `durable` is what the store would give after a crash at this moment, but for the commit index, which may lie ahead of the
//! disk's; a write that fails is taken back by dropping everything above it. A snapshot is offered only to a replica that it names
//! as a voter, since any other would ignore it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::Cell;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, StorageError};

/// The log.
#[derive(Debug, Default)]
pub(super) struct Storage {
    hard: HardState,
    /// Index and term of the entry that the log begins after.
    base: (u64, u64),
    durable: VecDeque<Entry>,
    /// A snapshot on its way to the disk, which will replace all that is there.
    base_above: Option<(u64, u64)>,
    /// Entries on their way to the disk; those of the same index below are hidden, and so are those after the last.
    above: VecDeque<Entry>,
    /// Who votes, by what is applied.
    pub(super) voters: ConfState,
    offer: Option<Snapshot>,
    wanted: Cell<bool>,
}

impl Storage {
    pub(super) fn new(hard: HardState, base: (u64, u64), entries: Vec<Entry>, voters: ConfState) -> Storage {
        Storage { hard, base, durable: entries.into(), voters, ..Storage::default() }
    }

    /// Entries that the disk holds.
    pub(super) fn durable_len(&self) -> usize {
        self.durable.len()
    }

    /// Index of the entry that the log begins after.
    pub(super) fn base(&self) -> u64 {
        self.base_above.unwrap_or(self.base).0
    }

    /// Takes in entries that are about to be written.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first().map(|entry| entry.index) else { return };
        assert!(first <= self.last() + 1 && first > self.base(), "the log has no gap");
        cut(&mut self.above, first);
        self.above.extend(entries.iter().cloned());
    }

    /// Takes in a snapshot that is about to be written.
    pub(super) fn restore(&mut self, snapshot: &Snapshot) {
        let metadata = snapshot.get_metadata();
        self.base_above = Some((metadata.index, metadata.term));
        self.above.clear();
        self.offer = None;
    }

    /// What was on its way is on disk.
    pub(super) fn written(&mut self, hard: &HardState, base: Option<(u64, u64)>, entries: &[Entry]) {
        self.hard = hard.clone();
        if let Some(base) = base {
            self.base = base;
            self.durable.clear();
            if self.base_above == Some(base) {
                self.base_above = None;
            }
        }
        if let Some(first) = entries.first() {
            cut(&mut self.durable, first.index);
            self.durable.extend(entries.iter().cloned());
        }
        // What came after the write began, and differs, stays above.
        while let Some(entry) = self.above.front()
            && find(&self.durable, entry.index).is_some_and(|below| below.term == entry.term)
        {
            self.above.pop_front();
        }
    }

    /// What was on its way will never be on disk. `applied` entries are agreed, whatever the disk says.
    pub(super) fn roll_back(self, applied: u64, voters: ConfState) -> Storage {
        let mut hard = self.hard;
        hard.commit = hard.commit.max(applied);
        Storage { hard, base: self.base, durable: self.durable, voters, ..Storage::default() }
    }

    /// The entries up to `index` are part of the snapshot on disk.
    pub(super) fn compact(&mut self, index: u64, term: u64) {
        while self.durable.front().is_some_and(|entry| entry.index <= index) {
            self.durable.pop_front();
        }
        self.base = (index, term);
        if self.offer.as_ref().is_some_and(|offer| offer.get_metadata().index < index) {
            self.offer = None;
        }
    }

    /// Whether a snapshot was wanted and is not there.
    pub(super) fn wants_offer(&self) -> bool {
        self.wanted.replace(false)
    }

    /// Has this snapshot ready for those that want one.
    pub(super) fn offer(&mut self, snapshot: Snapshot) {
        self.offer = Some(snapshot);
    }

    pub(super) fn term_at(&self, index: u64) -> Option<u64> {
        let base = self.base_above.unwrap_or(self.base);
        if index == base.0 {
            return Some(base.1);
        }
        self.entry(index).map(|entry| entry.term)
    }

    fn entry(&self, index: u64) -> Option<&Entry> {
        match self.above.front() {
            Some(first) if index >= first.index => find(&self.above, index),
            _ if self.base_above.is_some() => None,
            _ => find(&self.durable, index),
        }
    }

    pub(super) fn last(&self) -> u64 {
        let durable = self.durable.back().filter(|_| self.base_above.is_none());
        self.above.back().or(durable).map_or(self.base(), |entry| entry.index)
    }

    pub(super) fn check(&self) {
        let consecutive = |entries: &VecDeque<Entry>| {
            entries.iter().zip(entries.iter().skip(1)).all(|(one, next)| one.index + 1 == next.index)
        };
        assert!(consecutive(&self.durable) && consecutive(&self.above), "the log has no gap");
        assert!(self.durable.front().is_none_or(|entry| entry.index == self.base.0 + 1));
        assert!(self.hard.commit >= self.base.0 || self.base == (0, 0), "a snapshot holds what is agreed");
    }
}

/// Drops the entries from `index` on.
fn cut(entries: &mut VecDeque<Entry>, index: u64) {
    while entries.back().is_some_and(|entry| entry.index >= index) {
        entries.pop_back();
    }
}

fn find(entries: &VecDeque<Entry>, index: u64) -> Option<&Entry> {
    let first = entries.front()?.index;
    entries.get(usize::try_from(index.checked_sub(first)?).ok()?)
}

impl raft::Storage for Storage {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), self.voters.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base() {
            return Err(Error::Store(StorageError::Compacted));
        }
        let found: Option<Vec<Entry>> = (low..high).map(|index| self.entry(index).cloned()).collect();
        let mut entries = found.ok_or(Error::Store(StorageError::Unavailable))?;
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.term_at(index) {
            Some(term) => Ok(term),
            None if index < self.base() => Err(Error::Store(StorageError::Compacted)),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base() + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let index = request_index.max(self.base());
        let fits = |offer: &&Snapshot| {
            let metadata = offer.get_metadata();
            metadata.index >= index && metadata.get_conf_state().voters.contains(&to)
        };
        self.offer.as_ref().filter(fits).cloned().ok_or_else(|| {
            self.wanted.set(true);
            Error::Store(StorageError::SnapshotTemporarilyUnavailable)
        })
    }
}
