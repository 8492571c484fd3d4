//! A8: a download that was cut short goes on where it was.

use std::path::{Path, PathBuf};

use crate::harness::content::assert_same;
use crate::harness::world::group;
use crate::harness::{Client, PIECE, World, until};

const LEN: u64 = 256 << 20;
const PIECES: u64 = LEN / PIECE as u64;

/// Ann shares a large file, and bob has begun to fetch it.
fn begun() -> (World, Client, Client, PathBuf) {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("file.bin", LEN, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.ok("download_file physics file.bin");
    (world, ann, bob, path)
}

/// The number before `of them here already`.
fn here_already(reply: &str) -> u64 {
    let words: Vec<&str> = reply.split_whitespace().collect();
    let at = words.windows(4).position(|four| four == ["of", "them", "here", "already"]);
    words[at.unwrap_or_else(|| panic!("nothing is said to be here: {reply}")) - 1].parse().unwrap()
}

/// Bob goes on with `command`; what was verified is not fetched again.
fn resumes(ann: &mut Client, bob: &mut Client, command: &str, at_least: u64, path: &Path) {
    until("ann knows that bob is away", || (ann.json("show_shares")[0]["leechers"] == 0).then_some(()));
    let sent = ann.sent();
    let held = here_already(&bob.ok(command));
    assert!(held >= at_least, "{at_least} pieces were verified, {held} are here");
    bob.ok("wait physics file.bin");
    assert_same(path, &bob.home.work.join("file.bin"));
    assert_eq!(ann.sent() - sent, (PIECES - held) * PIECE as u64, "verified pieces are not fetched again");
    let left: Vec<_> = std::fs::read_dir(&bob.home.work).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["file.bin"], "the partial file and the journal are gone");
}

#[test]
fn after_kill_9_a_download_resumes_and_verified_pieces_are_not_fetched_again() {
    let (_world, mut ann, mut bob, path) = begun();
    let held = bob.wait_held(8);
    let home = bob.kill();
    assert!(!home.work.join("file.bin").exists(), "a partial file never stands under its final name");
    let mut bob = Client::start(home);
    assert!(bob.log_in().contains("1 earlier download not ended"));
    let shown = bob.download();
    assert_eq!(shown["state"], "stopped");
    assert!(shown["held_pieces"].as_u64().unwrap() >= held, "it shows how far it came: {shown}");
    resumes(&mut ann, &mut bob, "download_file physics file.bin", held, &path);
}

#[test]
fn a_stopped_download_resumes() {
    let (_world, mut ann, mut bob, path) = begun();
    let held = bob.wait_held(8);
    bob.ok("stop_download physics file.bin");
    assert!(bob.ok("show_downloads").starts_with("[S] [physics] file.bin"));
    bob.refused("wait physics file.bin", "it was stopped");
    resumes(&mut ann, &mut bob, "download_file physics file.bin", held, &path);
}

#[test]
fn a_download_resumes_after_quit() {
    let (_world, mut ann, mut bob, path) = begun();
    let held = bob.wait_held(8);
    let home = bob.home.clone();
    assert_eq!(bob.quit(), 0);
    let mut bob = Client::start(home);
    bob.log_in();
    resumes(&mut ann, &mut bob, "download_file physics file.bin", held, &path);
}
