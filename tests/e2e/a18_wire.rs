//! A18: who listens on the wire learns no password, no name, and no byte of a file.

use std::net::TcpListener;

use engine::wire::peer::PeerMessage;

use crate::harness::member::{Deed, FILE, Shared, open_as_member, serve};
use crate::harness::proxy::{self, Recorded};
use crate::harness::wire::Frame;
use crate::harness::{Client, Content, Member, PIECE, World};

/// What the file consists of, over and over.
const MARK: &[u8; 16] = b"<classified-doc>";

/// What must not pass in the clear: whoever listens would know it at sight.
const WORDS: [&str; 5] =
    ["correct-horse-staple", "annabella", "manhattan", "blueprint.bin", "group-sharing/0x"];

fn content() -> Content {
    Content::from_bytes(MARK.repeat(2 * PIECE / MARK.len()))
}

/// Nothing of what passed can be read, and at least `len` bytes did pass.
fn assert_unreadable(recorded: &Recorded, len: usize) {
    let passed = recorded.lock().unwrap();
    assert!(passed.len() >= len, "only {} bytes passed", passed.len());
    let holds = |what: &[u8]| passed.windows(what.len()).any(|window| window == what);
    for word in WORDS {
        assert!(!holds(word.as_bytes()), "{word} passed in the clear");
    }
    // Whatever stretch of the file passes holds one of these.
    let twice = MARK.repeat(2);
    for start in 0..MARK.len() {
        assert!(!holds(&twice[start..start + 8]), "bytes of the file passed in the clear");
    }
}

#[test]
fn who_listens_between_a_client_and_its_tracker_learns_nothing() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let list = format!("{} {}\n", listener.local_addr().unwrap(), world.tracker.fingerprint);
    let recorded = proxy::record(listener, world.tracker.address);
    let mut ann = Client::start(world.home_with("ann", &list));
    ann.ok("create_user annabella correct-horse-staple");
    ann.ok("login annabella correct-horse-staple");
    ann.ok("create_group manhattan");
    let path = world.folder().join("blueprint.bin");
    std::fs::write(&path, content().bytes).unwrap();
    ann.ok(&format!("upload_file {} manhattan", path.display()));
    assert!(ann.ok("list_files manhattan").contains("blueprint.bin"));
    assert_unreadable(&recorded, 2_000);
}

#[test]
fn who_listens_to_an_upload_learns_nothing() {
    let world = World::new();
    let mut ann = world.user("annabella");
    ann.ok("create_group manhattan");
    let file = Shared::new("manhattan", "blueprint.bin", content());
    let path = world.folder().join("blueprint.bin");
    std::fs::write(&path, &file.content.bytes).unwrap();
    ann.ok(&format!("upload_file {} manhattan", path.display()));
    let mut bob = Member::log_in(&world, "bob");
    bob.join("manhattan", &mut ann);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let between = listener.local_addr().unwrap();
    let recorded = proxy::record(listener, ann.address());
    let mut link = bob.dial(between);
    open_as_member(&mut link, &file);
    link.send(&PeerMessage::Ask { file: FILE }).unwrap();
    while !matches!(link.peer_message(), Some(PeerMessage::Grant { .. })) {}
    link.send(&PeerMessage::Request { file: FILE, piece: 0 }).unwrap();
    let mut came = 0;
    while came < PIECE {
        match link.receive() {
            Some(Frame::Data(len)) => came += len,
            Some(Frame::Message(_)) => {}
            None => panic!("the link ended after {came} bytes"),
        }
    }
    assert_unreadable(&recorded, PIECE);
}

#[test]
fn who_listens_to_a_download_learns_nothing() {
    let world = World::new();
    let mut ann = world.user("annabella");
    ann.ok("create_group manhattan");
    let file = Shared::new("manhattan", "blueprint.bin", content());
    let (listener, between) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (there, seen) = (listener.local_addr().unwrap(), between.local_addr().unwrap());
    let recorded = proxy::record(between, there);
    let mut bob = Member::log_in_from(world.tracker.address, "bob", listener, seen);
    bob.join("manhattan", &mut ann);
    bob.share(&file, file.content.pieces());
    ann.ok("download_file manhattan blueprint.bin");
    std::thread::scope(|scope| {
        let link = bob.accept();
        scope.spawn(|| serve(link, &file, &[0, 1], |_, _| Deed::Honest));
        ann.ok("wait");
        assert!(std::fs::read(ann.home.work.join("blueprint.bin")).unwrap() == file.content.bytes);
        ann.process.kill();
    });
    assert_unreadable(&recorded, 2 * PIECE);
}
