//! A tracker and peers on a network that takes no time, with disks that take none either: what is left is the machines' own work.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use engine::id::{Blake3, CommandId, DeviceId, FileId, JobId, Key, LinkId, Password, Slot};
use engine::name::UserName;
use engine::peer::Peer;
use engine::peer::command::{Command, Reply};
use engine::peer::io::{Action, Config, Input, Outcome, Role, Stamp, Survey, Work};
use engine::piece::{Content, Extent, Hashes};
use engine::seed::Seed;
use engine::ticket::{Signature, UnixTime};
use engine::time::{Span, Time};
use engine::tracker::io::{self as tracker_io, Stored};
use engine::tracker::{self, Tracker};
use engine::wire::tracker::{ClientMessage, TrackerMessage};
use sim::Whole;
use sim::prose::{file, group, pieces, place, user};

/// How long anything takes: too little to matter, but time goes on.
const STEP: Span = Span(1);

const TRACKER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Tracker,
    Peer(usize),
}

/// Something that a machine is about to take in.
#[derive(Debug)]
enum Due {
    Tracker(tracker_io::Input),
    Peer(usize, Input),
}

/// All machines, and the file that the first peer has.
#[derive(Debug)]
pub(crate) struct Network {
    now: Time,
    tracker: Tracker,
    peers: Vec<Peer>,
    due: VecDeque<Due>,
    /// Both ends of each link, by its number.
    links: Vec<(At, At)>,
    /// Where pieces go that a peer expects on a link.
    expected: HashMap<(usize, LinkId, FileId, u32), (Extent, Slot)>,
    whole: Whole,
    found: (Content, Hashes),
    answer: Option<Reply>,
    /// Inputs that were taken in.
    pub(crate) events: u64,
    /// Pieces that were written.
    pub(crate) written: u64,
}

impl Network {
    /// So many peers, all members of a group in which the first shares a file of so many pieces.
    pub(crate) fn new(peers: usize, piece_count: u32) -> Network {
        let whole = pieces(1, piece_count);
        let tracker_config = tracker::Config::alone(Seed([7; 32]), DeviceId([255; 32]));
        let mut network = Network {
            now: Time(1),
            tracker: Tracker::new(tracker_config, &Stored::default()).unwrap(),
            peers: (0..peers).map(peer).collect(),
            due: VecDeque::from([Due::Tracker(tracker_io::Input::Wake)]),
            links: Vec::new(),
            expected: HashMap::new(),
            whole,
            found: whole.survey(),
            answer: None,
            events: 0,
            written: 0,
        };
        let clock = UnixTime(1_800_000_000);
        network.due.push_back(Due::Tracker(tracker_io::Input::Clock(clock)));
        network.due.extend((0..peers).map(|at| Due::Peer(at, Input::Clock(clock))));
        for at in 0..peers {
            network.sign_up(at);
        }
        let (group, name, place) = (group("group"), file("file"), place("/file"));
        network.ok(0, Command::UploadFile { group, name, place });
        network
    }

    fn sign_up(&mut self, at: usize) {
        let password = Password(0);
        self.ok(at, Command::CreateUser { user: person(at), password });
        self.ok(at, Command::Login { user: person(at), password });
        if at == 0 {
            self.ok(0, Command::CreateGroup { group: group("group") });
        } else {
            self.ok(at, Command::JoinGroup { group: group("group") });
            self.ok(0, Command::AcceptRequest { group: group("group"), user: person(at) });
        }
    }

    /// What names the content of the file.
    pub(crate) fn hashes(&self) -> Blake3 {
        self.found.0.hashes
    }

    /// Lets a peer do what its person asks.
    pub(crate) fn ok(&mut self, at: usize, command: Command) -> Reply {
        self.due.push_back(Due::Peer(at, Input::Command { id: CommandId(self.events), command }));
        loop {
            self.step();
            if let Some(answer) = self.answer.take() {
                return answer;
            }
        }
    }

    /// Lets time pass until so many pieces were written, by all peers together.
    pub(crate) fn until_written(&mut self, pieces: u64) {
        while self.written < pieces {
            self.step();
        }
    }

