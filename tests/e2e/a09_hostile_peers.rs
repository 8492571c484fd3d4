//! A9: members whose peers do not keep to the protocol.
//!
//! In each test bob finds a hostile member first, who misbehaves; then ann, who is honest, comes online. Bob's copy must be whole, and
//! the hostile peer dropped.

use std::path::PathBuf;

use engine::id::{Blake3, FileId, Sha1};
use engine::wire::frame::{DataHead, HEAD_LEN, Head, Kind};
use engine::wire::list::SharedList;
use engine::wire::peer::PeerMessage;

use crate::harness::content::assert_same;
use crate::harness::member::{Deed, FILE, Shared, Stage, open_as_member, serve};
use crate::harness::wire::Link;
use crate::harness::world::group;
use crate::harness::{Client, Content, Member, World};

/// Bob is fetching a file that mallory says to hold; ann holds it, and is logged out.
struct Trial {
    _world: World,
    ann: Client,
    bob: Client,
    mallory: Member,
    file: Shared,
    path: PathBuf,
}

impl Trial {
    fn new() -> Trial {
        let world = World::new();
        let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
        group("physics", &mut ann, &mut [&mut bob]);
        let file = Shared::new("physics", "file.bin", Content::new(8 << 20, 1));
        let path = world.folder().join("file.bin");
        std::fs::write(&path, &file.content.bytes).unwrap();
        ann.ok(&format!("upload_file {} physics", path.display()));
        let mut mallory = Member::log_in(&world, "mallory");
        mallory.join("physics", &mut ann);
        mallory.share(&file, file.content.pieces());
        ann.ok("logout");
        bob.ok("download_file physics file.bin");
        Trial { _world: world, ann, bob, mallory, file, path }
    }

    /// Serves bob until `act` is done with him; gives the link, if bob has not ended it.
    fn meet(&self, act: impl FnMut(&mut Link, Stage) -> Deed) -> Option<Link> {
        let pieces: Vec<u32> = (0..self.file.content.pieces()).collect();
        serve(self.mallory.accept(), &self.file, &pieces, act)
    }

    /// Serves bob until he ends the link.
    fn dropped_after(&self, act: impl FnMut(&mut Link, Stage) -> Deed) {
        assert!(self.meet(act).is_none(), "bob ends the link");
    }

    /// Ann comes, and bob's copy is whole.
    fn finish(mut self) {
        assert_eq!(self.bob.download()["state"], "running");
        self.ann.log_in();
        self.bob.ok("wait");
        assert_same(&self.path, &self.bob.home.work.join("file.bin"));
        assert_eq!(self.bob.quit(), 0);
    }
}

