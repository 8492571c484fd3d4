//! What trials found, for programs and for people: one JSON text, and one page that holds the same data and draws it.
//!
//! The page needs no network: style, script and data are in it.

use std::collections::BTreeMap;

use engine::time::Span;
use serde::Serialize;

use crate::bounds;
use crate::measure::{Measure, Measured};
use crate::run::{PeerRecord, Run};
use crate::scenario::{Behaviour, Fault, Scenario};
use crate::trial::Trial;

/// The page, with places for its style, its script and the data.
const PAGE: &str = include_str!("page.html");
const STYLE: (&str, &str) = ("/*STYLE*/", include_str!("page.css"));
const SCRIPT: (&str, &str) = ("/*SCRIPT*/", include_str!("page.js"));
const DATA: &str = "/*DATA*/null";

/// Everything that is told of some scenarios.
#[derive(Debug, Serialize)]
pub struct Report {
    scenarios: Vec<Told>,
}

/// One scenario.
#[derive(Debug, Serialize)]
struct Told {
    title: String,
    about: String,
    pieces: u32,
    classes: Vec<ToldClass>,
    bands: Vec<ToldBand>,
    bounds: Vec<ToldBound>,
    runs: Vec<ToldRun>,
    failures: Vec<ToldFailure>,
}

/// The peers of one class.
#[derive(Debug, Serialize)]
struct ToldClass {
    name: String,
    up_bytes_per_s: u64,
    down_bytes_per_s: u64,
    strategy: &'static str,
    behaviour: &'static str,
    seeds: bool,
}

/// A band, and whether it holds.
#[derive(Debug, Serialize)]
struct ToldBand {
    name: String,
    measure: &'static str,
    median: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    stretch: Option<f64>,
    holds: bool,
}

/// A time before which nobody can be done.
#[derive(Debug, Serialize)]
struct ToldBound {
    name: &'static str,
    at_s: f64,
}

/// One run.
#[derive(Debug, Serialize)]
struct ToldRun {
    seed: u64,
    lasted_s: f64,
    trace: String,
    measures: BTreeMap<&'static str, f64>,
    fired: BTreeMap<&'static str, u64>,
    lost: BTreeMap<String, Vec<u32>>,
    peers: Vec<ToldPeer>,
    samples: Vec<ToldSample>,
    faults: Vec<ToldFault>,
}

/// One peer.
#[derive(Debug, Serialize)]
struct ToldPeer {
    class: usize,
    asked_s: Option<f64>,
    completed_s: Option<f64>,
    uploaded_bytes: u64,
}

/// What it looked like at one time.
#[derive(Debug, Serialize)]
struct ToldSample {
    at_s: f64,
    fetching: u32,
    completed: u32,
    sending: f64,
    queue_mean: f64,
    queue_max: usize,
    copies: Vec<f32>,
}

/// A fault: from when to when, and when it struck somebody, if it does that one at a time.
#[derive(Debug, Serialize)]
struct ToldFault {
    name: String,
    kind: &'static str,
    at_s: f64,
    until_s: f64,
    strikes_s: Vec<f64>,
}

/// A run that failed.
#[derive(Debug, Serialize)]
struct ToldFailure {
    seed: u64,
    kind: String,
    why: String,
}

impl Report {
    /// What is told of these trials.
    #[must_use]
    pub fn new(trials: &[(String, Scenario, Trial)]) -> Report {
        Report {
            scenarios: trials
                .iter()
                .map(|(title, scenario, trial)| Told::new(title, scenario, trial))
                .collect(),
        }
    }

    /// The data.
    ///
    /// # Errors
    /// Of the writer of JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// The page.
    ///
    /// # Errors
    /// Of the writer of JSON.
    pub fn html(&self) -> serde_json::Result<String> {
        // A name in the data must not end the script that it stands in.
        let data = self.json()?.replace("</", "<\\/");
        let page = PAGE.replacen(STYLE.0, STYLE.1, 1).replacen(SCRIPT.0, SCRIPT.1, 1);
        Ok(page.replacen(DATA, &data, 1))
    }
}

impl Told {
    fn new(title: &str, scenario: &Scenario, trial: &Trial) -> Told {
        let runs: Vec<&Measured> = trial.runs.iter().filter_map(|(_, run)| run.as_ref().ok()).collect();
        let failures = trial.failures().map(|(seed, failure)| ToldFailure {
            seed,
            kind: failure.kind.to_string(),
            why: failure.why.clone(),
        });
        Told {
            title: title.to_owned(),
            about: scenario.about.clone(),
            pieces: scenario.pieces(),
            classes: scenario.classes.iter().map(ToldClass::from).collect(),
            bands: scenario.bands.iter().map(|band| ToldBand::new(band, scenario, trial)).collect(),
            bounds: runs.first().map(|run| bounds_of(scenario, &run.run)).unwrap_or_default(),
            runs: runs.iter().map(|run| ToldRun::new(run, scenario)).collect(),
            failures: failures.collect(),
        }
    }
}

impl From<&crate::scenario::Class> for ToldClass {
    fn from(class: &crate::scenario::Class) -> ToldClass {
        ToldClass {
            name: class.name.clone(),
            up_bytes_per_s: class.access.up,
            down_bytes_per_s: class.access.down,
            strategy: class.strategy.name(),
            behaviour: class.behaviour.name(),
            seeds: class.seeds,
        }
    }
}

