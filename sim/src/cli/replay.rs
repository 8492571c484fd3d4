//! `sim replay`: a run, or the recording of a real node, told in words; `sim shrink`: a run that fails made small, and saved.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use engine::recording::MAGIC;
use sim::relive::{Relived, relive};
use sim::run::run_narrated;
use sim::scenario::Scenario;
use sim::shrink::shrink;
use sim::swarm::draw;
use sim::trial::Verdict;

use super::status::Status;
use super::{Error, load};

/// Which run.
#[derive(Debug, Args)]
pub(super) struct OneRun {
    /// A seed of `swarm`, a scenario file, or (`replay` only) a recording that `node --record` has made.
    what: String,
    /// The seed, if it is a file; its first, if nothing is said.
    #[arg(long)]
    seed: Option<u64>,
    /// The variant, if it is a file that has any.
    #[arg(long)]
    variant: Option<String>,
}

/// Which run to make small.
#[derive(Debug, Args)]
pub(super) struct Shrink {
    #[command(flatten)]
    which: OneRun,
    /// Where to put the small scenario.
    #[arg(long, default_value = "scenarios/bugs")]
    folder: PathBuf,
}

impl OneRun {
    fn scenario(&self) -> Result<(Scenario, u64), Error> {
        if let Ok(seed) = self.what.parse() {
            return Ok((draw(seed), seed));
        }
        let mut scenarios = load::chosen(Path::new(&self.what), self.variant.as_deref(), self.seed)?;
        if scenarios.len() > 1 {
            let names: Vec<String> = scenarios.into_iter().filter_map(|scenario| scenario.variant).collect();
            return Err(format!("choose one of its variants with --variant: {}", names.join(", ")).into());
        }
        let scenario = scenarios.pop().ok_or("the file has no scenario")?;
        let seed = scenario.seeds[0];
        Ok((scenario, seed))
    }
}

pub(super) fn replay(which: &OneRun) -> Result<Status, Error> {
    let bytes = std::fs::read(&which.what).unwrap_or_default();
    if bytes.starts_with(&MAGIC) {
        return live_again(&bytes);
    }
    let (scenario, seed) = which.scenario()?;
    writeln!(io::stdout().lock(), "{}", scenario.to_toml())?;
    // Whoever reads this may stop to, as `head` does: what is not read need not be said.
    let outcome = run_narrated(&scenario, seed, |line| drop(writeln!(io::stdout().lock(), "{line}")));
    let mut out = io::stdout().lock();
    match outcome {
        Ok(run) => {
            writeln!(out, "all is well after {} s; trace {:016x}", run.lasted.secs_rounded_up(), run.trace)?;
            Ok(Status::Holds)
        }
        Err(failure) => {
            writeln!(out, "{failure}")?;
            Ok(Verdict::Failed(failure.kind).into())
        }
    }
}

/// Lets a recorded machine live again.
fn live_again(bytes: &[u8]) -> Result<Status, Error> {
    let outcome = relive(bytes, |line| drop(writeln!(io::stdout().lock(), "{line}")));
    let mut out = io::stdout().lock();
    match outcome {
        Ok(Relived { inputs, until, digest }) => {
            writeln!(out, "the same again: {inputs} inputs until {until}; digest {digest:016x}")?;
            Ok(Status::Holds)
        }
        Err(failure) => {
            writeln!(out, "{failure}")?;
            Ok(Verdict::Failed(failure.kind).into())
        }
    }
}

pub(super) fn make_small(which: &Shrink) -> Result<Status, Error> {
    let (scenario, seed) = which.which.scenario()?;
    let mut out = io::stdout();
    let small = shrink(&scenario, seed, |step| drop(writeln!(io::stdout().lock(), "{step}")));
    let Some(small) = small else {
        return Err("it does not fail, so there is nothing to make small".into());
    };
    let name = file_name(&which.which.what, seed);
    std::fs::create_dir_all(&which.folder)?;
    let path = which.folder.join(name);
    let why: String = small.failure.to_string().lines().map(|line| format!("# {line}\n")).collect();
    std::fs::write(&path, format!("{why}{}", small.scenario.to_toml()))?;
    writeln!(out, "{}\n  to see it again: sim replay {}", small.failure, path.display())?;
    Ok(Verdict::Failed(small.failure.kind).into())
}

fn file_name(what: &str, seed: u64) -> String {
    match Path::new(what).file_stem() {
        Some(stem) if what.parse::<u64>().is_err() => format!("{}-{seed}.toml", stem.to_string_lossy()),
        _ => format!("swarm-{seed}.toml"),
    }
}
