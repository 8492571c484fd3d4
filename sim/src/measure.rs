//! Named measures: what a run is worth, in one number each.

use serde::{Deserialize, Deserializer, de};

use crate::bounds::{self, Crowd};
use crate::run::{Failure, PeerRecord, Run, Sample};
use crate::scenario::{End, Scenario};

/// Rounding of times to microseconds may make a run this much better than its bound.
const ROUNDING: f64 = 1e-6;

macro_rules! measures {
    ($($variant:ident $name:literal $about:literal)*) => {
        /// A measure of a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Measure {
            $(#[doc = $about] $variant,)*
        }

        impl Measure {
            /// All measures.
            pub const ALL: &[Measure] = &[$(Measure::$variant,)*];

            /// The name by which a band calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Measure::$variant => $name,)* }
            }

            /// What it is.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Measure::$variant => $about,)* }
            }
        }
    };
}

measures! {
    Makespan "makespan_s" "From the first request to the last completion, in seconds."
    RatioMundinger "ratio_mundinger" "The makespan over the bound of Mundinger, Weber and Weiss (equal uplinks, one seeder)."
    RatioKumarRoss "ratio_kumar_ross" "The makespan over the bound of Kumar and Ross (any uplinks)."
    Slowdown "slowdown_by_faults" "The makespan over that of the same seed without faults."
    Completed "completed_percent" "Honest peers that completed, of those that neither died nor left before."
    P50 "p50_s" "The median of the download times, in seconds."
    P99 "p99_s" "The 99th percentile of the download times, in seconds."
    P999 "p999_s" "The 99.9th percentile of the download times, in seconds."
    P50Ratio "p50_ratio" "The median of the download times, each over what its own downlink would need."
    P99Ratio "p99_ratio" "The 99th percentile of the same."
    P999Ratio "p999_ratio" "The 99.9th percentile of the same."
    P99OverP50 "p99_over_p50" "The 99th percentile of the download times over their median."
    Wasted "wasted_percent" "Bytes that left on uplinks and were not stored, of all that left."
    WastedPerBadNeighbour "wasted_per_bad_neighbour" "Pieces wasted, for each pair of an honest peer and one that breaks the rules that were connected."
    HonestBanned "honest_banned" "Honest peers that others have banned."
    OutcastPieces "outcast_pieces" "Pieces that came to those who were to be removed."
    LastByte "last_byte_s" "How long after their removal the last of those came, in seconds."
    UplinkUtilisation "uplink_utilisation" "Bytes that left over what all uplinks could carry, in the middle half of the run."
    SteadyMean "steady_mean_s" "The mean download time of those who completed after the warm-up, in seconds."
    SteadyRatio "steady_ratio" "The same over the formula of Qiu and Srikant."
    MeanPeers "mean_peers" "Peers that fetch, the mean over the time after the warm-up."
    LittlesLaw "littles_law" "The same over arrival rate times mean download time."
    Growth "growth_per_s" "How fast the number of peers that fetch grows after the warm-up (least squares)."
    GrowthRatio "growth_ratio" "The same over arrival rate less the seed's pieces a second."
    Delivered "pieces_per_wall_s" "Pieces stored a second of the clock on the wall, set-up included."
    Wall "wall_s" "Seconds on the clock on the wall, set-up included."
    Memory "memory_gib" "The most memory that the process held, in GiB."
    TraceRepeats "trace_repeats" "1 if the same seed gives the same trace a second time, or else 0."
}

