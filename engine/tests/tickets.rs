//! Tickets: who has none that is good gets nothing and learns nothing; who has one gets on without a tracker, until it expires.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use engine::id::{DeviceId, FileId, Key, LinkId, Salt};
use engine::peer::command::Command;
use engine::refusal::Refusal;
use engine::ticket::{LIFETIME, Signature, Ticket, UnixTime};
use engine::time::Span;
use engine::violation::Violation;
use engine::wire::peer::{Open, PeerMessage as M};
use engine::wire::tracker::{Address, Change, ClientMessage, Request, TrackerMessage};
use sim::prose::{file, group, pieces, place, user};
use sim::{Heard, NodeId, Packet, Whole, World};

const MINE: FileId = FileId(77);

fn whole() -> Whole {
    pieces(1, 12)
}

fn open(name: &str) -> M {
    let hashes = whole().survey().0.hashes;
    M::Open(Box::new(Open { file: MINE, group: group("g"), name: file(name), hashes, count: 0 }))
}

/// alice shares "f" in "g"; somebody driven by hand, with a device of their own, is logged in at the tracker.
struct Scene {
    world: World,
    alice: NodeId,
}

/// Somebody driven by hand.
#[derive(Clone, Copy)]
struct Puppet {
    node: NodeId,
    tracker: LinkId,
}

impl Scene {
    fn new() -> Scene {
        let mut world = World::new(1);
        let alice = world.person("alice");
        world.make_group(alice, "g", &[]);
        world.share(alice, "g", "f", whole());
        world.advance(Span::from_secs(1));
        Scene { world, alice }
    }

    fn puppet(&mut self, name: &str) -> Puppet {
        let node = self.world.puppet();
        let tracker = self.world.connect(node, self.world.tracker());
        let listen = Address(self.world.address(node));
        self.world.say_to_tracker(node, tracker, ClientMessage::Hello { listen });
        let (salt, key) = (Salt([1; 16]), Key([3; 32]));
        self.world.ask(node, tracker, Request::CreateUser { user: user(name), salt, key: key.clone() });
        self.world.advance(Span::from_secs(1));
        self.world.ask(node, tracker, Request::Login { user: user(name), key });
        self.world.advance(Span::from_secs(1));
        Puppet { node, tracker }
    }

    fn change(&mut self, puppet: Puppet, change: Change) {
        self.world.ask(puppet.node, puppet.tracker, Request::Change(change));
        self.world.advance(Span::from_secs(1));
    }

    fn join(&mut self, puppet: Puppet, name: &str) {
        self.change(puppet, Change::JoinGroup { group: group("g") });
        self.world.ok(self.alice, Command::AcceptRequest { group: group("g"), user: user(name) });
    }

    fn member(&mut self, name: &str) -> (Puppet, Ticket) {
        let puppet = self.puppet(name);
        self.join(puppet, name);
        let ticket = self.world.ticket(puppet.node, puppet.tracker, &group("g"));
        (puppet, ticket)
    }

    /// Everything that alice answers to somebody who shows these tickets, opens a file that is there or one that is not, and asks for all
    /// there is; whether the link ended, and for what.
    fn answers(&mut self, node: NodeId, tickets: &[&Ticket], name: &str) -> Answers {
        let link = self.world.connect(node, self.alice);
        for ticket in tickets {
            self.world.say(node, link, M::Show(Box::new((*ticket).clone())));
            self.world.advance(Span::from_secs(1));
        }
        let shown = |packet: &Packet| matches!(packet, Packet::Peer(M::Show(_)));
        if self.world.said(node, link).any(shown) {
            self.world.say(node, link, M::Seen { group: group("g") });
        }
        self.world.say(node, link, open(name));
        for message in
            [M::GetHashes { file: MINE, from: 0 }, M::Ask { file: MINE }, M::Request { file: MINE, piece: 0 }]
        {
            self.world.say(node, link, message);
            self.world.advance(Span::from_millis(100));
        }
        self.world.advance(Span::from_secs(5));
        let heard: Vec<&Heard> =
            self.world.heard(node).iter().filter(|(on, _)| *on == link).map(|(_, heard)| heard).collect();
        let mut answers = Answers::default();
        for heard in heard {
            match heard {
                Heard::Said(Packet::Peer(message)) => answers.said.push(message.clone()),
                Heard::Piece(_) => answers.pieces += 1,
                Heard::Down(violation) => answers.violation = answers.violation.or(*violation),
                Heard::Up(_) | Heard::Said(_) => {}
            }
        }
        answers
    }

