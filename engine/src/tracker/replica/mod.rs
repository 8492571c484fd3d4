//! One replica of the registry's log: agreement with the others by `raft`, behind a wrapper that another core could replace.
//!
//! It is used in the form that writes beside its work: what must be on disk is gathered into a [`Work::Persist`], one at a time, and what
//! comes up meanwhile goes together into the next. Votes and acknowledgements leave only after what they promise is on disk.
//!
//! Invariants:
//! - What is applied is agreed and on the disk of this tracker.
//! - A snapshot counts as applied only after it is on disk, and `raft` was told so.
//! - No random number of `raft`'s own has any effect: the election timeout comes from our seed, after every call.
//! - A write that finds the disk full is as if it had never been begun.

mod convert;
mod storage;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bincode::{Decode, Encode};
use raft::eraftpb::{ConfState, Entry, HardState, Message, MessageType, Snapshot};
use raft::{Config, RawNode, SnapshotStatus, StateRole};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::io::{Batch, Work};
use crate::id::JobId;
use crate::limits::{
    APPEND_LEN_MAX, APPENDS_IN_FLIGHT, REGISTRY_BYTES_PER_ENTRY, SNAPSHOT_EVERY, UNCOMMITTED_LEN_MAX,
};
use crate::violation::Violation;
use crate::wire::cluster::{Content, LogEntry, RaftKind, RaftMessage, Reform, ReplicaId};
use crate::wire::codec;
use storage::Storage;

/// Counts between two signs of life of a leader.
const HEARTBEAT_TICKS: usize = 2;
/// Counts of silence after which a leader is taken for dead; each replica adds less than as many again, by its own draw.
const ELECTION_TICKS: usize = 14;

/// Who votes, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Voters {
    current: Vec<ReplicaId>,
    /// Those before a change of several steps that is under way.
    outgoing: Vec<ReplicaId>,
    auto_leave: bool,
}

impl Voters {
    pub(super) fn new(current: Vec<ReplicaId>) -> Voters {
        Voters { current, ..Voters::default() }
    }

    fn of(state: &ConfState) -> Voters {
        let ids = |ids: &[u64]| {
            let mut ids: Vec<_> = ids.iter().copied().map(ReplicaId).collect();
            ids.sort_unstable();
            ids
        };
        let outgoing = ids(&state.voters_outgoing);
        Voters { current: ids(&state.voters), outgoing, auto_leave: state.auto_leave }
    }

    fn state(&self) -> ConfState {
        let ids = |ids: &[ReplicaId]| ids.iter().map(|id| id.0).collect::<Vec<u64>>();
        ConfState {
            voters: ids(&self.current),
            voters_outgoing: ids(&self.outgoing),
            auto_leave: self.auto_leave,
            ..ConfState::default()
        }
    }
}

/// What a replica begins with.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) id: ReplicaId,
    pub(super) generation: u64,
    pub(super) term: u64,
    pub(super) vote: ReplicaId,
    pub(super) commit: u64,
    /// Index and term of the snapshot; zero if there is none.
    pub(super) snapshot: (u64, u64),
    pub(super) voters: Voters,
    pub(super) entries: Vec<LogEntry>,
}

/// The term, the vote and the like, as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Standing {
    pub(super) id: ReplicaId,
    pub(super) generation: u64,
    pub(super) term: u64,
    pub(super) vote: ReplicaId,
    pub(super) commit: u64,
}

/// What a replica wants done.
#[derive(Debug)]
pub(super) enum Deed {
    /// An entry is agreed.
    Apply(u64, Content),
    /// A snapshot takes the place of all that was applied.
    Install(Box<[u8]>),
    /// To another replica.
    Send(RaftMessage),
    /// To another replica, in parts.
    SendSnapshot(RaftMessage, Box<[u8]>),
    /// What was agreed when the question of this number came up is up to this index.
    Read(u64, u64),
}

/// What a replica is to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It puts changes into the log.
    Leader,
    /// It asks to become leader.
    Candidate,
    /// It follows a leader, or waits for one.
    #[default]
    Follower,
}

