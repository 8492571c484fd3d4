//! Two links that talk over loopback, and remotes that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_channel::Receiver;
use engine::id::{FileId, JobId, LinkId, Slot};
use engine::piece::{Extent, PIECE_LEN};
use engine::wire::frame;
use engine::wire::peer::PeerMessage;

use super::buffers::{Pool, Slots};
use super::*;
use crate::channel::{self, Channel, WriteHalf};

const FILE: FileId = FileId(5);
const EXTENT: Extent = Extent { file: FILE, piece: 9, len: 300_001 };

/// One end of a link, with what happened on it.
struct End {
    link: Link,
    events: Receiver<Event<PeerMessage>>,
    slots: Arc<Slots>,
    watchdog: Arc<Watchdog>,
}

impl End {
    fn new(channel: Channel) -> End {
        let bulk = Bulk::default();
        let watchdog = Watchdog::stopped();
        // Room for all that happens while a test looks at the other end.
        let (into, events) = async_channel::bounded(256);
        let link = Link::start(LinkId(1), channel, Some(&bulk), &watchdog, into, |_, event| event);
        End { link, events, slots: bulk.slots, watchdog }
    }

    async fn next(&self) -> Event<PeerMessage> {
        self.events.recv().await.unwrap()
    }

    async fn hears(&self, expected: PeerMessage) {
        match self.next().await {
            Event::Message(message) => assert_eq!(message, expected),
            other => panic!("{other:?}"),
        }
    }

    /// All that is left to happen.
    async fn rest(&self) -> Vec<Event<PeerMessage>> {
        let mut events = Vec::new();
        while let Ok(event) = self.events.recv().await {
            events.push(event);
        }
        events
    }

    async fn is_down(&self) {
        let rest = self.rest().await;
        assert!(matches!(rest[..], [Event::Down]), "{rest:?}");
    }

    /// The writer finds both when it looks.
    fn send_at_once(&self, piece: Piece, message: &PeerMessage) {
        let mut queue = self.link.shared.queue();
        queue.pieces.push_back(piece);
        queue.messages.push_back(frame::message(message));
        queue.wake();
    }

    fn send_piece(&self, job: u32, stop: bool) {
        self.link.piece_sender().send(piece(job, stop)).unwrap();
    }
}

fn piece(job: u32, stop: bool) -> Piece {
    let mut bytes = Pool::default().take();
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = content(index);
    }
    let stop = Arc::new(AtomicBool::new(stop));
    Piece { job: JobId(job), theirs: FILE, piece: 9, bytes, len: EXTENT.len as usize, stop }
}

fn content(index: usize) -> u8 {
    u8::try_from(index % 251).unwrap()
}

async fn two_ends() -> (End, End) {
    let (one, other) = channel::tests::pair().await;
    (End::new(one), End::new(other))
}

/// A link, and a remote that is played by hand.
async fn end_and_hand() -> (End, WriteHalf) {
    let (one, hand) = channel::tests::pair().await;
    (End::new(one), hand.split().1)
}

async fn put(hand: &mut WriteHalf, bytes: &[u8]) {
    channel::tests::write(hand, bytes).await;
}

#[test]
fn messages_arrive_in_order_and_credit_comes_back() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        for piece in 0..100 {
            one.link.send(&PeerMessage::Request { file: FILE, piece });
        }
        for piece in 0..100 {
            other.hears(PeerMessage::Request { file: FILE, piece }).await;
        }
        let mut sent = 0;
        while sent < 100 {
            match one.next().await {
                Event::Sent(messages) => sent += messages,
                event => panic!("{event:?}"),
            }
        }
        assert_eq!(sent, 100);
    });
}

async fn a_piece_arrives(one: End, other: End) {
    other.link.expect(EXTENT, Slot(3));
    one.send_at_once(piece(77, false), &PeerMessage::Ping);
    other.hears(PeerMessage::Ping).await;
    match other.next().await {
        Event::Block(extent, slot) => assert_eq!((extent, slot), (EXTENT, Slot(3))),
        event => panic!("{event:?}"),
    }
    other.slots.with(Slot(3), |bytes| {
        assert!(bytes[..EXTENT.len as usize].iter().enumerate().all(|(i, byte)| *byte == content(i)));
        assert!(bytes[EXTENT.len as usize..].iter().all(|byte| *byte == 0));
    });
    assert!(matches!(one.next().await, Event::Sent(1)));
    assert!(matches!(one.next().await, Event::PieceEnded { job: JobId(77), sent: true }));
}

#[test]
fn a_piece_arrives_in_its_slot_behind_a_later_message() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        a_piece_arrives(one, other).await;
    });
}

#[test]
fn a_stream_that_comes_byte_by_byte_means_the_same() {
    smol::block_on(async {
        let (one, mut other) = channel::tests::pair().await;
        other.drip();
        a_piece_arrives(End::new(one), End::new(other)).await;
    });
}