    /// Whoever shows these gets nothing, and hears the same whether or not the file is there.
    fn gets_nothing(&mut self, node: NodeId, tickets: &[&Ticket]) -> (Vec<M>, Option<Violation>) {
        let there = self.answers(node, tickets, "f");
        assert_eq!(there, self.answers(node, tickets, "no such file"), "whether a file exists is not said");
        let small = |message: &M| matches!(message, M::Decline { .. } | M::Ping | M::Pong | M::Bye);
        assert!(there.pieces == 0 && there.said.iter().all(small), "{there:?}");
        (there.said, there.violation)
    }

    /// Whoever shows these gets a piece.
    fn gets_a_piece(&mut self, node: NodeId, tickets: &[&Ticket]) {
        let there = self.answers(node, tickets, "f");
        assert_eq!((there.pieces, there.violation), (1, None), "{:?}", there.said);
    }
}

/// What somebody hears on a link.
#[derive(Debug, Default, PartialEq)]
struct Answers {
    said: Vec<M>,
    pieces: usize,
    violation: Option<Violation>,
}

#[test]
fn somebody_without_a_ticket_gets_nothing() {
    let mut scene = Scene::new();
    let eve = scene.puppet("eve");
    assert_eq!(scene.gets_nothing(eve.node, &[]), (vec![M::Decline { file: MINE }], None));
}

#[test]
fn a_member_gets_what_the_others_do_not() {
    let mut scene = Scene::new();
    let (bob, ticket) = scene.member("bob");
    scene.gets_a_piece(bob.node, &[&ticket]);
}

#[test]
fn the_ticket_of_somebody_else_is_worth_nothing() {
    let mut scene = Scene::new();
    let (_, ticket) = scene.member("bob");
    let eve = scene.puppet("eve");
    let (said, violation) = scene.gets_nothing(eve.node, &[&ticket]);
    assert_eq!((said, violation), (vec![], Some(Violation::FalseTicket)));
}

#[test]
fn a_ticket_that_was_altered_is_worth_nothing() {
    let mut scene = Scene::new();
    let (bob, ticket) = scene.member("bob");
    let eve = scene.puppet("eve");
    let mine = |mut ticket: Ticket, device: DeviceId| {
        ticket.body.device = device;
        ticket
    };
    let stolen = mine(ticket.clone(), scene.world.device(eve.node));
    assert_eq!(scene.gets_nothing(eve.node, &[&stolen]), (vec![], Some(Violation::FalseTicket)));
    let mut longer = ticket.clone();
    longer.body.until = UnixTime(u64::MAX);
    let mut later = ticket.clone();
    later.body.epoch += 1;
    let mut other = ticket.clone();
    other.body.user = user("alice");
    let unsigned = Ticket { signature: Signature([0; 64]), ..ticket };
    for ticket in [&longer, &later, &other, &unsigned] {
        assert_eq!(scene.gets_nothing(bob.node, &[ticket]), (vec![], Some(Violation::FalseTicket)));
    }
}

#[test]
fn a_ticket_that_no_tracker_signed_is_worth_nothing() {
    let mut scene = Scene::new();
    let (bob, ticket) = scene.member("bob");
    let signer = scene.world.device(bob.node);
    assert_eq!(scene.gets_nothing(bob.node, &[&Ticket { signer, ..ticket }]).0, [M::Decline { file: MINE }]);
}

#[test]
fn a_ticket_of_another_group_is_worth_nothing() {
    let mut scene = Scene::new();
    let eve = scene.puppet("eve");
    scene.change(eve, Change::CreateGroup { group: group("h") });
    let ticket = scene.world.ticket(eve.node, eve.tracker, &group("h"));
    assert_eq!(scene.gets_nothing(eve.node, &[&ticket]).0, [M::Decline { file: MINE }]);
}

