//! The peer machine.

pub mod command;
pub mod io;
pub mod strategy;

use alloc::vec::Vec;

use crate::seed::Seed;
use crate::time::Time;
use io::{Action, Config, Input};

/// A peer.
#[derive(Debug)]
pub struct Peer;

impl Peer {
    /// A peer with no session.
    #[must_use]
    pub fn new(_config: Config, _seed: Seed) -> Peer {
        Peer
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
}