#[test]
fn long_messages_arrive_whole() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        let bytes = engine::wire::list::List::new((0..32 * 1024).map(content).collect());
        let message = PeerMessage::Bits { file: FILE, from: 0, bytes };
        for _ in 0..3 {
            one.link.send(&message);
        }
        for _ in 0..3 {
            other.hears(message.clone()).await;
        }
    });
}

#[test]
fn a_stopped_piece_ends_without_being_sent() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        other.link.expect(EXTENT, Slot(0));
        one.send_piece(1, true);
        assert!(matches!(one.next().await, Event::PieceEnded { job: JobId(1), sent: false }));
        one.link.send(&PeerMessage::Cancelled { file: FILE, piece: 9 });
        other.hears(PeerMessage::Cancelled { file: FILE, piece: 9 }).await;
    });
}

#[test]
fn an_unwanted_piece_passes_in_silence() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        other.link.expect(EXTENT, Slot(0));
        other.link.discard(EXTENT);
        one.send_piece(1, false);
        assert!(matches!(one.next().await, Event::PieceEnded { sent: true, .. }));
        one.link.send(&PeerMessage::Pong);
        other.hears(PeerMessage::Pong).await;
        other.slots.with(Slot(0), |bytes| assert!(bytes.iter().all(|byte| *byte == 0)));
    });
}

#[test]
fn a_piece_that_was_not_asked_for_ends_the_link() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        one.send_piece(1, false);
        other.is_down().await;
        let rest = one.rest().await;
        assert!(matches!(rest[..], [Event::PieceEnded { .. }, Event::Down]), "{rest:?}");
    });
}

#[test]
fn garbage_ends_the_link() {
    smol::block_on(async {
        let (end, mut hand) = end_and_hand().await;
        put(&mut hand, b"GET / HTTP/1.1\r\n\r\n").await;
        end.is_down().await;
    });
}

#[test]
fn half_a_frame_for_ever_ends_the_link() {
    smol::block_on(async {
        let (end, mut hand) = end_and_hand().await;
        let frame = frame::message(&PeerMessage::Request { file: FILE, piece: 70_000 });
        put(&mut hand, &frame).await;
        end.hears(PeerMessage::Request { file: FILE, piece: 70_000 }).await;
        for _ in 0..100 {
            end.watchdog.tick();
        }
        assert!(end.watchdog.falls_asleep(), "nothing is under way");
        put(&mut hand, &frame[..frame::HEAD_LEN]).await;
        let began = async {
            while !end.link.shared.limits.frame.is_under_way() {
                futures_lite::future::yield_now().await;
            }
        };
        futures_lite::future::or(began, async {
            smol::Timer::after(std::time::Duration::from_secs(10)).await;
            panic!("nobody looks at how long the frame takes");
        })
        .await;
        assert!(!end.watchdog.falls_asleep(), "a frame is");
        for _ in 0..limits::FRAME.secs_rounded_up() {
            end.watchdog.tick();
        }
        assert!(end.events.is_empty(), "still in time");
        end.watchdog.tick();
        end.is_down().await;
    });
}

#[test]
fn a_remote_that_does_not_read_loses_the_link() {
    smol::block_on(async {
        let (end, hand) = end_and_hand().await;
        // More than the kernel takes for a remote that reads nothing.
        for job in 1..=8 {
            end.send_piece(job, false);
        }
        let mut ticks = 0;
        loop {
            match futures_lite::future::poll_once(end.events.recv()).await {
                Some(Ok(Event::Down)) => break,
                Some(_) => {}
                None => {
                    end.watchdog.tick();
                    ticks += 1;
                    futures_lite::future::yield_now().await;
                }
            }
        }
        assert!(ticks > 60, "it has a minute");
        drop(hand);
    });
}

#[test]
fn a_close_says_goodbye_first() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        one.link.send(&PeerMessage::Bye);
        one.link.close(None);
        one.link.send(&PeerMessage::Ping);
        other.hears(PeerMessage::Bye).await;
        other.is_down().await;
        let rest = one.rest().await;
        assert!(matches!(rest[..], [Event::Sent(1), Event::Down]), "{rest:?}");
    });
}

#[test]
fn a_close_does_not_wait_for_ever() {
    smol::block_on(async {
        let (end, hand) = end_and_hand().await;
        end.link.close(None);
        for _ in 0..6 {
            end.watchdog.tick();
        }
        end.is_down().await;
        drop(hand);
    });
}

#[test]
fn pieces_for_a_link_that_ended_come_back() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        drop(other);
        one.is_down().await;
        let bytes = Pool::default().take();
        let stop = Arc::new(AtomicBool::new(false));
        let piece = Piece { job: JobId(1), theirs: FILE, piece: 0, bytes, len: PIECE_LEN as usize, stop };
        let piece = one.link.piece_sender().send(piece).unwrap_err();
        assert!(!piece.stop.load(Ordering::Relaxed));
    });
}
