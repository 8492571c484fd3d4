//! The peer machine: a client that fetches files from other peers and serves what it holds.
//!
//! Where to look: [`command`] is what a person may ask; `person` is where each command begins. `session` and `purpose` talk to a tracker.
//! `members` knows to whom something of a group may be said, and `tickets` how they have shown it; `acquaintances` is what
//! serves when no tracker answers; `announce` tells the tracker of our files; `neighbours` finds peers and opens
//! files on links. `hashes`, then `ask`, then `fetch` are the way of a piece, and `stall` looks after what takes too long; `picker` and
//! [`strategy`] say which piece and from whom. `serve` gives pieces to others, who have their `places`; `share` is the life of a file; `leaving` ends it all.
//! [`glance`] is for whoever runs very many of these machines.

mod acquaintances;
mod alarm;
mod announce;
mod ask;
pub mod command;
pub mod explain;
mod fetch;
mod file;
pub mod glance;
mod hashes;
pub mod io;
mod jobs;
mod leaving;
mod link;
mod members;
mod neighbours;
mod person;
pub mod picker;
mod places;
mod purpose;
mod rate;
mod serve;
mod session;
mod share;
mod stall;
pub mod strategy;
mod tickets;
mod turn;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::bitfield::Bitfield;
use crate::id::{CommandId, DeviceId, DialId, FileId, JobId, LinkId, Slot};
use crate::limits::{IDLE, LINK_CREDIT, SLOTS, SWEEP};
use crate::name::{GroupName, Place};
use crate::seed::{Choice, Purpose as Stream, Seed};
use crate::table::Table;
use crate::time::{Span, Time};
use crate::violation::Violation;
use crate::wire::peer::PeerMessage;
use crate::wire::tracker::Notice;
use acquaintances::Acquaintances;
use alarm::{Alarm, Alarms};
use file::{Files, Key};
use io::{Action, Config, Input, Outcome};
use jobs::{Job, Jobs};
use leaving::{Departure, LastSends};
use link::{Link, Links};
use members::Member;
use person::Resuming;
use places::Uploads;
use rate::Smooth;
use session::Session;
use share::{ToOpen, Wanted};
use tickets::Papers;
use turn::Turn;

/// How often something is said on quiet links: three times in the time after which they count as dead.
const KEEP_ALIVE: Span = Span(IDLE.0 / 3);

/// A peer.
#[derive(Debug)]
pub struct Peer {
    config: Config,
    piece_rng: Choice,
    peer_rng: Choice,
    salts: Seed,
    backoff_rng: Choice,
    alarms: Alarms,
    jobs: Jobs,
    session: Session,
    /// Commands that wait for their answer.
    commands: BTreeSet<CommandId>,
    /// Those of them that wait for the end of a download, or of all.
    waits: Vec<(CommandId, Option<Key>)>,
    departure: Option<Departure>,
    last_sends: Option<LastSends>,
    /// A login whose shares are being looked at.
    resuming: Option<Resuming>,
    /// Told right after the answer to a login.
    news_after_login: Vec<Notice>,
    files: Files,
    /// Shares to be looked at before they are served, and how many are being looked at.
    to_open: VecDeque<ToOpen>,
    opening: usize,
    /// Places whose files are being closed, and downloads that wait for that.
    closing: Vec<Place>,
    after_closing: Vec<Wanted>,
    /// When neighbours may be told of new pieces again.
    news_at: Time,
    /// Files of which the tracker must hear soon.
    to_announce: Vec<FileId>,
    /// Devices that have shown to be a member's, by group.
    members: Table<GroupName, Table<DeviceId, Member>>,
    papers: Papers,
    acquaintances: Acquaintances,
    links: Links,
    dials: BTreeMap<DialId, DeviceId>,
    last_dial: u32,
    /// When a device may be dialled again.
    redial: BTreeMap<DeviceId, Time>,
    /// Bad pieces sent, by device; and those that sent too many.
    bad_pieces: BTreeMap<DeviceId, u32>,
    banned: BTreeSet<DeviceId>,
    /// Devices that did not even answer that we no longer wait, and gave nothing since: asked only for what nobody else has.
    silent: BTreeSet<DeviceId>,
    /// How long a piece took, whoever sent it.
    piece_time: Smooth,
    free_slots: Vec<Slot>,
    /// Free slots that are promised to requests under way.
    reserved: usize,
    uploads: Uploads,
    exiting: bool,
}

