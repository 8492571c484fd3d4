//! The checkers: what must hold of the world at all times, whatever a test or a scenario looks at.
//!
//! Each is proved to see by a world that is broken on purpose, in `checks/tests.rs`. A breach ends the run as a wrong result.

mod sabotage;
#[cfg(test)]
mod tests;

use engine::id::{FileId, LinkId};
use engine::limits::{DIALS_MAX, GRANTS_MAX, JOBS_MAX, LINKS_MAX, SLOTS};
use engine::name::Place;
use engine::peer::command::News;
use engine::ticket::LIFETIME;
use engine::time::Span;
use engine::tracker::Tracker;
use engine::tracker::registry::Registry;
use engine::violation::Violation;
use engine::wire::tracker::{Answer, TrackerMessage};

use crate::network::NodeId;
use crate::node::Kind;
use crate::world::{TRACKER, World};
pub(crate) use sabotage::Sabotage;

/// What a report of a wrong result begins with.
pub(crate) const WRONG: &str = "wrong result: ";

/// For how long after the end of a membership bytes may still leave.
const GRACE: Span = Span::from_secs(2);

/// For how long after a jam of a downlink people may be late with what they answer.
const JAM_GRACE: Span = Span(2 * engine::limits::GRANT_PATIENCE.0);

/// Whether somebody honest who is late can be blamed for it.
pub(crate) const fn is_of_time(violation: Violation) -> bool {
    matches!(violation, Violation::SlotUnused | Violation::NotReading)
}

/// What the tracker has acknowledged, and what its registry was like when it died.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    acknowledged: u64,
    at_death: Option<Registry>,
    /// Whether it died since it was looked at last.
    died: bool,
}

impl World {
    #[expect(clippy::panic, reason = "a simulator fails by panicking; the seed is the report")]
    pub(crate) fn wrong(&self, why: &str) -> ! {
        panic!("{WRONG}seed {}: at {}: {why}", self.name, self.now)
    }

    /// Nobody honest is blamed, unless a fault made them do it, or befuddled whoever blames.
    pub(crate) fn check_blame(&self, by: NodeId, whom: NodeId, violation: Violation) {
        let erring = self.faults.befuddled.contains(&by) || !self.nodes[by.0].is_honest();
        let jammed =
            [by, whom].iter().any(|node| self.now.since(self.nodes[node.0].line.jammed) <= JAM_GRACE);
        let forgiven = erring || jammed && is_of_time(violation) || self.faults.excuse(violation);
        if self.nodes[whom.0].is_honest() && !forgiven {
            self.wrong(&format!("{by:?} blames the honest {whom:?}: {violation}"));
        }
    }

    /// Nothing of a group goes to somebody who is no member, two seconds after they ceased to be.
    pub(crate) fn check_may_send(&mut self, from: NodeId, link: LinkId, file: FileId) {
        let Some(connection) = self.links.get(link) else { return };
        let side = connection.side(from);
        let mut opened = connection.ends[side].notes.opened.iter().rev();
        let Some(group) = opened.find(|(id, _)| *id == file).map(|(_, group)| group.clone()) else {
            self.wrong(&format!("{from:?} sends a piece of a file that it did not open on the link"))
        };
        let (to, life) = (connection.ends[1 - side].node, connection.ends[1 - side].life);
        if self.nodes[to.0].life != life {
            // It died, and word of that is on its way: these bytes reach nobody.
            return;
        }
        let Some(user) = self.nodes[to.0].user().cloned() else {
            self.wrong(&format!("{from:?} sends a piece to {to:?}, where nobody is logged in"))
        };
        let Some(registry) = self.registry() else { return };
        let applied = registry.applied();
        if connection.ends[side].notes.cleared == Some(applied) {
            return;
        }
        let member = registry.group(&group).is_ok_and(|group| group.members.contains_key(&user));
        if member {
            self.expelled.remove(&(group, user));
            if let Some(connection) = self.links.get_mut(link) {
                connection.ends[side].notes.cleared = Some(applied);
            }
            return;
        }
        let since = self.expelled.get(&(group.clone(), user.clone())).copied();
        let lately = since.is_some_and(|since| self.now.since(since) <= GRACE);
        if since.is_some_and(|since| self.now.since(since) > LIFETIME) {
            self.wrong(&format!("{from:?} sends a piece of {group} to {user}, a day after the removal"));
        }
        if !lately && !self.faults.may_not_know(from, self.now) {
            self.wrong(&format!("{from:?} sends a piece of {group} to {user}, who is no member"));
        }
    }

