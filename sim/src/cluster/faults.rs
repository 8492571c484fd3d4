//! What can happen to a cluster.

use engine::time::{Span, Time};
use engine::tracker::io::{Input, Order, Stored};

use super::{SYNC, World, number};

impl World {
    fn note(&mut self, fault: &'static str) {
        *self.struck.entry(fault).or_default() += 1;
    }

    /// A tracker dies at once. What it was writing may be on its disk.
    pub fn kill(&mut self, index: usize) {
        if self.nodes[index].machine.take().is_none() {
            return;
        }
        self.note("kill");
        let reached = self.draw(2) == 0;
        self.lose_power(index, reached);
        let node = &mut self.nodes[index];
        node.life += 1;
        (node.wake, node.stopped) = (None, Time::default());
        self.reset_links_of(index);
    }

    /// Starts a tracker unless it runs.
    pub fn revive(&mut self, index: usize) {
        if self.nodes[index].machine.is_none() {
            self.start(index);
        }
    }

    /// A tracker's process is stopped, and goes on after `span` as if nothing had been.
    pub fn stop(&mut self, index: usize, span: Span) {
        self.note("stop");
        self.nodes[index].stopped = self.now + span;
    }

    /// Nothing travels between two trackers any more.
    pub fn cut(&mut self, one: usize, other: usize) {
        if one != other {
            self.note("cut");
            self.cuts.insert((one.min(other), one.max(other)));
        }
    }

    /// A tracker reaches no other any more.
    pub fn isolate(&mut self, index: usize) {
        (0..self.nodes.len()).for_each(|other| self.cut(index, other));
    }

    /// The network is whole again; links that were cut break.
    pub fn join(&mut self) {
        for (one, other) in core::mem::take(&mut self.cuts) {
            self.reset_links_between(one, other);
        }
    }

    /// All links of a tracker break, and come again.
    pub fn break_links(&mut self, index: usize) {
        self.note("reset");
        self.reset_links_of(index);
    }

    /// A tracker's disk is full, or has room again.
    pub fn fill(&mut self, index: usize, full: bool) {
        if full {
            self.note("full disk");
        }
        self.nodes[index].full = full;
    }

    /// A tracker's disk takes that long for a write.
    pub fn slow_down(&mut self, index: usize, sync: Span) {
        self.note("slow disk");
        self.nodes[index].sync = sync;
    }

    /// A tracker dies, and its disk with it; a new one is started in its place.
    pub fn lose_disk(&mut self, index: usize) {
        self.kill(index);
        self.note("lost disk");
        let disk = self.next_disk();
        let node = &mut self.nodes[index];
        (node.store, node.disk, node.full, node.sync) = (Stored::default(), disk, false, SYNC);
        self.start(index);
    }

    /// A person lets the tracker that is at that place now take part, at the console of `at`.
    pub fn admit(&mut self, at: usize, index: usize) {
        let device = self.key(index);
        self.order(at, Order::Add { number: number(index), device: Some(device) });
    }

    /// Everything is mended, and everybody up.
    pub fn mend(&mut self) {
        self.join();
        for index in 0..self.nodes.len() {
            self.nodes[index].full = false;
            self.nodes[index].sync = SYNC;
            self.nodes[index].stopped = Time::default();
            self.revive(index);
            // One that was stopped is woken now.
            self.give(index, Input::Wake);
        }
    }
}
