//! Scenarios drawn at random: all knobs, from one seed, and each feature and fault is left out at random, too.
//!
//! First come the faults; then everything heals, and what can complete must, within [`PATIENCE`]. The seed is the report: it draws
//! the same scenario and the same run again.

use engine::limits::NEIGHBOURS_WANTED;
use engine::peer::strategy::Strategy;
use engine::piece::{PIECE_LEN, Size};
use engine::seed::{Purpose, Seed};
use engine::time::Span;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::network::Access;
use crate::scenario::{
    Arrival, Behaviour, Class, Departure, End, Fault, FaultKind, FileSpec, Needs, Scenario, Strength, Whom,
};
use crate::world::Costs;

/// How long after the last fault everything that can complete must have.
const PATIENCE: Span = Span::from_secs(2 * 3_600);

/// The slowest uplink, in bytes a second. Whoever sends does not feel in this network that a downlink is full: what was sent waits there, and
/// what was taken back does, too. On lines on which that takes longer than people wait for an answer, this model is harsher than any network.
const UP_MIN: u64 = 256 << 10;

/// How likely each kind of fault is in one scenario.
const FAULT_CHANCE: f64 = 0.2;

/// The scenario of a seed.
#[must_use]
pub fn draw(seed: u64) -> Scenario {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = Seed(bytes).child(0).stream(Purpose::Peers);
    let mut dice = Dice { rng };
    let storm = dice.time(30, 3_600);
    let files = dice.files();
    let mut classes = dice.classes(storm);
    let mut faults = dice.faults(&classes, storm);
    let (latency, costs) = (dice.latency(), dice.costs());
    dice.intruders(storm, &mut classes, &mut faults);
    Scenario {
        variant: None,
        about: format!("Drawn from the seed {seed}."),
        seeds: vec![seed],
        end: End::Settled(Span(storm.0 + PATIENCE.0)),
        warm_up: 0.0,
        neighbours: NEIGHBOURS_WANTED,
        heavy: false,
        checks: true,
        tracker: Access { up: 1 << 30, down: 1 << 30, latency },
        costs,
        files,
        classes,
        faults,
        bands: Vec::new(),
    }
}

/// What everything is drawn with.
struct Dice {
    rng: ChaCha8Rng,
}

impl Dice {
    fn chance(&mut self, chance: f64) -> bool {
        self.rng.random_bool(chance)
    }