impl Peer {
    /// A peer with no session. It wakes up at once, to look for a tracker.
    #[must_use]
    pub fn new(config: Config, seed: Seed) -> Peer {
        let mut alarms = Alarms::new();
        alarms.set(Alarm::Tracker, Time::default());
        Peer {
            session: Session::new(config.trackers.clone(), config.first_seq),
            papers: Papers::new(&config.signers),
            config,
            piece_rng: seed.choice(Stream::Pieces),
            peer_rng: seed.choice(Stream::Peers),
            salts: seed.child(Stream::Salts as u64),
            backoff_rng: seed.choice(Stream::Backoff),
            alarms,
            jobs: Jobs::default(),
            commands: BTreeSet::new(),
            waits: Vec::new(),
            departure: None,
            last_sends: None,
            resuming: None,
            news_after_login: Vec::new(),
            files: Files::default(),
            to_open: VecDeque::new(),
            opening: 0,
            closing: Vec::new(),
            after_closing: Vec::new(),
            news_at: Time::default(),
            to_announce: Vec::new(),
            members: Table::default(),
            acquaintances: Acquaintances::default(),
            links: Links::default(),
            dials: BTreeMap::new(),
            last_dial: 0,
            redial: BTreeMap::new(),
            bad_pieces: BTreeMap::new(),
            banned: BTreeSet::new(),
            silent: BTreeSet::new(),
            piece_time: Smooth::default(),
            free_slots: (0..SLOTS).rev().map(Slot).collect(),
            reserved: 0,
            uploads: Uploads::default(),
            exiting: false,
        }
    }

