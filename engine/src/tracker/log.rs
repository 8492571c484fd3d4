//! The log: commands become durable in order, and only then are they applied.
//!
//! This is where replication has its place. One tracker is a cluster of one: what is on its disk is agreed. Commands that come in
//! while others are being written wait and go together in the next write.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::io::{Action, Outcome, Work};
use super::registry::{Command, Registry};
use crate::id::{JobId, LinkId};
use crate::limits::{PROPOSALS_MAX, SNAPSHOT_EVERY};
use crate::refusal::{Refusal, Table};
use crate::wire::codec;

/// A command on its way into the log, and who waits for it.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) command: Command,
    /// The link and request that want an answer.
    pub(super) asker: Option<(LinkId, u64)>,
}

/// What a finished write means for its proposals.
#[derive(Debug)]
pub(super) enum Written {
    /// They are agreed: apply them, from this index on.
    Agreed(u64, Vec<Proposal>),
    /// They were not written, and never will be.
    Failed(Vec<Proposal>),
    /// It was a snapshot.
    Snapshot,
}

/// The durable log of one tracker.
#[derive(Debug)]
pub(super) struct Log {
    /// Index of the last entry that is durable.
    durable: u64,
    /// Index at which the last snapshot was taken.
    snapshot: u64,
    waiting: Vec<Proposal>,
    writing: Option<(JobId, Write)>,
    next_job: u32,
    read_only: bool,
}

#[derive(Debug)]
enum Write {
    Append(Vec<Proposal>),
    Snapshot(u64),
}

impl Log {
    pub(super) fn new(durable: u64, snapshot: u64) -> Log {
        Log { durable, snapshot, waiting: Vec::new(), writing: None, next_job: 0, read_only: false }
    }

    pub(super) const fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether nothing is being written, and nothing waits to be.
    pub(super) const fn is_idle(&self) -> bool {
        self.writing.is_none() && self.waiting.is_empty()
    }

    /// Puts a command at the end of the log.
    pub(super) fn propose(&mut self, proposal: Proposal) -> Result<(), Refusal> {
        if self.waiting.len() >= PROPOSALS_MAX {
            return Err(Refusal::Full(Table::Changes));
        }
        self.waiting.push(proposal);
        Ok(())
    }

    /// Begins the next write if none is under way. `registry` has applied all that is durable.
    pub(super) fn start_write(&mut self, registry: &Registry, outbox: &mut Vec<Action>) {
        if self.writing.is_some() {
            return;
        }
        let (write, work) = if self.durable - self.snapshot >= SNAPSHOT_EVERY {
            let index = registry.applied();
            assert_eq!(index, self.durable, "a snapshot holds all that is durable");
            (Write::Snapshot(index), Work::Snapshot { index, registry: codec::encode(registry).into() })
        } else if self.waiting.is_empty() {
            return;
        } else {
            let proposals = core::mem::take(&mut self.waiting);
            let entries =
                (self.durable + 1..).zip(&proposals).map(|(index, p)| (index, encode(&p.command))).collect();
            (Write::Append(proposals), Work::Append { entries })
        };
        let job = JobId(self.next_job);
        self.next_job = self.next_job.wrapping_add(1);
        self.writing = Some((job, write));
        outbox.push(Action::Start { job, work });
    }

    /// Takes in the end of a write.
    pub(super) fn done(&mut self, job: JobId, outcome: &Outcome) -> Written {
        let (expected, write) = self.writing.take().expect("a job ends after it was started");
        assert_eq!(job, expected, "jobs end in order");
        let full = *outcome == Outcome::DiskFull;
        assert!(full || *outcome == Outcome::Durable, "a write is durable, or finds no room");
        self.read_only = full;
        match (write, full) {
            (Write::Append(proposals), false) => {
                let first = self.durable + 1;
                self.durable += proposals.len() as u64;
                Written::Agreed(first, proposals)
            }
            (Write::Append(proposals), true) => Written::Failed(proposals),
            (Write::Snapshot(index), false) => {
                self.snapshot = index;
                Written::Snapshot
            }
            (Write::Snapshot(_), true) => {
                // The log goes on without; the next try is due after as many entries again.
                self.snapshot = self.durable;
                Written::Snapshot
            }
        }
    }

    pub(super) fn check(&self, registry: &Registry) {
        assert_eq!(self.durable, registry.applied(), "what is durable is applied");
        assert!(self.waiting.len() <= PROPOSALS_MAX);
        assert!(self.waiting.is_empty() || self.writing.is_some(), "nothing waits while the disk is idle");
    }
}

fn encode(command: &Command) -> Box<[u8]> {
    codec::encode(command).into()
}