/// `bytes` with one bit flipped.
fn corrupted(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

#[test]
fn a_peer_that_sends_corrupted_pieces_is_banned() {
    let trial = Trial::new();
    let mut sent = 0;
    trial.dropped_after(|link, stage| match stage {
        Stage::Requested(theirs, piece) => {
            // Bob may have ended the link already.
            let _ended = link.send_piece(theirs, piece, &corrupted(trial.file.content.piece(piece)));
            sent += 1;
            Deed::Done
        }
        _ => Deed::Honest,
    });
    assert!(sent >= 3, "bob bears with {sent} bad pieces");
    trial.finish();
}

#[test]
fn one_corrupted_piece_among_good_ones_is_fetched_again() {
    let trial = Trial::new();
    let mut seen = 0;
    let link = trial.meet(|link, stage| match stage {
        Stage::Requested(theirs, piece) => {
            seen += 1;
            if seen == 2 {
                link.send_piece(theirs, piece, &corrupted(trial.file.content.piece(piece))).unwrap();
                return Deed::Done;
            }
            if seen == 6 { Deed::Stop } else { Deed::Honest }
        }
        _ => Deed::Honest,
    });
    assert!(link.is_some(), "one bad piece does not end the link");
    trial.finish();
}

#[test]
fn a_peer_that_sends_more_than_a_piece_is_dropped() {
    let trial = Trial::new();
    trial.dropped_after(|link, stage| match stage {
        Stage::Requested(theirs, piece) => {
            let longer = [trial.file.content.piece(piece), &[0; 100]].concat();
            let _ended = link.send_piece(theirs, piece, &longer);
            Deed::Done
        }
        _ => Deed::Honest,
    });
    trial.finish();
}

#[test]
fn a_peer_that_leaves_a_gap_in_a_piece_is_dropped() {
    let trial = Trial::new();
    trial.dropped_after(|link, stage| match stage {
        Stage::Requested(theirs, piece) => {
            let _ended = link.send_data(DataHead { file: theirs, piece, offset: 65_536 }, &[0; 1_000]);
            Deed::Done
        }
        _ => Deed::Honest,
    });
    trial.finish();
}

#[test]
fn a_peer_that_sends_what_nobody_asked_for_is_dropped() {
    let trial = Trial::new();
    trial.dropped_after(|link, stage| match stage {
        Stage::Asked => {
            let _ended = link.send_piece(FileId(0), 3, trial.file.content.piece(3));
            Deed::Done
        }
        _ => Deed::Honest,
    });
    trial.finish();
}

#[test]
fn a_peer_that_sends_garbage_is_dropped() {
    let trial = Trial::new();
    trial.dropped_after(|link, _| {
        let _ended = link.send_bytes(&[0xa5; 4_096]);
        Deed::Done
    });
    trial.finish();
}

#[test]
fn a_peer_that_sends_a_malformed_message_is_dropped() {
    let trial = Trial::new();
    trial.dropped_after(|link, _| {
        let head = Head { kind: Kind::Message, len: 3 }.encode();
        let _ended = link.send_bytes(&[&head[..], &[200, 1, 2]].concat());
        Deed::Done
    });
    trial.finish();
}

#[test]
fn a_peer_whose_hashes_are_false_is_dropped() {
    let trial = Trial::new();
    trial.dropped_after(|link, stage| match stage {
        Stage::Hashes => {
            let list = SharedList::new(vec![Sha1([9; 20]); trial.file.content.pieces() as usize].into());
            let _ended = link.send(&PeerMessage::Hashes { file: FILE, from: 0, list });
            Deed::Done
        }
        _ => Deed::Honest,
    });
    trial.finish();
}

#[test]
fn a_peer_that_claims_pieces_beyond_the_end_is_dropped() {
    let trial = Trial::new();
    trial.dropped_after(|link, stage| match stage {
        Stage::Opened => {
            let _ended = link.send(&trial.file.open(trial.file.content.pieces() + 1));
            Deed::Done
        }
        _ => Deed::Honest,
    });
    trial.finish();
}

#[test]
fn a_peer_that_says_nothing_at_all_holds_nobody_up() {
    let trial = Trial::new();
    let _silent = trial.mallory.accept();
    trial.finish();
}

#[test]
fn a_peer_that_grants_and_never_sends_holds_nobody_up() {
    let trial = Trial::new();
    let _silent = trial.meet(|_, stage| match stage {
        Stage::Requested(..) => Deed::Stop,
        _ => Deed::Honest,
    });
    trial.finish();
}

#[test]
fn a_peer_that_sends_half_a_frame_and_no_more_is_dropped() {
    let trial = Trial::new();
    let link = trial.meet(|link, stage| match stage {
        Stage::Requested(..) => {
            let head = Head { kind: Kind::Data, len: 1_000 }.encode();
            assert_eq!(head.len(), HEAD_LEN);
            link.send_bytes(&[&head[..], &[0; 300]].concat()).unwrap();
            Deed::Stop
        }
        _ => Deed::Honest,
    });
    link.expect("bob has patience").wait_closed();
    trial.finish();
}

#[test]
fn a_downloader_that_asks_for_pieces_without_a_slot_is_dropped() {
    let mut trial = Trial::new();
    trial.ann.log_in();
    // Ann and mallory.
    trial.ann.wait_seeders("physics", 2);
    let mut link = trial.mallory.dial(trial.ann.address());
    open_as_member(&mut link, &trial.file);
    link.send(&PeerMessage::Request { file: FILE, piece: 0 }).unwrap();
    link.wait_closed();
    trial.bob.ok("wait");
    trial.ann.ok("whoami");
}

/// As if its pieces were made to have the SHA-1 of other pieces.
#[test]
fn a_file_whose_pieces_are_right_and_which_is_not_what_was_listed_never_gets_its_name() {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let mut mallory = Member::log_in(&world, "mallory");
    mallory.join("physics", &mut ann);
    let file = Shared::new("physics", "file.bin", Content::new(2 << 20, 1));
    let listed = engine::piece::Content { checksum: Blake3([7; 32]), ..file.content.listed() };
    let pieces: Vec<u32> = (0..file.content.pieces()).collect();
    mallory.share_as(&file, listed, file.content.pieces());
    bob.ok("download_file physics file.bin");
    let served = std::thread::spawn(move || serve(mallory.accept(), &file, &pieces, |_, _| Deed::Honest));
    bob.refused("wait physics file.bin", "its pieces do not make up the file that was listed");
    assert!(!bob.home.work.join("file.bin").exists());
    assert_eq!(bob.quit(), 1, "something failed");
    served.join().unwrap();
}
