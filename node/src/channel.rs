//! Channels: the one module that opens connections and makes sure of who is at the other end.
//!
//! A channel is a TCP connection on which both ends named the protocol, what the link is for, and their device, within
//! [`limits::HANDSHAKE`]. It is plaintext: the device that a remote names is believed. Another channel can take its place here and
//! nowhere else, since everybody outside sees a [`Channel`], a [`ReadHalf`] and a [`WriteHalf`] only.
//!
//! Invariants: at most [`HANDSHAKES_MAX`] accepted connections are half open; one address holds at most
//! [`limits::LINKS_PER_ADDRESS`] accepted connections, half open or not; a listener never ends because of what a remote does.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::Sender;
use async_io::{Async, Timer};
use engine::id::DeviceId;
use engine::limits;
use engine::peer::io::Role;
use engine::wire::PROTOCOL;
use futures_lite::future;
use futures_lite::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::lock::Semaphore;

/// Accepted connections whose handshake is under way. More than one address may open, so that one cannot keep all others out.
const HANDSHAKES_MAX: usize = 2 * limits::LINKS_PER_ADDRESS;

/// The longest pause after a failed accept: long enough for files to be closed, short enough not to be noticed.
const ACCEPT_PAUSE_MS_MAX: u64 = 1_000;

/// Bytes that may wait unsent in the kernel, ahead of what is written next: 128 KiB are 1 ms at 1 Gbit/s. The buffers themselves are
/// left to the kernel, which sizes them by the path.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Protocol, what the link is for, device.
const HELLO_LEN: usize = PROTOCOL.len() + 1 + size_of::<DeviceId>();

/// An open connection, its handshake done.
#[derive(Debug)]
pub struct Channel {
    /// The device at the other end.
    pub remote: DeviceId,
    /// The address at the other end.
    pub address: SocketAddr,
    stream: Arc<Async<TcpStream>>,
    permit: Option<Permit>,
    #[cfg(test)]
    drips: bool,
}

impl Channel {
    fn new(remote: DeviceId, address: SocketAddr, stream: Async<TcpStream>) -> Channel {
        Channel {
            remote,
            address,
            stream: Arc::new(stream),
            permit: None,
            #[cfg(test)]
            drips: false,
        }
    }

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
            #[cfg(test)]
            drips: self.drips,
        };
        (read_half, WriteHalf { stream: self.stream, _permit: self.permit })
    }
}

/// The side of a channel that bytes come out of.
#[derive(Debug)]
pub struct ReadHalf {
    stream: Arc<Async<TcpStream>>,
    #[cfg(test)]
    drips: bool,
}

impl ReadHalf {
    /// Runs `read` on the connection as soon as there are bytes, the end, or an error. `read` must not block, and is run again if it says
    /// that it would.
    ///
    /// # Errors
    /// What `read` gives.
    pub async fn read_with<R>(
        &mut self,
        mut read: impl FnMut(&mut dyn Read) -> io::Result<R>,
    ) -> io::Result<R> {
        #[cfg(test)]
        if self.drips {
            return self.stream.read_with(|stream| uninterrupted(|| read(&mut tests::Drip(stream)))).await;
        }
        self.stream.read_with(|stream| uninterrupted(|| read(&mut &*stream))).await
    }
}

/// The side of a channel that bytes go into.
#[derive(Debug)]
pub struct WriteHalf {
    stream: Arc<Async<TcpStream>>,
    _permit: Option<Permit>,
}

impl WriteHalf {
    /// Runs `write` on the connection as soon as there is room, or an error. `write` must not block, and is run again if it says that it
    /// would.
    ///
    /// # Errors
    /// What `write` gives.
    pub async fn write_with<R>(
        &mut self,
        mut write: impl FnMut(&mut dyn Write) -> io::Result<R>,
    ) -> io::Result<R> {
        self.stream.write_with(|stream| uninterrupted(|| write(&mut &*stream))).await
    }

    /// Says that nothing follows; what was written still arrives.
    pub fn finish(&self) {
        shut_down(&self.stream, Shutdown::Write);
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
        shut_down(&self.0, Shutdown::Both);
    }
}

fn shut_down(stream: &Async<TcpStream>, how: Shutdown) {
    // It fails only when the connection has ended already, which is what is wanted.
    if let Err(error) = stream.get_ref().shutdown(how) {
        tracing::trace!(%error, "shutdown of an ended connection");
    }
}

