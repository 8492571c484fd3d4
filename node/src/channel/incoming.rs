//! What comes in on a channel: bytes from the socket, opened record by record, handed on as content.
//!
//! Invariants:
//! - Content is given out in order, each byte once, and only what authenticated.
//! - The end is told only after the remote said that nothing follows (close_notify); a connection that ends without it is an error.
//! - While it waits for the socket, it holds no more memory than the part of a record that has arrived.
//! - Who sends records without content is cut off: each costs as much as one with content, and nobody else's task would come to its turn.

use std::io::{self, IoSliceMut, Read};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;

use rustls::AlertDescription;

use super::handshake::Keys;
use super::record::{HEAD_LEN, Kind, Opener, RecordError};
use crate::pool::{Buffer, Pool};

/// The one message that may follow a handshake here: the key of this direction changes (RFC 8446, 4.6.3).
pub(super) const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// The same, and the other direction's key shall change, too.
const KEY_UPDATE_REQUEST: [u8; 5] = [24, 0, 0, 1, 1];

/// The alert that says that nothing follows.
pub(super) const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// Records without content that may follow each other.
const HOLLOW_MAX: u32 = 32;

/// What came of opening records.
enum Opened {
    /// There is no whole record, or nothing follows.
    Nothing,
    /// Content, in the buffer.
    Here,
    /// So many bytes of content, where they go.
    There(usize),
}

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
    /// Records since the last one with content.
    hollow: u32,
    /// Whether the remote said that nothing follows.
    closed: bool,
}

impl Incoming {
    pub(super) fn new(opener: Opener, keys: Arc<Keys>, pool: Pool, rest: Vec<u8>) -> Incoming {
        Incoming {
            opener,
            keys,
            pool,
            buffer: None,
            sealed: 0..0,
            content: 0..0,
            rest,
            hollow: 0,
            closed: false,
        }
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
                let len = if self.content.is_empty() {
                    match self.open(&mut part[at..], given == 0)? {
                        Opened::Nothing => return Ok(given),
                        Opened::There(len) => len,
                        Opened::Here => continue,
                    }
                } else {
                    self.copy(&mut part[at..])
                };
                at += len;
                given += len;
            }
        }
        Ok(given)
    }

    /// Gives out content that was opened in the buffer.
    fn copy(&mut self, into: &mut [u8]) -> usize {
        let content = self.buffer.as_ref().map_or(&[][..], |buffer| &buffer[self.content.clone()]);
        let len = content.len().min(into.len());
        into[..len].copy_from_slice(&content[..len]);
        self.content.start += len;
        len
    }

    /// Opens records until there is content; straight into `into` if all of it fits there. What would fit only in part is left, unless it
    /// is the `first`: the next to ask may have room for all of it, and then nothing is copied.
    fn open(&mut self, into: &mut [u8], first: bool) -> io::Result<Opened> {
        self.take_up();
        while !self.closed {
            let Some(buffer) = &mut self.buffer else { return Ok(Opened::Nothing) };
            let len = Opener::record_len(&buffer[self.sealed.clone()]).map_err(broken)?;
            let Some(len) = len.filter(|len| *len <= self.sealed.len()) else { return Ok(Opened::Nothing) };
            if !first && Opener::room_for(len) - 1 > into.len() {
                return Ok(Opened::Nothing);
            }
            let start = self.sealed.start;
            let record = &mut buffer[start..start + len];
            let fits = Opener::room_for(len) <= into.len();
            let opened = if fits { self.opener.open_into(record, into) } else { self.opener.open(record) };
            let (kind, content) = opened.map_err(broken)?;
            self.sealed.start += len;
            self.hollow = if kind == Kind::Data && !content.is_empty() { 0 } else { self.hollow + 1 };
            if self.hollow > HOLLOW_MAX {
                return Err(broken(RecordError::Hollow));
            }
            match kind {
                Kind::Data if content.is_empty() => {}
                Kind::Data if fits => return Ok(Opened::There(content.len())),
                Kind::Data => {
                    self.content = start + HEAD_LEN..start + HEAD_LEN + content.len();
                    return Ok(Opened::Here);
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
        Ok(Opened::Nothing)
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
