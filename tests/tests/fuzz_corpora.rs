//! Replays the fuzz corpora through the bodies of the fuzz targets, and tries bytes near them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use engine::id::DeviceId;
use node::tracker_info::{TRACKERS_MAX, Tracker, parse, print};
use proptest::prelude::*;
use tests::{fuzz, seeds};

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 8] = [
    ("frame", fuzz::frame),
    ("message", fuzz::message),
    ("tracker_info", fuzz::tracker_info),
    ("ticket", fuzz::ticket),
    ("scenario", fuzz::scenario),
    ("channel", fuzz::channel),
    ("peer", fuzz::peer),
    ("tracker", fuzz::tracker),
];

/// The folder of a corpus; its seeds are written anew first, once, if the environment says so.
fn corpus(target: &str) -> PathBuf {
    static CORPORA: LazyLock<PathBuf> = LazyLock::new(|| {
        let corpora: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "corpus"].iter().collect();
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            write_seeds(&corpora);
        }
        corpora
    });
    CORPORA.join(target)
}

fn write_seeds(corpora: &Path) {
    for (target, _) in TARGETS {
        fs::create_dir_all(corpora.join(target)).expect("the corpora can be written");
        for (name, bytes) in seeds::of(target) {
            fs::write(corpora.join(target).join(name), bytes).expect("the corpora can be written");
        }
    }
}

#[test]
fn every_file_of_the_corpora_is_replayed() {
    for (target, body) in TARGETS {
        let files: Vec<_> = fs::read_dir(corpus(target)).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 12, "the corpus of {target} has too few seeds: {}", files.len());
        for file in files {
            // Shown if the body fails: the one file that reproduces it.
            println!("{}", file.display());
            body(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn the_corpora_hold_a_seed_of_every_kind() {
    for (target, _) in TARGETS {
        for (name, bytes) in seeds::of(target) {
            let file = corpus(target).join(name);
            assert!(
                fs::read(&file).is_ok_and(|stored| stored == bytes),
                "{} is not what the seeds say: if the format changed on purpose, run with UPDATE_CORPUS=1",
                file.display()
            );
        }
    }
}

#[test]
fn seeds_are_valid_or_broken_as_their_names_say() {
    use engine::wire::codec::decode;
    use engine::wire::{peer::PeerMessage, tracker::ClientMessage, tracker::TrackerMessage};
    for (name, bytes) in seeds::of("message") {
        let decodes = [
            ("peer_", decode::<PeerMessage>(&bytes).is_ok()),
            ("client_", decode::<ClientMessage>(&bytes).is_ok()),
            ("tracker_", decode::<TrackerMessage>(&bytes).is_ok()),
        ];
        for (prefix, ok) in decodes {
            assert!(ok || !name.starts_with(prefix), "{name} decodes");
            assert!(!ok || !name.starts_with("broken_"), "{name} does not decode as {prefix}message");
        }
    }
}

#[test]
fn scenarios_are_read_or_broken_as_their_names_say() {
    for (name, bytes) in seeds::of("scenario") {
        let read = sim::scenario::Scenario::parse(str::from_utf8(&bytes).unwrap());
        assert_eq!(read.is_err(), name.starts_with("broken_"), "{name}: {read:?}");
    }
}

/// A seed of `target` with some bytes changed, and its end cut off.
fn near_a_seed(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let seeds: Vec<Vec<u8>> = seeds::of(target).into_iter().map(|(_, bytes)| bytes).collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(seeds), changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(mut bytes, changes, end, cut)| {
            for (place, byte) in changes {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            if cut {
                bytes.truncate(end.index(bytes.len() + 1));
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_taken(data in prop::collection::vec(any::<u8>(), 0..600)) {
        for (_, body) in TARGETS {
            body(&data);
        }
    }

    #[test]
    fn bytes_near_a_frame_are_taken(data in near_a_seed("frame")) {
        fuzz::frame(&data);
    }

    #[test]
    fn bytes_near_a_message_are_taken(data in near_a_seed("message")) {
        fuzz::message(&data);
    }

    #[test]
    fn bytes_near_a_scenario_are_taken(data in near_a_seed("scenario")) {
        fuzz::scenario(&data);
    }

    #[test]
    fn text_near_a_tracker_list_is_taken(text in "([0-9a-f:.\\[\\]#% \t]{0,24}\r?\n){0,20}") {
        fuzz::tracker_info(text.as_bytes());
    }

    #[test]
    fn a_tracker_list_that_is_printed_parses_to_the_same(
        trackers in prop::collection::btree_map((any::<IpAddr>(), 1u16..), any::<Option<[u8; 32]>>(), 1..=TRACKERS_MAX),
    ) {
        let trackers: BTreeMap<SocketAddr, _> =
            trackers.into_iter().map(|((ip, port), key)| (SocketAddr::new(ip.to_canonical(), port), key)).collect();
        let trackers: Vec<Tracker> = trackers
            .into_iter()
            .map(|(address, key)| Tracker { address, fingerprint: key.map(DeviceId) })
            .collect();
        prop_assert_eq!(parse(&print(&trackers)), Ok(trackers));
    }
}
