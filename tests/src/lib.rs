//! What the fuzzers run.

pub mod fuzz;
pub mod seeds;
