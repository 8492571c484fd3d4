//! The tracker machine: it keeps the registry together with the other trackers, and tells peers of each other.
//!
//! What a client asks falls into [`changes`], which go through the log of a [`replica`] and are answered once applied, and [`questions`],
//! which are answered from the [`registry`] and the [`swarm`]s once they hold what was agreed. Nothing is acknowledged before as many
//! trackers have it on disk as must agree. One tracker is a cluster of one, on the same path.

mod changes;
pub mod cluster;
mod guests;
pub mod io;
pub mod login;
mod members;
mod notary;
mod query;
mod questions;
pub mod registry;
pub mod replica;
mod session;
mod swarm;

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;

use crate::id::{DeviceId, JobId, LinkId};
use crate::limits::{IDLE, TICK};
use crate::name::{FileName, GroupName};
use crate::refusal::Refusal;
use crate::seed::{Purpose, Seed};
use crate::ticket::Clock;
use crate::time::Time;
use crate::violation::Violation;
use crate::wire::cluster::{Content, Part};
use crate::wire::codec;
use crate::wire::tracker::{Announce, Answer, ClientMessage, Request, Standing, TrackerMessage};
use changes::Changes;
use cluster::{Cluster, ColleagueStatus, Listed};
use guests::{Guests, is_guest};
use io::{Action, Input, Outcome, Stored};
use members::{Members, Whole, replica_id};
use notary::Notary;
use questions::Questions;
use registry::{Command, Effect, Origin, Registry};
use replica::{Beginning, Deed, Replica, Role, Standing as Durable, Voters};
use session::Sessions;
use swarm::Swarms;

/// What appends to the outbox.
type Outbox = Vec<Action>;

/// Counts that are made up for at once, after the process had no time to count: more would say nothing new.
const TICKS_AT_ONCE: u32 = 60;

/// Who a tracker is, and who the others are.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "recording", derive(bincode::Encode, bincode::Decode))]
pub struct Config {
    /// Where its randomness comes from, and the name of its replica: lost with its store, and only so.
    pub seed: Seed,
    /// Its key.
    pub device: DeviceId,
    /// Its place in the list, from 1.
    pub number: u16,
    /// All others of the list.
    pub others: Vec<Listed>,
}

impl Config {
    /// For the only tracker of a list.
    #[must_use]
    pub const fn alone(seed: Seed, device: DeviceId) -> Config {
        Config { seed, device, number: 1, others: Vec::new() }
    }
}

/// A tracker.
#[derive(Debug)]
pub struct Tracker {
    seed: Seed,
    device: DeviceId,
    number: u16,
    rng: ChaCha8Rng,
    registry: Registry,
    members: Members,
    replica: Replica,
    changes: Changes,
    questions: Questions,
    cluster: Cluster,
    guests: Guests,
    sessions: Sessions,
    swarms: Swarms,
    tries: login::Tries,
    notary: Notary,
    sweep: Option<Time>,
    /// When to count next.
    tick: Option<Time>,
    /// What was said to other trackers and is not in the outbox yet.
    spoken: Outbox,
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
    /// Clients connected; the other trackers are none.
    pub clients: usize,
    /// Of those, logged in.
    pub sessions: usize,
    /// Swarm entries: peers times files, over all trackers.
    pub swarm_entries: usize,
    /// Log index of the last entry that was applied.
    pub applied: u64,
    /// Log index up to which the log is agreed.
    pub committed: u64,
    /// Whether changes are refused because the disk is full.
    pub read_only: bool,
    /// What this tracker is to the others.
    pub role: Role,
    /// Whether it belongs to no cluster yet.
    pub blank: bool,
    /// The number of the tracker that leads, if one is known.
    pub leader: Option<u16>,
    /// The term.
    pub term: u64,
    /// The generation.
    pub generation: u64,
    /// The registry's hash: trackers that applied as much show the same.
    pub digest: u64,
    /// The other trackers of the list.
    pub others: Vec<ColleagueStatus>,
    /// When this was so.
    pub now: Time,
}

