//! Faults: when they strike, and whom.

use engine::time::Span;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

use super::Runner;
use super::actor::Life;
use super::agenda::Deed;
use crate::network::NodeId;
use crate::scenario::{Behaviour, Fault, FaultKind};

impl Runner<'_> {
    pub(super) fn plan_faults(&mut self) {
        for fault in &self.scenario.faults {
            match fault.kind {
                FaultKind::Crash => self.plan_crashes(fault),
                FaultKind::TrackerCrash => {
                    self.plan_change(fault.at, Deed::TrackerCrash);
                    if let Some(until) = fault.until {
                        self.plan_change(until, Deed::TrackerRestart);
                    }
                }
            }
        }
    }

    fn plan_change(&mut self, at: Span, deed: Deed) {
        self.changes_ahead += 1;
        self.agenda.plan(self.began + at, deed);
    }

    /// A share of those who are there dies, each at a time of its own.
    fn plan_crashes(&mut self, fault: &Fault) {
        let until = fault.until.unwrap_or(fault.at);
        for node in self.victims(fault) {
            let at = Span(self.rng.random_range(fault.at.0..=until.0));
            self.plan_change(at, Deed::Crash(node));
        }
    }

    /// Whom a fault hits: so many of a class, or of all honest peers that fetch, of those who are there at the beginning.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of them")]
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 peers")]
    fn victims(&mut self, fault: &Fault) -> Vec<NodeId> {
        let hit = |class: usize| match fault.class {
            Some(chosen) => chosen == class,
            None => {
                let class = &self.scenario.classes[class];
                !class.seeds && class.behaviour == Behaviour::Honest
            }
        };
        let all: Vec<NodeId> =
            self.actors.iter().filter(|actor| hit(actor.class)).map(|actor| actor.node).collect();
        let count = (all.len() as f64 * fault.share).round() as usize;
        all.sample(&mut self.rng, count).copied().collect()
    }

    /// Lets a fault strike.
    pub(super) fn strike(&mut self, deed: Deed) {
        self.changes_ahead -= 1;
        match deed {
            Deed::Crash(node) => self.crash(node),
            Deed::TrackerCrash => self.world.kill_tracker(),
            Deed::TrackerRestart => self.world.restart_tracker(),
            _ => unreachable!("only faults strike"),
        }
    }

    fn crash(&mut self, node: NodeId) {
        let Some(actor) = self.actor_at(node).filter(|actor| self.actors[*actor].life == Life::Up) else {
            return;
        };
        self.actors[actor].life = Life::Gone;
        self.actors[actor].pending.clear();
        self.world.kill(node);
        self.world.watch.gone(node);
        self.world.forget(node);
    }
}
