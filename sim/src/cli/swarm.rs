//! `sim swarm`: scenarios drawn at random, on all cores, until there are enough.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use clap::Args;
use sim::run::{Failure, Run, run};
use sim::swarm::draw;
use sim::trial::Verdict;

use super::status::Status;
use super::{Error, table};

/// Seeds that are run if nothing is said.
const SEEDS: u64 = 100;

/// How many scenarios, and which.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Swarm {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// So many seeds; 100 if nothing else is said either.
    #[arg(long)]
    seeds: Option<u64>,
    /// So many hours of simulated time.
    #[arg(long)]
    hours: Option<f64>,
    /// So many minutes of the clock on the wall.
    #[arg(long)]
    minutes: Option<f64>,
    /// Run each twice, and compare the traces.
    #[arg(long)]
    twice: bool,
}

/// How far it is.
struct Progress {
    next: u64,
    runs: u64,
    failures: u64,
    simulated_s: f64,
    fired: BTreeMap<&'static str, u64>,
    worst: Verdict,
    printed: io::Result<()>,
}

impl Swarm {
    /// The next seed, unless there were enough.
    fn next(&self, progress: &mut Progress, began: Instant) -> Option<u64> {
        let seeds = self.seeds.or((self.hours.is_none() && self.minutes.is_none()).then_some(SEEDS));
        let enough = seeds.is_some_and(|seeds| progress.next - self.from >= seeds)
            || self.hours.is_some_and(|hours| progress.simulated_s >= hours * 3_600.0)
            || self.minutes.is_some_and(|minutes| began.elapsed().as_secs_f64() >= minutes * 60.0);
        (!enough && progress.printed.is_ok()).then(|| {
            progress.next += 1;
            progress.next - 1
        })
    }
}

pub(super) fn swarm(which: &Swarm) -> Result<Status, Error> {
    let began = Instant::now();
    let progress = Mutex::new(Progress {
        next: which.from,
        runs: 0,
        failures: 0,
        simulated_s: 0.0,
        fired: BTreeMap::new(),
        worst: Verdict::Holds,
        printed: Ok(()),
    });
    let locked = || progress.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    // Two statements, so that the lock is let go before the run.
                    let seed = which.next(&mut locked(), began);
                    let Some(seed) = seed else { return };
                    let outcome = one(seed, which.twice);
                    locked().take(seed, outcome);
                }
            });
        }
    });
    let mut progress = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut progress.printed, Ok(()))?;
    progress.report(began.elapsed().as_secs_f64())?;
    Ok(progress.worst.into())
}

fn one(seed: u64, twice: bool) -> Result<Run, Failure> {
    let scenario = draw(seed);
    let once = run(&scenario, seed)?;
    if twice {
        let again = run(&scenario, seed)?;
        if once.trace != again.trace {
            return Err(Failure::of_traces(once.trace, again.trace));
        }
    }
    Ok(once)
}

impl Progress {
    fn take(&mut self, seed: u64, outcome: Result<Run, Failure>) {
        self.runs += 1;
        match outcome {
            Ok(run) => {
                #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
                let lasted_s = run.lasted.0 as f64 / 1e6;
                self.simulated_s += lasted_s;
                run.fired.iter().for_each(|(name, times)| *self.fired.entry(name).or_default() += times);
            }
            Err(failure) => {
                self.failures += 1;
                self.worst = self.worst.max(Verdict::Failed(failure.kind));
                let text = format!("seed {seed}: {failure}\n  to see it again: sim replay {seed}\n");
                self.printed = io::stdout().lock().write_all(text.as_bytes());
            }
        }
    }

    fn report(&self, wall_s: f64) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let mut rows = vec![vec!["fault".to_owned(), "fired".to_owned()]];
        rows.extend(self.fired.iter().map(|(name, times)| vec![(*name).to_owned(), times.to_string()]));
        table::print(&mut out, &rows)?;
        let Progress { runs, failures, simulated_s, .. } = self;
        writeln!(
            out,
            "{runs} scenarios, {:.1} simulated hours, {wall_s:.0} s, {failures} failed",
            simulated_s / 3_600.0
        )
    }
}
