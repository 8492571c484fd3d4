//! Memory for the pieces that arrive: the slots that the engine names.
//!
//! Invariant: there are [`limits::SLOTS`] slots, each allocated when it is first used.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::id::Slot;
use engine::limits;
use engine::piece::{Chaining, PIECE_LEN};

use crate::pages::Pages;

/// By how much more than the one before each slot begins behind a page. Pieces are hashed side by side, and what stands at the same place
/// of all pages has its few lines of the processor's cache in common.
const STAGGER: usize = 64;

/// The buffers for arriving pieces, named by the engine, which decides who may use which.
#[derive(Debug)]
pub struct Slots(Vec<Mutex<Option<Filling>>>);

/// A slot that is in use, or was.
#[derive(Debug)]
struct Filling {
    bytes: Pages,
    /// Of what has arrived since the last piece began: made at once, while the processor has the bytes at hand.
    chaining: Chaining,
}

impl Filling {
    fn new(slot: Slot) -> Filling {
        let bytes = Pages::behind(usize::from(slot.0) * STAGGER, PIECE_LEN as usize);
        Filling { bytes, chaining: Chaining::new(0) }
    }
}

impl Default for Slots {
    fn default() -> Slots {
        Slots((0..limits::SLOTS).map(|_| Mutex::default()).collect())
    }
}

impl Slots {
    /// Runs `use_it` on the bytes of `slot`, all [`PIECE_LEN`] of them.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn with<R>(&self, slot: Slot, use_it: impl FnOnce(&mut [u8]) -> R) -> R {
        use_it(&mut self.lock(slot).get_or_insert_with(|| Filling::new(slot)).bytes)
    }

    /// Takes note that these bytes of `piece` stand in `slot`, after all that come before them.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn filled(&self, slot: Slot, piece: u32, range: Range<usize>) {
        let mut filling = self.lock(slot);
        let filling = filling.get_or_insert_with(|| Filling::new(slot));
        if range.start == 0 {
            filling.chaining = Chaining::new(piece);
        }
        debug_assert_eq!(filling.chaining.count(), range.start as u64, "bytes arrive in order");
        filling.chaining.update(&filling.bytes[range]);
    }

    /// Holds some slots, all different. Whoever else wants one of them waits.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn hold(&self, slots: impl Iterator<Item = Slot>) -> Held<'_> {
        let held = slots.map(|slot| {
            let mut filling = self.lock(slot);
            filling.get_or_insert_with(|| Filling::new(slot));
            filling
        });
        Held(held.collect())
    }

    fn lock(&self, slot: Slot) -> MutexGuard<'_, Option<Filling>> {
        self.0[usize::from(slot.0)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slots that nobody else can use for now.
#[derive(Debug)]
pub struct Held<'a>(Vec<MutexGuard<'a, Option<Filling>>>);

impl Held<'_> {
    /// The bytes of each slot, in order, all [`PIECE_LEN`] of them, and what was made of those that have arrived.
    pub fn pieces(&self) -> impl Iterator<Item = (&[u8], &Chaining)> {
        self.0.iter().flat_map(|filling| filling.as_ref()).map(|filling| (&*filling.bytes, &filling.chaining))
    }
}
