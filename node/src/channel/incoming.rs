//! What comes in on a channel: bytes from the socket, opened record by record, handed on as content.
//!
//! Invariants:
//! - Content is given out in order, each byte once, and only what authenticated.
//! - The end is told only after the remote said that nothing follows (close_notify); a connection that ends without it is an error.
//! - While it waits for the socket, it holds no more memory than the part of a record that has arrived.

use std::io::{self, IoSliceMut, Read};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;

use rustls::AlertDescription;

use super::handshake::Keys;
use super::pool::{Buffer, Pool};
use super::record::{HEAD_LEN, Kind, Opener, RecordError};

/// The one message that may follow a handshake here: the key of this direction changes (RFC 8446, 4.6.3).
pub(super) const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// The same, and the other direction's key shall change, too.
const KEY_UPDATE_REQUEST: [u8; 5] = [24, 0, 0, 1, 1];

/// The alert that says that nothing follows.
pub(super) const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// The reading side of a channel, but for the socket.
pub(super) struct Incoming {
    opener: Opener,
    keys: Arc<Keys>,
    pool: Pool,
    /// There while something is in it.
    buffer: Option<Buffer>,
    /// Where in the buffer sealed bytes are.
    sealed: Range<usize>,
    /// Where in the buffer content is that was not given out yet.
    content: Range<usize>,
    /// Sealed bytes, while there is no buffer.
    rest: Vec<u8>,
    /// Whether the remote said that nothing follows.
    closed: bool,
}

impl Incoming {
    pub(super) fn new(opener: Opener, keys: Arc<Keys>, pool: Pool, rest: Vec<u8>) -> Incoming {
        Incoming { opener, keys, pool, buffer: None, sealed: 0..0, content: 0..0, rest, closed: false }
    }

    /// Fills `into` as far as what has arrived reaches; nothing only at the end.
    fn read(&mut self, socket: &TcpStream, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        loop {
            let given = self.give(into)?;
            if given > 0 || self.closed || into.iter().all(|part| part.is_empty()) {
                return Ok(given);
            }
            self.receive(socket)?;
        }
    }

    fn give(&mut self, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut given = 0;
        for part in into {
            let mut at = 0;
            while at < part.len() {
                if self.content.is_empty() && !self.open()? {
                    return Ok(given);
                }
                let Some(buffer) = &self.buffer else { return Ok(given) };
                let len = self.content.len().min(part.len() - at);
                part[at..at + len].copy_from_slice(&buffer[self.content.start..][..len]);
                self.content.start += len;
                at += len;
                given += len;
            }
        }
        Ok(given)
    }

    /// Opens records until there is content; says whether there is.
    fn open(&mut self) -> io::Result<bool> {
        self.take_up();
        while !self.closed {
            let Some(buffer) = &mut self.buffer else { return Ok(false) };
            let len = Opener::record_len(&buffer[self.sealed.clone()]).map_err(broken)?;
            let Some(len) = len.filter(|len| *len <= self.sealed.len()) else { return Ok(false) };
            let start = self.sealed.start;
            let (kind, content) = self.opener.open(&mut buffer[start..start + len]).map_err(broken)?;
            self.sealed.start += len;
            match kind {
                Kind::Data if content.is_empty() => {}
                Kind::Data => {
                    self.content = start + HEAD_LEN..start + HEAD_LEN + content.len();
                    return Ok(true);
                }
                Kind::Alert if content == CLOSE_NOTIFY => self.closed = true,
                Kind::Alert => return Err(alerted(content)),
                Kind::Handshake if content == KEY_UPDATE => self.update_key()?,
                Kind::Handshake if content == KEY_UPDATE_REQUEST => {
                    self.keys.ask();
                    self.update_key()?;
                }
                Kind::Handshake => return Err(broken(RecordError::Content)),
            }
        }
        Ok(false)
    }

    fn update_key(&mut self) -> io::Result<()> {
        let next = self.keys.next_to_open();
        self.opener = Opener::new(next.map_err(io::Error::other)?).map_err(io::Error::other)?;
        Ok(())
    }

    /// Reads more sealed bytes. All content was given out.
    fn receive(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        let buffer = self.buffer.get_or_insert_with(|| self.pool.take());
        buffer.copy_within(self.sealed.clone(), 0);
        self.sealed = 0..self.sealed.len();
        match socket.read(&mut buffer[self.sealed.end..]) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was cut")),
            Ok(read) => {
                self.sealed.end += read;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => {
                self.put_down();
                Err(error)
            }
        }
    }

    /// Holds what is there in no more memory than it needs.
    fn put_down(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.rest = buffer[self.sealed.clone()].to_vec();
        }
    }

    /// Whether it holds nothing.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.buffer.is_none() && self.rest.capacity() == 0
    }

    /// Takes a buffer again for what was put down.
    fn take_up(&mut self) {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            let mut buffer = self.pool.take();
            buffer[..rest.len()].copy_from_slice(&rest);
            (self.buffer, self.sealed) = (Some(buffer), 0..rest.len());
        }
    }
}

/// The content of a channel, to read without waiting.
pub(super) struct Content<'a> {
    pub(super) incoming: &'a mut Incoming,
    pub(super) socket: &'a TcpStream,
}

impl Read for Content<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.incoming.read(self.socket, &mut [IoSliceMut::new(into)])
    }

    fn read_vectored(&mut self, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.incoming.read(self.socket, into)
    }
}

fn broken(error: RecordError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn alerted(alert: &[u8]) -> io::Error {
    let what = alert.get(1).map(|code| AlertDescription::from(*code));
    io::Error::new(io::ErrorKind::ConnectionAborted, format!("the other end gave up: {what:?}"))
}
