//! How connections come up, carry messages and pieces, and end.

use engine::id::{DialId, FileId, JobId, LinkId};
use engine::limits::LINK_CREDIT;
use engine::peer::io::{DialFailure, Input as PeerInput, Outcome};
use engine::piece::Extent;
use engine::time::{Span, Time};
use engine::tracker::io::Input as TrackerInput;
use engine::violation::Violation;
use engine::wire::codec;
use engine::wire::peer::PeerMessage;
use engine::wire::tracker::{ClientMessage, Request, TrackerMessage};

use crate::checks::Sabotage;
use crate::content::Bytes;
use crate::network::{Connection, End, NodeId, Packet, Transfer, duration};
use crate::node::{Heard, Kind, Node, node_at};
use crate::scenario::{Behaviour, FaultKind};
use crate::world::{Event, TRACKER, World};

/// How soon messages have left for the network, and how many the shell counts before it says so: four times in what a link may have unsent.
const LEAVES_AFTER: Span = Span(20);
const REFUND: u32 = LINK_CREDIT / 4;

/// How long a connection with nobody at the other end stands before that is found out.
const GHOST: Span = Span::from_secs(5);

impl World {
    pub(crate) fn dial(&mut self, node: NodeId, dial: Option<DialId>, to: std::net::SocketAddr) {
        let latency = self.nodes[node.0].line.access.latency;
        let life = self.nodes[node.0].life;
        self.future.plan(self.now + latency * 2, Event::Dialled { node, life, dial, to });
    }

    pub(crate) fn dialled(
        &mut self,
        node: NodeId,
        life: u32,
        dial: Option<DialId>,
        to: std::net::SocketAddr,
    ) {
        if self.nodes[node.0].life != life {
            return;
        }
        let there = node_at(to).filter(|there| self.nodes.get(there.0).is_some_and(Node::is_up));
        let there = there.filter(|there| self.faults.cut_off(node, *there, self.now).is_none());
        let Some(there) = there else {
            if node_at(to) == Some(TRACKER) {
                self.faults.late_word(node, self.now);
            }
            if let Some(dial) = dial {
                self.give_peer(node, PeerInput::DialFailed { dial, why: DialFailure::Unreachable });
            }
            return;
        };
        let ends = [End::new(node, life), End::new(there, self.nodes[there.0].life)];
        let access = |id: NodeId| self.nodes[id.0].line.access.latency;
        let latency = access(node).max(access(there));
        if self.nodes[node.0].is_honest() != self.nodes[there.0].is_honest() {
            self.watch.bad_pairs.insert((node.min(there), node.max(there)));
        }
        let twin = self.faults.strikes(node, FaultKind::DuplicateLinks).map(|_| self.faults.toss());
        if twin == Some(true) {
            self.ghost((node, there), latency);
        }
        let link = self.links.insert(Connection { ends, latency, ending: false });
        self.nodes[node.0].links.push(link);
        self.nodes[there.0].links.push(link);
        self.link_up(link, 1, None);
        self.link_up(link, 0, dial);
        if twin == Some(false) {
            self.ghost((node, there), latency);
        }
    }

    /// A connection that stands at one side only: whoever dialled gave it up before it knew that it stood.
    fn ghost(&mut self, (from, to): (NodeId, NodeId), latency: Span) {
        let mut ends = [from, to].map(|node| End::new(node, self.nodes[node.0].life));
        ends[0].up = false;
        let link = self.links.insert(Connection { ends, latency, ending: true });
        self.nodes[to.0].links.push(link);
        self.future.plan(self.now + GHOST, Event::Down { link, side: 1 });
        self.link_up(link, 1, None);
    }

    /// A connection breaks at once: what is on its way is lost.
    pub(crate) fn reset_link(&mut self, link: LinkId) {
        let now = self.now;
        let Some(connection) = self.links.get_mut(link).filter(|connection| !connection.ending) else {
            return;
        };
        connection.ending = true;
        let ends = [connection.ends[0].node, connection.ends[1].node];
        self.faults.broke(ends, now);
        for side in [0, 1] {
            self.future.plan(now, Event::Down { link, side });
        }
    }