/// What is being gathered for the disk, or on its way there.
#[derive(Debug, Default)]
struct Write {
    /// The last of `raft`'s numbers that it covers.
    number: u64,
    /// Whether anything of it must be on disk before the rest goes on.
    due: bool,
    /// Whether the replica begins with it: nothing that the store held before counts.
    begins: bool,
    snapshot: Option<Snapshot>,
    entries: Vec<Entry>,
    /// What may leave once it is on disk.
    held: Vec<Message>,
}

#[derive(Debug)]
enum Writing {
    Log(HardState, Box<Write>),
    /// The registry, up to this index and its term.
    Registry {
        index: u64,
        term: u64,
        len: usize,
    },
    /// Something of the replica before this one.
    Bygone,
}

/// A replica.
pub(super) struct Replica {
    pub(super) id: ReplicaId,
    pub(super) generation: u64,
    raw: RawNode<Storage>,
    rng: ChaCha8Rng,
    /// The counts of silence that this replica bears at present, and for which term and role they were drawn.
    patience: usize,
    drawn_for: (u64, StateRole),
    hard: HardState,
    next: Write,
    writing: Option<(JobId, Writing)>,
    jobs_ever: u32,
    /// Entries on disk after which the registry is written whole.
    snapshot_at: u64,
    full: bool,
    /// Whether it led since it began, with all applied that was agreed before.
    led: bool,
    /// Whether a write failed since the last count: the next begins after it.
    rests: bool,
    deeds: Vec<Deed>,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raft = &self.raw.raft;
        write!(f, "Replica({:?} {:?} in term {})", self.id, raft.state, raft.term)
    }
}

fn config(id: ReplicaId, applied: u64) -> Config {
    Config {
        id: id.0,
        election_tick: ELECTION_TICKS,
        heartbeat_tick: HEARTBEAT_TICKS,
        applied,
        max_size_per_msg: APPEND_LEN_MAX as u64,
        max_inflight_msgs: APPENDS_IN_FLIGHT,
        max_uncommitted_size: UNCOMMITTED_LEN_MAX,
        check_quorum: true,
        pre_vote: true,
        ..Config::default()
    }
}

fn start(id: ReplicaId, applied: u64, storage: Storage) -> RawNode<Storage> {
    let silent = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(&config(id, applied), storage, &silent).expect("the configuration is valid")
}

impl Replica {
    pub(super) fn new(beginning: Beginning, rng: ChaCha8Rng) -> Replica {
        let Beginning { id, generation, term, vote, commit, snapshot, voters, entries } = beginning;
        let commit = commit.max(snapshot.0);
        let hard = HardState { term, vote: vote.0, commit, ..HardState::default() };
        let entries = entries.into_iter().map(convert::entry_from_wire).collect();
        let storage = Storage::new(hard.clone(), snapshot, entries, voters.state());
        let mut replica = Replica {
            id,
            generation,
            raw: start(id, snapshot.0, storage),
            rng,
            patience: 0,
            drawn_for: (0, StateRole::Leader),
            hard,
            next: Write::default(),
            writing: None,
            jobs_ever: 0,
            snapshot_at: SNAPSHOT_EVERY,
            full: false,
            led: false,
            rests: false,
            deeds: Vec::new(),
        };
        replica.be_patient();
        replica
    }

    /// A replica that begins now, with this registry or blank, in the place of another in the same store.
    pub(super) fn begin(
        beginning: Beginning,
        registry: Option<Vec<u8>>,
        rng: ChaCha8Rng,
        before: Option<&Replica>,
    ) -> Replica {
        let (index, term) = beginning.snapshot;
        let snapshot = registry.map(|bytes| snapshot((index, term, &beginning.voters), bytes));
        let mut replica = Replica::new(beginning, rng);
        replica.next = Write { due: true, begins: true, snapshot, ..Write::default() };
        if let Some(before) = before {
            replica.jobs_ever = before.jobs_ever;
            replica.writing = before.writing.as_ref().map(|(job, _)| (*job, Writing::Bygone));
        }
        replica
    }

