//! Links: ordered, with a delay, and broken when a tracker dies or the network is cut.

use engine::id::{DeviceId, LinkId};
use engine::time::{Span, Time};
use engine::tracker::io::Input;
use engine::wire::tracker::{ClientMessage, TrackerMessage};

use super::{Event, World, address};

/// How long a message takes at least.
const LATENCY: Span = Span(200);

/// How long a dial takes to fail when nobody answers.
const DIAL_TIMEOUT: Span = Span::from_secs(5);

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialler {
    Tracker(usize, u32),
    Client(usize),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) dialler: Dialler,
    pub(super) acceptor: (usize, u32),
    /// Whether each end still has it: the dialler's, the acceptor's.
    up: [bool; 2],
    /// Nothing arrives any more.
    broken: bool,
    /// When the last message arrives that is on its way, in either direction.
    busy: Time,
}

impl World {
    fn delay(&mut self) -> Span {
        Span(LATENCY.0 + self.draw(800))
    }

    /// Plans the arrival of something on a link, after what was sent on it before.
    pub(super) fn travel(&mut self, link: LinkId, event: Event) {
        let at = self.now + self.delay();
        let Some(line) = self.lines.get_mut(&link) else { return };
        let at = at.max(line.busy);
        line.busy = at;
        self.plan(at, event);
    }

    /// A tracker does something with a link, which it was not told is no more.
    pub(super) fn assert_stands(&self, node: usize, link: LinkId) {
        let me = (node, self.nodes[node].life);
        let stands = self.lines.get(&link).is_some_and(|line| match line.dialler {
            Dialler::Tracker(dialler, life) if (dialler, life) == me => line.up[0],
            _ => line.acceptor == me && line.up[1],
        });
        let name = &self.name;
        assert!(stands, "seed {name}: tracker {} names {link:?}, which is down, at {}", node + 1, self.now);
    }

    pub(super) fn sent(&mut self, node: usize, link: LinkId) {
        self.assert_stands(node, link);
        let life = self.nodes[node].life;
        self.plan(self.now + Span(50), Event::Sent { node, life, link });
    }

    pub(super) fn refund(&mut self, node: usize, life: u32, link: LinkId) {
        let Some(line) = self.lines.get(&link) else { return };
        let side = usize::from(line.dialler != Dialler::Tracker(node, life));
        if self.nodes[node].life == life && line.up[side] {
            self.give(node, Input::Sent { link, messages: 1 });
        }
    }

    /// Whether a link's two ends can reach each other.
    fn is_through(&self, line: &Line) -> bool {
        let cut = match line.dialler {
            Dialler::Tracker(from, _) => self.is_cut(from, line.acceptor.0),
            Dialler::Client(_) => false,
        };
        !line.broken && !cut
    }

