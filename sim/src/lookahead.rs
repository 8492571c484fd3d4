//! Has memory fetched that coming events need, so that it is there when they happen.
//!
//! In a large world each event concerns another peer, of which nothing is in any cache: its connection leads to its node, that to its
//! machine, and that to a link and a neighbour, and each step waits for memory, for as long as hundreds of instructions take. Here those steps
//! are taken beforehand, each for another group of coming events, while the world goes on. Nothing is changed, and nobody waits.

use std::collections::VecDeque;

use engine::id::LinkId;
use engine::peer::glance::{Glance, STEPS, start};
use engine::wire::peer::PeerMessage;

use crate::network::NodeId;
use crate::node::Kind;
use crate::world::{Event, World};

/// Events that take a step together.
const GROUP: usize = 4;
/// Steps from an event to its machine; those of the machine follow.
const STEPS_TO_MACHINE: usize = 3;
/// Groups under way.
const GROUPS: usize = STEPS_TO_MACHINE + STEPS;

/// What is being fetched.
#[derive(Debug, Default)]
pub(crate) struct Lookahead {
    /// Of groups of coming events whom they concern, the latest last: each is one step behind the one before.
    groups: VecDeque<Vec<Coming>>,
    /// Events until all take a step.
    rest: usize,
}

/// Whom an event concerns, and about which piece, as far as it says so.
#[derive(Clone, Copy, Debug)]
struct Coming {
    whom: Whom,
    piece: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Whom {
    Node(NodeId),
    /// The node at one side of a connection.
    End(LinkId, usize),
}

impl World {
    /// Keeps the look ahead as far from the events as it is, of which one happens now.
    pub(crate) fn look_ahead(&mut self) {
        if !FETCHES {
            return;
        }
        if self.lookahead.rest > 0 {
            self.lookahead.rest -= 1;
            return;
        }
        let mut groups = std::mem::take(&mut self.lookahead.groups);
        let mut fresh = if groups.len() < GROUPS { None } else { groups.pop_front() }.unwrap_or_default();
        fresh.clear();
        for event in self.future.upcoming().skip(GROUP * GROUPS).take(GROUP) {
            concerns(event, &mut fresh);
        }
        groups.push_back(fresh);
        for (step, group) in groups.iter().rev().enumerate() {
            group.iter().for_each(|coming| self.glance(coming, step));
        }
        self.lookahead = Lookahead { groups, rest: GROUP - 1 };
    }

    /// Takes one step for one event.
    fn glance(&self, coming: &Coming, step: usize) {
        let (node, link) = match coming.whom {
            Whom::Node(node) => (node, None),
            Whom::End(link, _) if step == 0 => return self.links.fetch(link),
            Whom::End(link, side) => {
                let Some(connection) = self.links.get(link) else { return };
                (connection.ends[side].node, Some(link))
            }
        };
        let node = &self.nodes[node.0];
        match (step, &node.kind) {
            (0, _) | (2.., Kind::Tracker(_) | Kind::Puppet(_)) => {}
            (1, kind) => {
                start(kind, &mut fetch);
                start(&node.wake, &mut fetch);
                start(&node.clock, &mut fetch);
                if link.is_none() {
                    start(&node.jobs, &mut fetch);
                    start(&node.line, &mut fetch);
                }
            }
            (2, Kind::Client(client)) => start(&client.machine, &mut fetch),
            (STEPS_TO_MACHINE.., Kind::Client(client)) => {
                let glance = Glance { link, piece: coming.piece };
                let machine = client.machine.iter();
                machine.for_each(|machine| machine.glance(glance, step - STEPS_TO_MACHINE, &mut fetch));
            }
        }
    }
}

/// Adds whom an event concerns.
fn concerns(event: &Event, group: &mut Vec<Coming>) {
    match event {
        Event::Said { link, to, .. } | Event::Piece { link, to, .. } => {
            group.push(Coming { whom: Whom::End(*link, *to), piece: None });
        }
        Event::Wake { node } | Event::Uplink { node, .. } | Event::Job { node, .. } => {
            group.push(Coming { whom: Whom::Node(*node), piece: None });
        }
        Event::Spread { to, message } => {
            let piece = match message {
                PeerMessage::Have { pieces, .. } => pieces.first().copied(),
                _ => None,
            };
            group.extend(to.iter().map(|(link, side)| Coming { whom: Whom::End(*link, *side), piece }));
        }
        // Rare.
        Event::Dialled { .. } | Event::Packet { .. } | Event::Refund { .. } | Event::Down { .. } => {}
    }
}

/// Whether it is known how to have memory fetched.
const FETCHES: bool = cfg!(target_arch = "x86_64");

/// Has a line of memory fetched, and does not wait for it.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "an instruction that not every processor has")]
pub(crate) fn fetch(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every processor of this kind has it, and it neither reads nor faults, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

/// On other processors, whoever needs memory waits for it.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const fn fetch(_: *const u8) {}
