//! Clusters of trackers, and the traps in which an agreement can be caught.

use engine::time::Span;

use super::client::Begins;
use super::{World, soak};

fn cluster(seed: u64, trackers: usize) -> World {
    let mut world = World::new(seed, trackers);
    world.until("a leader is there", Span::from_secs(10), |world| world.leader().is_some());
    world
}

#[test]
fn three_trackers_find_each_other_and_serve() {
    let mut world = cluster(1, 3);
    world.add_client(2);
    world.until("it was answered often", Span::from_secs(30), |world| world.clients[0].calls.len() > 50);
    assert!((0..3).all(|index| world.status(index).is_some_and(|status| status.users == 1)));
}

#[test]
fn a_leader_that_dies_is_followed_by_another_in_two_seconds() {
    for seed in 0..20 {
        let mut world = cluster(seed, 3);
        let leader = world.leader().unwrap();
        world.kill(leader);
        world.until("another leads", Span::from_secs(2), |world| world.leader().is_some());
    }
}

#[test]
fn seeds_with_faults_end_well() {
    for (seed, trackers) in (0..8).zip([1, 2, 3, 5].into_iter().cycle()) {
        let report = soak::run(seed, trackers);
        assert!(seed < 4 || report.calls > 50, "seed {seed}: {report:?}");
    }
}

/// Three trackers with a client, of which one lost its disk; gives the leader and the one that lost it.
fn cluster_with_a_lost_disk(seed: u64) -> (World, usize, usize) {
    let mut world = cluster(seed, 3);
    world.add_client(0);
    world.until("it was answered", Span::from_secs(30), |world| world.clients[0].calls.len() > 20);
    let leader = world.leader().unwrap();
    let lost = (leader + 1) % 3;
    world.lose_disk(lost);
    world.advance(Span::from_secs(2));
    (world, leader, lost)
}

fn follows(world: &World, index: usize) -> bool {
    world.status(index).is_some_and(|status| !status.blank && status.applied > 0 && status.leader.is_some())
}

#[test]
fn who_lost_the_disk_is_somebody_else_and_has_no_vote() {
    let (mut world, leader, lost) = cluster_with_a_lost_disk(3);
    let third = 3 - leader - lost;
    world.kill(third);
    world.advance(Span::from_secs(10));
    assert_eq!(world.leader(), None, "two of the three that promised something are gone");
    world.revive(third);
    world.until("a leader is there", Span::from_secs(10), |world| world.leader().is_some());
    assert!(world.status(lost).is_some_and(|status| status.blank), "it waits for a person");
}

#[test]
fn who_is_let_in_gets_the_registry_and_counts_as_the_others_do() {
    let (mut world, leader, lost) = cluster_with_a_lost_disk(4);
    world.admit(leader, lost);
    world.until("it follows", Span::from_secs(10), |world| follows(world, lost));
    world.kill(leader);
    world.until("another leads", Span::from_secs(5), |world| world.leader().is_some());
    // A snapshot that was taken before this change of the members would not name the next newcomer.
    world.lose_disk(leader);
    world.advance(Span::from_secs(2));
    let now = world.leader().unwrap();
    world.admit(now, leader);
    world.until("the second newcomer follows", Span::from_secs(10), |world| follows(world, leader));
}

#[test]
fn a_snapshot_that_was_lost_is_sent_again() {
    for breaks in 1..8 {
        let (mut world, leader, lost) = cluster_with_a_lost_disk(5 + breaks);
        world.admit(leader, lost);
        for _ in 0..breaks {
            world.advance(Span::from_millis(37 * breaks));
            world.break_links(lost);
        }
        world.until("it follows", Span::from_secs(15), |world| follows(world, lost));
    }
}

#[test]
fn a_disk_that_fills_up_while_the_registry_comes_only_delays_it() {
    let (mut world, leader, lost) = cluster_with_a_lost_disk(20);
    world.fill(lost, true);
    world.admit(leader, lost);
    world.advance(Span::from_secs(5));
    assert!(!follows(&world, lost));
    world.fill(lost, false);
    world.until("it follows", Span::from_secs(15), |world| follows(world, lost));
}

/// Whether a tracker leads, in this generation.
fn leads(world: &World, index: usize, generation: u64) -> bool {
    let of_generation = world.status(index).is_some_and(|status| status.generation == generation);
    world.leader() == Some(index) && of_generation
}

#[test]
fn the_backup_of_two_goes_on_alone_and_the_first_comes_back_as_its_backup() {
    let mut world = cluster(6, 2);
    world.add_client(0);
    world.until("it was answered", Span::from_secs(30), |world| world.clients[0].calls.len() > 20);
    world.kill(0);
    world.until("the backup leads alone", Span::from_secs(15), |world| leads(world, 1, 2));
    world.start(0);
    world.until("the first follows", Span::from_secs(15), |world| {
        follows(world, 0) && world.status(0).is_some_and(|status| status.generation == 2)
    });
    world.kill(1);
    world.until("the first leads alone", Span::from_secs(15), |world| leads(world, 0, 3));
}

#[test]
fn the_first_of_two_does_not_go_on_alone() {
    let mut world = cluster(7, 2);
    world.kill(1);
    world.advance(Span::from_secs(60));
    assert_eq!(world.leader(), None);
}

#[test]
fn the_first_of_two_lets_people_in_while_it_waits_for_its_backup() {
    let mut world = cluster(9, 2);
    world.add_client(0);
    world.until("it was answered", Span::from_secs(30), |world| world.clients[0].calls.len() > 20);
    // A change that is under way when the backup dies is asked for until it is made, and nothing beside it.
    world.clients[0].begins = Begins::Looks;
    world.until("no change is under way", Span::from_secs(30), |world| world.clients[0].is_done());
    world.kill(1);
    world.reset_links_of(0);
    let (begin, look) = (world.now, super::history::Deed::Look);
    world.until("a question is answered", Span::from_secs(90), |world| {
        let answered = |call: &super::history::Call| call.began > begin && call.ended.is_some();
        world.clients[0].calls.iter().any(|call| call.deed == look && answered(call))
    });
}

#[test]
fn a_backup_that_was_not_in_touch_since_its_start_does_not_go_on_alone() {
    let mut world = cluster(8, 2);
    world.kill(1);
    world.kill(0);
    world.start(1);
    world.advance(Span::from_secs(60));
    assert_eq!(world.leader(), None, "the first may have been made to go on without it");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(soak::run(77, 3), soak::run(77, 3));
    assert_ne!(soak::run(77, 3), soak::run(78, 3));
}
