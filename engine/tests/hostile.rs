//! One honest client, and somebody driven by hand who breaks the rules: each breach ends the link, with its name.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;

use engine::id::{FileId, Key, LinkId, Salt};
use engine::limits::{FILES_PER_LINK, GRANT_PATIENCE, HASHES_PER_MESSAGE, LINK_CREDIT, STALL};
use engine::peer::command::Command;
use engine::time::Span;
use engine::violation::Violation;
use engine::wire::few::Few;
use engine::wire::list::{List, SharedList};
use engine::wire::peer::{Open, PeerMessage as M};
use engine::wire::tracker::{Address, Announce, Change, ClientMessage, Request, Standing};
use sim::prose::{download, file, group, pieces, user};
use sim::{Heard, NodeId, Packet, Whole, World};

const MINE: FileId = FileId(77);
const FILE: u32 = 12;

/// alice's client, and mallory, driven by hand, who is a member of her group.
struct Scene {
    world: World,
    alice: NodeId,
    mallory: NodeId,
    link: LinkId,
}

fn whole() -> Whole {
    pieces(1, FILE)
}

impl Scene {
    fn new() -> Scene {
        let mut world = World::new(1);
        let alice = world.person("alice");
        world.make_group(alice, "g", &[]);
        let mallory = world.puppet();
        let tracker = sign_up(&mut world, mallory);
        let join = Request::Change(Change::JoinGroup { group: group("g") });
        world.ask(mallory, tracker, join);
        world.advance(Span::from_secs(1));
        world.ok(alice, Command::AcceptRequest { group: group("g"), user: user("mallory") });
        Scene { world, alice, mallory, link: tracker }
    }

    /// alice shares the file, and mallory connects to her.
    fn serving() -> Scene {
        let mut scene = Scene::new();
        scene.world.share(scene.alice, "g", "f", whole());
        scene.world.advance(Span::from_secs(1));
        let ticket = scene.world.ticket(scene.mallory, scene.link, &group("g"));
        scene.link = scene.world.connect(scene.mallory, scene.alice);
        scene.world.befriend(scene.mallory, scene.link, ticket);
        scene
    }

    /// alice fetches the file, which mallory says to have; her opening has come.
    fn fetching() -> Scene {
        let mut scene = Scene::serving();
        scene.say(open(FILE));
        scene.world.ok(scene.alice, Command::StopShare { group: group("g"), name: file("f") });
        scene.world.delete(scene.alice, "f");
        let item = Announce {
            group: group("g"),
            name: file("f"),
            hashes: whole().survey().0.hashes,
            state: Standing::Active { held: FILE, reachable: FILE },
            want_peers: false,
        };
        let tracker = scene.world.connect(scene.mallory, scene.world.tracker());
        greet(&mut scene.world, scene.mallory, tracker);
        scene.world.ask(scene.mallory, tracker, login());
        scene.world.say_to_tracker(scene.mallory, tracker, ClientMessage::Announce(List::new(vec![item])));
        scene.world.advance(Span::from_secs(1));
        scene.world.ok(scene.alice, download("g", "f"));
        scene.world.advance(Span::from_secs(1));
        scene.say(open(FILE));
        scene.world.advance(Span::from_millis(100));
        scene
    }

    fn say(&mut self, message: M) {
        self.world.say(self.mallory, self.link, message);
    }

    fn has_said(&self, like: impl Fn(&M) -> bool) -> bool {
        self.world.said(self.mallory, self.link).any(|packet| matches!(packet, Packet::Peer(m) if like(m)))
    }

    fn await_word(&mut self, what: &str, like: impl Fn(&M) -> bool) {
        let (mallory, link) = (self.mallory, self.link);
        self.world.until(what, |world| {
            world.said(mallory, link).any(|packet| matches!(packet, Packet::Peer(m) if like(m)))
        });
    }

    /// alice's number for the file, once she opened it.
    fn hers(&self) -> FileId {
        let opens = self.world.said(self.mallory, self.link).filter_map(|packet| match packet {
            Packet::Peer(M::Open(open)) => Some(open.file),
            _ => None,
        });
        opens.last().unwrap()
    }

    /// The link ends for this.
    fn expect(&mut self, violation: Violation) {
        let (alice, mallory) = (self.alice, self.mallory);
        self.world.within(Span::from_secs(90), &format!("{violation:?}"), |world| {
            world.blames().contains(&(alice, mallory, violation))
        });
        let link = self.link;
        self.world
            .until("the end of the link", |world| world.heard(mallory).contains(&(link, Heard::Down(None))));
    }

    fn hashes(&mut self) {
        self.await_word("a request for hashes", |m| matches!(m, M::GetHashes { .. }));
        let list = whole().survey().1.list().to_vec();
        self.say(M::Hashes { file: MINE, from: 0, list: SharedList::new(list.into()) });
    }
}

fn login() -> Request {
    Request::Login { user: user("mallory"), key: Key([3; 32]) }
}

