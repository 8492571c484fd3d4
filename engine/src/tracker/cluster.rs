//! The other trackers of the list: links to them, what they say of themselves, and how words and snapshots reach them.
//!
//! Each tracker dials each other one and speaks on the link it dialled; on links that it accepted it listens. A link belongs to a tracker if
//! its key is the one of the member of that number, or else the one that was found at that tracker's address, by the list or at the first
//! contact. From anybody else nothing is taken but a hello, which a person at the console may look at.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::io::Action;
use super::members::{Members, Whole, say};
use super::swarm::Key;
use super::{Outbox, Tracker};
use crate::id::{DeviceId, LinkId};
use crate::limits::{LINK_CREDIT, NOTES_PER_MESSAGE, SNAPSHOT_LEN_MAX, SNAPSHOT_PART_LEN_MAX};
use crate::time::{Span, Time};
use crate::violation::Violation;
use crate::wire::cluster::{ClusterMessage, Hello, RaftMessage, ReplicaId, SnapshotPart};
use crate::wire::codec;
use crate::wire::list::List;
use crate::wire::tracker::ClientMessage;

/// How long a tracker that was not reached is left alone.
const REDIAL: Span = Span::from_millis(500);

/// How often a tracker says hello.
const HELLO: Span = Span::from_secs(1);

/// How long a link bears silence from the other end, which answers every hello.
const SILENCE: Span = Span::from_secs(5);

/// Another tracker of the list, as the shell knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "recording", derive(bincode::Encode, bincode::Decode))]
pub struct Listed {
    /// Its place in the list, from 1.
    pub number: u16,
    /// Its address.
    pub address: SocketAddr,
    /// Its key, if the list says one or it was met before.
    pub device: Option<DeviceId>,
}

/// The other trackers.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    colleagues: Vec<Colleague>,
    /// Which tracker leads, as far as the person at the console was told.
    pub(super) told_leader: Option<u16>,
}

#[derive(Debug)]
struct Colleague {
    number: u16,
    address: SocketAddr,
    /// The key at its address, or that of the member of its number.
    key: Option<DeviceId>,
    out: Out,
    /// What it said of itself last, on a link that still stands, and with which key.
    said: Option<(LinkId, DeviceId, Hello)>,
    heard: Option<Time>,
    /// Whether it said something of its clients that was not taken in, since its key was not known.
    missed: bool,
    /// A snapshot on its way there.
    parcel: Option<Parcel>,
    /// A snapshot on its way here.
    arriving: Option<Arriving>,
    /// Clients, and what they have of files, that it has not been told of as they are now.
    dirty: BTreeSet<(LinkId, Option<Key>)>,
}

#[derive(Debug)]
enum Out {
    Down {
        until: Time,
    },
    /// The shell answers every dial.
    Dialling,
    Up(Up),
}

#[derive(Debug)]
struct Up {
    link: LinkId,
    /// Whether hello was said: before it nothing else is.
    greeted: bool,
    credit: u32,
    heard: Time,
    hello_due: Time,
}

#[derive(Debug)]
struct Parcel {
    head: RaftMessage,
    bytes: Box<[u8]>,
    sent: usize,
}

#[derive(Debug)]
struct Arriving {
    head: RaftMessage,
    len: u64,
    bytes: Vec<u8>,
}

/// Another tracker, for those who want to know how things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColleagueStatus {
    /// Its place in the list.
    pub number: u16,
    /// Its address.
    pub address: SocketAddr,
    /// Its key, if it has said hello, or else the one it must have.
    pub device: Option<DeviceId>,
    /// Whether it is a member of the cluster, with the replica that it has now.
    pub is_member: bool,
    /// When it was heard last.
    pub heard: Option<Time>,
    /// Entries of the log that it lacks, if this tracker leads.
    pub lag: Option<u64>,
}

impl Colleague {
    fn new(listed: &Listed) -> Colleague {
        Colleague {
            number: listed.number,
            address: listed.address,
            key: listed.device,
            out: Out::Down { until: Time::default() },
            said: None,
            heard: None,
            missed: false,
            parcel: None,
            arriving: None,
            dirty: BTreeSet::new(),
        }
    }

