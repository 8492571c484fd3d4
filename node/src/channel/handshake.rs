//! The handshake: TLS 1.3 with raw Ed25519 public keys on both sides (RFC 7250), and what it agrees on.
//!
//! It is `rustls`' own, with no certificate authority and no certificates: the key is the identity. Both ends name the protocol, its
//! version and what the link is for by ALPN. A pinned key is compared before anything of this end is told.
//!
//! Invariant: `rustls` is shown one record at a time, so what follows the handshake is left to the record layer untouched.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_io::{Async, Timer};
use engine::id::DeviceId;
use engine::peer::io::Role;
use engine::wire::PROTOCOL;
use futures_lite::future;
use futures_lite::io::{AsyncReadExt as _, AsyncWriteExt as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    AlwaysResolvesClientRawPublicKeys, ClientConnectionData, Resumption, UnbufferedClientConnection,
};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key,
};
use rustls::kernel::KernelConnection;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ConnectionTrafficSecrets, DigitallySignedStruct,
    DistinguishedName, Error, ExtractedSecrets, ServerConfig, SignatureScheme,
};

use super::ChannelError;
use crate::identity::{Identity, device_of_spki};

/// Most bytes that a handshake takes in before it is done: the longest message is a `ClientHello` of about 1.7 KB.
const BYTES_MAX: usize = 32 * 1024;

/// How long a stranger who was refused may take to hear of it.
const LINGER: Duration = Duration::from_secs(1);

/// What a handshake agrees on.
pub(super) struct Agreed {
    /// The key at the other end, proven.
    pub(super) remote: DeviceId,
    pub(super) secrets: ExtractedSecrets,
    pub(super) keys: Arc<Keys>,
    /// Bytes that were read and belong to what follows.
    pub(super) rest: Vec<u8>,
}

/// What both directions of a connection derive their later keys from.
pub(super) struct Keys {
    source: Mutex<Source>,
    /// Whether the remote asked for a new key of the direction towards it.
    asked: AtomicBool,
}

enum Source {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// A direction's next key, with the number of its first record.
pub(super) type NextKey = Result<(u64, ConnectionTrafficSecrets), Error>;

impl Keys {
    fn new(source: Source) -> Arc<Keys> {
        Arc::new(Keys { source: Mutex::new(source), asked: AtomicBool::new(false) })
    }

    pub(super) fn next_to_seal(&self) -> NextKey {
        match &mut *self.source() {
            Source::Client(connection) => connection.update_tx_secret(),
            Source::Server(connection) => connection.update_tx_secret(),
        }
    }

    pub(super) fn next_to_open(&self) -> NextKey {
        match &mut *self.source() {
            Source::Client(connection) => connection.update_rx_secret(),
            Source::Server(connection) => connection.update_rx_secret(),
        }
    }

    /// The remote wants a new key before it is sent more.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether the remote asked since this was called last.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::Relaxed)
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How to shake hands as the one who dials: with `identity`, for a link with somebody of that `role`, who has the `expected` key, if
/// one is.
///
/// # Panics
/// Never: the provider has what is asked of it.
#[must_use]
pub fn client_config(identity: &Identity, role: Role, expected: Option<DeviceId>) -> ClientConfig {
    client(identity, role, Arc::new(Verifier::new(expected)))
}

fn client(identity: &Identity, role: Role, verifier: Arc<Verifier>) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(identity.certified())));
    config.alpn_protocols = vec![spoken(role)];
    config.resumption = Resumption::disabled();
    config.enable_secret_extraction = true;
    config
}

/// How to shake hands as the one who is dialled, in that `role`.
///
/// # Panics
/// Never: the provider has what is asked of it.
#[must_use]
pub fn server_config(identity: &Identity, role: Role) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites of TLS 1.3")
        .with_client_cert_verifier(Arc::new(Verifier::new(None)))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(identity.certified())));
    config.alpn_protocols = vec![spoken(role)];
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = true;
    config
}

