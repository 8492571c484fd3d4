//! A look at what comes next, so that memory is there when it is needed.
//!
//! In a large world each event concerns another peer, of which nothing is in any cache: its connection leads to its node, that to its
//! machine, and that to a link and a neighbour, and each step waits for memory, for as long as hundreds of instructions take. Here the same
//! steps are taken for several coming events at once, so that their waits overlap. Nothing is changed.

use std::hint::black_box;

use engine::id::LinkId;
use engine::peer::Peer;

use crate::network::NodeId;
use crate::node::{Kind, Node};
use crate::world::{Event, World};

/// Events that are looked at together: some kilobytes each, so that all stay in the cache.
pub(crate) const AHEAD: usize = 16;

impl World {
    /// Looks at some of the coming events, unless that was done.
    pub(crate) fn look_ahead(&mut self) {
        if self.looked_at > 0 {
            self.looked_at -= 1;
            return;
        }
        let mut concerned = [None; AHEAD];
        let mut coming = 0;
        for (event, place) in self.future.upcoming().zip(&mut concerned) {
            *place = self.concerns(event);
            coming += 1;
        }
        self.look_at(concerned);
        self.looked_at = coming;
    }

    /// Looks at those to whom one thing is said, at the other ends of these connections.
    pub(crate) fn look_at_all(&self, to: &[(LinkId, usize)]) {
        let mut concerned = [None; AHEAD];
        for ((link, side), place) in to.iter().zip(&mut concerned) {
            *place = self.links.get(*link).map(|connection| (connection.ends[*side].node, Some(*link)));
        }
        self.look_at(concerned);
    }

    fn look_at(&self, concerned: [Option<(NodeId, Option<LinkId>)>; AHEAD]) {
        let mut peers = [None; AHEAD];
        let mut sum = 0;
        for ((node, link), place) in concerned.into_iter().flatten().zip(&mut peers) {
            let peer = peer(&self.nodes[node.0]);
            sum += usize::from(peer.is_some_and(|peer| peer.next_wakeup().is_some()));
            *place = peer.zip(link);
        }
        for (peer, link) in peers.into_iter().flatten() {
            sum = sum.wrapping_add(peer.glance(link));
        }
        black_box(sum);
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
            Event::Spread { .. }
            | Event::Dialled { .. }
            | Event::Packet { .. }
            | Event::Refund { .. }
            | Event::Down { .. } => None,
        }
    }
}

fn peer(node: &Node) -> Option<&Peer> {
    match &node.kind {
        Kind::Client(client) => client.machine.as_ref(),
        Kind::Tracker(_) | Kind::Puppet(_) => None,
    }
}
