//! Memory for the pieces that arrive: the slots that the engine names.
//!
//! Invariant: there are [`limits::SLOTS`] slots, each allocated when it is first used.

use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::id::Slot;
use engine::limits;
use engine::piece::PIECE_LEN;

use crate::pages::Pages;

fn new_slot() -> Pages {
    Pages::new(PIECE_LEN as usize)
}

/// The buffers for arriving pieces, named by the engine, which decides who may use which.
#[derive(Debug)]
pub struct Slots(Vec<Mutex<Option<Pages>>>);

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
        use_it(self.lock(slot).get_or_insert_with(new_slot))
    }

    /// The bytes of some slots, all different. Whoever else wants one of them waits.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn hold(&self, slots: impl Iterator<Item = Slot>) -> Held<'_> {
        let held = slots.map(|slot| {
            let mut buffer = self.lock(slot);
            buffer.get_or_insert_with(new_slot);
            buffer
        });
        Held(held.collect())
    }

    fn lock(&self, slot: Slot) -> MutexGuard<'_, Option<Pages>> {
        self.0[usize::from(slot.0)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slots that nobody else can use for now.
#[derive(Debug)]
pub struct Held<'a>(Vec<MutexGuard<'a, Option<Pages>>>);

impl Held<'_> {
    /// The bytes of each slot, in order, all [`PIECE_LEN`] of them.
    pub fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|buffer| buffer.as_deref().unwrap_or_default())
    }
}
