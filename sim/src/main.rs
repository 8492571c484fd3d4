//! `sim <scenario.toml> [--seed N]`: runs a scenario and says whether its band holds.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use sim::scenario::{Band, Outcome, Scenario};

/// Runs a scenario in the simulator and prints how it went.
///
/// Exit status: 0 if the band holds, 1 if it does not, 2 if the scenario file is wrong.
#[derive(Debug, Parser)]
struct Arguments {
    /// The scenario file; scenarios/README.md explains its keys.
    scenario: PathBuf,
    /// A seed other than the file's; the same seed gives the same run.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            let _closed = writeln!(std::io::stderr(), "{}: {why}", arguments.scenario.display());
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(&arguments.scenario)?;
    let scenario = Scenario::parse(&text)?;
    let seed = arguments.seed.unwrap_or(scenario.seed);
    let began = Instant::now();
    let outcome = scenario.run(seed);
    let wall_s = began.elapsed().as_secs_f64();
    let Band { ratio_min, ratio_max } = scenario.band;
    let holds = outcome.is_some_and(|outcome| (ratio_min..=ratio_max).contains(&outcome.ratio));
    print(&scenario, seed, outcome, wall_s, holds)?;
    Ok(holds)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn print(
    scenario: &Scenario,
    seed: u64,
    outcome: Option<Outcome>,
    wall_s: f64,
    holds: bool,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let seconds = |span: engine::time::Span| span.0 as f64 / 1e6;
    writeln!(out, "peers     {}", scenario.peers)?;
    writeln!(out, "pieces    {}", scenario.pieces)?;
    writeln!(out, "strategy  {}", scenario.strategy)?;
    writeln!(out, "seed      {seed}")?;
    writeln!(out, "bound     {:.3} s", seconds(scenario.bound()))?;
    match outcome {
        Some(outcome) => {
            writeln!(out, "makespan  {:.3} s", seconds(outcome.makespan))?;
            writeln!(out, "ratio     {:.4}", outcome.ratio)?;
            writeln!(out, "wall      {:.0} pieces/s", outcome.pieces as f64 / wall_s)?;
        }
        None => writeln!(out, "makespan  somebody did not complete")?,
    }
    let verdict = if holds { "holds" } else { "does not hold" };
    writeln!(out, "band      {} to {}: {verdict}", scenario.band.ratio_min, scenario.band.ratio_max)
}