    fn link_up(&mut self, link: LinkId, side: usize, dial: Option<DialId>) {
        let Some(connection) = self.links.get(link) else { return };
        let (node, other) = (connection.ends[side].node, connection.ends[1 - side].node);
        let device = self.nodes[other.0].device;
        let mut from = self.nodes[other.0].address;
        if side == 1 {
            from.set_port(50_000);
        }
        match &self.nodes[node.0].kind {
            Kind::Client(_) => self.give_peer(node, PeerInput::LinkUp { link, dial, device, from }),
            Kind::Tracker(_) => self.give_tracker(TrackerInput::LinkUp { link, device, from: from.ip() }),
            Kind::Puppet(_) => self.puppet_hears(node, link, Heard::Up(other)),
        }
    }

    /// Says something on a connection.
    pub(crate) fn send_packet(&mut self, from: NodeId, link: LinkId, packet: Packet) {
        if self.checks {
            check_codec(&packet);
        }
        if self.passes_out(from, link, &packet) {
            self.put_on_wire(from, link, packet);
        }
    }

    /// Says the same on several connections. Where it arrives at the same time it is one event.
    pub(crate) fn send_to_all(&mut self, from: NodeId, links: &[LinkId], message: PeerMessage) {
        let packet = Packet::Peer(message);
        if self.checks {
            check_codec(&packet);
        }
        links.iter().for_each(|link| self.links.fetch(*link));
        let mut groups: Vec<(Time, Vec<(LinkId, usize)>)> = Vec::new();
        for link in links {
            if !self.passes_out(from, *link, &packet) {
                continue;
            }
            let Some((at, to)) = self.arrival(from, *link) else { continue };
            match groups.iter_mut().find(|(other, _)| *other == at) {
                Some((_, group)) => group.push((*link, to)),
                None => groups.push((at, vec![(*link, to)])),
            }
        }
        let Packet::Peer(message) = packet else { return };
        for (at, to) in groups {
            self.future.plan(at, Event::Spread { to: to.into(), message: message.clone() });
        }
    }

    /// Whether something leaves a node, which pays for it in any case.
    fn passes_out(&mut self, from: NodeId, link: LinkId, packet: &Packet) -> bool {
        let engine = !matches!(self.nodes[from.0].kind, Kind::Puppet(_));
        let Some(connection) = self.links.get_mut(link) else {
            assert!(!engine, "{from:?} says something on a link that is no more: {packet:?}");
            return false;
        };
        let side = connection.side(from);
        let end = &mut connection.ends[side];
        assert!(
            !engine || (end.up && !end.closed) || end.unheard,
            "{from:?} says something on a link that it ended: {packet:?}"
        );
        if engine && end.unheard {
            return false;
        }
        note_opened(end, packet);
        if engine {
            end.unsent += 1;
            assert!(end.unsent <= LINK_CREDIT, "{from:?} sends on credit only");
            if end.unsent % REFUND == 0 {
                self.future.plan(self.now + LEAVES_AFTER, Event::Refund { link, side });
            }
        }
        !(engine && self.falls_silent(from, packet))
    }

    /// Whether somebody who opens files and then says nothing would say this.
    fn falls_silent(&mut self, from: NodeId, packet: &Packet) -> bool {
        let Kind::Client(client) = &self.nodes[from.0].kind else { return false };
        let silent = client.behaviour == Behaviour::Silent
            && matches!(packet, Packet::Peer(message) if !is_introduction(message));
        if silent {
            self.faults.fire(Behaviour::Silent.name());
        }
        silent
    }

    /// A message is on its way, whoever paid for it.
    pub(crate) fn put_on_wire(&mut self, from: NodeId, link: LinkId, packet: Packet) {
        if self.is_broken(Sabotage::SwallowsExpulsions) && is_expulsion(&packet) {
            return;
        }
        let Some((at, to)) = self.arrival(from, link) else { return };
        match packet {
            Packet::Peer(message) => self.future.plan(at, Event::Said { link, to, message }),
            packet => self.future.plan(at, Event::Packet { link, to, packet: Box::new(packet) }),
        }
    }

    /// When what a node says now on a connection arrives, and at which side.
    fn arrival(&mut self, from: NodeId, link: LinkId) -> Option<(Time, usize)> {
        let connection = self.links.get_mut(link)?;
        let to = 1 - connection.side(from);
        let there = &mut connection.ends[to];
        let soon = self.now + connection.latency;
        let arrival = self.faults.arrival((from, there.node), self.now, soon);
        there.last_delivery = there.last_delivery.max(arrival);
        Some((there.last_delivery, to))
    }

