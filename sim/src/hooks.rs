//! What a run does to the world beyond what people do: lines change, clients misbehave, and those who are gone are forgotten.

use engine::time::Time;

use crate::disk::Disk;
use crate::network::{Access, NodeId};
use crate::node::Kind;
use crate::scenario::Behaviour;
use crate::world::World;

impl World {
    /// Nothing more happens up to this time.
    pub(crate) fn pass(&mut self, until: Time) {
        self.now = self.now.max(until);
    }

    /// A node's line is like this from now on.
    pub(crate) fn set_access(&mut self, node: NodeId, access: Access) {
        self.nodes[node.0].line.access = access;
    }

    /// A client keeps to the rules, or breaks them in this way.
    pub(crate) fn behave(&mut self, node: NodeId, behaviour: Behaviour) {
        match behaviour {
            Behaviour::Honest => {}
            Behaviour::Corrupt => self.corrupt(node, true),
            Behaviour::Mute => self.mute(node),
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

    /// Pairs of an honest client that is up and an honest one that it has banned.
    pub(crate) fn honest_banned(&self) -> usize {
        let honest: std::collections::BTreeSet<_> =
            self.nodes.iter().filter(|node| node.is_honest()).map(|node| node.device).collect();
        let clients = self.nodes.iter().filter(|node| node.is_honest()).filter_map(|node| match &node.kind {
            Kind::Client(client) => client.machine.as_ref(),
            Kind::Tracker(_) | Kind::Puppet(_) => None,
        });
        clients.map(|peer| peer.banned().filter(|device| honest.contains(device)).count()).sum()
    }
}
