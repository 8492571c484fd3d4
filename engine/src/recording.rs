//! What a shell writes down of a machine's life: from what it was made, and each input with its time. Fed to a machine of the same version, it
//! gives the same actions; a digest of them after each input says whether it did.
//!
//! A recording is [`MAGIC`] and then [`Record`]s, each behind its length: first how the machine began, then for each input the input, before it
//! is taken in, and the digest, after. So when a machine panics, the input at which it did is the last.
//!
//! The key derived from a password never stands in a peer's recording: see [`of_peer`]. What a tracker hears and stores does open accounts, so
//! that a tracker's recording must be guarded as its store is.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use bincode::{Decode, Encode};

use crate::id::Key;
use crate::seed::Seed;
use crate::time::Time;
use crate::violation::Violation;
use crate::wire::codec;
use crate::{peer, tracker};

/// The first bytes of a recording; the number is the version of its format.
pub const MAGIC: [u8; 12] = *b"recording 1\n";

/// Bytes of a length.
const LEN: usize = 4;

/// One thing that was written down.
#[derive(Clone, Debug, Encode, Decode)]
pub enum Record {
    /// A peer began.
    Peer(Box<peer::io::Config>, Seed),
    /// A tracker began.
    Tracker(Box<tracker::Config>, Box<tracker::io::Stored>),
    /// A peer takes something in.
    PeerInput(Time, Box<peer::io::Input>),
    /// A tracker takes something in.
    TrackerInput(Time, Box<tracker::io::Input>),
    /// The digest of all actions so far.
    Acted(u64),
}

/// What is written down of a peer's input: all of it, but for keys derived from passwords. The machine only hands them on, so that it does
/// the same with another.
#[must_use]
pub fn of_peer(now: Time, input: &peer::io::Input) -> Record {
    let mut input = Box::new(input.clone());
    if let peer::io::Input::Done { outcome: peer::io::Outcome::Key(key), .. } = &mut *input {
        *key = Key([0; 32]);
    }
    Record::PeerInput(now, input)
}

impl Record {
    /// The bytes of the record, behind their length.
    ///
    /// # Panics
    /// If it has 4 GiB.
    #[must_use]
    pub fn framed(&self) -> Vec<u8> {
        let body = codec::encode(self);
        let len = u32::try_from(body.len()).expect("an input is far smaller");
        let mut bytes = Vec::from(len.to_le_bytes());
        bytes.extend(body);
        bytes
    }
}

/// The records of a recording. One that was cut off, as when a process was killed while it wrote, is passed over: it is the last.
///
/// # Errors
/// `Malformed` if it is no recording of this version; an item is `Malformed` if the record is.
pub fn records(bytes: &[u8]) -> Result<impl Iterator<Item = Result<Record, Violation>>, Violation> {
    let mut rest = bytes.strip_prefix(&MAGIC).ok_or(Violation::Malformed)?;
    Ok(core::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk::<LEN>()?;
        let (body, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        rest = behind;
        Some(codec::decode_stored(body))
    }))
}

/// A digest of actions: it tells two courses apart, and does not withstand somebody who wants it to fail. FNV-1a over what `Debug` shows, which
/// never is a secret.
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

impl Digest {
    /// Takes in what a machine did, and gives the digest of everything so far.
    ///
    /// # Panics
    /// Never: a digest takes any text.
    pub fn take(&mut self, actions: &[impl fmt::Debug]) -> u64 {
        for action in actions {
            writeln!(self, "{action:?}").expect("a digest takes any text");
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobId;
    use crate::peer::io::{Input, Outcome};

    #[test]
    fn what_is_written_is_read_and_a_record_cut_off_is_passed_over() {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend(of_peer(Time(7), &Input::Wake).framed());
        bytes.extend(Record::Acted(9).framed());
        let read = |bytes: &[u8]| records(bytes).map(|all| all.collect::<Vec<_>>());
        let all = read(&bytes).unwrap();
        let [Ok(Record::PeerInput(Time(7), input)), Ok(Record::Acted(9))] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!(**input, Input::Wake);
        assert_eq!(read(&bytes[..bytes.len() - 1]).unwrap().len(), 1);
        assert_eq!(read(b"something else").unwrap_err(), Violation::Malformed);
    }

    #[test]
    fn no_key_is_written_down() {
        let input = Input::Done { job: JobId(1), outcome: Outcome::Key(Key([0xa5; 32])) };
        let bytes = of_peer(Time(1), &input).framed();
        assert!(!bytes.contains(&0xa5));
    }

    #[test]
    fn the_digest_is_of_the_whole_course() {
        let (mut one, mut other) = (Digest::default(), Digest::default());
        assert_eq!(one.take(&[1, 2]), {
            other.take(&[1]);
            other.take(&[2])
        });
        assert_ne!(one.take(&[3]), other.take(&[4]));
    }
}