    /// Puts our own draw in the place of `raft`'s.
    fn be_patient(&mut self) {
        let raft = &mut self.raw.raft;
        if self.drawn_for != (raft.term, raft.state) {
            self.drawn_for = (raft.term, raft.state);
            self.patience = self.rng.random_range(ELECTION_TICKS..2 * ELECTION_TICKS);
        }
        raft.set_randomized_election_timeout(self.patience);
    }

    /// Counts.
    pub(super) fn tick(&mut self) {
        self.rests = false;
        self.raw.tick();
        self.be_patient();
    }

    /// Asks to become leader at once, as one who votes alone may.
    pub(super) fn campaign(&mut self) {
        self.raw.campaign().expect("it is a word of our own");
        self.be_patient();
    }

    /// Takes in what another replica says. What makes no sense is passed over, as if it had been lost.
    pub(super) fn step(&mut self, message: RaftMessage) {
        let alone_in_parts = message.kind == RaftKind::Snapshot;
        // A leader never tells anybody that more is agreed than it was told they have: they lost it.
        let lost =
            message.kind == RaftKind::Heartbeat && message.commit > self.raw.raft.raft_log.last_index();
        if !alone_in_parts && !lost && message.to == self.id {
            self.step_any(convert::from_wire(message));
        }
    }

    fn step_any(&mut self, message: Message) {
        // An error says that the message is out of date, or of somebody unknown.
        let _of_no_use = self.raw.step(message);
        self.be_patient();
    }

    /// Takes in a snapshot that came whole, and was looked at.
    pub(super) fn step_snapshot(&mut self, head: RaftMessage, meaning: (u64, u64, &Voters), bytes: Vec<u8>) {
        if head.kind != RaftKind::Snapshot || head.to != self.id {
            return;
        }
        let mut message = convert::from_wire(head);
        message.set_snapshot(snapshot(meaning, bytes));
        self.step_any(message);
    }

    /// Puts a command into the log; false if this is no leader, or too much waits.
    pub(super) fn propose(&mut self, command: Vec<u8>) -> bool {
        let taken = self.role() == Role::Leader && self.raw.propose(Vec::new(), command).is_ok();
        self.be_patient();
        taken
    }

    /// Puts a change of the members into the log; false if this is no leader, or one is under way.
    pub(super) fn reform(&mut self, reform: &Reform) -> bool {
        let raft = &self.raw.raft;
        let free = raft.state == StateRole::Leader
            && !raft.has_pending_conf()
            && self.raw.store().voters.voters_outgoing.is_empty();
        let change = convert::conf_change(reform);
        let taken = free && self.raw.propose_conf_change(convert::context(reform), change).is_ok();
        self.be_patient();
        taken
    }

    /// Asks up to where the log is agreed; answered by [`Deed::Read`] with the same number, or never.
    pub(super) fn read(&mut self, number: u64) {
        // The leader tells questions apart by these bytes, so they name who asks.
        self.raw.read_index(codec::encode(&(self.id, number)));
        self.be_patient();
    }

    /// A replica cannot be reached.
    pub(super) fn unreachable(&mut self, id: ReplicaId) {
        self.raw.report_unreachable(id.0);
        self.be_patient();
    }

