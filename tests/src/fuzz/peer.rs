//! A client among people who say whatever they like, in whatever order: other members, thieves of tickets, strangers, and a tracker that
//! has lost its mind.
//!
//! The world of the simulator looks on: invariants of the machines, no piece to somebody who is no member, nobody honest blamed, no word on
//! a link that has ended. If nobody but hostile peers has interfered, the client's download must be complete in the end.

use arbitrary::{Arbitrary, Unstructured};
use engine::id::{DeviceId, FileId, Key, LinkId, Salt, Sha1};
use engine::limits::PIECES_MAX;
use engine::peer::command::{Command, Leaving};
use engine::piece::Hashes;
use engine::refusal::Refusal;
use engine::ticket::{Expulsions, Removals, Signature, Signed, Ticket, UnixTime};
use engine::time::Span;
use engine::wire::few::Few;
use engine::wire::list::{List, SharedList};
use engine::wire::peer::{Open, PeerMessage as M};
use engine::wire::tracker::{
    Address, Answer, Change, ClientMessage, FileRow, Notice, Page, PeerInfo, Request, TrackerMessage,
};
use sim::prose::{download, file, group, pieces, place, user};
use sim::{Access, NodeId, Whole, World};

/// Most deeds that are looked at: more find nothing that fewer do not, and take longer.
const DEEDS_MAX: usize = 48;

/// What alice shares, and what she fetches from bob, who needs a second for each piece.
const SHARED: &str = "shared";
const WANTED: &str = "wanted";
const PIECES: u32 = 6;

/// Something that happens.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Deed {
    Connect(Who),
    Say(Who, Saying),
    Throw(Who, Small, Small),
    Pass(u16),
    Wish(Wish),
    Lie(Lie),
}

/// Somebody driven by hand.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Who {
    /// A member, with a ticket.
    Member,
    /// No member, with the member's ticket.
    Thief,
}

/// A number that means something, or one far beyond.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Small(u8);

impl Small {
    fn number(self) -> u32 {
        match self.0 {
            255 => u32::MAX,
            254 => PIECES_MAX,
            253 => PIECES_MAX / 8 - 1,
            small => u32::from(small % 8),
        }
    }

    fn file(self) -> FileId {
        FileId(self.number())
    }
}

/// What a peer can say.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Saying {
    Show(Showing),
    Seen { right: bool },
    Expulsions { epoch: Small, right: bool },
    Open { as_: Small, what: What, right: bool, count: Small },
    Decline(Small),
    Close(Small),
    Bits { of: Small, from: Small, bytes: [u8; 2] },
    Have { of: Small, pieces: [Small; 2] },
    Whole(Small),
    GetHashes { of: Small, from: Small },
    Hashes { of: Small, from: Small, what: What, right: bool },
    Ask(Small),
    Queued { of: Small, queue: Small },
    Busy { of: Small, queue: Small },
    Free { of: Small, queue: Small },
    Pass(Small),
    Grant { of: Small, queue: Small, hint: Option<Small> },
    Withdraw(Small),
    Withdrawn(Small),
    Return(Small),
    Request { of: Small, piece: Small },
    Cancel { of: Small, piece: Small },
    Cancelled { of: Small, piece: Small },
    Ping,
    Pong,
    Bye,
}

/// A ticket that is shown.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Showing {
    Whole,
    OfOurselves,
    OfAnotherTracker,
    OfAnotherGroup,
    Expired,
}

/// A file.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Shared,
    Wanted,
    Unknown,
}

/// What alice asks of her client.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Wish {
    Fetch(What),
    Stop,
    Share,
    Unshare,
    Unlist,
    List,
    Remove,
    LogOut,
    LogIn,
}

/// What the tracker says to alice without reason.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Lie {
    Swarm { what: What, device: u8, near: bool },
    NotListed(What),
    Removed,
    Expelled(u8),
    Pong,
    Expulsions { epoch: Small },
    Done(Small),
    Salt(Small),
    LoggedIn(Small),
    Files { of: Small, more: bool },
    File { of: Small, pieces: u8 },
    Refusal { of: Small, which: u8 },
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Shared => SHARED,
            What::Wanted => WANTED,
            What::Unknown => "unknown",
        }
    }

    fn whole(self) -> Whole {
        pieces(self as u64 + 1, PIECES)
    }

    fn hashes(self, right: bool) -> Hashes {
        if right { self.whole().survey().1 } else { Hashes::new(vec![Sha1([9; 20]); PIECES as usize]) }
    }
}

