//! The tracker machine: it keeps the registry, and tells peers of each other.
//!
//! What a client asks falls into changes, which go through the [`log`] and are answered once applied, and queries, which are answered
//! at once from the [`registry`] and the [`swarm`]s. Nothing is acknowledged before it is durable.

pub mod io;
mod log;
pub mod login;
mod notary;
mod query;
pub mod registry;
mod session;
mod swarm;

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;

use crate::id::{JobId, LinkId};
use crate::limits::IDLE;
use crate::refusal::Refusal;
use crate::seed::{Purpose, Seed};
use crate::ticket::Clock;
use crate::time::Time;
use crate::violation::Violation;
use crate::wire::codec;
use crate::wire::tracker::{Announce, Answer, ClientMessage, Request, Standing, TrackerMessage};
use io::{Action, Input, Outcome, Stored};
use log::{Log, Proposal, Written};
use notary::Notary;
use registry::{Command, Effect, Origin, Registry};
use session::Sessions;
use swarm::Swarms;

/// What appends to the outbox.
type Outbox = Vec<Action>;

/// A tracker.
#[derive(Debug)]
pub struct Tracker {
    seed: Seed,
    rng: ChaCha8Rng,
    registry: Registry,
    log: Log,
    sessions: Sessions,
    swarms: Swarms,
    tries: login::Tries,
    notary: Notary,
    sweep: Option<Time>,
}

/// What a tracker's console shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Accounts.
    pub users: usize,
    /// Groups.
    pub groups: usize,
    /// Files listed, over all groups.
    pub files: usize,
    /// Clients connected.
    pub links: usize,
    /// Of those, logged in.
    pub sessions: usize,
    /// Swarm entries: peers times files.
    pub swarm_entries: usize,
    /// Log index of the last change that was applied.
    pub applied: u64,
    /// Whether changes are refused because the disk is full.
    pub read_only: bool,
}

impl Tracker {
    /// A tracker with what its store held.
    ///
    /// # Errors
    /// `Malformed` if the store is damaged.
    pub fn new(seed: Seed, stored: &Stored) -> Result<Tracker, Violation> {
        let (snapshot, mut registry) = match &stored.snapshot {
            Some((index, bytes)) => (*index, codec::decode_stored::<Registry>(bytes)?),
            None => (0, Registry::default()),
        };
        for (index, bytes) in &stored.entries {
            if *index != registry.applied() + 1 {
                return Err(Violation::Malformed);
            }
            registry.apply(*index, &codec::decode_stored::<Command>(bytes)?);
        }
        let log = Log::new(registry.applied(), snapshot);
        let rng = seed.stream(Purpose::Swarm);
        let (sessions, swarms, tries, notary) = Default::default();
        Ok(Tracker { seed, rng, registry, log, sessions, swarms, tries, notary, sweep: None })
    }