    /// A snapshot left for a replica, or did not. Unless this is called, nothing is sent to it any more.
    pub(super) fn snapshot_left(&mut self, id: ReplicaId, whole: bool) {
        let status = if whole { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        self.raw.report_snapshot(id.0, status);
        self.be_patient();
    }

    /// Whether somebody lags so far behind that only a snapshot helps, and there is none ready.
    pub(super) fn wants_snapshot(&self) -> bool {
        self.raw.store().wants_offer()
    }

    /// Has the registry ready, as it is now, for those that lag far behind.
    pub(super) fn offer_snapshot(&mut self, registry: impl FnOnce(u64, &Voters) -> Box<[u8]>) {
        let ((applied, term), voters) = (self.last_applied(), self.voters());
        let bytes = registry(term, &voters).into_vec();
        self.raw.mut_store().offer(snapshot((applied, term, &voters), bytes));
    }

    /// Index and term of the last entry that was applied.
    fn last_applied(&self) -> (u64, u64) {
        let applied = self.applied();
        (
            applied,
            self.raw.store().term_at(applied).expect("what is applied is in the log, or ends before it"),
        )
    }

    /// Takes what the calls before brought about, in its order.
    pub(super) fn deeds(&mut self) -> Vec<Deed> {
        loop {
            while self.raw.has_ready() {
                self.take_ready();
            }
            if self.writing.is_some() || self.next.due || self.next.number == 0 {
                break;
            }
            // Nothing of it needs to be on disk.
            let write = core::mem::take(&mut self.next);
            self.raw.on_persist_ready(write.number);
            self.be_patient();
            self.send(write.held);
        }
        self.led |= self.is_settled_leader();
        core::mem::take(&mut self.deeds)
    }

    fn take_ready(&mut self) {
        let mut ready = self.raw.ready();
        for state in ready.take_read_states() {
            if let Ok((_, number)) = codec::decode::<(ReplicaId, u64)>(&state.request_ctx) {
                self.deeds.push(Deed::Read(number, state.index));
            }
        }
        let messages = ready.take_messages();
        self.send(messages);
        if let Some(hard) = ready.hs() {
            self.hard = hard.clone();
        }
        let storage = self.raw.mut_store();
        if !ready.snapshot().is_empty() {
            storage.restore(ready.snapshot());
            self.next.snapshot = Some(ready.snapshot().clone());
            self.next.entries.clear();
        }
        let entries = ready.take_entries();
        storage.append(&entries);
        if let Some(first) = entries.first() {
            self.next.entries.retain(|entry| entry.index < first.index);
            self.next.entries.extend(entries);
        }
        self.next.number = ready.number();
        self.next.due |= ready.must_sync();
        self.next.held.extend(ready.take_persisted_messages());
        let agreed = ready.take_committed_entries();
        self.raw.advance_append_async(ready);
        self.apply(&agreed);
        self.be_patient();
    }

    fn apply(&mut self, agreed: &[Entry]) {
        for entry in agreed {
            let content = convert::content(entry);
            if let Content::Reform(reform) = &content {
                let state = self.raw.apply_conf_change(&convert::conf_change(reform));
                self.raw.mut_store().voters = state.expect("`raft` looked at it before it took it in");
            }
            self.deeds.push(Deed::Apply(entry.index, content));
        }
        if let Some(last) = agreed.last() {
            self.raw.advance_apply_to(last.index);
        }
    }

    fn send(&mut self, mut messages: Vec<Message>) {
        // `raft` keeps its replicas in a hash map.
        messages.sort_by_key(|message| message.to);
        for mut message in messages {
            let is_snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
            let bytes = message.take_snapshot().take_data();
            let Some(wire) = convert::to_wire(self.generation, message) else { continue };
            self.deeds.push(match is_snapshot {
                true => Deed::SendSnapshot(wire, bytes.to_vec().into()),
                false => Deed::Send(wire),
            });
        }
    }

    /// Begins the next write, if there is something to write and none is under way. `registry` gives what a snapshot holds, for the term
    /// of the last entry in it.
    pub(super) fn start_write(
        &mut self,
        registry: impl FnOnce(u64, &Voters) -> Box<[u8]>,
    ) -> Option<(JobId, Work)> {
        if self.writing.is_some() || self.rests {
            return None;
        }
        let (writing, batch) = if self.next.due {
            let write = Box::new(core::mem::take(&mut self.next));
            let batch = self.batch(&write);
            (Writing::Log(self.hard.clone(), write), batch)
        } else if self.is_long() {
            let (applied, term) = self.last_applied();
            let registry = registry(term, &self.voters());
            let writing = Writing::Registry { index: applied, term, len: registry.len() };
            let snapshot = Some((applied, registry));
            let batch = Batch { standing: self.standing(), snapshot, clears: false, entries: Vec::new() };
            (writing, batch)
        } else {
            return None;
        };
        let job = JobId(self.jobs_ever);
        self.jobs_ever = self.jobs_ever.wrapping_add(1) % super::notary::FIRST_JOB;
        self.writing = Some((job, writing));
        Some((job, Work::Persist(batch)))
    }

    /// Whether the log on disk is to be cut. One that is followed waits for those who follow, up to twice the length.
    fn is_long(&self) -> bool {
        let len = self.raw.store().durable_len() as u64;
        let applied = self.raw.raft.raft_log.applied();
        let near = |matched: u64| matched + SNAPSHOT_EVERY / 10 >= applied;
        let mut others = self.raw.raft.prs().iter();
        let followed = self.role() != Role::Leader || others.all(|(_, progress)| near(progress.matched));
        len >= self.snapshot_at && (followed || len >= 2 * self.snapshot_at)
    }

    fn standing(&self) -> Box<[u8]> {
        let standing = Standing {
            id: self.id,
            generation: self.generation,
            term: self.hard.term,
            vote: ReplicaId(self.hard.vote),
            commit: self.hard.commit,
        };
        codec::encode(&standing).into()
    }

    fn batch(&self, write: &Write) -> Batch {
        let snapshot = write.snapshot.as_ref();
        let row = |entry: &Entry| (entry.index, codec::encode(&convert::entry_to_wire(entry)).into());
        Batch {
            standing: self.standing(),
            snapshot: snapshot.map(|whole| (whole.get_metadata().index, whole.get_data().into())),
            clears: write.begins || snapshot.is_some(),
            entries: write.entries.iter().map(row).collect(),
        }
    }

    /// The write of this job ended: it is on disk, or nothing of it is.
    pub(super) fn written(&mut self, job: JobId, durable: bool) {
        let (expected, writing) = self.writing.take().expect("a job ends after it was started");
        assert_eq!(job, expected, "writes end in order");
        if matches!(writing, Writing::Bygone) {
            return;
        }
        (self.full, self.rests) = (!durable, !durable);
        match writing {
            Writing::Bygone => {}
            Writing::Registry { index, term, len } if durable => {
                self.raw.mut_store().compact(index, term);
                // A large one is written less often, so that what it costs stays in proportion to the changes.
                self.snapshot_at = SNAPSHOT_EVERY.max((len / REGISTRY_BYTES_PER_ENTRY) as u64);
            }
            // The log goes on; the next try is due after as many entries again.
            Writing::Registry { .. } => self.snapshot_at += SNAPSHOT_EVERY,
            Writing::Log(hard, write) if durable => self.log_written(&hard, *write),
            // Until it has begun there is nothing to go back to: it begins again.
            Writing::Log(_, write) if write.begins => {
                self.roll_back();
                self.next = Write { due: true, begins: true, snapshot: write.snapshot, ..Write::default() };
            }
            Writing::Log(..) => self.roll_back(),
        }
        self.be_patient();
    }

    fn log_written(&mut self, hard: &HardState, write: Write) {
        let base =
            write.snapshot.as_ref().map(|whole| (whole.get_metadata().index, whole.get_metadata().term));
        self.raw.mut_store().written(hard, base, &write.entries);
        self.raw.on_persist_ready(write.number);
        self.send(write.held);
        if let Some(mut whole) = write.snapshot.filter(|_| !write.begins) {
            let index = whole.get_metadata().index;
            self.raw.mut_store().voters = whole.get_metadata().get_conf_state().clone();
            self.deeds.push(Deed::Install(whole.take_data().to_vec().into()));
            self.raw.advance_apply_to(index);
        }
    }

    /// Begins again from what is on disk, as after a crash.
    fn roll_back(&mut self) {
        let applied = self.raw.raft.raft_log.applied();
        let voters = self.voters().state();
        let storage = core::mem::take(self.raw.mut_store()).roll_back(applied, voters);
        self.raw = start(self.id, applied, storage);
        self.hard = self.raw.raft.hard_state();
        self.next = Write::default();
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some() || self.next.due
    }

    /// Whether what it begins with is on disk.
    pub(super) fn has_begun(&self) -> bool {
        let beginning = match &self.writing {
            Some((_, Writing::Log(_, write))) => write.begins,
            _ => false,
        };
        !beginning && !self.next.begins
    }

    /// Whether the last write found the disk full.
    pub(super) const fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn role(&self) -> Role {
        match self.raw.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Follower => Role::Follower,
        }
    }

