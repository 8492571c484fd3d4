//! A19: many connections at one tracker cost it little, and those that come to nothing cost it nothing.
//!
//! `LARGE=1` opens 15,000 authenticated connections instead of 2,000, and floods a download with 10,000 that come to nothing.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use engine::limits::LINKS_PER_ADDRESS;
use engine::peer::io::Role;
use engine::wire::tracker::{Address, ClientMessage, Request};
use node::channel::handshake::client_config;
use node::identity::Identity;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::harness::process::own_cpu_ticks;
use crate::harness::wire::Link;
use crate::harness::world::group;
use crate::harness::{Client, Member, SetOnDrop, World, until};

/// Own memory of a tracker for one idle connection.
const BYTES_PER_CONNECTION_MAX: u64 = 16 * 1024;

/// Connections from each address: some are left for others.
const PER_ADDRESS: usize = LINKS_PER_ADDRESS - 8;

/// How much longer a download over a line of 1 Gbit/s may take while connections come that come to nothing.
const SLOWDOWN_MAX: f64 = 1.1;

fn is_large() -> bool {
    std::env::var_os("LARGE").is_some()
}

/// Connects from the address of that number, 127.0.1.1 being the first.
fn connect_from(number: usize, to: SocketAddr) -> TcpStream {
    let (stream, begun) = begin_to_connect(number, to, SocketFlags::empty());
    begun.unwrap();
    stream
}

fn begin_to_connect(
    number: usize,
    to: SocketAddr,
    flags: SocketFlags,
) -> (TcpStream, rustix::io::Result<()>) {
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 1, 1).to_bits() + u32::try_from(number).unwrap());
    // Programs that other tests start must not inherit thousands of these: a terminal cannot wait for a descriptor above 1023.
    let flags = flags | SocketFlags::CLOEXEC;
    let from = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    bind(&from, &SocketAddr::from((address, 0))).unwrap();
    let begun = connect(&from, &to);
    (TcpStream::from(from), begun)
}

/// As many open files as the system lets this process have; how many those are.
fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap())
}

#[test]
fn an_idle_connection_costs_little_and_listings_stay_fast() {
    let wanted = if is_large() { 15_000 } else { 2_000 };
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

/// A connection that comes to nothing: it says nothing, begins a handshake and leaves it at that, or says a byte a second.
struct Stranger {
    number: usize,
    to: SocketAddr,
    socket: TcpStream,
    said: usize,
}

impl Stranger {
    fn come(number: usize, to: SocketAddr) -> Stranger {
        let (socket, _under_way) = begin_to_connect(number / PER_ADDRESS, to, SocketFlags::NONBLOCK);
        Stranger { number, to, socket, said: 0 }
    }

    /// Does what it does every second; false if the other end has had enough.
    fn goes_on(&mut self, hello: &[u8]) -> bool {
        let bytes = match self.number % 3 {
            1 if self.said == 0 => hello,
            2 => &hello[self.said % hello.len()..][..1],
            _ => &[],
        };
        let mut room = [0; 100];
        let heard = self
            .socket
            .read(&mut room)
            .and_then(|len| if len == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(0) });
        let said = if bytes.is_empty() { Ok(0) } else { self.socket.write(bytes) };
        self.said += *said.as_ref().unwrap_or(&0);
        let waits = |result: &std::io::Result<usize>| match result {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        waits(&heard) && waits(&said)
    }
}

/// Keeps up so many connections that come to nothing, until it is over; tells the processor time that this took.
fn flood(targets: &[SocketAddr], count: usize, rounds: &AtomicUsize, over: &AtomicBool) -> Duration {
    let before = own_cpu_ticks();
    let identity = Identity::from_seed([8; 32]);
    let config = Arc::new(client_config(&identity, Role::Peer, None));
    let mut hello = Vec::new();
    let mut tls = ClientConnection::new(config, ServerName::IpAddress(targets[0].ip().into())).unwrap();
    tls.write_tls(&mut hello).unwrap();
    let come = |number| Stranger::come(number, targets[number % targets.len()]);
    let mut strangers: Vec<Stranger> = (0..count).map(come).collect();
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        for stranger in &mut strangers {
            if !stranger.goes_on(&hello) {
                *stranger = Stranger::come(stranger.number, stranger.to);
            }
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
    }
    Duration::from_millis(10 * (own_cpu_ticks() - before))
}

/// How long bob takes for the rest of a download that runs, from here on among so many connections to those, which come to nothing; and
/// the processor time of whoever makes the connections.
fn rest_of_a_download(bob: &mut Client, targets: &[SocketAddr], count: usize) -> (Duration, Duration) {
    bob.ok("download_file physics file.bin");
    bob.wait_held(1);
    let (rounds, over) = (AtomicUsize::new(0), AtomicBool::new(count == 0));
    let began = Instant::now();
    thread::scope(|scope| {
        let guard = SetOnDrop(&over);
        let flood = scope.spawn(|| flood(targets, count, &rounds, &over));
        bob.ok("wait");
        let took = began.elapsed();
        assert!(count == 0 || rounds.load(Ordering::Relaxed) > 0, "the flood came while it ran");
        drop(guard);
        (took, flood.join().unwrap())
    })
}

#[test]
fn a_flood_of_connections_slows_no_download_that_runs_and_leaves_nothing_behind() {
    if !is_large() {
        return crate::harness::skip(
            "times of downloads mean something only where nothing else runs: LARGE=1",
        );
    }
    let (count, tries) = (10_000.min(raise_file_limit().saturating_sub(500)), 3);
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("file.bin", 1 << 30, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    let memory = || world.tracker.process.memory_kib("RssAnon");
    let (files, before) = (world.tracker.process.open_files(), memory());
    let targets = [world.tracker.address, ann.address()];
    let cores = u32::try_from(thread::available_parallelism().unwrap().get()).unwrap();
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[tries / 2]
    };
    // A line of 1 Gbit/s; and as fast as the cores are, on which the flood itself works as well.
    for limit in ["119MiB/s", "off"] {
        ann.ok(&format!("limit upload {limit}"));
        let [mut calm, mut flooded, mut floods] = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..tries {
            for (times, count) in [(&mut calm, 0), (&mut flooded, count)] {
                let (took, flooding) = rest_of_a_download(&mut bob, &targets, count);
                times.push(took);
                floods.push(flooding);
                bob.ok("stop_share physics file.bin");
                std::fs::remove_file(bob.home.work.join("file.bin")).unwrap();
            }
        }
        println!(
            "limit {limit}: {calm:?} without {count} connections, {flooded:?} with them; they took {floods:?} of {cores} processors"
        );
        let slowdown = median(flooded).as_secs_f64() / median(calm).as_secs_f64();
        assert!(limit == "off" || slowdown <= SLOWDOWN_MAX, "{slowdown}");
    }
    until("the connections are gone", || (world.tracker.process.open_files() <= files + 8).then_some(()));
    let after = memory();
    println!("the tracker: {before} KiB before, {after} KiB after");
    assert!(after <= before + 8 * 1_024, "{before} KiB before, {after} KiB after");
}
