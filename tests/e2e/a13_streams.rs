//! A13: long answers, and streams that arrive in small parts.

use engine::wire::tracker::{Change, Request, TrackerMessage};

use crate::harness::content::assert_same;
use crate::harness::member::{Deed, Shared, group_name, serve};
use crate::harness::world::group;
use crate::harness::{Client, Content, Member, World, proxy};

/// Makes groups with long names, several requests at a time.
fn make_groups(mallory: &mut Member, count: usize) {
    const AT_ONCE: usize = 8;
    let mut answered = 0;
    for number in 0..count {
        let name = format!("{number:05}-{}", "x".repeat(200));
        mallory.send_request(Request::Change(Change::CreateGroup { group: group_name(&name) }));
        while number + 1 - answered >= AT_ONCE {
            answered += took_answer(mallory);
        }
    }
    while answered < count {
        answered += took_answer(mallory);
    }
}

fn took_answer(member: &mut Member) -> usize {
    match member.told() {
        TrackerMessage::Answer { answer, .. } => {
            answer.unwrap();
            1
        }
        _ => 0,
    }
}

#[test]
fn a_listing_much_longer_than_64_kib_is_complete_and_in_order() {
    let world = World::new();
    let mut mallory = Member::log_in(&world, "mallory");
    make_groups(&mut mallory, 1_000);
    let mut ann = world.user("ann");
    let groups = ann.json("list_groups");
    let names: Vec<&str> =
        groups.as_array().unwrap().iter().map(|row| row["group"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 1_000);
    assert!(names.iter().map(|name| name.len()).sum::<usize>() > 3 * 64 * 1024);
    assert!(names.is_sorted());
    let text = ann.ok("list_groups");
    assert_eq!(text.lines().count(), 1_001);
}

#[test]
fn a_tracker_is_understood_through_a_network_that_delivers_single_bytes() {
    let world = World::new();
    let address = proxy::drip(world.tracker.address);
    let mut ann = Client::start(world.home_with("ann", &format!("{address}\n")));
    ann.create_and_log_in();
    let mut bob = world.user("bob");
    group("physics", &mut ann, &mut [&mut bob]);
    for number in 0..120 {
        ann.ok(&format!("create_group group{number}"));
    }
    assert_eq!(ann.json("list_groups").as_array().map(Vec::len), Some(121));
    let path = world.file("file.bin", 1 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.ok("download_file physics file.bin");
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("file.bin"));
}

#[test]
fn pieces_arrive_whole_from_a_peer_that_sends_single_bytes() {
    let world = World::new();
    let mut bob = world.user("bob");
    bob.ok("create_group physics");
    let file = Shared::new("physics", "file.bin", Content::new(600_000, 1));
    let mut slow = Member::log_in(&world, "slow");
    slow.join("physics", &mut bob);
    slow.share(&file, 2);
    bob.ok("download_file physics file.bin");
    let mut link = slow.accept();
    link.drips = true;
    std::thread::scope(|scope| {
        scope.spawn(|| serve(link, &file, &[0, 1], |_, _| Deed::Honest));
        bob.ok("wait");
        assert!(std::fs::read(bob.home.work.join("file.bin")).unwrap() == file.content.bytes);
        bob.process.kill();
    });
}

#[test]
fn a_script_with_thousands_of_lines_is_answered_line_by_line() {
    let world = World::new();
    let script = "whoami\n".repeat(5_000);
    let (transcript, code) = world.home("ann").script(&script);
    assert_eq!(code, 1);
    assert_eq!(transcript.lines().count(), 5_000);
    assert!(transcript.ends_with("error: line 5000: log in first: login <user_id> <passwd>"));
}
