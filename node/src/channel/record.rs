//! The record layer of TLS 1.3 (RFC 8446, section 5) after the handshake, which agreed on its keys.
//!
//! Each direction has its own key and counts its own records, so that reading and writing share nothing. A record is sealed straight
//! from the content into the buffer that goes to the socket, and opened from where the socket put it straight to where its content goes.
//!
//! Invariants: no two records are sealed with the same key and number; a key seals at most [`RECORDS_PER_KEY`] records; whatever does not
//! authenticate is never given out.

use std::fmt;

use rustls::ConnectionTrafficSecrets;

use super::cipher::{Cipher, TAG_LEN, Unspecified};

/// Most content of one record.
pub(super) const CONTENT_LEN_MAX: usize = 16 * 1024;

/// Bytes before the content: type, version, length.
pub(super) const HEAD_LEN: usize = 5;

/// Bytes after the content: its type, and the tag.
const TAIL_LEN: usize = 1 + TAG_LEN;

/// Most bytes behind a record's head: content, padding and tag (RFC 8446, 5.2).
const BODY_LEN_MAX: usize = CONTENT_LEN_MAX + 256;

/// The longest record.
pub(super) const RECORD_LEN_MAX: usize = HEAD_LEN + BODY_LEN_MAX;

/// Records that one key seals: AES-GCM may seal 2^24.5 of full size (RFC 8446, 5.5), which are 379 GiB; a key is changed after 64 GiB.
#[cfg(not(test))]
pub(super) const RECORDS_PER_KEY: u64 = 1 << 22;
/// Few enough that tests see keys change.
#[cfg(test)]
pub(super) const RECORDS_PER_KEY: u64 = 16;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Alert = 21,
    Handshake = 22,
    Data = 23,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordError {
    /// Its head is not that of a sealed record, or it is too long.
    Head,
    /// It was not sealed with the key that was agreed on, or not as the next.
    Tampered,
    /// It authenticates, and holds what no record may.
    Content,
    /// It is one of too many in a row that hold nothing for the reader.
    Hollow,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordError::Head => "what came is no record of TLS 1.3",
            RecordError::Tampered => "a record was tampered with",
            RecordError::Content => "a record holds what no record may",
            RecordError::Hollow => "too many records without content came in a row",
        })
    }
}

impl std::error::Error for RecordError {}

impl From<Unspecified> for RecordError {
    fn from(_: Unspecified) -> RecordError {
        RecordError::Tampered
    }
}

/// Seals records.
pub(super) struct Sealer(Cipher);

impl Sealer {
    /// From the number of the first record, and its key.
    pub(super) fn new(secrets: (u64, ConnectionTrafficSecrets)) -> Result<Sealer, Unspecified> {
        Cipher::new(secrets).map(Sealer)
    }

    /// Whether the key has sealed enough.
    pub(super) fn is_worn(&self) -> bool {
        self.0.next() >= RECORDS_PER_KEY
    }

    /// The length of a record with so much content.
    pub(super) const fn sealed_len(content_len: usize) -> usize {
        HEAD_LEN + content_len + TAIL_LEN
    }

    /// Seals at most [`CONTENT_LEN_MAX`] bytes into the beginning of `out`; gives the length of the record.
    ///
    /// # Panics
    /// If they do not fit: the caller looked.
    pub(super) fn seal(&mut self, kind: Kind, content: &[u8], out: &mut [u8]) -> Result<usize, Unspecified> {
        assert!(content.len() <= CONTENT_LEN_MAX, "a record is no longer than it may be");
        let len = Sealer::sealed_len(content.len());
        let (head, body) = out[..len].split_at_mut(HEAD_LEN);
        head.copy_from_slice(&record_head(len - HEAD_LEN));
        self.0.seal(head, content, kind as u8, body)?;
        Ok(len)
    }
}

/// The head of every sealed record: it looks like application data of TLS 1.2.
#[expect(clippy::cast_possible_truncation, reason = "at most BODY_LEN_MAX")]
fn record_head(body_len: usize) -> [u8; HEAD_LEN] {
    let [high, low] = (body_len as u16).to_be_bytes();
    [Kind::Data as u8, 3, 3, high, low]
}

/// Opens records.
pub(super) struct Opener(Cipher);

impl Opener {
    /// From the number of the first record, and its key.
    pub(super) fn new(secrets: (u64, ConnectionTrafficSecrets)) -> Result<Opener, Unspecified> {
        Cipher::new(secrets).map(Opener)
    }

    /// The length of the record that `bytes` begin with, whether or not all of it is there; none if its head is not.
    pub(super) fn record_len(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
        let Some(head) = bytes.first_chunk::<HEAD_LEN>() else { return Ok(None) };
        let body_len = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if *head != record_head(body_len) || !(TAIL_LEN..=BODY_LEN_MAX).contains(&body_len) {
            return Err(RecordError::Head);
        }
        Ok(Some(HEAD_LEN + body_len))
    }

