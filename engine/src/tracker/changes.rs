//! Changes that wait for their agreement, at whichever tracker they were asked for.
//!
//! A change goes to the leader, wherever that is; whoever asked is answered by this tracker once it has applied it. A change whose way to
//! the log was cut is sent again: made twice it still counts once, since it carries its origin. One that finds no leader is answered in
//! bounded time.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::registry::{Command, Origin};
use super::replica::Role;
use super::{Outbox, Tracker};
use crate::id::LinkId;
use crate::limits::{AGREEMENT_PATIENCE, PROPOSALS_MAX};
use crate::refusal::{Refusal, Table};
use crate::time::{Span, Time};
use crate::wire::cluster::{ClusterMessage, ReplicaId};
use crate::wire::codec;
use crate::wire::list::List;
use crate::wire::tracker::Answer;

/// How long a change may be under way before it is sent to the leader again.
const AGAIN: Span = Span::from_secs(1);

/// The changes.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<Origin, Asked>);

#[derive(Debug)]
struct Asked {
    link: LinkId,
    since: Time,
    command: Vec<u8>,
    /// When it went into a leader's log or on its way there, and in which term to whom.
    sent: Option<(Time, Course)>,
}

/// Who leads, in which term.
type Course = (u64, Option<ReplicaId>);

impl Tracker {
    /// Puts a change on its way, unless it was made before or would be refused.
    pub(super) fn change(&mut self, now: Time, link: LinkId, command: &Command) -> Result<(), Refusal> {
        let (origin, check) = match command {
            Command::CreateUser { origin, user, .. } => (*origin, self.registry.check_create_user(user)),
            Command::Change { origin, user, change } => (*origin, self.registry.check_change(user, change)),
            Command::Bind { .. } | Command::ClearInbox { .. } | Command::Overtake { .. } => {
                unreachable!("no client asks for these")
            }
        };
        // A retry goes through the log once more and finds its first answer there. With others, only the log knows what is true now.
        if self.decides_alone() && self.registry.answered(&origin).is_none() {
            check?;
        }
        if self.replica.is_full() && self.replica.leader().is_none() {
            return Err(Refusal::TrackerReadOnly);
        }
        if self.changes.0.len() >= PROPOSALS_MAX && !self.changes.0.contains_key(&origin) {
            return Err(Refusal::Full(Table::Changes));
        }
        let asked = Asked { link, since: now, command: codec::encode(command), sent: None };
        self.changes.0.insert(origin, asked);
        self.send_change(now, origin);
        Ok(())
    }

    fn send_change(&mut self, now: Time, origin: Origin) {
        let Some(asked) = self.changes.0.get(&origin) else { return };
        let command = asked.command.clone();
        let course = self.leadership();
        let sent = self.submit(command).then_some((now, course));
        if let Some(asked) = self.changes.0.get_mut(&origin) {
            asked.sent = sent;
        }
    }

    fn leadership(&self) -> Course {
        (self.replica.term(), self.replica.leader())
    }

    /// Puts an encoded command into the log or on its way to the leader; false if there is no way at present.
    fn submit(&mut self, command: Vec<u8>) -> bool {
        if self.replica.role() == Role::Leader {
            return self.replica.propose(command);
        }
        match self.replica.leader() {
            Some(leader) => self.speak_to(leader, ClusterMessage::Propose(List::new(command))),
            None => false,
        }
    }

    /// Proposes housekeeping, which nobody waits for; if there is no way, the next occasion will do.
    pub(super) fn propose_quietly(&mut self, command: &Command) {
        let _no_way = self.submit(codec::encode(command));
    }

    /// Sends again what may have been lost, and answers those that waited too long.
    pub(super) fn look_after_changes(&mut self, now: Time, outbox: &mut Outbox) {
        let course = self.leadership();
        let stale = |asked: &Asked| match asked.sent {
            Some((at, then)) => then != course || now.since(at) >= AGAIN,
            None => true,
        };
        let again: Vec<Origin> =
            self.changes.0.iter().filter(|(_, asked)| stale(asked)).map(|(origin, _)| *origin).collect();
        let late = |asked: &Asked| now.since(asked.since) >= AGREEMENT_PATIENCE;
        for origin in again {
            match self.changes.0.get(&origin) {
                Some(asked) if late(asked) => self.change_ended(&origin, Err(Refusal::NoMajority), outbox),
                Some(_) => self.send_change(now, origin),
                None => {}
            }
        }
    }

    /// Whoever waits here for the change of this origin is answered.
    pub(super) fn change_ended(&mut self, origin: &Origin, answer: Result<(), Refusal>, outbox: &mut Outbox) {
        if let Some(asked) = self.changes.0.remove(origin) {
            self.answer(asked.link, origin.seq, answer.map(|()| Answer::Done), outbox);
        }
    }

    /// All that waits is refused: the disk is full, and nobody else can take it in.
    pub(super) fn refuse_changes(&mut self, why: &Refusal, outbox: &mut Outbox) {
        for origin in self.changes.0.keys().copied().collect::<Vec<_>>() {
            self.change_ended(&origin, Err(why.clone()), outbox);
        }
    }

    /// The registry was replaced: some of what waits may have been applied on the way there.
    pub(super) fn look_for_answers(&mut self, outbox: &mut Outbox) {
        for origin in self.changes.0.keys().copied().collect::<Vec<_>>() {
            if let Some(answer) = self.registry.answered(&origin) {
                self.change_ended(&origin, answer, outbox);
            }
        }
    }
}

impl Changes {
    pub(super) fn check(&self) {
        assert!(self.0.len() <= PROPOSALS_MAX);
    }
}
