//! Channels: the one module that opens connections and makes sure of who is at the other end.
//!
//! A channel is a TCP connection under TLS 1.3: encrypted, and each end has proven its key within [`limits::HANDSHAKE`]. `rustls` shakes
//! hands ([`handshake`]); after that the two directions go apart, each with its own key ([`record`]), so that neither waits for the other
//! and an idle connection has no buffers. Another channel can take its place here and nowhere else, since everybody outside sees a
//! [`Channel`], a [`ReadHalf`] and a [`WriteHalf`] only.
//!
//! Invariants: the device that a channel names has proven its key; a channel that was cut is never taken for one that was closed; no
//! byte of content leaves or is taken in unsealed.

mod cipher;
pub mod handshake;
mod incoming;
mod listener;
mod outgoing;
mod record;
mod socket;

use std::fmt;
use std::io::{self, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use async_io::{Async, Timer};
use engine::id::DeviceId;
use engine::limits;
use engine::peer::io::Role;
use engine::wire::PROTOCOL;
use futures_lite::future;
use rustls::ServerConfig;

use crate::identity::Identity;
use crate::pool::Pool;
use handshake::Agreed;
use incoming::{Content, Incoming};
use listener::Permit;
use outgoing::Outgoing;
use record::{Opener, RECORD_LEN_MAX, Sealer};

pub use listener::Listener;
pub use outgoing::Parts;

/// Records that one system call may read or write on a peer's link; on a tracker's, where messages are short, one is enough.
const RECORDS_PER_CALL: usize = 8;

/// What this process is on the network; cheap to clone.
#[derive(Clone, Debug)]
pub struct Endpoint {
    identity: Arc<Identity>,
    peer_buffers: Pool,
    tracker_buffers: Pool,
}

impl Endpoint {
    /// Somebody with that key.
    #[must_use]
    pub fn new(identity: Arc<Identity>) -> Endpoint {
        let (peer_buffers, tracker_buffers) =
            (Pool::new(RECORDS_PER_CALL * RECORD_LEN_MAX), Pool::new(RECORD_LEN_MAX));
        Endpoint { identity, peer_buffers, tracker_buffers }
    }

    /// Who it is.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.identity.device()
    }

    /// Connects to `to`, for a link with somebody of that `role`, who has the `expected` key, if one is.
    ///
    /// # Errors
    /// Why there is no channel.
    pub async fn connect(
        &self,
        to: SocketAddr,
        role: Role,
        expected: Option<DeviceId>,
    ) -> Result<Channel, ChannelError> {
        in_time(async {
            let mut stream = socket::connect(to).await?;
            socket::tune(stream.get_ref())?;
            let agreed = handshake::dial(&mut stream, to, &self.identity, role, expected).await?;
            self.channel(agreed, to, role, stream)
        })
        .await
    }

    /// Answers a connection that came in.
    async fn accept(
        &self,
        mut stream: Async<TcpStream>,
        address: SocketAddr,
        role: Role,
        config: Arc<ServerConfig>,
    ) -> Result<Channel, ChannelError> {
        in_time(async {
            socket::tune(stream.get_ref())?;
            let agreed = handshake::answer(&mut stream, config).await?;
            self.channel(agreed, address, role, stream)
        })
        .await
    }

    fn channel(
        &self,
        agreed: Agreed,
        address: SocketAddr,
        role: Role,
        stream: Async<TcpStream>,
    ) -> Result<Channel, ChannelError> {
        let pool = match role {
            Role::Tracker => &self.tracker_buffers,
            Role::Peer => &self.peer_buffers,
        };
        let Agreed { remote, secrets, keys, rest } = agreed;
        let opener = Opener::new(secrets.rx).map_err(io::Error::other)?;
        let sealer = Sealer::new(secrets.tx).map_err(io::Error::other)?;
        Ok(Channel {
            remote,
            address,
            incoming: Box::new(Incoming::new(opener, Arc::clone(&keys), pool.clone(), rest)),
            outgoing: Box::new(Outgoing::new(sealer, keys, pool.clone())),
            stream: Arc::new(stream),
            permit: None,
            #[cfg(test)]
            drips: false,
        })
    }
}

async fn in_time(
    handshake: impl Future<Output = Result<Channel, ChannelError>>,
) -> Result<Channel, ChannelError> {
    future::or(handshake, async {
        Timer::after(Duration::from_micros(limits::HANDSHAKE.0)).await;
        Err(ChannelError::TimedOut)
    })
    .await
}

/// An open connection, its handshake done.
pub struct Channel {
    /// The device at the other end.
    pub remote: DeviceId,
    /// The address at the other end.
    pub address: SocketAddr,
    stream: Arc<Async<TcpStream>>,
    incoming: Box<Incoming>,
    outgoing: Box<Outgoing>,
    permit: Option<Permit>,
    #[cfg(test)]
    drips: bool,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({:?} at {})", self.remote, self.address)
    }
}

