//! Downloads: from one seeder or many, in chains, in parts, several at once.

use engine::limits::STALL;
use engine::peer::command::{Command, DownloadState, Failure, News, Reply};
use engine::refusal::{DiskError, Refusal};
use engine::time::Span;
use sim::prose::{bytes, download, file, group, pieces, place};
use sim::{NodeId, Whole, World};

/// A group "g" of alice, who shares "f", and of these others.
fn swarm(seed: u64, whole: Whole, others: &[&str]) -> (World, NodeId, Vec<NodeId>) {
    let mut world = World::new(seed);
    let alice = world.person("alice");
    let clients: Vec<NodeId> = others.iter().map(|name| world.person(name)).collect();
    let members: Vec<_> = clients.iter().copied().zip(others.iter().copied()).collect();
    world.make_group(alice, "g", &members);
    world.share(alice, "g", "f", whole);
    (world, alice, clients)
}

#[test]
fn a_file_comes_from_one_seeder() {
    let (mut world, alice, others) = swarm(1, pieces(1, 40), &["bob"]);
    let bob = others[0];
    let reply = world.fetch(bob, "g", "f");
    assert!(matches!(reply, Reply::Downloading { held: 0, .. }));
    world.until_complete(bob, "f");
    assert_eq!(world.file_at(bob, "f"), Some(pieces(1, 40)));
    assert_eq!(world.given(alice, bob), 40);
}

#[test]
fn the_length_of_a_file_may_be_anything() {
    for len in [0, 1, 524_287, 524_288, 524_289, 3 * 524_288 + 7] {
        let (mut world, _, others) = swarm(len, bytes(1, len), &["bob"]);
        world.fetch(others[0], "g", "f");
        world.until_complete(others[0], "f");
        assert_eq!(world.file_at(others[0], "f").map(|whole| whole.size), Some(bytes(1, len).size));
    }
}

/// Several seeders, then one who fetches.
fn many_seeders(seeders: usize) {
    let names = ["bob", "carol", "dave"];
    let (mut world, alice, others) = swarm(seeders as u64, pieces(1, 64), &names);
    let mut givers = vec![alice];
    for seeder in &others[..seeders - 1] {
        world.share(*seeder, "g", "f", pieces(1, 64));
        givers.push(*seeder);
    }
    let leecher = others[2];
    world.fetch(leecher, "g", "f");
    world.until_complete(leecher, "f");
    for giver in &givers {
        let given = world.given(*giver, leecher);
        assert!(given > 0 && (seeders == 1 || given < 64), "{giver:?} of {seeders} gave {given}");
    }
}

#[test]
fn each_of_two_seeders_gives_less_than_all() {
    many_seeders(2);
}

#[test]
fn each_of_three_seeders_gives_less_than_all() {
    many_seeders(3);
}

#[test]
fn leechers_give_to_each_other() {
    let (mut world, alice, others) = swarm(3, pieces(1, 64), &["bob", "carol", "dave"]);
    for leecher in &others {
        world.fetch(*leecher, "g", "f");
    }
    for leecher in &others {
        world.until_complete(*leecher, "f");
    }
    let from_alice: u64 = others.iter().map(|leecher| world.given(alice, *leecher)).sum();
    assert!(from_alice < 3 * 64 / 2, "alice gave {from_alice} of 192");
}

#[test]
fn a_chain_completes_when_the_first_seeder_has_left() {
    let (mut world, alice, others) = swarm(4, pieces(1, 40), &["bob", "carol"]);
    let (bob, carol) = (others[0], others[1]);
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 20);
    world.fetch(carol, "g", "f");
    world.until("both hold all of it together", |world| {
        world.part_at(bob, "f").unwrap_or(40) + world.part_at(carol, "f").unwrap_or(40) >= 60
    });
    world.until_complete(bob, "f");
    world.run(alice, Command::Quit { when: engine::peer::command::Leaving::Now }).unwrap();
    world.until_complete(carol, "f");
    assert!(world.given(bob, carol) > 0);
}

