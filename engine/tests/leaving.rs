//! Leaving and coming back: logouts, quits, and trackers that die.

use engine::limits::LAST_SENDS;
use engine::peer::command::{Command, Leaving, News, Reply};
use engine::peer::strategy::Strategy;
use engine::piece::PIECE_LEN;
use engine::refusal::Refusal;
use engine::time::Span;
use sim::prose::{download, file, group, pieces};
use sim::{Access, NodeId, World};

fn pair(seed: u64, len: u32) -> (World, NodeId, NodeId) {
    let mut world = World::new(seed);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.make_group(alice, "g", &[(bob, "bob")]);
    world.share(alice, "g", "f", pieces(1, len));
    (world, alice, bob)
}

#[test]
fn logout_stops_serving_and_login_shares_again() {
    let (mut world, alice, bob) = pair(1, 200);
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 10);
    world.ok(alice, Command::Logout { when: Leaving::Now });
    world.advance(Span::from_secs(1));
    let received = world.received(bob);
    world.advance(Span::from_secs(30));
    assert_eq!(world.received(bob), received);
    assert_eq!(world.login(alice, "alice"), Reply::LoggedIn { shares: 1, partial: 0 });
    world.within(Span::from_secs(60), "completion", |world| world.completed(bob, "f").is_some());
}

#[test]
fn a_login_is_answered_when_what_was_shared_is_served_again() {
    let (mut world, alice, _) = pair(11, 3);
    world.ok(alice, Command::Logout { when: Leaving::Now });
    world.login(alice, "alice");
    let Reply::Shares(rows) = world.ok(alice, Command::ShowShares) else { panic!() };
    assert_eq!(rows.len(), 1);
    assert_eq!(
        world.refused(alice, download("g", "f")),
        Refusal::AlreadyShared(group("g"), file("f")),
        "it is no download"
    );
}

#[test]
fn a_shared_file_that_was_deleted_meanwhile_can_be_fetched_right_after_login() {
    let (mut world, alice, bob) = pair(12, 3);
    world.fetch(bob, "g", "f");
    world.until_complete(bob, "f");
    world.ok(alice, Command::Logout { when: Leaving::Now });
    world.delete(alice, "f");
    assert_eq!(world.login(alice, "alice"), Reply::LoggedIn { shares: 0, partial: 0 });
    assert!(world.was_told(alice, |news| matches!(news, News::ShareLost { .. })));
    world.fetch(alice, "g", "f");
    world.until_complete(alice, "f");
}

#[test]
fn a_login_that_a_logout_overtakes_is_answered_all_the_same() {
    let (mut world, alice, _) = pair(13, 3);
    let mut overtaken = 0;
    for delay in 0..40 {
        world.ok(alice, Command::Logout { when: Leaving::Now });
        let password = world.password("alice's password");
        let login = world.command(alice, Command::Login { user: sim::prose::user("alice"), password });
        while world.run(alice, Command::WhoAmI).is_err() {
            world.advance(Span(10));
        }
        world.advance(Span(delay * 500));
        world.ok(alice, Command::Logout { when: Leaving::Now });
        let answer = world.take_answer(alice, login).expect("an answer");
        overtaken += usize::from(answer == Err(Refusal::SessionEnded));
        assert_eq!(world.login(alice, "alice"), Reply::LoggedIn { shares: 1, partial: 0 });
    }
    assert!((1..40).contains(&overtaken), "{overtaken}");
}

#[test]
fn a_share_stopped_is_not_shared_at_the_next_login() {
    let (mut world, alice, _) = pair(2, 3);
    world.ok(alice, Command::StopShare { group: group("g"), name: file("f") });
    world.advance(Span::from_secs(1));
    world.kill(alice);
    world.restart(alice);
    assert_eq!(world.login(alice, "alice"), Reply::LoggedIn { shares: 0, partial: 0 });
}

#[test]
fn downloads_go_on_from_others_when_a_share_is_stopped() {
    let (mut world, alice, bob) = pair(3, 100);
    let carol = world.person("carol");
    world.ok(carol, Command::JoinGroup { group: group("g") });
    world.ok(alice, Command::AcceptRequest { group: group("g"), user: sim::prose::user("carol") });
    world.share(carol, "g", "f", pieces(1, 100));
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 10);
    world.ok(alice, Command::StopShare { group: group("g"), name: file("f") });
    world.within(Span::from_secs(30), "completion", |world| world.completed(bob, "f").is_some());
}

#[test]
fn quit_ends_a_client_and_everybody_is_told() {
    let (mut world, alice, bob) = pair(4, 100);
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 10);
    world.ok(bob, Command::Quit { when: Leaving::Now });
    world.within(Span::from_secs(1), "the end", |world| world.has_exited(bob));
    world.advance(Span::from_secs(1));
    let status = world.tracker_status().unwrap();
    assert_eq!((status.clients, status.sessions, status.swarm_entries), (1, 1, 1));
    world.ok(alice, Command::Quit { when: Leaving::Now });
    world.within(Span::from_secs(1), "the end", |world| world.has_exited(alice));
}

/// Alice, whose uplink takes so many seconds for a piece, in the middle of one for bob.
fn amid_a_piece(seed: u64, piece_s: u64) -> (World, NodeId, NodeId) {
    let mut world = World::new(seed);
    let access = Access { up: u64::from(PIECE_LEN) / piece_s, ..Access::default() };
    let (alice, bob) = (world.client_on(access, Strategy::default()), world.person("bob"));
    world.sign_up(alice, "alice");
    world.make_group(alice, "g", &[(bob, "bob")]);
    world.share(alice, "g", "f", pieces(1, 20));
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 3);
    world.advance(Span::from_millis(300));
    (world, alice, bob)
}