impl Channel {
    /// From now on, bytes come out of it one by one.
    #[cfg(test)]
    pub(crate) fn drip(&mut self) {
        self.drips = true;
    }

    /// Takes the channel apart. The connection closes when both halves are gone.
    #[must_use]
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        let read_half = ReadHalf {
            stream: Arc::clone(&self.stream),
            incoming: self.incoming,
            #[cfg(test)]
            drips: self.drips,
        };
        (read_half, WriteHalf { stream: self.stream, outgoing: self.outgoing, _permit: self.permit })
    }
}

/// The side of a channel that bytes come out of.
pub struct ReadHalf {
    stream: Arc<Async<TcpStream>>,
    incoming: Box<Incoming>,
    #[cfg(test)]
    drips: bool,
}

impl fmt::Debug for ReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadHalf").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl ReadHalf {
    /// Runs `read` on the content as soon as there is some, the end, or an error; the end comes only after the remote has said so. `read`
    /// must not block, and is run again if it says that it would.
    ///
    /// # Errors
    /// What `read` gives.
    pub async fn read_with<R>(
        &mut self,
        mut read: impl FnMut(&mut dyn Read) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            let mut content = Content { incoming: &mut self.incoming, socket: self.stream.get_ref() };
            #[cfg(test)]
            let mut drip = tests::Drip(&mut content);
            #[cfg(test)]
            let result = if self.drips { read(&mut drip) } else { read(&mut content) };
            #[cfg(not(test))]
            let result = read(&mut content);
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.readable().await?,
                result => return result,
            }
        }
    }
}

/// The side of a channel that bytes go into.
pub struct WriteHalf {
    stream: Arc<Async<TcpStream>>,
    outgoing: Box<Outgoing>,
    _permit: Option<Permit>,
}

impl fmt::Debug for WriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteHalf").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl WriteHalf {
    /// Seals as much of `content` as one call to the network takes, and strikes it from there. What was sealed before has left.
    ///
    /// # Errors
    /// The cipher fails, which it does not.
    pub fn seal(&mut self, content: &mut Parts<'_>) -> io::Result<()> {
        self.outgoing.seal(content)
    }

    /// Waits until the network has taken some of what was sealed; says whether more is left.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn flush(&mut self) -> io::Result<bool> {
        loop {
            match self.stream.get_ref().write(self.outgoing.sealed()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => return Ok(self.outgoing.left(written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says that nothing follows; what was written still arrives.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.outgoing.seal_end()?;
        while self.flush().await? {}
        self.stream.get_ref().shutdown(Shutdown::Write)
    }

    /// What cuts the connection from outside.
    #[must_use]
    pub fn cutter(&self) -> Cutter {
        Cutter(Arc::clone(&self.stream))
    }
}

/// Cuts a connection: both halves end with an error or the end of the stream.
#[derive(Clone, Debug)]
pub struct Cutter(Arc<Async<TcpStream>>);

impl Cutter {
    /// Cuts.
    pub fn cut(&self) {
        // It fails only when the connection has ended already, which is what is wanted.
        if let Err(error) = self.0.get_ref().shutdown(Shutdown::Both) {
            tracing::trace!(%error, "shutdown of an ended connection");
        }
    }
}

/// Why there is no channel.
#[derive(Debug)]
pub enum ChannelError {
    /// The network says no.
    Io(io::Error),
    /// No connection or no handshake within [`limits::HANDSHAKE`].
    TimedOut,
    /// The remote speaks something else.
    NotTls,
    /// The remote does not speak this protocol in this version, or is not in the role that is wanted.
    WrongProtocol,
    /// The remote has another key than the one that it must have.
    OtherKey {
        /// The one that it must have.
        expected: DeviceId,
        /// The one that it has.
        found: DeviceId,
    },
    /// The handshake failed in another way.
    Tls(rustls::Error),
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the connection was closed before the handshake was done")
            }
            ChannelError::Io(error) => error.fmt(f),
            ChannelError::TimedOut => {
                write!(f, "no handshake within {} s", limits::HANDSHAKE.secs_rounded_up())
            }
            ChannelError::NotTls => f.write_str(
                "it does not shake hands as this program does (TLS 1.3, raw public keys): check the address, and run the same version at both ends",
            ),
            ChannelError::WrongProtocol => write!(
                f,
                "one end does not speak \"{}\", or wanted a tracker where the other is a client, or the other way round: run the same version at both ends, and check the address",
                PROTOCOL.escape_ascii()
            ),
            ChannelError::OtherKey { expected, found } => {
                write!(f, "its key is {found}, and should be {expected}: it is somebody else, or has a new key")
            }
            ChannelError::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ChannelError {}

impl From<io::Error> for ChannelError {
    fn from(error: io::Error) -> ChannelError {
        ChannelError::Io(error)
    }
}

#[cfg(test)]
pub(crate) mod tests;
