//! A1: before a login, every command that needs one says so.

use crate::harness::World;

/// Every command that needs a session, with arguments that would fit.
const COMMANDS: &[&str] = &[
    "logout",
    "logout --when-replicated",
    "whoami",
    "create_group physics",
    "join_group physics",
    "leave_group physics",
    "list_groups",
    "list_requests physics",
    "requests list_requests physics",
    "accept_request physics bob",
    "reject_request physics bob",
    "list_members physics",
    "make_admin physics bob",
    "remove_member physics bob",
    "list_files physics",
    "list_file physics",
    "upload_file notes.txt physics",
    "download_file physics notes.txt",
    "show_downloads",
    "stop_download physics notes.txt",
    "stop_share physics notes.txt",
    "remove_file physics notes.txt",
    "file_info physics notes.txt",
    "explain physics notes.txt",
    "show_shares",
    "wait",
    "wait physics notes.txt",
];

#[test]
fn every_command_before_login_says_log_in_first() {
    let world = World::new();
    let mut client = world.client("ann");
    for command in COMMANDS {
        client.refused(command, "log in first: login <user_id> <passwd>");
    }
    assert_eq!(client.quit(), 1);
}

#[test]
fn no_command_is_missing_from_the_list_above() {
    let world = World::new();
    let help = world.client("ann").ok("help");
    // A command stands two columns in; what is further in tells more of it.
    let named = help.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let free = ["create_user", "login", "limit", "help", "quit"];
    for name in named.filter(|name| !name.is_empty()) {
        let listed = COMMANDS.iter().any(|command| command.split(' ').next() == Some(name));
        assert!(listed || free.contains(&name), "{name} is not tried before login");
    }
}

#[test]
fn in_a_script_the_exit_code_says_so_and_the_message_is_on_standard_error() {
    let world = World::new();
    for command in ["list_groups", "show_downloads --json", "upload_file notes.txt physics"] {
        let ran = world.home("ann").run(&[command]);
        assert_eq!(ran.status.code(), Some(1), "{command}");
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "", "{command}");
        assert!(String::from_utf8_lossy(&ran.stderr).contains("log in first"), "{command}");
    }
}

#[test]
fn help_and_quit_need_no_login() {
    let world = World::new();
    let ran = world.home("ann").run(&["help", "help login", "quit"]);
    assert_eq!(ran.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("usage: login <user_id> [passwd]"));
}

#[test]
fn a_new_device_is_not_told_whether_a_user_exists() {
    let world = World::new();
    world.user("ann");
    let mut stranger = world.client("eve");
    stranger.refused("login ann wrong", "unknown user or wrong password");
    stranger.refused("login nobody wrong", "unknown user or wrong password");
}

#[test]
fn a_device_that_logged_in_before_gets_three_different_answers() {
    let world = World::new();
    let mut ann = world.user("ann");
    ann.refused("login ann secret-ann", "already logged in as ann");
    ann.refused("create_user ann other", "the name ann is taken");
    ann.ok("logout");
    ann.refused("login ann wrong", "wrong password for ann");
    ann.refused("login nobody wrong", "there is no user nobody");
    ann.log_in();
}
