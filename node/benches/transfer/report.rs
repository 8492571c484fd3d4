//! What is told in the end: medians, their spread, and how this program compares with the others.

use std::fmt::{self, Write as _};
use std::time::Duration;

/// What one run took.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) wall: Duration,
    /// Of all processes of the swarm.
    pub(crate) cpu: Duration,
    /// Cores that others used meanwhile.
    pub(crate) noise: f64,
    /// The most private memory of a leecher: in the first second, and later.
    pub(crate) private_mib: (u64, u64),
    pub(crate) leechers: usize,
}

impl Run {
    fn mb_per_s(&self, size_mib: u64) -> f64 {
        self.leechers as f64 * size_mib as f64 * 1.048_576 / self.wall.as_secs_f64()
    }

    fn cpu_s_per_gib(&self, size_mib: u64) -> f64 {
        self.cpu.as_secs_f64() * 1_024.0 / (self.leechers as f64 * size_mib as f64)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { wall, cpu, noise, private_mib: (first, later), .. } = self;
        let (wall, cpu) = (wall.as_secs_f64(), cpu.as_secs_f64());
        write!(
            f,
            "{wall:.2} s, CPU {cpu:.2} s, private {first} and {later} MiB, others used {noise:.2} cores"
        )
    }
}

/// A case: seeders and leechers.
type Case = (usize, usize);

/// A table of all runs, by case and tool in the order in which they came.
pub(crate) fn table(runs: &[(Case, &'static str, Run)], size_mib: u64) -> String {
    let mut text = String::from(
        "| case | tool | runs | wall s (min-max) | MB/s, sum | of the best other | CPU s/GiB | private MiB of a leecher: first second, later | noise, cores |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut keys: Vec<(Case, &str)> = Vec::new();
    for (case, tool, _) in runs {
        if !keys.contains(&(*case, tool)) {
            keys.push((*case, tool));
        }
    }
    let of = |case: Case, tool: &str| -> Vec<&Run> {
        runs.iter().filter(|(c, t, _)| (*c, *t) == (case, tool)).map(|(.., run)| run).collect()
    };
    let speed = |runs: &[&Run]| median(runs.iter().map(|run| run.mb_per_s(size_mib)));
    for (case, tool) in &keys {
        let here = of(*case, tool);
        let best_other = keys
            .iter()
            .filter(|(c, t)| c == case && t != tool)
            .map(|(c, t)| speed(&of(*c, t)))
            .fold(0.0, f64::max);
        let walls: Vec<f64> = here.iter().map(|run| run.wall.as_secs_f64()).collect();
        let ratio =
            if best_other > 0.0 { format!("{:.2}", speed(&here) / best_other) } else { "-".to_owned() };
        // Writing to a string does not fail.
        let _ok = writeln!(
            text,
            "| {}-{} | {tool} | {} | {:.2} ({:.2}-{:.2}) | {:.0} | {ratio} | {:.2} | {:.0}, {:.0} | {:.2} |",
            case.0,
            case.1,
            here.len(),
            median(walls.iter().copied()),
            walls.iter().copied().fold(f64::INFINITY, f64::min),
            walls.iter().copied().fold(0.0, f64::max),
            speed(&here),
            median(here.iter().map(|run| run.cpu_s_per_gib(size_mib))),
            median(here.iter().map(|run| run.private_mib.0 as f64)),
            median(here.iter().map(|run| run.private_mib.1 as f64)),
            median(here.iter().map(|run| run.noise)),
        );
    }
    text
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
