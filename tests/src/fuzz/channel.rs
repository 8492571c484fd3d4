//! A channel whose bytes are tampered with on their way: in the handshake, in the records after it, and where one becomes the other.
//!
//! A real listener on loopback, and `rustls` by itself as the one who dials; each flight of bytes meets a fate between them. Whatever the
//! fate: what comes out is a beginning of what went in, an end is told only if all of it came, and untouched bytes arrive.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel as queue};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use engine::peer::io::Role;
use node::channel::handshake::client_config;
use node::channel::{Channel, Endpoint, Listener};
use node::identity::Identity;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// Most steps that are taken.
const STEPS_MAX: usize = 12;

/// Most bytes that are said at once: more than a record holds, and no more than `rustls` keeps.
const SAID_MAX: u16 = 20_000;

/// How long anything may take: what ends a connection ends it at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// What happens on one connection.
#[derive(Arbitrary, Debug)]
struct Course {
    opening: Opening,
    answer: Fate,
    steps: Vec<(Step, Fate)>,
    /// Whether the fates of the first steps meet them together with the last flight of the handshake.
    joined: bool,
}

/// The first flight.
#[derive(Arbitrary, Debug)]
enum Opening {
    Tls(Fate),
    Raw(Vec<u8>),
}

/// What happens after the handshake.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Say(u16),
    Update,
    Close,
}

/// What happens to bytes on their way.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    Split { at: u16 },
    Flip { at: u16, bits: u8 },
    Cut { at: u16 },
    Insert { at: u16, byte: u8 },
    Twice,
    Lost,
}

impl Fate {
    /// The bytes as they arrive, in the parts in which they do.
    fn meet(self, mut bytes: Vec<u8>) -> [Vec<u8>; 2] {
        let place = |at: u16, len: usize| usize::from(at) % len.max(1);
        let len = bytes.len();
        match self {
            Fate::Split { at } if len > 0 => {
                let rest = bytes.split_off(place(at, len));
                return [bytes, rest];
            }
            Fate::Flip { at, bits } if len > 0 => bytes[place(at, len)] ^= bits,
            Fate::Cut { at } => bytes.truncate(place(at, len)),
            Fate::Insert { at, byte } => bytes.insert(place(at, len), byte),
            Fate::Twice => bytes = bytes.repeat(2),
            Fate::Lost => bytes.clear(),
            Fate::Whole | Fate::Split { .. } | Fate::Flip { .. } => {}
        }
        [bytes, Vec::new()]
    }

    /// Whether the bytes arrive as they were sent, given that there are some.
    fn is_kind(self) -> bool {
        matches!(self, Fate::Whole | Fate::Split { .. } | Fate::Flip { bits: 0, .. })
    }
}

/// What came out at the other end of a channel: content, and whether the end of it was told.
type Came = (engine::id::DeviceId, Vec<u8>, bool);

/// The listening end.
struct There {
    address: SocketAddr,
    came: Mutex<Receiver<Came>>,
}

static THERE: LazyLock<There> = LazyLock::new(|| {
    let endpoint = Endpoint::new(Arc::new(Identity::from_seed([2; 32])));
    let listener = smol::block_on(async { Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))) });
    let listener = listener.expect("loopback has a free port");
    let address = listener.address();
    let (into, channels) = smol::channel::bounded(1);
    smol::spawn(listener.run(Role::Peer, endpoint, 8, into, |channel: Channel| channel)).detach();
    let (tell, came) = queue();
    smol::spawn(async move {
        while let Ok(channel) = channels.recv().await {
            smol::spawn(take_in(channel, tell.clone())).detach();
        }
    })
    .detach();
    There { address, came: Mutex::new(came) }
});

static HERE: LazyLock<Identity> = LazyLock::new(|| Identity::from_seed([1; 32]));

static CONFIG: LazyLock<Arc<ClientConfig>> =
    LazyLock::new(|| Arc::new(client_config(&HERE, Role::Peer, None)));

/// Reads a channel to its end, and tells what came before the connection is closed.
async fn take_in(channel: Channel, tell: Sender<Came>) {
    let remote = channel.remote;
    let (mut reads, _writes) = channel.split();
    let (mut content, mut room) = (Vec::new(), vec![0; 10_000]);
    let ended = loop {
        match reads.read_with(|from| from.read(&mut room)).await {
            Ok(0) => break true,
            Ok(len) => content.extend(&room[..len]),
            Err(_) => break false,
        }
    };
    tell.send((remote, content, ended)).expect("whoever plays waits for it");
}

