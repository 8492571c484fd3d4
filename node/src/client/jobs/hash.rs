//! Hashing: the digests of pieces, and the threads that hash those that arrive.
//!
//! Pieces that arrive gather while others are hashed, and are then hashed together: the busier a client, the cheaper a piece.

use std::iter;
use std::thread;
use std::time::Duration;

use async_channel::Receiver;
use engine::id::{JobId, Slot};
use engine::peer::io::Outcome;
use engine::piece::{Extent, PieceDigest, Size, chaining_value};

use super::Shared;
use super::disk::EndOnPanic;
use crate::client::run::Event;
use crate::sha1;

/// How long the next piece is waited for, if the last ones came several at a time: on a link of 4 Gbit/s one comes in this time.
const GATHER: Duration = Duration::from_millis(1);

/// A piece that has arrived, to be hashed in its slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) job: JobId,
    pub(super) slot: Slot,
    pub(super) extent: Extent,
    pub(super) size: Size,
}

/// How many threads hash what arrives, if the pool has so many: one where pieces are hashed side by side, since with more of them each
/// would have fewer.
pub(super) fn threads(pool: usize) -> usize {
    if sha1::batch_len() > 1 { 1 } else { pool }
}

/// The digests of pieces, each by the size of its file, its number and its bytes.
pub(super) fn digests(pieces: &[(Size, u32, &[u8])]) -> Vec<PieceDigest> {
    let bytes: Vec<&[u8]> = pieces.iter().map(|(.., bytes)| *bytes).collect();
    let sha1s = sha1::digests(&bytes).into_iter();
    sha1s
        .zip(pieces)
        .map(|(sha1, (size, piece, bytes))| PieceDigest { sha1, cv: chaining_value(*size, *piece, bytes) })
        .collect()
}

/// Lets a batch come together, for as long as more pieces come.
fn gather(arriving: &Receiver<Arrived>) {
    let (mut before, mut waiting) = (usize::MAX, arriving.len());
    while waiting != before && waiting + 1 < sha1::batch_len() {
        thread::sleep(GATHER);
        (before, waiting) = (waiting, arriving.len());
    }
}

impl Shared {
    /// Hashes what arrives until the queue is closed.
    pub(super) fn hash(&self, arriving: &Receiver<Arrived>) {
        let _unanswered = EndOnPanic;
        let mut gathering = false;
        while let Ok(first) = arriving.recv_blocking() {
            if gathering {
                gather(arriving);
            }
            let more = iter::from_fn(|| arriving.try_recv().ok());
            let batch: Vec<Arrived> = iter::once(first).chain(more).take(sha1::batch_len()).collect();
            gathering = batch.len() > 1;
            for (Arrived { job, .. }, digest) in batch.iter().zip(self.hash_batch(&batch)) {
                // Nobody takes it only when the client has ended.
                let _ended = self.events.send_blocking(Event::Done(*job, Outcome::Hashed(digest)));
            }
        }
    }

    fn hash_batch(&self, batch: &[Arrived]) -> Vec<PieceDigest> {
        let held = self.slots.hold(batch.iter().map(|arrived| arrived.slot));
        let pieces: Vec<_> = batch
            .iter()
            .zip(held.bytes())
            .map(|(Arrived { extent, size, .. }, bytes)| (*size, extent.piece, &bytes[..extent.len as usize]))
            .collect();
        digests(&pieces)
    }
}
