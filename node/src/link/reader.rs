//! The reader of a link: takes the stream apart into messages and pieces.
//!
//! The bytes of a large chunk are opened straight into their slot; what was read along with its head is copied, and so is the last record,
//! which needs room for a byte more than its content.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::sync::Arc;

use bincode::Decode;
use engine::violation::Violation;
use engine::wire::codec;
use engine::wire::frame::{DataHead, HEAD_LEN, Head, Kind};

use super::arrivals::{Arrivals, Chunk};
use super::throttle::Throttles;
use super::{Event, Events, Shared};
use crate::channel::ReadHalf;
use crate::courtesy::Courtesy;

/// What an idle link holds for reading: some ordinary messages, or the heads around a chunk.
const BUFFER_LEN: usize = 2 * 1024;

/// Why reading ended.
#[derive(Debug)]
pub(super) enum End {
    /// The remote closed between two frames.
    Closed,
    /// The connection broke, or was cut.
    Broken(io::Error),
    /// The remote broke the protocol.
    Violation(Violation),
    /// The link was closed from here.
    ClosedHere,
    /// Nobody listens any more.
    ShellEnded,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("closed by the remote"),
            End::Broken(error) => error.fmt(f),
            End::Violation(violation) => violation.fmt(f),
            End::ClosedHere => f.write_str("closed from here"),
            End::ShellEnded => f.write_str("nobody listens"),
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Broken(error)
    }
}

impl From<Violation> for End {
    fn from(violation: Violation) -> End {
        End::Violation(violation)
    }
}

/// Whether a frame's first byte was read before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Yes,
    /// It was if there is something in the buffer.
    Perhaps,
}

#[derive(Debug)]
pub(super) struct Reader<M, I> {
    half: ReadHalf,
    shared: Arc<Shared>,
    arrivals: Option<Arc<Arrivals>>,
    throttles: Arc<Throttles>,
    events: Events<M, I>,
    buffer: Buffer,
    courtesy: Courtesy,
}

impl<M: Decode<()>, I> Reader<M, I> {
    pub(super) fn new(
        half: ReadHalf,
        shared: Arc<Shared>,
        arrivals: Option<Arc<Arrivals>>,
        throttles: Arc<Throttles>,
        events: Events<M, I>,
    ) -> Self {
        let (buffer, courtesy) = (Buffer::default(), Courtesy::default());
        Reader { half, shared, arrivals, throttles, events, buffer, courtesy }
    }

    /// Reads until the end, whatever it is.
    pub(super) async fn run(mut self) -> End {
        loop {
            if let Err(end) = self.frame().await {
                if !self.closing() || matches!(end, End::Closed | End::Broken(_)) {
                    return end;
                }
                return self.drain().await;
            }
        }
    }

    /// Reads one frame.
    async fn frame(&mut self) -> Result<(), End> {
        self.need(HEAD_LEN, Begun::Perhaps).await?;
        let head = Head::decode(self.buffer.take_array())?;
        match head.kind {
            Kind::Message => self.message(head.len).await?,
            Kind::Data => self.data(head.len - DataHead::LEN).await?,
        }
        Ok(())
    }

    async fn message(&mut self, len: usize) -> Result<(), End> {
        self.need(len, Begun::Yes).await?;
        self.shared.limits.frame.end();
        let message = codec::decode(&self.buffer.filled()[..len])?;
        self.buffer.take(len);
        self.tell(Event::Message(message)).await
    }

    async fn data(&mut self, len: usize) -> Result<(), End> {
        let arrivals = self.arrivals.clone().ok_or(Violation::UnrequestedData)?;
        self.need(DataHead::LEN, Begun::Yes).await?;
        let mut chunk = arrivals.begin(DataHead::decode(self.buffer.take_array()), len)?;
        self.wait_for_turn(len).await;
        self.fill_from_buffer(&arrivals, &mut chunk)?;
        while !chunk.is_complete() {
            self.fill_from_socket(&arrivals, &mut chunk).await?;
            // An unwanted chunk is read in parts, and the part's overflow belongs to the chunk.
            self.fill_from_buffer(&arrivals, &mut chunk)?;
        }
        self.shared.limits.frame.end();
        match arrivals.end(&chunk) {
            Some((extent, slot)) => self.tell(Event::Block(extent, slot)).await,
            None => Ok(()),
        }
    }

