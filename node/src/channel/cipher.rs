//! The cipher of one direction, by whichever of two libraries is faster on this processor.
//!
//! AES-GCM by `aws-lc-rs` is the fastest there is where the processor has AVX-512. Where it has the vector instructions for AES without it,
//! as a Zen 3 or a Core of the twelfth generation, only `ring` uses them: there it is 1.7 times as fast. Whoever handles records sees one cipher.

use std::fmt;

use ::ring::aead as ring;
use aws_lc_rs::aead as aws;
use rustls::ConnectionTrafficSecrets;
use rustls::crypto::cipher::{Iv, Nonce};

/// All suites have tags of this length.
pub(super) const TAG_LEN: usize = 16;

/// It does not open, or a key is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unspecified;

impl fmt::Display for Unspecified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cipher fails")
    }
}

impl std::error::Error for Unspecified {}

impl From<aws_lc_rs::error::Unspecified> for Unspecified {
    fn from(_: aws_lc_rs::error::Unspecified) -> Unspecified {
        Unspecified
    }
}

impl From<::ring::error::Unspecified> for Unspecified {
    fn from(_: ::ring::error::Unspecified) -> Unspecified {
        Unspecified
    }
}

/// One suite, by both libraries.
#[derive(Clone, Copy, Debug)]
struct Suite(&'static aws::Algorithm, &'static ring::Algorithm);

const AES_128: Suite = Suite(&aws::AES_128_GCM, &ring::AES_128_GCM);
const AES_256: Suite = Suite(&aws::AES_256_GCM, &ring::AES_256_GCM);
const CHACHA20: Suite = Suite(&aws::CHACHA20_POLY1305, &ring::CHACHA20_POLY1305);

impl Suite {
    fn by_aws(self, key: &[u8]) -> Result<Key, Unspecified> {
        Ok(Key::Aws(aws::LessSafeKey::new(aws::UnboundKey::new(self.0, key)?)))
    }

    fn by_ring(self, key: &[u8]) -> Result<Key, Unspecified> {
        Ok(Key::Ring(Box::new(ring::LessSafeKey::new(ring::UnboundKey::new(self.1, key)?))))
    }
}

/// A key, of whichever library.
enum Key {
    Aws(aws::LessSafeKey),
    Ring(Box<ring::LessSafeKey>),
}

/// A key with the number of the next record.
pub(super) struct Cipher {
    key: Key,
    iv: Iv,
    next: u64,
}

