//! How fast the simulator is and what a peer costs: a crowd fetches one file, with the checks off.
//!
//! `cargo run --release -p sim --example scale -- --peers 10000 --pieces 256`

use std::io::Write as _;
use std::time::Instant;

use clap::Parser;
use engine::peer::strategy::Strategy;
use engine::piece::PIECE_LEN;
use engine::time::Span;
use sim::prose::{download, pieces};
use sim::{Access, NodeId, World};

/// A flash crowd of any size, and what it costs to simulate it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Peers that fetch; one more has the file.
    #[arg(long, default_value_t = 1_000)]
    peers: u32,
    /// Pieces of the file.
    #[arg(long, default_value_t = 256)]
    pieces: u32,
    /// Neighbours that a download seeks. Others seek it, too: with 14 it has 20.
    #[arg(long, default_value_t = 14)]
    neighbours: usize,
    /// Where all randomness comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    let access =
        Access { up: PIECE_LEN.into(), down: u64::from(PIECE_LEN) * 4, latency: Span::from_millis(10) };
    let (empty_bytes, started) = (resident_bytes(), Instant::now());

    let mut world = World::new(arguments.seed);
    world.set_checks(false);
    world.set_neighbours(arguments.neighbours);
    let people: Vec<(NodeId, String)> = (0..=arguments.peers)
        .map(|number| (world.client_on(access, Strategy::default()), format!("peer {number}")))
        .collect();
    world.found("crowd", &people);
    world.share(people[0].0, "crowd", "file", pieces(1, arguments.pieces));
    writeln!(out, "set-up    {:.1} s", started.elapsed().as_secs_f64())?;

    let (began, wall, events) = (world.now(), Instant::now(), world.events());
    let crowd: Vec<NodeId> = people.into_iter().skip(1).map(|(client, _)| client).collect();
    for client in &crowd {
        world.command(*client, download("crowd", "file"));
    }
    while crowd.iter().any(|client| world.completed(*client, "file").is_none()) {
        world.advance(Span::from_secs(1));
    }
    let wall_s = wall.elapsed().as_secs_f64();
    let last = crowd.iter().filter_map(|client| world.completed(*client, "file")).max().unwrap_or(began);
    let delivered = world.pieces_delivered();
    let bound = u64::from(arguments.pieces + arguments.peers.ilog2()) * 1_000_000;
    writeln!(out, "run       {wall_s:.1} s, {delivered} pieces, {:.0} pieces/s", delivered as f64 / wall_s)?;
    writeln!(out, "events    {:.1} a piece", (world.events() - events) as f64 / delivered as f64)?;
    let grown = peak_bytes().saturating_sub(empty_bytes);
    writeln!(out, "memory    {:.0} bytes a peer", grown as f64 / f64::from(arguments.peers + 1))?;
    writeln!(out, "ratio     {:.4}", last.since(began).0 as f64 / bound as f64)?;
    writeln!(out, "trace     {:016x}", world.trace())
}

/// Bytes of this process in memory.
fn resident_bytes() -> u64 {
    status_bytes("VmRSS:")
}

/// The most that this process ever had in memory.
fn peak_bytes() -> u64 {
    status_bytes("VmHWM:")
}

/// A line of what Linux says of this process, given in KiB; zero elsewhere.
fn status_bytes(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}
