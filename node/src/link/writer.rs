//! The writer of a link: few, large system calls, and messages before data.
//!
//! Each round takes all messages that wait (up to a bound) and one chunk of the piece under way, and writes them with as few
//! calls as the channel allows. A chunk is read from its file just before it is sealed; what is not in memory, a thread reads, and the
//! messages go on meanwhile.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use async_io::Timer;
use smol::Task;

use engine::limits::CHUNK_LEN_MAX;
use engine::peer::io::Outcome;
use engine::refusal::DiskError;
use engine::wire::frame::{DataHead, HEAD_LEN, Head, Kind};

use super::throttle::Throttles;
use super::{Event, Events, Piece, Shared};
use crate::channel::{Parts, WriteHalf};
use crate::courtesy::Courtesy;
use crate::pool::{Buffer, Pool};

/// Messages in one round.
const MESSAGES_PER_ROUND: usize = 64;

#[derive(Debug)]
pub(super) struct Writer<M, I> {
    half: WriteHalf,
    shared: Arc<Shared>,
    events: Events<M, I>,
    messages: Vec<Vec<u8>>,
    leaving: Option<Leaving>,
    chunks: Pool,
    throttles: Arc<Throttles>,
    /// When the next chunk may leave.
    turn: Turn,
    courtesy: Courtesy,
}

/// The piece under way.
#[derive(Debug)]
struct Leaving {
    piece: Piece,
    /// Bytes that left.
    sent: usize,
    next: Upcoming,
}

/// The chunk that leaves next.
#[derive(Debug)]
enum Upcoming {
    /// It is still to be read.
    Unread,
    /// A thread reads it.
    Coming(Task<Result<Buffer, DiskError>>),
    /// It was read, or could not be.
    Read(Result<Buffer, DiskError>),
}

/// When the next chunk may leave.
#[derive(Debug)]
enum Turn {
    /// It has no time yet.
    Unknown,
    /// Then.
    At(Timer),
    /// Now.
    Now,
}

/// Whether there is more to do.
enum Next {
    Round,
    /// All messages left; the link is being closed.
    Finished,
    /// The link ended.
    Ended,
}

impl<M, I> Writer<M, I> {
    pub(super) fn new(
        half: WriteHalf,
        shared: Arc<Shared>,
        chunks: Pool,
        throttles: Arc<Throttles>,
        events: Events<M, I>,
    ) -> Self {
        Writer {
            half,
            shared,
            events,
            messages: Vec::new(),
            leaving: None,
            chunks,
            throttles,
            turn: Turn::Unknown,
            courtesy: Courtesy::default(),
        }
    }

    /// Writes until the link ends, and answers for the pieces that did not leave.
    pub(super) async fn run(mut self) {
        let finished = match self.rounds().await {
            Ok(()) => self.half.finish().await,
            error => error,
        };
        if let Err(error) = finished {
            tracing::debug!(link = self.shared.id.0, %error, "writing ended");
            // Wakes the reader, which ends the link.
            self.half.cutter().cut();
        }
        self.shared.limits.write.end();
        let waiting = {
            let mut queue = self.shared.queue();
            queue.ended = true;
            queue.messages.clear();
            std::mem::take(&mut queue.pieces)
        };
        let leaving = self.leaving.take().map(|leaving| leaving.piece);
        for piece in leaving.into_iter().chain(waiting) {
            self.end_piece(piece, Outcome::Stopped).await;
        }
    }

    async fn rounds(&mut self) -> io::Result<()> {
        loop {
            match self.next().await {
                Next::Round => {}
                Next::Finished | Next::Ended => return Ok(()),
            }
            let stopped = self.leaving.take_if(|leaving| leaving.piece.stop.load(Ordering::Relaxed));
            if let Some(Leaving { piece, .. }) = stopped {
                self.end_piece(piece, Outcome::Stopped).await;
            }
            let chunk = self.next_chunk().await;
            self.round(chunk).await?;
            self.report().await;
            self.courtesy.turn().await;
        }
    }

    /// Waits for something to write, and takes it.
    async fn next(&mut self) -> Next {
        let shared = Arc::clone(&self.shared);
        poll_fn(|context| {
            let mut queue = shared.queue();
            if queue.ended {
                return Poll::Ready(Next::Ended);
            }
            let count = queue.messages.len().min(MESSAGES_PER_ROUND);
            self.messages.extend(queue.messages.drain(..count));
            if queue.closing {
                return Poll::Ready(if self.messages.is_empty() { Next::Finished } else { Next::Round });
            }
            if self.leaving.is_none() {
                self.leaving = queue.pieces.pop_front().map(Leaving::new);
            }
            let chunk_goes = self.may_go(context);
            if self.messages.is_empty() && !chunk_goes {
                queue.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Next::Round)
        })
        .await
    }

