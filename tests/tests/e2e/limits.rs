//! Limits on how fast pieces leave and come in. That a transfer is not faster than its limit can be asserted on any machine.

use std::time::{Duration, Instant};

use crate::harness::content::assert_same;
use crate::harness::world::{group, join};
use crate::harness::{Client, World};

const LEN: u64 = 8 << 20;

/// The least time that the file takes at 4 MiB/s. What a limit leaves unused for 0.1 s may be made up for.
const LEAST: Duration = Duration::from_millis(2_000 - 100 - 50);

/// A seeder, and somebody who may fetch its file.
fn pair(world: &World) -> (Client, Client) {
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann);
    join("physics", &mut ann, &mut bob);
    let path = world.file("film.bin", LEN, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    (ann, bob)
}

fn time_to_fetch(world: &World, bob: &mut Client) -> Duration {
    let began = Instant::now();
    bob.ok("download_file physics film.bin");
    bob.ok("wait");
    let took = began.elapsed();
    assert_same(&world.file("film.bin", LEN, 1), &bob.home.work.join("film.bin"));
    took
}

#[test]
fn nobody_gives_faster_than_its_upload_limit() {
    let world = World::new();
    let (mut ann, mut bob) = pair(&world);
    ann.ok("limit upload 4MiB/s");
    assert!(time_to_fetch(&world, &mut bob) >= LEAST);
}

#[test]
fn nobody_takes_faster_than_its_download_limit() {
    let world = World::new();
    let (_ann, mut bob) = pair(&world);
    bob.ok("limit download 4MiB/s");
    assert!(time_to_fetch(&world, &mut bob) >= LEAST);
}

#[test]
fn a_limit_is_refused_if_it_is_none() {
    let world = World::new();
    let (_ann, mut bob) = pair(&world);
    for wrong in ["limit upload fast", "limit upload 8Mbit/s", "limit download 1KiB/s"] {
        assert!(bob.refused(wrong).contains("is not a rate"), "{wrong}");
    }
    assert!(bob.refused("limit sideways 1MiB/s").contains("usage: limit"));
    assert_eq!(bob.ok("limit").lines(), ["upload: no limit", "download: no limit"]);
}
