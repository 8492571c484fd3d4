//! Keys of devices and trackers: an Ed25519 key pair is who a process is, made at its first start and kept in its data folder.
//!
//! The file is a private key in PKCS #8, as `openssl pkey -inform der -text` shows it, and only its owner may read it. Whoever has it is
//! that device. Invariant: a key is on disk, synced, before anybody learns of it.

use std::fmt;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use engine::id::DeviceId;
use engine::ticket::{Signature, UnixTime};
use rustls::crypto::aws_lc_rs::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::data_dir::DataDir;

/// The file in the data folder of a client.
pub const DEVICE_FILE: &str = "device.key";

/// The file in the data folder of a tracker.
pub const TRACKER_FILE: &str = "tracker.key";

/// A file that holds one key is no longer than this; one made here has 48 bytes.
const FILE_LEN_MAX: usize = 1_024;

/// What stands before the 32 bytes of an Ed25519 public key in its standard form, a `SubjectPublicKeyInfo` (RFC 8410).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key pair.
pub struct Identity {
    pair: Ed25519KeyPair,
    device: DeviceId,
    certified: Arc<CertifiedKey>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.device)
    }
}

/// Why there is no key, with the remedy.
#[derive(Debug)]
pub struct IdentityError {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Io(io::Error),
    NoKey,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Why::Io(error) => {
                write!(f, "the key {path} cannot be used ({error}); look after its disk and its rights")
            }
            Why::NoKey => write!(
                f,
                "{path} holds no Ed25519 key; put back a copy of it, or move it away to begin as somebody new"
            ),
        }
    }
}

impl std::error::Error for IdentityError {}

impl Identity {
    /// Reads the key in `file` of the data folder; makes one at the first start.
    ///
    /// # Errors
    /// If the file cannot be read or written, or holds something else.
    pub fn load_or_make(dir: &DataDir, file: &str) -> Result<Identity, IdentityError> {
        let fail = |why| IdentityError { path: dir.file(file), why };
        let stored = read(dir, file).map_err(|error| fail(Why::Io(error)))?;
        if let Some(pkcs8) = stored {
            return Identity::from_pkcs8(&pkcs8).ok_or_else(|| fail(Why::NoKey));
        }
        let unlucky = |_| fail(Why::Io(io::Error::other("the system gives no random numbers")));
        let pair = Ed25519KeyPair::generate().map_err(unlucky)?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(unlucky)?;
        dir.replace_file(file, pkcs8.as_ref()).map_err(|error| fail(Why::Io(error)))?;
        Identity::from_pkcs8(pkcs8.as_ref()).ok_or_else(|| fail(Why::NoKey))
    }

    /// The key that `seed` stands for: for tests, which want the same one each time.
    ///
    /// # Panics
    /// Never: every seed stands for a key.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Identity {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("every seed stands for a key");
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("a key has a standard form");
        Identity::from_pkcs8(pkcs8.as_ref()).expect("it was written just now")
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Identity> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
        let device = DeviceId(pair.public_key().as_ref().try_into().ok()?);
        let signing = any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8)).ok()?;
        let public = CertificateDer::from(spki(device).to_vec());
        Some(Identity { pair, device, certified: Arc::new(CertifiedKey::new(vec![public], signing)) })
    }

    /// The public key: who this is.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// Signs a statement.
    #[must_use]
    pub fn sign(&self, statement: &[u8]) -> Signature {
        let mut signature = Signature([0; 64]);
        signature.0.copy_from_slice(self.pair.sign(statement).as_ref());
        signature
    }

    /// What the handshake shows and signs with.
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

/// Whether a signature of a statement is that device's.
#[must_use]
pub fn verify(signer: DeviceId, statement: &[u8], signature: &Signature) -> bool {
    UnparsedPublicKey::new(&ED25519, signer.0).verify(statement, &signature.0).is_ok()
}

/// What the file holds; none if it is not there.
fn read(dir: &DataDir, file: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let Some(file) = dir.open_existing(file)? else { return Ok(None) };
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LEN_MAX));
    file.take(FILE_LEN_MAX as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// A public key in its standard form.
fn spki(device: DeviceId) -> [u8; 44] {
    let mut bytes = [0; 44];
    bytes[..SPKI_HEAD.len()].copy_from_slice(&SPKI_HEAD);
    bytes[SPKI_HEAD.len()..].copy_from_slice(&device.0);
    bytes
}

/// The device whose public key, in its standard form, `bytes` are.
pub(crate) fn device_of_spki(bytes: &[u8]) -> Option<DeviceId> {
    bytes.strip_prefix(&SPKI_HEAD)?.try_into().ok().map(DeviceId)
}

/// What the wall clock shows. One that was set to before 1970 shows that.
#[must_use]
pub fn wall_clock() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// The device of that fingerprint: 64 hexadecimal digits.
#[must_use]
pub fn parse_fingerprint(text: &str) -> Option<DeviceId> {
    let mut device = DeviceId([0; 32]);
    if text.len() != 2 * device.0.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in device.0.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn load(folder: &std::path::Path) -> Result<Identity, IdentityError> {
        Identity::load_or_make(&DataDir::open(folder).unwrap(), DEVICE_FILE)
    }

    #[test]
    fn a_key_lasts_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = load(folder.path()).unwrap();
        assert_eq!(load(folder.path()).unwrap().device(), first.device());
        let mode = std::fs::metadata(folder.path().join(DEVICE_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(load(elsewhere.path()).unwrap().device(), first.device());
    }

    #[test]
    fn a_file_that_is_no_key_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"secret", &[0x30; 2_000]] {
            std::fs::write(folder.path().join(DEVICE_FILE), bytes).unwrap();
            let refused = load(folder.path()).unwrap_err().to_string();
            assert!(refused.contains("move it away"), "{refused}");
            assert_eq!(std::fs::read(folder.path().join(DEVICE_FILE)).unwrap(), bytes);
        }
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_printed() {
        let device = Identity::from_seed([3; 32]).device();
        assert_eq!(parse_fingerprint(&device.to_string()), Some(device));
        assert_eq!(parse_fingerprint(&device.to_string().to_uppercase()), Some(device));
        for text in ["", "12", &"g".repeat(64), &"1".repeat(63), &"1".repeat(65), &"é".repeat(32)] {
            assert_eq!(parse_fingerprint(text), None, "{text}");
        }
    }

    #[test]
    fn a_signature_is_good_for_its_statement_and_its_signer_alone() {
        let (one, other) = (Identity::from_seed([3; 32]), Identity::from_seed([4; 32]));
        let signature = one.sign(b"statement");
        assert!(verify(one.device(), b"statement", &signature));
        assert!(!verify(one.device(), b"statemenT", &signature));
        assert!(!verify(other.device(), b"statement", &signature));
        let mut changed = signature;
        changed.0[40] ^= 1;
        assert!(!verify(one.device(), b"statement", &changed));
        assert!(!verify(DeviceId([0xff; 32]), b"statement", &signature), "no point of the curve");
    }

    #[test]
    fn the_standard_form_of_a_public_key_is_that_of_the_library() {
        let identity = Identity::from_seed([4; 32]);
        let public = identity.certified.key.public_key().unwrap();
        assert_eq!(public.as_ref(), spki(identity.device()));
        assert_eq!(device_of_spki(&public), Some(identity.device()));
        assert_eq!(device_of_spki(&public[1..]), None);
        assert_eq!(device_of_spki(&[&public[..], &[0]].concat()), None);
    }
}
