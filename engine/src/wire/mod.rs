//! What travels between machines: messages, and the one module that turns them into bytes and back.

pub mod cluster;
pub mod codec;
pub mod few;
pub mod frame;
pub mod list;
pub mod peer;
pub mod tracker;

/// The protocol's name and version, which both ends of every connection must name.
pub const PROTOCOL: &[u8; 16] = b"group-sharing/02";

#[cfg(test)]
mod tests;
