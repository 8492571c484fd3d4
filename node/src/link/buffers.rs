//! Memory for pieces: the slots that the engine names, and a pool for pieces that are read from disk.
//!
//! Invariants: there are [`limits::SLOTS`] slots, each allocated when it is first used; a buffer of the pool is in one pair of hands at
//! a time, and at most [`POOLED_MAX`] idle ones are kept.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::id::Slot;
use engine::limits;
use engine::piece::PIECE_LEN;

use crate::pages::Pages;

/// Idle buffers that the pool keeps: one for each piece that may be on its way out.
const POOLED_MAX: usize = limits::GRANTS_MAX;

fn new_buffer() -> Pages {
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
        use_it(self.lock(slot).get_or_insert_with(new_buffer))
    }

    /// The bytes of some slots, all different. Whoever else wants one of them waits.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn hold(&self, slots: impl Iterator<Item = Slot>) -> Held<'_> {
        let held = slots.map(|slot| {
            let mut buffer = self.lock(slot);
            buffer.get_or_insert_with(new_buffer);
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

/// Buffers of one piece that go from hand to hand. How many are out is bounded by the jobs that take them.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Mutex<Vec<Pages>>>);

impl Pool {
    /// A buffer with anything in it.
    #[must_use]
    pub fn take(&self) -> Buffer {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: idle.unwrap_or_else(new_buffer), pool: self.clone() }
    }
}

/// A buffer of [`PIECE_LEN`] bytes, which goes back to its pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Pages,
    pool: Pool,
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < POOLED_MAX {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}
