//! The tracker's loop: what happens goes into the machine, what it says is done.
//!
//! Invariants:
//! - Everything that happens comes through one bounded queue, so a busy loop slows its clients down and forgets nothing.
//! - The loop itself never waits but for the next event or the machine's next alarm.
//! - At the end, what the machine gave to the store is written before the process ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use async_signal::{Signal, Signals};
use engine::id::{DeviceId, JobId, LinkId};
use engine::peer::io::Role;
use engine::recording::Record;
use engine::time::Time;
use engine::tracker::Tracker;
use engine::tracker::io::{Action, Input, Outcome, Work};
use engine::violation::Violation;
use engine::wire::tracker::{ClientMessage, TrackerMessage};
use futures_lite::StreamExt as _;

use super::console::{self, Request};
use super::scribe::{Scribe, ScribeEnded, Told};
use super::store::Store;
use crate::alarm::Alarm;
use crate::channel::{Channel, ChannelError, Endpoint, Listener};
use crate::exit::Failure;
use crate::identity::{Identity, wall_clock};
use crate::known_trackers::KnownTrackers;
use crate::link::{self, Link, Watchdog};
use crate::recorder::Recorder;

/// Events that wait for the loop: 256 x at most 100 KiB (a frame of announcements, decoded) = 25 MiB, and usually next to nothing.
const EVENTS_MAX: usize = 256;

/// What a tracker is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) number: usize,
    pub(super) machine: Tracker,
    pub(super) recorder: Recorder,
    pub(super) identity: Arc<Identity>,
    pub(super) known: Arc<KnownTrackers>,
    pub(super) store: Store,
    pub(super) listener: Listener,
    pub(super) links_max: usize,
}

/// Something that happened.
#[derive(Debug)]
pub(super) enum Event {
    Connected(Channel),
    Link(LinkId, link::Event<ClientMessage>),
    /// Another tracker was dialled.
    Reached(u16, Option<Channel>),
    /// On a link to another tracker.
    Colleague(LinkId, link::Event<TrackerMessage>),
    Store(Told),
    Done(JobId, Outcome),
    Console(Request),
    Signal(Signal),
}

/// Runs the tracker until somebody ends it.
pub(super) fn run(parts: Parts) -> Result<(), Failure> {
    let (number, address, device) = (parts.number, parts.listener.address(), parts.identity.device());
    let (shell, events) = Shell::start(parts)?;
    listen_to_signals(shell.events())
        .map_err(|error| Failure::cannot_start(&format!("signals cannot be received: {error}")))?;
    console::announce(number, address, device);
    let to_loop = shell.events();
    console::start(number, address, move |request| to_loop.send_blocking(Event::Console(request)).is_ok());
    shell.run(&events)
}

fn listen_to_signals(events: Sender<Event>) -> std::io::Result<()> {
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    smol::spawn(async move {
        while let Some(Ok(signal)) = signals.next().await {
            // It fails only when the tracker is ending already.
            let _ending = events.send(Event::Signal(signal)).await;
        }
    })
    .detach();
    Ok(())
}

fn start_scribe(store: Store, events: Sender<Event>) -> std::io::Result<Scribe> {
    Scribe::start(store, move |told| {
        // It fails only when the tracker is ending, and does not wait for jobs any more.
        let _ending = events.send_blocking(Event::Store(told));
    })
}

fn accept(listener: Listener, endpoint: Endpoint, links_max: usize, events: Sender<Event>) {
    smol::spawn(listener.run(Role::Tracker, endpoint, links_max, events, Event::Connected)).detach();
}

/// The machine and what it acts on.
pub(super) struct Shell {
    machine: Tracker,
    recorder: Recorder,
    scribe: Scribe,
    identity: Arc<Identity>,
    endpoint: Endpoint,
    known: Arc<KnownTrackers>,
    links: HashMap<LinkId, Link>,
    links_ever: u64,
    watchdog: Arc<Watchdog>,
    events: Sender<Event>,
    origin: Instant,
    alarm: Alarm,
    outbox: Vec<Action>,
}

