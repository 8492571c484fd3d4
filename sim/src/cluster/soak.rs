//! One seed: a cluster under faults, then mended; and what must be true of it.

use engine::time::{Span, Time};

use super::World;
use super::client::Begins;
use super::history::{Call, is_linearizable};

/// How long things break.
const UNSAFE: Span = Span::from_secs(40);

/// How soon a mended cluster serves every client: a silent link is noticed in 5 s, a dial to a stopped tracker fails in 5, a leader is found
/// in 3, and a client tries another tracker after 15.
const SERVES_AGAIN: Span = Span::from_secs(40);

/// How soon all trackers hold the same registry after that.
const CATCHES_UP: Span = Span::from_secs(20);

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Changes that were acknowledged, and questions that were answered.
    pub calls: usize,
    /// Of those, unknown outcomes.
    pub unknown: usize,
    /// How long the mended cluster took to serve everybody.
    pub served_after: Span,
    /// How often each fault struck.
    pub struck: Vec<(&'static str, u32)>,
}

/// Runs `trackers` trackers and four clients from this seed.
///
/// # Panics
/// If anything is not as it must be; the message names the seed.
#[must_use]
pub fn run(seed: u64, trackers: usize) -> Report {
    let mut world = World::new(seed, trackers);
    // Some seeds break things while the cluster is formed, most afterwards.
    if !(seed / 4).is_multiple_of(4) {
        world.until("a leader is there", Span::from_secs(10), |world| world.leader().is_some());
    }
    for client in 0..4 {
        world.add_client(client % trackers);
    }
    let end = world.now + UNSAFE;
    while world.now < end {
        let pause = Span::from_millis(200 + world.draw(2_500));
        world.advance(pause);
        world.mischief();
    }
    world.mend();
    let served_after = world.serve_again();
    world.clients.iter_mut().for_each(|client| client.begins = Begins::Nothing);
    world.until("all trackers hold the same registry", CATCHES_UP, World::agrees);
    world.check_histories();
    let calls: Vec<Call> = world.calls();
    Report {
        calls: calls.len(),
        unknown: calls.iter().filter(|call| call.outcome == super::history::Outcome::Unknown).count(),
        served_after,
        struck: world.struck.into_iter().collect(),
    }
}

impl World {
    /// Something breaks, or is mended.
    fn mischief(&mut self) {
        let count = self.nodes.len() as u64;
        let (index, other) = (self.pick(count), self.pick(count));
        match self.draw(16) {
            0..3 => self.kill(index),
            3..7 => (0..self.nodes.len()).for_each(|index| self.revive(index)),
            7 => self.isolate(index),
            8 => self.cut(index, other),
            9..11 => self.join(),
            11 => self.break_links(index),
            12 => {
                let span = Span::from_millis(self.draw(6_000));
                self.stop(index, span);
            }
            13 => {
                let full = self.draw(2) == 0;
                self.fill(index, full);
            }
            14 => {
                let sync = Span::from_millis(1 + self.draw(400));
                self.slow_down(index, sync);
            }
            _ if self.draw(4) == 0 => (0..self.nodes.len()).for_each(|index| self.kill(index)),
            _ => self.replace(index),
        }
    }

    /// A tracker loses its disk and is let in again. More than one at a time may not: what only they promised would be lost with them.
    fn replace(&mut self, index: usize) {
        if self.nodes.len() < 3 {
            return;
        }
        self.mend();
        self.advance(Span::from_secs(8));
        let Some(leader) = self.leader().filter(|leader| *leader != index && self.all_follow()) else {
            return;
        };
        self.lose_disk(index);
        self.advance(Span::from_secs(2));
        self.admit(leader, index);
        self.advance(Span::from_secs(8));
    }

    /// Whether all trackers are members, and none lags behind.
    fn all_follow(&self) -> bool {
        let statuses: Vec<_> = (0..self.nodes.len()).filter_map(|index| self.status(index)).collect();
        let committed = statuses.iter().map(|status| status.committed).max().unwrap_or_default();
        let up_to_date = |status: &engine::tracker::Status| !status.blank && status.applied + 5 >= committed;
        statuses.len() == self.nodes.len() && statuses.iter().all(up_to_date)
    }

    fn pick(&mut self, below: u64) -> usize {
        usize::try_from(self.draw(below)).expect("small")
    }

    /// Waits until every client was answered something that it asked for after now.
    fn serve_again(&mut self) -> Span {
        let begin = self.now;
        let fresh = |call: &Call| call.began > begin && call.ended.is_some();
        let known = |call: &Call| call.outcome != super::history::Outcome::Unknown;
        self.until("every client is served again", SERVES_AGAIN, |world| {
            world.clients.iter().all(|client| client.calls.iter().any(|call| fresh(call) && known(call)))
        });
        self.now.since(begin)
    }

    /// Whether nothing is asked any more, and all trackers have applied all that is agreed.
    fn agrees(&self) -> bool {
        let mut all = self.nodes.iter().map(|node| node.machine.as_ref().map(|machine| machine.registry()));
        let Some(Some(first)) = all.next() else { return false };
        self.clients.iter().all(super::client::Client::is_done) && all.all(|other| other == Some(first))
    }

    fn calls(&self) -> Vec<Call> {
        self.clients.iter().flat_map(|client| client.calls.iter().copied()).collect()
    }

    /// Every key's history is linearizable.
    fn check_histories(&self) {
        let calls = self.calls();
        let keys: std::collections::BTreeSet<u8> = calls.iter().map(|call| call.key).collect();
        for key in keys {
            let mut of_key: Vec<Call> = calls.iter().filter(|call| call.key == key).copied().collect();
            assert!(
                is_linearizable(&of_key),
                "seed {}: the history of key {key} has no order: {:#?}",
                self.name,
                {
                    of_key.sort_by_key(|call| call.ended.unwrap_or(Time::NEVER));
                    of_key
                }
            );
        }
    }
}
