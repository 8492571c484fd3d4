//! The client's loop: what happens goes into the machine, what it says is done.
//!
//! Invariants:
//! - Everything that happens comes through one bounded queue; the loop never waits but for it and the machine's next alarm.
//! - What it hands on never waits either: links take messages on credit, the jobs have a place for each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use engine::id::{CommandId, DialId, JobId, LinkId};
use engine::peer::Peer;
use engine::peer::command::{Command, Leaving, News, Reply};
use engine::peer::io::{Action, DialFailure, Input, Outcome, Role, Work};
use engine::recording::of_peer;
use engine::refusal::Refusal;
use engine::time::Time;
use engine::wire::peer::PeerMessage;
use engine::wire::tracker::TrackerMessage;

use super::jobs::{Jobs, Task};
use crate::alarm::Alarm;
use crate::apart::apart;
use crate::channel::{Channel, ChannelError, Endpoint};
use crate::courtesy::Courtesy;
use crate::identity::wall_clock;
use crate::known_trackers::KnownTrackers;
use crate::link::{self, Bulk, Link, PieceSender, Watchdog};
use crate::recorder::Recorder;

/// Events that wait for the loop: messages of at most 64 KiB, and usually small ones.
pub(super) const EVENTS_MAX: usize = 512;

/// How long links may take to say good-bye at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Something that happened.
#[derive(Debug)]
pub(super) enum Event {
    Asked(CommandId, Command, Sender<Answer>),
    Forget(CommandId),
    Accepted(Channel),
    Dialled(DialId, Role, Result<Dialled, DialFailure>),
    Peer(LinkId, link::Event<PeerMessage>),
    Tracker(LinkId, link::Event<TrackerMessage>),
    Done(JobId, Outcome),
}

/// A connection that was dialled.
#[derive(Debug)]
pub(super) struct Dialled {
    channel: Channel,
    /// Whether it is the first contact with a tracker, whose key was unknown until now.
    is_first: bool,
}

impl Dialled {
    const fn known(channel: Channel) -> Dialled {
        Dialled { channel, is_first: false }
    }
}

/// Connects to a tracker that has the key that it must have; its key is remembered, if none was known.
async fn dial_tracker(
    endpoint: &Endpoint,
    known: Arc<KnownTrackers>,
    to: SocketAddr,
) -> Result<Dialled, ChannelError> {
    let channel = endpoint.connect(to, Role::Tracker, known.expected(to)).await?;
    let device = channel.remote;
    let is_first = apart(move || known.remember(to, device)).await??;
    Ok(Dialled { channel, is_first })
}

/// The answer to a command.
pub(super) type Answer = Result<Reply, Refusal>;

/// The machine and what it acts on.
#[derive(Debug)]
pub(super) struct Shell {
    pub(super) machine: Peer,
    pub(super) recorder: Recorder,
    pub(super) endpoint: Endpoint,
    pub(super) known: Arc<KnownTrackers>,
    pub(super) jobs: Jobs,
    pub(super) bulk: Bulk,
    pub(super) events: Sender<Event>,
    pub(super) news: Sender<News>,
    pub(super) watchdog: Arc<Watchdog>,
    pub(super) state: State,
}

/// What the loop remembers from one event to the next.
#[derive(Debug)]
pub(super) struct State {
    links: HashMap<LinkId, Link>,
    links_ever: u64,
    commands: HashMap<CommandId, Sender<Answer>>,
    /// How to stop the pieces that are being sent.
    stops: HashMap<JobId, (PieceSender, Arc<AtomicBool>)>,
    origin: Instant,
    alarm: Alarm,
    outbox: Vec<Action>,
    exiting: Option<Instant>,
}

impl Default for State {
    fn default() -> State {
        State {
            links: HashMap::new(),
            links_ever: 0,
            commands: HashMap::new(),
            stops: HashMap::new(),
            origin: Instant::now(),
            alarm: Alarm::default(),
            outbox: Vec::new(),
            exiting: None,
        }
    }
}

impl Shell {
    /// Runs until the machine has said its last and the links have ended.
    pub(super) async fn run(mut self, events: Receiver<Event>) {
        let mut courtesy = Courtesy::default();
        self.feed(Input::Clock(wall_clock()));
        while !self.has_ended() {
            match self.next(&events).await {
                Some(event) => self.take(event),
                None if self.state.exiting.is_none() => self.feed(Input::Wake),
                None => {}
            }
            courtesy.turn().await;
        }
        drop(events);
        self.jobs.close().await;
    }

