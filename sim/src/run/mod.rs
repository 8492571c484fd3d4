//! The run of a scenario: a stage is set, peers come, faults strike, and it ends when everything that can complete has.
//!
//! The world does not know scenarios. A run gives its clients commands as people would, at the times of its agenda, and hears through
//! [`crate::watch`] what comes of them. It draws its own randomness from the seed, so that the same seed gives the same run.

mod actor;
mod agenda;
mod failure;
mod faults;
mod intruder;
mod record;
mod settle;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use engine::time::{Span, Time};
use engine::tracker::io::Stored;
use rand_chacha::ChaCha8Rng;

use crate::content::Whole;
use crate::narrate::Listener;
use crate::network::NodeId;
use crate::scenario::{End, Scenario};
use crate::world::World;
use actor::Actor;
use agenda::{Agenda, Deed};
pub(crate) use failure::catch;
pub use failure::{Failure, FailureKind};
use intruder::Intruder;
pub use record::{PeerRecord, Run, Sample};

/// How many times a run is looked at, about, if it goes as well as it can.
const SAMPLES: u64 = 200;

/// A scenario under way.
struct Runner<'a> {
    scenario: &'a Scenario,
    world: World,
    rng: ChaCha8Rng,
    agenda: Agenda,
    actors: Vec<Actor>,
    intruders: Vec<Intruder>,
    /// Which actor is at a node.
    by_node: Vec<Option<usize>>,
    files: Vec<Whole>,
    began: Time,
    /// Commands of the set-up that were not answered yet.
    unanswered: usize,
    /// Deeds ahead that may change what can complete.
    changes_ahead: usize,
    /// Whether the tracker says of an incomplete file that it is there, as far as it was asked.
    listed: Option<bool>,
    samples: Vec<Sample>,
    /// When each fault that strikes one at a time did.
    strikes: Vec<(Span, usize)>,
    /// Whom each fault has hit that goes on.
    hit: BTreeMap<usize, Vec<NodeId>>,
    /// Classes that are to stay removed from the group for now.
    expelling: BTreeSet<usize>,
    /// What was on the tracker's disk when the run began.
    tracker_copy: Stored,
}

/// Runs a scenario from a seed. A panic anywhere below is a failure of the run, not of the program.
///
/// # Errors
/// How it failed: a wrong result, no progress, or a crash.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Run, Failure> {
    through(scenario, seed, |_| {})
}

/// The same, told in words.
///
/// # Errors
/// As of [`run`].
pub fn run_narrated(scenario: &Scenario, seed: u64, listener: Listener) -> Result<Run, Failure> {
    through(scenario, seed, |world| world.listener = Some(listener))
}

/// The same, with the world as it is at the end.
#[cfg(test)]
pub(crate) fn run_watched(scenario: &Scenario, seed: u64) -> Result<World, Failure> {
    let mut runner = Runner::new(scenario, seed);
    runner.set_stage()?;
    runner.play()?;
    Ok(runner.world)
}

/// The same in a world that is broken on purpose.
#[cfg(test)]
pub(crate) fn run_broken(
    scenario: &Scenario,
    seed: u64,
    how: crate::checks::Sabotage,
) -> Result<Run, Failure> {
    through(scenario, seed, |world| world.sabotage = Some(how))
}

fn through(scenario: &Scenario, seed: u64, prepare: impl FnOnce(&mut World)) -> Result<Run, Failure> {
    catch(|| {
        let began = Instant::now();
        let mut runner = Runner::new(scenario, seed);
        prepare(&mut runner.world);
        runner.set_stage()?;
        runner.play()?;
        let run = runner.record(seed, began.elapsed().as_secs_f64());
        crate::measure::check_bounds(scenario, &run)?;
        Ok(run)
    })
}

impl Runner<'_> {
    /// Lets the scenario take its course.
    fn play(&mut self) -> Result<(), Failure> {
        let (end, interval) = self.times();
        self.agenda.plan(self.began, Deed::Sample);
        while !self.is_over() {
            let next = self.agenda.next().unwrap_or(end).min(end);
            self.let_pass(next);
            if self.is_over() {
                break;
            }
            if next == end {
                return self.time_is_up();
            }
            while let Some(deed) = self.agenda.take(next) {
                if matches!(deed, Deed::Sample) {
                    self.sample();
                    if self.scenario.checks {
                        self.world.check_all();
                    }
                    self.ask_about_lost();
                    self.agenda.plan(next + interval, Deed::Sample);
                } else {
                    self.world.narrate(self.world.tracker(), || format!("sees it come to {deed:?}"));
                    self.act(deed);
                }
            }
        }
        self.sample();
        Ok(())
    }

    /// When a run ends at the latest, and how often it is looked at.
    fn times(&self) -> (Time, Span) {
        let (span, rough) = match self.scenario.end {
            End::After(span) => (span, span),
            End::Settled(span) => (span, crate::bounds::rough(self.scenario).min(span)),
        };
        (self.began + span, Span((rough.0 / SAMPLES).max(1_000)))
    }

    fn time_is_up(&mut self) -> Result<(), Failure> {
        match self.scenario.end {
            End::After(_) => {
                self.sample();
                Ok(())
            }
            End::Settled(_) => Err(Failure::no_progress(self.world.now(), &self.who_waits())),
        }
    }

    /// Lets time pass up to a moment, and acts on what is heard meanwhile; no longer than the run lasts.
    fn let_pass(&mut self, until: Time) {
        while self.world.step(until) {
            for (node, word) in self.world.watch.take_words() {
                self.hear(node, word);
            }
            if self.is_over() {
                return;
            }
        }
        self.world.pass(until);
    }

    fn actor_at(&self, node: NodeId) -> Option<usize> {
        self.by_node.get(node.0).copied().flatten()
    }

    /// Time since the run began.
    fn since(&self, at: Time) -> Span {
        at.since(self.began)
    }
}
