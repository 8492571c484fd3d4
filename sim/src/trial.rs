//! A scenario over its seeds: the runs side by side, the medians, and what they say of its bands.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::measure::{Measure, Measured, median};
use crate::run::{Failure, FailureKind, run};
use crate::scenario::{Band, Scenario};

/// The runs of a scenario.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What came of each seed.
    pub runs: Vec<(u64, Result<Measured, Failure>)>,
}

/// What a trial says of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every band holds.
    Holds,
    /// A band does not.
    Misses,
    /// A run failed; the worst way in which one did.
    Failed(FailureKind),
}

impl Trial {
    /// Runs a scenario from each of these seeds: on all cores, unless the machine itself is measured.
    #[must_use]
    pub fn of(scenario: &Scenario, seeds: &[u64]) -> Trial {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let alone = scenario.bands.iter().any(|band| band.measure.is_of_the_machine());
        let threads = if alone { 1 } else { cores.min(seeds.len()) };
        let (next, runs) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = measured(scenario, *seed);
                        runs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*seed, result));
                    }
                });
            }
        });
        let mut runs = runs.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        runs.sort_by_key(|(seed, _)| *seed);
        Trial { runs }
    }

    /// The median of a measure over the runs that did not fail.
    #[must_use]
    pub fn median(&self, scenario: &Scenario, measure: Measure, class: Option<usize>) -> Option<f64> {
        let taken = self.runs.iter().filter_map(|(_, run)| run.as_ref().ok()?.take(measure, scenario, class));
        median(taken.collect())
    }

    /// Whether a band holds.
    #[must_use]
    pub fn holds(&self, scenario: &Scenario, band: &Band) -> bool {
        self.median(scenario, band.measure, band.class).is_some_and(|value| band.holds(value))
    }

    /// How often each fault fired, over all runs that did not fail.
    #[must_use]
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        let mut fired = BTreeMap::new();
        for run in self.runs.iter().filter_map(|(_, run)| run.as_ref().ok()) {
            for (name, times) in &run.run.fired {
                *fired.entry(*name).or_default() += times;
            }
        }
        fired
    }

    /// Runs that failed.
    pub fn failures(&self) -> impl Iterator<Item = (u64, &Failure)> {
        self.runs.iter().filter_map(|(seed, run)| Some((*seed, run.as_ref().err()?)))
    }

    /// What it all says of the scenario.
    #[must_use]
    pub fn verdict(&self, scenario: &Scenario) -> Verdict {
        if let Some(worst) = self.failures().map(|(_, failure)| failure.kind).max() {
            return Verdict::Failed(worst);
        }
        let all = scenario.bands.iter().all(|band| self.holds(scenario, band));
        if all { Verdict::Holds } else { Verdict::Misses }
    }
}

/// One run, and beside it what the bands need to be judged.
fn measured(scenario: &Scenario, seed: u64) -> Result<Measured, Failure> {
    let asked = |measure| scenario.bands.iter().any(|band| band.measure == measure);
    if asked(Measure::Memory) {
        forget_memory_peak();
    }
    let run_ = run(scenario, seed)?;
    let memory_gib = if asked(Measure::Memory) { memory_peak_gib() } else { None };
    let mut measured = Measured { run: run_, calm_makespan_s: None, repeats: None, memory_gib };
    if asked(Measure::Slowdown) {
        let calm = Scenario { faults: Vec::new(), ..scenario.clone() };
        let calm_run = Measured { run: run(&calm, seed)?, ..measured.clone() };
        measured.calm_makespan_s = calm_run.take(Measure::Makespan, &calm, None);
    }
    if asked(Measure::TraceRepeats) {
        measured.repeats = Some(run(scenario, seed)?.trace == measured.run.trace);
    }
    Ok(measured)
}

/// The most memory that the process held since [`forget_memory_peak`]; none where the system does not say.
fn memory_peak_gib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / f64::from(1 << 20))
}

fn forget_memory_peak() {
    // Where the system does not let us, the peak is that of the whole process: too high, never too low.
    let _kept = std::fs::write("/proc/self/clear_refs", "5");
}
