//! Memory for bytes on their way: taken for as long as some are in it, so that an idle connection has none.
//!
//! Invariant: a buffer is in one pair of hands at a time, and at most [`IDLE_MAX`] idle ones are kept.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pages::Pages;

/// Idle buffers that a pool keeps: as many as connections are likely to be busy in the same moment.
const IDLE_MAX: usize = 8;

/// Buffers of one length. How many are out is bounded by those who take them: connections and jobs, a few each.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    len: usize,
    idle: Mutex<Vec<Pages>>,
}

impl Pool {
    pub(crate) fn new(len: usize) -> Pool {
        Pool(Arc::new(Shelf { len, idle: Mutex::default() }))
    }

    /// A buffer with anything in it.
    pub(crate) fn take(&self) -> Buffer {
        let idle = self.0.idle().pop();
        Buffer { bytes: idle.unwrap_or_else(|| Pages::new(self.0.len)), shelf: Arc::clone(&self.0) }
    }
}

impl Shelf {
    fn idle(&self) -> MutexGuard<'_, Vec<Pages>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer, which goes back to its pool when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Pages,
    shelf: Arc<Shelf>,
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
        let mut idle = self.shelf.idle();
        if idle.len() < IDLE_MAX {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}