#[test]
fn two_halves_make_a_whole_without_any_seeder() {
    let (mut world, alice, others) = swarm(5, pieces(1, 60), &["bob", "carol"]);
    let (bob, carol) = (others[0], others[1]);
    world.fetch(bob, "g", "f");
    world.fetch(carol, "g", "f");
    let mut union_complete = false;
    for _ in 0..10_000 {
        world.advance(Span::from_millis(5));
        let held = |client| world.part_at(client, "f").unwrap_or(60);
        if held(bob) >= 48 && held(carol) >= 48 {
            union_complete = true;
            break;
        }
    }
    assert!(union_complete);
    world.kill(alice);
    // What only alice had is lost: either the two complete, or both say how many pieces nobody holds.
    world.advance(Span::from_secs(60));
    let rows: Vec<_> = [bob, carol].map(|client| world.download(client, "f").unwrap()).to_vec();
    if rows.iter().any(|row| row.state != DownloadState::Complete) {
        assert!(rows.iter().all(|row| row.unreachable > 0 && row.held + row.unreachable == 60), "{rows:?}");
        world.restart(alice);
        world.login(alice, "alice");
        world.until_complete(bob, "f");
        world.until_complete(carol, "f");
    }
}

/// Together they hold all of it, and no seeder is left: that must do, though all of them were restarted, too.
#[test]
fn parts_make_a_whole_after_all_their_holders_restarted() {
    let names = ["bob", "carol", "dave", "erin", "fred"];
    let (mut world, alice, others) = swarm(5, pieces(1, 60), &names);
    // One after the other, so that each holds a random choice of 50: all five lack a piece once in 7,776 times.
    for client in &others {
        world.fetch(*client, "g", "f");
        world.until_held(*client, "f", 50);
        world.kill(*client);
        assert!(world.part_at(*client, "f") < Some(60), "nobody is done");
    }
    world.kill(alice);
    for (client, name) in others.iter().zip(names) {
        world.restart(*client);
        world.login(*client, name);
        world.fetch(*client, "g", "f");
    }
    world.advance(Span::from_secs(60));
    let rows: Vec<_> = others.iter().filter_map(|client| world.download(*client, "f")).collect();
    assert!(rows.iter().all(|row| row.state == DownloadState::Complete), "{rows:#?}");
}

#[test]
fn a_seeder_killed_in_mid_piece_costs_no_more_than_that_piece() {
    let (mut world, alice, others) = swarm(6, pieces(1, 64), &["bob", "carol"]);
    let (bob, carol) = (others[0], others[1]);
    world.share(carol, "g", "f", pieces(1, 64));
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 10);
    world.kill(alice);
    world.within(Span::from_secs(10), "completion from carol", |world| world.completed(bob, "f").is_some());
    assert_eq!(world.received(bob), 64, "nothing came twice");
}

/// The seeder, another downloader and the tracker die at once, and come back in any order: whom the downloader knew before the outage it has to
/// ask about again, and must.
#[test]
fn a_download_goes_on_after_the_tracker_and_everybody_else_died_at_once() {
    for seed in 0..24 {
        let (mut world, alice, others) = swarm(seed, pieces(1, 200), &["bob", "carol"]);
        let (bob, carol) = (others[0], others[1]);
        world.fetch(bob, "g", "f");
        world.fetch(carol, "g", "f");
        world.until_held(bob, "f", 20);
        for client in [alice, carol] {
            world.kill(client);
        }
        world.kill_tracker();
        // Seconds, from none to longer than it takes to dial again.
        world.advance(Span::from_secs(seed % 12));
        world.restart_tracker();
        world.advance(Span::from_secs(seed % 5 * 3));
        world.restart(alice);
        world.login(alice, "alice");
        world.within(Span::from_secs(60), "completion", |world| world.completed(bob, "f").is_some());
    }
}

#[test]
fn a_download_waits_for_a_seeder_and_goes_on_when_one_comes() {
    let (mut world, alice, others) = swarm(7, pieces(1, 64), &["bob"]);
    let bob = others[0];
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 10);
    world.kill(alice);
    world.advance(Span::from_secs(300));
    let row = world.download(bob, "f").unwrap();
    assert_eq!(row.state, DownloadState::Running);
    assert_eq!(row.unreachable, 64 - row.held);
    world.restart(alice);
    world.login(alice, "alice");
    world.within(Span::from_secs(30), "completion", |world| world.completed(bob, "f").is_some());
}

#[test]
fn a_download_killed_goes_on_without_fetching_verified_pieces_again() {
    let (mut world, _, others) = swarm(8, pieces(1, 64), &["bob"]);
    let bob = others[0];
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 30);
    world.kill(bob);
    let held = world.part_at(bob, "f").unwrap();
    let before = world.received(bob);
    world.restart(bob);
    assert_eq!(world.login(bob, "bob"), Reply::LoggedIn { shares: 0, partial: 1 });
    assert_eq!(world.download_state(bob, "f"), Some(DownloadState::Stopped));
    let Reply::Downloading { held: told, .. } = world.fetch(bob, "g", "f") else { panic!() };
    assert_eq!(told as usize, held);
    world.until_complete(bob, "f");
    assert_eq!(world.received(bob) - before, 64 - held as u64);
}

