//! What goes out on a channel: content, sealed record by record into a buffer that the socket takes whole.
//!
//! Invariants: what was sealed leaves in order and completely, or the channel ends; a key that sealed enough is changed before it seals
//! more; nothing is held while nothing is on its way.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::handshake::Keys;
use super::incoming::{CLOSE_NOTIFY, KEY_UPDATE};
use super::record::{CONTENT_LEN_MAX, Kind, Sealer};
use crate::pool::{Buffer, Pool};

/// Content on its way out: a head, which may be empty, and a body, which may be, too.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    head: &'a [u8],
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    /// `head` and then `body`.
    #[must_use]
    pub const fn new(head: &'a [u8], body: &'a [u8]) -> Parts<'a> {
        Parts { head, body }
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    /// The content of the next record, if its length suits.
    fn next_if(&mut self, suits: impl FnOnce(usize) -> bool) -> Option<&'a [u8]> {
        let part = if self.head.is_empty() { &mut self.body } else { &mut self.head };
        let (next, rest) = part.split_at(part.len().min(CONTENT_LEN_MAX));
        if next.is_empty() || !suits(next.len()) {
            return None;
        }
        *part = rest;
        Some(next)
    }
}

/// The writing side of a channel, but for the socket.
pub(super) struct Outgoing {
    sealer: Sealer,
    keys: Arc<Keys>,
    pool: Pool,
    /// There while something is in it.
    buffer: Option<Buffer>,
    /// Where in the buffer sealed bytes are that have not left.
    sealed: Range<usize>,
}

impl Outgoing {
    pub(super) fn new(sealer: Sealer, keys: Arc<Keys>, pool: Pool) -> Outgoing {
        Outgoing { sealer, keys, pool, buffer: None, sealed: 0..0 }
    }

    /// Seals as many parts as the buffer holds. What was sealed before has left.
    pub(super) fn seal(&mut self, content: &mut Parts<'_>) -> io::Result<()> {
        let buffer = self.buffer.insert(self.pool.take());
        // A change of key may come before a part.
        let room = buffer.len() - Sealer::sealed_len(KEY_UPDATE.len());
        let mut end = 0;
        while let Some(part) = content.next_if(|len| end + Sealer::sealed_len(len) <= room) {
            if self.sealer.is_worn() || self.keys.was_asked() {
                end += self
                    .sealer
                    .seal(Kind::Handshake, &KEY_UPDATE, &mut buffer[end..])
                    .map_err(io::Error::other)?;
                let next = self.keys.next_to_seal();
                self.sealer = Sealer::new(next.map_err(io::Error::other)?).map_err(io::Error::other)?;
            }
            end += self.sealer.seal(Kind::Data, part, &mut buffer[end..]).map_err(io::Error::other)?;
        }
        self.sealed = 0..end;
        Ok(())
    }

    /// Seals the last record: nothing follows. What was sealed before has left.
    pub(super) fn seal_end(&mut self) -> io::Result<()> {
        let buffer = self.buffer.insert(self.pool.take());
        let end = self.sealer.seal(Kind::Alert, &CLOSE_NOTIFY, buffer).map_err(io::Error::other)?;
        self.sealed = 0..end;
        Ok(())
    }

    /// What was sealed and has not left.
    pub(super) fn sealed(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer[self.sealed.clone()])
    }

    /// Strikes so many bytes, which left; says whether there are more.
    pub(super) fn left(&mut self, len: usize) -> bool {
        self.sealed.start += len;
        if self.sealed.is_empty() {
            self.buffer = None;
        }
        !self.sealed.is_empty()
    }
}
