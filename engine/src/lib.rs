//! The engine of a private group file-sharing system: a pure, deterministic, sans-IO core.
//!
//! It is *not* a program: it has no clock, socket, thread, file or hidden randomness, and `no_std` keeps it so. A shell (the
//! `node` binary, or the simulator) owns those, and runs one of two machines:
//!
//! - [`tracker::Tracker`] keeps accounts, groups and the catalogue, and knows who is online with how much of which file.
//! - [`peer::Peer`] is a client: it talks to a tracker, downloads from other peers and serves them.
//!
//! Both have one shape. `handle(now, input, &mut outbox)` never fails and appends what the shell must do, in causal order;
//! `next_wakeup()` says when to call with `Wake` if nothing else happens; `check()` asserts every invariant. The same seed
//! and the same inputs give the same actions, always. After `Wake` at `now`, the next wake-up lies after `now`.
//!
//! The bytes of files never pass through: the engine names them ([`piece::Extent`], [`id::Slot`]), the shell moves them. Slow work is a
//! *job*: `Start { job, work }`, answered exactly once by `Done { job, outcome }`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bitfield;
pub mod id;
pub mod limits;
pub mod name;
pub mod peer;
pub mod piece;
#[cfg(feature = "recording")]
pub mod recording;
pub mod refusal;
pub mod seed;
pub mod table;
pub mod ticket;
pub mod time;
pub mod tracker;
mod tree;
pub mod violation;
pub mod wire;
