//! Limits on how fast pieces leave and come in, and what a slow download says of itself. That a transfer is not faster than its limit can be asserted on any machine.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::content::assert_same;
use crate::harness::world::group;
use crate::harness::{Client, World, until};

const LEN: u64 = 8 << 20;

/// The least time that the file takes at 4 MiB/s. What a limit leaves unused for 0.1 s may be made up for.
const LEAST: Duration = Duration::from_millis(2_000 - 100 - 50);

/// A seeder, somebody who may fetch its file, and where that is.
fn pair(world: &World) -> (Client, Client, PathBuf) {
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("film.bin", LEN, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    (ann, bob, path)
}

fn time_to_fetch(path: &Path, bob: &mut Client) -> Duration {
    let began = Instant::now();
    bob.ok("download_file physics film.bin");
    bob.ok("wait");
    let took = began.elapsed();
    assert_same(path, &bob.home.work.join("film.bin"));
    took
}

#[test]
fn nobody_gives_faster_than_its_upload_limit() {
    let world = World::new();
    let (mut ann, mut bob, path) = pair(&world);
    ann.ok("limit upload 4MiB/s");
    assert!(time_to_fetch(&path, &mut bob) >= LEAST);
}

#[test]
fn nobody_takes_faster_than_its_download_limit() {
    let world = World::new();
    let (_ann, mut bob, path) = pair(&world);
    bob.ok("limit download 4MiB/s");
    assert!(time_to_fetch(&path, &mut bob) >= LEAST);
}

#[test]
fn a_limit_is_refused_if_it_is_none() {
    let world = World::new();
    let (_ann, mut bob, _) = pair(&world);
    for wrong in ["limit upload fast", "limit upload 8Mbit/s", "limit download 1KiB/s"] {
        bob.refused(wrong, "is not a rate");
    }
    bob.refused("limit sideways 1MiB/s", "usage: limit");
    assert_eq!(bob.ok("limit"), "upload: no limit\ndownload: no limit");
}

#[test]
fn a_slow_download_says_who_sends_and_a_stuck_one_that_nobody_does() {
    let world = World::new();
    let (mut ann, mut bob, _) = pair(&world);
    ann.ok("limit upload 64KiB/s");
    bob.ok("download_file physics film.bin");
    let why = |bob: &mut Client| bob.json("explain physics film.bin --json");
    until("ann sends", || (why(&mut bob)["peers_by_rate"][0]["state"] == "sends").then_some(()));
    let shown = bob.ok("explain physics film.bin");
    assert!(shown.contains("reason:     1 peer sends") && shown.contains("ann "), "{shown}");
    ann.kill();
    until("bob knows that nobody is there", || {
        why(&mut bob)["why"].as_str().unwrap().contains("nobody who holds any of it is online").then_some(())
    });
    bob.refused("explain physics other.bin", "other.bin");
}
