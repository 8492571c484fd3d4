//! The session with the trackers: which one, what was asked of it, and who is logged in.
//!
//! Any tracker will do. When the link to one ends, the next in the list is dialled; the session is restored there with the key
//! that logged in, and whatever was not answered is asked again under the same number, so that nothing is done twice.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;

use rand::RngExt as _;

use super::alarm::Alarm;
use super::command::News;
use super::io::{Action, DialFailure, Role};
use super::purpose::Purpose;
use super::turn::Turn;
use super::{KEEP_ALIVE, Peer};
use crate::id::{DialId, Key, LinkId};
use crate::limits::{
    LINK_CREDIT, REQUESTS_PER_LINK, REQUESTS_WAITING_MAX, SWEEP, TRACKER_PATIENCE, TRACKER_QUIET,
    TRACKER_RETRY_MAX, TRACKER_SILENCE,
};
use crate::name::UserName;
use crate::refusal::Refusal;
use crate::table::Table;
use crate::time::{Span, Time};
use crate::wire::tracker::{Address, Answer, ClientMessage, Request, TrackerMessage};

/// The shortest time between tries to reach a tracker, when all were tried.
const RETRY_MIN: Span = Span::from_millis(200);

/// What is known of the trackers.
#[derive(Debug)]
pub(super) struct Session {
    trackers: Vec<SocketAddr>,
    /// The tracker to dial next.
    next: usize,
    /// Tries since a tracker answered.
    failures: usize,
    /// The last tracker that had another key than it must have, as the person was told.
    distrusted: Option<Refusal>,
    state: State,
    seq: u64,
    /// Requests not answered, by number.
    waiting: Table<u64, Waiting>,
    /// Who is logged in, as far as this client is concerned.
    pub(super) user: Option<LoggedIn>,
}

#[derive(Debug)]
enum State {
    Down,
    Dialling(DialId, SocketAddr),
    Up(Up),
}

#[derive(Debug)]
struct Up {
    link: LinkId,
    address: SocketAddr,
    credit: u32,
    heard: Time,
    /// Since when it has not answered whether it is there.
    doubted: Option<Time>,
    /// Requests sent on this link and not answered, whether or not somebody here still waits for the answer.
    unanswered: BTreeSet<u64>,
    /// Whether the tracker knows who is logged in; if not, nothing else is asked.
    restored: bool,
}

#[derive(Debug)]
struct Waiting {
    request: Request,
    purpose: Purpose,
    since: Time,
    sent: bool,
}

/// Who is logged in, with what opens the session again elsewhere.
#[derive(Clone, Debug)]
pub(super) struct LoggedIn {
    pub(super) user: UserName,
    pub(super) key: Key,
}

impl Session {
    pub(super) fn new(trackers: Vec<SocketAddr>, first_seq: u64) -> Session {
        Session {
            trackers,
            next: 0,
            failures: 0,
            distrusted: None,
            state: State::Down,
            seq: first_seq,
            waiting: Table::default(),
            user: None,
        }
    }

    /// The tracker that the session is with.
    pub(super) const fn tracker(&self) -> Option<SocketAddr> {
        if let State::Up(up) = &self.state { Some(up.address) } else { None }
    }

    pub(super) fn is_link(&self, link: LinkId) -> bool {
        matches!(&self.state, State::Up(up) if up.link == link)
    }

    pub(super) fn is_dial(&self, dial: DialId) -> bool {
        matches!(&self.state, State::Dialling(current, _) if *current == dial)
    }

    pub(super) fn refund(&mut self, messages: u32) {
        if let State::Up(up) = &mut self.state {
            up.credit += messages;
            assert!(up.credit <= LINK_CREDIT, "no more credit comes back than was spent");
        }
    }