impl Measure {
    /// The measure of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Measure> {
        Measure::ALL.iter().copied().find(|measure| measure.name() == name)
    }

    /// What to choose from.
    #[must_use]
    pub fn choices() -> String {
        let names: Vec<&str> = Measure::ALL.iter().map(|measure| measure.name()).collect();
        format!("choose one of {}", names.join(", "))
    }

    /// Whether it means anything for a scenario.
    ///
    /// # Errors
    /// Why it does not.
    pub fn suits(self, scenario: &Scenario) -> Result<(), String> {
        let why = match self {
            Measure::RatioMundinger => bounds::may_use_mundinger(scenario).err(),
            Measure::SteadyRatio if bounds::steady_s(scenario).is_none() => {
                Some("it is for one class with per_s that dwells after it has completed")
            }
            Measure::LittlesLaw | Measure::GrowthRatio if bounds::newcomers(scenario).is_none() => {
                Some("it is for one class that comes by chance (per_s)")
            }
            Measure::Growth | Measure::MeanPeers | Measure::SteadyMean
                if !matches!(scenario.end, End::After(_)) =>
            {
                Some("it is for runs of a given duration")
            }
            Measure::Slowdown if scenario.faults.is_empty() => Some("there are no faults to compare without"),
            _ => None,
        };
        why.map_or(Ok(()), |why| Err(format!("{} does not suit this scenario: {why}", self.name())))
    }

    /// Whether it depends on the machine, so that nothing else may run meanwhile.
    #[must_use]
    pub const fn is_of_the_machine(self) -> bool {
        matches!(self, Measure::Delivered | Measure::Wall | Measure::Memory)
    }
}

impl<'de> Deserialize<'de> for Measure {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Measure, D::Error> {
        let name = String::deserialize(from)?;
        Measure::named(&name)
            .ok_or_else(|| de::Error::custom(format_args!("{name:?} is no measure: {}", Measure::choices())))
    }
}

/// A run, with what was needed beside it to take its measures.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The run.
    pub run: Run,
    /// The makespan of the same seed without faults, if a band asks for it.
    pub calm_makespan_s: Option<f64>,
    /// Whether the same seed gave the same trace again, if a band asks for it.
    pub repeats: Option<bool>,
    /// The most memory that the process held, if a band asks for it.
    pub memory_gib: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