    pub(super) fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cuts.contains(&(one.min(other), one.max(other)))
    }

    /// What is lost on a link takes all after it along.
    fn arrives(&mut self, link: LinkId) -> bool {
        let Some(line) = self.lines.get(&link) else { return false };
        let through = self.is_through(line);
        if let Some(line) = self.lines.get_mut(&link) {
            line.broken |= !through;
        }
        through
    }

    pub(super) fn tracker_gets(&mut self, link: LinkId, message: ClientMessage) {
        if !self.arrives(link) {
            return;
        }
        let line = &self.lines[&link];
        let ((node, life), up) = (line.acceptor, line.up[1]);
        if up && self.nodes[node].life == life {
            self.give(node, Input::Message { link, message });
        }
    }

    pub(super) fn tracker_says(&mut self, link: LinkId, message: TrackerMessage) {
        if !self.arrives(link) {
            return;
        }
        let line = &self.lines[&link];
        let (dialler, up) = (line.dialler, line.up[0]);
        match dialler {
            _ if !up => {}
            Dialler::Client(client) => self.client_hears(client, link, message),
            Dialler::Tracker(node, life) => {
                if message == TrackerMessage::Pong && self.nodes[node].life == life {
                    self.give(node, Input::Echo { link });
                }
            }
        }
    }

    pub(super) fn dial(&mut self, node: usize, life: u32, to: u16, expected: Option<DeviceId>) {
        let timed_out =
            self.is_cut(node, usize::from(to) - 1) || self.nodes[usize::from(to) - 1].stopped > self.now;
        let delay = if timed_out { DIAL_TIMEOUT } else { self.delay() * 2 };
        self.plan(self.now + delay, Event::Dialled { node, life, to, expected, timed_out });
    }

    pub(super) fn dialled(
        &mut self,
        node: usize,
        life: u32,
        to: u16,
        expected: Option<DeviceId>,
        timed_out: bool,
    ) {
        if self.nodes[node].life != life {
            return;
        }
        let there = usize::from(to) - 1;
        let device = self.key(there);
        let refused = expected.is_some_and(|expected| expected != device);
        if timed_out || refused || self.nodes[there].machine.is_none() || self.is_cut(node, there) {
            return self.give(node, Input::Unreached { tracker: to });
        }
        let link = self.connect(Dialler::Tracker(node, life), there);
        let from = address(node).ip();
        self.give(there, Input::LinkUp { link, device: self.key(node), from });
        self.give(node, Input::Reached { tracker: to, link, device });
    }

    pub(super) fn connect(&mut self, dialler: Dialler, there: usize) -> LinkId {
        self.lines_ever += 1;
        let link = LinkId(self.lines_ever);
        let acceptor = (there, self.nodes[there].life);
        self.lines.insert(link, Line { dialler, acceptor, up: [true; 2], broken: false, busy: self.now });
        link
    }

    /// A tracker ends a link; the other end hears of it, unless the network is cut.
    pub(super) fn close(&mut self, node: usize, link: LinkId) {
        let life = self.nodes[node].life;
        let Some(line) = self.lines.get(&link) else { return };
        let is_dialler = line.dialler == Dialler::Tracker(node, life);
        self.plan(self.now, Event::Down { link, dialler: is_dialler });
        self.travel(link, Event::Down { link, dialler: !is_dialler });
    }

    /// A client ends a link.
    pub(super) fn hang_up(&mut self, link: LinkId) {
        if let Some(line) = self.lines.get_mut(&link) {
            line.up[0] = false;
        }
        self.travel(link, Event::Down { link, dialler: false });
    }

    /// One end of a link finds that it is no more.
    pub(super) fn down(&mut self, link: LinkId, dialler: bool) {
        let side = usize::from(!dialler);
        let Some(line) = self.lines.get_mut(&link) else { return };
        if !core::mem::take(&mut line.up[side]) {
            return;
        }
        line.broken = true;
        let (whom, acceptor) = (line.dialler, line.acceptor);
        match (dialler, whom) {
            (true, Dialler::Client(client)) => self.client_cut(client, link),
            (true, Dialler::Tracker(node, life)) => self.tell_down(node, life, link),
            (false, _) => self.tell_down(acceptor.0, acceptor.1, link),
        }
        if self.lines.get(&link).is_some_and(|line| line.up == [false; 2]) {
            self.lines.remove(&link);
        }
    }

    fn tell_down(&mut self, node: usize, life: u32, link: LinkId) {
        if self.nodes[node].life == life {
            self.give(node, Input::LinkDown { link });
        }
    }

    /// All links that `which` names break; both ends hear of it soon.
    pub(super) fn reset(&mut self, which: impl Fn(&Line) -> bool) {
        let links: Vec<LinkId> =
            self.lines.iter().filter(|(_, line)| which(line)).map(|(link, _)| *link).collect();
        for link in links {
            if let Some(line) = self.lines.get_mut(&link) {
                line.broken = true;
            }
            for dialler in [true, false] {
                let at = self.now + self.delay();
                self.plan(at, Event::Down { link, dialler });
            }
        }
    }

    /// All links of a tracker break.
    pub(super) fn reset_links_of(&mut self, node: usize) {
        self.reset(|line| {
            line.acceptor.0 == node || matches!(line.dialler, Dialler::Tracker(from, _) if from == node)
        });
    }

    /// All links between two trackers break.
    pub(super) fn reset_links_between(&mut self, one: usize, other: usize) {
        self.reset(|line| match line.dialler {
            Dialler::Tracker(from, _) => {
                (from, line.acceptor.0) == (one, other) || (from, line.acceptor.0) == (other, one)
            }
            Dialler::Client(_) => false,
        });
    }

    /// Until when the one whom an event is for is stopped, if it is.
    pub(super) fn stopped_until(&self, event: &Event) -> Option<Time> {
        let node = match event {
            Event::Wake(node)
            | Event::Dialled { node, .. }
            | Event::Sent { node, .. }
            | Event::Written { node, .. } => *node,
            Event::ToTracker { link, .. } | Event::Down { link, dialler: false } => {
                self.lines.get(link)?.acceptor.0
            }
            Event::FromTracker { link, .. } | Event::Down { link, dialler: true } => {
                match self.lines.get(link)?.dialler {
                    Dialler::Tracker(node, _) => node,
                    Dialler::Client(_) => return None,
                }
            }
            Event::Client(_) => return None,
        };
        Some(self.nodes[node].stopped).filter(|until| *until > self.now)
    }
}
