//! Hashing: the digests of pieces, and the threads that hash those that arrive.
//!
//! Pieces that arrive in quick succession are gathered and hashed together: the busier a client, the cheaper a piece.

use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::id::{JobId, Slot};
use engine::peer::io::Outcome;
use engine::piece::{Extent, PieceDigest, Size, chaining_value};

use super::Shared;
use super::disk::EndOnPanic;
use crate::client::run::Event;
use crate::sha1;

/// How long the next piece is waited for, once several came at a time. On a link of 1 Gbit/s three come in this time.
const NEXT_MAX: Duration = Duration::from_millis(16);

/// How long the first piece of a batch waits for the others: at 175 MB/s sixteen come in this time.
const GATHER_MAX: Duration = Duration::from_millis(48);

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

/// The pieces that wait, at least one, as many as are hashed together. If they are `gathering`, more are waited for. None when there will be no
/// more.
fn next_batch(arriving: &Mutex<Receiver<Arrived>>, gathering: bool) -> Option<Vec<Arrived>> {
    let arriving = arriving.lock().unwrap_or_else(PoisonError::into_inner);
    let mut batch = vec![arriving.recv().ok()?];
    let latest = Instant::now() + GATHER_MAX;
    while batch.len() < sha1::batch_len() {
        let patience = latest.saturating_duration_since(Instant::now()).min(NEXT_MAX);
        let next = if gathering { arriving.recv_timeout(patience).ok() } else { arriving.try_recv().ok() };
        match next {
            Some(next) => batch.push(next),
            None => break,
        }
    }
    Some(batch)
}

impl Shared {
    /// Hashes what arrives until the queue is closed.
    pub(super) fn hash(&self, arriving: &Mutex<Receiver<Arrived>>) {
        let _unanswered = EndOnPanic;
        let mut gathering = false;
        while let Some(batch) = next_batch(arriving, gathering) {
            gathering = batch.len() > 1;
            for (Arrived { job, .. }, digest) in batch.iter().zip(self.hash_batch(&batch)) {
                // Nobody takes it only when the client has ended.
                let _ended = self.events.send_blocking(Event::Done(*job, Outcome::Hashed(digest)));
            }
        }
    }

    fn hash_batch(&self, batch: &[Arrived]) -> Vec<PieceDigest> {
        let held = self.slots.hold(batch.iter().map(|arrived| arrived.slot));
        let bytes: Vec<&[u8]> = batch
            .iter()
            .zip(held.pieces())
            .map(|(arrived, (bytes, _))| &bytes[..arrived.extent.len as usize])
            .collect();
        let sha1s = sha1::digests(&bytes).into_iter();
        sha1s
            .zip(batch.iter().zip(held.pieces()))
            .map(|(sha1, (arrived, (_, chaining)))| {
                assert_eq!(chaining.count(), u64::from(arrived.extent.len), "it came whole");
                PieceDigest { sha1, cv: chaining.value(arrived.size) }
            })
            .collect()
    }
}
