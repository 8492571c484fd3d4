//! End-to-end tests with real processes.

pub mod fuzz;
pub mod seeds;