    pub(crate) fn refund(&mut self, link: LinkId, side: usize) {
        let Some(connection) = self.links.get_mut(link) else { return };
        let end = &mut connection.ends[side];
        let mut messages = std::mem::take(&mut end.unsent);
        let node = end.node;
        if messages == 0 || !end.up || self.nodes[node.0].life != end.life {
            return;
        }
        if self.is_broken(Sabotage::RefundsTwice) {
            messages *= 2;
        }
        match &self.nodes[node.0].kind {
            Kind::Client(_) => self.give_peer(node, PeerInput::Sent { link, messages }),
            Kind::Tracker(_) => self.give_tracker(TrackerInput::Sent { link, messages }),
            Kind::Puppet(_) => {}
        }
    }

    /// The node at one side, if that side still lives and was not told of the end.
    fn listener(&self, link: LinkId, side: usize) -> Option<NodeId> {
        let end = &self.links.get(link)?.ends[side];
        (end.up && self.nodes[end.node.0].life == end.life).then_some(end.node)
    }

    pub(crate) fn deliver(&mut self, link: LinkId, to: usize, packet: Packet) {
        let Some(node) = self.listener(link, to) else { return };
        match (&self.nodes[node.0].kind, packet) {
            (Kind::Puppet(_), packet) => self.puppet_hears(node, link, Heard::Said(packet)),
            (Kind::Client(_), Packet::Peer(message)) => {
                self.give_peer(node, PeerInput::Message { link, message });
            }
            (Kind::Client(_), Packet::Tracker(message)) => {
                self.give_peer(node, PeerInput::Tracker { link, message });
            }
            (Kind::Tracker(_), Packet::Client(message)) => {
                self.give_tracker(TrackerInput::Message { link, message });
            }
            (Kind::Client(_) | Kind::Tracker(_), packet) => self.refuse(node, link, &packet),
        }
    }

    /// The shell ends a link on which the wrong role speaks.
    fn refuse(&mut self, node: NodeId, link: LinkId, packet: &Packet) {
        assert!(self.checks || matches!(packet, Packet::Peer(_)), "only somebody driven by hand gets here");
        self.break_off(node, link, Violation::WrongRole);
    }

    /// A node's shell ends a connection on which the other side broke the rules; the machine hears of it when it is down.
    fn break_off(&mut self, node: NodeId, link: LinkId, violation: Violation) {
        self.close(node, link, Some(violation));
        if let Some(connection) = self.links.get_mut(link) {
            let side = connection.side(node);
            connection.ends[side].unheard = true;
        }
    }

    pub(crate) fn deliver_all(&mut self, to: &[(LinkId, usize)], message: &PeerMessage) {
        self.events += to.len() as u64 - 1;
        for (link, side) in to {
            self.deliver(*link, *side, Packet::Peer(message.clone()));
        }
    }

    pub(crate) fn deliver_piece(&mut self, link: LinkId, to: usize, file: FileId, bytes: Bytes) {
        let Some(node) = self.listener(link, to) else { return };
        if matches!(self.nodes[node.0].kind, Kind::Puppet(_)) {
            self.watch.taken(node, self.now);
            return self.puppet_hears(node, link, Heard::Piece(bytes.piece));
        }
        let Some(connection) = self.links.get_mut(link) else { return };
        let from = connection.ends[1 - to].node;
        let end = &mut connection.ends[to];
        if end.closed {
            return;
        }
        match end.notes.expected.remove(&(file, bytes.piece)) {
            Some(Some(slot)) => {
                let Kind::Client(client) = &mut self.nodes[node.0].kind else { return };
                client.slots.insert(slot, bytes);
                *client.received.or_default(from) += 1;
                self.pieces_delivered += 1;
                self.watch.delivered(from, &bytes);
                let extent = Extent { file, piece: bytes.piece, len: bytes.len };
                self.give_peer(node, PeerInput::Block { link, extent, slot });
            }
            Some(None) => {}
            None => self.break_off(node, link, Violation::UnrequestedData),
        }
    }

    /// A node ends a connection, after what it sent before.
    pub(crate) fn close(&mut self, node: NodeId, link: LinkId, violation: Option<Violation>) {
        if let Some(violation) = violation {
            self.narrate(node, || format!("blames the other end of {link:?}: {violation}"));
            self.blame(node, link, violation);
        }
        let Some(connection) = self.links.get_mut(link) else { return };
        let side = connection.side(node);
        connection.ends[side].closed = true;
        let other = connection.ends[1 - side].node;
        if let (Some(violation), Kind::Puppet(puppet)) = (violation, &mut self.nodes[other.0].kind) {
            puppet.heard.push((link, Heard::Down(Some(violation))));
        }
        self.end_link(link);
        self.stop_transfers(node, Some(link));
    }

