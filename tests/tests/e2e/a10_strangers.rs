//! A10: somebody who is no member, but knows a peer's address, gets nothing, and learns nothing.

use std::net::SocketAddr;

use engine::wire::peer::PeerMessage;

use crate::harness::member::{FILE, Shared, open_as_member};
use crate::harness::wire::Frame;
use crate::harness::{Client, Content, Member, World};

/// Ann shares a file in her group.
fn shared() -> (World, Client, SocketAddr, Shared) {
    let world = World::new();
    let mut ann = world.user("ann");
    ann.ok("create_group physics");
    let file = Shared::new("physics", "file.bin", Content::new(2 << 20, 1));
    let path = world.folder().join("file.bin");
    std::fs::write(&path, &file.content.bytes).unwrap();
    ann.ok(&format!("upload_file {} physics", path.display()));
    ann.wait_seeders("physics", 1);
    let address = ann.address();
    (world, ann, address, file)
}

/// What a peer answers to the opening of a file.
fn answer(stranger: &Member, to: SocketAddr, file: &Shared) -> Option<PeerMessage> {
    let mut link = stranger.dial(to);
    link.send(&file.open(0)).unwrap();
    link.peer_message()
}

#[test]
fn a_stranger_cannot_tell_whether_a_file_or_a_group_exists() {
    let (world, mut ann, address, file) = shared();
    let stranger = Member::log_in(&world, "eve");
    let declined = Some(PeerMessage::Decline { file: FILE });
    assert_eq!(answer(&stranger, address, &file), declined);
    let elsewhere = |group, name| Shared::new(group, name, file.content.clone());
    assert_eq!(answer(&stranger, address, &elsewhere("physics", "no such file")), declined);
    assert_eq!(answer(&stranger, address, &elsewhere("no such group", "file.bin")), declined);
    assert_eq!(ann.sent(), 0);
}

#[test]
fn a_stranger_who_asks_all_the_same_gets_no_byte() {
    let (world, mut ann, address, file) = shared();
    let stranger = Member::log_in(&world, "eve");
    for message in [
        PeerMessage::Ask { file: FILE },
        PeerMessage::Request { file: FILE, piece: 0 },
        PeerMessage::GetHashes { file: FILE, from: 0 },
    ] {
        let mut link = stranger.dial(address);
        link.send(&file.open(0)).unwrap();
        assert_eq!(link.peer_message(), Some(PeerMessage::Decline { file: FILE }));
        link.send(&message).unwrap();
        // Whether the link is ended or stays silent: nothing but small talk comes.
        link.send(&PeerMessage::Bye).ok();
        while let Some(frame) = link.receive() {
            let Frame::Message(_) = frame else { panic!("a stranger got data") };
        }
    }
    assert_eq!(ann.sent(), 0);
}

#[test]
fn a_device_that_never_logged_in_gets_nothing() {
    let (world, mut ann, address, file) = shared();
    let mut nobody = Member::log_in(&world, "eve");
    nobody.identity = node::identity::Identity::from_seed([9; 32]);
    assert_eq!(answer(&nobody, address, &file), Some(PeerMessage::Decline { file: FILE }));
    assert_eq!(ann.sent(), 0);
}

#[test]
fn an_asker_who_waits_to_be_accepted_gets_nothing_and_a_member_does() {
    let (world, mut ann, address, file) = shared();
    let mut eve = Member::log_in(&world, "eve");
    assert_eq!(answer(&eve, address, &file), Some(PeerMessage::Decline { file: FILE }));
    eve.join("physics", &mut ann);
    let mut link = eve.dial(address);
    open_as_member(&mut link, &file);
}

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

#[test]
fn a_removed_member_is_told_and_its_download_ends() {
    let (world, mut ann, _address, _file) = shared();
    let mut bob = world.user("bob");
    crate::harness::world::join("physics", &mut ann, &mut bob);
    ann.ok("stop_share physics file.bin");
    bob.ok("download_file physics file.bin");
    ann.ok("remove_member physics bob");
    bob.told("you were removed from physics");
    bob.refused("wait physics file.bin", "you are no longer a member of the group");
    assert!(bob.ok("show_downloads").starts_with("[E] [physics] file.bin"));
}
