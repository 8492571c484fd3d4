//! A tracker whose machine is dead, or whose line is cut, ends no connection: only its silence tells. The client is driven by hand.

use std::net::SocketAddr;

use engine::id::{CommandId, DeviceId, DialId, LinkId, Password};
use engine::peer::Peer;
use engine::peer::command::Command;
use engine::peer::io::{Action, Config, Input};
use engine::peer::strategy::Strategy;
use engine::seed::Seed;
use engine::time::{Span, Time};
use engine::wire::tracker::{ClientMessage, TrackerMessage};
use sim::prose::user;

const LINK: LinkId = LinkId(1);

/// A client with two trackers, connected to the first.
struct Client {
    peer: Peer,
    now: Time,
    acted: Vec<Action>,
}

fn tracker(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7_000))
}

impl Client {
    fn connected() -> Client {
        let config = Config {
            device: DeviceId([1; 32]),
            listen: SocketAddr::from(([10, 0, 0, 9], 9_000)),
            trackers: vec![tracker(1), tracker(2)],
            signers: Vec::new(),
            strategy: Strategy::default(),
            neighbours: 20,
            first_seq: 0,
        };
        let mut client =
            Client { peer: Peer::new(config, Seed([7; 32])), now: Time::default(), acted: Vec::new() };
        client.give(Input::Wake);
        let dial = client.dialled(tracker(1)).expect("it looks for a tracker at once");
        let device = DeviceId([2; 32]);
        client.give(Input::LinkUp { link: LINK, dial: Some(dial), device, from: tracker(1) });
        client
    }

    fn give(&mut self, input: Input) {
        self.peer.handle(self.now, input, &mut self.acted);
        self.peer.check();
    }

    /// Lets time pass, with a tracker that answers pings or says nothing.
    fn pass(&mut self, span: Span, answers: bool) {
        let until = self.now + span;
        while let Some(next) = self.peer.next_wakeup().filter(|next| *next <= until) {
            self.now = next;
            let before = self.pings();
            self.give(Input::Wake);
            if answers && self.pings() > before {
                self.give(Input::Tracker { link: LINK, message: TrackerMessage::Pong });
            }
        }
        self.now = until;
    }

    fn asks_something(&mut self) {
        let command = Command::Login { user: user("ann"), password: Password(0) };
        self.give(Input::Command { id: CommandId(1), command });
    }

    fn pings(&self) -> usize {
        let is_ping =
            |action: &&Action| matches!(action, Action::SendTracker { message: ClientMessage::Ping, .. });
        self.acted.iter().filter(is_ping).count()
    }

    fn dialled(&self, whom: SocketAddr) -> Option<DialId> {
        self.acted.iter().find_map(|action| match action {
            Action::Dial { dial, to, .. } if *to == whom => Some(*dial),
            _ => None,
        })
    }
}

#[test]
fn a_tracker_that_does_not_even_answer_a_ping_is_left_for_the_next_within_six_seconds() {
    let mut client = Client::connected();
    client.pass(Span::from_secs(10), true);
    client.asks_something();
    client.pass(Span::from_secs(6), false);
    assert!(client.dialled(tracker(2)).is_some(), "{:?}", client.acted);
}

#[test]
fn a_tracker_that_takes_long_and_answers_pings_is_waited_for() {
    let mut client = Client::connected();
    client.asks_something();
    client.pass(Span::from_secs(10), true);
    assert!(client.pings() > 0, "it was asked whether it is there");
    assert_eq!(client.dialled(tracker(2)), None);
}

#[test]
fn an_idle_client_finds_out_within_a_minute() {
    let mut client = Client::connected();
    client.pass(Span::from_secs(300), true);
    assert_eq!(client.dialled(tracker(2)), None);
    client.pass(Span::from_secs(60), false);
    assert!(client.dialled(tracker(2)).is_some());
}