    /// Whether it said something lately.
    fn is_heard(&self, now: Time) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) < SILENCE)
    }

    /// What it said of itself, if it is the one that it must be.
    fn hello(&self) -> Option<&Hello> {
        self.said.as_ref().filter(|(_, device, _)| Some(*device) == self.key).map(|(_, _, hello)| hello)
    }

    /// From now on it must have this key. Gives the link on which it said something that was missed before.
    fn know(&mut self, key: DeviceId) -> Option<LinkId> {
        self.key = Some(key);
        let (link, ..) = self.said.as_ref().filter(|(_, device, _)| *device == key && self.missed)?;
        Some(*link)
    }

    fn speak(&mut self, message: ClientMessage, outbox: &mut Outbox) -> bool {
        let Out::Up(up) = &mut self.out else { return false };
        let enough = up.greeted && up.credit > 0;
        if enough {
            up.credit -= 1;
            outbox.push(Action::Speak { link: up.link, message });
        }
        enough
    }

    fn has_room(&self) -> bool {
        matches!(&self.out, Out::Up(up) if up.greeted && up.credit > LINK_CREDIT / 2)
    }

    fn is_up_on(&self, link: LinkId) -> bool {
        matches!(&self.out, Out::Up(up) if up.link == link)
    }
}

impl Cluster {
    pub(super) fn new(others: &[Listed]) -> Cluster {
        Cluster { told_leader: None, colleagues: others.iter().map(Colleague::new).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.colleagues.is_empty()
    }

    fn of_number(&mut self, number: u16) -> Option<&mut Colleague> {
        self.colleagues.iter_mut().find(|colleague| colleague.number == number)
    }

    fn of_replica(&mut self, id: ReplicaId) -> Option<&mut Colleague> {
        self.colleagues
            .iter_mut()
            .find(|colleague| colleague.hello().is_some_and(|hello| hello.replica == id))
    }

    fn of_link(&mut self, link: LinkId) -> Option<&mut Colleague> {
        self.colleagues.iter_mut().find(|colleague| colleague.is_up_on(link))
    }

    pub(super) fn is_ours(&self, link: LinkId) -> bool {
        self.colleagues.iter().any(|colleague| colleague.is_up_on(link))
    }

    /// The key that the tracker of that number must have, if one is known.
    pub(super) fn key(&self, number: u16) -> Option<DeviceId> {
        self.colleagues.iter().find(|colleague| colleague.number == number)?.key
    }

    /// Replica, number and key of all others, if each has said that it is blank.
    pub(super) fn all_blank(&self) -> Option<Vec<(ReplicaId, u16, DeviceId)>> {
        let blank = |colleague: &Colleague| {
            let hello = colleague.hello().filter(|hello| hello.blank && hello.generation == 0)?;
            Some((hello.replica, colleague.number, colleague.key?))
        };
        self.colleagues.iter().map(blank).collect()
    }

    /// Those that are here, came over to this generation or from none, and are no members. What one said in an earlier generation, or
    /// before it fell silent, may name a replica that is no more.
    pub(super) fn comers(
        &self,
        members: &Members,
        generation: u64,
        now: Time,
    ) -> Vec<(ReplicaId, u16, DeviceId)> {
        let here = |colleague: &Colleague| {
            let hello = colleague.hello().filter(|_| colleague.is_heard(now))?;
            let comes = hello.blank && [0, generation].contains(&hello.generation);
            let is_new = !members.contains(hello.replica);
            (comes && is_new).then_some((hello.replica, colleague.number, colleague.key?))
        };
        self.colleagues.iter().filter_map(here).collect()
    }

    /// Replica and key of whoever said hello as the tracker of that number.
    pub(super) fn comer(&self, number: u16) -> Option<(ReplicaId, DeviceId)> {
        let colleague = self.colleagues.iter().find(|colleague| colleague.number == number)?;
        colleague.said.as_ref().map(|(_, device, hello)| (hello.replica, *device))
    }

    /// When one of the other members was heard last, if any was.
    pub(super) fn members_heard(&self, members: &Members) -> Option<Time> {
        let members = self.colleagues.iter().filter(|colleague| members.number(colleague.number).is_some());
        members.filter_map(|colleague| colleague.heard).max()
    }

    /// Whether no other tracker was heard for a while.
    pub(super) fn is_lonely(&self, now: Time) -> bool {
        !self.colleagues.iter().any(|other| other.is_heard(now))
    }

    /// From now on the members' keys count. Gives links on which something was missed: it is said again on the next.
    #[must_use]
    pub(super) fn trust(&mut self, members: &Members) -> Vec<LinkId> {
        let known = |colleague: &mut Colleague| colleague.know(members.number(colleague.number)?.1.device);
        self.colleagues.iter_mut().filter_map(known).collect()
    }

    /// Notes that the others must be told of a client, or of what it has of a file.
    pub(super) fn mark(&mut self, client: LinkId, file: Option<&Key>) {
        for colleague in self.colleagues.iter_mut().filter(|other| matches!(other.out, Out::Up(_))) {
            colleague.dirty.insert((client, file.cloned()));
        }
    }
}

impl Tracker {
    /// Dials, says hello and gives up on links, as it is due.
    pub(super) fn look_after_links(&mut self, now: Time, outbox: &mut Outbox) {
        outbox.append(&mut self.spoken);
        let has_begun = self.replica.has_begun();
        for index in 0..self.cluster.colleagues.len() {
            let colleague = &mut self.cluster.colleagues[index];
            match &mut colleague.out {
                Out::Down { until } if *until <= now => {
                    colleague.out = Out::Dialling;
                    let (tracker, address) = (colleague.number, colleague.address);
                    let expected = colleague.key;
                    outbox.push(Action::Reach { tracker, address, expected });
                }
                Out::Down { .. } | Out::Dialling => {}
                // Nothing is asked yet, so silence says nothing.
                Out::Up(up) if !has_begun => up.heard = now,
                Out::Up(up) if now.since(up.heard) >= SILENCE => {
                    let link = up.link;
                    outbox.push(Action::Close { link, violation: None });
                    self.colleague_lost(now, link);
                }
                Out::Up(up) if up.hello_due <= now => {
                    up.hello_due = now + HELLO;
                    self.say_hello(index, outbox);
                }
                Out::Up(_) => {}
            }
        }
    }