    fn has_ended(&self) -> bool {
        self.state.exiting.is_some_and(|until| self.state.links.is_empty() || until <= Instant::now())
    }

    /// The next event; none when the machine's alarm, or the end of the farewell, comes first.
    async fn next(&mut self, events: &Receiver<Event>) -> Option<Event> {
        let at = match self.state.exiting {
            Some(until) => Some(until),
            None => self.machine.next_wakeup().and_then(|at| self.instant(at)),
        };
        self.state.alarm.unless(at, events.recv()).await?.ok()
    }

    /// When the machine's clock shows `time`; never, for a time that no clock reaches.
    fn instant(&self, time: Time) -> Option<Instant> {
        self.state.origin.checked_add(Duration::from_micros(time.0))
    }

    fn now(&self) -> Time {
        let micros = self.state.origin.elapsed().as_micros();
        Time(u64::try_from(micros).expect("a process does not run for 500,000 years"))
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Asked(id, command, answer) => self.ask(id, command, answer),
            Event::Forget(id) => {
                if self.state.commands.remove(&id).is_some() {
                    self.feed(Input::Forget { id });
                }
            }
            Event::Accepted(_) | Event::Dialled(_, _, Ok(_)) if self.state.exiting.is_some() => {}
            Event::Accepted(channel) => self.connect_peer(None, channel),
            Event::Dialled(dial, Role::Peer, Ok(dialled)) => self.connect_peer(Some(dial), dialled.channel),
            Event::Dialled(dial, Role::Tracker, Ok(dialled)) => self.connect_tracker(dial, dialled),
            Event::Dialled(dial, _, Err(why)) => self.feed(Input::DialFailed { dial, why }),
            Event::Peer(link, event) => self.hear_peer(link, event),
            Event::Tracker(link, event) => self.hear_tracker(link, event),
            Event::Done(job, outcome) => self.done(job, outcome),
        }
    }

    fn ask(&mut self, id: CommandId, command: Command, answer: Sender<Answer>) {
        if matches!(command, Command::Quit { when: Leaving::Now }) {
            // Reading a large file to its end would hold up the leaving.
            self.jobs.cancel_surveys();
        }
        self.state.commands.insert(id, answer);
        self.feed(Input::Command { id, command });
    }

    fn next_link(&mut self) -> LinkId {
        self.state.links_ever += 1;
        LinkId(self.state.links_ever)
    }

    fn connect_peer(&mut self, dial: Option<DialId>, channel: Channel) {
        let link = self.next_link();
        let (device, from) = (channel.remote, channel.address);
        let started =
            Link::start(link, channel, Some(&self.bulk), &self.watchdog, self.events.clone(), Event::Peer);
        self.state.links.insert(link, started);
        self.feed(Input::Clock(wall_clock()));
        self.feed(Input::LinkUp { link, dial, device, from });
    }

    fn connect_tracker(&mut self, dial: DialId, Dialled { channel, is_first }: Dialled) {
        if is_first {
            self.tell(News::FirstContact { tracker: channel.address, key: channel.remote });
        }
        let link = self.next_link();
        let (device, from) = (channel.remote, channel.address);
        let started = Link::start(link, channel, None, &self.watchdog, self.events.clone(), Event::Tracker);
        self.state.links.insert(link, started);
        self.feed(Input::Clock(wall_clock()));
        self.feed(Input::LinkUp { link, dial: Some(dial), device, from });
    }

    fn hear_peer(&mut self, link: LinkId, event: link::Event<PeerMessage>) {
        match event {
            link::Event::Message(message) => self.feed(Input::Message { link, message }),
            link::Event::Sent(messages) => self.feed(Input::Sent { link, messages }),
            link::Event::Block(extent, slot) => self.feed(Input::Block { link, extent, slot }),
            link::Event::PieceEnded(job, outcome) => self.done(job, outcome),
            link::Event::Down => self.down(link),
        }
    }

    fn hear_tracker(&mut self, link: LinkId, event: link::Event<TrackerMessage>) {
        match event {
            link::Event::Message(message) => self.feed(Input::Tracker { link, message }),
            link::Event::Sent(messages) => self.feed(Input::Sent { link, messages }),
            link::Event::Down => self.down(link),
            link::Event::Block(..) | link::Event::PieceEnded(..) => {
                unreachable!("no piece travels on a tracker's link")
            }
        }
    }

    fn down(&mut self, link: LinkId) {
        self.state.links.remove(&link);
        self.feed(Input::LinkDown { link });
    }

    fn done(&mut self, job: JobId, outcome: Outcome) {
        self.state.stops.remove(&job);
        self.feed(Input::Done { job, outcome });
    }

    /// Lets the machine take `input` in, and does what it says.
    fn feed(&mut self, input: Input) {
        tracing::trace!(?input);
        let now = self.now();
        let mut outbox = std::mem::take(&mut self.state.outbox);
        self.recorder.takes(|| of_peer(now, &input));
        self.machine.handle(now, input, &mut outbox);
        self.recorder.acted(&outbox);
        if cfg!(debug_assertions) {
            self.machine.check();
        }
        for action in outbox.drain(..) {
            tracing::trace!(?action);
            self.act(action);
        }
        self.state.outbox = outbox;
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial { dial, to, role } => self.dial(dial, to, role),
            Action::Send { link, message } => self.on_link(link, |link| link.send(&message)),
            Action::Spread { links, message } => {
                links.into_iter().for_each(|link| self.on_link(link, |link| link.send(&message)));
            }
            Action::SendTracker { link, message } => self.on_link(link, |link| link.send(&message)),
            Action::Expect { link, extent, slot } => self.on_link(link, |link| link.expect(extent, slot)),
            Action::Discard { link, extent } => self.on_link(link, |link| link.discard(extent)),
            Action::Unexpect { link, extent } => self.on_link(link, |link| link.unexpect(extent)),
            Action::Close { link, violation } => self.on_link(link, |link| link.close(violation)),
            Action::Start { job, work } => self.start(job, work),
            Action::Stop { job } => {
                if let Some((link, flag)) = self.state.stops.get(&job) {
                    link.stop(flag);
                }
            }
            Action::Answer { id, reply } => {
                self.answer(id, reply.map(|reply| *reply).map_err(|refusal| *refusal));
            }
            Action::Tell(news) => self.tell(*news),
            Action::Exit => self.exit(),
        }
    }

    /// Closes what links are left, and ends when they are gone, or soon after.
    fn exit(&mut self) {
        self.state.exiting.get_or_insert_with(|| Instant::now() + FAREWELL);
        for link in self.state.links.values() {
            link.close(None);
        }
    }

    /// Does something with a link, unless it went down in the same moment.
    fn on_link(&self, link: LinkId, act: impl FnOnce(&Link)) {
        if let Some(link) = self.state.links.get(&link) {
            act(link);
        }
    }

    fn dial(&self, dial: DialId, to: SocketAddr, role: Role) {
        let (events, endpoint, known) = (self.events.clone(), self.endpoint.clone(), Arc::clone(&self.known));
        smol::spawn(async move {
            let dialled = match role {
                Role::Tracker => dial_tracker(&endpoint, known, to).await,
                Role::Peer => endpoint.connect(to, role, None).await.map(Dialled::known),
            };
            let dialled = dialled.map_err(|why| {
                tracing::debug!(%to, %why, "a dial came to nothing");
                match why {
                    ChannelError::OtherKey { expected, found } => DialFailure::OtherKey { expected, found },
                    _ => DialFailure::Unreachable,
                }
            });
            // Nobody takes it only when the client has ended.
            let _ended = events.send(Event::Dialled(dial, role, dialled)).await;
        })
        .detach();
    }

    fn start(&mut self, job: JobId, work: Work) {
        let to = match &work {
            Work::Send { link, .. } => self.state.links.get(link).map(|link| {
                let to = (link.piece_sender(), Arc::new(AtomicBool::new(false)));
                self.state.stops.insert(job, to.clone());
                to
            }),
            _ => None,
        };
        self.jobs.begin(Task { job, work, to });
    }

    fn answer(&mut self, id: CommandId, answer: Answer) {
        if let Some(waiting) = self.state.commands.remove(&id) {
            // It fails when nobody waits any more.
            let _gone = waiting.try_send(answer);
        }
    }

    /// News that nobody reads must not stop the loop: when the queue is full, the person reads nothing anyway, and the log has it.
    fn tell(&self, news: News) {
        if let Err(lost) = self.news.try_send(news) {
            tracing::warn!(news = ?lost.into_inner(), "nobody reads the news");
        }
    }
}