    /// Whether something is awaited of a tracker.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || matches!(&self.state, State::Up(up) if up.doubted.is_some())
    }

    /// Whether announcements reach a tracker that knows who sends them.
    pub(super) const fn is_ready(&self) -> bool {
        matches!(&self.state, State::Up(up) if up.restored)
    }

    /// Takes the credit for one message, if there is some on a link that stands.
    fn spend(&mut self) -> Option<LinkId> {
        match &mut self.state {
            State::Up(up) if up.credit > 0 => {
                up.credit -= 1;
                Some(up.link)
            }
            _ => None,
        }
    }

    pub(super) fn check(&self) {
        assert!(self.waiting.len() <= REQUESTS_WAITING_MAX);
        if let State::Up(up) = &self.state {
            assert!(up.credit <= LINK_CREDIT && up.unanswered.len() <= REQUESTS_PER_LINK);
            let mut sent = self.waiting.iter().filter(|(_, waiting)| waiting.sent);
            assert!(sent.all(|(seq, _)| up.unanswered.contains(seq)), "what was sent is answered");
        }
    }
}

impl Peer {
    /// Dials the next tracker.
    pub(super) fn dial_tracker(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.session.state, State::Down) || self.exiting {
            return;
        }
        let Some(to) = self.session.trackers.get(self.session.next).copied() else { return };
        self.session.next = (self.session.next + 1) % self.session.trackers.len();
        let dial = self.next_dial();
        self.session.state = State::Dialling(dial, to);
        turn.act(Action::Dial { dial, to, role: Role::Tracker });
    }

    /// A dial to a tracker came to nothing. One that has another key than it must have is told to the person; when no other tracker
    /// is reached either, whoever waits for one is told that, and not that none answers.
    pub(super) fn tracker_refused(&mut self, why: DialFailure, turn: &mut Turn<'_>) {
        if let (DialFailure::OtherKey { expected, found }, State::Dialling(_, address)) =
            (why, &self.session.state)
        {
            let refusal = Refusal::OtherKey { tracker: Address(*address), expected, found };
            if self.session.distrusted.as_ref() != Some(&refusal) {
                turn.tell(News::TrackerDistrusted(refusal.clone()));
                self.session.distrusted = Some(refusal);
            }
        }
        self.tracker_failed(turn);
        if self.session.failures >= self.session.trackers.len()
            && let Some(refusal) = self.session.distrusted.clone()
        {
            for seq in self.session.waiting.keys().copied().collect::<Vec<_>>() {
                self.tracker_answered(seq, Err(refusal.clone()), turn);
            }
        }
    }

    /// Tries again: at once while there are trackers that were not tried, then ever more slowly.
    pub(super) fn tracker_failed(&mut self, turn: &mut Turn<'_>) {
        self.session.state = State::Down;
        self.session.failures += 1;
        let rounds = self.session.failures / self.session.trackers.len().max(1);
        if rounds == 0 {
            return self.dial_tracker(turn);
        }
        let first_round = self.session.failures == self.session.trackers.len();
        if first_round && self.session.user.is_none() && self.session.distrusted.is_none() {
            turn.tell(News::NoTracker);
        }
        let wait = (RETRY_MIN * (1 << (rounds - 1).min(8))).min(TRACKER_RETRY_MAX);
        let jitter = Span(self.backoff_rng.random_range(0..wait.0 / 2 + 1));
        self.alarms.set(Alarm::Tracker, turn.now + Span(wait.0 / 2) + jitter);
    }

    pub(super) fn tracker_up(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        let State::Dialling(_, address) = self.session.state else {
            unreachable!("the caller looked at the dial")
        };
        let restored = self.session.user.is_none();
        self.session.state = State::Up(Up {
            link,
            address,
            credit: LINK_CREDIT,
            heard: turn.now,
            doubted: None,
            unanswered: BTreeSet::new(),
            restored,
        });
        self.session.distrusted = None;
        self.alarms.set(Alarm::KeepAlive, turn.now + KEEP_ALIVE);
        self.tell_tracker(ClientMessage::Hello { listen: Address(self.config.listen) }, turn);
        if let Some(LoggedIn { user, key }) = self.session.user.clone() {
            self.ask(Request::Login { user, key }, Purpose::Restore, turn);
        }
        self.send_requests(turn);
    }

    pub(super) fn tracker_down(&mut self, turn: &mut Turn<'_>) {
        self.session.state = State::Down;
        self.session.waiting.retain(|_, waiting| {
            waiting.sent = false;
            !matches!(waiting.purpose, Purpose::Restore)
        });
        if self.session.user.is_some() && self.session.failures == 0 {
            turn.tell(News::TrackerLost);
        }
        if !self.exiting {
            self.tracker_failed(turn);
        }
    }

    /// Ends the link to a tracker that no longer answers, and goes to the next.
    pub(super) fn give_up_tracker(&mut self, turn: &mut Turn<'_>) {
        if let State::Up(up) = &self.session.state {
            turn.act(Action::Close { link: up.link, violation: None });
            self.tracker_down(turn);
        }
    }

    /// Asks the tracker, now or when there is one. Too many requests are refused to whoever waits for them.
    pub(super) fn ask(&mut self, request: Request, purpose: Purpose, turn: &mut Turn<'_>) {
        if self.session.waiting.len() >= REQUESTS_WAITING_MAX {
            return self.answered(purpose, Err(Refusal::Full(crate::refusal::Table::Commands)), turn);
        }
        let seq = self.session.seq;
        self.session.seq += 1;
        self.session.waiting.insert(seq, Waiting { request, purpose, since: turn.now, sent: false });
        self.alarms.set(Alarm::Sweep, turn.now + SWEEP);
        self.send_requests(turn);
    }

    /// Sends what waits, as far as the tracker takes it: the oldest first, before all the one that restores the session.
    fn send_requests(&mut self, turn: &mut Turn<'_>) {
        let Session { state: State::Up(up), waiting, .. } = &mut self.session else { return };
        for (seq, waiting) in waiting.iter_mut().filter(|(_, waiting)| !waiting.sent) {
            // The tracker keeps answers for so many numbers, and counts what is further back as done long ago.
            let is_far = up.unanswered.first().is_some_and(|first| first + REQUESTS_PER_LINK as u64 <= *seq);
            if is_far || up.credit == 0 {
                break;
            }
            if !up.restored && !matches!(waiting.purpose, Purpose::Restore) {
                continue;
            }
            up.unanswered.insert(*seq);
            up.credit -= 1;
            waiting.sent = true;
            waiting.since = turn.now;
            let message = ClientMessage::Request { seq: *seq, request: waiting.request.clone().into() };
            turn.act(Action::SendTracker { link: up.link, message });
        }
    }

    /// Says something that needs no answer; false if there is nobody to hear it, or no credit.
    pub(super) fn tell_tracker(&mut self, message: ClientMessage, turn: &mut Turn<'_>) -> bool {
        let link = self.session.spend();
        if let Some(link) = link {
            turn.act(Action::SendTracker { link, message });
        }
        link.is_some()
    }

    #[expect(clippy::wrong_self_convention, reason = "it takes in what comes from the tracker")]
    pub(super) fn from_tracker(&mut self, message: TrackerMessage, turn: &mut Turn<'_>) {
        if let State::Up(up) = &mut self.session.state {
            up.heard = turn.now;
            up.doubted = None;
            // One that does not let this client in is no better than one that does not answer.
            if up.restored {
                self.session.failures = 0;
            }
        }
        match message {
            TrackerMessage::Answer { seq, answer } => {
                self.tracker_answered(seq, answer.map(|answer| *answer).map_err(|refusal| *refusal), turn);
                self.send_requests(turn);
            }
            TrackerMessage::Swarm { group, name, peers, seeders, leechers } => {
                self.swarm(&(group, name), peers.into_vec(), seeders, leechers, turn);
            }
            TrackerMessage::NotListed { group, name } => self.not_listed(&(group, name), turn),
            TrackerMessage::Notice(notice) => turn.tell(News::Notice(notice)),
            TrackerMessage::Expelled { group, user } => self.expelled(&group, &user, turn),
            TrackerMessage::Pong => {}
            TrackerMessage::Expulsions(expulsions) => self.learn(*expulsions, None, turn),
            TrackerMessage::Signers(trackers) => trackers.iter().for_each(|key| self.papers.trust(*key)),
            TrackerMessage::CutOff(cut_off) => turn.tell(News::TrackerCutOff(cut_off)),
        }
    }

    fn tracker_answered(&mut self, seq: u64, answer: Result<Answer, Refusal>, turn: &mut Turn<'_>) {
        if let State::Up(up) = &mut self.session.state {
            up.unanswered.remove(&seq);
        }
        // The numbers of this client went back, as when an old copy of its folder is restored.
        if let Err(Refusal::Forgotten { latest }) = answer {
            self.session.seq = self.session.seq.max(latest.min(u64::MAX / 2) + 1);
        }
        // A number that does not wait was given up here before its answer came.
        let Some(waiting) = self.session.waiting.remove(&seq) else { return };
        self.answered(waiting.purpose, answer, turn);
    }

    /// The tracker knows again who is logged in here; or refuses to.
    pub(super) fn restored(&mut self, answer: Result<Answer, Refusal>, turn: &mut Turn<'_>) {
        match answer {
            Ok(Answer::LoggedIn { inbox }) => {
                let State::Up(up) = &mut self.session.state else { return };
                up.restored = true;
                self.session.failures = 0;
                turn.tell(News::TrackerFound(up.address));
                for notice in inbox.into_vec() {
                    turn.tell(News::Notice(notice));
                }
                self.announce_afresh();
                self.renew_tickets(turn);
                self.announce_due(turn);
            }
            Ok(_) | Err(Refusal::TooManyTries { .. } | Refusal::NoMajority) => self.give_up_tracker(turn),
            Err(refusal) => {
                if let State::Up(up) = &mut self.session.state {
                    up.restored = true;
                }
                turn.tell(News::SessionLost(alloc::format!("{refusal}")));
                self.end_session(turn);
            }
        }
    }

    /// A person logged in, on the link that stands.
    pub(super) fn session_began(&mut self, user: LoggedIn) {
        self.session.user = Some(user);
    }

    /// Looks for requests that nobody answers.
    pub(super) fn sweep_requests(&mut self, turn: &mut Turn<'_>) {
        self.doubt_tracker(turn);
        let late = |waiting: &Waiting| turn.now.since(waiting.since) >= TRACKER_PATIENCE;
        if self.session.waiting.values().any(|waiting| waiting.sent && late(waiting)) {
            self.give_up_tracker(turn);
        }
        let given_up: Vec<u64> = self
            .session
            .waiting
            .iter()
            .filter(|(_, waiting)| !waiting.sent && turn.now.since(waiting.since) >= TRACKER_PATIENCE)
            .map(|(seq, _)| *seq)
            .collect();
        for seq in given_up {
            self.tracker_answered(seq, Err(Refusal::NoTracker), turn);
        }
    }

    /// Asks a tracker that says nothing while something waits for it whether it is there; leaves it if that is not answered either.
    fn doubt_tracker(&mut self, turn: &mut Turn<'_>) {
        let State::Up(up) = &self.session.state else { return };
        let is_asked = self.session.waiting.values().any(|waiting| waiting.sent);
        match up.doubted {
            Some(since) if turn.now.since(since) >= TRACKER_SILENCE => self.give_up_tracker(turn),
            None if is_asked && turn.now.since(up.heard) >= TRACKER_QUIET => self.keep_tracker_alive(turn),
            _ => {}
        }
    }

    /// Says something on a link that may otherwise look dead, and looks whether that is answered.
    pub(super) fn keep_tracker_alive(&mut self, turn: &mut Turn<'_>) {
        self.tell_tracker(ClientMessage::Ping, turn);
        if let State::Up(up) = &mut self.session.state {
            up.doubted.get_or_insert(turn.now);
            self.alarms.set(Alarm::Sweep, turn.now + SWEEP);
        }
    }

    /// Tells the tracker that this client goes.
    pub(super) fn leave_tracker(&mut self, turn: &mut Turn<'_>) {
        self.tell_tracker(ClientMessage::Bye, turn);
        if let State::Up(up) = &self.session.state {
            turn.act(Action::Close { link: up.link, violation: None });
        }
        self.session.state = State::Down;
    }

    /// Forgets what waits; whoever waits for it is told why.
    pub(super) fn drop_requests(&mut self, turn: &mut Turn<'_>) {
        let waiting = core::mem::take(&mut self.session.waiting);
        for waiting in waiting.into_values() {
            self.answered(waiting.purpose, Err(Refusal::SessionEnded), turn);
        }
    }
}