    /// When to call with `Wake` if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        self.alarms.next()
    }

    /// Takes in what happened; appends what must be done.
    pub fn handle(&mut self, now: Time, input: Input, outbox: &mut Vec<Action>) {
        let (serves, fills) = moves(&input);
        let mut turn = Turn { now, outbox, serves, fills };
        self.dispatch(input, &mut turn);
        if turn.serves {
            self.serve(&mut turn);
        }
        if turn.fills {
            self.fill(&mut turn);
        }
    }

    fn dispatch(&mut self, input: Input, turn: &mut Turn<'_>) {
        match input {
            Input::Command { id, command } => self.command(id, command, turn),
            Input::Forget { id } => self.forget(id),
            Input::LinkUp { link, dial, device, from } => match dial {
                Some(dial) if self.session.is_dial(dial) => {
                    self.papers.trust(device);
                    self.tracker_up(link, turn);
                }
                Some(dial) => match self.dials.remove(&dial) {
                    Some(expected) => self.peer_up(link, Some(expected), device, from, turn),
                    None => turn.act(Action::Close { link, violation: None }),
                },
                None => self.peer_up(link, None, device, from, turn),
            },
            Input::DialFailed { dial, why } if self.session.is_dial(dial) => self.tracker_refused(why, turn),
            Input::DialFailed { dial, .. } => {
                if let Some(device) = self.dials.remove(&dial) {
                    self.rest_from_dialling(turn.now, device);
                }
            }
            Input::LinkDown { link } if self.session.is_link(link) => self.tracker_down(turn),
            Input::LinkDown { link } => self.drop_link(link, turn),
            Input::Message { link, message } => self.message(link, message, turn),
            Input::Tracker { link, message } if self.session.is_link(link) => {
                self.from_tracker(message, turn);
            }
            Input::Tracker { .. } => {}
            Input::Sent { link, messages } => self.refund(link, messages),
            Input::Block { link, extent, slot } => self.arrived(link, extent, slot, turn),
            Input::Done { job, outcome } => self.done(job, outcome, turn),
            Input::Clock(unix) => self.set_clock(unix, turn),
            Input::Wake => self.wake(turn),
        }
    }

    fn refund(&mut self, link: LinkId, messages: u32) {
        if self.session.is_link(link) {
            self.session.refund(messages);
        } else if let Some(there) = self.links.get_mut(link) {
            there.credit += messages;
            assert!(there.credit <= LINK_CREDIT, "no more credit comes back than was spent");
        }
    }

    fn done(&mut self, id: JobId, outcome: Outcome, turn: &mut Turn<'_>) {
        let job = self.jobs.end(id, turn);
        // What the common ones make possible is said where it is known.
        let common = matches!(job, Job::Hash { .. } | Job::Write { .. } | Job::Send);
        (turn.serves, turn.fills) = (!common, !common);
        match job {
            job @ (Job::KeyForAccount { .. } | Job::KeyForLogin { .. }) => {
                self.key_derived(job, outcome, turn);
            }
            job @ Job::Survey { .. } => self.surveyed(job, outcome, turn),
            Job::Recall { id, user } => self.recalled(id, &user, outcome, turn),
            job @ (Job::RememberShare { .. } | Job::RememberPart { .. } | Job::RememberFinished { .. }) => {
                self.remembered(job, &outcome, turn);
            }
            Job::OpenShare { file, id } => self.share_opened(file, id, outcome, turn),
            Job::OpenPart { file, id, earlier } => self.part_opened(file, (id, earlier), outcome, turn),
            Job::Hash { extent, slot, link } => self.hashed((extent, slot, link), outcome, turn),
            Job::Write { extent, slot, link, cv } => self.written((extent, slot, link), cv, outcome, turn),
            Job::Finish { file } => self.finished(file, outcome, turn),
            Job::Send => self.sent(id, outcome, turn),
            Job::Ticket { link, membership } => self.ticket_verified(link, *membership, &outcome, turn),
            Job::Expulsions { link, expulsions } => {
                self.expulsions_verified(link, *expulsions, &outcome, turn);
            }
            Job::Sync { file } => self.synced(file, outcome, turn),
            Job::Memory => {}
            Job::Close { place } => self.closed(&place, turn),
        }
        self.exit_when_idle(turn);
    }

    fn wake(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        if self.alarms.take(Alarm::Tracker, now) {
            self.dial_tracker(turn);
        }
        if self.alarms.take(Alarm::Haves, now) {
            self.tell_news(turn);
            self.announce_complete(turn);
        }
        turn.serves |= self.alarms.take(Alarm::GrantAhead, now);
        if self.alarms.take(Alarm::KeepAlive, now) {
            self.keep_alive(turn);
            if !self.links.table.is_empty() || self.session.tracker().is_some() {
                self.alarms.set(Alarm::KeepAlive, now + KEEP_ALIVE);
            }
        }
        if self.alarms.take(Alarm::Tickets, now) {
            self.look_over_tickets(turn);
        }
        if self.alarms.take(Alarm::Sweep, now) {
            self.sweep(turn);
        }
    }

    /// Looks over everything that could wait for ever.
    fn sweep(&mut self, turn: &mut Turn<'_>) {
        (turn.serves, turn.fills) = (true, true);
        self.sweep_requests(turn);
        self.sweep_fetches(turn);
        self.sweep_uploads(turn);
        self.announce_due(turn);
        self.dial_peers(turn);
        if self.departure.is_some() {
            self.ask_about_copies(turn);
        }
        if self.is_busy() {
            self.alarms.set(Alarm::Sweep, turn.now + SWEEP);
        }
    }

    /// Whether something is under way that must not be left alone.
    fn is_busy(&self) -> bool {
        self.session.is_waiting()
            || self.departure.is_some()
            || !self.uploads.is_idle()
            || self.files.downloads().next().is_some()
            || self.files.active().any(|(_, file)| file.announced.is_none() || !file.candidates.is_empty())
    }

    fn keep_alive(&mut self, turn: &mut Turn<'_>) {
        self.keep_tracker_alive(turn);
        self.drop_idle_links(turn);
        let dead: Vec<LinkId> = self
            .links
            .table
            .iter()
            .filter(|(_, there)| turn.now.since(there.heard) >= IDLE)
            .map(|(link, _)| *link)
            .collect();
        for link in dead {
            self.drop_link(link, turn);
            turn.act(Action::Close { link, violation: None });
        }
        let quiet = |there: &Link| turn.now.since(there.heard) >= KEEP_ALIVE;
        let links: Vec<LinkId> =
            self.links.table.iter().filter(|(_, there)| quiet(there)).map(|(link, _)| *link).collect();
        for link in links {
            self.send(link, PeerMessage::Ping, turn);
        }
    }

    fn message(&mut self, link: LinkId, message: PeerMessage, turn: &mut Turn<'_>) {
        let Some(there) = self.links.get_mut(link) else { return };
        there.heard = turn.now;
        let ours = about(&message).and_then(|theirs| there.file(theirs));
        match message {
            PeerMessage::Open(open) => self.opened(link, &open, turn),
            PeerMessage::Decline { file } => self.declined(link, file),
            PeerMessage::Ping => self.send(link, PeerMessage::Pong, turn),
            PeerMessage::Pong => {}
            PeerMessage::Show(ticket) => self.ticket_shown(link, *ticket, turn),
            PeerMessage::Seen { group } => self.ticket_seen(link, &group, turn),
            PeerMessage::Expulsions(expulsions) => self.expulsions_told(link, *expulsions, turn),
            PeerMessage::Bye => {
                self.drop_link(link, turn);
                turn.act(Action::Close { link, violation: None });
            }
            PeerMessage::Close { file } => {
                if let Some(ours) = there.forget_file(file) {
                    self.part(link, ours, turn);
                }
            }
            other => self.about_file(link, ours, other, turn),
        }
    }

    /// A message about a file that the remote opened. What crossed our closing of it is let pass.
    fn about_file(
        &mut self,
        link: LinkId,
        ours: Option<Option<FileId>>,
        message: PeerMessage,
        turn: &mut Turn<'_>,
    ) {
        let id = match ours {
            Some(Some(id)) => id,
            Some(None) => return,
            None => return self.violation(link, Violation::UnknownFile, turn),
        };
        match message {
            PeerMessage::Bits { from, bytes, .. } => self.bits(link, id, from, &bytes, turn),
            PeerMessage::Have { pieces, .. } => self.has(link, id, &pieces, turn),
            PeerMessage::Whole { .. } => self.has_all(link, id, turn),
            PeerMessage::GetHashes { from, .. } => self.tell_hashes(link, id, from, turn),
            PeerMessage::Hashes { from, list, .. } => self.hashes(link, id, from, list.items(), turn),
            PeerMessage::Ask { .. } => self.asked(link, id, turn),
            PeerMessage::Queued { queue, .. } => self.queue_is(link, queue),
            PeerMessage::Busy { queue, .. } => {
                self.queue_is(link, queue);
                self.busy(link, id, turn);
            }
            PeerMessage::Free { queue, .. } => {
                self.queue_is(link, queue);
                self.offered(link, id, turn);
            }
            PeerMessage::Pass { .. } => self.passed(link, id),
            PeerMessage::Grant { queue, hint, .. } => {
                self.queue_is(link, queue);
                self.granted(link, id, hint, turn);
            }
            PeerMessage::Withdraw { .. } => self.withdraw(link, id, turn),
            PeerMessage::Withdrawn { .. } => self.withdrawn(link, id, turn),
            PeerMessage::Return { .. } => self.returned(link, id, turn),
            PeerMessage::Request { piece, .. } => self.requested(link, id, piece, turn),
            PeerMessage::Cancel { piece, .. } => self.cancel_upload(link, id, piece, turn),
            PeerMessage::Cancelled { piece, .. } => self.cancelled(link, id, piece, turn),
            other => unreachable!("handled before: {other:?}"),
        }
    }

    /// Devices that this peer has nothing more to do with.
    pub fn banned(&self) -> impl Iterator<Item = &DeviceId> {
        self.banned.iter()
    }

    /// What this peer counts as held of each file that it takes part in, by the file's place.
    pub fn holdings(&self) -> impl Iterator<Item = (&Place, &Bitfield)> {
        let open = |file: &&file::File| !matches!(file.phase, file::Phase::Opening);
        self.files.active().map(|(_, file)| file).filter(open).map(|file| (&file.place, &file.held))
    }

    /// Asserts every invariant.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self) {
        self.jobs.check();
        self.session.check();
        self.links.check();
        self.uploads.check();
        self.check_slots();
        self.files.check();
        for file in self.files.table.values() {
            file.check(&self.links);
        }
    }

    /// Every slot is free, or holds a piece that is owed, being hashed or being written.
    fn check_slots(&self) {
        assert!(self.reserved <= self.free_slots.len(), "what is promised is there");
        let mut slots: Vec<Slot> = self.free_slots.clone();
        for file in self.files.table.values() {
            let flights = file.download().into_iter().flat_map(|download| download.flights.values());
            slots.extend(flights.flat_map(|flight| flight.sources.iter().map(|source| source.slot)));
        }
        slots.extend(self.jobs.slots());
        slots.sort_unstable();
        assert!(slots.iter().copied().eq((0..SLOTS).map(Slot)), "each slot has one use: {slots:?}");
        let asks: usize = self
            .files
            .table
            .values()
            .flat_map(|file| file.neighbours.values())
            .map(|neighbour| neighbour.asks)
            .sum();
        assert_eq!(asks, self.reserved, "each request for a slot has one in reserve");
    }
}