impl Tracker {
    /// A tracker with what its store held.
    ///
    /// # Errors
    /// `Malformed` if the store is damaged.
    pub fn new(config: Config, stored: &Stored) -> Result<Tracker, Violation> {
        let Config { seed, device, number, others } = config;
        let standing = match &stored.standing {
            Some(bytes) => codec::decode_stored(bytes)?,
            None => Durable { id: replica_id(&seed, 0), ..Durable::default() },
        };
        let whole =
            stored.snapshot.as_ref().map(|(_, bytes)| codec::decode_stored::<Whole>(bytes)).transpose()?;
        let index = stored.snapshot.as_ref().map_or(0, |(index, _)| *index);
        let (term, voters, members, registry) = match whole {
            Some(whole) => (whole.term, whole.voters, whole.members, whole.registry),
            None => (0, Voters::default(), Members::default(), Registry::default()),
        };
        if registry.applied() != index {
            return Err(Violation::Malformed);
        }
        let mut entries = Vec::new();
        for ((stored, bytes), expected) in stored.entries.iter().zip(index + 1..) {
            if *stored != expected {
                return Err(Violation::Malformed);
            }
            entries.push(replica::stored_entry(*stored, bytes)?);
        }
        let Durable { id, generation, term: last_term, vote, commit } = standing;
        if commit > index + entries.len() as u64 {
            return Err(Violation::Malformed);
        }
        let snapshot = (index, term);
        let beginning =
            Beginning { id, generation, term: last_term, vote, commit, snapshot, voters, entries };
        let replica = Replica::new(beginning, seed.child(generation).stream(Purpose::Patience));
        let mut tracker = Tracker {
            rng: seed.stream(Purpose::Swarm),
            seed,
            device,
            number,
            registry,
            members,
            replica,
            cluster: Cluster::new(&others),
            changes: Changes::default(),
            questions: Questions::default(),
            guests: Guests::default(),
            sessions: Sessions::default(),
            swarms: Swarms::default(),
            tries: login::Tries::default(),
            notary: Notary::default(),
            sweep: None,
            tick: Some(Time::default()),
            spoken: Outbox::new(),
        };
        let missed = tracker.cluster.trust(&tracker.members);
        assert!(missed.is_empty(), "nobody has said anything yet");
        Ok(tracker)
    }

