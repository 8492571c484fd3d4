//! Which pieces may arrive on a link, and where their bytes go.
//!
//! The engine says what it expects and what it no longer wants; the reader asks before it takes the bytes of a chunk. Both hold
//! the same lock, for no longer than one read that does not wait, or than a chunk takes to be hashed, so that no byte reaches a slot after
//! the engine took the slot away.
//!
//! Invariant: the chunks of a piece arrive in order, from its first byte to its last.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::id::{FileId, Slot};
use engine::piece::Extent;
use engine::violation::Violation;
use engine::wire::frame::DataHead;

use super::slots::Slots;

/// Unwanted bytes that are read at once.
const SCRATCH_LEN: usize = 16 * 1024;

/// The pieces that may arrive on one link.
#[derive(Debug)]
pub(super) struct Arrivals {
    slots: Arc<Slots>,
    pieces: Mutex<HashMap<(FileId, u32), Arrival>>,
}

/// A piece that may arrive.
#[derive(Debug)]
struct Arrival {
    extent: Extent,
    /// Where it goes; nowhere if it is no longer wanted.
    slot: Option<Slot>,
    /// The first byte that has not arrived.
    next: u32,
}

/// Part of a piece, whose head has arrived and whose bytes are arriving.
#[derive(Debug)]
pub(super) struct Chunk {
    key: (FileId, u32),
    start: u32,
    next: u32,
    end: u32,
}

impl Chunk {
    /// Whether all its bytes have arrived.
    pub(super) const fn is_complete(&self) -> bool {
        self.next == self.end
    }
}

impl Arrivals {
    pub(super) fn new(slots: Arc<Slots>) -> Arrivals {
        Arrivals { slots, pieces: Mutex::default() }
    }

    pub(super) fn expect(&self, extent: Extent, slot: Slot) {
        let arrival = Arrival { extent, slot: Some(slot), next: 0 };
        self.pieces().insert((extent.file, extent.piece), arrival);
    }

    pub(super) fn discard(&self, extent: Extent) {
        if let Some(arrival) = self.pieces().get_mut(&(extent.file, extent.piece)) {
            arrival.slot = None;
        }
    }

    pub(super) fn unexpect(&self, extent: Extent) {
        self.pieces().remove(&(extent.file, extent.piece));
    }

    pub(super) fn clear(&self) {
        self.pieces().clear();
    }

    /// Takes in the head of a chunk of `len` bytes.
    pub(super) fn begin(&self, head: DataHead, len: usize) -> Result<Chunk, Violation> {
        let key = (head.file, head.piece);
        let pieces = self.pieces();
        let arrival = pieces.get(&key).ok_or(Violation::UnrequestedData)?;
        let rest = arrival.extent.len - arrival.next;
        match u32::try_from(len) {
            Ok(len) if head.offset == arrival.next && len <= rest => {
                Ok(Chunk { key, start: head.offset, next: head.offset, end: head.offset + len })
            }
            _ => Err(Violation::UnrequestedData),
        }
    }

