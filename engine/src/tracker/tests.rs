//! The tracker machine, driven by hand.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::cluster::Listed;
use super::io::{Action, Input, Outcome, Stored, Work};
use super::{Config, Tracker, login};
use crate::id::{DeviceId, JobId, Key, LinkId, Salt};
use crate::limits::{IDLE, REQUESTS_PER_LINK};
use crate::name::{GroupName, UserName};
use crate::refusal::Refusal;
use crate::seed::Seed;
use crate::ticket::{Signature, UnixTime};
use crate::time::{Span, Time};
use crate::violation::Violation;
use crate::wire::tracker::{Address, Answer, Change, ClientMessage, Request, TrackerMessage};

/// A tracker with a store that answers when told to.
struct Bench {
    tracker: Tracker,
    now: Time,
    store: Stored,
    writing: Option<(JobId, Work)>,
    said: Vec<(LinkId, TrackerMessage)>,
    closed: Vec<(LinkId, Option<Violation>)>,
    seq: u64,
    checks: bool,
}

impl Bench {
    fn new() -> Bench {
        Bench::on(Stored::default())
    }

    fn on(store: Stored) -> Bench {
        let tracker = alone(&store).unwrap();
        let (said, closed) = (Vec::new(), Vec::new());
        let mut bench =
            Bench { tracker, now: Time(1), store, writing: None, said, closed, seq: 0, checks: true };
        bench.give(Input::Wake);
        bench.settle();
        bench
    }

    fn give(&mut self, input: Input) {
        let mut outbox = Vec::new();
        self.tracker.handle(self.now, input, &mut outbox);
        if self.checks {
            self.tracker.check();
        }
        for action in outbox {
            match action {
                Action::Send { link, message } => self.said.push((link, message)),
                Action::Close { link, violation } => self.closed.push((link, violation)),
                Action::Start { job, work: Work::Sign(statements) } => {
                    let signatures = vec![Signature([7; 64]); statements.len()];
                    self.give(Input::Done { job, outcome: Outcome::Signed(DeviceId([9; 32]), signatures) });
                }
                Action::Reach { .. } | Action::Speak { .. } | Action::Say(_) => {
                    unreachable!("there is nobody else, and nobody at the console")
                }
                Action::Start { job, work } => {
                    let other = self.writing.replace((job, work));
                    assert_eq!(other, None, "one write at a time");
                }
            }
        }
    }

    fn link(&mut self, link: u64) -> LinkId {
        let (id, device) = (LinkId(link), DeviceId([link as u8; 32]));
        self.give(Input::LinkUp { link: id, device, from: IpAddr::V4(Ipv4Addr::LOCALHOST) });
        id
    }

    fn greet(&mut self, link: u64) -> LinkId {
        let id = self.link(link);
        self.say(id, ClientMessage::Hello { listen: Address(([0, 0, 0, 0], 1).into()) });
        id
    }

    fn say(&mut self, link: LinkId, message: ClientMessage) {
        self.give(Input::Message { link, message });
    }

    fn ask(&mut self, link: LinkId, request: Request) {
        self.seq += 1;
        let (seq, request) = (self.seq, Box::new(request));
        self.say(link, ClientMessage::Request { seq, request });
    }

    /// The store ends what it was writing.
    fn written(&mut self, outcome: Outcome) {
        let (job, work) = self.writing.take().expect("something is being written");
        if outcome == Outcome::Durable {
            match work {
                Work::Persist(batch) => self.store.take(batch),
                Work::Sign(_) => unreachable!("signing is no write"),
            }
        }
        self.give(Input::Done { job, outcome });
    }

    /// Time passes until the tracker tries its disk by itself.
    fn until_it_writes(&mut self) {
        while self.writing.is_none() {
            self.now = self.tracker.next_wakeup().expect("it tries again");
            self.give(Input::Wake);
        }
    }

