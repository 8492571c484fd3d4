//! From what a file says to a scenario: defaults filled in, and what contradicts itself refused.

use std::ops::Range;

use engine::limits::NEIGHBOURS_WANTED;
use engine::name::{FileName, UserName};
use engine::piece::{PIECE_LEN, Size};
use engine::time::Span;
use toml::Spanned;

use super::text::{self, Text};
use super::units::{Length, Rate, TIME_MAX};
use super::{
    Arrival, BadScenario, Band, Class, Departure, End, Fault, FaultKind, FileSpec, Needs, PEERS_MAX,
    Scenario, Strength, Whom, check_shown,
};
use crate::bounds::rough;
use crate::measure::Measure;
use crate::network::Access;
use crate::world::Costs;

/// The part of a run that measures of a steady state leave out, unless the file says otherwise.
const WARM_UP: f64 = 0.4;

/// A run that takes this many times its bound makes no progress, unless the file says otherwise.
const PATIENCE: u64 = 20;

/// What is said where something would happen never, backwards, or without a pause.
const PER_S: &str = "per_s is out of range: choose more than 0 and at most 1000000";

/// Makes a scenario of what a file says.
pub(super) fn resolve(source: &str, variant: Option<String>, said: Text) -> Result<Scenario, BadScenario> {
    let check = Check { source };
    check_shown(source, said.about.span(), said.about.get_ref())?;
    let files = check.files(&said.file)?;
    let classes = check.classes(&said)?;
    let faults = check.faults(&said, &classes)?;
    let bands = check.bands(&said, &classes)?;
    let mut scenario = Scenario {
        variant,
        about: said.about.into_inner(),
        seeds: said.seeds,
        end: End::Settled(Span::ZERO),
        warm_up: said.warm_up.map_or(WARM_UP, |share| share.0),
        neighbours: said.neighbours.map_or(NEIGHBOURS_WANTED, |many| many.get().into()),
        heavy: said.heavy,
        checks: said.checks,
        tracker: tracker(said.tracker),
        costs: costs(said.costs),
        files,
        classes,
        faults,
        bands,
    };
    scenario.end = match (said.duration, said.time_max) {
        (Some(Length(span)), _) => End::After(span),
        (None, Some(Length(span))) => End::Settled(span),
        (None, None) => End::Settled(Span(rough(&scenario).0.saturating_mul(PATIENCE)).min(TIME_MAX)),
    };
    check.whole(&scenario, &said.class, &said.file)?;
    for band in &scenario.bands {
        let span = said.band[&band.name].span();
        band.measure.suits(&scenario).map_err(|why| check.at(span, &why))?;
    }
    Ok(scenario)
}

fn tracker(line: text::Line) -> Access {
    let usual = Access { up: 1 << 30, down: 1 << 30, ..Access::default() };
    laid_over(line, usual)
}

fn laid_over(line: text::Line, under: Access) -> Access {
    Access {
        up: line.up.map_or(under.up, |Rate(rate)| rate),
        down: line.down.map_or(under.down, |Rate(rate)| rate),
        latency: line.latency.map_or(under.latency, |Length(span)| span),
    }
}

fn costs(said: text::Costs) -> Costs {
    let usual = Costs::default();
    let or = |said: Option<Length>, usual| said.map_or(usual, |Length(span)| span);
    Costs {
        key: or(said.key, usual.key),
        hash: or(said.hash, usual.hash),
        write: or(said.write, usual.write),
        sync: or(said.sync, usual.sync),
    }
}

/// Looks over values, and says where those stand that are wrong.
struct Check<'a> {
    source: &'a str,
}