fn uninterrupted<R>(mut run: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match run() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
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
    WrongProtocol([u8; PROTOCOL.len()]),
    /// The remote is, or wants, something else: a tracker where a peer was expected, or the other way round.
    WrongRole,
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
            ChannelError::WrongProtocol(theirs) => write!(
                f,
                "it speaks \"{}\" where this program speaks \"{}\": run the same version at both ends",
                theirs.escape_ascii(),
                PROTOCOL.escape_ascii()
            ),
            ChannelError::WrongRole => f.write_str(
                "one end wanted a tracker where the other is a client, or the other way round: check the address",
            ),
        }
    }
}

impl std::error::Error for ChannelError {}

impl From<io::Error> for ChannelError {
    fn from(error: io::Error) -> ChannelError {
        ChannelError::Io(error)
    }
}

/// Connects to `to` as `device`, for a link with somebody of that `role`.
///
/// # Errors
/// Why there is no channel.
pub async fn connect(to: SocketAddr, role: Role, device: DeviceId) -> Result<Channel, ChannelError> {
    in_time(async {
        let mut stream = Async::<TcpStream>::connect(to).await?;
        tune(stream.get_ref())?;
        stream.write_all(&hello(role, device)).await?;
        let remote = read_hello(&mut stream, role).await?;
        Ok(Channel::new(remote, to, stream))
    })
    .await
}

/// Answers a connection that came in.
async fn accept(
    mut stream: Async<TcpStream>,
    address: SocketAddr,
    role: Role,
    device: DeviceId,
) -> Result<Channel, ChannelError> {
    in_time(async {
        tune(stream.get_ref())?;
        let remote = read_hello(&mut stream, role).await;
        if !matches!(remote, Err(ChannelError::Io(_))) {
            // Told even to a stranger, so that its error can say what is spoken here.
            stream.write_all(&hello(role, device)).await?;
        }
        Ok(Channel::new(remote?, address, stream))
    })
    .await
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

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

const fn role_byte(role: Role) -> u8 {
    match role {
        Role::Tracker => 1,
        Role::Peer => 2,
    }
}

fn hello(role: Role, device: DeviceId) -> [u8; HELLO_LEN] {
    let mut bytes = [0; HELLO_LEN];
    let (protocol, rest) = bytes.split_at_mut(PROTOCOL.len());
    protocol.copy_from_slice(PROTOCOL);
    rest[0] = role_byte(role);
    rest[1..].copy_from_slice(&device.0);
    bytes
}

/// The protocol is looked at before more is waited for, so that a stranger with less to say is told at once.
async fn read_hello(stream: &mut Async<TcpStream>, role: Role) -> Result<DeviceId, ChannelError> {
    let mut protocol = [0; PROTOCOL.len()];
    stream.read_exact(&mut protocol).await?;
    if protocol != *PROTOCOL {
        return Err(ChannelError::WrongProtocol(protocol));
    }
    let mut theirs = [0];
    stream.read_exact(&mut theirs).await?;
    let mut device = DeviceId([0; 32]);
    stream.read_exact(&mut device.0).await?;
    if theirs != [role_byte(role)] {
        return Err(ChannelError::WrongRole);
    }
    Ok(device)
}

/// Where connections come in.
#[derive(Debug)]
pub struct Listener {
    socket: Async<TcpListener>,
    address: SocketAddr,
}

impl Listener {
    /// Listens; port 0 picks a free one.
    ///
    /// # Errors
    /// The address is in use, or not of this machine.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = Async::<TcpListener>::bind(address)?;
        let address = socket.get_ref().local_addr()?;
        Ok(Listener { socket, address })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections for ever, as `device` in that `role`, at most `links_max` at a time, and hands each, its handshake done, to
    /// `into`. Ends when nobody takes them any more.
    pub async fn run<I: Send + 'static>(
        self,
        role: Role,
        device: DeviceId,
        links_max: usize,
        into: Sender<I>,
        wrap: fn(Channel) -> I,
    ) {
        let doors = Arc::new(Doors { links_max, open: Mutex::default() });
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let mut pause_ms = 1;
        while !into.is_closed() {
            let under_way = handshakes.acquire_arc().await;
            let (stream, address) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    Timer::after(Duration::from_millis(pause_ms)).await;
                    pause_ms = (pause_ms * 2).min(ACCEPT_PAUSE_MS_MAX);
                    continue;
                }
            };
            pause_ms = 1;
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            let Some(permit) = Permit::take(&doors, address.ip()) else {
                tracing::info!(%address, "refused a connection: its address or this process has too many");
                continue;
            };
            let into = into.clone();
            smol::spawn(async move {
                let accepted = accept(stream, address, role, device).await;
                drop(under_way);
                match accepted {
                    Ok(channel) => {
                        // It fails only when this process ends, and the connection with it.
                        let _ended = into.send(wrap(Channel { permit: Some(permit), ..channel })).await;
                    }
                    Err(why) => tracing::info!(%address, %why, "a connection came to nothing"),
                }
            })
            .detach();
        }
    }
}

