//! Two ends over loopback, and strangers; `rustls` by itself plays the other end where it matters that both speak the same TLS.

use std::io::Write;
use std::net::TcpListener;

use async_channel::Receiver;
use futures_lite::io::{AsyncReadExt as _, AsyncWriteExt as _};
use rustls::{ClientConnection, StreamOwned};

use super::record::RECORDS_PER_KEY;
use super::*;

/// A stream that gives one byte at a time.
pub(super) struct Drip<'a, 'b>(pub(super) &'a mut Content<'b>);

impl Read for Drip<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(1);
        self.0.read(&mut into[..len])
    }
}

/// The two ends of a channel between peers.
pub(crate) async fn pair() -> (Channel, Channel) {
    let (address, channels) = listen(Role::Peer);
    (here().connect(address, Role::Peer, None).await.unwrap(), channels.recv().await.unwrap())
}

/// Somebody, always the same for a seed.
pub(crate) fn endpoint(seed: u8) -> Endpoint {
    Endpoint::new(Arc::new(Identity::from_seed([seed; 32])))
}

fn here() -> Endpoint {
    endpoint(1)
}

fn there() -> Endpoint {
    endpoint(2)
}

fn listen(role: Role) -> (SocketAddr, Receiver<Channel>) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address();
    let (into, channels) = async_channel::bounded(1);
    smol::spawn(listener.run(role, there(), 10, into, |channel| channel)).detach();
    (address, channels)
}

/// Writes all of `content`, some of it as a head.
pub(crate) async fn write(half: &mut WriteHalf, content: &[u8]) {
    let (head, body) = content.split_at(content.len() / 7);
    let mut content = Parts::new(head, body);
    while !content.is_empty() {
        half.seal(&mut content).unwrap();
        while half.flush().await.unwrap() {}
    }
}

/// Reads until the end; gives what came, and the error if the end was none.
async fn read_all(half: &mut ReadHalf) -> (Vec<u8>, Option<io::Error>) {
    let (mut all, mut room) = (Vec::new(), vec![0; 100_000]);
    loop {
        match half.read_with(|content| content.read(&mut room)).await {
            Ok(0) => return (all, None),
            Ok(read) => all.extend(&room[..read]),
            Err(error) => return (all, Some(error)),
        }
    }
}

#[test]
fn both_ends_learn_who_the_other_is() {
    smol::block_on(async {
        let (address, channels) = listen(Role::Peer);
        let out = here().connect(address, Role::Peer, None).await.unwrap();
        let inward = channels.recv().await.unwrap();
        assert_eq!((out.remote, inward.remote), (there().device(), here().device()));
        assert_eq!(out.address, address);
    });
}

#[test]
fn another_key_than_the_expected_one_is_refused_and_both_are_named() {
    smol::block_on(async {
        let (address, channels) = listen(Role::Tracker);
        let right = there().device();
        here().connect(address, Role::Tracker, Some(right)).await.unwrap();
        channels.recv().await.unwrap();
        let wrong = endpoint(3).device();
        let error = here().connect(address, Role::Tracker, Some(wrong)).await.unwrap_err();
        assert!(
            matches!(error, ChannelError::OtherKey { expected, found } if (expected, found) == (wrong, right)),
            "{error}"
        );
    });
}

/// What a listener answers to these bytes, to the end of the connection.
async fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stranger = Async::<TcpStream>::connect(address).await.unwrap();
    stranger.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stranger.read_to_end(&mut answer).await.unwrap();
    answer
}

#[test]
fn a_stranger_is_refused_by_an_alert_at_once() {
    smol::block_on(async {
        let (address, _channels) = listen(Role::Peer);
        for bytes in [&b"group-sharing/01"[..], b"GET / HTTP/1.1\r\n\r\n", &[22, 3, 1, 0, 4, 1, 0, 0, 0]] {
            let answer = answer(address, bytes).await;
            assert_eq!(answer.first(), Some(&21), "an alert to {}, not {answer:?}", bytes.escape_ascii());
        }
    });
}

#[test]
fn a_stranger_that_answers_is_a_clear_error() {
    smol::block_on(async {
        let stranger = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
        let address = stranger.get_ref().local_addr().unwrap();
        let dial = smol::spawn(async move { here().connect(address, Role::Tracker, None).await });
        let (mut stream, _) = stranger.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
        let error = dial.await.unwrap_err();
        assert!(matches!(error, ChannelError::NotTls), "{error}");
        assert!(error.to_string().contains("run the same version"), "{error}");
    });
}