    /// Lets `read` put bytes where the rest of the chunk goes, without waiting. What it reads beyond that (it says how much in all) is
    /// its own affair. Gives how many bytes of the chunk arrived, and how many others.
    pub(super) fn fill(
        &self,
        chunk: &mut Chunk,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<(usize, usize)> {
        let (from, to) = (chunk.next as usize, chunk.end as usize);
        let mut pieces = self.pieces();
        // Gone or replaced since the chunk began: its bytes are nobody's.
        let arrival = pieces.get_mut(&chunk.key).filter(|arrival| arrival.next == chunk.next);
        let (room, read) = match arrival.as_ref().and_then(|arrival| arrival.slot) {
            Some(slot) => (to - from, self.slots.with(slot, |bytes| read(&mut bytes[from..to]))?),
            None => {
                let room = (to - from).min(SCRATCH_LEN);
                (room, read(&mut vec![0; room])?)
            }
        };
        let arrived = read.min(room);
        chunk.next += u32::try_from(arrived).expect("no longer than the chunk");
        if let Some(arrival) = arrival {
            arrival.next = chunk.next;
        }
        Ok((arrived, read - arrived))
    }

    /// Ends a complete chunk; gives the piece if it is complete, too, and wanted.
    pub(super) fn end(&self, chunk: &Chunk) -> Option<(Extent, Slot)> {
        let mut pieces = self.pieces();
        let arrival = pieces.get(&chunk.key).filter(|arrival| arrival.next == chunk.end)?;
        if let Some(slot) = arrival.slot {
            self.slots.filled(slot, arrival.extent.piece, chunk.start as usize..chunk.end as usize);
        }
        if arrival.next != arrival.extent.len {
            return None;
        }
        let arrival = pieces.remove(&chunk.key)?;
        Some((arrival.extent, arrival.slot?))
    }

    fn pieces(&self) -> MutexGuard<'_, HashMap<(FileId, u32), Arrival>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use engine::piece::{PIECE_LEN, Size, chaining_value};

    use super::*;

    const EXTENT: Extent = Extent { file: FileId(7), piece: 3, len: 100 };

    fn head(offset: u32) -> DataHead {
        DataHead { file: EXTENT.file, piece: EXTENT.piece, offset }
    }

    /// Lets all bytes of a chunk arrive; gives the piece if that completed it.
    fn arrive(arrivals: &Arrivals, offset: u32, len: usize, byte: u8) -> Option<(Extent, Slot)> {
        let mut chunk = arrivals.begin(head(offset), len).unwrap();
        while !chunk.is_complete() {
            let whole = |room: &mut [u8]| {
                room.fill(byte);
                Ok(room.len())
            };
            arrivals.fill(&mut chunk, whole).unwrap();
        }
        arrivals.end(&chunk)
    }

    #[test]
    fn a_piece_is_complete_with_its_last_byte() {
        let slots = Arc::new(Slots::default());
        let arrivals = Arrivals::new(Arc::clone(&slots));
        arrivals.expect(EXTENT, Slot(2));
        assert_eq!(arrive(&arrivals, 0, 60, 1), None);
        assert_eq!(arrive(&arrivals, 60, 40, 2), Some((EXTENT, Slot(2))));
        slots.with(Slot(2), |bytes| assert_eq!((bytes[59], bytes[60], bytes[99], bytes[100]), (1, 2, 2, 0)));
        let held = slots.hold([Slot(2)].into_iter());
        let (bytes, chaining) = held.pieces().next().unwrap();
        let size = Size::new(10 * u64::from(PIECE_LEN)).unwrap();
        assert_eq!(chaining.value(size), chaining_value(size, EXTENT.piece, &bytes[..100]));
        drop(held);
        assert_eq!(arrivals.begin(head(0), 1).unwrap_err(), Violation::UnrequestedData, "it came once");
    }

    #[test]
    fn chunks_out_of_order_or_too_long_are_violations() {
        let arrivals = Arrivals::new(Arc::default());
        assert_eq!(arrivals.begin(head(0), 1).unwrap_err(), Violation::UnrequestedData);
        arrivals.expect(EXTENT, Slot(0));
        assert_eq!(arrivals.begin(head(1), 1).unwrap_err(), Violation::UnrequestedData);
        assert_eq!(arrivals.begin(head(0), 101).unwrap_err(), Violation::UnrequestedData);
        arrivals.unexpect(EXTENT);
        assert_eq!(arrivals.begin(head(0), 1).unwrap_err(), Violation::UnrequestedData);
    }

    #[test]
    fn unwanted_bytes_reach_no_slot() {
        let slots = Arc::new(Slots::default());
        let arrivals = Arrivals::new(Arc::clone(&slots));
        arrivals.expect(EXTENT, Slot(0));
        let mut chunk = arrivals.begin(head(0), 100).unwrap();
        let one = |room: &mut [u8]| {
            room[0] = 9;
            Ok(1)
        };
        assert_eq!(arrivals.fill(&mut chunk, one).unwrap(), (1, 0));
        arrivals.discard(EXTENT);
        assert_eq!(arrivals.fill(&mut chunk, one).unwrap(), (1, 0));
        arrivals.fill(&mut chunk, |room| Ok(room.len() + 5)).map(|got| assert_eq!(got, (98, 5))).unwrap();
        assert_eq!(arrivals.end(&chunk), None, "it ends in silence");
        slots.with(Slot(0), |bytes| assert_eq!(bytes[..3], [9, 0, 0]));
        assert_eq!(arrivals.begin(head(0), 1).unwrap_err(), Violation::UnrequestedData, "and it ended");
    }
}