impl Cipher {
    /// From the number of the first record, and its key.
    pub(super) fn new((next, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Cipher, Unspecified> {
        let (suite, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (AES_128, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (AES_256, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (CHACHA20, key, iv),
            _ => return Err(Unspecified),
        };
        let key = if prefers_ring() { suite.by_ring(key.as_ref()) } else { suite.by_aws(key.as_ref()) };
        Ok(Cipher { key: key?, iv, next })
    }

    /// The number of the next record.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Seals the next record: `content` and the byte `last` into `body`, their tag behind them.
    ///
    /// # Panics
    /// If `body` has another length than all that.
    pub(super) fn seal(
        &mut self,
        head: &[u8],
        content: &[u8],
        last: u8,
        body: &mut [u8],
    ) -> Result<(), Unspecified> {
        assert_eq!(body.len(), content.len() + 1 + TAG_LEN, "room for the content, a byte and the tag");
        let nonce = self.nonce();
        match &self.key {
            Key::Aws(key) => {
                let (nonce, head) = (aws::Nonce::assume_unique_for_key(nonce), aws::Aad::from(head));
                let (sealed, tail) = body.split_at_mut(content.len());
                key.seal_out_of_place_scatter(nonce, head, content, sealed, &[last], tail)?;
            }
            Key::Ring(key) => {
                let (nonce, head) = (ring::Nonce::assume_unique_for_key(nonce), ring::Aad::from(head));
                let (sealed, room) = body.split_at_mut(content.len() + 1);
                sealed[..content.len()].copy_from_slice(content);
                sealed[content.len()] = last;
                let tag = key.seal_in_place_separate_tag(nonce, head, sealed)?;
                room.copy_from_slice(tag.as_ref());
            }
        }
        Ok(())
    }

    /// Opens the next record in its place; gives what was sealed.
    pub(super) fn open<'a>(&mut self, head: &[u8], body: &'a mut [u8]) -> Result<&'a [u8], Unspecified> {
        let nonce = self.nonce();
        Ok(match &self.key {
            Key::Aws(key) => {
                let (nonce, head) = (aws::Nonce::assume_unique_for_key(nonce), aws::Aad::from(head));
                key.open_in_place(nonce, head, body)?
            }
            Key::Ring(key) => {
                let (nonce, head) = (ring::Nonce::assume_unique_for_key(nonce), ring::Aad::from(head));
                key.open_in_place(nonce, head, body)?
            }
        })
    }

    /// Opens the next record into `room`.
    ///
    /// # Panics
    /// If `room` is not as long as the body without its tag.
    pub(super) fn open_into(&mut self, head: &[u8], body: &[u8], room: &mut [u8]) -> Result<(), Unspecified> {
        let (sealed, tag) = body.split_last_chunk::<TAG_LEN>().ok_or(Unspecified)?;
        assert_eq!(room.len(), sealed.len(), "room for what was sealed");
        let nonce = self.nonce();
        match &self.key {
            Key::Aws(key) => {
                let (nonce, head) = (aws::Nonce::assume_unique_for_key(nonce), aws::Aad::from(head));
                key.open_separate_gather(nonce, head, sealed, tag, room)?;
            }
            Key::Ring(key) => {
                let (nonce, head) = (ring::Nonce::assume_unique_for_key(nonce), ring::Aad::from(head));
                room.copy_from_slice(sealed);
                key.open_in_place_separate_tag(nonce, head, (*tag).into(), room, 0..)?;
            }
        }
        Ok(())
    }

    /// The nonce of the next record, which it counts.
    fn nonce(&mut self) -> [u8; 12] {
        let nonce = Nonce::new(&self.iv, self.next);
        self.next += 1;
        nonce.0
    }
}

/// Whether `ring` is faster on this processor.
#[cfg(target_arch = "x86_64")]
fn prefers_ring() -> bool {
    is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq")
        && !is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
fn prefers_ring() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same key by both libraries.
    fn both(suite: Suite) -> [Cipher; 2] {
        let key = &[7; 32][..suite.0.key_len()];
        [suite.by_aws(key), suite.by_ring(key)].map(|key| Cipher {
            key: key.unwrap(),
            iv: [9; 12].into(),
            next: 5,
        })
    }

    proptest! {
        /// What one library sealed is, byte for byte, what the other would have sealed, and each opens it.
        #[test]
        fn both_libraries_are_one_cipher(
            content in proptest::collection::vec(any::<u8>(), 0..20_000),
            suite in prop_oneof![Just(AES_128), Just(AES_256), Just(CHACHA20)],
        ) {
            let sealed = both(suite).map(|mut cipher| {
                let mut body = vec![0; content.len() + 1 + TAG_LEN];
                cipher.seal(b"head", &content, 23, &mut body).unwrap();
                body
            });
            prop_assert_eq!(&sealed[0], &sealed[1]);
            let [body, _] = sealed;
            for at in 0..2 {
                let cipher = || { let [aws, ring] = both(suite); if at == 0 { aws } else { ring } };
                let mut room = vec![0; content.len() + 1];
                prop_assert_eq!(cipher().open_into(b"head", &body, &mut room), Ok(()));
                prop_assert_eq!(&room[..content.len()], &content[..]);
                let in_place = |head: &[u8]| cipher().open(head, &mut body.clone()).map(<[u8]>::to_vec);
                prop_assert_eq!(in_place(b"tail"), Err(Unspecified));
                prop_assert_eq!(in_place(b"head"), Ok(room.clone()));
                prop_assert_eq!(cipher().open_into(b"tail", &body, &mut room), Err(Unspecified));
            }
        }
    }
}
