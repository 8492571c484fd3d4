//! Framed links: a [`Channel`] on which messages, and on peer links the bytes of pieces, travel both ways.
//!
//! Each link has a reader task and a writer task. The shell's loop holds a [`Link`], whose methods never wait; what happens on the
//! link comes to the loop as [`Event`]s on one bounded queue, so a loop that is busy slows its remotes down and nothing else.
//!
//! Invariants:
//! - Nothing queues without bound: at most [`limits::LINK_CREDIT`] messages and [`limits::GRANTS_MAX`] pieces wait to leave.
//! - Each message that left is reported once, each piece handed over ends once, and [`Event::Down`] comes once, last.
//! - A message waits for at most one chunk of a piece, and not until a disk has read one; piece bytes are copied once between socket and buffer.
//! - A remote that breaks the protocol, sends half a frame for ever or does not read loses its link.

mod arrivals;
mod reader;
pub mod slots;
pub mod throttle;
mod watchdog;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use async_channel::Sender;
use bincode::{Decode, Encode};
use engine::id::{DeviceId, FileId, JobId, LinkId, Slot};
use engine::limits;
use engine::peer::io::Outcome;
use engine::piece::Extent;
use engine::refusal::DiskError;
use engine::violation::Violation;
use engine::wire::frame;

use crate::channel::{Channel, Cutter};
use crate::pool::Pool;
use arrivals::Arrivals;
use reader::Reader;
use slots::Slots;
use throttle::Throttles;
use watchdog::{Limits, TooLong};
use writer::Writer;

pub use watchdog::Watchdog;

/// Something that happened on a link.
#[derive(Debug)]
pub enum Event<M> {
    /// The remote said something.
    Message(M),
    /// So many messages left for the network.
    Sent(u32),
    /// The last byte of an expected piece arrived.
    Block(Extent, Slot),
    /// A piece that the job handed over is done with: sent, stopped or failed.
    PieceEnded(JobId, Outcome),
    /// The link ended. Nothing follows.
    Down,
}

/// A piece on its way out.
#[derive(Debug)]
pub struct Piece {
    /// The job that is answered when it is done with.
    pub job: JobId,
    /// The file's number at the remote.
    pub theirs: FileId,
    /// Where its bytes stand in the file.
    pub extent: Extent,
    /// Where its bytes are read from.
    pub source: Arc<dyn Source>,
    /// Set by whoever no longer wants it to be sent.
    pub stop: Arc<AtomicBool>,
}

/// What holds the bytes of a file. They are read from it chunk by chunk as they leave, so that what is sealed was read a moment ago.
pub trait Source: fmt::Debug + Send + Sync {
    /// Fills `bytes` with what stands at `offset` if nothing has to be waited for; says whether it did.
    ///
    /// # Errors
    /// The file is no longer what it was.
    fn read_ready(&self, offset: u64, bytes: &mut [u8]) -> Result<bool, DiskError>;

    /// Fills `bytes` with what stands at `offset`, which may take as long as a disk does.
    ///
    /// # Errors
    /// The file is no longer what it was, or what the disk says.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError>;
}

/// What all links of a client that carry pieces share.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// Where pieces arrive.
    pub slots: Arc<Slots>,
    /// How fast pieces may come and go.
    pub throttles: Arc<Throttles>,
    /// Where the chunks that leave are read into.
    chunks: Pool,
}

impl Default for Bulk {
    fn default() -> Bulk {
        Bulk { slots: Arc::default(), throttles: Arc::default(), chunks: Pool::new(limits::CHUNK_LEN_MAX) }
    }
}

/// The shell's end of a link. When it is dropped, the link is cut.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    arrivals: Option<Arc<Arrivals>>,
}

/// Where pieces for a link are handed over, from any thread.
#[derive(Clone, Debug)]
pub struct PieceSender(Arc<Shared>);

impl Link {
    /// Begins to read and write on `channel`. What happens goes to `into`, wrapped. Pieces may travel if there is `bulk`.
    #[must_use]
    pub fn start<M, I>(
        id: LinkId,
        channel: Channel,
        bulk: Option<&Bulk>,
        watchdog: &Arc<Watchdog>,
        into: Sender<I>,
        wrap: fn(LinkId, Event<M>) -> I,
    ) -> Link
    where
        M: Decode<()> + Send + 'static,
        I: Send + 'static,
    {
        let (remote, address) = (channel.remote, channel.address);
        let (read_half, write_half) = channel.split();
        let shared = Arc::new(Shared {
            id,
            remote,
            address,
            cutter: write_half.cutter(),
            limits: Limits::new(watchdog),
            queue: Mutex::default(),
        });
        watchdog.watch(&shared);
        let arrivals = bulk.map(|bulk| Arc::new(Arrivals::new(Arc::clone(&bulk.slots))));
        let Bulk { chunks, throttles, .. } = bulk.cloned().unwrap_or_default();
        let events = Events { id, into, wrap };
        let reader = Reader::new(
            read_half,
            Arc::clone(&shared),
            arrivals.clone(),
            Arc::clone(&throttles),
            events.clone(),
        );
        let writer = Writer::new(write_half, Arc::clone(&shared), chunks, throttles, events.clone());
        let writer = smol::spawn(writer.run());
        smol::spawn(run(reader, writer, Arc::clone(&shared), events)).detach();
        Link { shared, arrivals }
    }