impl Shell {
    /// Begins to listen and to store; events wait until `run` looks at them.
    pub(super) fn start(parts: Parts) -> Result<(Shell, Receiver<Event>), Failure> {
        let Parts { machine, recorder, identity, known, store, listener, links_max, .. } = parts;
        let (sender, events) = async_channel::bounded(EVENTS_MAX);
        let scribe = start_scribe(store, sender.clone())
            .map_err(|error| Failure::cannot_start(&format!("no thread for the store: {error}")))?;
        let endpoint = Endpoint::new(Arc::clone(&identity));
        accept(listener, endpoint.clone(), links_max, sender.clone());
        let shell = Shell {
            machine,
            recorder,
            scribe,
            identity,
            endpoint,
            known,
            links: HashMap::new(),
            links_ever: 0,
            watchdog: Watchdog::start(),
            events: sender,
            origin: Instant::now(),
            alarm: Alarm::default(),
            outbox: Vec::new(),
        };
        Ok((shell, events))
    }

    /// Where events come in.
    pub(super) fn events(&self) -> Sender<Event> {
        self.events.clone()
    }

    /// Serves until somebody says to end, and closes what is open.
    pub(super) fn run(mut self, events: &Receiver<Event>) -> Result<(), Failure> {
        smol::block_on(self.serve(events));
        // Whoever waits for room in the queue is told that nobody reads it any more; the store's thread among them. What is in it
        // would stay there for as long as anybody could put more into it: a connection would stay open.
        events.close();
        while events.try_recv().is_ok() {}
        drop(self.links);
        self.scribe.finish()
    }

    /// Serves until somebody says to end, or the store is gone.
    async fn serve(&mut self, events: &Receiver<Event>) {
        loop {
            let step = match self.next(events).await {
                Some(event) => self.take(event),
                None => self.feed(Input::Wake),
            };
            if step.is_break() {
                return;
            }
        }
    }

    /// The next event; none when the machine's alarm comes first.
    async fn next(&mut self, events: &Receiver<Event>) -> Option<Event> {
        let wakeup = self.machine.next_wakeup();
        let at = wakeup.and_then(|wakeup| self.origin.checked_add(Duration::from_micros(wakeup.0)));
        let event = self.alarm.unless(at, events.recv()).await?;
        Some(event.expect("the shell itself holds a sender"))
    }

    fn now(&self) -> Time {
        Time(
            u64::try_from(self.origin.elapsed().as_micros())
                .expect("a process does not run for 500,000 years"),
        )
    }

