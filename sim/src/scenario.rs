//! Scenarios: a file that says who takes part and what must hold, and the run of it.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr as _;

use engine::peer::strategy::Strategy;
use engine::piece::PIECE_LEN;
use engine::time::{Span, Time};
use serde::Deserialize;
use toml::Spanned;

use crate::network::{Access, NodeId};
use crate::prose::{download, pieces};
use crate::world::World;

/// What a scenario file says. Its keys are explained in `scenarios/README.md`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    peers: Spanned<u32>,
    pieces: Spanned<u32>,
    up_bytes_per_s: Spanned<u64>,
    down_bytes_per_s: Spanned<u64>,
    latency_us: Spanned<u64>,
    strategy: Spanned<String>,
    seed: u64,
    band: Spanned<Band>,
}

/// What the ratio of the makespan to the bound must be.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// At least this; below 1 the simulator itself is wrong.
    pub ratio_min: f64,
    /// At most this.
    pub ratio_max: f64,
}

/// A flash crowd: one seeder, and peers that all ask for its file at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Peers that fetch.
    pub peers: u32,
    /// Pieces of the file.
    pub pieces: u32,
    /// Everybody's line.
    pub access: Access,
    /// How peers choose uploaders.
    pub strategy: Strategy,
    /// The seed, unless the command line names another.
    pub seed: u64,
    /// What must hold.
    pub band: Band,
}

/// What is wrong with a scenario file, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadScenario(String);

impl fmt::Display for BadScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for BadScenario {}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// From the first request to the last completion.
    pub makespan: Span,
    /// The makespan over the bound of Mundinger, Weber and Weiss: (M + floor(log2 N)) x tau.
    pub ratio: f64,
    /// Pieces that arrived.
    pub pieces: u64,
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// What is wrong with it: the line, and the remedy.
    pub fn parse(text: &str) -> Result<Scenario, BadScenario> {
        let read: Text = toml::from_str(text)
            .map_err(|error| BadScenario(format!("{error}the keys are explained in scenarios/README.md")))?;
        let check = Check { text };
        let strategy = Strategy::from_str(read.strategy.get_ref())
            .map_err(|error| check.at(&read.strategy, &format!("no such strategy: {error}")))?;
        let access = Access {
            up: check.within(&read.up_bytes_per_s, 1..=1 << 40)?,
            down: check.within(&read.down_bytes_per_s, 1..=1 << 40)?,
            latency: Span(check.within(&read.latency_us, 0..=60_000_000)?),
        };
        let Band { ratio_min, ratio_max } = *read.band.get_ref();
        if !(1.0..=ratio_max).contains(&ratio_min) {
            return Err(check.at(&read.band, "let 1 <= ratio_min <= ratio_max: nothing beats the bound"));
        }
        Ok(Scenario {
            peers: check.within(&read.peers, 1..=10_000)?,
            pieces: check.within(&read.pieces, 1..=1 << 20)?,
            access,
            strategy,
            seed: read.seed,
            band: *read.band.get_ref(),
        })
    }

    /// The bound, below which no run can be.
    #[must_use]
    pub fn bound(&self) -> Span {
        let tau = crate::network::duration(PIECE_LEN, self.access.up);
        tau * u64::from(self.pieces + self.peers.ilog2())
    }

    /// Runs the scenario; none if somebody did not complete within twenty times the bound.
    #[must_use]
    pub fn run(&self, seed: u64) -> Option<Outcome> {
        let mut world = World::new(seed);
        world.set_checks(false);
        let crowd = self.gather(&mut world);
        let (began, before) = (world.now(), world.pieces_delivered());
        for client in &crowd {
            world.command(*client, download("crowd", "file"));
        }
        let deadline = began + self.bound() * 20;
        let mut left = crowd;
        let mut last = began;
        while !left.is_empty() && world.now() <= deadline {
            world.advance(Span(self.bound().0 / 100));
            left.retain(|client| match world.completed(*client, "file") {
                Some(at) => {
                    last = last.max(at);
                    false
                }
                None => true,
            });
        }
        left.is_empty().then(|| self.outcome(last, began, world.pieces_delivered() - before))
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio of times far below 2^52 microseconds")]
    fn outcome(&self, last: Time, began: Time, pieces: u64) -> Outcome {
        let makespan = last.since(began);
        Outcome { makespan, ratio: makespan.0 as f64 / self.bound().0 as f64, pieces }
    }

    /// Accounts, a group, and a file that its owner shares.
    fn gather(&self, world: &mut World) -> Vec<NodeId> {
        let owner = world.client_on(self.access, self.strategy);
        world.sign_up(owner, "owner");
        let names: Vec<String> = (0..self.peers).map(|number| format!("peer {number}")).collect();
        let mut members = Vec::new();
        for name in &names {
            let client = world.client_on(self.access, self.strategy);
            world.sign_up(client, name);
            members.push((client, name.as_str()));
        }
        world.make_group(owner, "crowd", &members);
        world.share(owner, "crowd", "file", pieces(1, self.pieces));
        members.into_iter().map(|(client, _)| client).collect()
    }
}

/// Looks over values, and says where they stand.
struct Check<'a> {
    text: &'a str,
}

impl Check<'_> {
    fn at<T>(&self, value: &Spanned<T>, why: &str) -> BadScenario {
        let line = self.text[..value.span().start].lines().count().max(1);
        BadScenario(format!("line {line}: {why}"))
    }

    fn within<T: PartialOrd + fmt::Display + Copy>(
        &self,
        value: &Spanned<T>,
        range: RangeInclusive<T>,
    ) -> Result<T, BadScenario> {
        if range.contains(value.get_ref()) {
            return Ok(*value.get_ref());
        }
        let why = format!("{} is out of range: choose {} to {}", value.get_ref(), range.start(), range.end());
        Err(self.at(value, &why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROWD: &str = include_str!("../../scenarios/flash_crowd.toml");

    #[test]
    fn a_flash_crowd_keeps_its_band() {
        let scenario = Scenario { peers: 16, ..Scenario::parse(CROWD).unwrap() };
        for seed in 0..3 {
            let outcome = scenario.run(seed).unwrap();
            let Band { ratio_min, ratio_max } = scenario.band;
            assert!((ratio_min..=ratio_max).contains(&outcome.ratio), "seed {seed}: {outcome:?}");
            assert_eq!(outcome, scenario.run(seed).unwrap(), "the same seed gives the same run");
        }
    }

    #[test]
    fn a_bad_file_is_refused_with_its_line_and_the_remedy() {
        let refusal = |from: &str, to: &str| {
            assert!(CROWD.contains(from));
            Scenario::parse(&CROWD.replace(from, to)).unwrap_err().to_string()
        };
        let line = 1 + CROWD.lines().position(|line| line.starts_with("strategy")).unwrap();
        let wrong = refusal("\"adaptive\"", "\"best\"");
        assert_eq!(
            wrong,
            format!(
                "line {line}: no such strategy: choose one of least-loaded, fewest-pieces, random, adaptive"
            )
        );
        assert!(refusal("peers = 64", "peers = 0").contains("0 is out of range: choose 1 to 10000"));
        assert!(refusal("peers = 64", "pears = 64").contains("unknown field `pears`"));
        assert!(refusal("ratio_min = 1.0", "ratio_min = 0.5").contains("nothing beats the bound"));
    }
}
