//! `sim compare`: one scenario, or all of a folder, with every peer choice, one table.

use std::io::{self, Write as _};

use engine::peer::strategy::Strategy;
use sim::measure::Measure;
use sim::scenario::{Band, Scenario};
use sim::trial::{Trial, Verdict};

use super::status::Status;
use super::table::figure;
use super::{Compare, Error, load, table};

/// What is told of one scenario besides what its bands ask for.
const USUAL: &[Measure] = &[Measure::Makespan, Measure::P50, Measure::P99, Measure::Wasted];

pub(super) fn compare(which: &Compare) -> Result<Status, Error> {
    let worst = if which.scenarios.is_dir() { all(which)? } else { one(which)? };
    Ok(worst.into())
}

/// A row for each peer choice, a column for each measure.
fn one(which: &Compare) -> Result<Verdict, Error> {
    let mut worst = Verdict::Holds;
    for scenario in load::chosen(&which.scenarios, which.variant.as_deref(), which.seed)? {
        let usual =
            USUAL.iter().filter(|measure| scenario.bands.iter().all(|band| band.measure != **measure));
        let columns: Vec<(&str, Measure, Option<usize>)> = scenario
            .bands
            .iter()
            .map(|band| (band.name.as_str(), band.measure, band.class))
            .chain(usual.map(|measure| (measure.name(), *measure, None)))
            .collect();
        let trials = Trials::of(&scenario);
        let head = ["strategy"].into_iter().chain(columns.iter().map(|(name, ..)| *name));
        let mut rows = vec![head.map(str::to_owned).collect()];
        for (strategy, scenario, trial) in &trials.0 {
            let mut row = vec![strategy.to_string()];
            let medians = columns.iter().map(|(_, measure, class)| trial.median(scenario, *measure, *class));
            row.extend(medians.map(figure));
            rows.push(row);
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{}: {}", load::title(&which.scenarios, &scenario), scenario.about)?;
        table::print(&mut out, &rows)?;
        trials.failures().try_for_each(|failure| writeln!(out, "{failure}"))?;
        writeln!(out)?;
        worst = worst.max(trials.worst());
    }
    Ok(worst)
}

/// A row for each band that has a goal, a column for each peer choice.
fn all(which: &Compare) -> Result<Verdict, Error> {
    if which.variant.is_some() {
        return Err("a variant is one of a file: name the file, not its folder".into());
    }
    let mut worst = Verdict::Holds;
    let head = ["scenario", "measure"].map(str::to_owned).into_iter();
    let mut rows: Vec<Vec<String>> =
        vec![head.chain(Strategy::ALL.iter().map(Strategy::to_string)).collect()];
    let mut failures = Vec::new();
    for (title, mut scenario) in load::folder(&which.scenarios)? {
        let goals: Vec<Band> = scenario.bands.iter().filter(|band| band.stretch.is_some()).cloned().collect();
        if goals.is_empty() || scenario.heavy && !which.all {
            continue;
        }
        if let Some(seed) = which.seed {
            scenario.seeds = vec![seed];
        }
        let trials = Trials::of(&scenario);
        let fresh = rows.len();
        for band in goals {
            let mut row = vec![title.clone(), band.name];
            let medians = trials
                .0
                .iter()
                .map(|(_, scenario, trial)| figure(trial.median(scenario, band.measure, band.class)));
            row.extend(medians);
            rows.push(row);
        }
        table::print(&mut io::stderr().lock(), &rows[fresh..])?;
        failures.extend(trials.failures().map(|failure| format!("{title}, {failure}")));
        worst = worst.max(trials.worst());
    }
    let mut out = io::stdout().lock();
    table::print(&mut out, &rows)?;
    failures.iter().try_for_each(|failure| writeln!(out, "{failure}"))?;
    Ok(worst)
}

/// A scenario with every peer choice.
struct Trials(Vec<(Strategy, Scenario, Trial)>);

impl Trials {
    fn of(scenario: &Scenario) -> Trials {
        let trials = Strategy::ALL.iter().map(|strategy| {
            let mut scenario = scenario.clone();
            scenario.classes.iter_mut().for_each(|class| class.strategy = *strategy);
            let trial = Trial::of(&scenario, &scenario.seeds);
            (*strategy, scenario, trial)
        });
        Trials(trials.collect())
    }

    fn failures(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(strategy, _, trial)| {
            trial.failures().map(move |(seed, failure)| format!("{strategy}, seed {seed}: {failure}"))
        })
    }

    /// Whether a run failed. A band that does not hold is no failure: most choices are there to be compared with.
    fn worst(&self) -> Verdict {
        let verdicts = self.0.iter().map(|(_, scenario, trial)| trial.verdict(scenario));
        let failed = verdicts.filter(|verdict| matches!(verdict, Verdict::Failed(_)));
        failed.max().unwrap_or(Verdict::Holds)
    }
}
