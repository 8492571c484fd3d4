//! `sim compare FILE`: one scenario with every peer choice, one table.

use std::io::{self, Write as _};

use engine::peer::strategy::Strategy;
use sim::measure::Measure;
use sim::scenario::Scenario;
use sim::trial::{Trial, Verdict};

use super::status::Status;
use super::table::figure;
use super::{Error, OneScenario, load, table};

/// What is compared besides what the bands ask for.
const USUAL: &[Measure] = &[Measure::Makespan, Measure::P50, Measure::P99, Measure::Wasted];

pub(super) fn compare(which: &OneScenario) -> Result<Status, Error> {
    let mut worst = Verdict::Holds;
    for scenario in load::chosen(which)? {
        let mut columns: Vec<(String, Measure, Option<usize>)> =
            scenario.bands.iter().map(|band| (band.name.clone(), band.measure, band.class)).collect();
        let more = USUAL.iter().filter(|measure| columns.iter().all(|column| column.1 != **measure));
        columns.extend(more.map(|measure| (measure.name().to_owned(), *measure, None)).collect::<Vec<_>>());
        let mut rows = vec![vec!["strategy".to_owned()]];
        rows[0].extend(columns.iter().map(|(name, ..)| name.clone()));
        let mut failures = Vec::new();
        for strategy in Strategy::ALL {
            let scenario = with(&scenario, strategy);
            let trial = Trial::of(&scenario, &scenario.seeds);
            let mut row = vec![strategy.to_string()];
            let medians = columns.iter().map(|(_, measure, class)| trial.median(&scenario, *measure, *class));
            row.extend(medians.map(figure));
            rows.push(row);
            failures.extend(
                trial.failures().map(|(seed, failure)| format!("{strategy}, seed {seed}: {failure}")),
            );
            if let failed @ Verdict::Failed(_) = trial.verdict(&scenario) {
                worst = worst.max(failed);
            }
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{}: {}", load::title(&which.scenario, &scenario), scenario.about)?;
        table::print(&mut out, &rows)?;
        failures.iter().try_for_each(|failure| writeln!(out, "{failure}"))?;
        writeln!(out)?;
    }
    Ok(worst.into())
}

/// The scenario, with everybody choosing in this way.
fn with(scenario: &Scenario, strategy: Strategy) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.classes.iter_mut().for_each(|class| class.strategy = strategy);
    scenario
}
