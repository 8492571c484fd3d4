//! Two links that talk over loopback, and remotes that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_channel::{Receiver, Sender};
use engine::id::{FileId, JobId, LinkId, Slot};
use engine::limits::CHUNK_LEN_MAX;
use engine::piece::Extent;
use engine::wire::frame;
use engine::wire::peer::PeerMessage;

use super::slots::Slots;
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
    piece_of(job, stop, Memory::default())
}

fn piece_of(job: u32, stop: bool, source: Memory) -> Piece {
    let stop = Arc::new(AtomicBool::new(stop));
    Piece { job: JobId(job), theirs: FILE, extent: EXTENT, source: Arc::new(source), stop }
}

/// A file of which so much is in memory, and the rest so far away that each read waits until it is let go on.
#[derive(Debug)]
struct Memory {
    ready: u64,
    breaks_at: u64,
    may_read: Receiver<()>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { ready: u64::MAX, breaks_at: u64::MAX, may_read: async_channel::bounded(1).1 }
    }
}

impl Source for Memory {
    fn read_ready(&self, offset: u64, bytes: &mut [u8]) -> Result<bool, DiskError> {
        let within = offset - EXTENT.offset();
        if within >= self.breaks_at {
            return Err(DiskError::Changed);
        }
        let is_ready = within + bytes.len() as u64 <= self.ready;
        if is_ready {
            fill(within, bytes);
        }
        Ok(is_ready)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        self.may_read.recv_blocking().map_err(|_closed| DiskError::Missing)?;
        fill(offset - EXTENT.offset(), bytes);
        Ok(())
    }
}

fn fill(offset: u64, bytes: &mut [u8]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = content(usize::try_from(offset).unwrap() + index);
    }
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

/// What must happen soon.
async fn in_time<R>(happens: impl Future<Output = R>) -> R {
    futures_lite::future::or(happens, async {
        smol::Timer::after(std::time::Duration::from_secs(10)).await;
        panic!("it does not happen");
    })
    .await
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
    arrives(&other).await;
    assert!(matches!(one.next().await, Event::Sent(1)));
    assert!(matches!(one.next().await, Event::PieceEnded(JobId(77), Outcome::Sent)));
}

/// The piece arrives in slot 3, whole.
async fn arrives(other: &End) {
    match other.next().await {
        Event::Block(extent, slot) => assert_eq!((extent, slot), (EXTENT, Slot(3))),
        event => panic!("{event:?}"),
    }
    other.slots.with(Slot(3), |bytes| {
        assert!(bytes[..EXTENT.len as usize].iter().enumerate().all(|(i, byte)| *byte == content(i)));
        assert!(bytes[EXTENT.len as usize..].iter().all(|byte| *byte == 0));
    });
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
        assert!(matches!(one.next().await, Event::PieceEnded(JobId(1), Outcome::Stopped)));
        one.link.send(&PeerMessage::Cancelled { file: FILE, piece: 9 });
        other.hears(PeerMessage::Cancelled { file: FILE, piece: 9 }).await;
    });
}

#[test]
fn messages_do_not_wait_for_a_disk() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        other.link.expect(EXTENT, Slot(3));
        let (let_read, may_read) = async_channel::bounded(10);
        let slow = Memory { ready: CHUNK_LEN_MAX as u64, may_read, ..Memory::default() };
        one.link.piece_sender().send(piece_of(1, false, slow)).unwrap();
        for _ in 0..3 {
            one.link.send(&PeerMessage::Ping);
            in_time(other.hears(PeerMessage::Ping)).await;
            assert!(matches!(one.next().await, Event::Sent(1)));
        }
        for _ in 1..usize::div_ceil(EXTENT.len as usize, CHUNK_LEN_MAX) {
            let_read.send(()).await.unwrap();
        }
        arrives(&other).await;
        assert!(matches!(one.next().await, Event::PieceEnded(JobId(1), Outcome::Sent)));
        assert!(let_read.is_empty(), "each chunk was read once");
    });
}

