//! A tracker among clients that say whatever they like, in whatever order, while it dies and comes back, and its disk fills up.
//!
//! The world of the simulator looks on: the machine's invariants, that nothing acknowledged is lost, that the registry is after a restart
//! what it was before. In the end somebody new must be served.

use arbitrary::{Arbitrary, Unstructured};
use engine::id::{Blake3, Key, LinkId, Salt};
use engine::name::{FileName, GroupName, UserName};
use engine::piece::Content;
use engine::time::Span;
use engine::wire::list::List;
use engine::wire::tracker::{Address, Announce, Change, ClientMessage, Request, Standing};
use sim::prose::{file, group, pieces, user};
use sim::{NodeId, World};

/// Most deeds that are looked at: more find nothing that fewer do not, and take longer.
const DEEDS_MAX: usize = 64;

/// Clients driven by hand.
const CLIENTS: usize = 3;

/// Something that happens.
#[derive(Arbitrary, Debug)]
enum Deed {
    Connect(u8),
    Say(u8, Saying),
    Pass(u16),
    Disk { full: bool },
    Crash,
}

/// What a client can say.
#[derive(Arbitrary, Debug)]
enum Saying {
    Hello,
    Request { seq: u8, wanted: Wanted },
    Announce(Vec<Announced>),
    Ping,
    Bye,
}

/// One of few names.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Name(u8);

impl Name {
    fn text(self) -> String {
        format!("n{}", self.0 % 4)
    }

    fn user(self) -> UserName {
        user(&self.text())
    }

    fn group(self) -> GroupName {
        group(&self.text())
    }

    fn file(self) -> FileName {
        file(&self.text())
    }
}

/// What a client can ask for.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Wanted {
    CreateUser(Name, u8),
    GetSalt(Name),
    Login(Name, u8),
    Logout,
    CreateGroup(Name),
    JoinGroup(Name),
    Accept(Name, Name),
    Reject(Name, Name),
    Leave(Name),
    MakeAdmin(Name, Name),
    RemoveMember(Name, Name),
    AddFile(Name, Name, u8),
    RemoveFile(Name, Name),
    Groups(Option<Name>),
    Members(Name, Option<Name>),
    JoinRequests(Name, Option<Name>),
    Files(Name, Option<Name>),
    File(Name, Name),
    Ticket(Name, u64),
}

/// What a client can say of a file.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Announced {
    group: Name,
    name: Name,
    content: u8,
    held: u32,
    reachable: u32,
    gone: bool,
    want_peers: bool,
}

/// Plays what `data` says.
pub fn tracker(data: &[u8]) {
    let deeds = Vec::<Deed>::arbitrary_take_rest(Unstructured::new(data));
    let Ok(mut deeds) = deeds else { return };
    deeds.truncate(DEEDS_MAX);
    let mut scene = Scene::new();
    deeds.into_iter().for_each(|deed| scene.play(deed));
    scene.world.fill_tracker_disk(false);
    scene.world.advance(Span::from_secs(30));
    let newcomer = scene.world.person("somebody new");
    scene.world.make_group(newcomer, "a new group", &[]);
}

struct Scene {
    world: World,
    clients: [(NodeId, Option<LinkId>); CLIENTS],
}

impl Scene {
    fn new() -> Scene {
        let mut world = World::new(1);
        let clients = [(); CLIENTS].map(|()| (world.puppet(), None));
        Scene { world, clients }
    }

    fn play(&mut self, deed: Deed) {
        match deed {
            Deed::Connect(who) => {
                let (node, link) = &mut self.clients[usize::from(who) % CLIENTS];
                *link = Some(self.world.connect(*node, self.world.tracker()));
            }
            Deed::Say(who, saying) => {
                let (node, link) = self.clients[usize::from(who) % CLIENTS];
                let listen = Address(self.world.address(node));
                if let Some(link) = link {
                    self.world.say_to_tracker(node, link, message(saying, listen));
                }
            }
            Deed::Pass(ms) => self.world.advance(Span::from_millis(ms.into())),
            Deed::Disk { full } => self.world.fill_tracker_disk(full),
            Deed::Crash => {
                self.world.kill_tracker();
                self.world.advance(Span::from_millis(100));
                self.world.restart_tracker();
            }
        }
    }
}

fn message(saying: Saying, listen: Address) -> ClientMessage {
    match saying {
        Saying::Hello => ClientMessage::Hello { listen },
        Saying::Request { seq, wanted } => {
            ClientMessage::Request { seq: seq.into(), request: Box::new(request(wanted)) }
        }
        Saying::Announce(items) => {
            ClientMessage::Announce(List::new(items.iter().take(8).map(announce).collect()))
        }
        Saying::Ping => ClientMessage::Ping,
        Saying::Bye => ClientMessage::Bye,
    }
}

fn content(number: u8) -> Content {
    pieces(u64::from(number % 4), u32::from(number % 16)).survey().0
}

fn request(wanted: Wanted) -> Request {
    let key = |number: u8| Key([number % 2; 32]);
    match wanted {
        Wanted::CreateUser(name, number) => {
            Request::CreateUser { user: name.user(), salt: Salt([number; 16]), key: key(number) }
        }
        Wanted::GetSalt(name) => Request::GetSalt { user: name.user() },
        Wanted::Login(name, number) => Request::Login { user: name.user(), key: key(number) },
        Wanted::Logout => Request::Logout,
        Wanted::Groups(after) => Request::Groups { after: after.map(Name::group) },
        Wanted::Members(of, after) => Request::Members { group: of.group(), after: after.map(Name::user) },
        Wanted::JoinRequests(of, after) => {
            Request::JoinRequests { group: of.group(), after: after.map(Name::user) }
        }
        Wanted::Files(of, after) => Request::Files { group: of.group(), after: after.map(Name::file) },
        Wanted::File(of, name) => Request::File { group: of.group(), name: name.file() },
        Wanted::Ticket(of, known) => Request::Ticket { group: of.group(), known },
        change => Request::Change(change_of(change)),
    }
}

fn change_of(wanted: Wanted) -> Change {
    match wanted {
        Wanted::CreateGroup(of) => Change::CreateGroup { group: of.group() },
        Wanted::JoinGroup(of) => Change::JoinGroup { group: of.group() },
        Wanted::Accept(of, name) => Change::Accept { group: of.group(), user: name.user() },
        Wanted::Reject(of, name) => Change::Reject { group: of.group(), user: name.user() },
        Wanted::Leave(of) => Change::Leave { group: of.group() },
        Wanted::MakeAdmin(of, name) => Change::MakeAdmin { group: of.group(), user: name.user() },
        Wanted::RemoveMember(of, name) => Change::RemoveMember { group: of.group(), user: name.user() },
        Wanted::AddFile(of, name, number) => {
            Change::AddFile { group: of.group(), name: name.file(), content: content(number) }
        }
        Wanted::RemoveFile(of, name) => Change::RemoveFile { group: of.group(), name: name.file() },
        query => unreachable!("no change: {query:?}"),
    }
}

fn announce(item: &Announced) -> Announce {
    let Announced { group, name, content: number, held, reachable, gone, want_peers } = *item;
    let hashes = if number == u8::MAX { Blake3([9; 32]) } else { content(number).hashes };
    let state = if gone { Standing::Gone } else { Standing::Active { held, reachable } };
    Announce { group: group.group(), name: name.file(), hashes, state, want_peers }
}
