//! Jobs under way, and what each was for.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::io::{Action, Stamp, Work};
use super::turn::Turn;
use crate::id::{ChainingValue, CommandId, FileId, JobId, LinkId, Salt, Slot};
use crate::limits::JOBS_MAX;
use crate::name::{FileName, GroupName, Place, UserName};
use crate::piece::{Content, Extent};
use crate::table::Table;
use crate::ticket::{Expulsions, Membership, Signed};

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
    /// A change of the client's memory, or the end of a file, which nobody waits for.
    Memory,
    /// A share, written down before it is opened.
    RememberShare { id: CommandId, file: FileId, stamp: Stamp },
    /// A download, written down before the person is told that it began.
    RememberPart { id: CommandId, content: Content, held: u32 },
    /// A finished download, written down as a share before it is reported.
    RememberFinished { file: FileId },
    /// A share, looked at before it is served; the command, if a person waits.
    OpenShare { file: FileId, id: Option<CommandId> },
    /// A partial file, opened for a download; whether an earlier one goes on.
    OpenPart { file: FileId, id: CommandId, earlier: Option<Place> },
    /// The digests of a piece that arrived.
    Hash { extent: Extent, slot: Slot, link: LinkId },
    /// A verified piece, on its way to the disk.
    Write { extent: Extent, slot: Slot, link: LinkId, cv: ChainingValue },
    /// A checkpoint.
    Sync { file: FileId },
    /// A complete file, on its way to its name.
    Finish { file: FileId },
    /// A file that is no longer needed, at this place.
    Close { place: Place },
    /// A piece for somebody else: see the uploads.
    Send,
    /// A ticket that the peer on a link has shown.
    Ticket { link: LinkId, membership: Box<Membership> },
    /// Who ceased to be a member, as the peer on a link says.
    Expulsions { link: LinkId, expulsions: Box<Signed<Expulsions>> },
}

/// The table of jobs. At most [`JOBS_MAX`] are under way; the others wait their turn, in order. Those are the ends of files, of which a
/// logout brings as many as there are files.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    table: Table<JobId, Job>,
    waiting: VecDeque<(JobId, Work)>,
    next: u32,
}

impl Jobs {
    pub(super) fn start(&mut self, job: Job, work: Work, turn: &mut Turn<'_>) -> JobId {
        while self.table.contains_key(&JobId(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let id = JobId(self.next);
        self.next = self.next.wrapping_add(1);
        if self.table.len() - self.waiting.len() < JOBS_MAX {
            turn.act(Action::Start { job: id, work });
        } else {
            self.waiting.push_back((id, work));
        }
        self.table.insert(id, job);
        id
    }

    fn start_waiting(&mut self, turn: &mut Turn<'_>) {
        while self.table.len() - self.waiting.len() < JOBS_MAX {
            let Some((job, work)) = self.waiting.pop_front() else { return };
            turn.act(Action::Start { job, work });
        }
    }

    pub(super) fn end(&mut self, id: JobId, turn: &mut Turn<'_>) -> Job {
        let job = self.table.remove(&id).expect("a job ends once, after it was started");
        self.start_waiting(turn);
        job
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The slots that are being hashed or written.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.table.values().filter_map(|job| match *job {
            Job::Hash { slot, .. } | Job::Write { slot, .. } => Some(slot),
            _ => None,
        })
    }

    pub(super) fn check(&self) {
        let under_way = self.table.len() - self.waiting.len();
        assert!(under_way <= JOBS_MAX, "the shell has room for each job");
        assert!(self.waiting.is_empty() || under_way == JOBS_MAX, "no job waits while there is room");
    }
}