    /// Whether this is the leader, and all that was agreed before it became that is applied.
    pub(super) fn is_settled_leader(&self) -> bool {
        self.role() == Role::Leader && self.raw.raft.apply_to_current_term()
    }

    /// Whether it led since it began, with all applied that was agreed before.
    pub(super) const fn has_led(&self) -> bool {
        self.led
    }

    /// The leader, as far as this replica knows.
    pub(super) fn leader(&self) -> Option<ReplicaId> {
        Some(ReplicaId(self.raw.raft.leader_id)).filter(|id| id.0 != 0)
    }

    pub(super) fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// Index up to which the log is agreed, as far as this replica knows.
    pub(super) fn committed(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    pub(super) fn applied(&self) -> u64 {
        self.raw.raft.raft_log.applied()
    }

    /// Index of the last entry.
    pub(super) fn last(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    /// Entries after what is applied, agreed or not: what one who goes on alone takes for agreed.
    pub(super) fn beyond(&self) -> Vec<(u64, Content)> {
        let range = self.applied() + 1..=self.last();
        let entry = |index| {
            let context = raft::GetEntriesContext::empty(false);
            let found = self.raw.raft.raft_log.slice(index, index + 1, None, context);
            found.ok().and_then(|entries| Some((index, convert::content(entries.first()?))))
        };
        range.filter_map(entry).collect()
    }

    /// Who votes, by what is applied.
    pub(super) fn voters(&self) -> Voters {
        Voters::of(&self.raw.store().voters)
    }

    /// Whether this replica alone decides.
    pub(super) fn is_alone(&self) -> bool {
        let voters = &self.raw.store().voters;
        voters.voters == [self.id.0] && voters.voters_outgoing.is_empty()
    }

    /// Up to where each of the others has the log, if this is the leader.
    pub(super) fn progress(&self) -> Vec<(ReplicaId, u64)> {
        if self.role() != Role::Leader {
            return Vec::new();
        }
        let others = self.raw.raft.prs().iter().filter(|(id, _)| **id != self.id.0);
        let mut progress: Vec<_> = others.map(|(id, progress)| (ReplicaId(*id), progress.matched)).collect();
        progress.sort_unstable();
        progress
    }

    pub(super) fn check(&self) {
        let raft = &self.raw.raft;
        assert_eq!(raft.randomized_election_timeout(), self.patience, "the election timeout is ours");
        assert!(self.deeds.is_empty(), "what was brought about is done");
        self.raw.store().check();
    }
}

fn snapshot((index, term, voters): (u64, u64, &Voters), bytes: Vec<u8>) -> Snapshot {
    let mut snapshot = Snapshot { data: bytes.into(), ..Snapshot::default() };
    let metadata = snapshot.mut_metadata();
    metadata.index = index;
    metadata.term = term;
    metadata.set_conf_state(voters.state());
    snapshot
}

/// The entry of the log that a row of the store holds.
///
/// # Errors
/// `Malformed` if it is none, or of another index.
pub(super) fn stored_entry(index: u64, row: &[u8]) -> Result<LogEntry, Violation> {
    let entry: LogEntry = codec::decode_stored(row)?;
    if entry.index == index { Ok(entry) } else { Err(Violation::Malformed) }
}