    /// What a console shows.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        Status {
            users: self.registry.user_count(),
            groups: self.registry.group_count(),
            files: self.registry.file_count(),
            clients: self.sessions.client_count(),
            sessions: self.sessions.session_count(),
            swarm_entries: self.swarms.entries(),
            applied: self.registry.applied(),
            committed: self.replica.committed(),
            read_only: self.replica.is_full(),
            role: self.replica.role(),
            blank: self.is_blank(),
            leader: self.leader(),
            term: self.replica.term(),
            generation: self.replica.generation,
            digest: self.registry.digest(),
            others: self.colleagues(),
            now,
        }
    }

    /// Everything that must survive all trackers: [`Tracker::restored`] begins with it.
    #[must_use]
    pub fn backup(&self) -> Box<[u8]> {
        codec::encode(&self.registry).into()
    }

    /// What the store of a new tracker holds that begins, alone, with what [`Tracker::backup`] gave.
    ///
    /// # Errors
    /// `Malformed` if that is not what these bytes are.
    pub fn restored(config: &Config, backup: &[u8]) -> Result<Stored, Violation> {
        let mut registry: Registry = codec::decode_stored(backup)?;
        // An index of zero would be no snapshot.
        if registry.applied() == 0 {
            registry.skip(1);
        }
        Ok(members::restored(config, &registry))
    }

    /// Generation, term and role, for those who verify that each term has one leader.
    #[must_use]
    pub fn course(&self) -> (u64, u64, Role) {
        (self.replica.generation, self.replica.term(), self.replica.role())
    }

    /// Whether this tracker leads, and has applied all that was agreed before it did.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.replica.is_settled_leader()
    }

    /// The registry, for those who verify it.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether nobody else can have changed anything: this tracker votes alone, and has applied all that its disk held.
    fn decides_alone(&self) -> bool {
        self.replica.is_alone() && self.replica.has_led()
    }

    /// When to call with `Wake` if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        [self.sweep, self.tick].into_iter().flatten().min()
    }

    /// Takes in what happened; appends what must be done.
    pub fn handle(&mut self, now: Time, input: Input, outbox: &mut Outbox) {
        // First of all, so that nothing is said any more on a link that is no more.
        if let Input::LinkDown { link } = input {
            self.link_down(now, link);
        }
        self.count(now, outbox);
        match input {
            Input::LinkDown { .. } => {}
            Input::LinkUp { link, device, from } => {
                if let Some(old) = self.sessions.open(now, link, device, from) {
                    self.drop_link(old);
                    outbox.push(Action::Close { link: old, violation: None });
                }
                self.sweep.get_or_insert(now + IDLE);
            }
            Input::Message { link, message } => self.message(now, link, message, outbox),
            Input::Sent { link, messages } if self.cluster.is_ours(link) => {
                self.colleague_refunds(link, messages);
            }
            Input::Sent { link, messages } => self.sessions.refund(link, messages),
            Input::Done { job, outcome } => self.done(job, outcome, outbox),
            Input::Clock(unix) => self.notary.clock = Clock::new(unix, now),
            Input::Reached { tracker, link, device } => {
                self.colleague_reached(now, (tracker, link), device, outbox);
            }
            Input::Unreached { tracker } => self.colleague_unreached(now, tracker),
            Input::Echo { link } => self.colleague_echoed(now, link),
            Input::Order(order) => self.order(now, order, outbox),
            Input::Wake => self.wake(now, outbox),
        }
        self.settle(now, outbox);
    }

    /// Lets time pass for the replica, and does what is due now and then.
    fn count(&mut self, now: Time, outbox: &mut Outbox) {
        let Some(mut at) = self.tick.filter(|at| *at <= now) else { return };
        for _ in 0..TICKS_AT_ONCE {
            if at <= now {
                self.replica.tick();
                at += TICK;
            }
        }
        self.tick = Some(at.max(now + crate::time::Span(1)));
        self.look_after_links(now, outbox);
        self.found(outbox);
        self.take_over(now, outbox);
        self.readmit(now);
        self.look_after_changes(now, outbox);
        self.look_after_questions(now, outbox);
        self.tell_notes(outbox);
        self.tell_leader(outbox);
    }

    /// Whether the replica needs time to pass: there are others, or it does not lead yet.
    fn counts(&self) -> bool {
        !self.cluster.is_empty() || !self.decides_alone() || self.replica.role() != Role::Leader
    }

    /// Does what the replica wants until it wants nothing more.
    fn settle(&mut self, now: Time, outbox: &mut Outbox) {
        if self.replica.is_alone() && self.replica.role() == Role::Follower && !self.replica.is_full() {
            self.replica.campaign();
        }
        loop {
            self.put_questions(now);
            let deeds = self.replica.deeds();
            if deeds.is_empty() {
                break;
            }
            for deed in deeds {
                self.perform(deed, outbox);
            }
        }
        self.answer_questions(now, outbox);
        outbox.append(&mut self.spoken);
        self.forward_parcels(outbox);
        let (members, registry) = (&self.members, &self.registry);
        let snapshot = |term, voters: &Voters| members::whole(term, voters, members, registry);
        if self.replica.wants_snapshot() {
            self.replica.offer_snapshot(snapshot);
        }
        if let Some((job, work)) = self.replica.start_write(snapshot) {
            outbox.push(Action::Start { job, work });
        }
        self.tick = match self.tick {
            _ if !self.counts() => None,
            Some(at) => Some(at),
            None => Some(now + TICK),
        };
    }

    fn perform(&mut self, deed: Deed, outbox: &mut Outbox) {
        match deed {
            Deed::Apply(index, content) => self.apply(index, content, outbox),
            Deed::Install(bytes) => self.install(&bytes, outbox),
            Deed::Send(message) => self.send_raft(message),
            Deed::SendSnapshot(head, bytes) => self.send_snapshot(head, bytes),
            Deed::Read(number, index) => self.round_ended(number, index),
        }
    }

    fn link_down(&mut self, now: Time, link: LinkId) {
        if self.cluster.is_ours(link) {
            self.colleague_lost(now, link);
        } else {
            self.drop_link(link);
        }
    }

    fn drop_link(&mut self, link: LinkId) {
        self.drop_session(link);
        self.forget_questions(link);
        self.colleague_silenced(link);
        self.sessions.close(link);
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
        let (greeted, client_is_tracker) = (client.listen.is_some(), client.is_tracker);
        match message {
            // One that belongs to no cluster knows nobody: the client finds another.
            ClientMessage::Hello { .. } if !greeted && self.is_blank() => {
                self.drop_link(link);
                outbox.push(Action::Close { link, violation: None });
            }
            ClientMessage::Hello { listen } if !greeted => self.sessions.greet(link, listen),
            ClientMessage::Bye => self.drop_link(link),
            ClientMessage::Cluster(message) => self.colleague_says(now, link, *message, outbox),
            ClientMessage::Ping if greeted || client_is_tracker => {
                self.send(link, TrackerMessage::Pong, outbox);
            }
            _ if !greeted => self.violation(link, Violation::BadHello, outbox),
            ClientMessage::Hello { .. } | ClientMessage::Ping => {
                self.violation(link, Violation::BadHello, outbox);
            }
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
            (Request::Change(_), None) => return self.answer(link, seq, Err(Refusal::LogInFirst), outbox),
            (request, _) => return self.question(now, link, seq, request, outbox),
        };
        if let Err(refusal) = self.change(now, link, &command) {
            self.answer(link, seq, Err(refusal), outbox);
        }
    }

    fn done(&mut self, job: JobId, outcome: Outcome, outbox: &mut Outbox) {
        match outcome {
            Outcome::Signed(signer, signatures) => self.signed(job, signer, &signatures, outbox),
            Outcome::Durable => {
                let begins = !self.replica.has_begun();
                self.replica.written(job, true);
                if begins && self.replica.has_begun() {
                    self.greet_colleagues(outbox);
                }
            }
            Outcome::DiskFull => {
                let leads = self.replica.role() == Role::Leader;
                self.replica.written(job, false);
                // What this tracker led to is taken back; with others it may be agreed all the same.
                if leads && self.replica.is_alone() {
                    self.refuse_changes(&Refusal::TrackerReadOnly, outbox);
                }
            }
        }
    }

    /// An entry of the log is agreed.
    fn apply(&mut self, index: u64, content: Content, outbox: &mut Outbox) {
        match content {
            Content::Blank => self.registry.skip(index),
            Content::Reform(reform) => {
                self.registry.skip(index);
                self.members.apply(&reform, index);
                let missed = self.cluster.trust(&self.members);
                self.hang_up(missed, outbox);
                self.tell_signers(outbox);
            }
            // All trackers see the same bytes, so all of them skip what is none.
            Content::Command(bytes) => match codec::decode::<Command>(&bytes) {
                Ok(command) => self.apply_command(index, &command, outbox),
                Err(_) => self.registry.skip(index),
            },
        }
    }

    fn apply_command(&mut self, index: u64, command: &Command, outbox: &mut Outbox) {
        let applied = self.registry.apply(index, command);
        if let Some(origin) = command.origin() {
            self.change_ended(origin, applied.answer, outbox);
        }
        for effect in applied.effects {
            self.effect(index, effect, outbox);
        }
    }

    /// The registry of another tracker takes the place of this one's, which was too far behind.
    fn install(&mut self, bytes: &[u8], outbox: &mut Outbox) {
        let whole: Whole = codec::decode_stored(bytes).expect("it was looked at when it came");
        self.registry = whole.registry;
        self.members = whole.members;
        let missed = self.cluster.trust(&self.members);
        self.hang_up(missed, outbox);
        self.look_for_answers(outbox);
        self.tell_signers(outbox);
        let listed = |key: &&swarm::Key| match self.registry.group(&key.0) {
            Ok(group) => group.files.contains_key(&key.1),
            Err(_) => false,
        };
        let gone: Vec<swarm::Key> = self.swarms.keys().filter(|key| !listed(key)).cloned().collect();
        for (group, name) in gone {
            self.unlisted(group, name, outbox);
        }
    }

    fn effect(&mut self, index: u64, effect: Effect, outbox: &mut Outbox) {
        match effect {
            Effect::Tell(user, notice) => {
                let links = self.sessions.of_user(&user);
                if !links.is_empty() {
                    self.propose_quietly(&Command::ClearInbox { user, upto: index });
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
                for link in self.sessions.of_user(&user).into_iter().chain(self.guests.of_user(&user)) {
                    for key in self.swarms.leave_group(&group, link) {
                        self.mark(link, &key);
                    }
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
            Effect::Unlisted(group, name) => self.unlisted(group, name, outbox),
        }
    }

    fn unlisted(&mut self, group: GroupName, name: FileName, outbox: &mut Outbox) {
        let key = (group, name);
        for link in self.swarms.end(&key).into_iter().filter(|link| !is_guest(*link)) {
            self.cluster.mark(link, Some(&key));
            let (group, name) = key.clone();
            self.send(link, TrackerMessage::NotListed { group, name }, outbox);
        }
    }

    /// Notes that the others must be told what a client of this tracker has of a file.
    fn mark(&mut self, link: LinkId, key: &swarm::Key) {
        if !is_guest(link) {
            self.cluster.mark(link, Some(key));
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
                let pieces = file.content.size.pieces();
                let (seeds, reaches) = (held >= pieces, held.max(reachable) >= pieces);
                self.swarms.enter(&key, link, Part { held: held.min(pieces), seeds, reaches });
            }
            Standing::Gone => self.swarms.leave(&key, link),
        }
        self.cluster.mark(link, Some(&key));
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
        self.replica.check();
        self.changes.check();
        self.guests.check();
        self.sessions.check();
        self.swarms.check();
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
