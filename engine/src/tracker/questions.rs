//! Questions that must not be answered from what was true once.
//!
//! Those that come in are put together; one round among the trackers says up to where the log was agreed when they came, and they are
//! answered when this tracker has applied it. A tracker that decides alone knows that without a round. Where no leader is found in time,
//! the answer comes from what is known here, after the client was told that it may be out of date.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Outbox, Tracker, login};
use crate::id::LinkId;
use crate::limits::LEADER_PATIENCE;
use crate::time::{Span, Time};
use crate::wire::tracker::{Request, TrackerMessage};

/// How long a round may take before the next is begun.
const ROUND: Span = Span::from_millis(300);

/// The questions. As many as clients have asked, each a bounded number.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: Vec<Question>,
    round: Option<Round>,
    /// What may be answered once this index is applied.
    agreed: Vec<(u64, Vec<Question>)>,
    rounds_ever: u64,
    /// Since when no leader is known.
    headless: Option<Time>,
    /// Clients that were told that this tracker is cut off.
    warned: BTreeSet<LinkId>,
}

#[derive(Debug)]
struct Round {
    number: u64,
    since: Time,
    questions: Vec<Question>,
}

#[derive(Debug)]
struct Question {
    link: LinkId,
    seq: u64,
    request: Request,
    since: Time,
}

impl Tracker {
    /// Answers now or once it is known to be true.
    pub(super) fn question(
        &mut self,
        now: Time,
        link: LinkId,
        seq: u64,
        request: Request,
        outbox: &mut Outbox,
    ) {
        if self.decides_alone() || self.holds_for_ever(link, now, &request) {
            return self.reply(now, (link, seq), request, outbox);
        }
        self.questions.waiting.push(Question { link, seq, request, since: now });
    }

    /// Whether what is known here cannot have become false.
    fn holds_for_ever(&self, link: LinkId, now: Time, request: &Request) -> bool {
        match request {
            Request::Logout => true,
            Request::GetSalt { user } => self.registry.account(user).is_some(),
            Request::Login { user, key } => self.sessions.get(link).is_some_and(|client| {
                self.tries.check(now, user, client.from).is_err()
                    || login::open(&self.registry, &client.device, user, key).is_ok()
            }),
            _ => false,
        }
    }

    /// Begins a round for what waits, unless one is under way.
    pub(super) fn put_questions(&mut self, now: Time) {
        let Questions { waiting, round, rounds_ever, .. } = &mut self.questions;
        if round.as_ref().is_some_and(|round| now.since(round.since) >= ROUND)
            && let Some(lost) = round.take()
        {
            waiting.extend(lost.questions);
        }
        if round.is_some() || waiting.is_empty() || self.replica.leader().is_none() {
            return;
        }
        *rounds_ever += 1;
        let questions = core::mem::take(waiting);
        *round = Some(Round { number: *rounds_ever, since: now, questions });
        self.replica.read(*rounds_ever);
    }

    /// A round ended: its questions may be answered once `index` is applied.
    pub(super) fn round_ended(&mut self, number: u64, index: u64) {
        if let Some(round) = self.questions.round.take_if(|round| round.number == number) {
            self.questions.agreed.push((index, round.questions));
        }
    }

    /// Answers what can be answered.
    pub(super) fn answer_questions(&mut self, now: Time, outbox: &mut Outbox) {
        let applied = self.registry.applied();
        let agreed = core::mem::take(&mut self.questions.agreed);
        let (ready, rest): (Vec<_>, Vec<_>) = agreed.into_iter().partition(|(index, _)| *index <= applied);
        self.questions.agreed = rest;
        for (_, questions) in ready {
            for Question { link, seq, request, .. } in questions {
                self.warn(link, false, outbox);
                self.reply(now, (link, seq), request, outbox);
            }
        }
        if self.decides_alone() {
            for Question { link, seq, request, .. } in self.take_questions(|_| true) {
                self.warn(link, false, outbox);
                self.reply(now, (link, seq), request, outbox);
            }
        }
    }

    /// Answers those that waited too long from what is known here.
    pub(super) fn look_after_questions(&mut self, now: Time, outbox: &mut Outbox) {
        self.questions.headless = match self.replica.leader() {
            Some(_) => None,
            None => self.questions.headless.or(Some(now)),
        };
        let headless = self.questions.headless.is_some_and(|since| now.since(since) >= LEADER_PATIENCE);
        let late = |question: &Question| headless || now.since(question.since) >= LEADER_PATIENCE;
        for Question { link, seq, request, .. } in self.take_questions(late) {
            self.warn(link, true, outbox);
            self.reply(now, (link, seq), request, outbox);
        }
    }

    /// Takes out the questions that `wanted` wants.
    fn take_questions(&mut self, mut wanted: impl FnMut(&Question) -> bool) -> Vec<Question> {
        let Questions { waiting, round, agreed, .. } = &mut self.questions;
        let mut taken: Vec<Question> = waiting.extract_if(.., |question| wanted(question)).collect();
        for questions in
            round.iter_mut().map(|round| &mut round.questions).chain(agreed.iter_mut().map(|(_, q)| q))
        {
            taken.extend(questions.extract_if(.., |question| wanted(question)));
        }
        taken
    }

    /// Tells a client whether what it hears may be out of date, if that is news.
    fn warn(&mut self, link: LinkId, cut_off: bool, outbox: &mut Outbox) {
        let warned = &mut self.questions.warned;
        let is_news = if cut_off { warned.insert(link) } else { warned.remove(&link) };
        if is_news {
            self.send(link, TrackerMessage::CutOff(cut_off), outbox);
        }
    }

    /// Whether a client was told that what it hears may be out of date.
    pub(super) fn is_warned(&self, link: LinkId) -> bool {
        self.questions.warned.contains(&link)
    }

    /// A client is gone.
    pub(super) fn forget_questions(&mut self, link: LinkId) {
        self.questions.warned.remove(&link);
        // Their answers would go nowhere.
        let _unasked = self.take_questions(|question| question.link == link);
    }
}