#[test]
fn an_expired_ticket_is_worth_nothing() {
    let mut scene = Scene::new();
    let (bob, ticket) = scene.member("bob");
    scene.world.advance(Span(LIFETIME.0 - 20_000_000));
    scene.gets_a_piece(bob.node, &[&ticket]);
    scene.world.advance(Span::from_secs(60));
    assert_eq!(scene.gets_nothing(bob.node, &[&ticket]).0, [M::Decline { file: MINE }]);
}

#[test]
fn a_ticket_of_an_earlier_epoch_is_worth_nothing_to_who_was_removed_until_there_is_a_new_one() {
    let mut scene = Scene::new();
    let (bob, ticket) = scene.member("bob");
    scene.world.ok(scene.alice, Command::RemoveMember { group: group("g"), user: user("bob") });
    scene.world.advance(Span::from_secs(1));
    assert_eq!(scene.gets_nothing(bob.node, &[&ticket]).0, [M::Decline { file: MINE }]);
    scene.join(bob, "bob");
    assert_eq!(scene.gets_nothing(bob.node, &[&ticket]).0, [M::Decline { file: MINE }]);
    let new = scene.world.ticket(bob.node, bob.tracker, &group("g"));
    scene.gets_a_piece(bob.node, &[&ticket, &new]);
}

/// alice, with bob and carol, driven by hand, as members.
fn three() -> (Scene, (Puppet, Ticket), (Puppet, Ticket)) {
    let mut scene = Scene::new();
    let (bob, carol) = (scene.member("bob"), scene.member("carol"));
    (scene, bob, carol)
}

/// What the tracker signs when it removes bob.
fn removal_of_bob() -> M {
    let (mut scene, _, (carol, _)) = three();
    scene.world.ok(scene.alice, Command::RemoveMember { group: group("g"), user: user("bob") });
    scene.world.advance(Span::from_secs(1));
    let said = scene.world.said(carol.node, carol.tracker).filter_map(|packet| match packet {
        Packet::Tracker(TrackerMessage::Expulsions(told)) => Some(M::Expulsions(told.clone())),
        _ => None,
    });
    said.last().unwrap()
}

#[test]
fn a_removal_is_handed_on_by_members_to_those_who_cannot_hear_it_from_a_tracker() {
    // In this world it did not happen; but alice cannot know that.
    let (mut scene, (bob, bobs), (carol, carols)) = three();
    scene.world.kill_tracker();
    let link = scene.world.connect(carol.node, scene.alice);
    scene.world.befriend(carol.node, link, carols);
    let bob_to_alice = scene.world.connect(bob.node, scene.alice);
    scene.world.befriend(bob.node, bob_to_alice, bobs.clone());
    scene.world.say(bob.node, bob_to_alice, open("f"));
    scene.world.advance(Span::from_secs(1));
    scene.world.say(carol.node, link, removal_of_bob());
    scene.world.advance(Span::from_secs(1));
    let closed = |packet: &Packet| matches!(packet, Packet::Peer(M::Close { .. }));
    assert!(scene.world.said(bob.node, bob_to_alice).any(closed), "what was open is closed");
    assert_eq!(scene.gets_nothing(bob.node, &[&bobs]).0, [M::Decline { file: MINE }]);
}

#[test]
fn a_removal_counts_only_if_a_tracker_signed_it_and_a_member_says_it() {
    let (mut scene, (bob, bobs), (carol, carols)) = three();
    scene.world.kill_tracker();
    let eve = scene.world.puppet();
    let by_a_stranger = scene.world.connect(eve, scene.alice);
    scene.world.say(eve, by_a_stranger, removal_of_bob());
    let link = scene.world.connect(carol.node, scene.alice);
    scene.world.befriend(carol.node, link, carols);
    let M::Expulsions(mut forged) = removal_of_bob() else { unreachable!("it was made as one") };
    forged.body.removals.epoch += 1;
    scene.world.say(carol.node, link, M::Expulsions(forged));
    scene.world.advance(Span::from_secs(1));
    let ended = scene
        .world
        .heard(carol.node)
        .iter()
        .any(|(on, heard)| *on == link && *heard == Heard::Down(Some(Violation::FalseTicket)));
    assert!(ended, "a forgery ends the link");
    scene.gets_a_piece(bob.node, &[&bobs]);
}