/// Protocol, version and what the link is for, as ALPN names them.
fn spoken(role: Role) -> Vec<u8> {
    let role = match role {
        Role::Tracker => "tracker",
        Role::Peer => "peer",
    };
    [PROTOCOL.as_slice(), b" ", role.as_bytes()].concat()
}

/// The fastest of the sound suites first, and a key exchange that stays secret when there are quantum computers.
fn provider() -> CryptoProvider {
    use aws_lc_rs::{cipher_suite, kx_group};
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}

/// Shakes hands as the one who dialled.
pub(super) async fn dial(
    stream: &mut Async<TcpStream>,
    to: SocketAddr,
    identity: &Identity,
    role: Role,
    expected: Option<DeviceId>,
) -> Result<Agreed, ChannelError> {
    let verifier = Arc::new(Verifier::new(expected));
    let config = Arc::new(client(identity, role, Arc::clone(&verifier)));
    let mut connection = UnbufferedClientConnection::new(config, ServerName::IpAddress(to.ip().into()))?;
    let done =
        shake(stream, |incoming, outgoing| step(connection.process_tls_records(incoming), outgoing)).await;
    let rest = match (done, expected, verifier.found.get()) {
        (Err(ChannelError::Tls(Error::InvalidCertificate(_))), Some(expected), Some(found)) => {
            return Err(ChannelError::OtherKey { expected, found: *found });
        }
        (done, ..) => done?,
    };
    look_at_protocol(connection.alpn_protocol())?;
    let remote = remote(connection.peer_certificates())?;
    let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
    Ok(Agreed { remote, secrets, keys: Keys::new(Source::Client(keys)), rest })
}

/// Shakes hands as the one who was dialled.
pub(super) async fn answer(
    stream: &mut Async<TcpStream>,
    config: Arc<ServerConfig>,
) -> Result<Agreed, ChannelError> {
    let mut connection = UnbufferedServerConnection::new(config)?;
    let done =
        shake(stream, |incoming, outgoing| step(connection.process_tls_records(incoming), outgoing)).await;
    if matches!(done, Err(ChannelError::NotTls | ChannelError::WrongProtocol | ChannelError::Tls(_)))
        && stream.get_ref().shutdown(Shutdown::Write).is_ok()
    {
        linger(stream).await;
    }
    let rest = done?;
    look_at_protocol(connection.alpn_protocol())?;
    let remote = remote(connection.peer_certificates())?;
    let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
    Ok(Agreed { remote, secrets, keys: Keys::new(Source::Server(keys)), rest })
}

/// Two ends that both name protocols agree on one, or the handshake fails; but one of them may have named none.
fn look_at_protocol(agreed: Option<&[u8]>) -> Result<(), ChannelError> {
    if agreed.is_some() { Ok(()) } else { Err(ChannelError::WrongProtocol) }
}

fn remote(keys: Option<&[CertificateDer<'_>]>) -> Result<DeviceId, ChannelError> {
    let device = keys.and_then(|keys| device_of_spki(keys.first()?));
    device.ok_or(ChannelError::Tls(Error::NoCertificatesPresented))
}

/// What a step of the handshake wants next.
enum Next {
    Step,
    /// What is in the outgoing bytes is to be sent.
    Send,
    /// Another record is needed.
    Read,
    Done,
}

/// Does what a state of the handshake asks for, but for the network; gives how many of the incoming bytes are done with.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    outgoing: &mut Vec<u8>,
) -> (usize, Result<Next, Error>) {
    let next = status.state.and_then(|state| match state {
        ConnectionState::EncodeTlsData(mut data) => {
            let len = match data.encode(&mut []) {
                Err(EncodeError::InsufficientSize(needed)) => needed.required_size,
                Ok(_) | Err(EncodeError::AlreadyEncoded) => 0,
            };
            let start = outgoing.len();
            outgoing.resize(start + len, 0);
            data.encode(&mut outgoing[start..]).map_err(|error| Error::General(error.to_string()))?;
            Ok(Next::Step)
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Next::Send)
        }
        ConnectionState::BlockedHandshake => Ok(Next::Read),
        ConnectionState::WriteTraffic(_) => Ok(Next::Done),
        _ => Err(Error::HandshakeNotComplete),
    });
    (status.discard, next)
}

