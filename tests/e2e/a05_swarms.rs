//! A5: several clients, one file.

use crate::harness::content::assert_same;
use crate::harness::world::{group, join};
use crate::harness::{Client, World};

/// A network in which the first `seeders` clients share a file of `len` bytes, and the others of three or more fetch it at once.
fn swarm(len: u64, seeders: usize, leechers: usize) {
    let world = World::new();
    let mut owner = world.user("owner");
    owner.ok("create_group physics");
    let mut seeding = users(&world, &mut owner, "seeder", seeders);
    let mut fetching = users(&world, &mut owner, "leecher", leechers);
    let path = world.file("file.bin", len, len);
    for seeder in &mut seeding {
        seeder.ok(&format!("upload_file {} physics", path.display()));
    }
    for leecher in &mut fetching {
        leecher.ok("download_file physics file.bin");
    }
    for leecher in &mut fetching {
        leecher.ok("wait");
        assert_same(&path, &leecher.home.work.join("file.bin"));
    }
    gave_their_part(&mut seeding, &mut fetching, len);
}

fn users(world: &World, owner: &mut Client, name: &str, count: usize) -> Vec<Client> {
    let new = |number| {
        let mut client = world.user(&format!("{name}{number}"));
        join("physics", owner, &mut client);
        client
    };
    (1..=count).map(new).collect()
}

/// All bytes came from somebody, and with two seeders or more none gave one downloader's worth alone.
fn gave_their_part(seeding: &mut [Client], fetching: &mut [Client], len: u64) {
    let wanted = len * fetching.len() as u64;
    let sent: Vec<u64> = seeding.iter_mut().map(Client::sent).collect();
    let passed_on: u64 = fetching.iter_mut().map(Client::sent).sum();
    assert!(sent.iter().sum::<u64>() + passed_on >= wanted, "{sent:?} + {passed_on} of {wanted}");
    if seeding.len() > 1 {
        assert!(sent.iter().all(|sent| *sent < wanted), "each gave less than all: {sent:?} of {wanted}");
        assert!(sent.iter().all(|sent| *sent > 0), "each gave something: {sent:?}");
    }
}

#[test]
fn one_seeder_serves_two_at_once() {
    swarm(16 << 20, 1, 2);
}

#[test]
fn two_seeders_share_the_work() {
    swarm(32 << 20, 2, 1);
}

#[test]
fn three_seeders_share_the_work() {
    swarm(32 << 20, 3, 1);
}

#[test]
fn three_seeders_serve_two() {
    swarm(64 << 20, 3, 2);
}

#[test]
fn a_file_of_a_quarter_piece_is_fetched_by_two() {
    let world = World::new();
    let (mut ann, mut bob, mut carol) = (world.user("ann"), world.user("bob"), world.user("carol"));
    group("physics", &mut ann, &mut [&mut bob, &mut carol]);
    let path = world.file("file.bin", 128 << 10, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    for client in [&mut bob, &mut carol] {
        client.ok("download_file physics file.bin");
        client.ok("wait");
        assert_same(&path, &client.home.work.join("file.bin"));
    }
}

#[test]
fn a_finished_download_becomes_a_seeder_and_the_tracker_knows() {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("file.bin", 2 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    ann.wait_seeders("physics", 1);
    bob.ok("download_file physics file.bin");
    bob.ok("wait");
    ann.wait_seeders("physics", 2);
}

#[test]
fn several_downloads_run_side_by_side_and_the_prompt_stays_free() {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let paths: Vec<_> = (0..4).map(|number| world.file(&format!("file{number}"), 8 << 20, number)).collect();
    for path in &paths {
        ann.ok(&format!("upload_file {} physics", path.display()));
    }
    for number in 0..4 {
        bob.ok(&format!("download_file physics file{number}"));
    }
    assert!(bob.ok("list_groups").contains("physics"));
    bob.ok("wait");
    for path in &paths {
        assert_same(path, &bob.home.work.join(path.file_name().unwrap()));
    }
    assert_eq!(bob.ok("show_downloads").matches("[C] [physics] file").count(), 4);
}

#[test]
fn quitting_when_replicated_waits_for_who_fetches() {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("file.bin", 16 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    ann.process.write("quit --when-replicated 1\n");
    ann.told("leaving when others hold what is shared here: 1 file to go");
    bob.ok("download_file physics file.bin");
    bob.ok("wait");
    assert_eq!(ann.process.exit_code(), 0);
    assert_same(&path, &bob.home.work.join("file.bin"));
}
