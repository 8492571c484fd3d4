//! Clusters of trackers, and the traps in which an agreement can be caught.

use engine::time::Span;

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
        assert!(report.calls > 50, "seed {seed}: {report:?}");
    }
}
