//! From a scenario that fails to a small one that fails in the same way: fewer peers, pieces and faults, less time, and nothing unusual that
//! does not matter.

use engine::piece::Size;
use engine::time::Span;

use crate::run::{Failure, FailureKind, run};
use crate::scenario::{Arrival, Behaviour, Departure, Fault, Scenario, Strength, Whom};
use crate::world::Costs;

/// Seeds that are tried besides that of the failure: a smaller scenario takes another course from the same seed.
const OTHER_SEEDS: u64 = 3;

/// A scenario that fails, with the seed from which it does.
#[derive(Clone, Debug)]
pub struct Failing {
    /// The scenario.
    pub scenario: Scenario,
    /// The seed.
    pub seed: u64,
    /// How it fails.
    pub failure: Failure,
}

/// Makes a scenario that fails as small as it gets; none if it does not fail. `says` hears of each step.
pub fn shrink(scenario: &Scenario, seed: u64, mut says: impl FnMut(&str)) -> Option<Failing> {
    let failure = run(scenario, seed).err()?;
    let mut best = Failing { scenario: scenario.clone(), seed, failure };
    loop {
        let mut all = candidates(&best.scenario).into_iter();
        let found = all.find_map(|(what, smaller)| Some((what, fails_alike(&smaller, &best)?)));
        let Some((what, smaller)) = found else { break };
        says(&format!("{what}: {}", smaller.failure));
        best = smaller;
    }
    best.scenario.seeds = vec![best.seed];
    Some(best)
}

/// Whether a smaller scenario fails in the same way, and from which seed.
fn fails_alike(smaller: &Scenario, than: &Failing) -> Option<Failing> {
    let seeds = std::iter::once(than.seed).chain(1..=OTHER_SEEDS);
    seeds.into_iter().find_map(|seed| {
        let failure = run(smaller, seed).err().filter(|failure| is_alike(failure, &than.failure))?;
        Some(Failing { scenario: smaller.clone(), seed, failure })
    })
}

/// Whether two failures are of one kind, and their reports differ in numbers only; of those that make no progress, each has a report of its own.
fn is_alike(one: &Failure, other: &Failure) -> bool {
    let words = |failure: &Failure| failure.why.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    one.kind == other.kind && (one.kind == FailureKind::NoProgress || words(one) == words(other))
}

/// Scenarios that are a little smaller, those first that take away most.
fn candidates(scenario: &Scenario) -> Vec<(String, Scenario)> {
    let mut all: Vec<(String, Scenario)> = Vec::new();
    let mut offer = |what: String, change: &dyn Fn(&mut Scenario)| {
        let mut smaller = scenario.clone();
        change(&mut smaller);
        if smaller != *scenario {
            all.push((what, smaller));
        }
    };
    if scenario.faults.len() > 1 {
        let half = scenario.faults.len() / 2;
        offer("the second half of the faults goes".into(), &|s| s.faults.truncate(half));
        offer("the first half of the faults goes".into(), &|s| drop(s.faults.drain(..half)));
    }
    for (at, fault) in scenario.faults.iter().enumerate() {
        offer(format!("{} goes", fault.name), &|s| drop(s.faults.remove(at)));
    }
    for (at, class) in scenario.classes.iter().enumerate() {
        let needed = class.seeds && class.behaviour == Behaviour::Honest;
        if !needed && scenario.classes.len() > 1 {
            offer(format!("{} goes", class.name), &|s| without_class(s, at));
        }
        offer(format!("half of {}", class.name), &|s| s.classes[at].count = (class.count / 2).max(1));
        offer(format!("one fewer of {}", class.name), &|s| s.classes[at].count = (class.count - 1).max(1));
        offer(format!("{} is usual", class.name), &|s| {
            s.classes[at].departure = Departure::Stay;
            s.classes[at].arrival = Arrival::At(Span::ZERO);
        });
        offer(format!("{} keeps to the rules", class.name), &|s| s.classes[at].behaviour = Behaviour::Honest);
    }
    for (at, file) in scenario.files.iter().enumerate() {
        if scenario.files.len() > 1 {
            offer(format!("{} goes", file.name), &|s| drop(s.files.remove(at)));
        }
        let half = Size::new(file.size.bytes() / 2).unwrap_or(file.size);
        offer(format!("half of {}", file.name), &|s| s.files[at].size = half);
    }
    for (at, fault) in scenario.faults.iter().enumerate() {
        offer(format!("{} is milder", fault.name), &|s| s.faults[at] = milder(fault));
        offer(format!("{} is shorter", fault.name), &|s| {
            s.faults[at].until = fault.until.map(|end| middle(fault.at, end));
        });
        offer(format!("{} is earlier", fault.name), &|s| s.faults[at].at = Span(fault.at.0 / 2));
    }
    offer("work takes as long as usual".into(), &|s| s.costs = Costs::default());
    all
}

/// A class goes, and with it the faults that hit it alone.
fn without_class(scenario: &mut Scenario, gone: usize) {
    scenario.classes.remove(gone);
    scenario.faults.retain(|fault| fault.whom != Whom::Class(gone));
    for fault in &mut scenario.faults {
        if let Whom::Class(class) = &mut fault.whom {
            *class -= usize::from(*class > gone);
        }
    }
}

fn milder(fault: &Fault) -> Fault {
    let Strength { chance, amount, factor } = fault.strength;
    let strength = Strength { chance, amount: Span(amount.0 / 2), factor: (factor / 2.0).max(0.5) };
    Fault { strength, ..fault.clone() }
}

fn middle(from: Span, to: Span) -> Span {
    Span(from.0 + (to.0 - from.0) / 2)
}
