//! The command line.

mod bands;
mod compare;
mod load;
mod one;
mod replay;
mod status;
mod swarm;
mod table;
mod trackers;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use status::Status;

/// Runs scenarios of the simulator: the engine's own machines on virtual links, disks and clocks.
///
/// `sim scenarios/NAME.toml` runs one scenario, prints a table, and says whether each of its bands holds.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, after_help = status::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Mode>,
    #[command(flatten)]
    one: Option<OneScenario>,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Mode {
    /// Runs one scenario, or all of a folder, with each of the peer choices, and prints one table.
    Compare(Compare),
    /// Runs all scenarios of a folder, and prints each band with what was measured.
    Bands(Bands),
    /// Runs scenarios that are drawn at random from one seed each: first faults, then everything heals and must complete.
    Swarm(swarm::Swarm),
    /// Runs clusters of trackers under faults, with clients, from one seed each.
    Trackers(trackers::Trackers),
    /// Tells one run in words, one line an event.
    Replay(replay::OneRun),
    /// Makes a run that fails as small as it gets, and saves it as a scenario.
    Shrink(replay::Shrink),
}

/// Which scenario, and what to write.
#[derive(Debug, Args)]
struct OneScenario {
    /// The scenario file; scenarios/README.md explains its keys.
    scenario: PathBuf,
    /// Run from this seed alone; the same seed gives the same run.
    #[arg(long)]
    seed: Option<u64>,
    /// Run this variant alone.
    #[arg(long)]
    variant: Option<String>,
    /// Write a page with pictures: one file that needs no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the same data as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What to compare.
#[derive(Debug, Args)]
struct Compare {
    /// A scenario file; or a folder, of which all bands with a goal are compared.
    #[arg(default_value = "scenarios")]
    scenarios: PathBuf,
    /// Run from this seed alone; the same seed gives the same run.
    #[arg(long)]
    seed: Option<u64>,
    /// Run this variant alone.
    #[arg(long)]
    variant: Option<String>,
    /// Of a folder: run those that are marked as heavy, too.
    #[arg(long)]
    all: bool,
}

/// Which scenarios.
#[derive(Debug, Args)]
struct Bands {
    /// The folder.
    #[arg(default_value = "scenarios")]
    folder: PathBuf,
    /// Run those that are marked as heavy, too.
    #[arg(long)]
    all: bool,
    /// Run from this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Run only files whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

/// Why nothing could be run, or printed.
type Error = Box<dyn std::error::Error>;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match (arguments.command, arguments.one) {
        (Some(Mode::Compare(which)), _) => compare::compare(&which),
        (Some(Mode::Bands(which)), _) => bands::bands(&which),
        (Some(Mode::Swarm(which)), _) => swarm::swarm(&which),
        (Some(Mode::Trackers(which)), _) => trackers::trackers(&which),
        (Some(Mode::Replay(which)), _) => replay::replay(&which),
        (Some(Mode::Shrink(which)), _) => replay::make_small(&which),
        (None, Some(which)) => one::one(&which),
        (None, None) => Err("name a scenario file, such as scenarios/flash_crowd.toml; see --help".into()),
    };
    let status = done.unwrap_or_else(|why| {
        let _closed = writeln!(std::io::stderr(), "{why}");
        Status::Usage
    });
    status.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_alone_is_run() {
        let arguments = Arguments::try_parse_from(["sim", "file.toml", "--variant", "small", "--seed", "3"]);
        let which = arguments.map(|arguments| arguments.one).unwrap_or_default();
        let said = which.map(|which| (which.scenario, which.variant, which.seed));
        assert_eq!(said, Some(("file.toml".into(), Some("small".to_owned()), Some(3))));
    }
}
