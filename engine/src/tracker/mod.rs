//! The tracker machine.

pub mod io;

use alloc::vec::Vec;

use crate::seed::Seed;
use crate::time::Time;
use crate::violation::Violation;
use io::{Action, Input, Stored};

/// A tracker.
#[derive(Debug)]
pub struct Tracker;

impl Tracker {
    /// A tracker with what its store held.
    ///
    /// # Errors
    /// `Malformed` if the store is damaged.
    pub fn new(_seed: Seed, _stored: &Stored) -> Result<Tracker, Violation> {
        Ok(Tracker)
    }
    /// Takes in what happened; appends what must be done.
    pub fn handle(&mut self, _now: Time, _input: Input, _outbox: &mut Vec<Action>) {}
    /// When to call with `Wake`.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        None
    }
    /// Asserts every invariant.
    pub fn check(&self) {}
    /// What a console shows.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::default()
    }
}

/// What a tracker's console shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Accounts.
    pub users: usize,
    /// Groups.
    pub groups: usize,
    /// Files listed, over all groups.
    pub files: usize,
    /// Clients connected.
    pub links: usize,
    /// Of those, logged in.
    pub sessions: usize,
    /// Swarm entries: peers times files.
    pub swarm_entries: usize,
    /// Log index of the last change that was applied.
    pub applied: u64,
    /// Whether changes are refused because the disk is full.
    pub read_only: bool,
}
