//! A10: who is removed from a group gets nothing more of it, within seconds, whatever they say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine::id::FileId;
use engine::wire::codec;
use engine::wire::peer::PeerMessage;

use crate::harness::member::{FILE, Shared, answer, open_as_member};
use crate::harness::wire::{Frame, Link};
use crate::harness::world::{group, join, shared};
use crate::harness::{Member, PIECE, World, until};

/// How soon the last byte has come, while a tracker is up.
const LAST_BYTE_MAX: Duration = Duration::from_secs(5);

#[test]
fn a_removed_member_gets_no_more_bytes() {
    let (world, mut ann, address, file) = shared();
    let mut eve = Member::log_in(&world, "eve");
    eve.join("physics", &mut ann);
    let mut link = eve.dial(address);
    let open = open_as_member(&mut link, &file);
    assert_eq!(open.count, file.content.pieces());
    link.send(&PeerMessage::Ask { file: FILE }).unwrap();
    assert!(matches!(link.peer_message(), Some(PeerMessage::Grant { .. })));
    ann.ok("remove_member physics eve");
    assert_eq!(link.peer_message(), Some(PeerMessage::Close { file: open.file }));
    link.send(&PeerMessage::Request { file: FILE, piece: 0 }).unwrap();
    link.send(&PeerMessage::Bye).ok();
    while let Some(frame) = link.receive() {
        let Frame::Message(_) = frame else { panic!("a removed member got data") };
    }
    assert_eq!(ann.sent(), 0);
    assert_eq!(answer(&eve, address, &file), Some(PeerMessage::Decline { file: FILE }));
}

/// Takes piece after piece, over and over, for as long as there are any. Told that the file is closed, it opens it again, and asks for all
/// there is, before it takes its leave. Gives when the last byte came.
fn take_all(link: &mut Link, file: &Shared, came: &AtomicUsize) -> Instant {
    let (mut last, mut piece) = (Instant::now(), 0);
    link.send(&PeerMessage::Ask { file: FILE }).unwrap();
    while let Some(frame) = link.receive() {
        let said = match frame {
            Frame::Data(len) => {
                last = Instant::now();
                let before = came.fetch_add(len, Ordering::Relaxed);
                let whole = before / PIECE < (before + len) / PIECE;
                whole.then_some(PeerMessage::Ask { file: FILE })
            }
            Frame::Message(body) => match codec::decode(&body).unwrap() {
                PeerMessage::Ping => Some(PeerMessage::Pong),
                PeerMessage::Grant { .. } => {
                    piece = (piece + 1) % file.content.pieces();
                    Some(PeerMessage::Request { file: FILE, piece })
                }
                PeerMessage::Close { .. } => {
                    for message in [
                        PeerMessage::Ask { file: FILE },
                        PeerMessage::Request { file: FILE, piece: 0 },
                        file.open_as(FileId(2), 0),
                        PeerMessage::Ask { file: FileId(2) },
                        PeerMessage::Request { file: FileId(2), piece: 0 },
                    ] {
                        let _ended = link.send(&message);
                    }
                    Some(PeerMessage::Bye)
                }
                _ => None,
            },
        };
        if let Some(message) = said {
            // If the link has ended, the next read says so.
            let _ended = link.send(&message);
        }
    }
    last
}

#[test]
fn a_removed_member_who_goes_on_asking_gets_its_last_byte_within_seconds() {
    let (world, mut ann, address, file) = shared();
    let mut eve = Member::log_in(&world, "eve");
    eve.join("physics", &mut ann);
    let mut link = eve.dial(address);
    open_as_member(&mut link, &file);
    let came = AtomicUsize::new(0);
    let (removed, last) = std::thread::scope(|scope| {
        let taking = scope.spawn(|| take_all(&mut link, &file, &came));
        until("pieces come", || (came.load(Ordering::Relaxed) > 20 * PIECE).then_some(()));
        ann.ok("remove_member physics eve");
        (Instant::now(), taking.join().unwrap())
    });
    let late = last.saturating_duration_since(removed);
    println!("the last byte came {late:?} after the removal was acknowledged");
    assert!(late < LAST_BYTE_MAX, "{late:?}");
    let sent = ann.sent();
    assert_eq!(answer(&eve, address, &file), Some(PeerMessage::Decline { file: FILE }));
    assert_eq!(ann.sent(), sent);
}

#[test]
fn a_removed_member_gets_its_last_byte_within_seconds() {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("file.bin", 512 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.ok("download_file physics file.bin");
    bob.wait_held(5);
    ann.ok("remove_member physics bob");
    let removed = Instant::now();
    bob.told("you were removed from physics");
    bob.refused("wait physics file.bin", "you are no longer a member of the group");
    // What ann has sent by now is all that she sends.
    let sent = ann.sent();
    assert!(removed.elapsed() < LAST_BYTE_MAX, "{:?}", removed.elapsed());
    assert!(sent < 512 << 20, "the removal came in the middle");
    bob.quit();
    assert_eq!(ann.sent(), sent);
}

#[test]
fn a_removed_member_is_told_and_its_download_ends() {
    let (world, mut ann, _address, _file) = shared();
    let mut bob = world.user("bob");
    join("physics", &mut ann, &mut bob);
    ann.ok("stop_share physics file.bin");
    bob.ok("download_file physics file.bin");
    ann.ok("remove_member physics bob");
    bob.told("you were removed from physics");
    bob.refused("wait physics file.bin", "you are no longer a member of the group");
    assert!(bob.ok("show_downloads").starts_with("[E] [physics] file.bin"));
}
