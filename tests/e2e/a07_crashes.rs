//! A7: seeders and trackers that die.

use std::sync::mpsc;

use crate::harness::content::assert_same;
use crate::harness::member::{Deed, Shared, Stage, serve};
use crate::harness::world::{group, join};
use crate::harness::{Content, Member, World, until};

#[test]
fn a_seeder_that_dies_in_mid_piece_costs_nothing_but_that_piece() {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let content = Content::new(8 << 20, 1);
    let path = world.folder().join("file.bin");
    std::fs::write(&path, &content.bytes).unwrap();
    ann.ok(&format!("upload_file {} physics", path.display()));
    let file = Shared::new("physics", "file.bin", content);
    let pieces: Vec<u32> = (0..file.content.pieces()).collect();
    let mut mallory = Member::log_in(&world, "mallory");
    mallory.join("physics", &mut ann);
    mallory.share(&file, file.content.pieces());
    ann.ok("logout");
    bob.ok("download_file physics file.bin");
    let mut whole = 0;
    let link = serve(mallory.accept(), &file, &pieces, |link, stage| match stage {
        Stage::Requested(theirs, piece) if whole == 3 => {
            link.send_piece(theirs, piece, &file.content.piece(piece)[..300_000]).unwrap();
            Deed::Stop
        }
        Stage::Requested(..) => {
            whole += 1;
            Deed::Honest
        }
        _ => Deed::Honest,
    });
    let link = link.expect("bob stays");
    // A cut connection takes with it what was not read yet; here it is to take the last piece alone.
    bob.wait_held(u64::from(whole));
    link.cut();
    ann.log_in();
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("file.bin"));
    assert_eq!(ann.sent(), u64::from(file.content.pieces() - whole) * 524_288);
}

#[test]
fn a_seeder_killed_during_a_download_is_replaced_by_another() {
    let world = World::new();
    let (mut ann, mut bob, mut carol) = (world.user("ann"), world.user("bob"), world.user("carol"));
    group("physics", &mut ann, &mut [&mut bob, &mut carol]);
    let path = world.file("file.bin", 256 << 20, 1);
    for seeder in [&mut ann, &mut carol] {
        seeder.ok(&format!("upload_file {} physics", path.display()));
    }
    carol.ok("logout");
    bob.ok("download_file physics file.bin");
    bob.wait_held(1);
    ann.kill();
    assert_eq!(bob.download()["state"], "running", "the seeder died during the download");
    carol.log_in();
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("file.bin"));
}

#[test]
fn a_download_goes_on_while_the_tracker_is_dead() {
    let mut world = World::new();
    let mut bob = world.user("bob");
    bob.ok("create_group physics");
    let file = Shared::new("physics", "file.bin", Content::new(8 << 20, 1));
    let pieces: Vec<u32> = (0..file.content.pieces()).collect();
    let mut seeder = Member::log_in(&world, "seeder");
    seeder.join("physics", &mut bob);
    seeder.share(&file, file.content.pieces());
    bob.ok("download_file physics file.bin");
    let (go, wait) = mpsc::channel();
    let link = seeder.accept();
    std::thread::scope(|scope| {
        let file = &file;
        let mut given = 0;
        scope.spawn(move || {
            serve(link, file, &pieces, |_, stage| {
                if let Stage::Requested(..) = stage {
                    if given == 4 {
                        wait.recv().unwrap();
                    }
                    given += 1;
                }
                Deed::Honest
            })
        });
        bob.wait_held(4);
        world.tracker.kill();
        bob.told("the tracker is gone");
        go.send(()).unwrap();
        bob.ok("wait");
        assert!(std::fs::read(bob.home.work.join("file.bin")).unwrap() == file.content.bytes);
        bob.process.kill();
    });
}

#[test]
fn after_the_tracker_was_killed_and_started_again_everything_is_there() {
    let mut world = World::new();
    let (mut ann, mut bob, mut carol) = (world.user("ann"), world.user("bob"), world.user("carol"));
    group("physics", &mut ann, &mut [&mut bob]);
    carol.ok("join_group physics");
    let path = world.file("file.bin", 2 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    ann.ok("make_admin physics bob");
    world.tracker.kill();
    ann.told("the tracker is gone");
    world.tracker.restart();
    for client in [&ann, &bob, &carol] {
        client.told("a tracker is found");
    }
    let members = bob.json("list_members physics");
    assert_eq!(members[0]["role"], "owner");
    assert_eq!(members[1]["role"], "admin");
    assert_eq!(bob.json("list_requests physics")[0]["user"], "carol");
    bob.wait_seeders("physics", 1);
    bob.ok("download_file physics file.bin");
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("file.bin"));
    let mut dave = world.client("dave");
    dave.refused("create_user ann other", "the name ann is taken");
}

#[test]
fn a_command_during_the_outage_is_refused_or_waits_and_later_ones_work() {
    let mut world = World::new();
    let mut ann = world.user("ann");
    world.tracker.kill();
    ann.told("the tracker is gone");
    assert_eq!(ann.json("show_downloads"), serde_json::json!([]));
    let reply = ann.ask("create_group physics");
    assert!(reply.error().is_some_and(|why| why.contains("no tracker answers")), "{}", reply.text());
    world.tracker.restart();
    ann.told("a tracker is found");
    let reply = ann.ask("create_group physics");
    let why = reply.error().unwrap_or("granted");
    assert!(why == "granted" || why.contains("exists"), "{why}");
    ann.ok("list_members physics");
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let mut world = World::new();
    let mut ann = world.user("ann");
    let mut made = 0;
    for _ in 0..3 {
        for _ in 0..10 {
            ann.ok(&format!("create_group group{made}"));
            made += 1;
        }
        world.tracker.kill();
        world.tracker.restart();
        let count = until("the client is back", || {
            let reply = ann.ask("list_groups --json");
            reply.error().is_none().then(|| reply.text().matches("\"owner\"").count())
        });
        assert_eq!(count, made);
    }
}

#[test]
fn a_tracker_ends_cleanly_on_a_signal_and_clients_outlive_it() {
    let mut world = World::new();
    let mut ann = world.user("ann");
    assert_eq!(world.tracker.terminate(), 0);
    ann.told("the tracker is gone");
    world.tracker.restart();
    ann.told("a tracker is found");
    ann.ok("create_group physics");
    assert_eq!(ann.quit(), 0);
}

#[test]
fn shares_are_shared_again_after_the_client_was_killed() {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut []);
    join("physics", &mut ann, &mut bob);
    let path = world.file("file.bin", 2 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    let mut ann = crate::harness::Client::start(ann.kill());
    assert!(ann.log_in().contains("1 file shared again"));
    bob.ok("download_file physics file.bin");
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("file.bin"));
}
