//! What is wrong with the world at present, and how often each fault has fired.
//!
//! The world asks at the places where something can go wrong; here it is decided, by a random stream of its own, and counted. What an honest
//! peer cannot help is forgiven: it may be late behind a bad network, and it may send what its own disk spoilt.

use std::collections::{BTreeMap, BTreeSet};

use engine::seed::{Purpose, Seed};
use engine::time::{Span, Time};
use engine::violation::Violation;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::network::NodeId;
use crate::scenario::{FaultKind, Strength};
use crate::world::TRACKER;

/// The child of the world's seed that faults draw from.
const FAULTS: u64 = u64::MAX - 1;

/// After trouble with its tracker a client knows everything again by then: it looks for a tracker, logs in, and asks about its neighbours.
const NEWS: Span = Span::from_secs(15);

/// What is wrong.
#[derive(Debug)]
pub(crate) struct Faults {
    rng: ChaCha8Rng,
    active: BTreeMap<(NodeId, FaultKind), Strength>,
    /// Nodes that the rest of the world cannot reach, or that it cannot be reached from, and until when.
    cuts: Vec<Cut>,
    /// Nodes that no partition keeps from anybody.
    spared: BTreeSet<NodeId>,
    /// How often each has fired, by name.
    pub(crate) fired: BTreeMap<&'static str, u64>,
    /// The latest time for which something was sent to each node, and on which connection.
    latest: BTreeMap<NodeId, Time>,
    /// Whether the network was ever late or broken.
    network: bool,
    /// When the last word of the tracker came late to a node, or its connection broke.
    late_words: BTreeMap<NodeId, Time>,
    /// Nodes whose workers err: they may think ill of anybody.
    pub(crate) befuddled: BTreeSet<NodeId>,
}

/// A partition.
#[derive(Clone, Debug)]
struct Cut {
    nodes: Vec<NodeId>,
    one_way: bool,
    until: Time,
}

impl Faults {
    pub(crate) fn new(seed: &Seed) -> Faults {
        Faults {
            rng: seed.child(FAULTS).stream(Purpose::Peers),
            active: BTreeMap::new(),
            cuts: Vec::new(),
            spared: BTreeSet::new(),
            fired: BTreeMap::new(),
            latest: BTreeMap::new(),
            network: false,
            late_words: BTreeMap::new(),
            befuddled: BTreeSet::new(),
        }
    }

    /// From now on this is wrong with a node.
    pub(crate) fn begin(&mut self, node: NodeId, kind: FaultKind, strength: Strength) {
        self.active.insert((node, kind), strength);
    }

    /// It is no longer.
    pub(crate) fn end(&mut self, node: NodeId, kind: FaultKind) {
        self.active.remove(&(node, kind));
    }

    /// Cuts nodes off from all others for a while: messages wait, as they do where packets are sent again and again.
    pub(crate) fn cut(&mut self, nodes: Vec<NodeId>, one_way: bool, until: Time) {
        self.cuts.push(Cut { nodes, one_way, until });
    }

    /// No partition keeps this node from anybody.
    pub(crate) fn spare(&mut self, node: NodeId) {
        self.spared.insert(node);
    }

    /// Counts something that fired.
    pub(crate) fn fire(&mut self, name: &'static str) {
        *self.fired.entry(name).or_default() += 1;
    }

    /// Whether a fault strikes at a node on this occasion, and how badly.
    pub(crate) fn strikes(&mut self, node: NodeId, kind: FaultKind) -> Option<Strength> {
        if self.active.is_empty() {
            return None;
        }
        let strength = self.active.get(&(node, kind)).copied()?;
        if strength.chance < 1.0 && !self.rng.random_bool(strength.chance) {
            return None;
        }
        self.fire(kind.name());
        Some(strength)
    }

    /// Until when nothing gets from one node to another, if it does not get there now.
    pub(crate) fn cut_off(&mut self, from: NodeId, to: NodeId, now: Time) -> Option<Time> {
        if self.cuts.is_empty() || self.spared.contains(&from) || self.spared.contains(&to) {
            return None;
        }
        self.cuts.retain(|cut| cut.until > now);
        let inside = |cut: &Cut, node| cut.nodes.contains(&node);
        let parts = |cut: &&Cut| {
            inside(cut, from) && !inside(cut, to) || !cut.one_way && !inside(cut, from) && inside(cut, to)
        };
        let cut = self.cuts.iter().filter(parts).max_by_key(|cut| cut.until)?;
        let (until, one_way) = (cut.until, cut.one_way);
        self.network = true;
        let kind = if one_way { FaultKind::OneWayPartition } else { FaultKind::Partition };
        self.fire(kind.name());
        Some(until)
    }