/// How many accepted connections each address has open.
#[derive(Debug)]
struct Doors {
    links_max: usize,
    open: Mutex<OpenDoors>,
}

#[derive(Debug, Default)]
struct OpenDoors {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right of an accepted connection to stand; given back when it is dropped.
#[derive(Debug)]
struct Permit {
    doors: Arc<Doors>,
    address: IpAddr,
}

impl Permit {
    fn take(doors: &Arc<Doors>, address: IpAddr) -> Option<Permit> {
        let address = network(address);
        let mut open = doors.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= doors.links_max {
            return None;
        }
        let count = open.by_address.entry(address).or_default();
        if *count >= limits::LINKS_PER_ADDRESS {
            return None;
        }
        *count += 1;
        open.total += 1;
        drop(open);
        Some(Permit { doors: Arc::clone(doors), address })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.doors.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: for IPv6 the /64 that one site has to itself.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A stream that gives one byte at a time.
    pub(super) struct Drip<'a>(pub(super) &'a TcpStream);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let len = into.len().min(1);
            self.0.read(&mut into[..len])
        }
    }

    /// The two ends of a channel between peers.
    pub(crate) async fn pair() -> (Channel, Channel) {
        let (address, channels) = listen(Role::Peer);
        (connect(address, Role::Peer, HERE).await.unwrap(), channels.recv().await.unwrap())
    }

    const HERE: DeviceId = DeviceId([1; 32]);
    const THERE: DeviceId = DeviceId([2; 32]);

    fn listen(role: Role) -> (SocketAddr, async_channel::Receiver<Channel>) {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let (into, channels) = async_channel::bounded(1);
        smol::spawn(listener.run(role, THERE, 10, into, |channel| channel)).detach();
        (address, channels)
    }

    #[test]
    fn both_ends_learn_who_the_other_is() {
        smol::block_on(async {
            let (address, channels) = listen(Role::Peer);
            let out = connect(address, Role::Peer, HERE).await.unwrap();
            let inward = channels.recv().await.unwrap();
            assert_eq!((out.remote, inward.remote), (THERE, HERE));
            assert_eq!(out.address, address);
        });
    }

    #[test]
    fn a_stranger_is_told_what_is_spoken_here() {
        smol::block_on(async {
            let (address, _channels) = listen(Role::Peer);
            let mut stranger = Async::<TcpStream>::connect(address).await.unwrap();
            stranger.write_all(b"group-sharing/00").await.unwrap();
            let mut answer = [0; HELLO_LEN];
            stranger.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer[..16], PROTOCOL);
            assert_eq!(stranger.read(&mut answer).await.unwrap(), 0, "and the connection ends");
        });
    }

    #[test]
    fn a_stranger_that_answers_is_a_clear_error() {
        smol::block_on(async {
            let stranger = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
            let address = stranger.get_ref().local_addr().unwrap();
            let dial = smol::spawn(connect(address, Role::Tracker, HERE));
            let (mut stream, _) = stranger.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
            let error = dial.await.unwrap_err();
            assert!(matches!(error, ChannelError::WrongProtocol(_)));
            assert!(error.to_string().contains("HTTP/1.1 400 Bad"), "{error}");
        });
    }

    #[test]
    fn a_tracker_is_no_peer() {
        smol::block_on(async {
            let (address, _channels) = listen(Role::Peer);
            let error = connect(address, Role::Tracker, HERE).await.unwrap_err();
            assert!(matches!(error, ChannelError::WrongRole), "{error}");
        });
    }

    #[test]
    fn an_address_has_only_so_many_connections() {
        let doors = Arc::new(Doors { links_max: limits::LINKS_PER_ADDRESS + 1, open: Mutex::default() });
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let mut permits: Vec<_> =
            (0..limits::LINKS_PER_ADDRESS).map(|_| Permit::take(&doors, address(1)).unwrap()).collect();
        assert!(Permit::take(&doors, address(1)).is_none(), "its own share is used up");
        permits.push(Permit::take(&doors, address(2)).unwrap());
        assert!(Permit::take(&doors, address(3)).is_none(), "everybody's share is used up");
        permits.pop();
        assert!(Permit::take(&doors, address(3)).is_some(), "and comes back");
    }
}