    fn say_hello(&mut self, index: usize, outbox: &mut Outbox) {
        // Nobody is told of a beginning that the disk does not know of: it could be undone.
        if !self.replica.has_begun() {
            return;
        }
        let blank = self.is_blank();
        let colleague = &mut self.cluster.colleagues[index];
        let theirs = colleague.hello().map(|hello| hello.replica);
        let hello = Hello {
            number: self.number,
            generation: self.replica.generation,
            replica: self.replica.id,
            blank,
            you_are_member: theirs.is_some_and(|id| self.members.contains(id)),
        };
        let Out::Up(up) = &mut colleague.out else { return };
        up.greeted = true;
        let message = ClusterMessage::Hello(hello);
        let said = colleague.speak(ClientMessage::Cluster(Box::new(message)), outbox);
        // Both are small; with no credit left for them the link is dead, and its silence will show.
        let _asked = said && colleague.speak(ClientMessage::Ping, outbox);
    }

    /// Says hello to all at once, since it says something new.
    pub(super) fn greet_colleagues(&mut self, outbox: &mut Outbox) {
        for index in 0..self.cluster.colleagues.len() {
            self.say_hello(index, outbox);
        }
    }

    pub(super) fn colleague_reached(
        &mut self,
        now: Time,
        (number, link): (u16, LinkId),
        device: DeviceId,
        outbox: &mut Outbox,
    ) {
        let members = self.members.number(number).map(|(_, member)| member.device);
        let index = self.cluster.colleagues.iter().position(|colleague| colleague.number == number);
        let index = index.expect("only trackers of the list are dialled");
        let colleague = &mut self.cluster.colleagues[index];
        // A member's key counts more than what answers at its address.
        let missed = colleague.know(members.unwrap_or(device));
        let hello_due = now + HELLO;
        colleague.out = Out::Up(Up { link, greeted: false, credit: LINK_CREDIT, heard: now, hello_due });
        colleague.dirty = self.sessions.logged_in().into_iter().map(|client| (client, None)).collect();
        colleague.dirty.extend(self.swarms.local_parts().map(|(client, key)| (client, Some(key.clone()))));
        self.say_hello(index, outbox);
        self.hang_up(missed, outbox);
    }

