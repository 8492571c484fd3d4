//! What tests and scenarios say: people and what they do, faults, and how long to wait.

use std::hash::Hasher as _;
use std::net::SocketAddr;

use engine::id::{CommandId, FileId, LinkId, Password};
use engine::name::{FileName, GroupName, Place, UserName};
use engine::peer::command::{Command, DownloadRow, DownloadState, News, Reply};
use engine::peer::strategy::Strategy;
use engine::piece::{PIECE_LEN, Size};
use engine::ticket::Ticket;
use engine::time::{Span, Time};
use engine::tracker::Tracker;
use engine::tracker::registry::Registry;
use engine::violation::Violation;
use engine::wire::peer::PeerMessage;
use engine::wire::tracker::{Answer as Answered, ClientMessage, Request, TrackerMessage};

use crate::content::{ContentId, Whole};
use crate::crowd::password_of;
use crate::network::{Access, NodeId, Packet};
use crate::node::{Answer, Client, Heard, Kind, Puppet};
use crate::scenario::Behaviour;
use crate::world::{Costs, TRACKER, World};

/// How long a test waits for anything, unless it says otherwise.
const PATIENCE: Span = Span::from_secs(600);

/// A user of that name.
///
/// # Panics
/// If it is no name.
#[must_use]
pub fn user(name: &str) -> UserName {
    UserName::new(name).expect("a name")
}

/// A group of that name.
///
/// # Panics
/// If it is no name.
#[must_use]
pub fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("a name")
}

/// A file of that name.
///
/// # Panics
/// If it is no name.
#[must_use]
pub fn file(name: &str) -> FileName {
    FileName::new(name).expect("a name")
}

/// A place on a client's disk.
#[must_use]
pub fn place(path: &str) -> Place {
    Place(path.as_bytes().into())
}

/// A file of so many whole pieces; the number says what is in it.
///
/// # Panics
/// If no file has so many pieces.
#[must_use]
pub fn pieces(content: u64, pieces: u32) -> Whole {
    bytes(content, u64::from(pieces) * u64::from(PIECE_LEN))
}

/// A file of so many bytes; the number says what is in it.
///
/// # Panics
/// If no file is so long.
#[must_use]
pub fn bytes(content: u64, len: u64) -> Whole {
    Whole { content: ContentId(content), size: Size::new(len).expect("a length of a file") }
}

impl World {
    /// The time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// How long each kind of work takes from now on.
    pub const fn set_costs(&mut self, costs: Costs) {
        self.costs = costs;
    }

    /// How many neighbours a download seeks, of clients that start from now on.
    pub const fn set_neighbours(&mut self, neighbours: usize) {
        self.neighbours = neighbours;
    }

    /// Whether machines are checked after every step: on at first, and slow.
    pub const fn set_checks(&mut self, checks: bool) {
        self.checks = checks;
    }

    /// A digest of everything that happened and of every machine's actions so far.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// A client on an ordinary line.
    pub fn client(&mut self) -> NodeId {
        self.client_on(Access::default(), Strategy::default())
    }

    /// A client on a line of its own kind.
    pub fn client_on(&mut self, access: Access, strategy: Strategy) -> NodeId {
        self.add_client(access, strategy)
    }

    /// A client whose person has made the account `name` and logged in.
    pub fn person(&mut self, name: &str) -> NodeId {
        let client = self.client();
        self.sign_up(client, name);
        client
    }

    /// Makes an account and logs in.
    pub fn sign_up(&mut self, client: NodeId, name: &str) {
        let password = self.password(&password_of(name));
        self.ok(client, Command::CreateUser { user: user(name), password });
        self.login(client, name);
    }

    /// Logs in with the password that [`World::sign_up`] chose.
    pub fn login(&mut self, client: NodeId, name: &str) -> Reply {
        let password = self.password(&password_of(name));
        self.ok(client, Command::Login { user: user(name), password })
    }

    /// A password, as the shell would hold it.
    pub fn password(&mut self, text: &str) -> Password {
        self.passwords.push(text.to_owned());
        Password(u32::try_from(self.passwords.len() - 1).unwrap_or(u32::MAX))
    }