    /// What a console shows.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            users: self.registry.user_count(),
            groups: self.registry.group_count(),
            files: self.registry.file_count(),
            links: self.sessions.link_count(),
            sessions: self.sessions.session_count(),
            swarm_entries: self.swarms.entries(),
            applied: self.registry.applied(),
            read_only: self.log.is_read_only(),
        }
    }

    /// The registry, for those who verify it.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// When to call with `Wake` if nothing else happens before.
    #[must_use]
    pub const fn next_wakeup(&self) -> Option<Time> {
        self.sweep
    }

    /// Takes in what happened; appends what must be done.
    pub fn handle(&mut self, now: Time, input: Input, outbox: &mut Outbox) {
        match input {
            Input::LinkUp { link, device, from } => {
                if let Some(old) = self.sessions.open(now, link, device, from) {
                    self.drop_link(old);
                    outbox.push(Action::Close { link: old, violation: None });
                }
                self.sweep.get_or_insert(now + IDLE);
            }
            Input::LinkDown { link } => self.drop_link(link),
            Input::Message { link, message } => self.message(now, link, message, outbox),
            Input::Sent { link, messages } => self.sessions.refund(link, messages),
            Input::Done { job, outcome } => self.done(job, outcome, outbox),
            Input::Clock(unix) => self.notary.clock = Clock::new(unix, now),
            Input::Wake => self.wake(now, outbox),
        }
        self.log.start_write(&self.registry, outbox);
    }

    fn drop_link(&mut self, link: LinkId) {
        self.sessions.close(link);
        self.swarms.leave_all(link);
    }

    fn wake(&mut self, now: Time, outbox: &mut Outbox) {
        if self.sweep.is_none_or(|sweep| sweep > now) {
            return;
        }
        for link in self.sessions.silent_since(now - IDLE) {
            self.drop_link(link);
            outbox.push(Action::Close { link, violation: None });
        }
        self.sweep = (self.sessions.link_count() > 0).then_some(now + IDLE);
    }

    fn violation(&mut self, link: LinkId, violation: Violation, outbox: &mut Outbox) {
        self.drop_link(link);
        outbox.push(Action::Close { link, violation: Some(violation) });
    }

    fn message(&mut self, now: Time, link: LinkId, message: ClientMessage, outbox: &mut Outbox) {
        let Some(client) = self.sessions.heard(now, link) else { return };
        let greeted = client.listen.is_some();
        match message {
            ClientMessage::Hello { listen } if !greeted => self.sessions.greet(link, listen),
            ClientMessage::Bye => self.drop_link(link),
            _ if !greeted => self.violation(link, Violation::BadHello, outbox),
            ClientMessage::Hello { .. } => self.violation(link, Violation::BadHello, outbox),
            ClientMessage::Ping => self.send(link, TrackerMessage::Pong, outbox),
            ClientMessage::Announce(items) => {
                for item in items.into_vec() {
                    self.announce(link, item, outbox);
                }
            }
            ClientMessage::Request { seq, request } => match self.sessions.begin(link) {
                Err(violation) => self.violation(link, violation, outbox),
                Ok(()) => self.request(now, link, seq, *request, outbox),
            },
        }
    }

    /// Sends unless the client does not read what it was sent before; then the link ends.
    fn send(&mut self, link: LinkId, message: TrackerMessage, outbox: &mut Outbox) {
        match self.sessions.spend(link) {
            Some(true) => outbox.push(Action::Send { link, message }),
            Some(false) => self.violation(link, Violation::NotReading, outbox),
            None => {}
        }
    }

    fn answer(&mut self, link: LinkId, seq: u64, answer: Result<Answer, Refusal>, outbox: &mut Outbox) {
        self.sessions.end(link);
        let answer = answer.map(Box::new).map_err(Box::new);
        self.send(link, TrackerMessage::Answer { seq, answer }, outbox);
    }

    fn request(&mut self, now: Time, link: LinkId, seq: u64, request: Request, outbox: &mut Outbox) {
        let Some(client) = self.sessions.get(link) else { return };
        let origin = Origin { device: client.device, seq };
        let command = match (request, client.user.clone()) {
            (Request::CreateUser { user, salt, key }, _) => {
                let lock = registry::Lock { salt, verifier: login::verifier(&user, &key) };
                Command::CreateUser { origin, user, lock }
            }
            (Request::Change(change), Some(user)) => Command::Change { origin, user, change },
            (Request::Ticket { group, known }, Some(user)) => {
                return self.issue(now, (link, seq), (group, known), user, outbox);
            }
            (request, user) => {
                let answer = self.query(now, link, user.as_ref(), request);
                return self.answer(link, seq, answer, outbox);
            }
        };
        if let Err(refusal) = self.propose(command, link, seq) {
            self.answer(link, seq, Err(refusal), outbox);
        }
    }

    /// Puts a change into the log, unless it was made before or would be refused.
    fn propose(&mut self, command: Command, link: LinkId, seq: u64) -> Result<(), Refusal> {
        let (origin, check) = match &command {
            Command::CreateUser { origin, user, .. } => (origin, self.registry.check_create_user(user)),
            Command::Change { origin, user, change } => (origin, self.registry.check_change(user, change)),
            Command::Bind { .. } | Command::ClearInbox { .. } | Command::Overtake { .. } => {
                unreachable!("no client asks for these")
            }
        };
        // A retry goes through the log once more and finds its first answer there.
        if self.registry.answered(origin).is_none() {
            check?;
        }
        // While the disk is full one change at a time goes through: it finds out whether there is room again.
        if self.log.is_read_only() && !self.log.is_idle() {
            return Err(Refusal::TrackerReadOnly);
        }
        self.log.propose(Proposal { command, asker: Some((link, seq)) })
    }

    /// Proposes housekeeping, which nobody waits for; if the log is full, the next occasion will do.
    fn propose_quietly(&mut self, command: Command) {
        let _full = self.log.propose(Proposal { command, asker: None });
    }

    fn done(&mut self, job: JobId, outcome: Outcome, outbox: &mut Outbox) {
        if let Outcome::Signed(signer, signatures) = outcome {
            return self.signed(job, signer, &signatures, outbox);
        }
        match self.log.done(job, &outcome) {
            Written::Snapshot => {}
            Written::Agreed(first, proposals) => {
                for (index, proposal) in (first..).zip(proposals) {
                    self.apply(index, &proposal, outbox);
                }
            }
            Written::Failed(proposals) => {
                for (link, seq) in proposals.into_iter().filter_map(|proposal| proposal.asker) {
                    self.answer(link, seq, Err(Refusal::TrackerReadOnly), outbox);
                }
            }
        }
    }

    fn apply(&mut self, index: u64, proposal: &Proposal, outbox: &mut Outbox) {
        let applied = self.registry.apply(index, &proposal.command);
        if let Some((link, seq)) = proposal.asker {
            self.answer(link, seq, applied.answer.map(|()| Answer::Done), outbox);
        }
        for effect in applied.effects {
            self.effect(index, effect, outbox);
        }
    }

    fn effect(&mut self, index: u64, effect: Effect, outbox: &mut Outbox) {
        match effect {
            Effect::Tell(user, notice) => {
                let links = self.sessions.of_user(&user);
                if !links.is_empty() {
                    self.propose_quietly(Command::ClearInbox { user, upto: index });
                }
                for link in links {
                    self.send(link, TrackerMessage::Notice(notice.clone()), outbox);
                }
            }
            Effect::Expelled(group, user) => {
                let members: Vec<_> = match self.registry.group(&group) {
                    Ok(found) => found.members.keys().cloned().collect(),
                    Err(_) => Vec::new(),
                };
                for link in self.sessions.of_user(&user) {
                    self.swarms.leave_group(&group, link);
                }
                for member in members.iter().chain([&user]) {
                    for link in self.sessions.of_user(member) {
                        let (group, user) = (group.clone(), user.clone());
                        self.send(link, TrackerMessage::Expelled { group, user }, outbox);
                    }
                }
                self.publish(group, outbox);
            }
            Effect::Renewed(group) => self.publish(group, outbox),
            Effect::Unlisted(group, name) => {
                for link in self.swarms.end(&(group.clone(), name.clone())) {
                    let (group, name) = (group.clone(), name.clone());
                    self.send(link, TrackerMessage::NotListed { group, name }, outbox);
                }
            }
        }
    }

    fn announce(&mut self, link: LinkId, item: Announce, outbox: &mut Outbox) {
        let user = self.sessions.get(link).and_then(|client| client.user.clone());
        let key = (item.group, item.name);
        let file = user.and_then(|user| self.registry.group_for(&key.0, &user).ok()?.files.get(&key.1));
        let Some(file) = file.filter(|file| file.content.hashes == item.hashes) else {
            let (group, name) = key;
            return self.send(link, TrackerMessage::NotListed { group, name }, outbox);
        };
        match item.state {
            Standing::Active { held, reachable } => {
                self.swarms.enter(&key, link, held, reachable, file.content.size.pieces());
            }
            Standing::Gone => self.swarms.leave(&key, link),
        }
        // One who announces many files at once gets no more answers than it can take; it asks again where it matters.
        if item.want_peers && self.sessions.has_room(link) {
            let message = self.swarm_message(link, key);
            self.send(link, message, outbox);
        }
    }

    /// Asserts every invariant.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self) {
        self.registry.check();
        self.log.check(&self.registry);
        self.sessions.check();
        self.swarms.check();
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
