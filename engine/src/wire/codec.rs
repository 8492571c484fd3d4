//! The one module that encodes and decodes (bincode, its own derive, never its serde path).
//!
//! Whatever bytes come in, decoding allocates at most [`DECODE_BYTES_MAX`], checks every length before it allocates, does not
//! recurse without bound, and either consumes all input or refuses it.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bincode::de::read::Reader as _;
use bincode::de::{Decode, Decoder};
use bincode::error::DecodeError;
use bincode::{Encode, config};

use crate::limits::DECODE_BYTES_MAX;
use crate::violation::Violation;

/// The bytes of `value`.
///
/// # Panics
/// Never: encoding into memory cannot fail for our types.
#[must_use]
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, config::standard()).expect("encoding into memory succeeds")
}

/// The value that `bytes`, from a remote, stand for.
///
/// # Errors
/// `Malformed` if they do not decode within the limits, or some are left over.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, Violation> {
    decode_limited::<T, DECODE_BYTES_MAX>(bytes)
}

/// The value that `bytes`, which this system itself stored, stand for; as long as memory allows.
///
/// # Errors
/// `Malformed` if they do not decode or some are left over: the store is damaged or of another version.
pub fn decode_stored<T: Decode<()>>(bytes: &[u8]) -> Result<T, Violation> {
    decode_limited::<T, { 1 << 36 }>(bytes)
}

fn decode_limited<T: Decode<()>, const LIMIT: usize>(bytes: &[u8]) -> Result<T, Violation> {
    match bincode::decode_from_slice(bytes, config::standard().with_limit::<LIMIT>()) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok(_) | Err(_) => Err(Violation::Malformed),
    }
}

/// A length of at most `MAX`.
pub(crate) fn decode_len<const MAX: usize, D: Decoder>(decoder: &mut D) -> Result<usize, DecodeError> {
    let len = u64::decode(decoder)?;
    usize::try_from(len).ok().filter(|len| *len <= MAX).ok_or(DecodeError::LimitExceeded)
}

/// A text of at most `MAX` bytes.
pub(crate) fn decode_text<const MAX: usize, D: Decoder>(decoder: &mut D) -> Result<String, DecodeError> {
    let len = decode_len::<MAX, D>(decoder)?;
    decoder.claim_bytes_read(len)?;
    let mut bytes = vec![0; len];
    decoder.reader().read(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| DecodeError::Other("a text is not UTF-8"))
}
