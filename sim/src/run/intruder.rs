//! Those who come for what they may not have: strangers, thieves of tickets, and members who go on asking after they were removed.
//!
//! No machine speaks for them. They know where everybody listens, connect, show what ticket they have, open a file, ask for slots and for
//! pieces, and begin again when they are turned away; no partition keeps them from anybody. What they get, the checkers of the world look at;
//! when the last of it came to somebody who was removed, a measure says.

use std::collections::BTreeMap;

use engine::id::{FileId, LinkId};
use engine::ticket::Ticket;
use engine::time::{Span, Time};
use engine::wire::peer::{Open, PeerMessage as M};
use engine::wire::tracker::{Address, Answer, ClientMessage, Request, TrackerMessage};

use super::Runner;
use super::actor::Life;
use super::agenda::Deed;
use super::stage::GROUP;
use crate::jobs::derive_key;
use crate::network::{NodeId, Packet};
use crate::node::Heard;
use crate::prose::{file, group, user};
use crate::scenario::{Arrival, Behaviour};

/// How often one looks what was said, and answers.
const PACE: Span = Span::from_millis(500);

/// How long one bears with silence before one begins anew.
const PATIENCE: Span = Span::from_secs(10);

/// At how many peers one tries.
const TARGETS: usize = 4;

/// Somebody who comes for what they may not have.
#[derive(Debug)]
pub(super) struct Intruder {
    class: usize,
    node: NodeId,
    /// What it has to show, if anything.
    ticket: Option<Ticket>,
    doors: BTreeMap<NodeId, Door>,
    /// How often it has shown or asked for something.
    tries: u32,
}

/// How far one has come at one peer.
#[derive(Debug)]
struct Door {
    link: Option<LinkId>,
    /// The number under which the file was opened last.
    file: FileId,
    /// Whether the other side has opened it, too.
    open: bool,
    /// When one did something about it last.
    since: Time,
}