/// Whether an input can make something possible for those who wait for pieces from here, and something to ask of others. Most of what is
/// said can do neither or one; what only the passing of time makes possible is found by the next sweep. What a job makes possible is
/// known when it is seen what the job was for.
const fn moves(input: &Input) -> (bool, bool) {
    use PeerMessage as M;
    match input {
        Input::Sent { .. } | Input::Done { .. } => (false, false),
        Input::Block { .. } => (false, true),
        Input::Message { message, .. } => match message {
            M::Ping | M::Pong | M::Decline { .. } | M::GetHashes { .. } | M::Queued { .. } => (false, false),
            M::Show(_) | M::Seen { .. } | M::Expulsions(_) => (false, false),
            // Whether it is news is known when it is looked at.
            M::Have { .. } | M::Whole { .. } | M::Bits { .. } => (false, false),
            M::Ask { .. } | M::Request { .. } | M::Return { .. } | M::Withdraw { .. } | M::Pass { .. } => {
                (true, false)
            }
            M::Hashes { .. } | M::Grant { .. } | M::Busy { .. } | M::Free { .. } => (false, true),
            M::Withdrawn { .. } | M::Cancelled { .. } => (false, true),
            M::Cancel { .. } => (true, false),
            M::Open(_) | M::Close { .. } | M::Bye => (true, true),
        },
        Input::Wake => (false, false),
        _ => (true, true),
    }
}

/// The file that a message is about, in the sender's number.
const fn about(message: &PeerMessage) -> Option<FileId> {
    use PeerMessage as M;
    match message {
        M::Bits { file, .. }
        | M::Have { file, .. }
        | M::Whole { file }
        | M::GetHashes { file, .. }
        | M::Hashes { file, .. }
        | M::Ask { file }
        | M::Queued { file, .. }
        | M::Busy { file, .. }
        | M::Free { file, .. }
        | M::Pass { file }
        | M::Grant { file, .. }
        | M::Withdraw { file }
        | M::Withdrawn { file }
        | M::Return { file }
        | M::Request { file, .. }
        | M::Cancel { file, .. }
        | M::Cancelled { file, .. } => Some(*file),
        M::Open(_) | M::Decline { .. } | M::Close { .. } | M::Ping | M::Pong | M::Bye => None,
        M::Show(_) | M::Seen { .. } | M::Expulsions(_) => None,
    }
}
