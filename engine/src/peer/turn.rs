//! One call of `handle`: the time it happens at, and where its actions go.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::command::{News, Reply};
use super::io::Action;
use crate::id::CommandId;
use crate::refusal::Refusal;
use crate::time::Time;

/// The time and the outbox of one call, and what is to be looked at in the end.
pub(super) struct Turn<'a> {
    pub(super) now: Time,
    pub(super) outbox: &'a mut Vec<Action>,
    /// Whether something may have become possible for those who wait for pieces from here.
    pub(super) serves: bool,
    /// Whether something may have become possible to ask of others.
    pub(super) fills: bool,
}

impl Turn<'_> {
    pub(super) fn act(&mut self, action: Action) {
        self.outbox.push(action);
    }

    pub(super) fn answer(&mut self, id: CommandId, reply: Result<Reply, Refusal>) {
        self.act(Action::Answer { id, reply: reply.map(Box::new).map_err(Box::new) });
    }

    pub(super) fn tell(&mut self, news: News) {
        self.act(Action::Tell(Box::new(news)));
    }
}