/// Plays what `data` says.
pub fn peer(data: &[u8]) {
    let deeds = Vec::<Deed>::arbitrary_take_rest(Unstructured::new(data));
    let Ok(mut deeds) = deeds else { return };
    deeds.truncate(DEEDS_MAX);
    let left_alone = !deeds.iter().any(|deed| matches!(deed, Deed::Wish(_) | Deed::Lie(_)));
    let mut scene = Scene::new();
    deeds.into_iter().for_each(|deed| scene.play(deed));
    if left_alone {
        scene.world.until_complete(scene.alice, WANTED);
    } else {
        scene.world.advance(Span::from_secs(60));
    }
    assert!(scene.world.registry().is_some(), "the tracker is up");
}

struct Scene {
    world: World,
    alice: NodeId,
    puppets: [Puppet; 2],
    ticket: Ticket,
}

#[derive(Clone, Copy)]
struct Puppet {
    node: NodeId,
    link: Option<LinkId>,
}

impl Scene {
    fn new() -> Scene {
        let mut world = World::new(1);
        let alice = world.person("alice");
        let slow = Access { up: 512 << 10, ..Access::default() };
        let bob = world.client_on(slow, engine::peer::strategy::Strategy::default());
        world.sign_up(bob, "bob");
        world.make_group(alice, "g", &[(bob, "bob")]);
        let (member, thief) = (world.puppet(), world.puppet());
        let tracker = log_in(&mut world, member, "mallory");
        log_in(&mut world, thief, "eve");
        world.ask(member, tracker, Request::Change(Change::JoinGroup { group: group("g") }));
        world.advance(Span::from_secs(1));
        world.ok(alice, Command::AcceptRequest { group: group("g"), user: user("mallory") });
        let ticket = world.ticket(member, tracker, &group("g"));
        world.share(alice, "g", SHARED, What::Shared.whole());
        world.share(bob, "g", WANTED, What::Wanted.whole());
        world.fetch(alice, "g", WANTED);
        let puppets = [member, thief].map(|node| Puppet { node, link: None });
        let mut scene = Scene { world, alice, puppets, ticket };
        scene.begin();
        scene
    }

    /// The member is received as one, fetches what alice shares, and says to have what she wants.
    fn begin(&mut self) {
        self.play(Deed::Connect(Who::Member));
        let Puppet { node, link: Some(link) } = self.puppets[Who::Member as usize] else {
            unreachable!("it connected just now")
        };
        self.world.befriend(node, link, self.ticket.clone());
        for (what, count) in [(What::Shared, 0), (What::Wanted, PIECES)] {
            let (as_, count) = (Small(what as u8), Small(u8::try_from(count).unwrap_or(0)));
            self.play(Deed::Say(Who::Member, Saying::Open { as_, what, right: true, count }));
        }
        self.world.advance(Span::from_millis(50));
    }

    fn play(&mut self, deed: Deed) {
        match deed {
            Deed::Connect(who) => {
                let node = self.puppets[who as usize].node;
                self.puppets[who as usize].link = Some(self.world.connect(node, self.alice));
            }
            Deed::Say(who, saying) => {
                let message = self.message(who, saying);
                let puppet = &self.puppets[who as usize];
                if let Some(link) = puppet.link {
                    self.world.say(puppet.node, link, message);
                }
            }
            Deed::Throw(who, of, piece) => {
                let puppet = &self.puppets[who as usize];
                if let Some(link) = puppet.link {
                    let piece = piece.number() % PIECES;
                    self.world.throw(puppet.node, link, of.file(), What::Wanted.whole(), piece);
                }
            }
            Deed::Pass(ms) => self.world.advance(Span::from_millis(ms.into())),
            Deed::Wish(wish) => self.wish(wish),
            Deed::Lie(lie) => {
                let message = self.lie(lie);
                self.world.tracker_says(self.alice, message);
            }
        }
    }