fn greet(world: &mut World, puppet: NodeId, link: LinkId) {
    let listen = Address(world.address(puppet));
    world.say_to_tracker(puppet, link, ClientMessage::Hello { listen });
}

fn sign_up(world: &mut World, puppet: NodeId) -> LinkId {
    let link = world.connect(puppet, world.tracker());
    greet(world, puppet, link);
    let create = Request::CreateUser { user: user("mallory"), salt: Salt([1; 16]), key: Key([3; 32]) };
    world.ask(puppet, link, create);
    world.advance(Span::from_secs(1));
    world.ask(puppet, link, login());
    world.advance(Span::from_secs(1));
    link
}

fn open(count: u32) -> M {
    let hashes = whole().survey().0.hashes;
    M::Open(Box::new(Open { file: MINE, group: group("g"), name: file("f"), hashes, count }))
}

/// A serving alice to whom mallory opened the file, and who opened it in turn.
fn opened() -> Scene {
    let mut scene = Scene::serving();
    scene.say(open(0));
    scene.await_word("an opening", |m| matches!(m, M::Open(_)));
    scene
}

#[test]
fn a_message_about_a_file_that_was_not_opened() {
    let mut scene = Scene::serving();
    scene.say(M::Ask { file: MINE });
    scene.expect(Violation::UnknownFile);
}

#[test]
fn a_file_opened_twice() {
    let mut scene = opened();
    scene.say(open(0));
    scene.expect(Violation::FileOpenedTwice);
}

#[test]
fn a_piece_beyond_the_end() {
    for message in [
        M::Have { file: MINE, pieces: Few::one(FILE) },
        M::Bits { file: MINE, from: u32::MAX, bytes: List::new(vec![1]) },
        M::Bits { file: MINE, from: 2, bytes: List::new(vec![255]) },
        M::Request { file: MINE, piece: FILE },
    ] {
        let mut scene = opened();
        scene.say(message);
        scene.expect(Violation::NoSuchPiece);
    }
}

#[test]
fn more_pieces_held_than_there_are() {
    let mut scene = Scene::serving();
    scene.say(open(FILE + 1));
    scene.expect(Violation::NoSuchPiece);
}

#[test]
fn a_request_without_a_slot() {
    for message in [M::Request { file: MINE, piece: 0 }, M::Return { file: MINE }] {
        let mut scene = opened();
        scene.say(message);
        scene.expect(Violation::NoSlot);
    }
}

#[test]
fn a_request_for_a_piece_that_is_not_held() {
    let mut scene = Scene::fetching();
    scene.say(M::Ask { file: MINE });
    scene.await_word("a slot", |m| matches!(m, M::Grant { .. }));
    scene.say(M::Request { file: MINE, piece: 3 });
    scene.expect(Violation::NotHeld);
}

#[test]
fn an_answer_to_what_was_not_asked() {
    for message in [
        M::Grant { file: MINE, queue: 0, hint: None },
        M::Busy { file: MINE, queue: 0 },
        M::Withdrawn { file: MINE },
        M::Hashes { file: MINE, from: 0, list: SharedList::new([].into()) },
    ] {
        let mut scene = Scene::fetching();
        scene.hashes();
        // Twice what she asks at most, so that some were not asked for.
        for _ in 0..20 {
            scene.say(message.clone());
        }
        scene.expect(Violation::UnaskedAnswer);
    }
}

#[test]
fn false_hashes() {
    for len in [FILE as usize, FILE as usize + 1, HASHES_PER_MESSAGE] {
        let mut scene = Scene::fetching();
        scene.await_word("a request for hashes", |m| matches!(m, M::GetHashes { .. }));
        let list = vec![engine::id::Sha1([9; 20]); len];
        scene.say(M::Hashes { file: MINE, from: 0, list: SharedList::new(list.into()) });
        scene.expect(Violation::FalseHashes);
    }
}

#[test]
fn hashes_come_in_pages_and_each_in_its_place() {
    let list = whole().survey().1.list().clone();
    let mut scene = Scene::fetching();
    scene.await_word("a request for hashes", |m| matches!(m, M::GetHashes { from: 0, .. }));
    scene.say(M::Hashes { file: MINE, from: 0, list: SharedList::new(list[..5].into()) });
    scene.await_word("a request for the rest", |m| matches!(m, M::GetHashes { from: 5, .. }));
    scene.say(M::Hashes { file: MINE, from: 5, list: SharedList::new(list[5..].into()) });
    scene.await_word("a request for a slot", |m| matches!(m, M::Ask { .. }));

    let mut scene = Scene::fetching();
    scene.await_word("a request for hashes", |m| matches!(m, M::GetHashes { from: 0, .. }));
    scene.say(M::Hashes { file: MINE, from: 5, list: SharedList::new(list) });
    scene.expect(Violation::FalseHashes);
}