/// A link that waits for a disk: one chunk of the piece has left. With it, what lets the disk answer.
async fn waiting_for_a_disk() -> (End, End, Arc<AtomicBool>, Sender<()>) {
    let (one, other) = two_ends().await;
    other.link.expect(EXTENT, Slot(0));
    let (let_read, may_read) = async_channel::bounded(10);
    let slow = Memory { ready: CHUNK_LEN_MAX as u64, may_read, ..Memory::default() };
    let piece = piece_of(1, false, slow);
    let stop = Arc::clone(&piece.stop);
    one.link.piece_sender().send(piece).unwrap();
    one.link.send(&PeerMessage::Ping);
    other.hears(PeerMessage::Ping).await;
    assert!(matches!(one.next().await, Event::Sent(1)));
    (one, other, stop, let_read)
}

#[test]
fn a_piece_that_is_stopped_while_a_disk_reads_it_ends_at_once_and_once() {
    smol::block_on(async {
        let (one, other, stop, let_read) = waiting_for_a_disk().await;
        one.link.piece_sender().stop(&stop);
        assert!(matches!(in_time(one.next()).await, Event::PieceEnded(JobId(1), Outcome::Stopped)));
        let_read.send(()).await.unwrap();
        one.link.send(&PeerMessage::Pong);
        other.hears(PeerMessage::Pong).await;
        drop(other);
        let rest = in_time(one.rest()).await;
        assert!(matches!(rest[..], [Event::Sent(1), Event::Down]), "{rest:?}");
    });
}

#[test]
fn a_link_that_ends_while_a_disk_reads_does_not_wait_for_it() {
    smol::block_on(async {
        for closes in [true, false] {
            let (one, other, _, _let_read) = waiting_for_a_disk().await;
            if closes {
                one.link.close(None);
            } else {
                drop(other);
            }
            let rest = in_time(one.rest()).await;
            let ended = matches!(rest[..], [Event::PieceEnded(JobId(1), Outcome::Stopped), Event::Down]);
            assert!(ended, "{rest:?}");
        }
    });
}

#[test]
fn a_piece_that_breaks_off_fails_and_the_next_arrives() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        other.link.expect(EXTENT, Slot(0));
        let missing = Memory { ready: 2 * CHUNK_LEN_MAX as u64, ..Memory::default() };
        let changed = Memory { breaks_at: 1, ..Memory::default() };
        for (source, why) in [(missing, DiskError::Missing), (changed, DiskError::Changed)] {
            one.link.piece_sender().send(piece_of(1, false, source)).unwrap();
            match one.next().await {
                Event::PieceEnded(JobId(1), Outcome::Failed(failed)) => assert_eq!(failed, why),
                event => panic!("{event:?}"),
            }
            one.link.send(&PeerMessage::Ping);
            other.hears(PeerMessage::Ping).await;
            assert!(matches!(one.next().await, Event::Sent(1)));
            other.link.expect(EXTENT, Slot(3));
        }
        one.send_piece(2, false);
        arrives(&other).await;
        assert!(matches!(one.next().await, Event::PieceEnded(JobId(2), Outcome::Sent)));
    });
}

#[test]
fn an_unwanted_piece_passes_in_silence() {
    smol::block_on(async {
        let (one, other) = two_ends().await;
        other.link.expect(EXTENT, Slot(0));
        other.link.discard(EXTENT);
        one.send_piece(1, false);
        assert!(matches!(one.next().await, Event::PieceEnded(_, Outcome::Sent)));
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
        assert!(matches!(rest[..], [Event::PieceEnded(..), Event::Down]), "{rest:?}");
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
        in_time(began).await;
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
        let piece = one.link.piece_sender().send(piece(1, false)).unwrap_err();
        assert!(!piece.stop.load(Ordering::Relaxed));
    });
}
