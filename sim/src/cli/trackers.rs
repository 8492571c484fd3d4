//! `sim trackers`: clusters of trackers under faults, one seed each.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic;

use clap::Args;
use engine::time::Span;
use sim::cluster::soak;

use super::Error;
use super::status::Status;

/// How many trackers, one count after another, when nothing is said.
const COUNTS: [usize; 4] = [1, 2, 3, 5];

/// How many seeds, and which.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Trackers {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// So many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// So many trackers; by turns 1, 2, 3 and 5 if nothing is said.
    #[arg(long)]
    trackers: Option<usize>,
}

pub(super) fn trackers(which: &Trackers) -> Result<Status, Error> {
    let mut out = std::io::stdout().lock();
    let (mut calls, mut unknown, mut failures) = (0, 0, 0);
    let mut slowest = Span::ZERO;
    let mut struck: BTreeMap<&str, u32> = BTreeMap::new();
    for (seed, turn) in (which.from..which.from + which.seeds).zip(COUNTS.into_iter().cycle()) {
        let count = which.trackers.unwrap_or(turn);
        match panic::catch_unwind(|| soak::run(seed, count)) {
            Ok(report) => {
                calls += report.calls;
                unknown += report.unknown;
                slowest = slowest.max(report.served_after);
                report.struck.iter().for_each(|(name, times)| *struck.entry(name).or_default() += times);
            }
            Err(_) => {
                failures += 1;
                writeln!(out, "failed: sim trackers --from {seed} --seeds 1 --trackers {count}")?;
            }
        }
    }
    let faults: Vec<String> = struck.iter().map(|(name, times)| format!("{times} {name}")).collect();
    writeln!(out, "{} seeds, {failures} failures; {calls} calls, {unknown} of unknown outcome", which.seeds)?;
    writeln!(out, "faults: {}", faults.join(", "))?;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let slowest_s = slowest.0 as f64 / 1e6;
    writeln!(out, "served again at the latest {slowest_s:.1} s after all was mended")?;
    Ok(if failures == 0 { Status::Holds } else { Status::WrongResult })
}
