//! A11: a file that changes under its seeder.

use std::fs;
use std::path::Path;

use crate::harness::content::{assert_same, write_file};
use crate::harness::world::group;
use crate::harness::{Client, World};

const LEN: u64 = 4 << 20;

/// Ann shares a file, and bob a copy of it; ann's becomes something else, and carol fetches it: first only ann is there, who notices and
/// says so; then bob comes, and carol finishes.
fn spoil(change: impl FnOnce(&Path)) {
    let world = World::new();
    let (mut ann, mut bob, mut carol) = (world.user("ann"), world.user("bob"), world.user("carol"));
    group("physics", &mut ann, &mut [&mut bob, &mut carol]);
    let path = world.file("file.bin", LEN, 1);
    let copy = bob.home.work.join("file.bin");
    fs::copy(&path, &copy).unwrap();
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.ok("upload_file file.bin physics");
    bob.ok("logout");
    change(&path);
    carol.ok("download_file physics file.bin");
    ann.told("[physics] file.bin is no longer shared from this client");
    no_longer_offered(&mut ann);
    assert_eq!(carol.download()["state"], "running");
    bob.log_in();
    carol.ok("wait");
    assert_same(&copy, &carol.home.work.join("file.bin"));
}

fn no_longer_offered(ann: &mut Client) {
    assert_eq!(ann.json("show_shares"), serde_json::json!([]));
    ann.wait_seeders("physics", 0);
}

#[test]
fn a_changed_file_is_no_longer_offered_and_downloads_finish_elsewhere() {
    spoil(|path| fs::write(path, vec![7; 4 << 20]).unwrap());
}

#[test]
fn a_truncated_file_is_no_longer_offered_and_downloads_finish_elsewhere() {
    spoil(|path| fs::File::options().write(true).open(path).unwrap().set_len(LEN / 2).unwrap());
}

#[test]
fn a_deleted_file_is_no_longer_offered_and_downloads_finish_elsewhere() {
    spoil(|path| fs::remove_file(path).unwrap());
}

#[test]
fn a_replaced_file_is_no_longer_offered_and_downloads_finish_elsewhere() {
    spoil(|path| {
        let other = path.with_extension("new");
        write_file(&other, LEN, 2);
        fs::rename(other, path).unwrap();
    });
}

/// It changes between two chunks of a piece.
#[test]
fn a_file_that_changes_while_a_piece_leaves_is_no_longer_offered() {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("file.bin", LEN, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    ann.ok("limit upload 256KiB/s");
    bob.ok("download_file physics file.bin");
    bob.wait_held(1);
    fs::write(&path, vec![7; 4 << 20]).unwrap();
    ann.told("[physics] file.bin is no longer shared from this client: the file was changed");
    no_longer_offered(&mut ann);
    assert_eq!(bob.download()["state"], "running");
}

#[test]
fn a_file_that_changed_while_its_owner_was_away_is_not_shared_again() {
    let world = World::new();
    let mut ann = world.user("ann");
    ann.ok("create_group physics");
    let path = world.file("file.bin", LEN, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    ann.ok("logout");
    fs::write(&path, "something else").unwrap();
    ann.log_in();
    ann.told("[physics] file.bin is no longer shared from this client: the file was changed");
    no_longer_offered(&mut ann);
}
