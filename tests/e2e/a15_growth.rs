//! A15: many pieces through one client, without growth; and A5's memory: how little a client needs.

use std::path::PathBuf;

use crate::harness::content::assert_same;
use crate::harness::world::group;
use crate::harness::{Client, PIECE, World, skip};

const KIB_PER_MIB: u64 = 1024;

/// Ann shares files with bob, so many pieces each.
struct Pair {
    world: World,
    ann: Client,
    bob: Client,
}

impl Pair {
    fn new() -> Pair {
        let world = World::new();
        let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
        group("physics", &mut ann, &mut [&mut bob]);
        Pair { world, ann, bob }
    }

    fn share(&mut self, name: &str, pieces: u64) -> PathBuf {
        let path = self.world.file(name, pieces * PIECE as u64, pieces);
        self.ann.ok(&format!("upload_file {} physics", path.display()));
        path
    }

    /// Bob fetches a file, and both forget it.
    fn move_one(&mut self, name: &str, pieces: u64) {
        let path = self.share(name, pieces);
        self.bob.ok(&format!("download_file physics {name}"));
        self.bob.ok("wait");
        let copy = self.bob.home.work.join(name);
        assert_same(&path, &copy);
        self.bob.ok(&format!("stop_share physics {name}"));
        self.ann.ok(&format!("remove_file physics {name}"));
        std::fs::remove_file(copy).unwrap();
        std::fs::remove_file(path).unwrap();
    }

    /// Open files and private memory of both clients.
    fn sizes(&self) -> [(usize, u64); 2] {
        [&self.ann, &self.bob].map(|it| (it.process.open_files(), it.process.memory_kib("RssAnon")))
    }
}

fn moves_without_growth(files: u64, pieces: u64) {
    let mut pair = Pair::new();
    pair.move_one("warm-up", pieces);
    let before = pair.sizes();
    for number in 0..files {
        pair.move_one(&format!("file{number}"), pieces);
    }
    for ((files_before, kib_before), (files_after, kib_after)) in before.into_iter().zip(pair.sizes()) {
        assert!(files_after <= files_before, "{files_before} open files became {files_after}");
        let grown = kib_after.saturating_sub(kib_before);
        assert!(grown < 8 * KIB_PER_MIB, "{kib_before} KiB grew by {grown} KiB");
    }
}

#[test]
fn hundreds_of_pieces_leave_no_open_files_and_no_memory_behind() {
    moves_without_growth(8, 50);
}

#[test]
fn ten_thousand_pieces_leave_no_open_files_and_no_memory_behind() {
    if std::env::var_os("SOAK").is_none() {
        return skip("set SOAK=1 to move 5 GB");
    }
    moves_without_growth(20, 500);
}

#[test]
fn fetching_a_large_file_takes_less_than_64_mib_of_memory() {
    let mut pair = Pair::new();
    pair.share("file.bin", 512);
    let clients = [&pair.ann.process, &pair.bob.process];
    let mapped = clients.map(|process| {
        process.reset_memory_peak();
        process.memory_kib("RssFile")
    });
    pair.bob.ok("download_file physics file.bin");
    pair.bob.ok("wait");
    for (process, mapped) in [&pair.ann.process, &pair.bob.process].into_iter().zip(mapped) {
        let peak = process.memory_kib("VmHWM").saturating_sub(mapped);
        assert!(peak < 64 * KIB_PER_MIB, "{peak} KiB");
    }
}