/// Plays what `data` says.
///
/// # Panics
/// If more, less or something else comes out than went in.
pub fn channel(data: &[u8]) {
    let Ok(mut course) = Course::arbitrary_take_rest(Unstructured::new(data)) else { return };
    course.steps.truncate(STEPS_MAX);
    let there = &*THERE;
    let came = there.came.lock().unwrap_or_else(PoisonError::into_inner);
    let mut play = Play::begin(there.address);
    play.play(&course);
    play.wait_closed();
    let Play { said, closed, touched, .. } = play;
    match came.try_recv() {
        Ok((remote, content, ended)) => {
            assert_eq!(remote, HERE.device(), "nobody else has shaken hands");
            assert!(said.starts_with(&content), "{} bytes of something else came", content.len());
            assert!(!ended || closed && content == said, "an end that was not told");
            assert!(touched || content == said && ended == closed, "untouched bytes arrive");
        }
        Err(_) => assert!(touched, "an untouched handshake is done"),
    }
}

/// One connection.
struct Play {
    tls: ClientConnection,
    socket: TcpStream,
    /// What was said, up to the end.
    said: Vec<u8>,
    closed: bool,
    /// Whether anything was tampered with.
    touched: bool,
}

impl Play {
    fn begin(to: SocketAddr) -> Play {
        let name = ServerName::IpAddress(to.ip().into());
        let tls = ClientConnection::new(Arc::clone(&CONFIG), name).expect("the configuration is sound");
        let socket = TcpStream::connect(to).expect("the listener takes connections");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        socket.set_nodelay(true).expect("a socket can be told so");
        Play { tls, socket, said: Vec::new(), closed: false, touched: false }
    }

    fn play(&mut self, course: &Course) {
        let hello = self.flight();
        match &course.opening {
            Opening::Tls(fate) => self.send(hello, *fate),
            Opening::Raw(bytes) => {
                self.touched = true;
                self.put(bytes);
            }
        }
        if self.touched {
            // Whether or not the other end answers, it learns that nothing more comes.
            return;
        }
        self.hear();
        let mut waiting = self.flight();
        if !course.joined {
            self.send(std::mem::take(&mut waiting), course.answer);
        }
        for (step, fate) in &course.steps {
            if self.closed {
                break;
            }
            self.take(*step);
            waiting.extend(self.flight());
            self.send(std::mem::take(&mut waiting), *fate);
        }
        self.send(waiting, course.answer);
    }

    /// What `rustls` wants to send.
    fn flight(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).expect("memory takes everything");
        }
        bytes
    }

    fn send(&mut self, bytes: Vec<u8>, fate: Fate) {
        if bytes.is_empty() {
            return;
        }
        self.touched |= !fate.is_kind();
        for part in fate.meet(bytes) {
            self.put(&part);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        // The other end may have given up already; then it has closed.
        let _ended = self.socket.write_all(bytes);
    }

    /// Takes in the answer to the first flight.
    fn hear(&mut self) {
        while self.tls.is_handshaking() && !self.tls.wants_write() {
            let read = self.tls.read_tls(&mut self.socket);
            assert!(read.is_ok_and(|len| len > 0), "an untouched flight is answered");
            self.tls.process_new_packets().expect("the other end shakes hands as it should");
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Say(len) => {
                let (len, start) = (len % SAID_MAX, self.said.len());
                let more = (0..=250).cycle().skip(start % 251).take(usize::from(len));
                self.said.extend(more);
                self.tls.writer().write_all(&self.said[start..]).expect("memory takes everything");
            }
            Step::Update => self.tls.refresh_traffic_keys().expect("the handshake is done"),
            Step::Close => {
                self.tls.send_close_notify();
                self.closed = true;
            }
        }
    }

    /// Says that nothing follows, and waits until the other end has closed, too.
    fn wait_closed(&mut self) {
        let _ended = self.socket.shutdown(Shutdown::Write);
        let mut room = [0; 4_096];
        loop {
            match self.socket.read(&mut room) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(!late, "the other end holds on to a connection that has ended");
                    return;
                }
            }
        }
    }
}
