//! Clients that change a few groups over and over, move to another tracker when theirs is gone, and ask again what was not answered.

use engine::id::{DeviceId, Key, LinkId, Salt};
use engine::name::{GroupName, UserName};
use engine::refusal::Refusal;
use engine::time::{Span, Time};
use engine::tracker::io::Input;
use engine::wire::tracker::{Address, Answer, Change, ClientMessage, Request, TrackerMessage};

use super::history::{Call, Deed, Outcome};
use super::network::Dialler;
use super::{Event, World};

/// How long a client waits for an answer before it tries another tracker, as a real one does.
const PATIENCE: Span = Span::from_secs(15);

/// How often a client looks whether it has something to do.
const BEAT: Span = Span::from_millis(20);

/// A client.
#[derive(Debug)]
pub struct Client {
    user: UserName,
    device: DeviceId,
    /// The tracker to dial next.
    next: usize,
    link: Option<LinkId>,
    seq: u64,
    has_account: bool,
    /// Whether it may ask on this link: nobody has to log in yet, or somebody is.
    is_ready: bool,
    /// What is asked and not answered.
    pending: Option<Pending>,
    /// What it may begin.
    pub begins: Begins,
    /// Whether the tracker said that what it shows may be out of date.
    warned: bool,
    /// What it did, with what came of it.
    pub calls: Vec<Call>,
}

/// What a client may begin.
#[derive(Debug, Clone, Copy)]
pub enum Begins {
    /// Changes and looks.
    Anything,
    /// Looks only.
    Looks,
    /// Nothing; what is under way goes on.
    Nothing,
}

#[derive(Debug)]
struct Pending {
    seq: u64,
    request: Request,
    /// The call that it is part of, unless it is the account or the login.
    call: Option<usize>,
    sent: Option<Time>,
    /// How often it was sent.
    tries: u32,
}

/// The group of that number.
fn group(number: u8) -> GroupName {
    GroupName::new(&format!("group {number}")).expect("a name")
}

fn key() -> Key {
    Key([7; 32])
}

impl World {
    /// A client that begins with the tracker of that index; gives its number.
    pub fn add_client(&mut self, first: usize) -> usize {
        let number = self.clients.len();
        let byte = u8::try_from(number).expect("few clients");
        self.clients.push(Client {
            user: UserName::new(&format!("user {number}")).expect("a name"),
            device: DeviceId([byte | 0x80; 32]),
            next: first,
            link: None,
            seq: 1,
            has_account: false,
            is_ready: true,
            pending: None,
            begins: Begins::Anything,
            warned: false,
            calls: Vec::new(),
        });
        self.plan(self.now, Event::Client(number));
        number
    }

    /// A client does what it can do now.
    pub(super) fn client_acts(&mut self, number: usize) {
        let beat = Span(BEAT.0 + self.draw(BEAT.0));
        self.plan(self.now + beat, Event::Client(number));
        let late =
            |pending: &Pending, now: Time| pending.sent.is_some_and(|sent| now.since(sent) >= PATIENCE);
        if self.clients[number].pending.as_ref().is_some_and(|pending| late(pending, self.now))
            && let Some(link) = self.clients[number].link.take()
        {
            self.hang_up(link);
            self.forget_sent(number);
        }
        if self.clients[number].link.is_none() {
            return self.client_dials(number);
        }
        if self.clients[number].pending.is_none() {
            self.choose(number);
        }
        self.client_sends(number);
    }

    fn forget_sent(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.warned = false;
        match &mut client.pending {
            // The login belongs to the link.
            Some(Pending { request: Request::Login { .. }, .. }) => client.pending = None,
            Some(pending) => pending.sent = None,
            None => {}
        }
    }

    fn client_dials(&mut self, number: usize) {
        let there = self.clients[number].next % self.nodes.len();
        self.clients[number].next = there + 1;
        if self.nodes[there].machine.is_none() || self.nodes[there].stopped > self.now {
            return;
        }
        let link = self.connect(Dialler::Client(number), there);
        let client = &mut self.clients[number];
        client.link = Some(link);
        let (device, from) = (client.device, std::net::IpAddr::from([10, 0, 1, 1]));
        let listen = Address((from, 9_001).into());
        self.give(there, Input::LinkUp { link, device, from });
        self.travel(link, Event::ToTracker { link, message: ClientMessage::Hello { listen } });
        if self.clients[number].has_account {
            self.log_in(number, link);
        }
    }

    /// The login goes before what waits, under a number of its own.
    fn log_in(&mut self, number: usize, link: LinkId) {
        let client = &mut self.clients[number];
        client.is_ready = false;
        let seq = client.next_seq();
        let request = Box::new(Request::Login { user: client.user.clone(), key: key() });
        self.travel(link, Event::ToTracker { link, message: ClientMessage::Request { seq, request } });
    }

