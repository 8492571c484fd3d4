//! End-to-end tests: real trackers and clients as processes, on loopback, in folders of their own.
//!
//! Each module tries what its name says, as a person would use it; the numbers only order them. They are tests of the package `node`
//! (`cargo test -p node --test e2e`). Nothing sleeps in the hope that something happens meanwhile: a
//! test waits for a condition, with a deadline. Every process that a test starts ends with the test.
//!
//! `LARGE=1` adds files of 1 GiB and 10 GiB, 15,000 connections and what trackers can do in a second, `SOAK=1` adds 10,000 pieces through one client; `UPDATE_TRANSCRIPTS=1` writes the expected
//! transcripts anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: a broken expectation ends the test")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]

mod harness;

mod a01_before_login;
mod a02_owner_commands;
mod a03_uploads;
mod a04_destinations;
mod a05_swarms;
mod a06_chain;
mod a07_crashes;
mod a08_resume;
mod a09_hostile_peers;
mod a10_removals;
mod a10_strangers;
mod a10_without_trackers;
mod a11_changed_files;
mod a12_names;
mod a13_streams;
mod a14_transcripts;
mod a15_growth;
mod a16_two_clients;
mod a17_trust;
mod a18_wire;
mod a19_crowds;
mod a20_trackers;
mod a21_two_trackers;
mod a22_backup;
mod a23_kills;
mod a24_costs;
mod a25_full_tracker;
mod a26_cut_lines;
mod ipv6;
mod limits;
mod readme;
mod recordings;
mod signals;
mod terminal;