#[test]
fn a_download_stopped_goes_on_where_it_was() {
    let (mut world, _, others) = swarm(9, pieces(1, 64), &["bob"]);
    let bob = others[0];
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 20);
    world.ok(bob, Command::StopDownload { group: group("g"), name: file("f") });
    world.advance(Span::from_secs(1));
    let (held, received) = (world.part_at(bob, "f").unwrap(), world.received(bob));
    world.advance(Span::from_secs(60));
    assert_eq!(world.received(bob), received, "nothing arrives after a stop");
    assert_eq!(world.download_state(bob, "f"), Some(DownloadState::Stopped));
    assert_eq!(world.file_at(bob, "f"), None, "a partial file never stands under its name");
    world.fetch(bob, "g", "f");
    world.until_complete(bob, "f");
    assert_eq!(world.received(bob) - received, 64 - held as u64);
}

#[test]
fn a_download_begun_anew_elsewhere_says_what_is_left_behind() {
    let (mut world, _, others) = swarm(15, pieces(1, 64), &["bob"]);
    let bob = others[0];
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 8);
    world.ok(bob, Command::StopDownload { group: group("g"), name: file("f") });
    let elsewhere =
        Command::DownloadFile { group: group("g"), name: file("f"), place: place("/elsewhere"), named: true };
    let Reply::Downloading { held, .. } = world.ok(bob, elsewhere) else { panic!("it goes on there") };
    assert_eq!(held, 0);
    assert!(world.was_told(
        bob,
        |news| matches!(news, News::PartLeft { place, .. } if *place != crate::place("/elsewhere"))
    ));
}

#[test]
fn a_stopped_download_that_cannot_begin_elsewhere_is_as_it_was() {
    let (mut world, _, others) = swarm(17, pieces(1, 64), &["bob"]);
    let bob = others[0];
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 8);
    world.ok(bob, Command::StopDownload { group: group("g"), name: file("f") });
    world.put(bob, "/taken", pieces(2, 1));
    let taken =
        Command::DownloadFile { group: group("g"), name: file("f"), place: place("/taken"), named: true };
    assert_eq!(world.refused(bob, taken), Refusal::Disk(DiskError::Exists));
    assert!(!world.was_told(bob, |news| matches!(news, News::PartLeft { .. })));
    assert_eq!(world.download_state(bob, "f"), Some(DownloadState::Stopped));
    let Reply::Downloading { held, .. } = world.fetch(bob, "g", "f") else { panic!("it goes on") };
    assert!(held >= 8, "{held}");
}

#[test]
fn a_seeder_hears_that_a_leecher_has_all_of_it() {
    let (mut world, alice, others) = swarm(16, pieces(1, 8), &["bob"]);
    let bob = others[0];
    world.fetch(bob, "g", "f");
    world.until_complete(bob, "f");
    world.advance(Span::from_millis(500));
    let Reply::Shares(shares) = world.ok(alice, Command::ShowShares) else { panic!("a list of shares") };
    assert_eq!(shares[0].leechers, 0);
}

#[test]
fn a_download_stopped_and_begun_again_at_once_completes() {
    let (mut world, _, others) = swarm(10, pieces(1, 200), &["bob"]);
    let bob = others[0];
    world.fetch(bob, "g", "f");
    for held in [5, 30, 60, 61, 62, 100] {
        world.until_held(bob, "f", held);
        world.command(bob, Command::StopDownload { group: group("g"), name: file("f") });
        world.fetch(bob, "g", "f");
    }
    world.within(Span::from_secs(60), "completion", |world| world.completed(bob, "f").is_some());
}

#[test]
fn several_files_come_at_once() {
    let mut world = World::new(11);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    world.make_group(alice, "g", &[(bob, "bob")]);
    let names: Vec<String> = (0..40).map(|n| format!("file {n}")).collect();
    for (n, name) in (0u64..).zip(&names) {
        world.share(alice, "g", name, pieces(n, u32::try_from(n % 7).unwrap()));
    }
    for name in &names {
        world.command(bob, download("g", name));
    }
    world.advance(Span::from_secs(1));
    world.ok(bob, Command::Wait { file: None });
    for (n, name) in (0u64..).zip(&names) {
        let whole = world.file_at(bob, name).unwrap();
        assert_eq!(whole.size.pieces(), u32::try_from(n % 7).unwrap());
    }
}

