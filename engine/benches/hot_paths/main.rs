//! What the engine does most often, at the largest sizes that it must bear: `cargo bench -p engine`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot run ends")]

mod network;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use engine::bitfield::Bitfield;
use engine::id::{DeviceId, FileId, Salt, Sha1};
use engine::limits::{HASHES_PER_MESSAGE, NEIGHBOURS_WANTED, PEERS_PER_ANSWER, PIECES_MAX};
use engine::name::UserName;
use engine::peer::command::Command as PersonCommand;
use engine::peer::picker::Picker;
use engine::tracker::registry::{Command, Lock, Origin, Registry};
use engine::wire::codec;
use engine::wire::list::{List, SharedList};
use engine::wire::peer::PeerMessage;
use engine::wire::tracker::{Announce, ClientMessage, Standing};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sim::prose::{download, file, group};

use network::Network;

fn main() {
    divan::main();
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

/// Half of the pieces of the longest file.
fn half(rng: &mut ChaCha8Rng) -> Bitfield {
    let mut held = Bitfield::new(PIECES_MAX);
    for word in 0..PIECES_MAX / 32 {
        let bits = rng.next_u32();
        for bit in (0..32).filter(|bit| bits >> bit & 1 == 1) {
            held.insert(word * 32 + bit);
        }
    }
    held
}

/// A picker of the longest file, 2 million pieces, with as many neighbours as a download seeks, of which each holds half.
fn picker(rng: &mut ChaCha8Rng) -> Picker {
    let mut picker = Picker::new(&Bitfield::new(PIECES_MAX));
    for _ in 0..NEIGHBOURS_WANTED {
        for piece in half(rng).iter() {
            picker.increment(piece);
        }
    }
    picker
}

/// The rarest of a neighbour's pieces, taken and given back.
#[divan::bench]
fn picker_2_097_152_pieces_pick(bencher: Bencher<'_, '_>) {
    let mut rng = rng();
    let (mut picker, offered) = (picker(&mut rng), half(&mut rng));
    bencher.bench_local(|| {
        let piece = picker.pick(black_box(&offered), false, &mut rng).unwrap();
        picker.remove(piece);
        picker.insert(piece);
    });
}

/// News of a piece.
#[divan::bench]
fn picker_2_097_152_pieces_news(bencher: Bencher<'_, '_>) {
    let mut rng = rng();
    let mut picker = picker(&mut rng);
    bencher.bench_local(|| {
        let piece = rng.random_range(0..PIECES_MAX);
        picker.increment(piece);
        picker.decrement(piece);
    });
}

/// A new account in a registry that has 100,000.
#[divan::bench]
fn registry_100_000_users_apply(bencher: Bencher<'_, '_>) {
    let mut registry = Registry::default();
    let mut index = 0_u64;
    let mut next = move || {
        index += 1;
        let mut device = [0; 32];
        device[..8].copy_from_slice(&index.to_le_bytes());
        let command = Command::CreateUser {
            origin: Origin { device: DeviceId(device), seq: 1 },
            user: UserName::new(&format!("user{index}")).unwrap(),
            lock: Lock { salt: Salt([1; 16]), verifier: [2; 32] },
        };
        registry.apply(index, &command)
    };
    for _ in 0..100_000 {
        next();
    }
    bencher.bench_local(next);
}

/// The shortest message and the longest.
const MESSAGES: [&str; 2] = ["request", "3,000 hashes"];

fn message(name: &str) -> PeerMessage {
    let file = FileId(7);
    match name {
        "request" => PeerMessage::Request { file, piece: 70_000 },
        _ => PeerMessage::Hashes {
            file,
            from: 0,
            list: SharedList::new(vec![Sha1([9; 20]); HASHES_PER_MESSAGE].into()),
        },
    }
}

#[divan::bench(args = MESSAGES)]
fn codec_encode(bencher: Bencher<'_, '_>, name: &str) {
    let message = message(name);
    bencher.bench_local(|| codec::encode(black_box(&message)));
}

#[divan::bench(args = MESSAGES)]
fn codec_decode(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = codec::encode(&message(name));
    bencher.bench_local(|| codec::decode::<PeerMessage>(black_box(&bytes)).unwrap());
}

/// A piece, from its uploader's disk to the downloader's: all that both machines have to do with it, item by item an input. One seeder and
/// one leecher of the longest file.
#[divan::bench(sample_size = 200)]
fn machines_a_piece(bencher: Bencher<'_, '_>) {
    let mut network = Network::new(2, PIECES_MAX);
    network.ok(1, download("group", "file"));
    network.until_written(1_000);
    let (events, written) = (network.events, network.written);
    network.until_written(written + 10_000);
    bencher.counter(ItemsCount::new((network.events - events) / 10_000)).bench_local(|| {
        let written = network.written;
        network.until_written(written + 1);
    });
}

/// The same among as many neighbours as a download seeks, who fetch it at the same time: for each piece, all of them hear of it.
#[divan::bench(sample_size = 200)]
fn machines_a_piece_among_31(bencher: Bencher<'_, '_>) {
    let mut network = Network::new(NEIGHBOURS_WANTED + 1, 100_000);
    for at in 1..=NEIGHBOURS_WANTED {
        network.ok(at, download("group", "file"));
    }
    network.until_written(10_000);
    let (events, written) = (network.events, network.written);
    network.until_written(written + 10_000);
    bencher.counter(ItemsCount::new((network.events - events) / 10_000)).bench_local(|| {
        let written = network.written;
        network.until_written(written + 1);
    });
}

/// An announcement at a tracker, answered with 50 peers.
#[divan::bench]
fn tracker_announce(bencher: Bencher<'_, '_>) {
    let mut network = Network::new(PEERS_PER_ANSWER + 10, 1);
    for at in 1..PEERS_PER_ANSWER + 10 {
        network.ok(at, download("group", "file"));
        network.ok(at, PersonCommand::Wait { file: None });
    }
    let announce = Announce {
        group: group("group"),
        name: file("file"),
        hashes: network.hashes(),
        state: Standing::Active { held: 0, reachable: 1 },
        want_peers: true,
    };
    let message = ClientMessage::Announce(List::new(vec![announce]));
    bencher.bench_local(|| assert_eq!(network.tell_tracker(message.clone()), PEERS_PER_ANSWER));
}
