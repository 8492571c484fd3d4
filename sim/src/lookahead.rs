//! A look at what comes next, so that memory is there when it is needed.
//!
//! In a large world each event concerns another peer, of which nothing is in any cache: its connection leads to its node, that to its
//! machine, and that to a link and a neighbour, and each step waits for memory, for as long as hundreds of instructions take. Here the same
//! steps are taken for several coming events at once, so that their waits overlap. Nothing is changed.

use std::hint::black_box;

use engine::id::LinkId;
use engine::peer::Peer;

use crate::jobs::Work;
use crate::network::NodeId;
use crate::node::{Kind, Node};
use crate::world::{Event, World};

/// Events that are looked at together: some kilobytes each, so that all stay in the cache.
const AHEAD: usize = 16;

impl World {
    /// Looks at some of the coming events, unless that was done.
    pub(crate) fn look_ahead(&mut self) {
        if self.looked_at > 0 {
            self.looked_at -= 1;
            return;
        }
        let nodes: Vec<_> = self.future.upcoming().take(AHEAD).map(|event| self.concerns(event)).collect();
        let peers = nodes.iter().flatten();
        let peers: Vec<_> =
            peers.filter_map(|(node, link)| Some((peer(&self.nodes[node.0])?, *link))).collect();
        let wakeups = peers.iter().filter(|(peer, _)| peer.next_wakeup().is_some()).count();
        let glances = peers.iter().filter_map(|(peer, link)| Some(peer.glance((*link)?)));
        let glances = glances.fold(wakeups, usize::wrapping_add);
        // Who has written a piece tells all neighbours of it.
        let tellers = self.future.upcoming().take(AHEAD).filter_map(|event| match event {
            Event::Job { node, work, .. } if is_write(work) => Some(&self.nodes[node.0].links),
            _ => None,
        });
        let connections = tellers.flatten().filter_map(|link| self.links.get(*link));
        let unsent: u32 = connections.map(|connection| connection.ends[0].unsent).sum();
        black_box((glances, unsent));
        self.looked_at = nodes.len();
    }

    /// The node that an event concerns, and the connection.
    fn concerns(&self, event: &Event) -> Option<(NodeId, Option<LinkId>)> {
        match event {
            Event::Said { link, to, .. } | Event::Piece { link, to, .. } => {
                Some((self.links.get(*link)?.ends[*to].node, Some(*link)))
            }
            Event::Wake { node } | Event::Uplink { node, .. } | Event::Job { node, .. } => {
                Some((*node, None))
            }
            Event::Dialled { .. } | Event::Packet { .. } | Event::Refund { .. } | Event::Down { .. } => None,
        }
    }
}

const fn is_write(work: &Work) -> bool {
    matches!(work, Work::Peer(engine::peer::io::Work::Write { .. }))
}

fn peer(node: &Node) -> Option<&Peer> {
    match &node.kind {
        Kind::Client(client) => client.machine.as_ref(),
        Kind::Tracker(_) | Kind::Puppet(_) => None,
    }
}