#[test]
fn a_tracker_is_no_peer_and_another_version_is_told_so() {
    smol::block_on(async {
        let (address, _channels) = listen(Role::Peer);
        let error = here().connect(address, Role::Tracker, None).await.unwrap_err();
        assert!(matches!(error, ChannelError::WrongProtocol), "{error}");
        for protocols in [vec![b"group-sharing/99 peer".to_vec()], Vec::new()] {
            let error = smol::unblock(move || {
                let mut stranger = stranger(address, &protocols);
                stranger.read(&mut [0]).unwrap_err().to_string()
            })
            .await;
            assert!(error.to_lowercase().contains("protocol") || error.contains("close_notify"), "{error}");
        }
    });
}

/// `rustls` by itself, which names these protocols.
fn stranger(address: SocketAddr, protocols: &[Vec<u8>]) -> StreamOwned<ClientConnection, TcpStream> {
    let identity = Identity::from_seed([7; 32]);
    let mut config = handshake::client_config(&identity, Role::Peer, None);
    config.alpn_protocols = protocols.to_vec();
    let connection = ClientConnection::new(
        Arc::new(config),
        rustls::pki_types::ServerName::IpAddress(address.ip().into()),
    );
    StreamOwned::new(connection.unwrap(), TcpStream::connect(address).unwrap())
}

#[test]
fn a_key_changes_before_it_is_worn_and_nobody_notices() {
    let (address, channels) = listen(Role::Peer);
    let sent: Vec<u8> = (0..5_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    assert!(sent.len() as u64 / (16 * 1024) > 4 * RECORDS_PER_KEY, "keys change several times");
    let protocols = handshake::client_config(&Identity::from_seed([7; 32]), Role::Peer, None).alpn_protocols;
    let echo = std::thread::spawn(move || {
        let mut rustls = stranger(address, &protocols);
        let mut room = vec![0; 300_000];
        loop {
            let read = rustls.read(&mut room).unwrap();
            if read == 0 {
                rustls.conn.send_close_notify();
                return rustls.flush().unwrap();
            }
            rustls.conn.refresh_traffic_keys().unwrap();
            rustls.write_all(&room[..read]).unwrap();
        }
    });
    smol::block_on(async {
        let (mut reads, mut writes) = channels.recv().await.unwrap().split();
        let writing = async {
            write(&mut writes, &sent).await;
            writes.finish().await.unwrap();
        };
        let ((), (echoed, error)) = future::zip(writing, read_all(&mut reads)).await;
        assert!(error.is_none(), "{error:?}");
        assert!(echoed == sent);
    });
    echo.join().unwrap();
}

#[test]
fn records_without_content_are_not_taken_for_ever() {
    let (address, channels) = listen(Role::Peer);
    let protocols = handshake::client_config(&Identity::from_seed([7; 32]), Role::Peer, None).alpn_protocols;
    let flood = std::thread::spawn(move || {
        let mut rustls = stranger(address, &protocols);
        rustls.flush().unwrap();
        for _ in 0..1_000 {
            // Until it is cut off.
            if rustls.conn.refresh_traffic_keys().is_err() || rustls.flush().is_err() {
                return;
            }
        }
        rustls.conn.send_close_notify();
        let _cut_off = rustls.flush();
    });
    smol::block_on(async {
        let (mut reads, writes) = channels.recv().await.unwrap().split();
        let (content, error) = read_all(&mut reads).await;
        assert_eq!(content, b"");
        assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::InvalidData));
        drop((reads, writes));
    });
    flood.join().unwrap();
}

#[test]
fn a_cut_is_no_end() {
    smol::block_on(async {
        for finish in [true, false] {
            let (one, other) = pair().await;
            let (mut reads, _) = one.split();
            let (_, mut writes) = other.split();
            write(&mut writes, b"all there is").await;
            if finish {
                writes.finish().await.unwrap();
            } else {
                writes.cutter().cut();
            }
            let (content, error) = read_all(&mut reads).await;
            assert_eq!(content, b"all there is");
            assert_eq!(error.map(|error| error.kind()), (!finish).then_some(io::ErrorKind::UnexpectedEof));
        }
    });
}

#[test]
fn an_idle_channel_holds_no_buffer() {
    smol::block_on(async {
        let (one, other) = pair().await;
        let (mut reads, _) = one.split();
        let (_, mut writes) = other.split();
        write(&mut writes, b"hello").await;
        let mut room = [0; 100];
        assert_eq!(reads.read_with(|content| content.read(&mut room)).await.unwrap(), 5);
        let waiting = reads.read_with(|content| content.read(&mut room));
        assert!(future::poll_once(waiting).await.is_none());
        assert!(reads.incoming.is_idle() && writes.outgoing.sealed().is_empty());
    });
}