impl Check<'_> {
    fn at(&self, span: Range<usize>, why: &str) -> BadScenario {
        BadScenario::at(self.source, span, why)
    }

    fn whole<K, F>(
        &self,
        scenario: &Scenario,
        class: &Spanned<K>,
        file: &Spanned<F>,
    ) -> Result<(), BadScenario> {
        if scenario.files.is_empty() {
            return Err(self.at(file.span(), "there is no file: add one, [file.NAME]"));
        }
        if scenario.seeds.is_empty() {
            return Err(self.at(0..0, "seeds is empty: name one at least"));
        }
        let seeder = |class: &Class| class.seeds && matches!(class.arrival, Arrival::At(Span::ZERO));
        if !scenario.classes.iter().any(seeder) {
            return Err(
                self.at(class.span(), "nobody holds the files at the beginning: give one class seeds = true")
            );
        }
        let intrudes = |class: &Class| class.behaviour.intrudes();
        if scenario.classes.first().is_some_and(intrudes) {
            let why = "the first class owns the group, and cannot intrude: give it a later name";
            return Err(self.at(class.span(), why));
        }
        let simple = |class: &Class| {
            matches!(class.arrival, Arrival::At(_)) && class.departure == Departure::Stay && !class.seeds
        };
        if scenario.classes.iter().any(|class| intrudes(class) && !simple(class)) {
            let why = "strangers, thieves and outcasts come at a time and stay, without files: leave out all but count and at";
            return Err(self.at(class.span(), why));
        }
        let endless = |class: &Class| matches!(class.arrival, Arrival::Poisson(_));
        if scenario.classes.iter().any(endless) && !matches!(scenario.end, End::After(_)) {
            return Err(self.at(class.span(), "peers that come by chance never stop coming: say duration"));
        }
        let total: u64 = scenario.classes.iter().map(|class| u64::from(class.count)).sum();
        if total > u64::from(PEERS_MAX) {
            let why = format!("{total} peers are too many: choose counts with a sum of {PEERS_MAX} at most");
            return Err(self.at(class.span(), &why));
        }
        Ok(())
    }

    fn files(
        &self,
        said: &Spanned<std::collections::BTreeMap<String, Spanned<text::File>>>,
    ) -> Result<Vec<FileSpec>, BadScenario> {
        let mut files = Vec::new();
        for (name, file) in said.get_ref() {
            FileName::new(name)
                .map_err(|_| self.at(file.span(), &format!("{name:?} is no name for a file")))?;
            let bytes = match (&file.get_ref().pieces, file.get_ref().size) {
                (Some(pieces), None) => u64::from(*pieces.get_ref()) * u64::from(PIECE_LEN),
                (None, Some(size)) => size.0,
                _ => return Err(self.at(file.span(), "say how long the file is: either pieces or size")),
            };
            let why = "the file is too long: choose at most 2097152 pieces, 1 TiB";
            let size = Size::new(bytes).ok_or_else(|| self.at(file.span(), why))?;
            files.push(FileSpec { name: name.clone(), size });
        }
        Ok(files)
    }

    fn classes(&self, said: &Text) -> Result<Vec<Class>, BadScenario> {
        let usual = laid_over(said.line, Access::default());
        let classes = said.class.get_ref().iter().map(|(name, class)| {
            let span = class.span();
            let class = class.get_ref();
            UserName::new(name)
                .map_err(|_| self.at(span.clone(), &format!("{name:?} is no name for a class")))?;
            let arrival = self.arrival(class, &span)?;
            Ok(Class {
                name: name.clone(),
                count: self.count(class, arrival, &span)?,
                access: laid_over(
                    text::Line { up: class.up, down: class.down, latency: class.latency },
                    usual,
                ),
                strategy: class.strategy.unwrap_or(said.strategy).0,
                seeds: class.seeds,
                behaviour: class.behaviour,
                arrival,
                departure: self.departure(class, &span)?,
            })
        });
        classes.collect()
    }

    fn count(&self, class: &text::Class, arrival: Arrival, span: &Range<usize>) -> Result<u32, BadScenario> {
        match &class.count {
            Some(count) if (1..=PEERS_MAX).contains(count.get_ref()) => Ok(*count.get_ref()),
            Some(count) => {
                let why = format!("{} is out of range: choose 1 to {PEERS_MAX}", count.get_ref());
                Err(self.at(count.span(), &why))
            }
            None if matches!(arrival, Arrival::Poisson(_)) => Ok(PEERS_MAX / 2),
            None => Err(self.at(span.clone(), "say how many peers there are: count")),
        }
    }

    fn arrival(&self, class: &text::Class, span: &Range<usize>) -> Result<Arrival, BadScenario> {
        let at = class.at.map_or(Span::ZERO, |Length(at)| at);
        match (&class.per_s, class.over) {
            (Some(rate), None) if class.at.is_none() => {
                let per_s = *rate.get_ref();
                if is_rate(per_s) { Ok(Arrival::Poisson(per_s)) } else { Err(self.at(rate.span(), PER_S)) }
            }
            (Some(_), _) => Err(self.at(span.clone(), "per_s goes with neither at nor over: choose one")),
            (None, Some(Length(over))) => Ok(Arrival::Over(at, over)),
            (None, None) => Ok(Arrival::At(at)),
        }
    }

    fn departure(&self, class: &text::Class, span: &Range<usize>) -> Result<Departure, BadScenario> {
        let chosen = [
            class.dwell.map(|Length(span)| Departure::Dwell(span)),
            class.dwell_mean.map(|Length(span)| Departure::DwellMean(span)),
            class.leave_at.map(|Length(span)| Departure::At(span)),
            class.leave_after_uploads.map(Departure::AfterUploads),
        ];
        let mut chosen = chosen.into_iter().flatten();
        let first = chosen.next().unwrap_or(Departure::Stay);
        if chosen.next().is_some() {
            let why = "choose one of dwell, dwell_mean, leave_at and leave_after_uploads";
            return Err(self.at(span.clone(), why));
        }
        Ok(first)
    }

    fn class_named(
        &self,
        name: Option<&String>,
        classes: &[Class],
        span: Range<usize>,
    ) -> Result<Option<usize>, BadScenario> {
        let Some(name) = name else { return Ok(None) };
        let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
        let at = names.iter().position(|other| other == name);
        let why = || format!("there is no class {name:?}: choose one of {}", names.join(", "));
        at.map(Some).ok_or_else(|| self.at(span, &why()))
    }

    fn faults(&self, said: &Text, classes: &[Class]) -> Result<Vec<Fault>, BadScenario> {
        let faults = said.fault.iter().map(|(name, fault)| {
            let span = fault.span();
            let fault = self.fault(name, fault.get_ref(), classes, &span)?;
            fault_is_whole(&fault).map_err(|why| self.at(span, &why))?;
            Ok(fault)
        });
        faults.collect()
    }

    fn fault(
        &self,
        name: &str,
        said: &text::Fault,
        classes: &[Class],
        span: &Range<usize>,
    ) -> Result<Fault, BadScenario> {
        let kind = said.kind;
        if kind.is_the_trackers() && (said.class.is_some() || said.share.is_some()) {
            return Err(self
                .at(span.clone(), "there is one tracker, and it is in no class: leave out class and share"));
        }
        let or_zero = |said: Option<Length>| said.map_or(Span::ZERO, |Length(span)| span);
        let whom = match said.class.as_deref() {
            _ if kind.is_the_trackers() => Whom::Tracker,
            Some("tracker") if kind.may_hit_tracker() => Whom::Tracker,
            _ => self
                .class_named(said.class.as_ref(), classes, span.clone())?
                .map_or(Whom::Fetchers, Whom::Class),
        };
        check_shown(self.source, span.clone(), name)?;
        if said.per_s.is_some_and(|per_s| !is_rate(per_s)) {
            return Err(self.at(span.clone(), PER_S));
        }
        if said.factor.is_some_and(|factor| !(0.001..=1e6).contains(&factor)) {
            return Err(self.at(span.clone(), "factor is out of range: choose 0.001 to 1000000"));
        }
        let needed = match kind.needs() {
            Needs::Nothing => Vec::new(),
            Needs::Chance => vec![("chance", said.chance.is_some())],
            Needs::Amount => vec![("amount", said.amount.is_some())],
            Needs::ChanceAndAmount => {
                vec![("chance", said.chance.is_some()), ("amount", said.amount.is_some())]
            }
            Needs::Factor => vec![("factor", said.factor.is_some())],
            Needs::PerS => vec![("per_s", said.per_s.is_some())],
        };
        if let Some((key, _)) = needed.into_iter().find(|(_, there)| !there) {
            let why = format!("a fault of kind {:?} needs {key}; see scenarios/README.md", kind.name());
            return Err(self.at(span.clone(), &why));
        }
        Ok(Fault {
            name: name.to_owned(),
            kind,
            whom,
            share: said.share.map_or(1.0, |share| share.0),
            at: or_zero(said.at),
            until: said.until.map(|Length(until)| until),
            per_s: said.per_s,
            back_after: said.back_after.map(|Length(span)| span),
            strength: Strength {
                chance: said.chance.map_or(1.0, |share| share.0),
                amount: or_zero(said.amount),
                factor: said.factor.unwrap_or(1.0),
            },
        })
    }

    fn bands(&self, said: &Text, classes: &[Class]) -> Result<Vec<Band>, BadScenario> {
        let bands = said.band.iter().map(|(name, band)| {
            let (span, band) = (band.span(), band.get_ref());
            let measure = match &band.measure {
                Some(measure) => *measure.get_ref(),
                None => Measure::named(name).ok_or_else(|| {
                    let why = format!("{name:?} is no measure: {}", Measure::choices());
                    self.at(span.clone(), &why)
                })?,
            };
            check_shown(self.source, span.clone(), name)?;
            if band.min.is_none() && band.max.is_none() {
                return Err(self.at(span, "the band is open at both ends: give it a min or a max"));
            }
            if [band.min, band.max, band.stretch].into_iter().flatten().any(|bound| !bound.is_finite()) {
                return Err(self.at(span, "a bound is a number: leave out what is not bounded"));
            }
            if band.min.zip(band.max).is_some_and(|(min, max)| min > max) {
                return Err(self.at(span, "nothing lies in the band: let min be at most max"));
            }
            let class = self.class_named(band.class.as_ref(), classes, span)?;
            let (min, max, stretch) = (band.min, band.max, band.stretch);
            Ok(Band { name: name.clone(), measure, class, min, max, stretch })
        });
        bands.collect()
    }
}

/// Whether something may happen so often.
fn is_rate(per_s: f64) -> bool {
    per_s > 0.0 && per_s <= 1e6
}

/// Whether the times of a fault make sense together; if not, what to do.
fn fault_is_whole(fault: &Fault) -> Result<(), String> {
    if fault.until.is_some_and(|until| until < fault.at) {
        return Err("it ends before it begins: let until be at or after at".into());
    }
    if fault.per_s.is_some() && fault.until.is_none() {
        return Err("it would strike for ever: say until".into());
    }
    if fault.per_s.is_some() && !fault.kind.takes_away() && fault.kind != FaultKind::Reset {
        return Err("only crashes, churn and reset strike again and again: leave out per_s".into());
    }
    let cuts = matches!(fault.kind, FaultKind::Partition | FaultKind::OneWayPartition);
    if cuts && fault.until.is_none() {
        return Err("a partition must heal: say until".into());
    }
    Ok(())
}