impl ToldBand {
    fn new(band: &crate::scenario::Band, scenario: &Scenario, trial: &Trial) -> ToldBand {
        ToldBand {
            name: band.name.clone(),
            measure: band.measure.name(),
            median: trial.median(scenario, band.measure, band.class),
            min: band.min,
            max: band.max,
            stretch: band.stretch,
            holds: trial.holds(scenario, band),
        }
    }
}

/// The bounds that mean something for a run.
fn bounds_of(scenario: &Scenario, run: &Run) -> Vec<ToldBound> {
    let done = || run.peers.iter().filter(|peer| peer.counts && peer.completed.is_some());
    let down_min = done().map(|peer| scenario.classes[peer.class].access.down).min();
    let (Some(down_min), Ok(completers)) = (down_min, u32::try_from(done().count())) else {
        return Vec::new();
    };
    let crowd = bounds::Crowd { completers, down_min };
    let kumar_ross = ToldBound { name: "Kumar, Ross", at_s: bounds::kumar_ross_s(scenario, crowd) };
    let mundinger = bounds::mundinger_s(scenario, completers)
        .map(|at_s| ToldBound { name: "Mundinger, Weber, Weiss", at_s });
    mundinger.into_iter().chain([kumar_ross]).collect()
}

impl ToldRun {
    fn new(measured: &Measured, scenario: &Scenario) -> ToldRun {
        let run = &measured.run;
        let taken = Measure::ALL
            .iter()
            .filter_map(|measure| Some((measure.name(), measured.take(*measure, scenario, None)?)));
        ToldRun {
            seed: run.seed,
            lasted_s: secs(run.lasted),
            trace: format!("{:016x}", run.trace),
            measures: taken.filter(|(_, value)| value.is_finite()).collect(),
            fired: run.fired.clone(),
            lost: run.lost.iter().cloned().collect(),
            peers: run.peers.iter().filter(|peer| honest(scenario, peer)).map(ToldPeer::from).collect(),
            samples: run.samples.iter().map(ToldSample::from).collect(),
            faults: (0..).zip(&scenario.faults).map(|(at, fault)| ToldFault::new(at, fault, run)).collect(),
        }
    }
}

impl ToldFault {
    fn new(at: usize, fault: &Fault, run: &Run) -> ToldFault {
        let back = fault.back_after.filter(|_| fault.kind.is_the_trackers());
        let alone = match back {
            Some(after) => Span(fault.at.0 + after.0),
            None if fault.kind.takes_away() => fault.at,
            None => run.lasted,
        };
        ToldFault {
            name: fault.name.clone(),
            kind: fault.kind.name(),
            at_s: secs(fault.at),
            until_s: secs(fault.until.unwrap_or(alone).min(run.lasted)),
            strikes_s: run.strikes.iter().filter(|(_, by)| *by == at).map(|(when, _)| secs(*when)).collect(),
        }
    }
}

fn honest(scenario: &Scenario, peer: &PeerRecord) -> bool {
    scenario.classes[peer.class].behaviour == Behaviour::Honest
}

impl From<&PeerRecord> for ToldPeer {
    fn from(peer: &PeerRecord) -> ToldPeer {
        ToldPeer {
            class: peer.class,
            asked_s: peer.asked.map(secs),
            completed_s: peer.completed.map(secs),
            uploaded_bytes: peer.bytes_left,
        }
    }
}

impl From<&crate::run::Sample> for ToldSample {
    fn from(sample: &crate::run::Sample) -> ToldSample {
        ToldSample {
            at_s: secs(sample.at),
            fetching: sample.fetching,
            completed: sample.completed,
            sending: to_thousandths(sample.sending),
            queue_mean: to_thousandths(sample.queue_mean),
            queue_max: sample.queue_max,
            copies: sample.copies.iter().map(|copies| (copies * 100.0).round() / 100.0).collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "times far below 2^52 microseconds")]
fn secs(span: Span) -> f64 {
    span.0 as f64 / 1e6
}

/// With as many digits as a picture can show.
fn to_thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "about = \"</script> is no end\"\n[file.f]\npieces = 20\n[class.a]\ncount = 1\nseeds = true\n\
        [class.b]\ncount = 3\n[fault.x]\nkind = \"crash\"\nshare = 0.3\nat = \"100 ms\"\n\
        [band.completed_percent]\nmin = 100\n";

    #[test]
    fn the_page_holds_the_data_and_asks_for_nothing() {
        let scenario = Scenario::parse(SMALL).unwrap().remove(0);
        let trial = Trial::of(&scenario, &[1, 2]);
        let report = Report::new(&[("small".to_owned(), scenario, trial)]);
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        let told = &json["scenarios"][0];
        assert_eq!(told["runs"].as_array().map(Vec::len), Some(2));
        assert_eq!(told["runs"][0]["peers"].as_array().map(Vec::len), Some(4));
        assert!(told["runs"][0]["samples"].as_array().is_some_and(|samples| samples.len() > 10));
        let fault = &told["runs"][0]["faults"][0];
        assert_eq!((&fault["name"], &fault["kind"]), (&"x".into(), &"crash".into()));
        assert_eq!(fault["strikes_s"].as_array().map(Vec::len), Some(1), "one of three dies");
        assert_eq!(told["bands"][0]["holds"], true);
        let page = report.html().unwrap();
        assert_eq!(page.matches("</script>").count(), 1, "data does not end the script");
        assert!(!page.contains(DATA) && page.contains("is no end"));
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside} would ask for something");
        }
    }
}