#[test]
fn a_slow_seeder_is_helped_out_in_the_end_game() {
    let mut world = World::new(12);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let slow = sim::Access { up: 64 << 10, ..sim::Access::default() };
    let carol = world.client_on(slow, engine::peer::strategy::Strategy::default());
    world.sign_up(carol, "carol");
    world.make_group(alice, "g", &[(bob, "bob"), (carol, "carol")]);
    world.share(alice, "g", "f", pieces(1, 64));
    world.share(carol, "g", "f", pieces(1, 64));
    let began = world.now();
    world.fetch(bob, "g", "f");
    world.until_complete(bob, "f");
    // Alice alone would take 2 s; carol takes 8 s for one piece.
    assert!(world.now().since(began) < Span::from_secs(6), "{}", world.now());
}

#[test]
fn a_mute_peer_does_not_hold_up_a_download() {
    let (mut world, alice, others) = swarm(13, pieces(1, 64), &["bob", "mallory"]);
    let (bob, mallory) = (others[0], others[1]);
    world.share(mallory, "g", "f", pieces(1, 64));
    world.mute(mallory);
    world.fetch(bob, "g", "f");
    world.within(STALL * 2, "completion in spite of mallory", |world| world.completed(bob, "f").is_some());
    assert_eq!(world.given(alice, bob), 64);
}

#[test]
fn a_peer_that_falls_silent_does_not_keep_a_download_from_others() {
    let (mut world, alice, others) = swarm(14, pieces(1, 64), &["bob", "mallory"]);
    let (bob, mallory) = (others[0], others[1]);
    world.share(mallory, "g", "f", pieces(1, 64));
    world.ok(alice, Command::Logout { when: engine::peer::command::Leaving::Now });
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 8);
    // All that bob dares to ask for he has asked of mallory, who was fast.
    world.silence(mallory);
    world.login(alice, "alice");
    world.within(STALL * 2, "completion in spite of mallory", |world| world.completed(bob, "f").is_some());
}

#[test]
fn bad_pieces_are_fetched_elsewhere_and_their_sender_is_banned() {
    let (mut world, _, others) = swarm(14, pieces(1, 200), &["bob", "mallory"]);
    let (bob, mallory) = (others[0], others[1]);
    world.share(mallory, "g", "f", pieces(1, 200));
    world.corrupt(mallory, true);
    world.fetch(bob, "g", "f");
    world.until_complete(bob, "f");
    let bad = world.given(mallory, bob);
    assert!((1..=4).contains(&bad), "{bad} bad pieces came");
    let News::DownloadComplete { from, .. } = &world.news(bob).last().unwrap().1 else { panic!() };
    assert_eq!(from.len(), 1, "only alice gave something of use");
}

#[test]
fn who_has_only_bad_pieces_is_banned_and_the_download_waits_for_better() {
    let (mut world, alice, others) = swarm(15, pieces(1, 30), &["bob", "mallory"]);
    let (bob, mallory) = (others[0], others[1]);
    world.share(mallory, "g", "f", pieces(1, 30));
    world.corrupt(mallory, true);
    world.kill(alice);
    world.fetch(bob, "g", "f");
    world.advance(Span::from_secs(120));
    assert!(world.blames().contains(&(bob, mallory, engine::violation::Violation::BadPieces)));
    let wasted = world.given(mallory, bob);
    assert!(wasted <= 5, "{wasted}");
    world.restart(alice);
    world.login(alice, "alice");
    world.within(Span::from_secs(60), "completion from alice", |world| world.completed(bob, "f").is_some());
}

#[test]
fn a_finished_download_serves_others() {
    let (mut world, alice, others) = swarm(16, pieces(1, 30), &["bob", "carol"]);
    let (bob, carol) = (others[0], others[1]);
    world.fetch(bob, "g", "f");
    world.until_complete(bob, "f");
    world.kill(alice);
    world.fetch(carol, "g", "f");
    world.until_complete(carol, "f");
    assert_eq!(world.given(bob, carol), 30);
}