    /// What is handed over as complete is there, and is what was shared under that name.
    pub(crate) fn check_handed_over(&self, id: NodeId, news: &News) {
        let News::DownloadComplete { name, place, .. } = news else { return };
        let Kind::Client(client) = &self.nodes[id.0].kind else { return };
        match client.disk.file(place) {
            None => self.wrong(&format!("{id:?} has {name} as complete, and it is not there")),
            // All empty files have the same bytes.
            Some(whole) if whole.size.bytes() == 0 => {}
            Some(whole) if self.watch.expected(name).is_some_and(|expected| whole != expected) => {
                self.wrong(&format!("{id:?} has {name} as complete, and other bytes are in it"))
            }
            Some(_) => {}
        }
    }

    /// Pieces that a machine counts as held are on its disk.
    pub(crate) fn check_held(&self, id: NodeId) {
        let Kind::Client(client) = &self.nodes[id.0].kind else { return };
        let Some(machine) = &client.machine else { return };
        for (place, held) in machine.holdings() {
            if let Some(piece) = held.iter().find(|piece| !client.disk.has_piece(place, *piece)) {
                let Place(path) = place;
                let path = String::from_utf8_lossy(path);
                self.wrong(&format!(
                    "{id:?} counts piece {piece} of {path} as held, and it is not on its disk"
                ));
            }
        }
    }

    /// Tables that the outside can fill keep to their limits.
    pub(crate) fn check_limits(&self, id: NodeId) {
        let node = &self.nodes[id.0];
        let Kind::Client(client) = &node.kind else { return };
        let limits = [
            ("jobs", node.jobs.len(), JOBS_MAX),
            ("buffers", client.slots.len(), usize::from(SLOTS)),
            ("pieces on the uplink", node.line.waiting.len(), GRANTS_MAX),
            // Those that the machine has ended take their time to go.
            ("connections", self.open_links(id), LINKS_MAX + DIALS_MAX + 1),
        ];
        for (what, len, max) in limits {
            if len > max {
                self.wrong(&format!("{id:?} has {len} {what}, and the limit is {max}"));
            }
        }
    }

    /// Connections that a node has not ended and that have not ended under it.
    fn open_links(&self, id: NodeId) -> usize {
        let links = self.nodes[id.0].links.iter().filter_map(|link| self.links.get(*link));
        links
            .filter(|connection| {
                let end = &connection.ends[connection.side(id)];
                end.up && !end.closed && !connection.ending
            })
            .count()
    }

    /// The tracker acknowledges what it has applied.
    pub(crate) fn note_acknowledged(&mut self, message: &TrackerMessage) {
        let TrackerMessage::Answer { answer: Ok(answer), .. } = message else { return };
        if matches!(**answer, Answer::Done)
            && let Some(applied) = self.registry().map(engine::tracker::registry::Registry::applied)
        {
            self.ledger.acknowledged = self.ledger.acknowledged.max(applied);
        }
    }

    /// The tracker dies: what was its registry like?
    pub(crate) fn note_tracker_death(&mut self) {
        self.ledger.at_death = self.registry().cloned();
        self.ledger.died = true;
    }

    /// The tracker is back, and has looked through its log: nothing that it acknowledged is lost, and what it knew it knows as before.
    pub(crate) fn check_tracker_rebirth(&mut self) {
        let settled = self.tracker_machine().is_some_and(Tracker::is_settled);
        if !settled || !std::mem::take(&mut self.ledger.died) {
            return;
        }
        let Some(registry) = self.registry().cloned() else { return };
        // The last entry is that with which it became leader.
        let applied = registry.applied() - 1;
        if applied < self.ledger.acknowledged {
            let acknowledged = self.ledger.acknowledged;
            self.wrong(&format!("{TRACKER:?} acknowledged {acknowledged} changes, and has {applied}"));
        }
        if let Some(mut was) = self.ledger.at_death.take().filter(|was| was.applied() == applied) {
            was.skip(registry.applied());
            if was != registry {
                self.wrong(&format!("after {applied} changes {TRACKER:?} has another registry than before"));
            }
        }
    }

    /// Whether the tracker is back, and has not looked through its log yet.
    pub(crate) fn tracker_is_settling(&self) -> bool {
        self.ledger.died && self.tracker_machine().is_some()
    }

    /// The tracker's disk is replaced by an old copy: what was acknowledged since is lost, and may be.
    pub(crate) fn forgive_tracker(&mut self) {
        self.ledger = Ledger::default();
    }

    /// Everything that is too slow to look at all the time.
    pub(crate) fn check_all(&self) {
        for id in (0..self.nodes.len()).map(NodeId) {
            self.check_held(id);
            self.check_limits(id);
        }
    }
}
