//! Which replicas form the cluster, and how it begins, shrinks, grows and goes on.
//!
//! Trackers with blank stores form a cluster once *all* of their list are there and blank, so a tracker that lost its disk never forms a
//! second one. A replica is named after the secret in its store: one whose store was lost comes back under another name, and is no
//! member until a person lets it take part, or the leader, if it has the key of one that was left behind.
//!
//! Of two trackers, the one that became a member last is the *backup*: when the other has been silent for [`TAKEOVER`], after both
//! were in touch, it goes on alone under a higher *generation*. Whoever meets a higher generation than its own gives up its replica,
//! and comes back as a blank one. What was acknowledged before is on both disks, so none of it is lost.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::io::{Action, Order, Stored};
use super::registry::Registry;
use super::replica::{Beginning, Replica, Role, Standing, Voters};
use super::{Config, Outbox, Tracker};
use crate::id::DeviceId;
use crate::limits::{MEMBERS_MAX, TAKEOVER};
use crate::seed::{Purpose, Seed};
use crate::time::Time;
use crate::wire::cluster::{ClusterMessage, Member, Reform, ReplicaId};
use crate::wire::codec;
use crate::wire::list::List;
use crate::wire::tracker::TrackerMessage;

/// The members, as all trackers know them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Members {
    by_id: BTreeMap<ReplicaId, Member>,
    /// Trackers that were left behind when another went on alone: they are let in again without asking.
    former: BTreeSet<DeviceId>,
}

/// What a snapshot holds.
#[derive(Debug, Decode)]
pub(super) struct Whole {
    pub(super) term: u64,
    pub(super) voters: Voters,
    pub(super) members: Members,
    pub(super) registry: Registry,
}

/// The bytes of a snapshot.
pub(super) fn whole(term: u64, voters: &Voters, members: &Members, registry: &Registry) -> Box<[u8]> {
    codec::encode(&(term, voters, members, registry)).into()
}

