//! A14: a session piped on standard input gives the same transcript each time.

use std::path::{Path, PathBuf};

use crate::harness::World;
use crate::harness::client::Home;

/// What owner and guest do, each in one script; the guest's runs while the owner's waits.
const OWNER: &str = include_str!("../transcripts/owner.script");
const GUEST: &str = include_str!("../transcripts/guest.script");

fn transcripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts")
}

/// What a script printed, each line after a `> ` with the command... without what differs from world to world: the folder.
fn run(world: &World, home: &Home, script: &str) -> String {
    let (printed, code) = home.script(script);
    let folder = world.folder().to_str().unwrap();
    format!("{}\nexit code {code}\n", printed.replace(folder, "[FOLDER]"))
}

/// Both scripts in a fresh world, one after the other, as far as each can go alone.
fn session() -> [(&'static str, String); 2] {
    let world = World::new();
    let owner = world.home("owner");
    std::fs::write(owner.work.join("notes.txt"), "seven times seven\n").unwrap();
    std::fs::write(owner.work.join("two words.txt"), "x".repeat(600_000)).unwrap();
    [("owner.txt", run(&world, &owner, OWNER)), ("guest.txt", run(&world, &world.home("guest"), GUEST))]
}

#[test]
fn a_session_on_standard_input_gives_the_same_transcript_twice() {
    let first = session();
    assert_eq!(first, session(), "the second run differs from the first");
    for (name, transcript) in first {
        let path = transcripts().join(name);
        if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
            std::fs::write(&path, &transcript).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(transcript, expected, "{name} differs: if on purpose, run with UPDATE_TRANSCRIPTS=1");
    }
}

#[test]
fn the_exit_code_says_whether_a_command_failed() {
    let world = World::new();
    let home = world.home("ann");
    let code = |script: &str| home.script(script).1;
    assert_eq!(code("create_user ann secret\nlogin ann secret\ncreate_group physics\n"), 0);
    assert_eq!(code("login ann secret\ncreate_group physics\nlist_groups\n"), 1);
    assert_eq!(code("login ann secret\ncreate_gruop chemistry\ncreate_group physics\n"), 2);
    assert_eq!(code("login ann secret\nlist_groups extra\n"), 2);
    assert_eq!(code("# nothing\n\n"), 0);
    assert_eq!(code("login ann secret\nquit\ncreate_group physics\n"), 0);
}

#[test]
fn commands_by_option_do_the_same() {
    let world = World::new();
    let home = world.home("ann");
    let ran = home.run(&["create_user ann secret", "login ann secret", "list_groups --json"]);
    assert_eq!(ran.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "[]\n");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("logged in as ann"));
    let ran = home.run(&["login ann secret", "leave_group physics", "whoami"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("user:     ann"));
}

#[test]
fn data_is_on_standard_output_and_messages_on_standard_error() {
    let world = World::new();
    let ran = world.home("ann").run(&[
        "create_user ann secret",
        "login ann secret",
        "create_group physics",
        "create_group physics",
        "list_groups",
    ]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "GROUP    MEMBERS  ROLE\nphysics        1  owner\n");
    let messages = String::from_utf8_lossy(&ran.stderr);
    assert!(messages.contains("group physics created") && messages.contains("error: command 4:"));
    assert!(!messages.contains("secret"));
}

#[test]
fn a_client_that_cannot_start_says_why() {
    let world = World::new();
    let ann = world.client("ann");
    let second = ann.home.run(&["help"]);
    assert_eq!(second.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&second.stderr).contains("uses the data folder"));
    let mut home = world.home("bob");
    home.trackers = world.folder().join("bad.txt");
    std::fs::write(&home.trackers, "127.0.0.1:7401\nlocalhost 7402\n").unwrap();
    let bad = home.run(&["help"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("line 2"));
}