    /// The next input is taken in. When there is none, time passes until somebody wakes up.
    fn step(&mut self) {
        self.now += STEP;
        let (wakes, who) = self.first_to_wake();
        if wakes > self.now
            && let Some(due) = self.due.pop_front()
        {
            return self.take_in(due);
        }
        self.now = self.now.max(wakes);
        self.take_in(match who {
            At::Tracker => Due::Tracker(tracker_io::Input::Wake),
            At::Peer(at) => Due::Peer(at, Input::Wake),
        });
    }

    /// Who wakes up first, and when.
    fn first_to_wake(&self) -> (Time, At) {
        let peers = self.peers.iter().enumerate().map(|(at, peer)| (peer.next_wakeup(), At::Peer(at)));
        let all = peers.chain([(self.tracker.next_wakeup(), At::Tracker)]);
        let set = all.filter_map(|(time, who)| Some((time?, who)));
        set.min_by_key(|(time, _)| *time).expect("somebody always has something to look after")
    }

    fn take_in(&mut self, due: Due) {
        self.events += 1;
        match due {
            Due::Peer(at, input) => {
                let mut actions = Vec::new();
                self.peers[at].handle(self.now, input, &mut actions);
                actions.into_iter().for_each(|action| self.act(at, action));
            }
            Due::Tracker(input) => {
                let mut actions = Vec::new();
                self.tracker.handle(self.now, input, &mut actions);
                actions.into_iter().for_each(|action| self.tracker_acts(action));
            }
        }
    }