    fn fill_from_buffer(&mut self, arrivals: &Arrivals, chunk: &mut Chunk) -> io::Result<()> {
        while !chunk.is_complete() && !self.buffer.filled().is_empty() {
            let filled = self.buffer.filled();
            let (copied, _) = arrivals.fill(chunk, |room| {
                let len = room.len().min(filled.len());
                room[..len].copy_from_slice(&filled[..len]);
                Ok(len)
            })?;
            self.buffer.take(copied);
        }
        Ok(())
    }

    /// Reads the rest of the chunk into its slot, and the heads that follow it into the buffer, in one go.
    async fn fill_from_socket(&mut self, arrivals: &Arrivals, chunk: &mut Chunk) -> io::Result<()> {
        self.courtesy.turn().await;
        self.shared.limits.frame.begin_once();
        let next = self.buffer.room(0);
        let (arrived, beyond) = self
            .half
            .read_with(|stream| {
                arrivals.fill(chunk, |rest| {
                    stream.read_vectored(&mut [IoSliceMut::new(rest), IoSliceMut::new(next)])
                })
            })
            .await?;
        self.buffer.grow(beyond);
        if arrived == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Waits until a chunk may come in. All of it counts, however much of it was read along with what came before it.
    async fn wait_for_turn(&mut self, len: usize) {
        if let Some(alarm) = self.throttles.down.reserve(len) {
            // It is we who are slow now, not the remote.
            self.shared.limits.frame.end();
            alarm.await;
        }
    }

    /// Reads until `len` bytes are in the buffer.
    async fn need(&mut self, len: usize, begun: Begun) -> Result<(), End> {
        while self.buffer.filled().len() < len {
            if self.closing() {
                return Err(End::ClosedHere);
            }
            let inside = begun == Begun::Yes || !self.buffer.filled().is_empty();
            if inside {
                self.shared.limits.frame.begin_once();
            }
            self.courtesy.turn().await;
            let room = self.buffer.room(len);
            match self.half.read_with(|stream| stream.read(room)).await? {
                0 if inside => return Err(End::Broken(io::ErrorKind::UnexpectedEof.into())),
                0 => return Err(End::Closed),
                read => self.buffer.grow(read),
            }
        }
        Ok(())
    }

    /// Tells the shell, unless the link is being closed, when it no longer wants to know.
    async fn tell(&mut self, event: Event<M>) -> Result<(), End> {
        if self.closing() {
            return Err(End::ClosedHere);
        }
        if self.events.tell(event).await { Ok(()) } else { Err(End::ShellEnded) }
    }

    /// Reads and drops what the remote still says, so that what was said to it is not lost in a reset.
    async fn drain(&mut self) -> End {
        self.shared.limits.frame.end();
        self.buffer = Buffer::default();
        loop {
            self.courtesy.turn().await;
            let room = self.buffer.room(0);
            match self.half.read_with(|stream| stream.read(room)).await {
                Ok(0) => return End::ClosedHere,
                Ok(_) => {}
                Err(error) => return End::Broken(error),
            }
        }
    }

    fn closing(&self) -> bool {
        self.shared.queue().closing
    }
}

/// Bytes that were read and not yet understood. It grows for a long message and shrinks after it.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    filled: Range<usize>,
}

impl Buffer {
    fn filled(&self) -> &[u8] {
        &self.bytes[self.filled.clone()]
    }

    /// Strikes the first `len` bytes.
    fn take(&mut self, len: usize) {
        self.filled.start += len;
        debug_assert!(self.filled.start <= self.filled.end, "what is taken was there");
        if self.filled.is_empty() {
            self.filled = 0..0;
            if self.bytes.len() > BUFFER_LEN {
                self.bytes = Vec::new();
            }
        }
    }

    /// Strikes the first bytes and gives them.
    fn take_array<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut array = [0; LEN];
        array.copy_from_slice(&self.filled()[..LEN]);
        self.take(LEN);
        array
    }

    /// Room for more bytes, so that `len` in all fit in a row.
    fn room(&mut self, len: usize) -> &mut [u8] {
        self.bytes.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        let len = len.max(BUFFER_LEN);
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
        }
        &mut self.bytes[self.filled.end..]
    }

    /// Counts bytes that were read into the room.
    fn grow(&mut self, read: usize) {
        self.filled.end += read;
    }
}
