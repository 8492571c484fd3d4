//! `sim bands`: every scenario of a folder, every band with what was measured.

use std::io::{self, Write as _};
use std::time::Instant;

use sim::scenario::Scenario;
use sim::trial::{Trial, Verdict};

use super::one::limits;
use super::status::Status;
use super::table::figure;
use super::{Bands, Error, load, table};

pub(super) fn bands(which: &Bands) -> Result<Status, Error> {
    let mut rows = Vec::new();
    let mut worst = Verdict::Holds;
    let mut scenarios = load::folder(&which.folder)?;
    let wanted = |title: &String| which.only.as_ref().is_none_or(|part| title.contains(part.as_str()));
    scenarios.retain(|(title, scenario)| wanted(title) && (which.all || !scenario.heavy));
    rows.push(["scenario", "band", "measured", "must", "stretch", "verdict"].map(str::to_owned).to_vec());
    for (title, mut scenario) in scenarios {
        if let Some(seed) = which.seed {
            scenario.seeds = vec![seed];
        }
        let began = Instant::now();
        let trial = Trial::of(&scenario, &scenario.seeds);
        worst = worst.max(trial.verdict(&scenario));
        let fresh = rows.len();
        rows.extend(rows_of(&title, &scenario, &trial));
        let mut err = io::stderr().lock();
        writeln!(err, "{title}: {:.0} s", began.elapsed().as_secs_f64())?;
        table::print(&mut err, &rows[fresh..])?;
    }
    table::print(&mut io::stdout().lock(), &rows)?;
    Ok(worst.into())
}

fn rows_of(title: &str, scenario: &Scenario, trial: &Trial) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for band in &scenario.bands {
        let value = trial.median(scenario, band.measure, band.class);
        let verdict = match value {
            Some(value) if !band.holds(value) => "DOES NOT HOLD",
            Some(value) if band.reaches(value) == Some(true) => "reaches the goal",
            Some(_) => "holds",
            None => "not measured",
        };
        rows.push(vec![
            title.to_owned(),
            band.name.clone(),
            figure(value),
            limits(band),
            figure(band.stretch),
            verdict.to_owned(),
        ]);
    }
    for (seed, failure) in trial.failures() {
        rows.push(vec![title.to_owned(), format!("seed {seed}"), failure.to_string()]);
    }
    rows
}