    /// The room that [`Opener::open_into`] needs for a record of that length: its content and what stands behind it.
    pub(super) const fn room_for(record_len: usize) -> usize {
        record_len - HEAD_LEN - TAG_LEN
    }

    /// Opens a whole record in its place; gives what it holds.
    pub(super) fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<(Kind, &'a [u8]), RecordError> {
        let (head, body) = record.split_at_mut(HEAD_LEN);
        content(self.0.open(head, body)?)
    }

    /// Opens a whole record into the beginning of `room`; gives what it holds.
    ///
    /// # Panics
    /// If there is less than [`Opener::room_for`] it: the caller looked.
    pub(super) fn open_into<'a>(
        &mut self,
        record: &[u8],
        room: &'a mut [u8],
    ) -> Result<(Kind, &'a [u8]), RecordError> {
        let (head, body) = record.split_at(HEAD_LEN);
        let inner = &mut room[..Opener::room_for(record.len())];
        self.0.open_into(head, body, inner)?;
        content(inner)
    }
}

/// What is inside a record: content, its type, and perhaps padding of zeros.
fn content(inner: &[u8]) -> Result<(Kind, &[u8]), RecordError> {
    let at = inner.iter().rposition(|byte| *byte != 0).ok_or(RecordError::Content)?;
    let kind = match inner[at] {
        21 => Kind::Alert,
        22 => Kind::Handshake,
        23 => Kind::Data,
        _ => return Err(RecordError::Content),
    };
    if at > CONTENT_LEN_MAX { Err(RecordError::Content) } else { Ok((kind, &inner[..at])) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secrets() -> (u64, ConnectionTrafficSecrets) {
        (5, ConnectionTrafficSecrets::Aes256Gcm { key: [7; 32].into(), iv: [9; 12].into() })
    }

    fn sealed(content: &[u8]) -> Vec<u8> {
        let mut record = vec![0; Sealer::sealed_len(content.len())];
        let len = Sealer::new(secrets()).unwrap().seal(Kind::Data, content, &mut record).unwrap();
        assert_eq!(len, record.len());
        record
    }

    #[test]
    fn a_record_that_was_changed_anywhere_does_not_open() {
        let record = sealed(b"content");
        for at in HEAD_LEN..record.len() {
            let mut changed = record.clone();
            changed[at] ^= 1;
            let mut room = [0; 100];
            let opened = Opener::new(secrets()).unwrap().open_into(&changed, &mut room).map(|_| ());
            assert_eq!(opened, Err(RecordError::Tampered), "byte {at}");
            let opened = Opener::new(secrets()).unwrap().open(&mut changed).map(|_| ());
            assert_eq!(opened, Err(RecordError::Tampered), "byte {at}");
        }
    }

    #[test]
    fn a_record_out_of_turn_does_not_open() {
        let record = sealed(b"content");
        let mut opener = Opener::new(secrets()).unwrap();
        assert_eq!(opener.open(&mut record.clone()), Ok((Kind::Data, &b"content"[..])));
        assert_eq!(opener.open(&mut record.clone()), Err(RecordError::Tampered));
    }

    #[test]
    fn a_head_that_is_none_is_refused_before_more_is_waited_for() {
        assert_eq!(Opener::record_len(&[23, 3, 3, 0]), Ok(None));
        assert_eq!(Opener::record_len(&[23, 3, 3, 0, 17]), Ok(Some(22)));
        for head in [[23, 3, 3, 0, 16], [23, 3, 3, 0x41, 1], [22, 3, 3, 0, 17], [23, 3, 1, 0, 17], *b"GET /"]
        {
            assert_eq!(Opener::record_len(&head), Err(RecordError::Head), "{head:?}");
        }
        assert_eq!(Opener::record_len(&[23, 3, 3, 0x41, 0]), Ok(Some(RECORD_LEN_MAX)));
    }

    proptest! {
        #[test]
        fn content_of_any_length_comes_out_as_it_went_in(content in proptest::collection::vec(any::<u8>(), 0..=CONTENT_LEN_MAX)) {
            let mut record = sealed(&content);
            prop_assert_eq!(Opener::record_len(&record), Ok(Some(record.len())));
            let mut room = vec![0; Opener::room_for(record.len())];
            prop_assert_eq!(Opener::new(secrets()).unwrap().open_into(&record, &mut room), Ok((Kind::Data, &content[..])));
            prop_assert_eq!(Opener::new(secrets()).unwrap().open(&mut record), Ok((Kind::Data, &content[..])));
        }
    }
}