    /// A group of `owner` with these members, whose users have the names given.
    pub fn make_group(&mut self, owner: NodeId, name: &str, members: &[(NodeId, &str)]) {
        self.ok(owner, Command::CreateGroup { group: group(name) });
        for (client, member) in members {
            self.ok(*client, Command::JoinGroup { group: group(name) });
            self.ok(owner, Command::AcceptRequest { group: group(name), user: user(member) });
        }
    }

    /// Puts a file on a client's disk and shares it under the name of its place.
    pub fn share(&mut self, client: NodeId, in_group: &str, name: &str, whole: Whole) -> Reply {
        self.put(client, name, whole);
        self.ok(client, Command::UploadFile { group: group(in_group), name: file(name), place: place(name) })
    }

    /// Begins a download, to a place of the same name.
    pub fn fetch(&mut self, client: NodeId, in_group: &str, name: &str) -> Reply {
        self.ok(client, download(in_group, name))
    }

    /// Puts a file on a client's disk, in place of what was.
    pub fn put(&mut self, client: NodeId, path: &str, whole: Whole) {
        self.client_mut(client).disk.put(place(path), whole);
    }

    /// Takes a file off a client's disk.
    pub fn delete(&mut self, client: NodeId, path: &str) {
        self.client_mut(client).disk.delete(&place(path));
    }

    /// Fills a client's disk, or makes room again.
    pub fn fill_disk(&mut self, client: NodeId, full: bool) {
        self.client_mut(client).disk.full = full;
    }

    /// Lets a client's syncs find that there is no room after all, or succeed again.
    pub fn fail_syncs(&mut self, client: NodeId, fail: bool) {
        self.client_mut(client).disk.sync_fails = fail;
    }

    /// Fills the tracker's disk, or makes room again.
    pub fn fill_tracker_disk(&mut self, full: bool) {
        if let Kind::Tracker(tracker) = &mut self.nodes[TRACKER.0].kind {
            tracker.disk_full = full;
        }
    }

    /// The complete file at a place.
    #[must_use]
    pub fn file_at(&self, client: NodeId, path: &str) -> Option<Whole> {
        self.client_ref(client).disk.file(&place(path))
    }

    /// How many pieces the partial file at a place has.
    #[must_use]
    pub fn part_at(&self, client: NodeId, path: &str) -> Option<usize> {
        self.client_ref(client).disk.part_len(&place(path))
    }

    /// A person asks for something; the answer is not waited for.
    pub fn command(&mut self, client: NodeId, command: Command) -> CommandId {
        let node = self.client_mut(client);
        node.last_command += 1;
        let id = CommandId(node.last_command);
        self.narrate(client, || format!("is asked for {command:?}"));
        self.give_peer(client, engine::peer::io::Input::Command { id, command });
        id
    }

    /// The answer to a command, if it was given.
    #[must_use]
    pub fn answer(&self, client: NodeId, id: CommandId) -> Option<&Answer> {
        self.client_ref(client).answers.get(&id)
    }

    /// The answer to a command, if it was given; it is not kept.
    pub fn take_answer(&mut self, client: NodeId, id: CommandId) -> Option<Answer> {
        self.client_mut(client).answers.remove(&id)
    }

    /// A person asks for something and waits for the answer.
    pub fn run(&mut self, client: NodeId, command: Command) -> Answer {
        let what = format!("an answer to {command:?}");
        let id = self.command(client, command);
        self.until(&what, |world| world.answer(client, id).is_some());
        self.take_answer(client, id).expect("it is there")
    }

    /// The same, for what must be granted.
    ///
    /// # Panics
    /// If it is refused.
    pub fn ok(&mut self, client: NodeId, command: Command) -> Reply {
        let what = format!("{command:?}");
        match self.run(client, command) {
            Ok(reply) => reply,
            Err(refusal) => self.fail(&format!("{what} is refused: {refusal:?}")),
        }
    }

    /// The same, for what must be refused.
    ///
    /// # Panics
    /// If it is granted.
    pub fn refused(&mut self, client: NodeId, command: Command) -> engine::refusal::Refusal {
        let what = format!("{command:?}");
        match self.run(client, command) {
            Err(refusal) => refusal,
            Ok(reply) => self.fail(&format!("{what} is granted: {reply:?}")),
        }
    }

