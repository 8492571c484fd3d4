//! Setting the stage: accounts, a group, the files, and everybody who is there from the beginning, logged in.

use std::collections::{BTreeMap, BTreeSet};

use engine::bitfield::Bitfield;
use engine::id::Password;
use engine::peer::command::{Command, Leaving};
use engine::seed::Purpose;
use engine::time::{Span, Time};
use engine::tracker::io::Stored;

use super::Runner;
use super::actor::{Actor, Life};
use super::agenda::{Agenda, Deed};
use super::failure::Failure;
use super::faults::FLOOD;
use crate::content::{ContentId, Whole};
use crate::network::Access;
use crate::prose::{group, user};
use crate::scenario::{Arrival, Behaviour, Departure, Scenario};
use crate::world::World;

/// The group in which everything is shared.
pub(super) const GROUP: &str = "swarm";

/// How long the set-up may take: logins wait for each other at the tracker.
const SET_UP: Span = Span::from_secs(3_600);

/// The child of the world's seed that a run draws from.
const RUN: u64 = u64::MAX;

impl<'a> Runner<'a> {
    pub(super) fn new(scenario: &'a Scenario, seed: u64) -> Runner<'a> {
        let mut world = World::new(seed);
        world.set_checks(scenario.checks);
        world.set_neighbours(scenario.neighbours);
        world.set_costs(scenario.costs);
        world.set_access(world.tracker(), scenario.tracker);
        let rng = world.seed.child(RUN).stream(Purpose::Peers);
        let files = scenario.files.iter().zip(1..);
        let files = files.map(|(file, number)| Whole { content: ContentId(number), size: file.size });
        let files: Vec<Whole> = files.collect();
        for (file, whole) in scenario.files.iter().zip(&files) {
            world.watch.follow(&file.name, whole);
        }
        Runner {
            scenario,
            world,
            rng,
            agenda: Agenda::default(),
            actors: Vec::new(),
            intruders: Vec::new(),
            by_node: Vec::new(),
            files,
            began: Time::default(),
            unanswered: 0,
            changes_ahead: 0,
            listed: None,
            samples: Vec::new(),
            strikes: Vec::new(),
            hit: BTreeMap::new(),
            expelling: BTreeSet::new(),
            tracker_copy: Stored::default(),
        }
    }

    /// Makes accounts and the group, lets in who is there at the beginning, and begins.
    pub(super) fn set_stage(&mut self) -> Result<(), Failure> {
        self.found();
        self.world.watch.listening = true;
        let mut first = Vec::new();
        for (at, class) in self.scenario.classes.iter().enumerate() {
            if class.arrival == Arrival::At(Span::ZERO) && !class.behaviour.intrudes() {
                first.extend((0..class.count).map(|_| self.join(at)));
            }
        }
        self.unanswered = first.len();
        first.iter().for_each(|actor| self.logs_in(*actor));
        self.await_answers("logins")?;
        let (seeders, fetchers): (Vec<usize>, Vec<usize>) =
            first.into_iter().partition(|actor| self.scenario.classes[self.actors[*actor].class].seeds);
        self.unanswered = seeders.len() * self.files.len();
        seeders.iter().for_each(|actor| self.begins(*actor));
        self.await_answers("shares")?;
        self.began = self.world.now();
        self.tracker_copy = self.world.tracker_store();
        fetchers.iter().for_each(|actor| self.begins(*actor));
        self.plan_arrivals();
        self.plan_faults();
        Ok(())
    }

    /// One account a class, and one group of all that may be in it. Who organises it leaves then.
    fn found(&mut self) {
        let organiser = self.world.client_on(Access::default(), engine::peer::strategy::Strategy::default());
        let now = Leaving::Now;
        for (at, class) in self.scenario.classes.iter().enumerate() {
            self.world.sign_up(organiser, &class.name);
            if at == 0 {
                self.world.ok(organiser, Command::CreateGroup { group: group(GROUP) });
            } else if class.behaviour.joins() {
                self.world.ok(organiser, Command::JoinGroup { group: group(GROUP) });
            }
            self.world.ok(organiser, Command::Logout { when: now });
        }
        let members = self.scenario.classes.iter().filter(|class| class.behaviour.joins());
        let mut names = members.map(|class| &class.name);
        if let Some(owner) = names.next() {
            self.world.login(organiser, owner);
        }
        for name in names {
            let command = Command::AcceptRequest { group: group(GROUP), user: user(name) };
            self.world.ok(organiser, command);
        }
        self.invite_intruders();
        self.world.kill(organiser);
    }

    /// The password of a class's account.
    pub(super) fn password(&mut self, class: usize) -> Password {
        // The organiser made the accounts in the order of the classes, and each with two uses of its password.
        let name = &self.scenario.classes[class].name;
        self.world.password(&format!("{name}'s password"))
    }

    /// Lets time pass until everything asked for was answered.
    fn await_answers(&mut self, what: &str) -> Result<(), Failure> {
        let deadline = self.world.now() + SET_UP;
        while self.unanswered > 0 {
            let next = self.agenda.next().unwrap_or(deadline).min(deadline);
            while self.unanswered > 0 && self.world.step(next) {
                for (node, word) in self.world.watch.take_words() {
                    self.hear(node, word);
                }
            }
            while self.unanswered > 0
                && let Some(deed) = self.agenda.take(next)
            {
                self.world.pass(next);
                self.act(deed);
            }
            if self.unanswered > 0 && next == deadline {
                let why = format!("the set-up waits for {} {what}", self.unanswered);
                return Err(Failure::no_progress(self.world.now(), &why));
            }
        }
        Ok(())
    }

    /// Somebody takes their place at a client of their own.
    pub(super) fn join(&mut self, class: usize) -> usize {
        let kind = &self.scenario.classes[class];
        let node = self.world.client_on(kind.access, kind.strategy);
        self.world.behave(node, kind.behaviour);
        let actor = self.actors.len();
        self.by_node.resize(node.0 + 1, None);
        self.by_node[node.0] = Some(actor);
        self.actors.push(Actor {
            class,
            node,
            life: Life::Up,
            logged_in: false,
            pending: BTreeMap::new(),
            asked: None,
            has: vec![kind.seeds; self.files.len()],
            shared: vec![!kind.seeds; self.files.len()],
            completed: None,
            back_after: None,
        });
        if kind.seeds {
            for (file, whole) in self.scenario.files.iter().zip(&self.files) {
                self.world.put(node, &file.name, *whole);
                let live = kind.behaviour == Behaviour::Honest;
                self.world.watch.holds(node, whole.content, Bitfield::full(whole.size.pieces()), live);
            }
        }
        if kind.behaviour == Behaviour::Flood {
            self.agenda.plan(self.world.now() + FLOOD, Deed::Flood(actor));
        }
        match kind.departure {
            Departure::AfterUploads(pieces) => self.world.watch.count_uploads(node, pieces as usize),
            Departure::At(at) => self.agenda.plan(self.began + at, Deed::Leave(actor)),
            Departure::Stay | Departure::Dwell(_) | Departure::DwellMean(_) => {}
        }
        actor
    }

    fn plan_arrivals(&mut self) {
        self.plan_intruders();
        for (at, class) in self.scenario.classes.iter().enumerate() {
            let count = u64::from(class.count);
            match class.arrival {
                _ if class.behaviour.intrudes() => {}
                Arrival::At(Span::ZERO) => {}
                Arrival::At(span) => {
                    (0..count).for_each(|_| self.agenda.plan(self.began + span, Deed::Arrive(at)));
                    self.changes_ahead += class.count as usize;
                }
                Arrival::Over(from, over) => {
                    for number in 0..count {
                        let after = Span(from.0 + over.0 / count * number);
                        self.agenda.plan(self.began + after, Deed::Arrive(at));
                    }
                    self.changes_ahead += class.count as usize;
                }
                Arrival::Poisson(per_s) => self.plan_arrival(at, per_s),
            }
        }
    }
}
