//! Faults: when they strike, whom, and how those who were hit come back.

use engine::bitfield::Bitfield;
use engine::peer::command::{Command, Leaving};
use engine::time::{Span, Time};
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use super::Runner;
use super::actor::{Life, Wish};
use super::agenda::Deed;
use super::stage::GROUP;
use crate::network::{Access, NodeId};
use crate::prose::{group, place, user};
use crate::scenario::{Behaviour, Fault, FaultKind, Whom};

/// How soon somebody tries again to remove, or to let in, a member.
const RETRY: Span = Span::from_secs(5);

/// How often a peer that floods others does so.
pub(super) const FLOOD: Span = Span::from_millis(20);

impl<'a> Runner<'a> {
    pub(super) fn plan_faults(&mut self) {
        for at in 0..self.scenario.faults.len() {
            let fault = &self.scenario.faults[at];
            self.plan_change(self.began + fault.at, Deed::Begin(at));
            match fault.until {
                Some(until) if !(fault.kind.takes_away() && fault.per_s.is_none()) => {
                    self.plan_change(self.began + until, Deed::End(at));
                }
                _ => {}
            }
        }
    }

    fn plan_change(&mut self, at: Time, deed: Deed) {
        self.changes_ahead += 1;
        self.agenda.plan(at, deed);
    }