    /// Lets time pass until `condition` holds.
    pub fn until(&mut self, what: &str, condition: impl FnMut(&World) -> bool) {
        self.within(PATIENCE, what, condition);
    }

    /// Lets time pass until `condition` holds, for no longer than `patience`.
    ///
    /// # Panics
    /// If it does not hold by then.
    pub fn within(&mut self, patience: Span, what: &str, mut condition: impl FnMut(&World) -> bool) {
        let deadline = self.now + patience;
        while !condition(self) {
            if !self.step(deadline) {
                self.fail(&format!("{what}: not within {} s", patience.secs_rounded_up()));
            }
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, span: Span) {
        let until = self.now + span;
        while self.step(until) {}
        self.now = until;
    }

    #[expect(clippy::panic, reason = "a simulator fails by panicking; the seed is the report")]
    fn fail(&self, why: &str) -> ! {
        let mut report = format!("seed {}: at {}: {why}", self.name, self.now);
        for (id, node) in self.nodes.iter().enumerate() {
            if let Kind::Client(client) = &node.kind {
                let news: Vec<_> =
                    client.news.iter().rev().take(3).map(|(at, news)| format!("{at} {news:?}")).collect();
                report += &format!("\n  node {id}: up {}, latest news {news:?}", client.machine.is_some());
            }
        }
        panic!("{report}")
    }

    /// Ends a client's process at once, as `kill -9` does.
    pub fn kill(&mut self, client: NodeId) {
        self.end_life(client);
    }

    /// Starts a client again, with the disk that it had.
    pub fn restart(&mut self, client: NodeId) {
        self.start(client);
    }

    /// Ends the tracker's process at once.
    pub fn kill_tracker(&mut self) {
        self.end_life(TRACKER);
    }

    /// Starts the tracker again, with the store that it had.
    pub fn restart_tracker(&mut self) {
        self.start(TRACKER);
    }

    /// Lets a client send spoilt pieces, or good ones again.
    pub fn corrupt(&mut self, client: NodeId, corrupt: bool) {
        self.client_mut(client).behaviour = if corrupt { Behaviour::Corrupt } else { Behaviour::Honest };
    }

    /// Lets a client keep its links and say nothing more of any file.
    pub fn silence(&mut self, client: NodeId) {
        self.client_mut(client).behaviour = Behaviour::Silent;
    }

    /// Lets a client grant slots and send nothing.
    pub fn mute(&mut self, client: NodeId) {
        self.client_mut(client).behaviour = Behaviour::Mute;
    }

    /// Waits until the tracker has looked through its log, and takes in changes.
    pub fn until_tracker_leads(&mut self) {
        self.until("the tracker leads", |world| world.tracker_machine().is_some_and(Tracker::is_settled));
    }

    /// The tracker's machine, if the tracker is up.
    pub(crate) fn tracker_machine(&self) -> Option<&Tracker> {
        let Kind::Tracker(tracker) = &self.nodes[TRACKER.0].kind else { return None };
        tracker.machine.as_deref()
    }

    /// The tracker's registry, if the tracker is up.
    #[must_use]
    pub fn registry(&self) -> Option<&Registry> {
        self.tracker_machine().map(Tracker::registry)
    }

    /// What the tracker's console would show, if the tracker is up.
    #[must_use]
    pub fn tracker_status(&self) -> Option<engine::tracker::Status> {
        self.tracker_machine().map(|machine| machine.status(self.now))
    }

    /// What a client was told without asking, with the time.
    #[must_use]
    pub fn news(&self, client: NodeId) -> &[(Time, News)] {
        &self.client_ref(client).news
    }

    /// Whether a client was told something like it.
    #[must_use]
    pub fn was_told(&self, client: NodeId, like: impl Fn(&News) -> bool) -> bool {
        self.news(client).iter().any(|(_, news)| like(news))
    }

    /// Whether a client ended by itself.
    #[must_use]
    pub fn has_exited(&self, client: NodeId) -> bool {
        self.client_ref(client).exited
    }

    /// When a client reported a download as complete.
    #[must_use]
    pub fn completed(&self, client: NodeId, name: &str) -> Option<Time> {
        let name = file(name);
        self.news(client).iter().find_map(|(at, news)| match news {
            News::DownloadComplete { name: done, .. } if *done == name => Some(*at),
            _ => None,
        })
    }

    /// Waits until a client has the file, which is then whole at its place.
    pub fn until_complete(&mut self, client: NodeId, name: &str) {
        self.until(&format!("{name} complete at {client:?}"), |world| {
            world.completed(client, name).is_some()
        });
        assert!(self.file_at(client, name).is_some(), "what is reported complete is there");
    }

    /// How a download stands.
    pub fn download(&mut self, client: NodeId, name: &str) -> Option<DownloadRow> {
        let name = file(name);
        match self.ok(client, Command::ShowDownloads) {
            Reply::Downloads(rows) => rows.into_iter().find(|row| row.name == name),
            _ => None,
        }
    }

    /// Waits until a download has at least so many pieces.
    pub fn until_held(&mut self, client: NodeId, name: &str, held: usize) {
        self.until(&format!("{held} pieces of {name} at {client:?}"), |world| {
            world.part_at(client, name).is_some_and(|len| len >= held)
                || world.file_at(client, name).is_some()
        });
    }

    /// How a download stands, in one word.
    pub fn download_state(&mut self, client: NodeId, name: &str) -> Option<DownloadState> {
        self.download(client, name).map(|row| row.state)
    }

    /// Pieces that `to` took in from `from`, over all its lives.
    #[must_use]
    pub fn given(&self, from: NodeId, to: NodeId) -> u64 {
        self.client_ref(to).received.get(&from).copied().unwrap_or(0).into()
    }

    /// Pieces that a client took in from anybody.
    #[must_use]
    pub fn received(&self, client: NodeId) -> u64 {
        self.client_ref(client).received.values().copied().map(u64::from).sum()
    }

    /// Pieces that arrived anywhere.
    #[must_use]
    pub const fn pieces_delivered(&self) -> u64 {
        self.pieces_delivered
    }

    /// Things that happened.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Who blamed whom for what, in order.
    #[must_use]
    pub fn blames(&self) -> &[(NodeId, NodeId, Violation)] {
        &self.blames
    }

    /// Somebody without a machine, driven by hand.
    pub fn puppet(&mut self) -> NodeId {
        self.add_puppet()
    }

    /// The address of a node.
    #[must_use]
    pub fn address(&self, node: NodeId) -> SocketAddr {
        self.nodes[node.0].address
    }

    /// The device of a node.
    #[must_use]
    pub fn device(&self, node: NodeId) -> engine::id::DeviceId {
        self.nodes[node.0].device
    }

    /// The tracker's node.
    #[must_use]
    pub const fn tracker(&self) -> NodeId {
        TRACKER
    }

    /// A puppet connects to a node; the connection stands when this returns.
    pub fn connect(&mut self, puppet: NodeId, to: NodeId) -> LinkId {
        let before = self.heard(puppet).len();
        let address = self.address(to);
        self.dial(puppet, None, address);
        let up = |world: &World| {
            let mut news = world.heard(puppet)[before..].iter();
            news.find(|(_, heard)| *heard == Heard::Up(to)).map(|(link, _)| *link)
        };
        self.until("a puppet's connection", |world| up(world).is_some());
        up(self).expect("it is there")
    }

    /// A puppet says something to a peer.
    pub fn say(&mut self, puppet: NodeId, link: LinkId, message: PeerMessage) {
        self.send_packet(puppet, link, Packet::Peer(message));
    }

    /// A puppet says something to the tracker.
    pub fn say_to_tracker(&mut self, puppet: NodeId, link: LinkId, message: ClientMessage) {
        self.send_packet(puppet, link, Packet::Client(message));
    }

    /// The tracker says something to a client that its machine did not say: it has lost its mind, or was broken into.
    pub fn tracker_says(&mut self, to: NodeId, message: TrackerMessage) {
        let link = self.nodes[to.0].links.iter().copied().find(|link| {
            self.links.get(*link).is_some_and(|there| there.ends[1].node == TRACKER && !there.ending)
        });
        if let Some(link) = link {
            self.put_on_wire(TRACKER, link, Packet::Tracker(message));
        }
    }

    /// A puppet asks the tracker for something; returns the number of the request.
    pub fn ask(&mut self, puppet: NodeId, link: LinkId, request: Request) -> u64 {
        let node = self.puppet_mut(puppet);
        node.seq += 1;
        let seq = node.seq;
        self.say_to_tracker(puppet, link, ClientMessage::Request { seq, request: Box::new(request) });
        seq
    }

    /// A puppet asks its tracker for a ticket of a group, and gets it.
    ///
    /// # Panics
    /// If it does not get one: it is no member, or not logged in.
    pub fn ticket(&mut self, puppet: NodeId, tracker: LinkId, group: &GroupName) -> Ticket {
        let asked = self.ask(puppet, tracker, Request::Ticket { group: group.clone(), known: 0 });
        let came = |world: &World| {
            world.said(puppet, tracker).find_map(|packet| match packet {
                Packet::Tracker(TrackerMessage::Answer { seq, answer: Ok(answer) }) if *seq == asked => {
                    match &**answer {
                        Answered::Ticket { ticket, .. } => Some((**ticket).clone()),
                        _ => None,
                    }
                }
                _ => None,
            })
        };
        self.until("a ticket", |world| came(world).is_some());
        came(self).expect("it is there")
    }

    /// A puppet shows its ticket to a peer, which shows its own; both have seen that the other is a member.
    pub fn befriend(&mut self, puppet: NodeId, link: LinkId, ticket: Ticket) {
        let group = ticket.body.group.clone();
        self.say(puppet, link, PeerMessage::Show(Box::new(ticket)));
        self.until("the other's ticket", |world| {
            let heard = |like: fn(&PeerMessage) -> bool| {
                world
                    .said(puppet, link)
                    .any(|packet| matches!(packet, Packet::Peer(message) if like(message)))
            };
            heard(|message| matches!(message, PeerMessage::Show(_)))
                && heard(|message| matches!(message, PeerMessage::Seen { .. }))
        });
        self.say(puppet, link, PeerMessage::Seen { group });
    }

    /// A puppet sends a piece of a file, in the recipient's number.
    pub fn throw(&mut self, puppet: NodeId, link: LinkId, theirs: FileId, whole: Whole, piece: u32) {
        let Some(connection) = self.links.get(link) else { return };
        let to = 1 - connection.side(puppet);
        let at = self.now + connection.latency;
        let bytes = whole.piece(piece);
        self.future.plan(at, crate::world::Event::Piece { link, to, file: theirs, bytes });
    }

    /// Everything that happened to a puppet.
    #[must_use]
    pub fn heard(&self, puppet: NodeId) -> &[(LinkId, Heard)] {
        match &self.nodes[puppet.0].kind {
            Kind::Puppet(puppet) => &puppet.heard,
            Kind::Client(_) | Kind::Tracker(_) => &[],
        }
    }

    /// Everything that peers and trackers said to a puppet on a link.
    pub fn said(&self, puppet: NodeId, link: LinkId) -> impl Iterator<Item = &Packet> {
        self.heard(puppet).iter().filter(move |(on, _)| *on == link).filter_map(|(_, heard)| match heard {
            Heard::Said(packet) => Some(packet),
            _ => None,
        })
    }

    fn client_ref(&self, id: NodeId) -> &Client {
        let Kind::Client(client) = &self.nodes[id.0].kind else { unreachable!("{id:?} is a client") };
        client
    }

    pub(crate) fn client_mut(&mut self, id: NodeId) -> &mut Client {
        let Kind::Client(client) = &mut self.nodes[id.0].kind else { unreachable!("{id:?} is a client") };
        client
    }

    fn puppet_mut(&mut self, id: NodeId) -> &mut Puppet {
        let Kind::Puppet(puppet) = &mut self.nodes[id.0].kind else { unreachable!("{id:?} is a puppet") };
        puppet
    }
}

/// The command that fetches a file to a place of its name.
#[must_use]
pub fn download(in_group: &str, name: &str) -> Command {
    Command::DownloadFile { group: group(in_group), name: file(name), place: place(name), named: false }
}
