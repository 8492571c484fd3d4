//! A run told in words: one line an event, for people who want to see how it came to something.

use engine::time::Time;

use crate::jobs::Work;
use crate::network::NodeId;
use crate::world::{Event, TRACKER, World};

/// Who hears of what happens, a line at a time.
pub type Listener = fn(&str);

/// Longest line, in characters: a message may list thousands of pieces.
const LINE_MAX: usize = 220;

/// One line: when, who, what, as far as there is room.
pub(crate) fn line(now: Time, who: &str, what: &str) -> String {
    let mut line = format!("{:>14} {who:<9} ", now.to_string());
    let room = LINE_MAX - line.len();
    line.extend(what.chars().take(room));
    if what.chars().count() > room {
        line.push_str(" ...");
    }
    line
}

impl World {
    /// Says something, if anybody listens.
    pub(crate) fn narrate(&self, node: NodeId, what: impl FnOnce() -> String) {
        let Some(listener) = self.listener else { return };
        let who = if node == TRACKER { "tracker".to_owned() } else { format!("node {}", node.0) };
        listener(&line(self.now, &who, &what()));
    }

    /// Says what is about to happen.
    pub(crate) fn narrate_event(&self, event: &Event) {
        if self.listener.is_none() {
            return;
        }
        let other =
            |link: engine::id::LinkId, side: usize| self.links.get(link).map(|c| c.ends[1 - side].node.0);
        let from = |link, side| match other(link, side) {
            Some(0) => "the tracker".to_owned(),
            Some(node) => format!("node {node}"),
            None => "a connection that is no more".to_owned(),
        };
        let at = |link: engine::id::LinkId, side: usize| self.links.get(link).map(|c| c.ends[side].node);
        match event {
            // What a node does when it wakes, or is paid, is told where it does it.
            Event::Wake { .. } | Event::Refund { .. } | Event::Uplink { .. } => {}
            Event::Dialled { node, to, .. } => self.narrate(*node, || format!("reaches out to {to}")),
            Event::Said { link, to, message } => {
                self.tell(at(*link, *to), || format!("hears from {}: {message:?}", from(*link, *to)));
            }
            Event::Spread { to, message } => {
                for (link, to) in to {
                    self.tell(at(*link, *to), || format!("hears from {}: {message:?}", from(*link, *to)));
                }
            }
            Event::Packet { link, to, packet } => {
                self.tell(at(*link, *to), || format!("hears from {}: {packet:?}", from(*link, *to)));
            }
            Event::Piece { link, to, bytes, .. } => self.tell(at(*link, *to), || {
                let spoilt = if bytes.spoilt { "spoilt " } else { "" };
                let from = from(*link, *to);
                format!("gets {spoilt}piece {} of content {} from {from}", bytes.piece, bytes.content.0)
            }),
            Event::Job { node, job, .. } => self.narrate(*node, || match self.nodes[node.0].jobs.get(job) {
                Some(Work::Peer(work)) => format!("has done {work:?}"),
                Some(Work::Store(work)) => format!("has stored {work:?}"),
                Some(Work::Ended(outcome)) => format!("ends a job: {outcome:?}"),
                None => "would end a job of an earlier life".to_owned(),
            }),
            Event::Down { link, side } => {
                self.tell(at(*link, *side), || format!("loses its connection with {}", from(*link, *side)));
            }
        }
    }

    fn tell(&self, node: Option<NodeId>, what: impl FnOnce() -> String) {
        if let Some(node) = node {
            self.narrate(node, what);
        }
    }
}