#[test]
fn data_that_was_not_asked_for() {
    let mut scene = Scene::fetching();
    let hers = scene.hers();
    scene.world.throw(scene.mallory, scene.link, hers, whole(), 0);
    scene.expect(Violation::UnrequestedData);
}

#[test]
fn more_files_than_a_link_may_have() {
    let mut scene = Scene::serving();
    for number in 0..=FILES_PER_LINK {
        let hashes = whole().survey().0.hashes;
        let id = FileId(u32::try_from(number).unwrap());
        scene.say(M::Open(Box::new(Open {
            file: id,
            group: group("no"),
            name: file("f"),
            hashes,
            count: 0,
        })));
        if number % 100 == 0 {
            scene.world.advance(Span::from_millis(1));
        }
    }
    scene.expect(Violation::TooManyFiles);
}

#[test]
fn questions_faster_than_their_answers_are_read() {
    let mut scene = Scene::serving();
    for _ in 0..=LINK_CREDIT {
        scene.say(M::Ping);
    }
    scene.expect(Violation::NotReading);
}

#[test]
fn a_slot_that_is_neither_used_nor_returned() {
    let mut scene = opened();
    scene.say(M::Ask { file: MINE });
    scene.await_word("a slot", |m| matches!(m, M::Grant { .. }));
    let began = scene.world.now();
    scene.expect(Violation::SlotUnused);
    assert!(scene.world.now().since(began) < GRANT_PATIENCE * 2);
}

#[test]
fn a_seeder_hints_at_each_piece_until_it_is_named_before_it_hints_at_one_twice() {
    let mut scene = opened();
    let mut named = BTreeSet::new();
    for slot in 0..FILE {
        scene.say(M::Ask { file: MINE });
        scene.world.advance(Span::from_secs(1));
        let said = scene.world.said(scene.mallory, scene.link);
        let hints: Vec<u32> = said
            .filter_map(|packet| if let Packet::Peer(M::Grant { hint, .. }) = packet { *hint } else { None })
            .collect();
        assert_eq!(hints.len(), slot as usize + 1);
        // The first hint is not taken, and a piece named whose turn would come later.
        let piece = if slot == 0 { FILE / 2 } else { hints[slot as usize] };
        named.insert(piece);
        scene.say(M::Request { file: MINE, piece });
        scene.world.advance(Span::from_secs(1));
    }
    assert_eq!(named.len(), FILE as usize);
}

#[test]
fn pieces_that_do_not_match_their_hashes() {
    let mut scene = Scene::fetching();
    scene.hashes();
    for _ in 0..3 {
        scene.say(M::Grant { file: MINE, queue: 0, hint: None });
        scene.world.advance(Span::from_millis(50));
        let hers = scene.hers();
        let wanted = scene.world.said(scene.mallory, scene.link).filter_map(|packet| match packet {
            Packet::Peer(M::Request { piece, .. }) => Some(*piece),
            _ => None,
        });
        let piece = wanted.last().unwrap();
        scene.world.throw(scene.mallory, scene.link, hers, pieces(66, FILE), piece);
        scene.world.advance(Span::from_millis(50));
    }
    scene.expect(Violation::BadPieces);
    let link = scene.world.connect(scene.mallory, scene.alice);
    scene.world.advance(Span::from_secs(1));
    assert!(scene.world.heard(scene.mallory).contains(&(link, Heard::Down(None))), "the device is banned");
}

#[test]
fn a_peer_that_answers_no_request_for_a_slot_holds_none_for_long() {
    let mut scene = Scene::fetching();
    scene.hashes();
    scene.await_word("a request for a slot", |m| matches!(m, M::Ask { .. }));
    scene.world.advance(STALL * 12);
    assert!(scene.has_said(|m| matches!(m, M::Withdraw { .. })));
    let link = scene.link;
    assert!(scene.world.heard(scene.mallory).contains(&(link, Heard::Down(None))));
}

#[test]
fn a_device_that_is_no_members_is_declined_whether_or_not_the_file_is_there() {
    let mut answers = Vec::new();
    for there in [true, false] {
        let mut world = World::new(1);
        let alice = world.person("alice");
        world.make_group(alice, "g", &[]);
        if there {
            world.share(alice, "g", "f", whole());
        }
        world.advance(Span::from_secs(1));
        let mallory = world.puppet();
        sign_up(&mut world, mallory);
        let link = world.connect(mallory, alice);
        let began = world.now();
        world.say(mallory, link, open(0));
        world.say(mallory, link, M::Ask { file: MINE });
        let seen = |world: &World| world.said(mallory, link).count() == 1;
        world.until("the answer", seen);
        let took = world.now().since(began);
        world.advance(Span::from_secs(60));
        answers.push((world.said(mallory, link).cloned().collect::<Vec<_>>(), took));
    }
    assert_eq!(answers[0].0[0], Packet::Peer(M::Decline { file: MINE }));
    assert_eq!(answers[0], answers[1], "the two are never told apart");
}
