//! A10: members serve each other while every tracker is dead, for as long as their tickets last.

use crate::harness::World;
use crate::harness::content::assert_same;
use crate::harness::world::group;

#[test]
fn running_downloads_finish_with_every_tracker_dead() {
    let mut world = World::new();
    let (mut ann, mut bob, mut carol) = (world.user("ann"), world.user("bob"), world.user("carol"));
    group("physics", &mut ann, &mut [&mut bob, &mut carol]);
    let path = world.file("file.bin", 256 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    for client in [&mut bob, &mut carol] {
        client.ok("download_file physics file.bin");
        client.wait_held(1);
    }
    world.tracker.kill();
    for client in [&mut bob, &mut carol] {
        client.ok("wait");
        assert_same(&path, &client.home.work.join("file.bin"));
    }
}

#[test]
fn downloads_begin_with_every_tracker_dead_among_those_who_know_each_other() {
    let mut world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let files = [("old.bin", 1), ("new.bin", 2)].map(|(name, seed)| world.file(name, 8 << 20, seed));
    for path in &files {
        ann.ok(&format!("upload_file {} physics", path.display()));
    }
    bob.ok("list_files physics");
    bob.ok("download_file physics old.bin");
    bob.ok("wait");
    world.tracker.kill();
    bob.ok("download_file physics new.bin");
    bob.ok("wait");
    assert_same(&files[1], &bob.home.work.join("new.bin"));
    bob.refused("download_file physics other.bin", "no tracker answers");
}