impl Measured {
    /// A measure of it, for the peers of one class or for all that fetch; none if there is nothing to measure.
    #[must_use]
    pub fn take(&self, measure: Measure, scenario: &Scenario, class: Option<usize>) -> Option<f64> {
        let run = &self.run;
        let chosen = Chosen { run, scenario, class };
        match measure {
            Measure::Makespan => chosen.makespan_s(),
            Measure::RatioMundinger => {
                Some(chosen.makespan_s()? / bounds::mundinger_s(scenario, chosen.crowd()?.completers)?)
            }
            Measure::RatioKumarRoss => {
                Some(chosen.makespan_s()? / bounds::kumar_ross_s(scenario, chosen.crowd()?))
            }
            Measure::Slowdown => Some(chosen.makespan_s()? / self.calm_makespan_s?),
            Measure::Completed => chosen.completed_percent(),
            Measure::P50 => percentile(chosen.times_s(), 0.5),
            Measure::P99 => percentile(chosen.times_s(), 0.99),
            Measure::P999 => percentile(chosen.times_s(), 0.999),
            Measure::P50Ratio => percentile(chosen.ratios(), 0.5),
            Measure::P99Ratio => percentile(chosen.ratios(), 0.99),
            Measure::P999Ratio => percentile(chosen.ratios(), 0.999),
            Measure::P99OverP50 => {
                Some(percentile(chosen.times_s(), 0.99)? / percentile(chosen.times_s(), 0.5)?)
            }
            Measure::Wasted => {
                Some(100.0 * wasted_bytes(run) / run.bytes_left as f64).filter(|share| share.is_finite())
            }
            Measure::WastedPerBadNeighbour => {
                let pieces = wasted_bytes(run) / f64::from(engine::piece::PIECE_LEN);
                Some(pieces / run.bad_pairs as f64).filter(|share| share.is_finite())
            }
            Measure::HonestBanned => Some(run.honest_banned as f64),
            Measure::OutcastPieces => Some(run.outcast_pieces as f64),
            Measure::LastByte => run.last_byte.map(|late| late.0 as f64 / 1e6),
            Measure::UplinkUtilisation => utilisation(&run.samples),
            Measure::SteadyMean => chosen.steady_mean_s(),
            Measure::SteadyRatio => Some(chosen.steady_mean_s()? / bounds::steady_s(scenario)?),
            Measure::MeanPeers => mean(chosen.steady_peers().map(|(_, peers)| peers)),
            Measure::LittlesLaw => {
                let peers = mean(chosen.steady_peers().map(|(_, peers)| peers))?;
                Some(peers / (chosen.arrivals_per_s()? * chosen.steady_mean_s()?))
            }
            Measure::Growth => slope(&chosen.steady_peers().collect::<Vec<_>>()),
            Measure::GrowthRatio => {
                let growth = slope(&chosen.steady_peers().collect::<Vec<_>>())?;
                Some(growth / bounds::missing_piece_growth_per_s(scenario)?)
            }
            Measure::Delivered => Some(run.pieces_stored as f64 / run.wall_s),
            Measure::Wall => Some(run.wall_s),
            Measure::Memory => self.memory_gib,
            Measure::TraceRepeats => self.repeats.map(|same| f64::from(u8::from(same))),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn wasted_bytes(run: &Run) -> f64 {
    run.bytes_left.saturating_sub(run.bytes_stored) as f64
}

/// The peers that a measure is about.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    run: &'a Run,
    scenario: &'a Scenario,
    class: Option<usize>,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
impl<'a> Chosen<'a> {
    fn peers(self) -> impl Iterator<Item = &'a PeerRecord> {
        let chosen = move |peer: &&PeerRecord| self.class.is_none_or(|class| class == peer.class);
        self.run.peers.iter().filter(|peer| peer.counts).filter(chosen)
    }

    /// When peers completed, in seconds.
    fn ends_s(self) -> impl Iterator<Item = f64> {
        self.peers().filter_map(|peer| peer.completed).map(|at| at.0 as f64 / 1e6)
    }

    fn makespan_s(self) -> Option<f64> {
        self.ends_s().reduce(f64::max)
    }

    fn crowd(self) -> Option<Crowd> {
        let completers = || self.peers().filter(|peer| peer.completed.is_some());
        let down_min = completers().map(|peer| self.scenario.classes[peer.class].access.down).min()?;
        Some(Crowd { completers: u32::try_from(completers().count()).ok()?, down_min })
    }

    fn completed_percent(self) -> Option<f64> {
        let expected = self.peers().filter(|peer| !peer.gave_up).count();
        let completed = self.peers().filter(|peer| peer.completed.is_some()).count();
        (expected > 0).then(|| 100.0 * completed as f64 / expected as f64)
    }

    /// How long each peer took, in seconds.
    fn times_s(self) -> Vec<f64> {
        self.timed().map(|(_, took_s)| took_s).collect()
    }

    fn timed(self) -> impl Iterator<Item = (&'a PeerRecord, f64)> {
        self.peers().filter_map(|peer| {
            let (asked, completed) = peer.asked.zip(peer.completed)?;
            Some((peer, (completed.0 - asked.0) as f64 / 1e6))
        })
    }

    fn ratios(self) -> Vec<f64> {
        let bytes = self.scenario.bytes();
        let alone_s =
            |peer: &PeerRecord| bounds::alone_s(bytes, self.scenario.classes[peer.class].access.down);
        self.timed().map(|(peer, took_s)| took_s / alone_s(peer)).collect()
    }

    /// The end of the warm-up, in seconds.
    fn steady_from_s(self) -> f64 {
        self.run.lasted.0 as f64 / 1e6 * self.scenario.warm_up
    }

    fn steady_mean_s(self) -> Option<f64> {
        let from_s = self.steady_from_s();
        let late = |peer: &PeerRecord| peer.completed.is_some_and(|at| at.0 as f64 / 1e6 >= from_s);
        mean(self.timed().filter(|(peer, _)| late(peer)).map(|(_, took_s)| took_s))
    }

    /// How many peers fetched when, after the warm-up.
    fn steady_peers(self) -> impl Iterator<Item = (f64, f64)> {
        let from_s = self.steady_from_s();
        let points = self.run.samples.iter();
        let points = points.map(|sample| (sample.at.0 as f64 / 1e6, f64::from(sample.fetching)));
        points.filter(move |(at_s, _)| *at_s >= from_s)
    }

    /// Arrivals a second after the warm-up, as they were and not as they were drawn from.
    fn arrivals_per_s(self) -> Option<f64> {
        let (from_s, end_s) = (self.steady_from_s(), self.run.lasted.0 as f64 / 1e6);
        let asked = self.peers().filter_map(|peer| peer.asked).map(|at| at.0 as f64 / 1e6);
        let count = asked.filter(|at_s| *at_s >= from_s).count();
        (end_s > from_s).then(|| count as f64 / (end_s - from_s))
    }
}

/// The smallest value that at least this share of all do not exceed.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
#[expect(clippy::cast_precision_loss, reason = "a place in a list")]
fn percentile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

/// The median, which is a value that was measured.
#[must_use]
pub fn median(values: Vec<f64>) -> Option<f64> {
    percentile(values, 0.5)
}

#[expect(clippy::cast_precision_loss, reason = "few values")]
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u64);
    values.for_each(|value| (sum, count) = (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// The slope of the line through points that is best by least squares.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let x_mean = mean(points.iter().map(|(x, _)| *x))?;
    let y_mean = mean(points.iter().map(|(_, y)| *y))?;
    let (mut over, mut under) = (0.0, 0.0);
    for (x, y) in points {
        over += (x - x_mean) * (y - y_mean);
        under += (x - x_mean) * (x - x_mean);
    }
    (under > 0.0).then(|| over / under)
}

/// Bytes that left over what the uplinks could carry, in the middle half of a run.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn utilisation(samples: &[Sample]) -> Option<f64> {
    let end = samples.last()?.at.0;
    let middle: Vec<&Sample> =
        samples.iter().filter(|sample| (end / 4..=end / 4 * 3).contains(&sample.at.0)).collect();
    let left = middle.last()?.bytes_left - middle.first()?.bytes_left;
    let pairs = middle.windows(2);
    let could: f64 = pairs.map(|pair| pair[0].up as f64 * (pair[1].at.0 - pair[0].at.0) as f64 / 1e6).sum();
    (could > 0.0).then(|| left as f64 / could)
}

/// Nothing beats the bounds: if a run does, the simulator is wrong.
pub(crate) fn check_bounds(scenario: &Scenario, run: &Run) -> Result<(), Failure> {
    let chosen = Chosen { run, scenario, class: None };
    if let Some(best) = chosen.ratios().into_iter().reduce(f64::min).filter(|best| *best < 1.0 - ROUNDING) {
        return Err(too_fast(best, "what a downlink can carry"));
    }
    let (Some(makespan_s), Some(crowd)) = (chosen.makespan_s(), chosen.crowd()) else { return Ok(()) };
    if matches!(scenario.end, End::After(_)) {
        return Ok(());
    }
    let bounds = [
        (Some(bounds::kumar_ross_s(scenario, crowd)), "the bound of Kumar and Ross"),
        (bounds::mundinger_s(scenario, crowd.completers), "the bound of Mundinger, Weber and Weiss"),
    ];
    for (bound_s, name) in bounds {
        let ratio = bound_s.map(|bound_s| makespan_s / bound_s);
        if let Some(ratio) = ratio.filter(|ratio| *ratio < 1.0 - ROUNDING) {
            return Err(too_fast(ratio, name));
        }
    }
    Ok(())
}

fn too_fast(ratio: f64, bound: &str) -> Failure {
    Failure::wrong(format!("the simulator is wrong: a run took {ratio:.6} times {bound}"))
}