    /// When something that is sent now, and would arrive then, does arrive.
    pub(crate) fn arrival(&mut self, (from, to): (NodeId, NodeId), now: Time, at: Time) -> Time {
        if self.active.is_empty() && self.cuts.is_empty() {
            return at;
        }
        let mut late = self.cut_off(from, to, now).map_or(at, |until| at.max(until));
        for kind in [FaultKind::Delay, FaultKind::Jitter, FaultKind::Reorder] {
            for node in [from, to] {
                if let Some(strength) = self.strikes(node, kind) {
                    let most = strength.amount.0;
                    let more = if kind == FaultKind::Jitter { self.rng.random_range(0..=most) } else { most };
                    late += Span(more);
                    self.network = true;
                }
            }
        }
        if from == TRACKER && late > at {
            self.late_word(to, late);
        }
        let latest = self.latest.entry(to).or_default();
        let overtaken = late < *latest;
        *latest = (*latest).max(late);
        if overtaken {
            self.fire("overtaken");
        }
        late
    }

    /// A connection between two nodes broke by a fault.
    pub(crate) fn broke(&mut self, ends: [NodeId; 2], now: Time) {
        self.network = true;
        self.fire(FaultKind::Reset.name());
        ends.into_iter().for_each(|node| self.late_word(node, now));
    }

    /// What the tracker says to a node may come only by then.
    pub(crate) fn late_word(&mut self, node: NodeId, by: Time) {
        let late = self.late_words.entry(node).or_default();
        *late = (*late).max(by);
    }

    /// Whether a node may not know yet what the tracker has said.
    pub(crate) fn may_not_know(&self, node: NodeId, now: Time) -> bool {
        self.late_words.get(&node).is_some_and(|by| now.since(*by) <= NEWS)
    }

    /// Whether somebody honest can be late with what this violation is about.
    pub(crate) fn excuse(&self, violation: Violation) -> bool {
        self.network && crate::checks::is_of_time(violation)
    }

    /// A random number below `below`.
    pub(crate) fn draw(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below.max(1))
    }

    /// Whether a coin falls so.
    pub(crate) fn toss(&mut self) -> bool {
        self.rng.random()
    }

    /// Whether a piece is among the spoilt ones of a node: the same ones each time.
    pub(crate) fn has_spoilt(&mut self, node: NodeId, piece: u32) -> bool {
        let Some(strength) = self.active.get(&(node, FaultKind::CorruptDisk)) else { return false };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(node.0 as u64).to_le_bytes());
        hasher.update(&piece.to_le_bytes());
        let spoilt = f64::from(hasher.finalize().as_bytes()[0]) < strength.chance * 256.0;
        if spoilt {
            self.fire(FaultKind::CorruptDisk.name());
        }
        spoilt
    }
}

/// A node's clock, which may run at its own rate and jump ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// A moment of the world's time, and what this clock said then.
    world: Time,
    own: Time,
    /// Microseconds of its own in a second of the world's.
    rate: u64,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { world: Time(0), own: Time(0), rate: SECOND }
    }
}

const SECOND: u64 = 1_000_000;

impl Clock {
    /// What it says at a moment of the world's time.
    pub(crate) fn own(&self, world: Time) -> Time {
        let passed = world.since(self.world).0;
        let passed = if self.rate == SECOND { passed } else { scale(passed, self.rate, SECOND) };
        Time(self.own.0.saturating_add(passed))
    }

    /// The first moment of the world's time at which it says so.
    pub(crate) fn world(&self, own: Time) -> Time {
        let ahead = own.since(self.own).0;
        let ahead = if self.rate == SECOND { ahead } else { scale_up(ahead, SECOND, self.rate) };
        Time(self.world.0.saturating_add(ahead))
    }

    /// From now on it runs this many times as fast as the world's.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "factors are between 0.1 and 10"
    )]
    #[expect(clippy::cast_precision_loss, reason = "a million")]
    pub(crate) fn run_at(&mut self, now: Time, factor: f64) {
        self.jump(now, Span::ZERO);
        self.rate = (SECOND as f64 * factor.clamp(0.1, 10.0)) as u64;
    }

    /// It jumps ahead.
    pub(crate) fn jump(&mut self, now: Time, ahead: Span) {
        *self = Clock { world: now, own: self.own(now) + ahead, rate: self.rate };
    }
}

fn scale(value: u64, by: u64, over: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(by) / u128::from(over)).unwrap_or(u64::MAX)
}

fn scale_up(value: u64, by: u64, over: u64) -> u64 {
    u64::try_from((u128::from(value) * u128::from(by)).div_ceil(u128::from(over))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_says_what_it_is_waited_for_and_never_runs_back() {
        let mut clock = Clock::default();
        let mut before = Time(0);
        for (at, factor, ahead) in [(10, 0.7, 0), (1_003, 1.3, 999), (77_777, 0.1, 5), (200_001, 9.9, 0)] {
            let now = Time(at);
            assert!(clock.own(now) >= before, "time does not run back");
            clock.run_at(now, factor);
            clock.jump(now, Span(ahead));
            before = clock.own(now);
            for wait in [0, 1, 2, 3, 17, 1_000_003] {
                let due = before + Span(wait);
                let at = clock.world(due);
                assert!(clock.own(at) >= due, "woken when it is time");
                assert!(wait == 0 || clock.own(Time(at.0 - 1)) < due, "and not later");
            }
        }
    }
}