/// The name of a replica in the store with this secret.
pub(super) fn replica_id(seed: &Seed, generation: u64) -> ReplicaId {
    let mut hasher = blake3::Hasher::new_keyed(&seed.0);
    hasher.update(b"replica").update(&generation.to_le_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    // Zero is nobody.
    ReplicaId(u64::from_le_bytes(bytes).max(1))
}

/// What a store holds in which a cluster of one begins with this registry.
pub(super) fn restored(config: &Config, registry: &Registry) -> Stored {
    let (id, index) = (replica_id(&config.seed, 1), registry.applied());
    let member = Member { number: config.number, device: config.device, since: index };
    let members = Members { by_id: BTreeMap::from([(id, member)]), former: BTreeSet::new() };
    let standing = Standing { id, generation: 1, term: 1, vote: ReplicaId(0), commit: index };
    let snapshot = whole(1, &Voters::new(Vec::from([id])), &members, registry);
    let standing = Some(codec::encode(&standing).into());
    Stored { standing, snapshot: Some((index, snapshot)), entries: Vec::new() }
}

impl Members {
    pub(super) fn apply(&mut self, reform: &Reform, index: u64) {
        if let Some(id) = reform.remove {
            self.by_id.remove(&id);
        }
        if let Some((id, member)) = reform.add {
            self.former.remove(&member.device);
            self.by_id.insert(id, Member { since: index, ..member });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn contains(&self, id: ReplicaId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(super) fn number(&self, number: u16) -> Option<(ReplicaId, Member)> {
        self.by_id.iter().find(|(_, member)| member.number == number).map(|(id, member)| (*id, *member))
    }

    fn number_of(&self, id: ReplicaId) -> Option<u16> {
        self.by_id.get(&id).map(|member| member.number)
    }

    pub(super) fn devices(&self) -> List<DeviceId, MEMBERS_MAX> {
        List::new(self.by_id.values().map(|member| member.device).take(MEMBERS_MAX).collect())
    }

    /// The one that goes on alone when the other of two is silent.
    fn backup(&self) -> Option<ReplicaId> {
        let last = self.by_id.iter().max_by_key(|(_, member)| (member.since, member.number));
        last.filter(|_| self.by_id.len() == 2).map(|(id, _)| *id)
    }

    /// The members when `id` goes on alone.
    fn alone(&self, id: ReplicaId, member: Member) -> Members {
        let others = self.by_id.iter().filter(|(other, _)| **other != id);
        let former = self.former.iter().copied().chain(others.map(|(_, other)| other.device)).collect();
        Members { by_id: BTreeMap::from([(id, member)]), former }
    }
}

impl Tracker {
    /// Whether this tracker belongs to no cluster and never did, since its store is blank.
    pub(super) fn is_blank(&self) -> bool {
        self.replica.voters() == Voters::default()
    }

    fn as_member(&self, since: u64) -> Member {
        Member { number: self.number, device: self.device, since }
    }

    /// Forms a cluster, if every tracker of the list is there and blank.
    pub(super) fn found(&mut self, outbox: &mut Outbox) {
        if !self.is_blank() || self.replica.generation != 0 || self.replica.is_writing() {
            return;
        }
        let Some(others) = self.cluster.all_blank() else { return };
        let mut by_id = BTreeMap::from([(self.replica.id, self.as_member(1))]);
        by_id
            .extend(others.into_iter().map(|(id, number, device)| (id, Member { number, device, since: 1 })));
        self.members = Members { by_id, former: BTreeSet::new() };
        self.registry = Registry::default();
        self.registry.skip(1);
        self.begin(1, 1);
        self.tell_signers(outbox);
    }

    /// Begins a generation from the registry as it is, in this term, with the members as they are.
    fn begin(&mut self, generation: u64, term: u64) {
        let index = self.registry.applied();
        let voters = Voters::new(self.members.by_id.keys().copied().collect());
        let registry = whole(term, &voters, &self.members, &self.registry).into_vec();
        let beginning = Beginning {
            id: self.replica.id,
            generation,
            term,
            vote: ReplicaId(0),
            commit: index,
            snapshot: (index, term),
            voters,
            entries: Vec::new(),
        };
        self.replace_replica(beginning, Some(registry));
    }

    fn replace_replica(&mut self, beginning: Beginning, registry: Option<Vec<u8>>) {
        let rng = self.seed.child(beginning.generation).stream(Purpose::Patience);
        self.replica = Replica::begin(beginning, registry, rng, Some(&self.replica));
    }

    /// Goes on without the others, under the next generation.
    fn go_alone(&mut self, now: Time, outbox: &mut Outbox) {
        // Of what is in the log here, some may have been acknowledged; nothing that was acknowledged is missing.
        for (index, content) in self.replica.beyond() {
            self.apply(index, content, outbox);
        }
        self.members = self.members.alone(self.replica.id, self.as_member(self.registry.applied()));
        self.begin(self.replica.generation + 1, self.replica.term() + 1);
        self.settle(now, outbox);
        self.tell_signers(outbox);
    }

    /// Gives up this replica for one of a higher generation, which others have begun. It keeps its name if it was let in under that
    /// already: what it said in the beginning may have come late.
    pub(super) fn step_back(&mut self, generation: u64, is_member: bool, outbox: &mut Outbox) {
        say(outbox, &format!("another tracker went on alone (generation {generation}): this one follows it"));
        let beginning = Beginning {
            id: if is_member { self.replica.id } else { replica_id(&self.seed, generation) },
            generation,
            term: 0,
            vote: ReplicaId(0),
            commit: 0,
            snapshot: (0, 0),
            voters: Voters::default(),
            entries: Vec::new(),
        };
        self.replace_replica(beginning, None);
    }

    /// The backup of two takes over when the other is silent.
    pub(super) fn take_over(&mut self, now: Time, outbox: &mut Outbox) {
        let is_backup = self.members.backup() == Some(self.replica.id);
        if !is_backup || self.replica.role() == Role::Leader || self.replica.is_writing() {
            return;
        }
        let silent =
            self.cluster.members_heard(&self.members).is_some_and(|heard| now.since(heard) >= TAKEOVER);
        if silent {
            say(outbox, "the other tracker is silent: this one goes on alone");
            self.go_alone(now, outbox);
        }
    }

    /// Lets trackers that were left behind take part again.
    pub(super) fn readmit(&mut self, now: Time) {
        if !self.replica.is_settled_leader() {
            return;
        }
        let comers = self.cluster.comers(&self.members, self.replica.generation, now);
        let comer = comers.into_iter().find(|(_, _, device)| self.members.former.contains(device));
        if let Some((id, number, device)) = comer {
            let member = Member { number, device, since: 0 };
            let remove = self.members.number(number).map(|(id, _)| id);
            let _under_way_already = self.replica.reform(&Reform { remove, add: Some((id, member)) });
        }
    }

    /// Does what a person at the console wants.
    pub(super) fn order(&mut self, now: Time, order: Order, outbox: &mut Outbox) {
        let said = match order {
            Order::ForceSingle => self.force_single(now, outbox),
            Order::Add { number, device } => self.add(number, device),
            Order::Remove { number } => self.remove(number),
        };
        say(outbox, &said.unwrap_or_else(|why| format!("refused: {why}").into()));
    }

    fn force_single(&mut self, now: Time, outbox: &mut Outbox) -> Result<Box<str>, Box<str>> {
        if self.decides_alone() {
            return Err("this tracker decides alone already".into());
        }
        if self.replica.role() == Role::Leader
            && self.replica.is_settled_leader()
            && !self.cluster.is_lonely(now)
        {
            return Err("the others answer: end them first, or remove them one by one".into());
        }
        if self.replica.is_writing() {
            return Err("a write is under way: ask again in a moment".into());
        }
        if self.is_blank() {
            self.members = Members {
                by_id: BTreeMap::from([(self.replica.id, self.as_member(1))]),
                ..Members::default()
            };
            self.registry = Registry::default();
            self.registry.skip(1);
            self.begin(self.replica.generation + 1, 1);
            return Ok(
                "this tracker begins alone, with nothing in it; add the others by their numbers".into()
            );
        }
        self.go_alone(now, outbox);
        Ok("this tracker goes on alone; the others follow it when they come back".into())
    }

    fn add(&mut self, number: u16, device: Option<DeviceId>) -> Result<Box<str>, Box<str>> {
        let Some((id, found)) = self.cluster.comer(number) else {
            return Err(
                format!("tracker {number} has not said anything yet: start it, with the same list").into()
            );
        };
        if self.members.contains(id) {
            return Err(format!("tracker {number} is a member already").into());
        }
        let known = self.cluster.key(number);
        match device.or(known) {
            Some(expected) if expected == found => {}
            _ => {
                return Err(format!(
                    "tracker {number} has the fingerprint {found}; if that is what it printed at its start, say: add {number} {found}"
                )
                .into());
            }
        }
        let remove = self.members.number(number).map(|(id, _)| id);
        self.reform(Reform { remove, add: Some((id, Member { number, device: found, since: 0 })) })
    }

    fn remove(&mut self, number: u16) -> Result<Box<str>, Box<str>> {
        let Some((id, _)) = self.members.number(number) else {
            return Err(format!("tracker {number} is no member").into());
        };
        if self.members.len() == 1 {
            return Err("it is the last".into());
        }
        self.reform(Reform { remove: Some(id), add: None })
    }

    fn reform(&mut self, reform: Reform) -> Result<Box<str>, Box<str>> {
        let sent = if self.replica.role() == Role::Leader {
            self.replica.reform(&reform)
        } else {
            let leader = self.replica.leader();
            leader.is_some_and(|leader| self.speak_to(leader, ClusterMessage::Reform(reform)))
        };
        if sent {
            Ok("on its way; status shows when it is done".into())
        } else {
            Err("no leader takes it now, or another change of the members is under way: see status, and ask again".into())
        }
    }

    /// The number of the tracker that leads, if one is known.
    pub(super) fn leader(&self) -> Option<u16> {
        self.replica.leader().and_then(|leader| self.members.number_of(leader))
    }

    /// Tells the person at the console when another tracker leads than was told last.
    pub(super) fn tell_leader(&mut self, outbox: &mut Outbox) {
        let told = self.cluster.told_leader;
        let leader = self.leader().filter(|leader| !self.cluster.is_empty() && told != Some(*leader));
        let Some(leader) = leader else { return };
        self.cluster.told_leader = Some(leader);
        if leader == self.number {
            say(outbox, "this tracker leads now");
        } else {
            say(outbox, &format!("tracker {leader} leads now"));
        }
    }

    /// Tells all clients whose signatures count.
    pub(super) fn tell_signers(&mut self, outbox: &mut Outbox) {
        for link in self.sessions.logged_in() {
            self.tell_signers_to(link, outbox);
        }
    }

    pub(super) fn tell_signers_to(&mut self, link: crate::id::LinkId, outbox: &mut Outbox) {
        // Of a tracker that is alone a client knows the key from their link.
        if self.members.len() > 1 {
            self.send(link, TrackerMessage::Signers(self.members.devices()), outbox);
        }
    }
}

/// Tells the person at the console.
pub(super) fn say(outbox: &mut Outbox, text: &str) {
    outbox.push(Action::Say(text.into()));
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
