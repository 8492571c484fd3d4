//! Disks of trackers: one write at a time, lost with the power unless it was done.

use engine::id::JobId;
use engine::tracker::io::{Input, Outcome, Work};

use super::{Event, World};

impl World {
    pub(super) fn begin_write(&mut self, index: usize, job: JobId, work: Work) {
        let node = &mut self.nodes[index];
        assert!(node.writes.is_empty(), "one write at a time");
        node.writes.push((job, work.clone()));
        let (at, life) = (self.now + node.sync, node.life);
        self.plan(at, Event::Written { node: index, life, job, work });
    }

    pub(super) fn written(&mut self, index: usize, life: u32, job: JobId, work: Work) {
        let node = &mut self.nodes[index];
        if node.life != life {
            return;
        }
        node.writes.clear();
        let outcome = match work {
            _ if node.full => Outcome::DiskFull,
            Work::Persist(batch) => {
                node.store.take(batch);
                Outcome::Durable
            }
            Work::Sign(_) => unreachable!("signing needs no disk"),
        };
        self.give(index, Input::Done { job, outcome });
    }

    /// The power goes: what was being written is there or not.
    pub(super) fn lose_power(&mut self, index: usize, reached_the_disk: bool) {
        let node = &mut self.nodes[index];
        for (_, work) in core::mem::take(&mut node.writes) {
            if let Work::Persist(batch) = work
                && reached_the_disk
                && !node.full
            {
                node.store.take(batch);
            }
        }
    }
}