    fn message(&self, who: Who, saying: Saying) -> M {
        let queue = |small: Small| u16::try_from(small.number()).unwrap_or(u16::MAX);
        match saying {
            Saying::Show(showing) => M::Show(Box::new(self.showing(who, showing))),
            Saying::Seen { right } => M::Seen { group: group(if right { "g" } else { "h" }) },
            Saying::Expulsions { epoch, right } => {
                M::Expulsions(self.expulsions(epoch, if right { "g" } else { "h" }))
            }
            Saying::Open { as_, what, right, count } => {
                let hashes = what.hashes(right).root();
                let count = count.number();
                M::Open(Box::new(Open {
                    file: as_.file(),
                    group: group("g"),
                    name: file(what.name()),
                    hashes,
                    count,
                }))
            }
            Saying::Decline(of) => M::Decline { file: of.file() },
            Saying::Close(of) => M::Close { file: of.file() },
            Saying::Bits { of, from, bytes } => {
                M::Bits { file: of.file(), from: from.number(), bytes: List::new(bytes.to_vec()) }
            }
            Saying::Have { of, pieces } => {
                M::Have { file: of.file(), pieces: Few::new(&pieces.map(Small::number)) }
            }
            Saying::Whole(of) => M::Whole { file: of.file() },
            Saying::GetHashes { of, from } => M::GetHashes { file: of.file(), from: from.number() },
            Saying::Hashes { of, from, what, right } => {
                let list = SharedList::new(what.hashes(right).list().clone());
                M::Hashes { file: of.file(), from: from.number(), list }
            }
            Saying::Ask(of) => M::Ask { file: of.file() },
            Saying::Queued { of, queue: length } => M::Queued { file: of.file(), queue: queue(length) },
            Saying::Busy { of, queue: length } => M::Busy { file: of.file(), queue: queue(length) },
            Saying::Free { of, queue: length } => M::Free { file: of.file(), queue: queue(length) },
            Saying::Pass(of) => M::Pass { file: of.file() },
            Saying::Grant { of, queue: length, hint } => {
                M::Grant { file: of.file(), queue: queue(length), hint: hint.map(Small::number) }
            }
            Saying::Withdraw(of) => M::Withdraw { file: of.file() },
            Saying::Withdrawn(of) => M::Withdrawn { file: of.file() },
            Saying::Return(of) => M::Return { file: of.file() },
            Saying::Request { of, piece } => M::Request { file: of.file(), piece: piece.number() },
            Saying::Cancel { of, piece } => M::Cancel { file: of.file(), piece: piece.number() },
            Saying::Cancelled { of, piece } => M::Cancelled { file: of.file(), piece: piece.number() },
            Saying::Ping => M::Ping,
            Saying::Pong => M::Pong,
            Saying::Bye => M::Bye,
        }
    }

    fn showing(&self, who: Who, showing: Showing) -> Ticket {
        let mut ticket = self.ticket.clone();
        match showing {
            Showing::Whole => {}
            Showing::OfOurselves => ticket.body.device = self.world.device(self.puppets[who as usize].node),
            Showing::OfAnotherTracker => ticket.signer = DeviceId([9; 32]),
            Showing::OfAnotherGroup => ticket.body.group = group("h"),
            Showing::Expired => ticket.body.until = UnixTime(1),
        }
        ticket
    }

    /// A list that no tracker signed.
    fn expulsions(&self, epoch: Small, of: &str) -> Box<Signed<Expulsions>> {
        let mut removals = Removals::of_new_group(0);
        removals.add(&user("bob"), epoch.number().into());
        let body = Expulsions { group: group(of), removals };
        Box::new(Signed {
            body,
            signer: self.world.device(self.world.tracker()),
            signature: Signature([0; 64]),
        })
    }

