//! Jobs under way, and what each was for.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::io::{Action, Work};
use super::turn::Turn;
use crate::id::{ChainingValue, CommandId, FileId, JobId, LinkId, Salt, Slot};
use crate::limits::JOBS_MAX;
use crate::name::{FileName, GroupName, Place, UserName};
use crate::piece::{Content, Extent};

/// What a job was for: what to do with its outcome.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// A key for a new account.
    KeyForAccount { id: CommandId, user: UserName, salt: Salt },
    /// A key to log in with.
    KeyForLogin { id: CommandId, user: UserName },
    /// The hashes of a file that the person shares.
    Survey { id: CommandId, group: GroupName, name: FileName, place: Place },
    /// What the user shared here before.
    Recall { id: CommandId, user: UserName },
    /// A line struck from the client's memory, which nobody waits for.
    Memory,
    /// A share, written down before the person is told that it is one.
    RememberShare { id: CommandId, content: Content },
    /// A download, written down before the person is told that it began.
    RememberPart { id: CommandId, content: Content, held: u32 },
    /// A finished download, written down as a share before it is reported.
    RememberFinished { file: FileId },
    /// A share, looked at before it is served.
    OpenShare { file: FileId },
    /// A partial file, opened for a download; whether an earlier one goes on.
    OpenPart { file: FileId, id: CommandId, resume: bool },
    /// The digests of a piece that arrived.
    Hash { extent: Extent, slot: Slot, link: LinkId },
    /// A verified piece, on its way to the disk.
    Write { extent: Extent, slot: Slot, link: LinkId, cv: ChainingValue },
    /// A checkpoint.
    Sync,
    /// A complete file, on its way to its name.
    Finish { file: FileId },
    /// A file that is no longer needed.
    Close,
    /// A piece for somebody else: see the uploads.
    Send,
}

/// The table of jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    table: BTreeMap<JobId, Box<Job>>,
    next: u32,
}

impl Jobs {
    pub(super) fn start(&mut self, job: Job, work: Work, turn: &mut Turn<'_>) -> JobId {
        assert!(self.table.len() < JOBS_MAX, "each kind of job is bounded, and so is their sum");
        while self.table.contains_key(&JobId(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let id = JobId(self.next);
        self.next = self.next.wrapping_add(1);
        self.table.insert(id, Box::new(job));
        turn.act(Action::Start { job: id, work });
        id
    }

    pub(super) fn end(&mut self, id: JobId) -> Job {
        *self.table.remove(&id).expect("a job ends once, after it was started")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The slots that are being hashed or written.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.table.values().filter_map(|job| match **job {
            Job::Hash { slot, .. } | Job::Write { slot, .. } => Some(slot),
            _ => None,
        })
    }

    pub(super) fn check(&self) {
        assert!(self.table.len() <= JOBS_MAX);
    }
}