    /// Ends links to which the other end is to come back, and to say everything again.
    pub(super) fn hang_up(&mut self, links: impl IntoIterator<Item = LinkId>, outbox: &mut Outbox) {
        for link in links {
            self.drop_link(link);
            outbox.push(Action::Close { link, violation: None });
        }
    }

    pub(super) fn colleague_unreached(&mut self, now: Time, number: u16) {
        if let Some(colleague) = self.cluster.of_number(number) {
            colleague.out = Out::Down { until: now + REDIAL };
        }
    }

    /// A link that was dialled here is no more.
    pub(super) fn colleague_lost(&mut self, now: Time, link: LinkId) {
        let Some(colleague) = self.cluster.of_link(link) else { return };
        colleague.out = Out::Down { until: now + REDIAL };
        colleague.dirty.clear();
        let parcel = colleague.parcel.take();
        let replica = colleague.hello().map(|hello| hello.replica);
        if let Some(parcel) = parcel {
            self.replica.snapshot_left(parcel.head.to, false);
        }
        if let Some(id) = replica {
            self.replica.unreachable(id);
        }
    }

    pub(super) fn colleague_echoed(&mut self, now: Time, link: LinkId) {
        if let Some(Colleague { out: Out::Up(up), .. }) = self.cluster.of_link(link) {
            up.heard = now;
        }
    }

    pub(super) fn colleague_refunds(&mut self, link: LinkId, messages: u32) {
        if let Some(Colleague { out: Out::Up(up), .. }) = self.cluster.of_link(link) {
            up.credit += messages;
            assert!(up.credit <= LINK_CREDIT, "no more credit comes back than was spent");
        }
    }

    /// A link that another tracker dialled is no more.
    pub(super) fn colleague_silenced(&mut self, link: LinkId) {
        let mut others = self.cluster.colleagues.iter_mut();
        let of_link = others.find(|other| other.said.as_ref().is_some_and(|(on, ..)| *on == link));
        if let Some(colleague) = of_link {
            colleague.said = None;
            colleague.missed = false;
            colleague.arriving = None;
            let number = colleague.number;
            self.guests_left(number);
        }
    }

    /// Says something to a replica; false if there is no way to it.
    pub(super) fn speak_to(&mut self, id: ReplicaId, message: ClusterMessage) -> bool {
        let message = ClientMessage::Cluster(Box::new(message));
        self.cluster.of_replica(id).is_some_and(|colleague| colleague.speak(message, &mut self.spoken))
    }

    pub(super) fn send_raft(&mut self, message: RaftMessage) {
        let to = message.to;
        if !self.speak_to(to, ClusterMessage::Raft(Box::new(message))) {
            self.replica.unreachable(to);
        }
    }

    /// Begins to send a snapshot.
    pub(super) fn send_snapshot(&mut self, head: RaftMessage, bytes: Box<[u8]>) {
        let to = head.to;
        match self.cluster.of_replica(to).filter(|colleague| matches!(colleague.out, Out::Up(_))) {
            Some(colleague) => colleague.parcel = Some(Parcel { head, bytes, sent: 0 }),
            None => self.replica.snapshot_left(to, false),
        }
    }