    fn settle(&mut self) {
        while self.writing.is_some() {
            self.written(Outcome::Durable);
        }
    }

    /// A tracker that starts with this store comes to know the same; it adds the entry with which it becomes leader.
    fn assert_same_after_a_restart(&self) {
        let again = Bench::on(self.store.clone());
        let mut expected = self.tracker.registry().clone();
        expected.skip(expected.applied() + 1);
        assert_eq!(*again.tracker.registry(), expected);
    }

    fn last(&self) -> Result<Answer, Refusal> {
        match self.said.last() {
            Some((_, TrackerMessage::Answer { answer, .. })) => {
                answer.clone().map(|answer| *answer).map_err(|refusal| *refusal)
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// A client that is logged in as `name`.
    fn session(&mut self, link: u64, name: &str) -> LinkId {
        let id = self.greet(link);
        self.ask(id, create_user(name));
        self.settle();
        self.ask(id, Request::Login { user: user(name), key: Key([1; 32]) });
        self.settle();
        id
    }
}

/// The only tracker of its list.
fn alone(store: &Stored) -> Result<Tracker, Violation> {
    Tracker::new(Config::alone(Seed([7; 32]), DeviceId([9; 32])), store)
}

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn create_user(name: &str) -> Request {
    Request::CreateUser { user: user(name), salt: Salt([1; 16]), key: Key([1; 32]) }
}

fn create_group(name: &str) -> Request {
    Request::Change(Change::CreateGroup { group: GroupName::new(name).unwrap() })
}

#[test]
fn nothing_is_said_on_a_link_that_is_no_more_however_late_the_tracker_is() {
    let there = ([127, 0, 0, 1], 2).into();
    let others = vec![Listed { number: 2, address: there, device: None }];
    let config = Config { others, ..Config::alone(Seed([7; 32]), DeviceId([9; 32])) };
    let mut tracker = Tracker::new(config, &Stored::default()).unwrap();
    let (mut now, link) = (Time(1), LinkId(1));
    let mut give = |now, input| {
        let mut outbox = Vec::new();
        tracker.handle(now, input, &mut outbox);
        let speaks = outbox.iter().any(|action| matches!(action, Action::Speak { .. }));
        let job = outbox.into_iter().find_map(|action| match action {
            Action::Start { job, work: Work::Persist(_) } => Some(job),
            _ => None,
        });
        (speaks, job)
    };
    let (_, mut writing) = give(now, Input::Wake);
    while let Some(job) = writing {
        (_, writing) = give(now, Input::Done { job, outcome: Outcome::Durable });
    }
    now += Span::from_secs(1);
    let (greets, _) = give(now, Input::Reached { tracker: 2, link, device: DeviceId([8; 32]) });
    assert!(greets);
    now += Span::from_secs(2);
    let (speaks, _) = give(now, Input::LinkDown { link });
    assert!(!speaks, "it was time to say hello again");
}

#[test]
fn nothing_is_acknowledged_before_it_is_durable() {
    let mut bench = Bench::new();
    let link = bench.greet(1);
    bench.ask(link, create_user("ann"));
    assert!(bench.said.is_empty());
    assert_eq!(bench.tracker.registry().user_count(), 0);
    bench.written(Outcome::Durable);
    assert_eq!(bench.last(), Ok(Answer::Done));
    bench.assert_same_after_a_restart();
}

#[test]
fn a_full_disk_refuses_changes_and_answers_questions_until_there_is_room() {
    let mut bench = Bench::new();
    let link = bench.session(1, "ann");
    bench.ask(link, create_group("g"));
    bench.ask(link, create_group("h"));
    bench.written(Outcome::DiskFull);
    let refused = bench.said.iter().rev().take(2);
    assert!(refused.clone().all(|(_, said)| matches!(said, TrackerMessage::Answer { answer: Err(_), .. })));
    assert_eq!(bench.last(), Err(Refusal::TrackerReadOnly));
    assert!(bench.tracker.status(bench.now).read_only);
    bench.ask(link, create_group("i"));
    assert_eq!(bench.last(), Err(Refusal::TrackerReadOnly), "while it is full nothing is taken in");
    bench.ask(link, Request::Groups { after: None });
    assert!(matches!(bench.last(), Ok(Answer::Groups(_))));
    bench.until_it_writes();
    bench.written(Outcome::DiskFull);
    bench.until_it_writes();
    bench.settle();
    bench.ask(link, create_group("j"));
    bench.written(Outcome::Durable);
    assert_eq!(bench.last(), Ok(Answer::Done));
    assert_eq!(bench.tracker.registry().group_count(), 1, "what was refused was not made");
    bench.assert_same_after_a_restart();
}

#[test]
fn a_retry_is_answered_and_not_made_again() {
    let mut bench = Bench::new();
    let link = bench.session(1, "ann");
    let request = |seq, group| ClientMessage::Request { seq, request: Box::new(create_group(group)) };
    let again = request(9, "g");
    for _ in 0..2 {
        bench.say(link, again.clone());
        bench.settle();
        assert_eq!(bench.last(), Ok(Answer::Done));
    }
    bench.ask(link, create_group("g"));
    assert_eq!(bench.last(), Err(Refusal::GroupExists(GroupName::new("g").unwrap())));
    bench.say(link, request(900, "h"));
    bench.settle();
    bench.say(link, request(900 - REQUESTS_PER_LINK as u64, "i"));
    bench.settle();
    assert_eq!(bench.last(), Err(Refusal::Forgotten { latest: 900 }), "nobody waits for that any more");
}

#[test]
fn a_snapshot_and_the_entries_after_it_give_the_same_registry() {
    let mut bench = Bench::new();
    // Checking ten thousand groups ten thousand times would take minutes.
    bench.checks = false;
    let link = bench.session(1, "ann");
    for number in 0..crate::limits::SNAPSHOT_EVERY + 50 {
        bench.ask(link, create_group(&format!("group {number}")));
        bench.settle();
        bench.give(Input::Sent { link, messages: 1 });
    }
    assert!(bench.store.snapshot.is_some() && bench.store.entries.len() < 100);
    bench.assert_same_after_a_restart();
    let mut torn = bench.store.clone();
    torn.entries.remove(0);
    assert_eq!(alone(&torn).unwrap_err(), Violation::Malformed);
}

#[test]
fn hello_comes_first_and_once() {
    let mut bench = Bench::new();
    let early = bench.link(1);
    bench.say(early, ClientMessage::Ping);
    let twice = bench.greet(2);
    bench.say(twice, ClientMessage::Hello { listen: Address(([0, 0, 0, 0], 1).into()) });
    assert_eq!(bench.closed, [(early, Some(Violation::BadHello)), (twice, Some(Violation::BadHello))]);
}

#[test]
fn too_many_requests_at_once_end_the_link() {
    let mut bench = Bench::new();
    let link = bench.session(1, "ann");
    for number in 0..=REQUESTS_PER_LINK {
        bench.ask(link, create_group(&format!("group {number}")));
    }
    assert_eq!(bench.closed, [(link, Some(Violation::TooManyRequests))]);
    bench.settle();
    assert_eq!(bench.tracker.registry().group_count(), REQUESTS_PER_LINK, "what was asked before is done");
}

#[test]
fn who_does_not_read_loses_the_link() {
    let mut bench = Bench::new();
    let link = bench.greet(1);
    for _ in 0..=crate::limits::LINK_CREDIT {
        bench.say(link, ClientMessage::Ping);
    }
    assert_eq!(bench.closed, [(link, Some(Violation::NotReading))]);
    assert_eq!(bench.said.len(), crate::limits::LINK_CREDIT as usize);
}

#[test]
fn pages_follow_each_other() {
    let mut bench = Bench::new();
    let link = bench.session(1, "ann");
    for number in 0..250 {
        bench.ask(link, create_group(&format!("group {number:03}")));
        bench.settle();
        bench.give(Input::Sent { link, messages: 1 });
    }
    let (mut after, mut names) = (None, Vec::new());
    for expected in [100, 100, 50] {
        bench.ask(link, Request::Groups { after });
        let Ok(Answer::Groups(page)) = bench.last() else { panic!() };
        assert_eq!((page.rows.len(), page.more), (expected, expected == 100));
        names.extend(page.rows.iter().map(|row| row.group.clone()));
        after = names.last().cloned();
    }
    assert!(names.is_sorted() && names.len() == 250);
}

#[test]
fn to_a_stranger_an_account_looks_like_none() {
    let mut bench = Bench::new();
    bench.session(1, "ann");
    let stranger = bench.greet(2);
    let mut salts = Vec::new();
    for name in ["ann", "nobody", "nobody", "somebody"] {
        bench.ask(stranger, Request::GetSalt { user: user(name) });
        let Ok(Answer::Salt(salt)) = bench.last() else { panic!() };
        salts.push(salt);
        bench.ask(stranger, Request::Login { user: user(name), key: Key([9; 32]) });
        assert_eq!(bench.last(), Err(Refusal::LoginFailed));
    }
    assert_eq!(salts[1], salts[2], "an invented salt lasts");
    assert_ne!(salts[1], salts[3]);
    assert_eq!(
        bench.tracker.registry().account(&user("ann")).map(|account| account.lock.verifier),
        Some(login::verifier(&user("ann"), &Key([1; 32])))
    );
}

#[test]
fn a_new_link_of_a_device_replaces_the_old() {
    let mut bench = Bench::new();
    let old = bench.session(1, "ann");
    let new = LinkId(50);
    let device = DeviceId([1; 32]);
    bench.give(Input::LinkUp { link: new, device, from: IpAddr::V4(Ipv4Addr::LOCALHOST) });
    assert_eq!(bench.closed, [(old, None)]);
    assert_eq!(bench.tracker.status(bench.now).sessions, 0);
    bench.give(Input::LinkDown { link: old });
    assert_eq!(bench.tracker.status(bench.now).clients, 1);
}

#[test]
fn who_says_nothing_for_long_is_dropped() {
    let mut bench = Bench::new();
    let link = bench.greet(1);
    while let Some(at) = bench.tracker.next_wakeup().filter(|_| bench.closed.is_empty()) {
        bench.now = at;
        bench.give(Input::Wake);
    }
    assert_eq!(bench.closed, [(link, None)]);
    assert!(bench.now.since(Time(1)) <= IDLE * 2);
}

#[test]
fn a_ticket_is_for_a_member_and_its_device_and_ends_after_a_day() {
    let mut world = Bench::new();
    world.give(Input::Clock(UnixTime(1_000_000)));
    let (ann, bob) = (world.session(1, "ann"), world.session(2, "bob"));
    let group = GroupName::new("g").unwrap();
    world.ask(ann, Request::Change(Change::CreateGroup { group: group.clone() }));
    world.settle();
    world.now += Span::from_secs(50);
    world.ask(ann, Request::Ticket { group: group.clone(), known: 0 });
    let Ok(Answer::Ticket { ticket, expulsions }) = world.last() else { panic!("{:?}", world.last()) };
    assert_eq!((ticket.body.user, ticket.body.device), (user("ann"), DeviceId([1; 32])));
    assert_eq!((ticket.body.from, ticket.body.until), (UnixTime(1_000_050), UnixTime(1_086_450)));
    assert_eq!(ticket.body.epoch, expulsions.body.removals.epoch);
    assert!(expulsions.body.removals.removed.is_empty());
    world.ask(bob, Request::Ticket { group: group.clone(), known: 0 });
    assert_eq!(world.last(), Err(Refusal::NotMember(group)));
}

#[test]
fn a_removal_raises_the_epoch_and_the_members_hear_who_it_was() {
    let mut world = Bench::new();
    let (ann, bob) = (world.session(1, "ann"), world.session(2, "bob"));
    let group = GroupName::new("g").unwrap();
    for (who, change) in [
        (ann, Change::CreateGroup { group: group.clone() }),
        (bob, Change::JoinGroup { group: group.clone() }),
        (ann, Change::Accept { group: group.clone(), user: user("bob") }),
    ] {
        world.ask(who, Request::Change(change));
        world.settle();
    }
    world.ask(bob, Request::Ticket { group: group.clone(), known: 0 });
    let Ok(Answer::Ticket { ticket, .. }) = world.last() else { panic!("{:?}", world.last()) };
    world.said.clear();
    world.ask(ann, Request::Change(Change::RemoveMember { group: group.clone(), user: user("bob") }));
    world.settle();
    let told: Vec<_> = world
        .said
        .iter()
        .filter_map(|(link, message)| match message {
            TrackerMessage::Expulsions(told) => Some((*link, &told.body)),
            _ => None,
        })
        .collect();
    let [(to, expulsions)] = told[..] else { panic!("{told:?}") };
    assert_eq!((to, &expulsions.group), (ann, &group));
    assert!(expulsions.removals.epoch > ticket.body.epoch);
    assert!(expulsions.removals.revoke(&user("bob"), ticket.body.epoch));
    assert!(!expulsions.removals.revoke(&user("ann"), ticket.body.epoch));
}

#[test]
fn a_group_of_the_same_name_honours_no_ticket_of_the_one_before() {
    let mut world = Bench::new();
    let ann = world.session(1, "ann");
    let group = GroupName::new("g").unwrap();
    let epoch = |world: &mut Bench| {
        world.ask(ann, Request::Ticket { group: group.clone(), known: 0 });
        let Ok(Answer::Ticket { ticket, expulsions }) = world.last() else { panic!("{:?}", world.last()) };
        (ticket.body.epoch, expulsions.body.removals)
    };
    world.ask(ann, Request::Change(Change::CreateGroup { group: group.clone() }));
    world.settle();
    let (before, _) = epoch(&mut world);
    for change in [Change::Leave { group: group.clone() }, Change::CreateGroup { group: group.clone() }] {
        world.ask(ann, Request::Change(change));
        world.settle();
    }
    assert!(epoch(&mut world).1.revoke(&user("ann"), before));
}

#[test]
fn a_later_list_of_removals_than_the_trackers_own_is_overtaken() {
    let mut world = Bench::new();
    let ann = world.session(1, "ann");
    let group = GroupName::new("g").unwrap();
    world.ask(ann, Request::Change(Change::CreateGroup { group: group.clone() }));
    world.settle();
    // So it is after an old copy of the store was restored.
    let known = world.tracker.registry().applied() + 500;
    let ticket = |world: &mut Bench, known| {
        world.ask(ann, Request::Ticket { group: group.clone(), known });
        world.settle();
        world.ask(ann, Request::Ticket { group: group.clone(), known: 0 });
        let Ok(Answer::Ticket { ticket, .. }) = world.last() else { panic!("{:?}", world.last()) };
        ticket.body.epoch
    };
    world.said.clear();
    let epoch = ticket(&mut world, known);
    assert!(epoch > known, "tickets are good for those who know the list: {epoch}");
    let renewed = world.said.iter().any(|(link, said)| match said {
        TrackerMessage::Expulsions(told) => *link == ann && told.body.removals.epoch == epoch,
        _ => false,
    });
    assert!(renewed, "members hear of it");
    assert_eq!(ticket(&mut world, known), epoch, "once is enough");
    assert_eq!(ticket(&mut world, u64::MAX), epoch, "nobody can use up all epochs");
    world.tracker.check();
}
