//! The writer of a link: few, large system calls, and messages before data.
//!
//! Each round takes all messages that wait (up to a bound) and one chunk of the piece under way, and writes them with as few
//! calls as the channel allows.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use async_io::Timer;

use engine::limits::CHUNK_LEN_MAX;
use engine::wire::frame::{DataHead, HEAD_LEN, Head, Kind};

use super::throttle::Throttles;
use super::{Event, Events, Piece, Shared};
use crate::channel::{Parts, WriteHalf};
use crate::courtesy::Courtesy;

/// Messages in one round.
const MESSAGES_PER_ROUND: usize = 64;

#[derive(Debug)]
pub(super) struct Writer<M, I> {
    half: WriteHalf,
    shared: Arc<Shared>,
    events: Events<M, I>,
    messages: Vec<Vec<u8>>,
    piece: Option<Piece>,
    /// Bytes of the piece that left.
    sent: usize,
    throttles: Arc<Throttles>,
    /// When the next chunk may leave.
    turn: Turn,
    courtesy: Courtesy,
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
        throttles: Arc<Throttles>,
        events: Events<M, I>,
    ) -> Self {
        Writer {
            half,
            shared,
            events,
            messages: Vec::new(),
            piece: None,
            sent: 0,
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
        for piece in self.piece.take().into_iter().chain(waiting) {
            self.end_piece(piece, false).await;
        }
    }

    async fn rounds(&mut self) -> io::Result<()> {
        loop {
            match self.next().await {
                Next::Round => {}
                Next::Finished | Next::Ended => return Ok(()),
            }
            let stopped = self.piece.take_if(|piece| piece.stop.load(Ordering::Relaxed));
            if let Some(piece) = stopped {
                self.end_piece(piece, false).await;
            }
            self.round().await?;
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
            if self.piece.is_none() {
                self.piece = queue.pieces.pop_front();
                self.sent = 0;
            }
            let chunk_goes = self.piece.is_some() && self.may_go(context);
            if self.messages.is_empty() && !chunk_goes {
                queue.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Next::Round)
        })
        .await
    }

    /// Whether the next chunk may leave now; if not, the task is woken when it may.
    fn may_go(&mut self, context: &mut Context<'_>) -> bool {
        if matches!(self.turn, Turn::Unknown) {
            let len = self.next_chunk().len();
            self.turn = self.throttles.up.reserve(len).map_or(Turn::Now, Turn::At);
        }
        if let Turn::At(alarm) = &mut self.turn
            && Pin::new(alarm).poll(context).is_ready()
        {
            self.turn = Turn::Now;
        }
        matches!(self.turn, Turn::Now)
    }

    /// The bytes of the piece that leave next.
    fn next_chunk(&self) -> &[u8] {
        match &self.piece {
            Some(piece) => &piece.bytes[self.sent..piece.len.min(self.sent + CHUNK_LEN_MAX)],
            None => &[],
        }
    }

    /// Writes the messages and, if its turn has come, the next chunk.
    async fn round(&mut self) -> io::Result<()> {
        let mut head = self.messages.concat();
        let mut chunk_len = 0;
        if let Some(piece) = &self.piece
            && matches!(self.turn, Turn::Now)
        {
            chunk_len = self.next_chunk().len();
            head.extend(chunk_heads(piece, self.sent, chunk_len));
            self.turn = Turn::Unknown;
        }
        let chunk =
            self.piece.as_ref().map_or(&[][..], |piece| &piece.bytes[self.sent..self.sent + chunk_len]);
        let mut content = Parts::new(&head, chunk);
        while !content.is_empty() {
            self.half.seal(&mut content)?;
            self.shared.limits.write.begin();
            while self.half.flush().await? {
                self.shared.limits.write.begin();
            }
        }
        self.shared.limits.write.end();
        self.sent += chunk_len;
        Ok(())
    }

    /// Tells what left in this round.
    async fn report(&mut self) {
        if !self.messages.is_empty() {
            let count = u32::try_from(self.messages.len()).expect("at most MESSAGES_PER_ROUND");
            self.messages.clear();
            self.events.tell(Event::Sent(count)).await;
        }
        let sent = self.sent;
        if let Some(piece) = self.piece.take_if(|piece| sent == piece.len) {
            self.end_piece(piece, true).await;
        }
    }

    async fn end_piece(&self, piece: Piece, sent: bool) {
        let Piece { job, bytes, .. } = piece;
        drop(bytes);
        self.events.tell(Event::PieceEnded { job, sent }).await;
    }
}

/// The two heads of a data frame.
fn chunk_heads(piece: &Piece, offset: usize, len: usize) -> [u8; HEAD_LEN + DataHead::LEN] {
    let mut heads = [0; HEAD_LEN + DataHead::LEN];
    let offset = u32::try_from(offset).expect("inside a piece");
    heads[..HEAD_LEN].copy_from_slice(&Head { kind: Kind::Data, len: DataHead::LEN + len }.encode());
    heads[HEAD_LEN..].copy_from_slice(&DataHead { file: piece.theirs, piece: piece.piece, offset }.encode());
    heads
}
