//! A17: a client talks to the tracker that it means, and to nobody in its place.

use crate::harness::{Client, World};

/// A list without a fingerprint.
fn bare(world: &World) -> String {
    format!("{}\n", world.tracker.address)
}

#[test]
fn the_first_contact_shows_the_fingerprint_that_the_tracker_prints_and_the_second_does_not() {
    let world = World::new();
    let mut ann = Client::start(world.home_with("ann", &bare(&world)));
    ann.create_and_log_in();
    let line = ann.told("note: first contact with the tracker");
    assert!(line.contains(&world.tracker.fingerprint), "{line}");
    let known = std::fs::read_to_string(ann.home.data.join("known_trackers")).unwrap();
    assert_eq!(known, format!("{} {}\n", world.tracker.address, world.tracker.fingerprint));
    let home = ann.home.clone();
    assert_eq!(ann.quit(), 0);
    let mut ann = Client::start(home);
    ann.log_in();
    assert!(!ann.was_told("first contact"));
}

#[test]
fn a_tracker_with_another_key_is_refused_until_its_line_is_struck() {
    let mut world = World::new();
    let mut ann = Client::start(world.home_with("ann", &bare(&world)));
    ann.create_and_log_in();
    let old = world.tracker.fingerprint.clone();
    world.tracker.change_key();
    let line = ann.told("somebody else may answer in its place");
    assert!(line.contains(&old) && line.contains(&world.tracker.fingerprint), "{line}");
    let home = ann.home.clone();
    ann.quit();
    let mut ann = Client::start(home.clone());
    ann.refused("login ann secret-ann", "strike the tracker's line from known_trackers in the data folder");
    ann.quit();
    std::fs::remove_file(home.data.join("known_trackers")).unwrap();
    let mut ann = Client::start(home);
    ann.log_in();
    assert!(ann.told("first contact").contains(&world.tracker.fingerprint));
}

#[test]
fn a_fingerprint_in_the_list_is_enforced() {
    let world = World::new();
    let wrong = "0f".repeat(32);
    let home = world.home_with("ann", &format!("{} {wrong}\n", world.tracker.address));
    let mut ann = Client::start(home);
    ann.refused("create_user ann secret-ann", "put it into tracker_info.txt behind the address");
    assert!(!ann.home.data.join("known_trackers").exists());
    let home = ann.home.clone();
    ann.quit();
    std::fs::write(&home.trackers, format!("{} {}\n", world.tracker.address, world.tracker.fingerprint))
        .unwrap();
    let mut ann = Client::start(home);
    ann.create_and_log_in();
    assert!(!ann.was_told("first contact"));
}

#[test]
fn a_device_keeps_its_key_and_only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let mut ann = world.user("ann");
    let device = ann.json("whoami")["device"].clone();
    let home = ann.home.clone();
    let key = home.data.join("device.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    ann.quit();
    let mut ann = Client::start(home);
    ann.log_in();
    assert_eq!(ann.json("whoami")["device"], device);
    ann.quit();
    std::fs::write(&key, "no key").unwrap();
    let ran = world.home("ann").run(&["help"]);
    assert_eq!(ran.status.code(), Some(3));
    let why = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(why.contains("holds no Ed25519 key; put back a copy of it"), "{why}");
}

#[test]
fn who_guesses_passwords_is_made_to_wait_and_the_right_one_counts_again_then() {
    let world = World::new();
    let mut ann = world.client("ann");
    ann.ok("create_user ann secret-ann");
    for guess in 0..5 {
        ann.refused(&format!("login ann guess-{guess}"), "wrong password");
    }
    // Where the next guess takes longer than the wait, it is looked at, and costs twice the wait.
    let mut wait_s = 1;
    let refusal = loop {
        let refusal = ann.ask("login ann guess-5").error().expect("a wrong password").to_owned();
        if !refusal.contains("wrong password") {
            break refusal;
        }
        wait_s *= 2;
        assert!(wait_s < 60, "who guesses is never made to wait");
    };
    let told = |left_s| refusal.contains(&format!("too many failed logins: try again in {left_s} s"));
    assert!((1..=wait_s).any(told), "{refusal}");
    crate::harness::until("the wait is over", || {
        ann.ask("login ann secret-ann").error().is_none().then_some(())
    });
    assert_eq!(ann.json("whoami")["user"], "ann");
}
