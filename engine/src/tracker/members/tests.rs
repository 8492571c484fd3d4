//! Two trackers, and a line between them that is cut when the test says so.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use crate::id::{DeviceId, LinkId};
use crate::limits::{TAKEOVER, TICK};
use crate::seed::Seed;
use crate::time::{Span, Time};
use crate::tracker::cluster::Listed;
use crate::tracker::io::{Action, Input, Outcome, Stored, Work};
use crate::tracker::{Config, Status, Tracker};
use crate::wire::tracker::TrackerMessage;

/// How much the clock of the second is ahead: so it counts first, and the two never at the same moment.
const STEP: Span = Span(TICK.0 / 2);

/// Both trackers, with stores that write at once. What is said over a line that is cut is lost, and nobody is told.
struct Pair {
    trackers: [Tracker; 2],
    clocks: [Time; 2],
    cut: bool,
    /// Whether the first cannot be reached by the second.
    refuses: bool,
    links: u64,
    /// What the first said to the second in the beginning.
    first_word: Option<Input>,
    coming: VecDeque<(usize, Input)>,
}

fn device(index: usize) -> DeviceId {
    DeviceId([index as u8 + 1; 32])
}

fn tracker(index: usize) -> Tracker {
    let (number, other) = (index as u16 + 1, 1 - index);
    let address = (Ipv4Addr::LOCALHOST, other as u16 + 1).into();
    let others = vec![Listed { number: other as u16 + 1, address, device: Some(device(other)) }];
    let config = Config { seed: Seed([number as u8; 32]), device: device(index), number, others };
    Tracker::new(config, &Stored::default()).unwrap()
}

impl Pair {
    /// Each has heard that the other is blank.
    fn new() -> Pair {
        Pair::begin(false)
    }

    fn begin(refuses: bool) -> Pair {
        let (trackers, clocks) = ([0, 1].map(tracker), [Time(1), Time(1) + STEP]);
        let mut pair = Pair {
            trackers,
            clocks,
            cut: false,
            refuses,
            links: 0,
            first_word: None,
            coming: VecDeque::new(),
        };
        pair.wake();
        pair
    }

    fn wake(&mut self) {
        for index in [0, 1] {
            self.coming.push_back((index, Input::Wake));
            while let Some((index, input)) = self.coming.pop_front() {
                self.give(index, input);
            }
        }
    }

    fn give(&mut self, index: usize, input: Input) {
        let mut outbox = Vec::new();
        self.trackers[index].handle(self.clocks[index], input, &mut outbox);
        self.trackers[index].check();
        for action in outbox {
            let (here, there) = match action {
                Action::Reach { tracker, .. } if self.cut || (self.refuses && index == 1) => {
                    (Some(Input::Unreached { tracker }), None)
                }
                Action::Reach { tracker, .. } => {
                    self.links += 1;
                    let (link, from) = (LinkId(self.links), IpAddr::V4(Ipv4Addr::LOCALHOST));
                    let reached = Input::Reached { tracker, link, device: device(1 - index) };
                    (Some(reached), Some(Input::LinkUp { link, device: device(index), from }))
                }
                Action::Speak { link, message } => {
                    let said = Input::Message { link, message };
                    if index == 0 {
                        self.first_word.get_or_insert_with(|| said.clone());
                    }
                    (Some(Input::Sent { link, messages: 1 }), Some(said))
                }
                Action::Send { link, message } => {
                    assert_eq!(message, TrackerMessage::Pong, "there are no clients");
                    (Some(Input::Sent { link, messages: 1 }), Some(Input::Echo { link }))
                }
                Action::Close { link, .. } => {
                    (Some(Input::LinkDown { link }), Some(Input::LinkDown { link }))
                }
                Action::Start { job, work: Work::Persist(_) } => {
                    (Some(Input::Done { job, outcome: Outcome::Durable }), None)
                }
                Action::Start { work: Work::Sign(_), .. } => unreachable!("nobody wants a ticket"),
                Action::Say(_) => (None, None),
            };
            self.coming.extend(here.map(|input| (index, input)));
            self.coming.extend(there.filter(|_| !self.cut).map(|input| (1 - index, input)));
        }
    }

    fn step(&mut self) {
        for clock in &mut self.clocks {
            *clock += STEP;
        }
        self.wake();
    }

    fn pass(&mut self, span: Span) {
        for _ in 0..span.0 / STEP.0 {
            self.step();
        }
    }

    /// The line is cut until the backup has gone on alone.
    fn cut_for_long(&mut self) {
        self.cut = true;
        self.pass(TAKEOVER * 2);
        assert_eq!(self.statuses().map(|status| status.generation), [1, 2]);
        self.cut = false;
    }

    fn statuses(&self) -> [Status; 2] {
        [0, 1].map(|index| self.trackers[index].status(self.clocks[index]))
    }

    /// The first follows the second, and they agree again.
    fn assert_comes_back(&mut self) {
        self.pass(TAKEOVER * 2);
        let [first, second] = self.statuses();
        for status in [&first, &second] {
            assert_eq!((status.blank, status.generation), (false, 2));
        }
        assert!(first.leader.is_some(), "both wait for somebody");
        assert_eq!((first.leader, first.digest), (second.leader, second.digest));
    }
}

#[test]
fn one_that_was_cut_off_before_it_said_that_it_began_comes_back() {
    let mut pair = Pair::new();
    pair.cut_for_long();
    pair.assert_comes_back();
}

#[test]
fn one_that_was_cut_off_before_it_got_the_registry_comes_back() {
    let mut pair = Pair::new();
    pair.step();
    let begun = pair.statuses().map(|status| (status.blank, status.generation));
    assert_eq!(begun, [(true, 1), (false, 1)], "the second began, and the first has heard of it");
    pair.cut_for_long();
    pair.assert_comes_back();
}

#[test]
fn one_that_was_cut_off_before_it_heard_of_the_other_comes_back() {
    let mut pair = Pair::begin(true);
    pair.step();
    pair.cut = true;
    pair.refuses = false;
    pair.pass(TAKEOVER * 2);
    assert_eq!(pair.statuses().map(|status| status.generation), [0, 2]);
    pair.cut = false;
    pair.assert_comes_back();
}

#[test]
fn one_whose_first_word_comes_late_comes_back() {
    let mut pair = Pair::new();
    pair.cut = true;
    pair.pass(TAKEOVER * 2);
    let late = pair.first_word.take().unwrap();
    pair.coming.push_back((1, late));
    pair.pass(TICK * 10);
    pair.cut = false;
    pair.assert_comes_back();
}