/// alice shares a long file, which bob and carol begin to fetch; then the tracker dies for good.
fn without_a_tracker() -> (World, [NodeId; 3]) {
    let mut world = World::new(3);
    let alice = world.person("alice");
    let (bob, carol) = (world.person("bob"), world.person("carol"));
    world.make_group(alice, "g", &[(bob, "bob"), (carol, "carol")]);
    world.share(alice, "g", "f", pieces(1, 400));
    world.fetch(bob, "g", "f");
    world.fetch(carol, "g", "f");
    world.until_held(bob, "f", 40);
    world.kill_tracker();
    (world, [alice, bob, carol])
}

#[test]
fn downloads_finish_without_a_tracker() {
    let (mut world, [_, bob, carol]) = without_a_tracker();
    world.until_complete(bob, "f");
    world.until_complete(carol, "f");
    assert!(world.given(bob, carol) + world.given(carol, bob) > 0, "they serve each other, too");
}

/// alice shares "f" and "new"; bob and carol have fetched "f" and seen the list; then the tracker dies, and nobody has had to do with
/// anybody for a while.
fn who_know_each_other() -> (World, [NodeId; 3]) {
    let mut world = World::new(5);
    let alice = world.person("alice");
    let (bob, carol) = (world.person("bob"), world.person("carol"));
    world.make_group(alice, "g", &[(bob, "bob"), (carol, "carol")]);
    world.share(alice, "g", "f", whole());
    world.share(alice, "g", "new", pieces(2, 12));
    for client in [bob, carol] {
        world.fetch(client, "g", "f");
        world.until_complete(client, "f");
        world.ok(client, Command::ListFiles { group: group("g") });
    }
    world.advance(Span::from_secs(600));
    world.kill_tracker();
    (world, [alice, bob, carol])
}

#[test]
fn downloads_begin_without_a_tracker_among_those_who_know_each_other() {
    let (mut world, [alice, bob, carol]) = who_know_each_other();
    world.fetch(bob, "g", "new");
    world.until_complete(bob, "new");
    world.kill(alice);
    let before = world.given(bob, carol);
    world.fetch(carol, "g", "new");
    world.until_complete(carol, "new");
    assert_eq!(world.given(bob, carol) - before, 12, "bob gave her all of it");
}

#[test]
fn without_a_tracker_nothing_begins_that_was_not_listed_or_after_tickets_have_expired() {
    let (mut world, [_, bob, carol]) = who_know_each_other();
    let fetch = |name| Command::DownloadFile {
        group: group("g"),
        name: file(name),
        place: place(name),
        named: false,
    };
    assert_eq!(world.refused(bob, fetch("never listed")), Refusal::NoTracker);
    world.advance(LIFETIME);
    assert_eq!(world.refused(bob, fetch("new")), Refusal::NoTracker);
    assert_eq!(world.refused(carol, fetch("new")), Refusal::NoTracker);
}

#[test]
fn what_began_without_a_tracker_is_looked_up_when_one_is_back() {
    let (mut world, [alice, bob, _]) = who_know_each_other();
    world.fetch(bob, "g", "new");
    world.until_complete(bob, "new");
    world.restart_tracker();
    world.ok(alice, Command::ListFiles { group: group("g") });
    world.until("bob is counted as one who has it", |world| {
        world.tracker_status().is_some_and(|status| status.swarm_entries >= 5)
    });
}

#[test]
fn nobody_serves_anybody_longer_than_tickets_last() {
    let (mut scene, (bob, bobs), _) = three();
    scene.world.kill_tracker();
    let link = scene.world.connect(bob.node, scene.alice);
    scene.world.befriend(bob.node, link, bobs);
    scene.world.say(bob.node, link, open("f"));
    let closed = |world: &World| {
        world.said(bob.node, link).any(|packet| matches!(packet, Packet::Peer(M::Close { .. })))
    };
    // He keeps the link alive, and asks for nothing.
    let expires = scene.world.now() + LIFETIME;
    while scene.world.now() + Span::from_secs(60) < expires {
        scene.world.advance(Span::from_secs(20));
        scene.world.say(bob.node, link, M::Ping);
        assert!(!closed(&scene.world), "his ticket is good still");
    }
    scene.world.advance(Span::from_secs(61));
    assert!(closed(&scene.world), "his ticket has expired");
}