impl Runner<'_> {
    /// Before a run begins, intruders get what they come with.
    pub(super) fn invite_intruders(&mut self) {
        for (class, kind) in self.scenario.classes.iter().enumerate() {
            for _ in 0..if kind.behaviour.intrudes() { kind.count } else { 0 } {
                let node = self.world.puppet();
                let ticket = match kind.behaviour {
                    Behaviour::Outcast => Some(self.ticket_of(node, &kind.name)),
                    Behaviour::Thief => {
                        let (victim, owner) = (self.world.puppet(), &self.scenario.classes[0].name);
                        Some(self.ticket_of(victim, owner))
                    }
                    _ => None,
                };
                self.world.faults.spare(node);
                self.intruders.push(Intruder { class, node, ticket, doors: BTreeMap::new(), tries: 0 });
            }
        }
    }

    /// Intruders come when their class does.
    pub(super) fn plan_intruders(&mut self) {
        for (at, intruder) in self.intruders.iter().enumerate() {
            if let Arrival::At(after) = self.scenario.classes[intruder.class].arrival {
                self.agenda.plan(self.began + after, Deed::Intrude(at));
            }
        }
    }

    /// The ticket of somebody driven by hand, who logs in at an account that there is.
    fn ticket_of(&mut self, puppet: NodeId, name: &str) -> Ticket {
        let link = self.world.connect(puppet, self.world.tracker());
        let listen = Address(self.world.address(puppet));
        self.world.say_to_tracker(puppet, link, ClientMessage::Hello { listen });
        self.world.ask(puppet, link, Request::GetSalt { user: user(name) });
        let salt = |heard: &Packet| match heard {
            Packet::Tracker(TrackerMessage::Answer { answer: Ok(answer), .. }) => match **answer {
                Answer::Salt(salt) => Some(salt),
                _ => None,
            },
            _ => None,
        };
        self.world.until("a salt", |world| world.said(puppet, link).find_map(salt).is_some());
        let salt = self.world.said(puppet, link).find_map(salt).expect("it is there");
        let key = derive_key(&crate::crowd::password_of(name), &salt);
        self.world.ask(puppet, link, Request::Login { user: user(name), key });
        self.world.ticket(puppet, link, &group(GROUP))
    }

    /// An intruder answers what it has heard, tries what it can, and will again.
    pub(super) fn intrudes(&mut self, at: usize) {
        let now = self.world.now();
        self.agenda.plan(now + PACE, Deed::Intrude(at));
        let node = self.intruders[at].node;
        for (link, heard) in self.world.take_heard(node) {
            self.goes_on(at, link, heard);
        }
        let classes = &self.scenario.classes;
        let honest = self
            .actors
            .iter()
            .filter(|actor| actor.life == Life::Up && classes[actor.class].behaviour == Behaviour::Honest);
        let targets: Vec<NodeId> = honest.map(|actor| actor.node).take(TARGETS).collect();
        for target in targets {
            let fresh = Door { link: None, file: FileId(0), open: false, since: Time::default() };
            let door = self.intruders[at].doors.entry(target).or_insert(fresh);
            if now.since(door.since) < PATIENCE {
                continue;
            }
            door.since = now;
            if door.link.is_some() {
                self.knocks(at, target);
            } else {
                let address = self.world.address(target);
                self.world.dial(node, None, address);
            }
        }
    }

    /// Shows the ticket that there is, as it was given or as if it were one's own; without one, opens the file straight away.
    fn knocks(&mut self, at: usize, target: NodeId) {
        let intruder = &mut self.intruders[at];
        intruder.tries += 1;
        self.world.faults.fire(self.scenario.classes[intruder.class].behaviour.name());
        let (node, tries) = (intruder.node, intruder.tries);
        let Some(link) = intruder.doors.get(&target).and_then(|door| door.link) else { return };
        let Some(mut ticket) = intruder.ticket.clone() else { return self.opens(at, target) };
        if tries.is_multiple_of(2) {
            ticket.body.device = self.world.device(node);
        }
        self.world.say(node, link, M::Show(Box::new(ticket)));
    }

    fn opens(&mut self, at: usize, target: NodeId) {
        let (whole, name) = (self.files[0], &self.scenario.files[0].name);
        let intruder = &mut self.intruders[at];
        let Some(door) = intruder.doors.get_mut(&target).filter(|door| !door.open) else { return };
        let Some(link) = door.link else { return };
        door.file.0 += 1;
        let hashes = whole.survey().0.hashes;
        let open = Open { file: door.file, group: group(GROUP), name: file(name), hashes, count: 0 };
        self.world.say(intruder.node, link, M::Open(Box::new(open)));
    }

    /// Answers what was heard as somebody does who wants everything.
    fn goes_on(&mut self, at: usize, link: LinkId, heard: Heard) {
        let (now, pieces) = (self.world.now(), self.files[0].size.pieces().max(1));
        let intruder = &mut self.intruders[at];
        if let Heard::Up(target) = heard {
            if let Some(door) = intruder.doors.get_mut(&target) {
                *door = Door { link: Some(link), file: FileId(0), open: false, since: now };
                self.knocks(at, target);
            }
            return;
        }
        let Some((target, door)) = intruder.doors.iter_mut().find(|(_, door)| door.link == Some(link)) else {
            return;
        };
        let file = door.file;
        let answer = match heard {
            Heard::Down(_) => {
                (door.link, door.open) = (None, false);
                return;
            }
            Heard::Piece(_) => M::Ask { file },
            Heard::Said(Packet::Peer(message)) => match message {
                M::Ping => M::Pong,
                M::Show(theirs) => M::Seen { group: theirs.body.group },
                M::Seen { .. } => {
                    let target = *target;
                    return self.opens(at, target);
                }
                M::Open(_) => {
                    door.open = true;
                    M::Ask { file }
                }
                M::Grant { .. } => {
                    intruder.tries += 1;
                    M::Request { file, piece: intruder.tries % pieces }
                }
                M::Free { .. } => M::Ask { file },
                // Perhaps they give something all the same.
                M::Decline { .. } | M::Close { .. } => {
                    door.open = false;
                    M::Request { file, piece: 0 }
                }
                _ => return,
            },
            Heard::Up(_) | Heard::Said(_) => return,
        };
        door.since = now;
        self.world.say(intruder.node, link, answer);
    }

    /// Pieces that came to those who were to be removed, and how long after that the last of them came.
    pub(super) fn taken(&self) -> (u64, Option<Span>) {
        let (mut pieces, mut late) = (0, None);
        for intruder in &self.intruders {
            let class = &self.scenario.classes[intruder.class];
            let Some((count, last)) = self.world.watch.taken.get(&intruder.node) else { continue };
            pieces += count;
            if let Some(removed) = self.world.expelled.get(&(group(GROUP), user(&class.name))) {
                late = late.max(Some(last.since(*removed)));
            }
        }
        (pieces, late)
    }
}
