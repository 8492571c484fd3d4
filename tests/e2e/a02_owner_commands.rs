//! A2: what only owner and admins may do, tried by everybody else and for what does not exist.

use crate::harness::world::{group, join};
use crate::harness::{Client, World};

/// The owner's commands about `other` in `group`.
fn commands(group: &str, other: &str) -> Vec<String> {
    let mut commands = vec![format!("list_requests {group}")];
    for verb in ["accept_request", "reject_request", "make_admin", "remove_member"] {
        commands.push(format!("{verb} {group} {other}"));
    }
    commands
}

/// A group of ann's in which bob is; carol has asked to join.
fn physics() -> (World, Client, Client, Client) {
    let world = World::new();
    let (mut ann, mut bob, mut carol) = (world.user("ann"), world.user("bob"), world.user("carol"));
    group("physics", &mut ann, &mut [&mut bob]);
    carol.ok("join_group physics");
    (world, ann, bob, carol)
}

#[test]
fn a_member_is_told_to_ask_owner_or_admins() {
    let (_world, _ann, mut bob, _carol) = physics();
    for command in commands("physics", "carol") {
        let why =
            if command.starts_with("make_admin") { "only the owner of" } else { "only the owner and admins" };
        bob.refused(&command, why);
    }
}

#[test]
fn somebody_who_only_asked_to_join_is_told_to_join() {
    let (_world, _ann, _bob, mut carol) = physics();
    for command in commands("physics", "bob") {
        carol.refused(&command, "you are not a member of physics: join_group physics");
    }
    for command in ["list_members physics", "list_files physics", "leave_group physics"] {
        carol.refused(command, "you are not a member of physics");
    }
}

#[test]
fn a_stranger_is_told_to_join() {
    let (world, _ann, _bob, _carol) = physics();
    let mut dave = world.user("dave");
    for command in commands("physics", "bob") {
        dave.refused(&command, "you are not a member of physics: join_group physics");
    }
}

#[test]
fn a_group_that_does_not_exist_is_named() {
    let (_world, mut ann, _bob, _carol) = physics();
    for command in commands("chemistry", "bob") {
        ann.refused(&command, "there is no group chemistry: see list_groups");
    }
    ann.refused("join_group chemistry", "there is no group chemistry");
    ann.refused("leave_group chemistry", "there is no group chemistry");
}

#[test]
fn a_request_that_does_not_exist_is_named() {
    let (_world, mut ann, _bob, _carol) = physics();
    for verb in ["accept_request", "reject_request"] {
        for user in ["nobody", "bob", "ann"] {
            let why = format!("{user} has not asked to join physics: see list_requests physics");
            ann.refused(&format!("{verb} physics {user}"), &why);
        }
    }
}

#[test]
fn a_member_that_does_not_exist_is_named() {
    let (_world, mut ann, _bob, _carol) = physics();
    for verb in ["make_admin", "remove_member"] {
        for user in ["nobody", "carol"] {
            let why = format!("{user} is not a member of physics: see list_members physics");
            ann.refused(&format!("{verb} physics {user}"), &why);
        }
    }
}

#[test]
fn joining_twice_and_joining_as_a_member_are_two_answers() {
    let (_world, mut ann, mut bob, mut carol) = physics();
    carol.refused("join_group physics", "you asked to join physics already");
    bob.refused("join_group physics", "you are a member of physics already");
    ann.refused("create_group physics", "group physics exists");
}

#[test]
fn ranks_are_kept() {
    let (world, mut ann, mut bob, _carol) = physics();
    let mut dave = world.user("dave");
    join("physics", &mut ann, &mut dave);
    ann.ok("make_admin physics bob");
    ann.ok("make_admin physics dave");
    bob.told("you are an admin of physics now");
    ann.refused("make_admin physics bob", "bob is an admin of physics already");
    bob.refused("make_admin physics carol", "only the owner of physics");
    bob.refused("remove_member physics ann", "you may not remove ann");
    bob.refused("remove_member physics dave", "you may not remove dave");
    ann.refused("remove_member physics ann", "leave_group physics");
    bob.ok("accept_request physics carol");
    bob.ok("remove_member physics carol");
    ann.ok("remove_member physics dave");
    dave.told("you were removed from physics");
}

#[test]
fn the_owner_sees_a_request_at_once_and_the_asker_the_answer() {
    let (_world, mut ann, _bob, mut carol) = physics();
    ann.told("carol asks to join physics: accept_request physics carol");
    ann.ok("reject_request physics carol");
    carol.told("your request to join physics was rejected");
    carol.ok("join_group physics");
    ann.ok("accept_request physics carol");
    carol.told("you are a member of physics now");
}

#[test]
fn requests_wait_for_an_owner_who_is_away_and_answers_for_who_asked() {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    ann.ok("create_group physics");
    ann.ok("logout");
    bob.ok("join_group physics");
    bob.ok("logout");
    assert!(!ann.was_told("asks to join"));
    ann.log_in();
    ann.told("bob asks to join physics");
    assert!(ann.ok("list_requests physics").contains("bob"));
    ann.ok("accept_request physics bob");
    bob.log_in();
    bob.told("you are a member of physics now");
}

#[test]
fn when_the_owner_leaves_the_longest_standing_admin_then_member_inherits() {
    let (world, mut ann, mut bob, mut carol) = physics();
    let mut dave = world.user("dave");
    join("physics", &mut ann, &mut dave);
    ann.ok("make_admin physics dave");
    ann.ok("leave_group physics");
    dave.told("physics is yours now");
    let requests = dave.json("list_requests physics");
    assert_eq!(requests[0]["user"], "carol", "pending requests survive a change of owner");
    dave.ok("leave_group physics");
    bob.told("physics is yours now");
    bob.ok("leave_group physics");
    carol.told("your request to join physics was rejected");
    assert_eq!(carol.json("list_groups"), serde_json::json!([]), "the last to leave ends the group");
}

#[test]
fn only_who_shared_a_file_an_admin_or_the_owner_may_unlist_it() {
    let (world, mut ann, mut bob, mut carol) = physics();
    ann.ok("accept_request physics carol");
    let path = world.file("notes.txt", 1_000, 1);
    bob.ok(&format!("upload_file {} physics", path.display()));
    carol.refused("remove_file physics notes.txt", "only who shared notes.txt, an admin or the owner");
    carol.refused("remove_file physics other.txt", "physics lists no file other.txt");
    bob.ok("remove_file physics notes.txt");
    bob.ok(&format!("upload_file {} physics", path.display()));
    ann.ok("remove_file physics notes.txt");
    assert_eq!(ann.json("list_files physics"), serde_json::json!([]));
    bob.told("notes.txt is no longer shared from this client");
}
