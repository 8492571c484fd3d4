//! The simulator: the engine's own machines over a virtual network, virtual disks and a virtual clock, from one seed.
//!
//! A [`World`] has one tracker and any number of clients; a test or a scenario says what their people do, lets time pass, and
//! looks. What is checked at every step, whatever the test looks at: each machine's own invariants; that finished files have
//! the right bytes; that no piece goes to somebody who is no member; that nobody honest is blamed; and the engine's side of the shell
//! contract. Somebody driven by hand ([`World::puppet`]) can say whatever a hostile peer would.

pub mod bounds;
mod checks;
pub mod cluster;
mod content;
mod crowd;
mod disk;
mod faults;
mod hooks;
mod jobs;
mod links;
mod lookahead;
#[cfg(test)]
mod maxmin;
pub mod measure;
pub mod narrate;
mod network;
mod node;
mod notary;
pub mod prose;
mod queue;
pub mod relive;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod swarm;
mod trace;
pub mod trial;
mod watch;
mod world;

pub use content::{ContentId, Whole};
pub use network::{Access, NodeId, Packet};
pub use node::{Answer, Heard};
pub use world::{Costs, World};