    fn wish(&mut self, wish: Wish) {
        let (in_group, shared, wanted) = (group("g"), file(SHARED), file(WANTED));
        let command = match wish {
            Wish::Fetch(what) => download("g", what.name()),
            Wish::Stop => Command::StopDownload { group: in_group, name: wanted },
            Wish::Share => Command::UploadFile { group: in_group, name: shared, place: place(SHARED) },
            Wish::Unshare => Command::StopShare { group: in_group, name: shared },
            Wish::Unlist => Command::RemoveFile { group: in_group, name: shared },
            Wish::List => Command::ListFiles { group: in_group },
            Wish::Remove => Command::RemoveMember { group: in_group, user: user("mallory") },
            Wish::LogOut => Command::Logout { when: Leaving::Now },
            Wish::LogIn => {
                let password = self.world.password("alice's password");
                Command::Login { user: user("alice"), password }
            }
        };
        self.world.command(self.alice, command);
    }

    fn lie(&self, lie: Lie) -> TrackerMessage {
        let of_group = group("g");
        // The numbers of the requests of a client's first life begin here.
        let seq = |small: Small| (1 << 32) + u64::from(small.0);
        let answer = |to, answer| TrackerMessage::Answer { seq: seq(to), answer: Ok(Box::new(answer)) };
        match lie {
            Lie::Swarm { what, device, near } => {
                let node = self.puppets[usize::from(device) % 2].node;
                let there = if near { self.world.device(node) } else { DeviceId([device; 32]) };
                let address = Address(self.world.address(node));
                let peer = PeerInfo { device: there, user: user("mallory"), address, held: device.into() };
                let (name, peers) = (file(what.name()), List::new(vec![peer]));
                TrackerMessage::Swarm { group: of_group, name, peers, seeders: 1, leechers: u32::MAX }
            }
            Lie::NotListed(what) => TrackerMessage::NotListed { group: of_group, name: file(what.name()) },
            Lie::Removed => TrackerMessage::Notice(Notice::Removed { group: of_group }),
            Lie::Expelled(whom) => {
                let whom = ["alice", "bob", "mallory", "nobody"][usize::from(whom) % 4];
                TrackerMessage::Expelled { group: of_group, user: user(whom) }
            }
            Lie::Pong => TrackerMessage::Pong,
            Lie::Expulsions { epoch } => TrackerMessage::Expulsions(self.expulsions(epoch, "g")),
            Lie::Done(to) => answer(to, Answer::Done),
            Lie::Salt(to) => answer(to, Answer::Salt(Salt([9; 16]))),
            Lie::LoggedIn(to) => answer(to, Answer::LoggedIn { inbox: List::default() }),
            Lie::Files { of, more } => {
                answer(of, Answer::Files(Page { rows: List::new(vec![row(1)]), more }))
            }
            Lie::File { of, pieces } => {
                let (sharers, peers) = (List::default(), List::default());
                answer(of, Answer::File { row: Box::new(row(pieces.into())), sharers, peers })
            }
            Lie::Refusal { of, which } => {
                let refusal = match which % 4 {
                    0 => Refusal::NoTracker,
                    1 => Refusal::NotMember(of_group),
                    2 => Refusal::SessionEnded,
                    _ => Refusal::TooManyTries { wait_secs: u64::MAX },
                };
                TrackerMessage::Answer { seq: seq(of), answer: Err(Box::new(refusal)) }
            }
        }
    }
}

/// A file that nobody has, as it is listed.
fn row(count: u32) -> FileRow {
    let content = pieces(99, count).survey().0;
    FileRow { name: file(WANTED), content, seeders: u32::MAX, leechers: 0, available: true }
}

/// Somebody driven by hand makes an account and logs in; gives the link to the tracker.
pub(super) fn log_in(world: &mut World, puppet: NodeId, name: &str) -> LinkId {
    let link = world.connect(puppet, world.tracker());
    let listen = Address(world.address(puppet));
    world.say_to_tracker(puppet, link, ClientMessage::Hello { listen });
    let (salt, key) = (Salt([1; 16]), Key([3; 32]));
    world.ask(puppet, link, Request::CreateUser { user: user(name), salt, key: key.clone() });
    world.advance(Span::from_secs(1));
    world.ask(puppet, link, Request::Login { user: user(name), key });
    world.advance(Span::from_secs(1));
    link
}
