//! `sim FILE`: one scenario, or the variants of one.

use std::io::{self, Write};
use std::path::Path;

use sim::measure::Measure;
use sim::report::Report;
use sim::scenario::{Band, Scenario};
use sim::trial::{Trial, Verdict};

use super::status::Status;
use super::table::figure;
use super::{Error, OneScenario, load, table};

/// What is told of every run, besides what its bands ask for.
const USUAL: &[Measure] = &[
    Measure::Makespan,
    Measure::RatioKumarRoss,
    Measure::P50,
    Measure::P99,
    Measure::Wasted,
    Measure::UplinkUtilisation,
    Measure::Delivered,
];

pub(super) fn one(which: &OneScenario) -> Result<Status, Error> {
    let mut worst = Verdict::Holds;
    let mut trials = Vec::new();
    for scenario in load::chosen(&which.scenario, which.variant.as_deref(), which.seed)? {
        let trial = Trial::of(&scenario, &scenario.seeds);
        report(&mut io::stdout().lock(), &which.scenario, &scenario, &trial)?;
        worst = worst.max(trial.verdict(&scenario));
        if which.html.is_some() || which.json.is_some() {
            trials.push((load::title(&which.scenario, &scenario), scenario, trial));
        }
    }
    let pictures = Report::new(&trials);
    if let Some(path) = &which.html {
        write(path, &pictures.html()?)?;
    }
    if let Some(path) = &which.json {
        write(path, &pictures.json()?)?;
    }
    Ok(worst.into())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    Ok(std::fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))?)
}

fn report(out: &mut impl Write, path: &Path, scenario: &Scenario, trial: &Trial) -> io::Result<()> {
    writeln!(out, "{}: {}", load::title(path, scenario), scenario.about)?;
    let mut rows = vec![["measure", "median", "least", "most", "band"].map(str::to_owned).to_vec()];
    for band in &scenario.bands {
        let verdict = if trial.holds(scenario, band) { "holds" } else { "DOES NOT HOLD" };
        rows.push(row(trial, scenario, band, &format!("{}: {verdict}", limits(band))));
    }
    for measure in USUAL {
        if scenario.bands.iter().all(|band| band.measure != *measure || band.class.is_some()) {
            let name = measure.name().to_owned();
            let plain = Band { name, measure: *measure, class: None, min: None, max: None, stretch: None };
            rows.push(row(trial, scenario, &plain, ""));
        }
    }
    table::print(out, &rows)?;
    let fired = trial.fired();
    if !fired.is_empty() {
        let counts: Vec<String> = fired.iter().map(|(name, times)| format!("{name} {times}")).collect();
        writeln!(out, "fired: {}", counts.join(", "))?;
    }
    for (seed, failure) in trial.failures() {
        let variant = scenario.variant.as_ref().map(|name| format!(" --variant {name}")).unwrap_or_default();
        let path = path.display();
        writeln!(out, "seed {seed}: {failure}\n  to see it again: sim {path}{variant} --seed {seed}")?;
    }
    writeln!(out)
}

fn row(trial: &Trial, scenario: &Scenario, band: &Band, verdict: &str) -> Vec<String> {
    let runs = trial.runs.iter().filter_map(|(_, run)| run.as_ref().ok());
    let values: Vec<f64> = runs.filter_map(|run| run.take(band.measure, scenario, band.class)).collect();
    vec![
        band.name.clone(),
        figure(trial.median(scenario, band.measure, band.class)),
        figure(values.iter().copied().reduce(f64::min)),
        figure(values.iter().copied().reduce(f64::max)),
        verdict.to_owned(),
    ]
}

/// A band as people write it.
pub(super) fn limits(band: &Band) -> String {
    match (band.min, band.max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (None, Some(max)) => format!("at most {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, None) => "any".to_owned(),
    }
}