    /// Whether there is a chunk that may leave now, and no thread reads it, or one that was stopped; if there will be, the task is woken then.
    fn may_go(&mut self, context: &mut Context<'_>) -> bool {
        let Some(leaving) = &mut self.leaving else { return false };
        if leaving.piece.stop.load(Ordering::Relaxed) {
            return true;
        }
        if matches!(self.turn, Turn::Unknown) {
            self.turn = self.throttles.up.reserve(leaving.chunk_len()).map_or(Turn::Now, Turn::At);
        }
        if let Turn::At(alarm) = &mut self.turn
            && Pin::new(alarm).poll(context).is_ready()
        {
            self.turn = Turn::Now;
        }
        if let Upcoming::Coming(task) = &mut leaving.next
            && let Poll::Ready(read) = Pin::new(task).poll(context)
        {
            leaving.next = Upcoming::Read(read);
        }
        matches!(self.turn, Turn::Now) && !matches!(leaving.next, Upcoming::Coming(_))
    }

    /// The next chunk, if its turn has come and it is there. A piece that cannot be read ends.
    async fn next_chunk(&mut self) -> Option<Buffer> {
        let leaving = self.leaving.as_mut().filter(|_| matches!(self.turn, Turn::Now))?;
        match leaving.read(&self.chunks)? {
            Ok(chunk) => Some(chunk),
            Err(why) => {
                let Leaving { piece, .. } = self.leaving.take()?;
                self.end_piece(piece, Outcome::Failed(why)).await;
                None
            }
        }
    }

    /// Writes the messages and the chunk, if there is one.
    async fn round(&mut self, chunk: Option<Buffer>) -> io::Result<()> {
        let mut head = self.messages.concat();
        let mut body = &[][..];
        if let (Some(chunk), Some(leaving)) = (&chunk, &mut self.leaving) {
            let len = leaving.chunk_len();
            head.extend(chunk_heads(&leaving.piece, leaving.sent, len));
            body = &chunk[..len];
            leaving.sent += len;
            self.turn = Turn::Unknown;
        }
        let mut content = Parts::new(&head, body);
        while !content.is_empty() {
            self.half.seal(&mut content)?;
            self.shared.limits.write.begin();
            while self.half.flush().await? {
                self.shared.limits.write.begin();
            }
        }
        self.shared.limits.write.end();
        Ok(())
    }

    /// Tells what left in this round.
    async fn report(&mut self) {
        if !self.messages.is_empty() {
            let count = u32::try_from(self.messages.len()).expect("at most MESSAGES_PER_ROUND");
            self.messages.clear();
            self.events.tell(Event::Sent(count)).await;
        }
        if let Some(Leaving { piece, .. }) = self.leaving.take_if(|leaving| leaving.chunk_len() == 0) {
            self.end_piece(piece, Outcome::Sent).await;
        }
    }

    async fn end_piece(&self, piece: Piece, outcome: Outcome) {
        let Piece { job, source, .. } = piece;
        drop(source);
        self.events.tell(Event::PieceEnded(job, outcome)).await;
    }
}

impl Leaving {
    fn new(piece: Piece) -> Leaving {
        Leaving { piece, sent: 0, next: Upcoming::Unread }
    }

    /// The length of the next chunk; 0 behind the last one.
    fn chunk_len(&self) -> usize {
        CHUNK_LEN_MAX.min(self.piece.extent.len as usize - self.sent)
    }

    /// The next chunk, unless a thread has to read it first.
    fn read(&mut self, chunks: &Pool) -> Option<Result<Buffer, DiskError>> {
        match std::mem::replace(&mut self.next, Upcoming::Unread) {
            Upcoming::Read(read) => return Some(read),
            Upcoming::Coming(task) => {
                self.next = Upcoming::Coming(task);
                return None;
            }
            Upcoming::Unread => {}
        }
        let (mut chunk, len) = (chunks.take(), self.chunk_len());
        let offset = self.piece.extent.offset() + self.sent as u64;
        let source = &self.piece.source;
        match source.read_ready(offset, &mut chunk[..len]) {
            Ok(true) => Some(Ok(chunk)),
            Ok(false) => {
                let source = Arc::clone(source);
                let read = move || source.read(offset, &mut chunk[..len]).map(|()| chunk);
                self.next = Upcoming::Coming(smol::unblock(read));
                None
            }
            Err(why) => Some(Err(why)),
        }
    }
}

/// The two heads of a data frame.
fn chunk_heads(piece: &Piece, offset: usize, len: usize) -> [u8; HEAD_LEN + DataHead::LEN] {
    let mut heads = [0; HEAD_LEN + DataHead::LEN];
    let offset = u32::try_from(offset).expect("inside a piece");
    heads[..HEAD_LEN].copy_from_slice(&Head { kind: Kind::Data, len: DataHead::LEN + len }.encode());
    heads[HEAD_LEN..]
        .copy_from_slice(&DataHead { file: piece.theirs, piece: piece.extent.piece, offset }.encode());
    heads
}
