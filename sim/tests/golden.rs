//! The same seed gives the same course of things, everywhere: in debug and release builds, today and on another machine.
//!
//! A digest here changes whenever any machine does anything otherwise than before, in the least; then look whether that was meant, and
//! put the digests that the test prints in place of these. Run it both ways: `cargo test -p sim --test golden`, and with `--release`.

use engine::peer::strategy::Strategy;
use engine::time::Span;
use sim::prose::{download, pieces};
use sim::{Access, NodeId, World};

/// A crowd whose first has a file that all the others were told to fetch.
fn crowd(seed: u64, peers: u32, file_pieces: u32, strategy: Strategy) -> (World, Vec<NodeId>) {
    let mut world = World::new(seed);
    let people: Vec<(NodeId, String)> = (0..=peers)
        .map(|number| (world.client_on(Access::default(), strategy), format!("peer {number}")))
        .collect();
    world.found("crowd", &people);
    world.share(people[0].0, "crowd", "file", pieces(1, file_pieces));
    let clients: Vec<NodeId> = people.into_iter().map(|(client, _)| client).collect();
    for client in &clients[1..] {
        world.command(*client, download("crowd", "file"));
    }
    (world, clients)
}

/// Everybody completes.
fn flash_crowd(strategy: Strategy) -> u64 {
    let (mut world, clients) = crowd(1, 12, 24, strategy);
    clients[1..].iter().for_each(|client| world.until_complete(*client, "file"));
    world.trace()
}

/// The seeder spoils pieces for a while; then a peer dies, the tracker goes, and both come again.
fn rough_crowd() -> u64 {
    let (mut world, clients) = crowd(2, 8, 40, Strategy::default());
    world.corrupt(clients[0], true);
    world.advance(Span::from_millis(100));
    world.corrupt(clients[0], false);
    world.advance(Span::from_millis(200));
    world.kill_tracker();
    world.kill(clients[3]);
    world.advance(Span::from_secs(20));
    world.restart_tracker();
    world.restart(clients[3]);
    world.login(clients[3], "peer 3");
    world.command(clients[3], download("crowd", "file"));
    clients[1..].iter().for_each(|client| world.until_complete(*client, "file"));
    world.trace()
}

#[test]
fn the_course_of_small_worlds_is_known() {
    let found = [
        ("least-loaded", flash_crowd(Strategy::LeastLoaded)),
        ("fewest-pieces", flash_crowd(Strategy::FewestPieces)),
        ("random", flash_crowd(Strategy::Random)),
        ("adaptive", flash_crowd(Strategy::Adaptive)),
        ("rough", rough_crowd()),
    ];
    let golden = [
        ("least-loaded", 0xb1d6_abdd_6ae5_2a25),
        ("fewest-pieces", 0x418d_ef9f_4093_2b5e),
        ("random", 0x367f_ac28_66e5_7d1d),
        ("adaptive", 0xf360_d6c9_85fd_05a9),
        ("rough", 0xbaf8_8cf3_35e3_76cc),
    ];
    assert_eq!(found, golden, "found: {found:#x?}");
}

#[test]
fn the_same_seed_gives_the_same_course_and_another_seed_another() {
    let course = |seed| {
        let (mut world, _) = crowd(seed, 5, 8, Strategy::default());
        world.advance(Span::from_secs(2));
        world.trace()
    };
    assert_eq!(course(7), course(7));
    assert_ne!(course(7), course(8));
}