    /// Lets the tracker take in a message of the first peer, whose answer goes nowhere; gives how many peers it names.
    pub(crate) fn tell_tracker(&mut self, message: ClientMessage) -> usize {
        let mut actions = Vec::new();
        let link = self.links.iter().position(|ends| *ends == (At::Peer(0), At::Tracker)).unwrap();
        let link = LinkId(link as u64);
        self.tracker.handle(self.now, tracker_io::Input::Message { link, message }, &mut actions);
        let messages = u32::try_from(actions.len()).unwrap();
        self.tracker.handle(self.now, tracker_io::Input::Sent { link, messages }, &mut Vec::new());
        match &actions[..] {
            [tracker_io::Action::Send { message: TrackerMessage::Swarm { peers, .. }, .. }] => peers.len(),
            other => panic!("no answer: {other:?}"),
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        let input = match action {
            Action::Dial { dial, to, role } => {
                let other = if role == Role::Tracker { At::Tracker } else { At::Peer(number(to)) };
                let link = LinkId(self.links.len() as u64);
                self.links.push((At::Peer(at), other));
                self.answer_dial(at, other, link);
                let device = if other == At::Tracker { DeviceId([255; 32]) } else { device(number(to)) };
                Input::LinkUp { link, dial: Some(dial), device, from: to }
            }
            Action::Send { link, message } => {
                self.due.push_back(Due::Peer(self.other(at, link), Input::Message { link, message }));
                Input::Sent { link, messages: 1 }
            }
            Action::Spread { links, message } => {
                for link in links {
                    self.act(at, Action::Send { link, message: message.clone() });
                }
                return;
            }
            Action::SendTracker { link, message } => {
                self.due.push_back(Due::Tracker(tracker_io::Input::Message { link, message }));
                Input::Sent { link, messages: 1 }
            }
            Action::Expect { link, extent, slot } => {
                self.expected.insert((at, link, extent.file, extent.piece), (extent, slot));
                return;
            }
            Action::Discard { link, extent } | Action::Unexpect { link, extent } => {
                self.expected.remove(&(at, link, extent.file, extent.piece));
                return;
            }
            Action::Close { link, .. } => Input::LinkDown { link },
            Action::Start { job, work } => Input::Done { job, outcome: self.work(at, &work) },
            Action::Answer { reply, .. } => {
                self.answer = Some(*reply.unwrap());
                return;
            }
            Action::Stop { .. } | Action::Tell(_) | Action::Exit => return,
        };
        self.due.push_back(Due::Peer(at, input));
    }

    fn answer_dial(&mut self, at: usize, other: At, link: LinkId) {
        let from = address(at);
        self.due.push_back(match other {
            At::Tracker => {
                Due::Tracker(tracker_io::Input::LinkUp { link, device: device(at), from: from.ip() })
            }
            At::Peer(other) => Due::Peer(other, Input::LinkUp { link, dial: None, device: device(at), from }),
        });
    }

    fn other(&self, at: usize, link: LinkId) -> usize {
        match self.links[usize::try_from(link.0).unwrap()] {
            (At::Peer(one), At::Peer(other)) => one + other - at,
            ends => unreachable!("{ends:?} are no peers"),
        }
    }

    fn work(&mut self, at: usize, work: &Work) -> Outcome {
        match work {
            Work::DeriveKey { .. } => Outcome::Key(Key([1; 32])),
            Work::Survey { .. } => {
                let (content, hashes) = self.found.clone();
                let stamp = Stamp::default();
                Outcome::Surveyed(Box::new(Survey { content, hashes, stamp }))
            }
            Work::Recall { .. } => Outcome::Recalled(Vec::new()),
            Work::OpenPart { .. } => Outcome::PartOpen(Vec::new()),
            Work::Verify { .. } => Outcome::Verified(true),
            Work::Hash { extent, .. } => Outcome::Hashed(self.whole.piece(extent.piece).digest()),
            Work::Finish { .. } => Outcome::Finished(Stamp::default()),
            Work::Send { link, extent, theirs } => {
                let (link, other) = (*link, self.other(at, *link));
                let (extent, slot) = self.expected[&(other, link, *theirs, extent.piece)];
                self.due.push_back(Due::Peer(other, Input::Block { link, extent, slot }));
                Outcome::Sent
            }
            Work::Write { .. } => {
                self.written += 1;
                Outcome::Done
            }
            Work::Remember(_)
            | Work::Forget { .. }
            | Work::OpenShare { .. }
            | Work::Sync { .. }
            | Work::CloseFile { .. } => Outcome::Done,
        }
    }

    fn tracker_acts(&mut self, action: tracker_io::Action) {
        use tracker_io::{Action as A, Input as I, Outcome as O, Work as W};
        let done = |job: JobId, outcome| Due::Tracker(I::Done { job, outcome });
        match action {
            A::Send { link, message } => {
                let (At::Peer(at), _) = self.links[usize::try_from(link.0).unwrap()] else {
                    unreachable!("peers dial trackers")
                };
                self.due.push_back(Due::Peer(at, Input::Tracker { link, message }));
                self.due.push_back(Due::Tracker(I::Sent { link, messages: 1 }));
            }
            A::Start { job, work: W::Persist(_) } => self.due.push_back(done(job, O::Durable)),
            A::Start { job, work: W::Sign(statements) } => {
                let signatures = vec![Signature([7; 64]); statements.len()];
                self.due.push_back(done(job, O::Signed(DeviceId([255; 32]), signatures)));
            }
            A::Reach { .. } | A::Speak { .. } | A::Say(_) | A::Close { .. } => {}
        }
    }
}

fn peer(at: usize) -> Peer {
    let config = Config {
        device: device(at),
        listen: address(at),
        trackers: vec![TRACKER],
        signers: Vec::new(),
        strategy: engine::peer::strategy::Strategy::default(),
        neighbours: engine::limits::NEIGHBOURS_WANTED,
        first_seq: 1,
    };
    Peer::new(config, Seed([u8::try_from(at).unwrap(); 32]))
}

fn person(at: usize) -> UserName {
    user(&format!("user{at}"))
}

fn device(at: usize) -> DeviceId {
    DeviceId([u8::try_from(at).unwrap(); 32])
}

/// The first port of peers.
const PORT: u16 = 1_000;

fn address(at: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT + u16::try_from(at).unwrap())
}

/// The number of the peer at an address.
fn number(address: SocketAddr) -> usize {
    usize::from(address.port() - PORT)
}
