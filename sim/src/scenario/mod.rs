//! Scenarios: who takes part in a run, what goes wrong meanwhile, and what must hold at the end.
//!
//! [`Scenario::parse`] reads a file; every mistake in one is answered with line, column and remedy. A scenario that was read can be run.

mod check;
mod fault;
mod text;
mod units;
mod variant;
mod write;

use std::fmt;
use std::ops::Range;

use crate::measure::Measure;
use crate::network::Access;
use crate::world::Costs;
use engine::name::is_unprintable;
use engine::peer::strategy::Strategy;
use engine::piece::Size;
use engine::time::Span;
pub use fault::{Behaviour, Fault, FaultKind, Needs, Strength, Whom};

/// Most bytes that are shown of what is wrong, with all that it could be, and of the line.
const WHY_MAX: usize = 800;
const LINE_MAX: usize = 200;

/// Most peers of a run.
pub const PEERS_MAX: u32 = 200_000;

/// Who takes part in what, and what must come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The name of the variant, if the file has any.
    pub variant: Option<String>,
    /// What it is about.
    pub about: String,
    /// The seeds over which the median is taken.
    pub seeds: Vec<u64>,
    /// When it ends.
    pub end: End,
    /// The part of the run that is left out of measures of a steady state.
    pub warm_up: f64,
    /// How many neighbours a download seeks.
    pub neighbours: usize,
    /// Whether everything is checked after every step, which is slow.
    pub checks: bool,
    /// Whether it takes minutes, so that it is run only when asked for.
    pub heavy: bool,
    /// The tracker's line.
    pub tracker: Access,
    /// How long work takes.
    pub costs: Costs,
    /// What is shared.
    pub files: Vec<FileSpec>,
    /// Who takes part.
    pub classes: Vec<Class>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What must hold.
    pub bands: Vec<Band>,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After so long.
    After(Span),
    /// When everything that can complete has; if that is not so after this time, there was no progress.
    Settled(Span),
}

/// A file that is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSpec {
    /// Its name.
    pub name: String,
    /// Its length.
    pub size: Size,
}

/// Peers of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its name, and that of the account which its peers share.
    pub name: String,
    /// How many there are at most.
    pub count: u32,
    /// Everybody's line.
    pub access: Access,
    /// How they choose uploaders.
    pub strategy: Strategy,
    /// Whether they hold all files from the beginning.
    pub seeds: bool,
    /// Whether they keep to the rules.
    pub behaviour: Behaviour,
    /// When they come.
    pub arrival: Arrival,
    /// When they go.
    pub departure: Departure,
}

/// When the peers of a class come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrival {
    /// All at one time.
    At(Span),
    /// One after another, evenly from the first time on, for so long.
    Over(Span, Span),
    /// By chance (a Poisson process), so many a second.
    Poisson(f64),
}

/// When a peer goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Departure {
    /// Never.
    Stay,
    /// So long after it has all files.
    Dwell(Span),
    /// After it has all files and a time drawn from an exponential law of this mean.
    DwellMean(Span),
    /// At this time.
    At(Span),
    /// When it has sent so many different pieces.
    AfterUploads(u32),
}

/// What must hold of a measure, as the median over the seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// Its name in the file.
    pub name: String,
    /// The measure.
    pub measure: Measure,
    /// The class whose peers count; none for all that fetch.
    pub class: Option<usize>,
    /// At least this.
    pub min: Option<f64>,
    /// At most this.
    pub max: Option<f64>,
    /// The goal beyond: at most this, or at least this if the band has no `max`.
    pub stretch: Option<f64>,
}

impl Band {
    /// Whether a value lies in the band.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    /// Whether a value reaches the goal beyond.
    #[must_use]
    pub fn reaches(&self, value: f64) -> Option<bool> {
        self.stretch.map(|goal| if self.max.is_some() { value <= goal } else { value >= goal })
    }
}

impl Scenario {
    /// Reads a scenario file: one scenario for each of its variants.
    ///
    /// # Errors
    /// What is wrong with it: line, column and remedy.
    pub fn parse(text: &str) -> Result<Vec<Scenario>, BadScenario> {
        let read = variant::read(text)?;
        read.into_iter().map(|(variant, said)| check::resolve(text, variant, said)).collect()
    }

    /// Length of all files together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size.bytes()).sum()
    }

    /// Pieces of all files together.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.files.iter().map(|file| file.size.pieces()).sum()
    }
}

/// What is wrong with a scenario file, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadScenario(String);

impl BadScenario {
    /// An error of the reader.
    fn new(text: &str, error: &toml::de::Error) -> BadScenario {
        BadScenario::at(text, error.span().unwrap_or_default(), error.message())
    }

    /// Something wrong at that place of the text.
    fn at(text: &str, span: Range<usize>, why: &str) -> BadScenario {
        let before = &text[..span.start.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let source = text.lines().nth(line - 1).unwrap_or_default();
        BadScenario(format!(
            "line {line}, column {column}: {}\n  | {}",
            shown(why.trim_end(), WHY_MAX),
            shown(source, LINE_MAX)
        ))
    }
}

/// A text as a terminal may show it: at most so many bytes, and nothing in it that would do something there.
fn shown(text: &str, max: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().map(shown_as) {
        if shown.len() + c.len_utf8() > max {
            return shown + "...";
        }
        shown.push(c);
    }
    shown
}

/// Whether a terminal shows a text on one line, and does nothing else; names and texts are refused otherwise.
fn check_shown(file: &str, span: Range<usize>, text: &str) -> Result<(), BadScenario> {
    if text.chars().any(is_unprintable) {
        return Err(BadScenario::at(
            file,
            span,
            "a text or name is shown on one line: leave out what cannot be",
        ));
    }
    Ok(())
}

fn shown_as(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_unprintable(c) => '\u{fffd}',
        c => c,
    }
}

impl fmt::Display for BadScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nEvery key is explained in scenarios/README.md.", self.0)
    }
}

impl std::error::Error for BadScenario {}

#[cfg(test)]
mod tests;
