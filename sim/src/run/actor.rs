//! The people of a run: they log in, share, fetch, try again after a refusal, and leave.

use std::collections::BTreeMap;

use engine::id::CommandId;
use engine::peer::command::{Command, Leaving, Reply};
use engine::refusal::{DiskError, Refusal};
use engine::time::{Span, Time};
use rand::RngExt as _;

use super::Runner;
use super::agenda::Deed;
use super::faults::FLOOD;
use super::stage::GROUP;
use crate::network::NodeId;
use crate::node::Answer;
use crate::prose::{download, file, group, place};
use crate::scenario::{Arrival, Departure};
use crate::watch::Word;

/// How soon somebody whose wish was refused tries again.
const RETRY: Span = Span::from_secs(5);

/// Somebody at a client.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) class: usize,
    pub(super) node: NodeId,
    pub(super) life: Life,
    pub(super) logged_in: bool,
    pub(super) pending: BTreeMap<CommandId, Wish>,
    /// When it first asked for a file.
    pub(super) asked: Option<Time>,
    /// Which files it has.
    pub(super) has: Vec<bool>,
    /// Which files it has nothing to share of, or shares.
    pub(super) shared: Vec<bool>,
    /// When it had all.
    pub(super) completed: Option<Time>,
    /// How soon it comes back, once it has taken its leave.
    pub(super) back_after: Option<Span>,
}

/// Whether somebody takes part at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Yes.
    Up,
    /// No, but it comes back.
    Down,
    /// No, and never again.
    Gone,
}

/// What somebody asked of their client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    LogIn,
    Share(usize),
    Fetch(usize),
    List,
    Quit,
    /// Something that is looked for elsewhere.
    Other,
}

impl Actor {
    /// Whether it still lacks something that it asked for.
    pub(super) fn is_fetching(&self) -> bool {
        self.asked.is_some() && self.completed.is_none()
    }

    /// Its disk is gone: it has nothing, and shares nothing.
    pub(super) fn lose_all(&mut self) {
        self.has.fill(false);
        self.shared.fill(true);
        self.completed = None;
    }
}