    fn take(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Connected(channel) => self.connect(channel),
            Event::Link(link, event) => self.hear(link, event),
            Event::Reached(tracker, Some(channel)) => self.reach(tracker, channel),
            Event::Reached(tracker, None) => self.feed(Input::Unreached { tracker }),
            Event::Colleague(link, event) => self.hear_colleague(link, &event),
            Event::Store(Told::Done(job, outcome)) | Event::Done(job, outcome) => {
                self.feed(Input::Done { job, outcome })
            }
            Event::Store(Told::Ended) | Event::Console(Request::Quit) => ControlFlow::Break(()),
            Event::Console(Request::Status(asked)) => {
                // It fails only if the console is gone, which does not need it then.
                let _gone = asked.try_send(self.machine.status(self.now()));
                ControlFlow::Continue(())
            }
            Event::Console(Request::Order(order)) => self.feed(Input::Order(order)),
            Event::Console(Request::Backup(path)) => {
                let registry = self.machine.backup();
                smol::spawn(smol::unblock(move || console::back_up(&path, &registry))).detach();
                ControlFlow::Continue(())
            }
            Event::Signal(signal) => {
                tracing::info!(?signal, "told to end");
                ControlFlow::Break(())
            }
        }
    }

    fn next_link(&mut self) -> LinkId {
        self.links_ever += 1;
        LinkId(self.links_ever)
    }

    fn reach(&mut self, tracker: u16, channel: Channel) -> ControlFlow<()> {
        let (link, device) = (self.next_link(), channel.remote);
        tracing::debug!(link = link.0, tracker, %device, "another tracker is reached");
        let started = Link::start(link, channel, None, &self.watchdog, self.events.clone(), Event::Colleague);
        self.links.insert(link, started);
        self.feed(Input::Reached { tracker, link, device })
    }

    fn hear_colleague(&mut self, link: LinkId, event: &link::Event<TrackerMessage>) -> ControlFlow<()> {
        match event {
            link::Event::Message(TrackerMessage::Pong) => self.feed(Input::Echo { link }),
            link::Event::Message(_) => {
                self.link(link).close(Some(Violation::WrongRole));
                ControlFlow::Continue(())
            }
            link::Event::Sent(messages) => self.feed(Input::Sent { link, messages: *messages }),
            link::Event::Down => {
                self.links.remove(&link);
                self.feed(Input::LinkDown { link })
            }
            link::Event::Block(..) | link::Event::PieceEnded { .. } => {
                unreachable!("no piece travels on a tracker's link")
            }
        }
    }

    fn connect(&mut self, channel: Channel) -> ControlFlow<()> {
        let link = self.next_link();
        let (device, address) = (channel.remote, channel.address);
        tracing::debug!(link = link.0, %address, %device, "link up");
        let started = Link::start(link, channel, None, &self.watchdog, self.events.clone(), Event::Link);
        self.links.insert(link, started);
        if self.feed(Input::Clock(wall_clock())).is_break() {
            return ControlFlow::Break(());
        }
        self.feed(Input::LinkUp { link, device, from: address.ip() })
    }

    fn hear(&mut self, link: LinkId, event: link::Event<ClientMessage>) -> ControlFlow<()> {
        match event {
            link::Event::Message(message) => self.feed(Input::Message { link, message }),
            link::Event::Sent(messages) => self.feed(Input::Sent { link, messages }),
            link::Event::Down => {
                self.links.remove(&link);
                self.feed(Input::LinkDown { link })
            }
            link::Event::Block(..) | link::Event::PieceEnded { .. } => {
                unreachable!("no piece travels on a tracker's link")
            }
        }
    }

    /// Lets the machine take `input` in, and does what it says.
    fn feed(&mut self, input: Input) -> ControlFlow<()> {
        tracing::trace!(?input);
        let now = self.now();
        self.recorder.takes(|| Record::TrackerInput(now, Box::new(input.clone())));
        self.machine.handle(now, input, &mut self.outbox);
        self.recorder.acted(&self.outbox);
        if cfg!(debug_assertions) {
            self.machine.check();
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        let done = outbox.drain(..).try_for_each(|action| self.act(action));
        self.outbox = outbox;
        done
    }

    fn act(&mut self, action: Action) -> ControlFlow<()> {
        tracing::trace!(?action);
        match action {
            Action::Send { link, message } => self.link(link).send(&message),
            Action::Speak { link, message } => self.link(link).send(&message),
            Action::Close { link, violation } => self.link(link).close(violation),
            Action::Reach { tracker, address, expected } => self.dial(tracker, address, expected),
            Action::Say(text) => console::say(&format!("{text}\n")),
            Action::Start { job, work: Work::Sign(statements) } => self.sign(job, statements),
            Action::Start { job, work } => {
                if let Err(ScribeEnded) = self.scribe.begin(job, work) {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Dials another tracker, which must have the key that the others know, or else the one that it had at the first contact.
    fn dial(&self, tracker: u16, address: SocketAddr, expected: Option<DeviceId>) {
        let (events, endpoint, known) = (self.events.clone(), self.endpoint.clone(), Arc::clone(&self.known));
        smol::spawn(async move {
            let expected = expected.or_else(|| known.expected(address));
            let channel = match endpoint.connect(address, Role::Tracker, expected).await {
                Ok(channel) if expected.is_none() => {
                    let device = channel.remote;
                    let remembered = smol::unblock(move || known.remember(address, device)).await;
                    remembered.map(|_| channel).map_err(ChannelError::from)
                }
                channel => channel,
            };
            let channel = channel.inspect_err(|why| match why {
                ChannelError::OtherKey { .. } => {
                    tracing::warn!(tracker, %address, %why, "tracker not trusted");
                }
                _ => tracing::debug!(tracker, %address, %why, "tracker not reached"),
            });
            // Nobody takes it only when this tracker is ending.
            let _ending = events.send(Event::Reached(tracker, channel.ok())).await;
        })
        .detach();
    }

    /// Signs on another task, which takes less time than a write and need not wait for one.
    fn sign(&self, job: JobId, statements: Vec<Box<[u8]>>) {
        let (identity, events) = (Arc::clone(&self.identity), self.events.clone());
        smol::spawn(async move {
            let signatures = statements.iter().map(|statement| identity.sign(statement)).collect();
            let outcome = Outcome::Signed(identity.device(), signatures);
            // Nobody takes it only when the tracker is ending.
            let _ending = events.send(Event::Done(job, outcome)).await;
        })
        .detach();
    }

    fn link(&self, link: LinkId) -> &Link {
        self.links.get(&link).expect("the machine names links between their LinkUp and LinkDown")
    }
}
