//! A12: names are data. They are stored as plain names or refused, and never act as a path or on a terminal.

use std::fs;

use engine::name::{FileName, GroupName};
use engine::wire::frame;
use engine::wire::tracker::{Change, ClientMessage, Request};

use crate::harness::content::{assert_same, write_file};
use crate::harness::member::group_name;
use crate::harness::world::group;
use crate::harness::{Client, Content, Member, World};

fn pair() -> (World, Client, Client) {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    (world, ann, bob)
}

/// As one word of a command.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A file of this name goes from one client to another.
fn travels(name: &str) {
    let (world, mut ann, mut bob) = pair();
    let path = world.file(name, 1_000, 1);
    ann.ok(&format!("upload_file {} physics", quoted(path.to_str().unwrap())));
    assert_eq!(bob.json("list_files physics")[0]["name"], name);
    bob.ok(&format!("download_file physics {}", quoted(name)));
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join(name));
}

#[test]
fn a_name_with_spaces_is_a_name() {
    travels(" two  words ");
}

#[test]
fn a_name_with_quotes_is_a_name() {
    travels("it's \"quoted\" `here` $HOME *?");
}

#[test]
fn a_name_in_other_scripts_is_a_name() {
    travels("naïve-文件-файл-🦀");
}

#[test]
fn a_name_that_looks_like_an_option_is_a_name() {
    travels("--json");
}

#[test]
fn a_name_of_the_most_bytes_that_a_file_system_takes_is_a_name() {
    let (world, mut ann, mut bob) = pair();
    let name = "é".repeat(127) + "x";
    assert_eq!(name.len(), 255);
    let path = world.file(&name, 1_000, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.ok(&format!("download_file physics {name} copy.bin"));
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("copy.bin"));
    bob.ok(&format!("stop_share physics {name}"));
    bob.ok(&format!("download_file physics {name}"));
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join(&name));
}

#[test]
fn users_and_groups_have_names_like_files() {
    let world = World::new();
    let mut client = world.client("ann");
    client.ok("create_user 'ann o'\\''neill' secret");
    client.ok("login 'ann o'\\''neill' secret");
    client.ok("create_group 'the 物理 group'");
    assert_eq!(client.json("list_members 'the 物理 group'")[0]["user"], "ann o'neill");
    client.refused(&format!("create_group {}", "x".repeat(256)), "a name has at most 255 bytes");
    client.ok(&format!("create_group {}", "x".repeat(255)));
}

#[test]
fn paths_are_refused_as_names() {
    let (_world, mut ann, mut bob) = pair();
    for name in ["../x", "/etc/x", "a/b", "a\\b", "..", ".", ""] {
        let name = quoted(name);
        ann.refused(&format!("create_group {name}"), "is not a name");
        ann.refused(&format!("list_files {name}"), "is not a name");
        ann.refused(&format!("make_admin physics {name}"), "is not a name");
        bob.refused(&format!("download_file physics {name}"), "is not a name");
    }
}

#[test]
fn control_and_escape_characters_are_refused_and_never_printed() {
    let (world, mut ann, _bob) = pair();
    for name in ["a\u{1b}[2Jb", "a\u{7}b", "a\u{202e}b", "a\u{9b}b", "a\tb", "a\u{200b}b"] {
        ann.refused(&format!("create_group {}", quoted(name)), "is not a name");
        let path = world.folder().join(name);
        write_file(&path, 10, 1);
        ann.refused(&format!("upload_file {} physics", quoted(path.to_str().unwrap())), "is not a name");
        ann.refused(&quoted(name), "there is no command");
    }
    let printed = ann.process.transcript();
    let harmful = |c: &char| *c != '\n' && engine::name::is_unprintable(*c);
    assert_eq!(printed.chars().find(harmful), None, "{printed:?}");
}

/// A change whose group's name was replaced, byte by byte, behind the back of every check at the sender.
fn forged(change: &Change, from: &str, to: &str) -> Vec<u8> {
    let request = Box::new(Request::Change(change.clone()));
    let mut bytes = frame::message(&ClientMessage::Request { seq: 9, request });
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn the_tracker_drops_who_sends_a_name_that_is_none() {
    let world = World::new();
    for (number, evil) in ["../xyz", "a/../b", "x\u{1b}[2Jx", "a\u{202e}bc"].iter().enumerate() {
        let mut mallory = Member::log_in(&world, &format!("mallory{number}"));
        let plain = "x".repeat(evil.len());
        let change = Change::CreateGroup { group: group_name(&plain) };
        mallory.tracker.send_bytes(&forged(&change, &plain, evil)).unwrap();
        mallory.tracker.wait_closed();
    }
    let mut ann = world.user("ann");
    assert_eq!(ann.json("list_groups"), serde_json::json!([]));
}

#[test]
fn the_tracker_drops_who_lists_a_file_under_a_path() {
    let (world, mut ann, _bob) = pair();
    let mut mallory = Member::log_in(&world, "mallory");
    mallory.join("physics", &mut ann);
    let add = Change::AddFile {
        group: GroupName::new("physics").unwrap(),
        name: FileName::new("xxxxxxxxxxx").unwrap(),
        content: Content::new(10, 1).listed(),
    };
    mallory.tracker.send_bytes(&forged(&add, "xxxxxxxxxxx", "../../evil!")).unwrap();
    mallory.tracker.wait_closed();
    assert_eq!(ann.json("list_files physics"), serde_json::json!([]));
    assert!(!fs::exists(world.folder().join("evil!")).unwrap());
}