#[test]
fn a_destination_that_is_taken_is_refused() {
    let (mut world, _, others) = swarm(17, pieces(1, 3), &["bob"]);
    let bob = others[0];
    world.put(bob, "f", pieces(9, 1));
    let refusal = world.refused(bob, download("g", "f"));
    assert_eq!(refusal, Refusal::Disk(DiskError::Exists));
    assert_eq!(world.file_at(bob, "f"), Some(pieces(9, 1)));
    let elsewhere =
        Command::DownloadFile { group: group("g"), name: file("f"), place: place("f2"), named: true };
    world.ok(bob, elsewhere);
    world.until("completion", |world| world.file_at(bob, "f2").is_some());
}

#[test]
fn a_full_disk_pauses_a_download_until_there_is_room() {
    let (mut world, _, others) = swarm(18, pieces(1, 64), &["bob"]);
    let bob = others[0];
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 20);
    world.fill_disk(bob, true);
    world.until("a word on it", |world| {
        world.was_told(bob, |news| matches!(news, News::DownloadPaused { .. }))
    });
    world.advance(Span::from_secs(60));
    assert_eq!(world.download_state(bob, "f"), Some(DownloadState::Paused));
    world.fill_disk(bob, false);
    world.within(Span::from_secs(30), "completion", |world| world.completed(bob, "f").is_some());
}

#[test]
fn a_checkpoint_that_fails_ends_the_download_and_it_goes_on_when_asked_again() {
    let len = engine::limits::PIECES_PER_SYNC + 100;
    let (mut world, _, others) = swarm(19, pieces(1, len), &["bob"]);
    let bob = others[0];
    world.fetch(bob, "g", "f");
    world.fail_syncs(bob, true);
    let full = DownloadState::Failed(Failure::Disk(DiskError::DiskFull));
    world.within(Span::from_secs(600), "a failed checkpoint", |world| {
        world.was_told(bob, |news| matches!(news, News::DownloadFailed { .. }))
    });
    assert_eq!(world.download_state(bob, "f"), Some(full));
    world.fail_syncs(bob, false);
    let Reply::Downloading { held, .. } = world.fetch(bob, "g", "f") else { panic!() };
    assert!(held >= engine::limits::PIECES_PER_SYNC, "{held}");
    world.within(Span::from_secs(60), "completion", |world| world.completed(bob, "f").is_some());
}

#[test]
fn a_file_that_changes_under_its_seeder_is_withdrawn_and_fetched_elsewhere() {
    let (mut world, alice, others) = swarm(19, pieces(1, 64), &["bob", "carol"]);
    let (bob, carol) = (others[0], others[1]);
    world.share(carol, "g", "f", pieces(1, 64));
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 10);
    world.put(alice, "f", pieces(2, 64));
    world.within(Span::from_secs(20), "completion", |world| world.completed(bob, "f").is_some());
    assert!(world.was_told(alice, |news| matches!(news, News::ShareLost { .. })));
    assert_eq!(world.ok(alice, Command::ShowShares), Reply::Shares(vec![]));
}

#[test]
fn two_clients_of_one_user_are_two_peers() {
    let (mut world, alice, others) = swarm(20, pieces(1, 40), &["bob"]);
    let bob = others[0];
    let second = world.client();
    world.login(second, "alice");
    world.fetch(second, "g", "f");
    world.until_complete(second, "f");
    world.kill(alice);
    world.fetch(bob, "g", "f");
    world.until_complete(bob, "f");
    assert_eq!(world.given(second, bob), 40);
}

#[test]
fn every_strategy_completes_a_swarm() {
    for strategy in engine::peer::strategy::Strategy::ALL {
        let mut world = World::new(21);
        let alice = world.person("alice");
        let names: Vec<String> = (0..8).map(|n| format!("user {n}")).collect();
        let clients: Vec<_> = names
            .iter()
            .map(|name| {
                let client = world.client_on(sim::Access::default(), strategy);
                world.sign_up(client, name);
                (client, name.as_str())
            })
            .collect();
        world.make_group(alice, "g", &clients);
        world.share(alice, "g", "f", pieces(1, 50));
        for (client, _) in &clients {
            world.command(*client, download("g", "f"));
        }
        for (client, _) in &clients {
            world.until_complete(*client, "f");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_actions() {
    let course = |seed| {
        let (mut world, alice, others) = swarm(seed, pieces(1, 40), &["bob", "carol", "dave"]);
        for client in &others {
            world.fetch(*client, "g", "f");
        }
        world.until_held(others[0], "f", 10);
        world.kill(alice);
        world.advance(Span::from_secs(30));
        world.trace()
    };
    assert_eq!(course(30), course(30));
    assert_ne!(course(30), course(31));
}