    /// Sends on what is under way, as far as the links have room.
    pub(super) fn forward_parcels(&mut self, outbox: &mut Outbox) {
        let mut left = VecDeque::new();
        for colleague in &mut self.cluster.colleagues {
            while let Some(part) = colleague.has_room().then(|| colleague.parcel.as_mut()?.next()).flatten() {
                let message = ClusterMessage::SnapshotPart(Box::new(part));
                colleague.speak(ClientMessage::Cluster(Box::new(message)), outbox);
            }
            if let Some(parcel) = colleague.parcel.take_if(|parcel| parcel.sent == parcel.bytes.len()) {
                left.push_back(parcel.head.to);
            }
        }
        for id in left {
            self.replica.snapshot_left(id, true);
        }
    }

    /// Tells the others what changed about clients, as far as the links have room.
    pub(super) fn tell_notes(&mut self, outbox: &mut Outbox) {
        for index in 0..self.cluster.colleagues.len() {
            while self.cluster.colleagues[index].has_room()
                && !self.cluster.colleagues[index].dirty.is_empty()
            {
                let mut notes = Vec::new();
                while notes.len() < NOTES_PER_MESSAGE
                    && let Some((client, file)) = self.cluster.colleagues[index].dirty.pop_first()
                {
                    notes.push(self.note(client, file));
                }
                let message = ClusterMessage::Notes(List::new(notes));
                self.cluster.colleagues[index].speak(ClientMessage::Cluster(Box::new(message)), outbox);
            }
        }
    }

    /// Another tracker says something, on a link that it dialled.
    pub(super) fn colleague_says(
        &mut self,
        now: Time,
        link: LinkId,
        message: ClusterMessage,
        outbox: &mut Outbox,
    ) {
        let Some(client) = self.sessions.get(link) else { return };
        let (device, greeted) = (client.device, client.is_tracker);
        if let ClusterMessage::Hello(hello) = message {
            self.sessions.note_tracker(link);
            return self.colleague_says_hello(now, (link, device), hello, outbox);
        }
        let mut others = self.cluster.colleagues.iter_mut();
        let speaker = others.find(|other| {
            other.key == Some(device) && other.said.as_ref().is_some_and(|(on, ..)| *on == link)
        });
        let Some(speaker) = speaker else {
            if !greeted {
                return self.violation(link, Violation::WrongRole, outbox);
            }
            // It may be the right one, whose key is not known here yet. It says all of it again by itself, but for what it tells of its clients.
            let mut others = self.cluster.colleagues.iter_mut();
            let of_link = others.find(|other| other.said.as_ref().is_some_and(|(on, ..)| *on == link));
            if let (Some(colleague), ClusterMessage::Notes(_)) = (of_link, message) {
                colleague.missed = true;
            }
            return;
        };
        speaker.heard = Some(now);
        let number = speaker.number;
        match message {
            ClusterMessage::Hello(_) => unreachable!("it was looked at before"),
            ClusterMessage::Raft(message) => {
                if self.is_for_us(number, &message) {
                    self.replica.step(*message);
                }
            }
            ClusterMessage::SnapshotPart(part) => self.snapshot_arrives(number, link, *part, outbox),
            ClusterMessage::Propose(command) => match codec::decode::<super::registry::Command>(&command) {
                // If this is no leader, or too much waits, it will be sent again.
                Ok(_) => _ = self.replica.propose(command.into_vec()),
                Err(violation) => self.violation(link, violation, outbox),
            },
            ClusterMessage::Reform(reform) => _ = self.replica.reform(&reform),
            ClusterMessage::Notes(notes) => self.take_notes(number, notes.into_vec()),
        }
    }

