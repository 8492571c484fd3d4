//! What the fuzz targets do with their bytes, so that `cargo test` can replay a corpus without a fuzzer.
//!
//! Each function takes any bytes, and panics only if the code under test breaks a promise.

mod channel;
mod peer;
mod ticket;
mod tracker;

use std::fmt::Debug;

use bincode::{Decode, Encode};
use engine::limits::FRAME_LEN_MAX;
use engine::name::is_unprintable;
use engine::wire::codec;
use engine::wire::frame::{DataHead, HEAD_LEN, Head, Kind};
use engine::wire::peer::PeerMessage;
use engine::wire::tracker::{ClientMessage, TrackerMessage};
use node::tracker_info::{TRACKERS_MAX, parse, print};
use sim::scenario::Scenario;

pub use channel::channel;
pub use peer::peer;
pub use ticket::ticket;
pub use tracker::tracker;

/// Longest message about a bad file, in bytes: some lines on a terminal.
const COMPLAINT_LEN_MAX: usize = 1_000;

/// Takes `data` apart as a stream of frames: heads are checked, and say the same when written again.
pub fn frame(mut data: &[u8]) {
    while let Some((bytes, rest)) = data.split_first_chunk::<HEAD_LEN>() {
        let Ok(head) = Head::decode(*bytes) else { return };
        assert!(head.len <= FRAME_LEN_MAX, "a body fits into a frame");
        assert_eq!(head.encode(), *bytes, "a head has one form");
        let (body, next) = rest.split_at(head.len.min(rest.len()));
        if head.kind == Kind::Data {
            assert!(head.len > DataHead::LEN, "a data frame has data");
            data_head(body);
        }
        data = next;
    }
}

fn data_head(body: &[u8]) {
    if let Some((bytes, _)) = body.split_first_chunk() {
        assert_eq!(DataHead::decode(*bytes).encode(), *bytes, "a data head has one form");
    }
}

/// Decodes `data` as each kind of message; what decodes is the same after encoding and decoding again, and not longer.
pub fn message(data: &[u8]) {
    let body = &data[..data.len().min(FRAME_LEN_MAX)];
    there_and_back::<PeerMessage>(body);
    there_and_back::<ClientMessage>(body);
    there_and_back::<TrackerMessage>(body);
}

fn there_and_back<M: Encode + Decode<()> + PartialEq + Debug>(body: &[u8]) {
    let Ok(message) = codec::decode::<M>(body) else { return };
    let encoded = codec::encode(&message);
    assert!(encoded.len() <= body.len(), "what came in a frame goes out in a frame");
    assert_eq!(codec::decode::<M>(&encoded).as_ref(), Ok(&message), "a message survives the wire");
}

/// Parses `data` as a tracker list; what parses is within the limits and survives printing, what does not is refused in a line that
/// is safe to show.
pub fn tracker_info(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match parse(text) {
        Ok(trackers) => {
            assert!((1..=TRACKERS_MAX).contains(&trackers.len()), "a list has 1 to {TRACKERS_MAX} trackers");
            assert!(trackers.iter().all(|tracker| tracker.address.port() != 0), "a tracker has a port");
            assert_eq!(parse(&print(&trackers)).as_ref(), Ok(&trackers), "a list survives printing");
        }
        Err(bad) => complaint(&bad.to_string()),
    }
}

/// Parses `data` as a scenario file; each scenario that it says is the same when it is written and read again, and what is none is refused in
/// lines that are safe to show.
pub fn scenario(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match Scenario::parse(text) {
        Ok(scenarios) => {
            for scenario in scenarios {
                let read = Scenario::parse(&scenario.to_toml());
                let alone = Scenario { variant: None, ..scenario };
                assert_eq!(read, Ok(vec![alone]), "a scenario survives writing");
            }
        }
        Err(bad) => bad.to_string().lines().for_each(complaint),
    }
}

/// A line on somebody's terminal.
fn complaint(line: &str) {
    assert!(line.len() <= COMPLAINT_LEN_MAX, "a message is short, not {}", line.len());
    assert!(!line.chars().any(is_unprintable), "a message is safe to show: {line:?}");
}
