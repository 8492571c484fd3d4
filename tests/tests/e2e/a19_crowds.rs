//! A19: many connections at one tracker cost it little, and those that come to nothing cost it nothing.
//!
//! `LARGE=1` opens 15,000 authenticated connections instead of 2,000.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use engine::limits::LINKS_PER_ADDRESS;
use engine::peer::io::Role;
use engine::wire::tracker::{Address, ClientMessage, Request};
use node::identity::Identity;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::wire::Link;
use crate::harness::{Member, World, until};

/// Own memory of a tracker for one idle connection.
const BYTES_PER_CONNECTION_MAX: u64 = 16 * 1024;

/// Connections from each address: some are left for others.
const PER_ADDRESS: usize = LINKS_PER_ADDRESS - 8;

/// Connects from the address of that number, 127.0.1.1 being the first.
fn connect_from(number: usize, to: SocketAddr) -> TcpStream {
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 1, 1).to_bits() + u32::try_from(number).unwrap());
    // Programs that other tests start must not inherit thousands of these: a terminal cannot wait for a descriptor above 1023.
    let flags = SocketFlags::CLOEXEC;
    let from = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    bind(&from, &SocketAddr::from((address, 0))).unwrap();
    connect(&from, &to).unwrap();
    TcpStream::from(from)
}

/// As many open files as the system lets this process have; how many those are.
fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap())
}

#[test]
fn an_idle_connection_costs_little_and_listings_stay_fast() {
    let wanted = if std::env::var_os("LARGE").is_some() { 15_000 } else { 2_000 };
    let count = wanted.min(raise_file_limit().saturating_sub(500));
    let world = World::new();
    let mut ann = Member::log_in(&world, "ann");
    let memory = || world.tracker.process.memory_kib("RssAnon") * 1_024;
    let (before, began) = (memory(), Instant::now());
    let connections: Vec<Link> = (0..count)
        .map(|number| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            let socket = connect_from(number / PER_ADDRESS, world.tracker.address);
            let mut link = Link::over(socket, Role::Tracker, &Identity::from_seed(seed));
            link.send(&ClientMessage::Hello { listen: Address(([127, 0, 0, 1], 9_001).into()) }).unwrap();
            link.send(&ClientMessage::Ping).unwrap();
            assert!(link.receive().is_some(), "it is answered");
            link
        })
        .collect();
    let took = began.elapsed() / u32::try_from(count).unwrap();
    let each = memory().saturating_sub(before) / count as u64;
    let mut times: Vec<Duration> = (0..500)
        .map(|_| {
            let began = Instant::now();
            ann.request(Request::Groups { after: None }).unwrap();
            began.elapsed()
        })
        .collect();
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    println!(
        "{count} connections: {each} bytes and {took:?} each, a listing in {:?}, p99 {p99:?}",
        times[250]
    );
    assert!(each <= BYTES_PER_CONNECTION_MAX, "{each} bytes for each of {count} connections");
    drop(connections);
}

#[test]
fn connections_that_come_to_nothing_leave_nothing_behind() {
    let count = 3_000.min(raise_file_limit().saturating_sub(500));
    let world = World::new();
    let mut ann = world.user("ann");
    ann.ok("create_group physics");
    let files = || world.tracker.process.open_files();
    let (files_before, before) = (files(), world.tracker.process.memory_kib("RssAnon"));
    // A third says nothing, a third half of what begins a handshake, a third what begins none.
    let strangers: Vec<TcpStream> = (0..count)
        .map(|number| {
            let mut stranger = connect_from(number / PER_ADDRESS, world.tracker.address);
            let bytes: &[u8] = match number % 3 {
                0 => b"",
                1 => &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3],
                _ => b"group-sharing/01",
            };
            // The tracker may have ended it already.
            let _ended = stranger.write_all(bytes);
            stranger
        })
        .collect();
    // Who has a session goes on with it meanwhile.
    ann.ok("list_groups");
    drop(strangers);
    until("the connections are gone", || (files() <= files_before + 8).then_some(()));
    let after = world.tracker.process.memory_kib("RssAnon");
    assert!(after <= before + 8 * 1_024, "{before} KiB before, {after} KiB after");
    let mut bob = world.user("bob");
    bob.ok("join_group physics");
}