    /// Queues a message.
    ///
    /// # Panics
    /// If more than [`limits::LINK_CREDIT`] would wait: the engine's accounting is at fault.
    pub fn send(&self, message: &impl Encode) {
        let mut queue = self.shared.queue();
        if queue.closing || queue.ended {
            return;
        }
        queue.messages.push_back(frame::message(message));
        assert!(queue.messages.len() <= limits::LINK_CREDIT as usize, "messages are sent on credit");
        queue.wake();
    }

    /// Where pieces for this link are handed over.
    #[must_use]
    pub fn piece_sender(&self) -> PieceSender {
        PieceSender(Arc::clone(&self.shared))
    }

    /// Lets a piece arrive, into `slot`.
    pub fn expect(&self, extent: Extent, slot: Slot) {
        if let Some(arrivals) = &self.arrivals {
            arrivals.expect(extent, slot);
        }
    }

    /// Lets a piece arrive, but no longer into its slot.
    pub fn discard(&self, extent: Extent) {
        if let Some(arrivals) = &self.arrivals {
            arrivals.discard(extent);
        }
    }

    /// No longer lets a piece arrive.
    pub fn unexpect(&self, extent: Extent) {
        if let Some(arrivals) = &self.arrivals {
            arrivals.unexpect(extent);
        }
    }

    /// Ends the link once the messages that wait have left, or soon after. What the remote still says is not heard.
    pub fn close(&self, violation: Option<Violation>) {
        if let Some(violation) = violation {
            self.shared.log_violation(violation);
        }
        self.shared.limits.close.begin_once();
        let mut queue = self.shared.queue();
        queue.closing = true;
        queue.wake();
        drop(queue);
        if let Some(arrivals) = &self.arrivals {
            arrivals.clear();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.cutter.cut();
    }
}

impl PieceSender {
    /// Queues a piece; it ends with [`Event::PieceEnded`].
    ///
    /// # Errors
    /// The piece, if the link has ended or is being closed.
    ///
    /// # Panics
    /// If more than [`limits::GRANTS_MAX`] would wait: the engine's accounting is at fault.
    pub fn send(&self, piece: Piece) -> Result<(), Piece> {
        let mut queue = self.0.queue();
        if queue.closing || queue.ended {
            return Err(piece);
        }
        queue.pieces.push_back(piece);
        assert!(queue.pieces.len() <= limits::GRANTS_MAX, "pieces are sent on grants");
        queue.wake();
        Ok(())
    }

    /// Stops the piece that has this flag, even while it waits for its turn or for a disk.
    pub fn stop(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Relaxed);
        self.0.queue().wake();
    }
}

/// Waits for both tasks and says that the link is down.
async fn run<M, I>(reader: Reader<M, I>, writer: smol::Task<()>, shared: Arc<Shared>, events: Events<M, I>)
where
    M: Decode<()>,
{
    let why = reader.run().await;
    tracing::debug!(link = shared.id.0, address = %shared.address, remote = %shared.remote, %why, "link ended");
    if let reader::End::Violation(violation) = why {
        shared.log_violation(violation);
    }
    shared.cutter.cut();
    shared.queue().end();
    writer.await;
    events.tell(Event::Down).await;
}

/// What the two tasks, the shell's loop and the watchdog share.
#[derive(Debug)]
struct Shared {
    id: LinkId,
    remote: DeviceId,
    address: SocketAddr,
    cutter: Cutter,
    limits: Limits,
    queue: Mutex<Queue>,
}

/// What waits to leave.
#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    pieces: VecDeque<Piece>,
    /// Nothing more is accepted; the messages still leave.
    closing: bool,
    /// Nothing leaves any more.
    ended: bool,
    /// The writer, if it waits.
    waker: Option<Waker>,
}

impl Queue {
    /// Nothing leaves any more.
    fn end(&mut self) {
        self.ended = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watchdog's look.
    fn look(&self, now: u64) {
        let Some(too_long) = self.limits.broken(now) else { return };
        match too_long {
            TooLong::Frame => self.log_violation(Violation::FrameTooSlow),
            TooLong::Write => self.log_violation(Violation::NotReading),
            TooLong::Close => tracing::debug!(link = self.id.0, address = %self.address, "closed in haste"),
        }
        self.cutter.cut();
    }

    fn log_violation(&self, violation: Violation) {
        tracing::warn!(link = self.id.0, address = %self.address, remote = %self.remote, %violation, "link cut");
    }
}

/// Where the two tasks tell what happened.
#[derive(Debug)]
struct Events<M, I> {
    id: LinkId,
    into: Sender<I>,
    wrap: fn(LinkId, Event<M>) -> I,
}

impl<M, I> Clone for Events<M, I> {
    fn clone(&self) -> Self {
        Events { id: self.id, into: self.into.clone(), wrap: self.wrap }
    }
}

impl<M, I> Events<M, I> {
    /// Tells the shell's loop. Says whether there is still one.
    async fn tell(&self, event: Event<M>) -> bool {
        self.into.send((self.wrap)(self.id, event)).await.is_ok()
    }
}