    /// Lets the end of a connection come to both sides.
    pub(crate) fn end_link(&mut self, link: LinkId) {
        let now = self.now;
        let Some(connection) = self.links.get_mut(link).filter(|connection| !connection.ending) else {
            return;
        };
        connection.ending = true;
        for side in [0, 1] {
            let end = &connection.ends[side];
            let at = end.last_delivery.max(now + connection.latency);
            self.future.plan(at, Event::Down { link, side });
        }
    }

    pub(crate) fn link_down(&mut self, link: LinkId, side: usize) {
        let listener = self.listener(link, side);
        let Some(connection) = self.links.get_mut(link) else { return };
        connection.ends[side].up = false;
        let node = connection.ends[side].node;
        if connection.ends.iter().all(|end| !end.up) {
            self.links.remove(link);
        }
        self.nodes[node.0].links.retain(|other| *other != link);
        let Some(node) = listener else { return };
        self.stop_transfers(node, Some(link));
        match &self.nodes[node.0].kind {
            Kind::Client(_) => self.give_peer(node, PeerInput::LinkDown { link }),
            Kind::Tracker(_) => self.give_tracker(TrackerInput::LinkDown { link }),
            Kind::Puppet(_) => self.puppet_hears(node, link, Heard::Down(None)),
        }
    }

    /// Begins to send a piece, when the uplink is free.
    pub(crate) fn send_piece(
        &mut self,
        node: NodeId,
        job: JobId,
        link: LinkId,
        extent: Extent,
        theirs: FileId,
    ) {
        let open = self.links.get(link).is_some_and(|connection| {
            let end = &connection.ends[connection.side(node)];
            end.up && !end.closed
        });
        if !open {
            return self.end_job(node, job, Outcome::Stopped);
        }
        self.check_may_send(node, link, extent.file);
        let Kind::Client(client) = &mut self.nodes[node.0].kind else { return };
        let bytes = match client.disk.read(extent) {
            Ok(bytes) => bytes,
            Err(why) => return self.end_job(node, job, Outcome::Failed(why)),
        };
        let behaviour = client.behaviour;
        let mut transfer = Transfer { job, link, extent, theirs, bytes };
        transfer.bytes.spoilt = self.spoils(node, behaviour, extent.piece);
        match behaviour {
            Behaviour::Mute => {
                self.faults.fire(behaviour.name());
                self.client_mut(node).held_back.push(transfer);
            }
            Behaviour::Liar => {
                self.faults.fire(behaviour.name());
                let cancelled = PeerMessage::Cancelled { file: extent.file, piece: extent.piece };
                self.put_on_wire(node, link, Packet::Peer(cancelled));
                self.end_job(node, job, Outcome::Stopped);
            }
            _ => {
                if self.is_broken(Sabotage::RepeatsTransfers) {
                    self.nodes[node.0].line.waiting.extend([transfer; 16]);
                }
                self.nodes[node.0].line.waiting.push_back(transfer);
                self.use_uplink(node);
            }
        }
    }

    /// Whether a piece leaves a node with other bytes than it should have.
    fn spoils(&mut self, node: NodeId, behaviour: Behaviour, piece: u32) -> bool {
        let corrupt = behaviour == Behaviour::Corrupt;
        if corrupt {
            self.faults.fire(behaviour.name());
        }
        corrupt
            || self.is_broken(Sabotage::SpoilsInTransit)
            || self.faults.has_spoilt(node, piece)
            || self.faults.strikes(node, FaultKind::CorruptPieces).is_some()
    }

    fn use_uplink(&mut self, node: NodeId) {
        let now = self.now;
        let hurry = if self.is_broken(Sabotage::IsTooFast) { 2 } else { 1 };
        let line = &mut self.nodes[node.0].line;
        if line.current.is_some() {
            return;
        }
        let Some(transfer) = line.waiting.pop_front() else { return };
        line.begun += 1;
        line.current = Some((transfer, now, line.begun));
        let took = duration(transfer.extent.len, line.access.up * hurry);
        self.future.plan(now + took, Event::Uplink { node, begun: line.begun });
    }