#[test]
fn who_quits_sends_the_rest_of_a_piece_and_nothing_more() {
    let (mut world, alice, bob) = amid_a_piece(8, 1);
    let given = world.given(alice, bob);
    world.ok(alice, Command::Quit { when: Leaving::Now });
    world.within(Span::from_secs(1), "the end", |world| world.has_exited(alice));
    world.advance(Span::from_secs(1));
    assert_eq!(world.given(alice, bob), given + 1);
}

#[test]
fn who_quits_on_a_slow_line_or_twice_does_not_wait_for_long() {
    let (mut world, alice, _) = amid_a_piece(9, 60);
    let quit = world.command(alice, Command::Quit { when: Leaving::Now });
    world.advance(Span::from_secs(1));
    assert_eq!(world.answer(alice, quit), None, "it is still sending");
    world.within(LAST_SENDS, "the end", |world| world.has_exited(alice));
    assert!(world.answer(alice, quit).is_some());

    let (mut world, alice, _) = amid_a_piece(10, 60);
    world.command(alice, Command::Quit { when: Leaving::Now });
    world.ok(alice, Command::Quit { when: Leaving::Now });
    world.within(Span::from_secs(1), "the end", |world| world.has_exited(alice));
}

#[test]
fn a_client_with_no_session_quits() {
    let mut world = World::new(5);
    let client = world.client();
    world.ok(client, Command::Quit { when: Leaving::Now });
    assert!(world.has_exited(client));
}

#[test]
fn quit_when_replicated_waits_until_nobody_fetches() {
    let (mut world, alice, bob) = pair(6, 100);
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 10);
    let quit = world.command(alice, Command::Quit { when: Leaving::WhenReplicated(None) });
    world.until("the end", |world| world.has_exited(alice));
    assert!(world.answer(alice, quit).unwrap().is_ok());
    assert!(world.completed(bob, "f").is_some(), "bob has it all when alice goes");
    assert!(world.was_told(alice, |news| matches!(news, News::Replicating { leechers: 1, .. })));
}

#[test]
fn logout_when_copied_waits_for_so_many_copies() {
    let (mut world, alice, bob) = pair(7, 20);
    let when = Leaving::WhenReplicated(Some(1));
    let logout = world.command(alice, Command::Logout { when });
    world.advance(Span::from_secs(30));
    assert_eq!(world.answer(alice, logout), None, "there is no copy yet");
    world.fetch(bob, "g", "f");
    world.until("the answer", |world| world.answer(alice, logout).is_some());
    assert!(world.completed(bob, "f").is_some());
}

#[test]
fn a_download_goes_on_while_the_tracker_is_dead_and_nothing_is_lost() {
    let (mut world, alice, bob) = pair(8, 400);
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 10);
    let mut expected = world.registry().unwrap().clone();
    world.kill_tracker();
    world.until_complete(bob, "f");
    world.restart_tracker();
    world.until_tracker_leads();
    // The entry with which it became leader.
    expected.skip(expected.applied() + 1);
    assert_eq!(world.registry(), Some(&expected));
    world.until("both are back", |world| world.tracker_status().is_some_and(|status| status.sessions == 2));
    world.advance(Span::from_secs(2));
    let Reply::Files(rows) = world.ok(alice, Command::ListFiles { group: group("g") }) else { panic!() };
    assert_eq!(rows[0].seeders, 2, "both announced again");
    assert!(world.was_told(bob, |news| matches!(news, News::TrackerFound(_))));
}

#[test]
fn a_change_whose_answer_is_lost_is_made_once_and_answered() {
    for delay_us in (0..30_000).step_by(1_000) {
        let mut world = World::new(delay_us);
        let alice = world.person("alice");
        let create = world.command(alice, Command::CreateGroup { group: group("g") });
        world.advance(Span(delay_us));
        world.kill_tracker();
        world.advance(Span::from_secs(1));
        world.restart_tracker();
        world.until("the answer", |world| world.answer(alice, create).is_some());
        assert_eq!(world.answer(alice, create), Some(&Ok(Reply::Done)), "killed after {delay_us} us");
        world.until_tracker_leads();
        assert_eq!(world.registry().unwrap().group_count(), 1);
    }
}

#[test]
fn a_client_with_thousands_of_shares_logs_in_and_out() {
    let mut world = World::new(9);
    world.set_checks(false);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.make_group(alice, "g", &[(bob, "bob")]);
    for number in 0..1_500 {
        world.share(alice, "g", &format!("file {number}"), pieces(number, 1));
    }
    world.ok(alice, Command::Logout { when: Leaving::Now });
    world.login(alice, "alice");
    world.advance(Span::from_secs(20));
    let Reply::Files(rows) = world.ok(bob, Command::ListFiles { group: group("g") }) else { panic!() };
    assert_eq!(rows.iter().filter(|row| row.seeders == 1).count(), 1_500);
    world.fetch(bob, "g", "file 700");
    world.until_complete(bob, "file 700");
    world.ok(alice, Command::Quit { when: Leaving::Now });
    world.within(Span::from_secs(30), "the end", |world| world.has_exited(alice));
}