    fn client_sends(&mut self, number: usize) {
        let now = self.now;
        let client = &mut self.clients[number];
        let (Some(link), Some(pending), true) = (client.link, &mut client.pending, client.is_ready) else {
            return;
        };
        if pending.sent.is_none() {
            pending.sent = Some(now);
            pending.tries += 1;
            let (seq, request) = (pending.seq, Box::new(pending.request.clone()));
            self.travel(link, Event::ToTracker { link, message: ClientMessage::Request { seq, request } });
        }
    }

    /// What to do next: the account first, then something with one of a few groups.
    fn choose(&mut self, number: usize) {
        let (draw, key) = (self.draw(8), u8::try_from(self.draw(3)).expect("small"));
        let now = self.now;
        let client = &mut self.clients[number];
        let draw = match client.begins {
            Begins::Anything => draw,
            Begins::Looks => 7,
            Begins::Nothing => return,
        };
        let seq = client.next_seq();
        if !client.has_account {
            let request =
                Request::CreateUser { user: client.user.clone(), salt: Salt([1; 16]), key: self::key() };
            client.pending = Some(Pending { seq, request, call: None, sent: None, tries: 0 });
            return;
        }
        let group = group(key);
        let (deed, request) = match draw {
            0..3 => (Deed::Create, Request::Change(Change::CreateGroup { group })),
            3..6 => (Deed::Leave, Request::Change(Change::Leave { group })),
            _ => (Deed::Look, Request::Members { group, after: None }),
        };
        let call = Call { client: number, key, deed, began: now, ended: None, outcome: Outcome::Unknown };
        client.calls.push(call);
        client.pending =
            Some(Pending { seq, request, call: Some(client.calls.len() - 1), sent: None, tries: 0 });
    }

    pub(super) fn client_cut(&mut self, number: usize, link: LinkId) {
        if self.clients[number].link == Some(link) {
            self.clients[number].link = None;
            self.forget_sent(number);
        }
    }

    pub(super) fn client_hears(&mut self, number: usize, link: LinkId, message: TrackerMessage) {
        let now = self.now;
        let client = &mut self.clients[number];
        if client.link != Some(link) {
            return;
        }
        match message {
            TrackerMessage::CutOff(cut_off) => client.warned = cut_off,
            TrackerMessage::Answer { seq, answer } => {
                let answer = answer.map(|answer| *answer).map_err(|refusal| *refusal);
                let waits = client.pending.take_if(|pending| pending.seq == seq);
                match (waits, answer) {
                    // It asks again under the same number, until it knows.
                    (Some(pending), Err(Refusal::NoMajority)) => {
                        client.pending = Some(Pending { sent: None, ..pending });
                    }
                    // Of a change that was asked for before, the first copy may still be made.
                    (Some(Pending { call: Some(call), tries: 2.., .. }), Err(Refusal::TrackerReadOnly)) => {
                        client.calls[call].ended = Some(now);
                    }
                    (Some(Pending { call: Some(call), .. }), answer) => client.called(now, call, answer),
                    (Some(Pending { call: None, .. }), Ok(_) | Err(Refusal::UserExists(_))) => {
                        client.has_account = true;
                        self.log_in(number, link);
                    }
                    // The account could not be made, and will be tried again; or a login, which has no call.
                    (Some(_), Err(_)) => {}
                    (None, Ok(Answer::LoggedIn { .. })) => client.is_ready = true,
                    // Another tracker may know more, and be asked less often.
                    (None, Err(Refusal::NoMajority | Refusal::TooManyTries { .. })) => {
                        client.link = None;
                        self.hang_up(link);
                        self.forget_sent(number);
                    }
                    (None, answer) => {
                        unreachable!("seed {}: client {number} cannot log in: {answer:?}", self.name)
                    }
                }
            }
            _ => {}
        }
    }
}

impl Client {
    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Whether nothing that it asked is unanswered.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.pending.is_none()
    }

    fn called(&mut self, now: Time, call: usize, answer: Result<Answer, Refusal>) {
        let outcome = match answer {
            Ok(Answer::Done) => Outcome::Done,
            Ok(Answer::Members(_)) => Outcome::Mine,
            Err(Refusal::GroupExists(_)) => Outcome::Exists,
            Err(Refusal::NoSuchGroup(_)) => Outcome::Missing,
            Err(Refusal::NotMember(_)) => Outcome::Others,
            // It was not made, and will not be.
            Err(Refusal::TrackerReadOnly) => Outcome::Refused,
            other => unreachable!("no answer to what was asked: {other:?}"),
        };
        // What is said to be out of date may be.
        let counts = !(self.warned && self.calls[call].deed == Deed::Look);
        self.calls[call].ended = Some(now);
        self.calls[call].outcome = if counts { outcome } else { Outcome::Unknown };
    }
}