    pub(crate) fn uplink_free(&mut self, node: NodeId, begun: u64) {
        let line = &mut self.nodes[node.0].line;
        let Some((transfer, began, _)) = line.current.take_if(|(_, _, current)| *current == begun) else {
            return;
        };
        self.watch.left(node, u64::from(transfer.extent.len));
        if matches!(&self.nodes[node.0].kind, Kind::Client(client) if client.behaviour == Behaviour::Halves) {
            self.faults.fire(Behaviour::Halves.name());
            self.reset_link(transfer.link);
        } else {
            self.piece_left(node, transfer, began);
        }
        self.use_uplink(node);
        self.piece_sent(node, transfer.job);
    }

    /// The last byte of a piece left: it comes in at the other side when that has room for it.
    fn piece_left(&mut self, node: NodeId, transfer: Transfer, began: Time) {
        let Some(connection) = self.links.get_mut(transfer.link) else { return };
        let to = 1 - connection.side(node);
        let end = &mut connection.ends[to];
        let in_at = self.nodes[end.node.0].line.come_in(began, self.now, transfer.extent.len);
        #[cfg(test)]
        self.watch.moved.push(crate::watch::Moved {
            from: node,
            to: end.node,
            len: transfer.extent.len,
            began,
            arrived: in_at,
        });
        let arrival = self.faults.arrival((node, end.node), self.now, in_at + connection.latency);
        end.last_delivery = end.last_delivery.max(arrival);
        let event = Event::Piece { link: transfer.link, to, file: transfer.theirs, bytes: transfer.bytes };
        self.future.plan(end.last_delivery, event);
    }

    /// Stops one piece that is being sent.
    pub(crate) fn stop_transfer(&mut self, node: NodeId, job: JobId) {
        self.stop_where(node, |transfer| transfer.job == job);
    }

    /// Stops all pieces that are being sent on a link.
    fn stop_transfers(&mut self, node: NodeId, link: Option<LinkId>) {
        self.stop_where(node, |transfer| link.is_none_or(|link| transfer.link == link));
    }

    fn stop_where(&mut self, node: NodeId, which: impl Fn(&Transfer) -> bool) {
        let mut stopped = Vec::new();
        let there = &mut self.nodes[node.0];
        if let Some((transfer, began, _)) = there.line.current.take_if(|(transfer, ..)| which(transfer)) {
            stopped.push(transfer.job);
            self.watch.left(node, there.line.cut_off(began, self.now));
        }
        let line = &mut there.line.waiting;
        stopped.extend(line.iter().filter(|transfer| which(transfer)).map(|transfer| transfer.job));
        line.retain(|transfer| !which(transfer));
        if let Kind::Client(client) = &mut there.kind {
            let held = &mut client.held_back;
            stopped.extend(held.iter().filter(|transfer| which(transfer)).map(|transfer| transfer.job));
            held.retain(|transfer| !which(transfer));
        }
        for job in stopped {
            self.end_job(node, job, Outcome::Stopped);
        }
        self.use_uplink(node);
    }
}

fn is_expulsion(packet: &Packet) -> bool {
    use TrackerMessage as M;
    matches!(
        packet,
        Packet::Tracker(M::Expelled { .. } | M::Expulsions(_) | M::Notice(_) | M::NotListed { .. })
    )
}

/// What one says who says no more than that it is there.
const fn is_introduction(message: &PeerMessage) -> bool {
    use PeerMessage as M;
    matches!(message, M::Show(_) | M::Seen { .. } | M::Open(_) | M::Bits { .. })
}

/// Notes what a message says about groups and logins, for the checkers.
fn note_opened(end: &mut End, packet: &Packet) {
    match packet {
        Packet::Peer(engine::wire::peer::PeerMessage::Open(open)) => {
            end.notes.opened.push((open.file, open.group.clone()));
        }
        Packet::Client(ClientMessage::Request { seq, request }) => {
            if let Request::Login { user, .. } = &**request {
                end.notes.logins.push((*seq, user.clone()));
            }
        }
        _ => {}
    }
}

/// What is said survives the wire, and fits into a frame.
fn check_codec(packet: &Packet) {
    macro_rules! survives {
        ($message:expr) => {{
            let bytes = codec::encode($message);
            assert!(bytes.len() <= engine::limits::FRAME_LEN_MAX, "a message fits into a frame: {packet:?}");
            assert_eq!(codec::decode(&bytes).as_ref(), Ok($message));
        }};
    }
    match packet {
        Packet::Peer(message) => survives!(message),
        Packet::Client(message) => survives!(message),
        Packet::Tracker(message) => survives!(message),
    }
}
