//! A connection driven by hand: the handshake, frames, and whatever else a test wants to send.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use engine::id::{DeviceId, FileId};
use engine::limits::CHUNK_LEN_MAX;
use engine::wire::frame::{self, DataHead, HEAD_LEN, Head, Kind};
use engine::wire::peer::PeerMessage;
use engine::wire::{PROTOCOL, codec};

use super::DEADLINE;

/// What a link is for, as the handshake says it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Tracker = 1,
    Peer = 2,
}

/// An open connection, its handshake done.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    /// Whether every byte leaves on its own.
    pub(crate) drips: bool,
}

/// What came in.
#[derive(Debug)]
pub(crate) enum Frame {
    Message(Vec<u8>),
    /// Part of a piece. No test needs the bytes.
    Data,
}

impl Link {
    pub(crate) fn connect(to: SocketAddr, role: Role, device: DeviceId) -> Link {
        let stream = TcpStream::connect(to).unwrap();
        Link::shake_hands(stream, role, device).unwrap()
    }

    /// Takes the next connection that another peer opens.
    pub(crate) fn accept(listener: &TcpListener, device: DeviceId) -> Link {
        listener.set_nonblocking(true).unwrap();
        let stream = super::until("a peer connects", || match listener.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        });
        stream.set_nonblocking(false).unwrap();
        Link::shake_hands(stream, Role::Peer, device).unwrap()
    }

    fn shake_hands(mut stream: TcpStream, role: Role, device: DeviceId) -> io::Result<Link> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.write_all(&hello(role, device))?;
        let mut theirs = [0; PROTOCOL.len() + 33];
        stream.read_exact(&mut theirs)?;
        assert_eq!(&theirs[..PROTOCOL.len()], PROTOCOL);
        Ok(Link { stream, drips: false })
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.drips {
            return self.stream.write_all(bytes);
        }
        bytes.iter().try_for_each(|byte| self.stream.write_all(&[*byte]))
    }

    pub(crate) fn send(&mut self, message: &impl bincode::Encode) -> io::Result<()> {
        self.send_bytes(&frame::message(message))
    }

    /// Sends part of a piece.
    pub(crate) fn send_data(&mut self, head: DataHead, bytes: &[u8]) -> io::Result<()> {
        let frame = Head { kind: Kind::Data, len: DataHead::LEN + bytes.len() }.encode();
        self.send_bytes(&[&frame[..], &head.encode(), bytes].concat())
    }

    /// Sends a piece, in as many frames as it needs.
    pub(crate) fn send_piece(&mut self, file: FileId, piece: u32, bytes: &[u8]) -> io::Result<()> {
        for (index, chunk) in bytes.chunks(CHUNK_LEN_MAX).enumerate() {
            let offset = u32::try_from(index * CHUNK_LEN_MAX).unwrap();
            self.send_data(DataHead { file, piece, offset }, chunk)?;
        }
        Ok(())
    }

    /// The next frame; none when the other side has ended the connection.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; HEAD_LEN];
        self.read(&mut head)?;
        let Head { kind, len } = Head::decode(head).unwrap();
        let mut body = vec![0; len];
        self.read(&mut body)?;
        match kind {
            Kind::Message => Some(Frame::Message(body)),
            Kind::Data => Some(Frame::Data),
        }
    }

    /// The next message of a peer, answering its pings; none when the connection has ended.
    pub(crate) fn peer_message(&mut self) -> Option<PeerMessage> {
        loop {
            let Frame::Message(body) = self.receive()? else { panic!("data that nobody asked for") };
            match codec::decode(&body).unwrap() {
                // If this cannot be sent, the next read says so.
                PeerMessage::Ping => drop(self.send(&PeerMessage::Pong)),
                message => return Some(message),
            }
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("nothing came for {DEADLINE:?}")
            }
            Err(_) => None,
        }
    }

    /// Waits until the other side has ended the connection, whatever it says before.
    pub(crate) fn wait_closed(mut self) {
        let mut bytes = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("it was not dropped"),
                Err(_) => return,
            }
        }
    }

    /// Cuts the connection, as a crash would.
    pub(crate) fn cut(self) {
        // It fails only if it has ended already.
        let _ended = self.stream.shutdown(Shutdown::Both);
    }
}

fn hello(role: Role, device: DeviceId) -> Vec<u8> {
    [&PROTOCOL[..], &[role as u8], &device.0].concat()
}
