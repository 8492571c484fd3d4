//! A connection driven by hand: the handshake by `rustls` itself, frames, and whatever else a test wants to send.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use engine::id::FileId;
use engine::limits::CHUNK_LEN_MAX;
use engine::name::GroupName;
use engine::peer::io::Role;
use engine::ticket::Ticket;
use engine::wire::codec;
use engine::wire::frame::{self, DataHead, HEAD_LEN, Head, Kind};
use engine::wire::peer::PeerMessage;
use node::channel::handshake::{client_config, server_config};
use node::identity::Identity;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use super::DEADLINE;

/// An open connection, its handshake done.
pub(crate) struct Link {
    tls: Box<dyn Stream>,
    socket: Arc<TcpStream>,
    /// Whether every byte leaves on its own.
    pub(crate) drips: bool,
    /// What is shown to a peer that shows its ticket, and to one to which we introduce ourselves.
    ticket: Option<Ticket>,
    shown: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({:?})", self.socket)
    }
}

/// A socket that costs one open file, however many hold it.
struct Socket(Arc<TcpStream>);

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(into)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// What came in.
#[derive(Debug)]
pub(crate) enum Frame {
    Message(Vec<u8>),
    /// So many bytes of a piece, which no test needs.
    Data(usize),
}

impl Link {
    pub(crate) fn connect(to: SocketAddr, role: Role, identity: &Identity) -> Link {
        Link::over(TcpStream::connect(to).unwrap(), role, identity)
    }

    /// Shakes hands on a connection that was opened.
    pub(crate) fn over(socket: TcpStream, role: Role, identity: &Identity) -> Link {
        let to = socket.peer_addr().unwrap();
        let config = Arc::new(client_config(identity, role, None));
        let mut connection = ClientConnection::new(config, ServerName::IpAddress(to.ip().into())).unwrap();
        prepare(&socket);
        connection.complete_io(&mut &socket).unwrap();
        let socket = Arc::new(socket);
        Link {
            tls: Box::new(StreamOwned::new(connection, Socket(Arc::clone(&socket)))),
            socket,
            drips: false,
            ticket: None,
            shown: false,
        }
    }

    /// Takes the next connection that another peer opens.
    pub(crate) fn accept(listener: &TcpListener, identity: &Identity) -> Link {
        listener.set_nonblocking(true).unwrap();
        let socket = super::until("a peer connects", || match listener.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        });
        socket.set_nonblocking(false).unwrap();
        let mut connection = ServerConnection::new(Arc::new(server_config(identity, Role::Peer))).unwrap();
        prepare(&socket);
        connection.complete_io(&mut &socket).unwrap();
        let socket = Arc::new(socket);
        Link {
            tls: Box::new(StreamOwned::new(connection, Socket(Arc::clone(&socket)))),
            socket,
            drips: false,
            ticket: None,
            shown: false,
        }
    }

    /// The same, of somebody who has this ticket.
    pub(crate) fn with(self, ticket: Option<Ticket>) -> Link {
        Link { ticket, ..self }
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.drips {
            return self.tls.write_all(bytes);
        }
        bytes.iter().try_for_each(|byte| self.tls.write_all(&[*byte]))
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
            Kind::Data => Some(Frame::Data(len - DataHead::LEN)),
        }
    }

    /// The next message of a peer, answering its pings; none when the connection has ended.
    pub(crate) fn peer_message(&mut self) -> Option<PeerMessage> {
        let end = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < end, "nothing but pings came for {DEADLINE:?}");
            let Frame::Message(body) = self.receive()? else { panic!("data that nobody asked for") };
            match codec::decode(&body).unwrap() {
                // If this cannot be sent, the next read says so.
                PeerMessage::Ping => drop(self.send(&PeerMessage::Pong)),
                PeerMessage::Show(theirs) => drop(self.answer_ticket(theirs.body.group)),
                PeerMessage::Seen { .. } => {}
                message => return Some(message),
            }
        }
    }

    /// Shows our ticket, if there is one and it was not shown.
    fn show(&mut self) -> io::Result<()> {
        match self.ticket.clone() {
            Some(ticket) if !std::mem::replace(&mut self.shown, true) => {
                self.send(&PeerMessage::Show(Box::new(ticket)))
            }
            _ => Ok(()),
        }
    }

    fn answer_ticket(&mut self, group: GroupName) -> io::Result<()> {
        self.show()?;
        self.send(&PeerMessage::Seen { group })
    }

    /// Shows our ticket, and waits until the other side has seen it and shown its own.
    pub(crate) fn introduce(&mut self) {
        self.show().unwrap();
        let (mut shown, mut seen) = (false, false);
        while !(shown && seen) {
            let Some(Frame::Message(body)) = self.receive() else { panic!("a member is answered") };
            match codec::decode(&body).unwrap() {
                PeerMessage::Show(theirs) => {
                    shown = true;
                    self.answer_ticket(theirs.body.group).unwrap();
                }
                PeerMessage::Seen { .. } => seen = true,
                other => panic!("first of all come tickets, not {other:?}"),
            }
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.tls.read_exact(bytes) {
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
            match self.tls.read(&mut bytes) {
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
        let _ended = self.socket.shutdown(Shutdown::Both);
    }
}

fn prepare(socket: &TcpStream) {
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
}