    /// A number such that each order of magnitude is as likely as any other.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between the two")]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn magnitude(&mut self, least: u64, most: u64) -> u64 {
        let (low, high) = ((least as f64).ln(), (most as f64).ln());
        (self.rng.random_range(low..=high).exp().round() as u64).clamp(least, most)
    }

    /// Whole seconds.
    fn time(&mut self, least_s: u64, most_s: u64) -> Span {
        Span::from_secs(self.magnitude(least_s, most_s))
    }

    fn latency(&mut self) -> Span {
        Span(self.magnitude(100, 300_000))
    }

    fn costs(&mut self) -> Costs {
        let usual = Costs::default();
        if self.chance(0.5) {
            return usual;
        }
        let mut cost = |usual: Span| Span(self.magnitude((usual.0 / 10).max(1), usual.0 * 100));
        Costs { key: usual.key, hash: cost(usual.hash), write: cost(usual.write), sync: cost(usual.sync) }
    }

    fn files(&mut self) -> Vec<FileSpec> {
        let count = self.magnitude(1, 4);
        (0..count)
            .filter_map(|number| Some(FileSpec { name: format!("f{number}"), size: self.size()? }))
            .collect()
    }

    fn size(&mut self) -> Option<Size> {
        let piece = u64::from(PIECE_LEN);
        let bytes = match self.rng.random_range(0..10u32) {
            0 => self.rng.random_range(0..3 * piece),
            1 => piece * self.rng.random_range(1..4),
            _ => self.magnitude(2 * piece, 120 * piece),
        };
        Size::new(bytes)
    }

    fn classes(&mut self, storm: Span) -> Vec<Class> {
        let seeders = self.rng.random_range(1..=2);
        let mut classes = vec![self.class("a-seeder", seeders, true, Behaviour::Honest)];
        if self.chance(0.2) {
            classes[0].departure = self.departure(storm);
        }
        for name in ["leecher", "m-other"] {
            let count = self.rng.random_range(1..=5);
            let mut class = self.class(name, count, false, Behaviour::Honest);
            class.arrival = match self.rng.random_range(0..4u32) {
                0 => Arrival::At(self.time(1, 30)),
                1 => Arrival::Over(Span::ZERO, self.time(1, 120)),
                _ => Arrival::At(Span::ZERO),
            };
            if self.chance(0.2) {
                class.departure = self.departure(storm);
            }
            classes.push(class);
        }
        if self.chance(0.4) {
            let behaviour = Behaviour::BAD.choose(&mut self.rng).copied().unwrap_or_default();
            let count = self.rng.random_range(1..=2);
            let seeds = self.chance(0.7);
            classes.push(self.class("z-bad", count, seeds, behaviour));
        }
        classes
    }

    /// Strangers, thieves, and members who will be removed.
    fn intruders(&mut self, storm: Span, classes: &mut Vec<Class>, faults: &mut Vec<Fault>) {
        for behaviour in Behaviour::INTRUDERS {
            if !self.chance(0.15) {
                continue;
            }
            let name = format!("z-{}", behaviour.name());
            classes.push(self.class(&name, 1, false, *behaviour));
            if *behaviour == Behaviour::Outcast {
                let at = Span(self.rng.random_range(0..storm.0));
                let removal = self.fault(FaultKind::Expel, &[], storm);
                let whom = Whom::Class(classes.len() - 1);
                faults.push(Fault { name, whom, share: 1.0, at, until: None, ..removal });
            }
        }
    }

    fn class(&mut self, name: &str, count: u32, seeds: bool, behaviour: Behaviour) -> Class {
        let up = self.magnitude(UP_MIN, 32 << 20);
        let down = up * self.magnitude(2, 10);
        Class {
            name: name.to_owned(),
            count,
            access: Access { up, down, latency: self.latency() },
            strategy: Strategy::ALL.choose(&mut self.rng).copied().unwrap_or_default(),
            seeds,
            behaviour,
            arrival: Arrival::At(Span::ZERO),
            departure: Departure::Stay,
        }
    }

    fn departure(&mut self, storm: Span) -> Departure {
        match self.rng.random_range(0..4u32) {
            0 => Departure::Dwell(self.time(1, 60)),
            1 => Departure::DwellMean(self.time(1, 60)),
            2 => Departure::At(storm),
            _ => Departure::AfterUploads(self.rng.random_range(1..100)),
        }
    }

    fn faults(&mut self, classes: &[Class], storm: Span) -> Vec<Fault> {
        let mut faults = Vec::new();
        for kind in FaultKind::ALL {
            if self.chance(FAULT_CHANCE) {
                faults.push(self.fault(*kind, classes, storm));
            }
        }
        faults.sort_by(|one: &Fault, other| one.name.cmp(&other.name));
        faults
    }

    fn fault(&mut self, kind: FaultKind, classes: &[Class], storm: Span) -> Fault {
        let at = Span(self.rng.random_range(0..storm.0));
        let until = Span(self.rng.random_range(at.0..=storm.0));
        let again = kind.needs() == Needs::PerS || kind.takes_away() && self.chance(0.3);
        let gone = kind.takes_away() && kind != FaultKind::Churn && self.chance(0.15);
        let away = kind.takes_away() || kind.is_the_trackers();
        Fault {
            name: kind.name().to_owned(),
            kind,
            whom: self.whom(kind, classes),
            share: if kind.is_the_trackers() {
                1.0
            } else {
                f64::from(self.rng.random_range(1..=10u32)) / 10.0
            },
            at,
            until: Some(until),
            // Some ten times within its time, so that nothing is only ever away.
            per_s: again.then(|| 10e6 / Span(until.0 - at.0).0.max(20_000_000) as f64),
            back_after: (away && !gone).then(|| self.time(1, 120)),
            strength: Strength {
                chance: f64::from(self.rng.random_range(1..=30u32)) / 100.0,
                amount: Span(self.magnitude(1_000, 60_000_000)),
                factor: if kind == FaultKind::ClockSkew {
                    f64::from(self.rng.random_range(50..=200u32)) / 100.0
                } else {
                    f64::from(self.rng.random_range(2..=8u32))
                },
            },
        }
    }

    fn whom(&mut self, kind: FaultKind, classes: &[Class]) -> Whom {
        if kind.is_the_trackers() || kind.may_hit_tracker() && self.chance(0.2) {
            return Whom::Tracker;
        }
        match self.rng.random_range(0..=classes.len()) {
            // Those who break the rules have faults enough.
            class if class < classes.len() && classes[class].behaviour == Behaviour::Honest => {
                Whom::Class(class)
            }
            _ => Whom::Fetchers,
        }
    }
}