    fn fault(&self, at: usize) -> &'a Fault {
        &self.scenario.faults[at]
    }

    /// Lets a fault begin, strike, or end.
    pub(super) fn strike(&mut self, deed: Deed) {
        self.changes_ahead -= 1;
        if let Deed::Again(at) | Deed::Crash(_, at) = deed {
            self.note_strike(at);
        }
        match deed {
            Deed::Begin(at) => self.begin(at),
            Deed::Again(at) => self.strike_again(at),
            Deed::End(at) => self.end(at),
            Deed::Crash(actor, at) => self.take_away(actor, at),
            Deed::Back(actor) => self.comes_back(actor),
            Deed::TrackerBack => self.world.restart_tracker(),
            Deed::Remove(class) => self.removes(class),
            Deed::LetIn(class) => self.lets_in(class),
            _ => unreachable!("only faults strike"),
        }
    }

    fn begin(&mut self, at: usize) {
        let fault = self.fault(at);
        if fault.per_s.is_some() {
            return self.plan_strike(at);
        }
        match fault.kind {
            kind if kind.takes_away() => self.plan_crashes(at),
            FaultKind::TrackerCrash | FaultKind::TrackerCrashDisk => self.tracker_dies(fault),
            FaultKind::Expel => {
                for class in self.classes_hit(fault) {
                    self.expelling.insert(class);
                    self.removes(class);
                }
            }
            FaultKind::Partition | FaultKind::OneWayPartition => {
                let until = self.began + fault.until.unwrap_or(fault.at);
                let nodes = self.nodes_hit(fault);
                self.world.faults.cut(nodes, fault.kind == FaultKind::OneWayPartition, until);
            }
            _ => {
                let nodes = self.nodes_hit(fault);
                nodes.iter().for_each(|node| self.befall(*node, fault));
                self.hit.insert(at, nodes);
            }
        }
    }

    /// Something is wrong with a node from now on.
    fn befall(&mut self, node: NodeId, fault: &Fault) {
        let strength = fault.strength;
        let access = self.access_of(node);
        let slower = |rate: u64| scaled(rate, 1.0 / strength.factor);
        match fault.kind {
            FaultKind::SlowLine => {
                let slow = Access { up: slower(access.up), down: slower(access.down), ..access };
                self.world.set_access(node, slow);
            }
            FaultKind::FullDisk => self.world.set_full(node, true),
            FaultKind::ClockSkew => self.world.skew(node, strength.factor),
            FaultKind::ClockJump => self.world.jump(node, strength.amount),
            kind => {
                if kind.taints() {
                    self.taint(node);
                }
                return self.world.faults.begin(node, kind, strength);
            }
        }
        self.world.faults.fire(fault.kind.name());
    }

    /// A node may be blamed from now on: what it holds, nobody can count on.
    fn taint(&mut self, node: NodeId) {
        self.world.taint(node);
        self.recount(node);
    }

    /// Counts what a client holds anew, by what is on its disk.
    pub(super) fn recount(&mut self, node: NodeId) {
        let member =
            self.actor_at(node).is_some_and(|actor| self.is_member(self.actors[actor].class) != Some(false));
        let live = self.world.is_up(node) && self.world.is_sound(node) && member;
        for (file, whole) in self.scenario.files.iter().zip(&self.files) {
            let held: Bitfield =
                self.world.client_mut(node).disk.pieces_at(&place(&file.name), whole.size.pieces());
            self.world.watch.holds(node, whole.content, held, live);
        }
    }

    fn end(&mut self, at: usize) {
        let fault = self.fault(at);
        match fault.kind {
            FaultKind::TrackerCrash | FaultKind::TrackerCrashDisk => {
                if !self.world.is_up(self.world.tracker()) {
                    self.world.restart_tracker();
                }
            }
            FaultKind::Expel => {
                for class in self.classes_hit(fault) {
                    self.expelling.remove(&class);
                    self.lets_in(class);
                }
            }
            _ => {
                for node in self.hit.remove(&at).unwrap_or_default() {
                    self.recover(node, fault.kind);
                }
            }
        }
    }

    /// What was wrong with a node is over.
    fn recover(&mut self, node: NodeId, kind: FaultKind) {
        match kind {
            FaultKind::SlowLine => self.world.set_access(node, self.access_of(node)),
            FaultKind::FullDisk => self.world.set_full(node, false),
            FaultKind::ClockSkew => self.world.skew(node, 1.0),
            kind => self.world.faults.end(node, kind),
        }
    }

    fn access_of(&self, node: NodeId) -> Access {
        match self.actor_at(node) {
            Some(actor) => self.scenario.classes[self.actors[actor].class].access,
            None => self.scenario.tracker,
        }
    }

    fn tracker_dies(&mut self, fault: &Fault) {
        if !self.world.is_up(self.world.tracker()) {
            return;
        }
        self.world.kill_tracker();
        self.world.faults.fire(fault.kind.name());
        if fault.kind == FaultKind::TrackerCrashDisk {
            self.world.replace_tracker_store(self.tracker_copy.clone());
        }
        if let Some(after) = fault.back_after.filter(|_| fault.until.is_none()) {
            self.plan_change(self.world.now() + after, Deed::TrackerBack);
        }
    }

    /// A share of those who are there is taken away, each at a time of its own.
    fn plan_crashes(&mut self, at: usize) {
        let fault = self.fault(at);
        let until = fault.until.unwrap_or(fault.at);
        for node in self.nodes_hit(fault) {
            let when = self.began + Span(self.rng.random_range(fault.at.0..=until.0));
            if let Some(actor) = self.actor_at(node) {
                self.plan_change(when, Deed::Crash(actor, at));
            }
        }
    }

    /// Plans the next strike of a fault that comes by chance.
    fn plan_strike(&mut self, at: usize) {
        let fault = self.fault(at);
        let (Some(per_s), Some(until)) = (fault.per_s, fault.until) else { return };
        let next = self.world.now() + self.exponential(1e6 / per_s);
        if next < self.began + until {
            self.plan_change(next, Deed::Again(at));
        }
    }

    fn strike_again(&mut self, at: usize) {
        let fault = self.fault(at);
        let all = self.candidates(fault);
        if let Some(node) = all.choose(&mut self.rng).copied() {
            match self.actor_at(node) {
                Some(actor) if fault.kind != FaultKind::Reset => self.take_away(actor, at),
                _ => self.world.break_link(node),
            }
        }
        self.plan_strike(at);
    }

    /// Somebody dies, or takes leave; some come back.
    fn take_away(&mut self, actor: usize, at: usize) {
        let fault = self.fault(at);
        let node = self.actors[actor].node;
        if self.actors[actor].life != Life::Up {
            return;
        }
        self.world.faults.fire(fault.kind.name());
        let back = fault.back_after;
        if fault.kind == FaultKind::Churn {
            self.actors[actor].back_after = back;
            return self.wish(actor, Wish::Quit, Command::Quit { when: Leaving::Now });
        }
        self.world.kill(node);
        match fault.kind {
            FaultKind::CrashUnsynced => self.world.lose_unsynced(node),
            FaultKind::CrashDisk => {
                self.world.lose_disk(node);
                let actor = &mut self.actors[actor];
                actor.lose_all();
            }
            _ => {}
        }
        self.is_away(actor, back);
    }

    /// Somebody's client has ended.
    pub(super) fn is_away(&mut self, actor: usize, back: Option<Span>) {
        let there = &mut self.actors[actor];
        let node = there.node;
        there.pending.clear();
        there.logged_in = false;
        there.back_after = None;
        there.life = if back.is_some() { Life::Down } else { Life::Gone };
        self.world.watch.gone(node);
        match back {
            Some(after) => self.plan_change(self.world.now() + after, Deed::Back(actor)),
            None => self.world.forget(node),
        }
    }

    fn comes_back(&mut self, actor: usize) {
        let node = self.actors[actor].node;
        self.actors[actor].life = Life::Up;
        self.world.restart(node);
        self.recount(node);
        self.logs_in(actor);
    }

    /// Whom a fault may hit at present.
    fn candidates(&self, fault: &Fault) -> Vec<NodeId> {
        let hit = |class: usize| match fault.whom {
            Whom::Class(chosen) => chosen == class,
            Whom::Fetchers => {
                let class = &self.scenario.classes[class];
                !class.seeds && class.behaviour == Behaviour::Honest
            }
            Whom::Tracker => false,
        };
        if fault.whom == Whom::Tracker {
            return vec![self.world.tracker()];
        }
        let there = self.actors.iter().filter(|actor| actor.life == Life::Up && hit(actor.class));
        there.map(|actor| actor.node).collect()
    }

    /// Whom a fault hits: so many of those that it may hit.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of them")]
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 peers")]
    fn nodes_hit(&mut self, fault: &Fault) -> Vec<NodeId> {
        let all = self.candidates(fault);
        let count = (all.len() as f64 * fault.share).round() as usize;
        all.sample(&mut self.rng, count).copied().collect()
    }

    /// Classes whose members are removed; never the first, which owns the group.
    fn classes_hit(&self, fault: &Fault) -> Vec<usize> {
        let hit = |class: &usize| match fault.whom {
            Whom::Class(chosen) => chosen == *class,
            Whom::Fetchers => !self.scenario.classes[*class].seeds,
            Whom::Tracker => false,
        };
        (1..self.scenario.classes.len()).filter(hit).collect()
    }

    pub(super) fn is_member(&self, class: usize) -> Option<bool> {
        let name = user(&self.scenario.classes[class].name);
        let registry = self.world.registry()?;
        Some(registry.group(&group(GROUP)).is_ok_and(|group| group.members.contains_key(&name)))
    }

    /// Somebody of a class who is logged in.
    fn of_class(&self, class: usize) -> Option<usize> {
        let there = |actor: &super::Actor| actor.class == class && actor.life == Life::Up && actor.logged_in;
        self.actors.iter().position(there)
    }

    /// Whether anybody of a class is there, or comes back.
    fn has_a_future(&self, class: usize) -> bool {
        self.actors.iter().any(|actor| actor.class == class && actor.life != Life::Gone)
    }

    /// The owner removes a class from the group, and tries until it is done.
    fn removes(&mut self, class: usize) {
        if self.is_member(class) == Some(false) {
            self.world.faults.fire(FaultKind::Expel.name());
            return;
        }
        if !self.has_a_future(0) || !self.expelling.contains(&class) {
            return;
        }
        if let Some(owner) = self.of_class(0) {
            let user = user(&self.scenario.classes[class].name);
            self.wish(owner, Wish::Other, Command::RemoveMember { group: group(GROUP), user });
        }
        self.plan_change(self.world.now() + RETRY, Deed::Remove(class));
    }

    /// A class asks to be let in again, and the owner does, until it is done.
    fn lets_in(&mut self, class: usize) {
        if self.expelling.contains(&class) {
            return;
        }
        if self.is_member(class) == Some(true) {
            return self.share_again(class);
        }
        if !self.has_a_future(0) || !self.has_a_future(class) {
            // They stay outside, and what they hold is with nobody.
            let theirs = self.actors.iter().filter(|actor| actor.class == class && actor.life == Life::Up);
            let nodes: Vec<NodeId> = theirs.map(|actor| actor.node).collect();
            return nodes.into_iter().for_each(|node| self.recount(node));
        }
        if let Some(member) = self.of_class(class) {
            self.wish(member, Wish::Other, Command::JoinGroup { group: group(GROUP) });
        }
        if let Some(owner) = self.of_class(0) {
            let user = user(&self.scenario.classes[class].name);
            self.wish(owner, Wish::Other, Command::AcceptRequest { group: group(GROUP), user });
        }
        self.plan_change(self.world.now() + RETRY, Deed::LetIn(class));
    }

    /// A class is in the group again. What its clients had complete they ceased to share with the membership, and people share it anew.
    fn share_again(&mut self, class: usize) {
        for at in 0..self.actors.len() {
            let actor = &mut self.actors[at];
            if actor.class == class && actor.life != Life::Gone {
                actor.shared = actor.has.iter().map(|has| !has).collect();
                (0..self.files.len()).for_each(|file| self.shares(at, file));
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, at least 1")]
#[expect(clippy::cast_precision_loss, reason = "rates lie far below 2^52")]
fn scaled(rate: u64, factor: f64) -> u64 {
    (rate as f64 * factor).max(1.0) as u64
}