impl Runner<'_> {
    /// Does what the agenda says.
    pub(super) fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Arrive(class) => self.arrives(class),
            Deed::LogIn(actor) => self.logs_in(actor),
            Deed::Share(actor, file) => self.shares(actor, file),
            Deed::Fetch(actor, file) => self.fetches(actor, file),
            Deed::Leave(actor) => self.leaves(actor),
            Deed::Flood(actor) => self.floods(actor),
            Deed::Intrude(intruder) => self.intrudes(intruder),
            Deed::Sample => self.sample(),
            _ => self.strike(deed),
        }
    }

    /// Somebody new comes, and the next of a class that comes by chance is planned.
    fn arrives(&mut self, class: usize) {
        let actor = self.join(class);
        self.logs_in(actor);
        if let Arrival::Poisson(per_s) = self.scenario.classes[class].arrival {
            self.plan_arrival(class, per_s);
        } else {
            self.changes_ahead -= 1;
        }
    }

    /// Plans the next arrival of a Poisson process.
    pub(super) fn plan_arrival(&mut self, class: usize, per_s: f64) {
        let there = self.actors.iter().filter(|actor| actor.class == class).count();
        if there < self.scenario.classes[class].count as usize {
            let pause = self.exponential(1e6 / per_s);
            self.agenda.plan(self.world.now() + pause, Deed::Arrive(class));
        }
    }

    /// A time drawn from an exponential law.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and far below 2^63"
    )]
    pub(super) fn exponential(&mut self, mean_us: f64) -> Span {
        let uniform: f64 = self.rng.random();
        Span((-(1.0 - uniform).ln() * mean_us) as u64)
    }

    pub(super) fn wish(&mut self, actor: usize, wish: Wish, command: Command) {
        let there = &self.actors[actor];
        if there.life == Life::Up {
            let id = self.world.command(there.node, command);
            self.actors[actor].pending.insert(id, wish);
        }
    }

    pub(super) fn logs_in(&mut self, actor: usize) {
        if self.actors[actor].logged_in {
            return;
        }
        let class = self.actors[actor].class;
        let user = crate::prose::user(&self.scenario.classes[class].name);
        let password = self.password(class);
        self.wish(actor, Wish::LogIn, Command::Login { user, password });
    }

    /// A peer that floods others goes on as long as it is there.
    fn floods(&mut self, actor: usize) {
        if self.actors[actor].life == Life::Up {
            self.world.flood(self.actors[actor].node);
        }
        if self.actors[actor].life != Life::Gone {
            self.agenda.plan(self.world.now() + FLOOD, Deed::Flood(actor));
        }
    }

    pub(super) fn shares(&mut self, actor: usize, at: usize) {
        if self.actors[actor].shared[at] {
            return;
        }
        let name = &self.scenario.files[at].name;
        let command = Command::UploadFile { group: group(GROUP), name: file(name), place: place(name) };
        self.wish(actor, Wish::Share(at), command);
    }

    pub(super) fn fetches(&mut self, actor: usize, at: usize) {
        let there = &mut self.actors[actor];
        if there.has[at] || there.life != Life::Up {
            return;
        }
        there.asked.get_or_insert(self.world.now());
        self.wish(actor, Wish::Fetch(at), download(GROUP, &self.scenario.files[at].name));
    }

    pub(super) fn lists(&mut self, actor: usize) {
        self.wish(actor, Wish::List, Command::ListFiles { group: group(GROUP) });
    }

    fn leaves(&mut self, actor: usize) {
        self.wish(actor, Wish::Quit, Command::Quit { when: Leaving::Now });
    }

    /// Something happened at a client.
    pub(super) fn hear(&mut self, node: NodeId, word: Word) {
        let Some(actor) = self.actor_at(node) else { return };
        match word {
            Word::Answered(id) => {
                if let Some(wish) = self.actors[actor].pending.remove(&id)
                    && let Some(answer) = self.world.take_answer(node, id)
                {
                    self.answered(actor, wish, answer);
                }
            }
            Word::Complete(name) => self.completes(actor, &name),
            Word::Failed(name) => self.failed(actor, &name),
            Word::Exited => {
                let back = self.actors[actor].back_after;
                self.is_away(actor, back);
            }
            Word::Uploaded => self.leaves(actor),
        }
    }

    fn answered(&mut self, actor: usize, wish: Wish, answer: Answer) {
        let again = self.world.now() + RETRY;
        match (wish, answer) {
            (Wish::LogIn, Ok(_)) => self.is_in(actor),
            (Wish::LogIn, Err(_)) => self.agenda.plan(again, Deed::LogIn(actor)),
            (Wish::Share(file), Ok(_) | Err(Refusal::AlreadyShared(..))) => {
                self.actors[actor].shared[file] = true;
                self.unanswered = self.unanswered.saturating_sub(1);
            }
            (Wish::Share(file), Err(_)) => self.agenda.plan(again, Deed::Share(actor, file)),
            (Wish::Fetch(file), Err(refusal)) => {
                if refusal == Refusal::Disk(DiskError::Exists) {
                    self.makes_way(actor, file);
                }
                self.agenda.plan(again, Deed::Fetch(actor, file));
            }
            (Wish::List, Ok(Reply::Files(rows))) => {
                self.listed = Some(rows.iter().any(|row| self.is_lost(row.name.as_str()) && row.available));
            }
            (Wish::Fetch(_) | Wish::List | Wish::Quit | Wish::Other, _) => {}
        }
    }

    /// A crash, or the end of a membership, may leave a file behind that the client knows nothing of. Its refusal says to move it away.
    fn makes_way(&mut self, actor: usize, file: usize) {
        let node = self.actors[actor].node;
        self.world.client_mut(node).disk.clear(&place(&self.scenario.files[file].name));
        self.recount(node);
    }

    /// Somebody is logged in: what is shared or fetched begins.
    fn is_in(&mut self, actor: usize) {
        let first = !self.actors[actor].logged_in;
        self.actors[actor].logged_in = true;
        self.unanswered = self.unanswered.saturating_sub(1);
        if first && self.began > Time::default() {
            self.begins(actor);
        }
    }

    /// Somebody who is logged in shares, or fetches, all files.
    pub(super) fn begins(&mut self, actor: usize) {
        for file in 0..self.files.len() {
            self.shares(actor, file);
            self.fetches(actor, file);
        }
    }

    fn completes(&mut self, actor: usize, name: &str) {
        let now = self.world.now();
        let Some(at) = self.scenario.files.iter().position(|file| file.name == name) else { return };
        self.actors[actor].has[at] = true;
        if !self.actors[actor].has.iter().all(|has| *has) || self.actors[actor].completed.is_some() {
            return;
        }
        self.actors[actor].completed = Some(now);
        match self.scenario.classes[self.actors[actor].class].departure {
            Departure::Dwell(span) => self.agenda.plan(now + span, Deed::Leave(actor)),
            #[expect(clippy::cast_precision_loss, reason = "a time far below 2^52 microseconds")]
            Departure::DwellMean(mean) => {
                let dwell = self.exponential(mean.0 as f64);
                self.agenda.plan(now + dwell, Deed::Leave(actor));
            }
            Departure::Stay | Departure::At(_) | Departure::AfterUploads(_) => {}
        }
    }

    /// A download failed, or the session is lost: they try again.
    fn failed(&mut self, actor: usize, name: &str) {
        let again = self.world.now() + RETRY;
        match self.scenario.files.iter().position(|file| file.name == name) {
            Some(file) => self.agenda.plan(again, Deed::Fetch(actor, file)),
            None => {
                self.actors[actor].logged_in = false;
                self.agenda.plan(again, Deed::LogIn(actor));
            }
        }
    }
}