/// Runs a handshake on `stream`; gives what was read beyond it.
async fn shake(
    stream: &mut Async<TcpStream>,
    mut process: impl FnMut(&mut [u8], &mut Vec<u8>) -> (usize, Result<Next, Error>),
) -> Result<Vec<u8>, ChannelError> {
    let (mut incoming, mut shown, mut outgoing) = (Vec::new(), 0, Vec::new());
    loop {
        let (done_with, next) = process(&mut incoming[..shown], &mut outgoing);
        incoming.drain(..done_with);
        shown -= done_with;
        match next {
            Ok(Next::Step) => {}
            Ok(Next::Send) => {
                stream.write_all(&outgoing).await?;
                outgoing.clear();
            }
            Ok(Next::Read) => shown = read_record(stream, &mut incoming, shown).await?,
            Ok(Next::Done) => return Ok(incoming),
            Err(why) => {
                // The remote has the same right to a clear answer: an alert, if there is one. While bytes are left that are at fault,
                // it is the next step; otherwise the last.
                while matches!(process(&mut incoming[..shown], &mut outgoing), (_, Ok(Next::Step)))
                    && shown == 0
                {}
                let _told = stream.write_all(&outgoing).await;
                return Err(why.into());
            }
        }
    }
}

/// Takes in what a stranger still sends for a moment, so that the answer it got is not lost in a reset.
async fn linger(stream: &mut Async<TcpStream>) {
    let drain = async {
        let mut room = [0; 1_024];
        let mut heard = 0;
        while heard < BYTES_MAX {
            match stream.read(&mut room).await {
                Ok(0) | Err(_) => return,
                Ok(read) => heard += read,
            }
        }
    };
    future::or(drain, async {
        Timer::after(LINGER).await;
    })
    .await;
}

/// Reads until a record more than the `shown` bytes is there; gives how many bytes those are then.
async fn read_record(
    stream: &mut Async<TcpStream>,
    incoming: &mut Vec<u8>,
    shown: usize,
) -> io::Result<usize> {
    loop {
        if let Some(len) = record_len(&incoming[shown..]) {
            return Ok(shown + len);
        }
        let start = incoming.len();
        if start >= BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the handshake has no end"));
        }
        incoming.resize(start + 4 * 1024, 0);
        let read = stream.read(&mut incoming[start..]).await?;
        incoming.truncate(start + read);
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The length of the first record, if all of it is there; all the bytes, if they begin with none, so that this is noticed at once.
fn record_len(bytes: &[u8]) -> Option<usize> {
    if bytes.first().is_some_and(|kind| !(20..=23).contains(kind)) {
        return Some(bytes.len());
    }
    let head = bytes.first_chunk::<5>()?;
    let len = 5 + usize::from(u16::from_be_bytes([head[3], head[4]]));
    (bytes.len() >= len).then_some(len)
}

/// Makes sure that the other end has the key it shows, and that it is the expected one.
#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    expected: Option<DeviceId>,
    /// The key that was shown, whether or not it is the expected one.
    found: OnceLock<DeviceId>,
}

impl Verifier {
    fn new(expected: Option<DeviceId>) -> Verifier {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Verifier { algorithms, expected, found: OnceLock::new() }
    }

    fn look(&self, key: &CertificateDer<'_>) -> Result<(), Error> {
        let found = device_of_spki(key).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        self.found.get_or_init(|| found);
        if self.expected.is_some_and(|expected| expected != found) {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(())
    }

    fn signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(&**key),
            signed,
            &self.algorithms,
        )
    }
}

/// There is no TLS 1.2 here.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.look(key).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // One verifier looks at many clients, none of which is expected.
        device_of_spki(key).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl From<Error> for ChannelError {
    fn from(error: Error) -> ChannelError {
        match error {
            Error::NoApplicationProtocol | Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                ChannelError::WrongProtocol
            }
            Error::InvalidMessage(_) | Error::PeerIncompatible(_) => ChannelError::NotTls,
            error => ChannelError::Tls(error),
        }
    }
}
