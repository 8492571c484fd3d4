//! What a run does to the world beyond what people do: lines and clocks change, clients misbehave, disks are lost, and those who are gone
//! are forgotten.

use engine::id::{FileId, LinkId};
use engine::peer::Peer;
use engine::time::{Span, Time};
use engine::tracker::io::Stored;
use engine::wire::peer::PeerMessage;

use crate::disk::Disk;
use crate::network::{Access, NodeId, Packet};
use crate::node::{Heard, Kind};
use crate::scenario::Behaviour;
use crate::world::{TRACKER, World};

/// A number that no peer gives to a file.
const NO_FILE: FileId = FileId(u32::MAX);

impl World {
    /// Nothing more happens up to this time.
    pub(crate) fn pass(&mut self, until: Time) {
        self.now = self.now.max(until);
    }

    /// Whether a node is up.
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.nodes[node.0].is_up()
    }

    /// A node's line is like this from now on.
    pub(crate) fn set_access(&mut self, node: NodeId, access: Access) {
        self.nodes[node.0].line.access = access;
    }

    /// A client keeps to the rules, or breaks them in this way.
    pub(crate) fn behave(&mut self, node: NodeId, behaviour: Behaviour) {
        self.client_mut(node).behaviour = behaviour;
    }

    /// From now on others may rightly blame a node.
    pub(crate) fn taint(&mut self, node: NodeId) {
        self.nodes[node.0].tainted = true;
    }

    /// Whether nobody may blame a node, and it has no reason to think ill of others.
    pub(crate) fn is_sound(&self, node: NodeId) -> bool {
        self.nodes[node.0].is_honest() && !self.faults.befuddled.contains(&node)
    }

    /// A node's disk is full, or has room again.
    pub(crate) fn set_full(&mut self, node: NodeId, full: bool) {
        match &mut self.nodes[node.0].kind {
            Kind::Client(client) => client.disk.full = full,
            Kind::Tracker(tracker) => tracker.disk_full = full,
            Kind::Puppet(_) => {}
        }
    }

    /// A node's clock runs at another rate.
    pub(crate) fn skew(&mut self, node: NodeId, factor: f64) {
        let now = self.now;
        self.nodes[node.0].clock.run_at(now, factor);
        self.arm_again(node);
    }

    /// A node's clock jumps ahead.
    pub(crate) fn jump(&mut self, node: NodeId, ahead: Span) {
        let now = self.now;
        self.nodes[node.0].clock.jump(now, ahead);
        self.arm_again(node);
    }

    /// What was planned by the clock as it was is planned anew.
    fn arm_again(&mut self, node: NodeId) {
        self.nodes[node.0].wake = None;
        self.arm(node);
    }

    /// Of what a dead client wrote and did not sync, a random part is lost.
    pub(crate) fn lose_unsynced(&mut self, node: NodeId) {
        let Kind::Client(client) = &mut self.nodes[node.0].kind else { return };
        client.disk.lose_unsynced(|| self.faults.toss());
    }

    /// A dead client's disk is replaced by an empty one.
    pub(crate) fn lose_disk(&mut self, node: NodeId) {
        self.client_mut(node).disk = Disk::default();
    }

    /// What is on the tracker's disk.
    pub(crate) fn tracker_store(&self) -> Stored {
        match &self.nodes[TRACKER.0].kind {
            Kind::Tracker(tracker) => tracker.store.clone(),
            Kind::Client(_) | Kind::Puppet(_) => unreachable!("it is the first"),
        }
    }

    /// The dead tracker's disk is replaced by an old copy of it.
    pub(crate) fn replace_tracker_store(&mut self, old: Stored) {
        if let Kind::Tracker(tracker) = &mut self.nodes[TRACKER.0].kind {
            tracker.store = old;
        }
        self.forgive_tracker();
    }

    /// Breaks a random connection of a node, if it has any.
    pub(crate) fn break_link(&mut self, node: NodeId) {
        let links = &self.nodes[node.0].links;
        if let Some(link) = links.get(self.faults.draw(links.len())).copied() {
            self.reset_link(link);
        }
    }

    /// A peer sends something useless on each of its connections to others.
    pub(crate) fn flood(&mut self, node: NodeId) {
        for link in self.nodes[node.0].links.clone() {
            let Some(connection) = self.links.get(link) else { continue };
            let side = connection.side(node);
            let open = connection.ends[side].up && !connection.ends[side].closed;
            if !open || connection.ends[1 - side].node == TRACKER {
                continue;
            }
            let message = match self.faults.draw(100) {
                0 => PeerMessage::Ask { file: NO_FILE },
                1 => PeerMessage::Close { file: NO_FILE },
                2 => PeerMessage::Free { file: NO_FILE, queue: u16::MAX },
                _ => PeerMessage::Ping,
            };
            self.faults.fire(Behaviour::Flood.name());
            self.put_on_wire(node, link, Packet::Peer(message));
        }
    }

    /// Whether a node's uplink is at work on a piece.
    pub(crate) fn is_sending(&self, node: NodeId) -> bool {
        self.nodes[node.0].line.current.is_some()
    }

    /// Requests for a slot that wait at a client, or were turned away.
    pub(crate) fn upload_queue(&self, node: NodeId) -> usize {
        match &self.nodes[node.0].kind {
            Kind::Client(client) => client.machine.as_deref().map_or(0, Peer::waiting_for_slots),
            Kind::Tracker(_) | Kind::Puppet(_) => 0,
        }
    }

    /// What happened to somebody driven by hand since this was asked last.
    pub(crate) fn take_heard(&mut self, puppet: NodeId) -> Vec<(LinkId, Heard)> {
        match &mut self.nodes[puppet.0].kind {
            Kind::Puppet(puppet) => std::mem::take(&mut puppet.heard),
            Kind::Client(_) | Kind::Tracker(_) => Vec::new(),
        }
    }

    /// A client that never comes back needs no memory.
    pub(crate) fn forget(&mut self, node: NodeId) {
        if let Kind::Client(client) = &mut self.nodes[node.0].kind {
            client.disk = Disk::default();
            client.news = Vec::new();
            client.answers.clear();
            client.received.clear();
            client.slots.clear();
        }
    }

    /// Pairs of a sound client that is up and a sound one that it has banned.
    pub(crate) fn honest_banned(&self) -> usize {
        let sound = |node: &NodeId| self.is_sound(*node);
        let ids = || (0..self.nodes.len()).map(NodeId).filter(sound);
        let devices: std::collections::BTreeSet<_> = ids().map(|id| self.nodes[id.0].device).collect();
        let machines = ids().filter_map(|id| match &self.nodes[id.0].kind {
            Kind::Client(client) => client.machine.as_deref(),
            Kind::Tracker(_) | Kind::Puppet(_) => None,
        });
        machines.map(|peer| peer.banned().filter(|device| devices.contains(device)).count()).sum()
    }
}