    fn colleague_says_hello(
        &mut self,
        now: Time,
        (link, device): (LinkId, DeviceId),
        hello: Hello,
        outbox: &mut Outbox,
    ) {
        let (generation, number) = (self.replica.generation, hello.number);
        let Some(colleague) = self.cluster.of_number(number) else {
            return self.violation(link, Violation::WrongRole, outbox);
        };
        let is_known = colleague.key == Some(device);
        let is_news = colleague.said.as_ref().is_none_or(|(_, before, _)| *before != device);
        if !is_known {
            // It may be who it says when a person says so. It never takes the place of one that is known.
            if colleague.hello().is_none() {
                colleague.said = Some((link, device, hello));
            }
            if is_news && colleague.key.is_some() {
                say(
                    outbox,
                    &alloc::format!("somebody with the fingerprint {device} says it is tracker {number}"),
                );
            }
            return;
        }
        let same = colleague
            .said
            .as_ref()
            .is_some_and(|(on, _, before)| *on == link && before.replica == hello.replica);
        colleague.heard = Some(now);
        colleague.said = Some((link, device, hello.clone()));
        if !same {
            // It must know our replica before it can answer it, and we may have become members of each other.
            let index = self.cluster.colleagues.iter().position(|other| other.number == number);
            index.into_iter().for_each(|index| self.say_hello(index, outbox));
        }
        if hello.generation > generation && self.is_blank() && hello.you_are_member {
            self.replica.generation = hello.generation;
        } else if hello.generation > generation && !hello.blank && (!self.is_blank() || generation > 0) {
            self.step_back(hello.generation, hello.you_are_member, outbox);
        }
    }

    /// Whether a message of the agreement is of our generation, and from the replica that the speaker has.
    fn is_for_us(&self, number: u16, message: &RaftMessage) -> bool {
        let mut others = self.cluster.colleagues.iter();
        let hello = others.find(|other| other.number == number).and_then(Colleague::hello);
        message.generation == self.replica.generation
            && hello.is_some_and(|hello| hello.replica == message.from)
    }

    fn snapshot_arrives(&mut self, number: u16, link: LinkId, part: SnapshotPart, outbox: &mut Outbox) {
        if !self.is_for_us(number, &part.head) {
            return;
        }
        let Some(colleague) = self.cluster.of_number(number) else { return };
        if part.offset == 0 && part.len <= SNAPSHOT_LEN_MAX {
            colleague.arriving = Some(Arriving { head: part.head, len: part.len, bytes: Vec::new() });
        }
        let Some(arriving) = &mut colleague.arriving else { return };
        if part.offset != arriving.bytes.len() as u64 || part.len != arriving.len {
            colleague.arriving = None;
            return;
        }
        arriving.bytes.extend_from_slice(&part.bytes);
        if (arriving.bytes.len() as u64) < arriving.len {
            return;
        }
        let Some(Arriving { head, bytes, .. }) = colleague.arriving.take() else { return };
        match codec::decode_stored::<Whole>(&bytes) {
            Ok(whole) => {
                let meaning = (whole.registry.applied(), whole.term, &whole.voters);
                self.replica.step_snapshot(head, meaning, bytes);
            }
            Err(violation) => self.violation(link, violation, outbox),
        }
    }

    /// How things stand with the others.
    pub(super) fn colleagues(&self) -> Vec<ColleagueStatus> {
        let progress = self.replica.progress();
        let of = |colleague: &Colleague| {
            let replica = colleague.hello().map(|hello| hello.replica);
            let matched = progress.iter().find(|(id, _)| Some(*id) == replica).map(|(_, matched)| *matched);
            ColleagueStatus {
                number: colleague.number,
                address: colleague.address,
                device: colleague.said.as_ref().map(|(_, device, _)| *device).or(colleague.key),
                is_member: match replica {
                    Some(id) => self.members.contains(id),
                    None => self.members.number(colleague.number).is_some(),
                },
                heard: colleague.heard,
                lag: matched.map(|matched| self.replica.last().saturating_sub(matched)),
            }
        };
        self.cluster.colleagues.iter().map(of).collect()
    }
}

impl Parcel {
    fn next(&mut self) -> Option<SnapshotPart> {
        let rest = &self.bytes[self.sent..];
        let bytes = &rest[..rest.len().min(SNAPSHOT_PART_LEN_MAX)];
        let (len, offset) = (self.bytes.len() as u64, self.sent as u64);
        self.sent += bytes.len();
        (!bytes.is_empty()).then(|| SnapshotPart {
            head: self.head.clone(),
            len,
            offset,
            bytes: List::new(bytes.to_vec()),
        })
    }
}
