//! SHA-1 of pieces: one after another, or many side by side where the processor can.
//!
//! SHA-1 is a chain: a core that hashes one piece mostly waits for its last result. Pieces do not depend on each other, so a processor
//! with AVX-512 hashes sixteen in the time of two or three ([`lanes`]), and one that knows SHA-1 four in the time of two ([`streams`]). All
//! others, and those who have one piece, use what the TLS library has, which is the fastest for one piece.
//!
//! Invariant: a digest is the same whichever way it was made.

#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod streams;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY as SHA1, digest as digest_one};
use engine::id::Sha1;

/// Most pieces that are hashed side by side.
pub(crate) const LANES: usize = 16;

/// Bytes that are hashed at a time.
const BLOCK_LEN: usize = 64;

/// Where hashing begins.
const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// How many pieces to gather, if that many wait: one where they are hashed one by one anyway.
pub(crate) fn batch_len() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if lanes::are_there() {
            return LANES;
        }
        if streams::are_there() {
            return streams::STREAMS;
        }
    }
    1
}

/// The digests of some pieces, in their order; best given as many as [`batch_len`] says.
pub(crate) fn digests(pieces: &[&[u8]]) -> Vec<Sha1> {
    pieces.chunks(LANES).flat_map(|chunk| side_by_side(chunk).unwrap_or_else(|| one_by_one(chunk))).collect()
}

fn one_by_one(pieces: &[&[u8]]) -> Vec<Sha1> {
    let digest = |piece: &&[u8]| {
        let mut sha1 = Sha1([0; 20]);
        sha1.0.copy_from_slice(digest_one(&SHA1, piece).as_ref());
        sha1
    };
    pieces.iter().map(digest).collect()
}

/// The digests of at most [`LANES`] pieces, if the processor can and it pays.
#[cfg(target_arch = "x86_64")]
fn side_by_side(pieces: &[&[u8]]) -> Option<Vec<Sha1>> {
    if pieces.len() < 2 || !alike(pieces) {
        return None;
    }
    let in_streams = || streams::digests(pieces);
    // Sixteen lanes take as long as two pieces one by one, or as six whose streams take turns.
    let lanes_pay_from = if streams::are_there() { 7 } else { 4 };
    if pieces.len() < lanes_pay_from {
        return in_streams();
    }
    lanes::digests(pieces).or_else(in_streams)
}

#[cfg(not(target_arch = "x86_64"))]
fn side_by_side(_: &[&[u8]]) -> Option<Vec<Sha1>> {
    None
}

/// Whether messages can be hashed side by side: they are of one length, and of whole blocks.
#[cfg(target_arch = "x86_64")]
fn alike(messages: &[&[u8]]) -> bool {
    let first = messages.first().map_or(0, |message| message.len());
    first.is_multiple_of(BLOCK_LEN) && messages.iter().all(|message| message.len() == first)
}

/// The last block of a message of whole blocks: a bit that is set, zeros, and the length in bits.
#[cfg(target_arch = "x86_64")]
fn padding(len: usize) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    block[0] = 1 << 7;
    block[BLOCK_LEN - 8..].copy_from_slice(&(len as u64 * 8).to_be_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha1::Digest as _;

    /// What the `sha1` crate says.
    fn expected(pieces: &[&[u8]]) -> Vec<Sha1> {
        pieces.iter().map(|piece| Sha1(sha1::Sha1::digest(piece).into())).collect()
    }

    #[test]
    fn a_known_digest() {
        let abc: [u8; 20] = [
            0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e, 0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c,
            0x9c, 0xd0, 0xd8, 0x9d,
        ];
        assert_eq!(digests(&[b"abc"]), [Sha1(abc)]);
    }

    /// A length is in the last block of each lane.
    #[test]
    fn a_whole_piece_in_each_lane() {
        let bytes: Vec<u8> = (0..600_000_u32).map(|at| u8::try_from(at % 241).unwrap()).collect();
        let pieces: Vec<&[u8]> = (0..LANES).map(|lane| &bytes[lane * 1_001..][..524_288]).collect();
        assert_eq!(digests(&pieces), expected(&pieces));
    }

    proptest! {
        #[test]
        fn any_number_of_pieces_of_one_length(
            bytes in proptest::collection::vec(any::<u8>(), 1_024..4_096),
            blocks in 0_usize..8,
            count in 0_usize..40,
        ) {
            let pieces: Vec<&[u8]> = (0..count).map(|at| &bytes[at * 13..][..blocks * 64]).collect();
            prop_assert_eq!(digests(&pieces), expected(&pieces));
        }

        /// Whichever way [`digests`] would choose.
        #[cfg(target_arch = "x86_64")]
        #[test]
        fn each_way_gives_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 1_024..4_096),
            blocks in 0_usize..8,
            count in 1_usize..=LANES,
        ) {
            let pieces: Vec<&[u8]> = (0..count).map(|at| &bytes[at * 13..][..blocks * 64]).collect();
            for way in [lanes::digests, streams::digests] {
                if let Some(digests) = way(&pieces) {
                    prop_assert_eq!(digests, expected(&pieces));
                }
            }
        }

        #[test]
        fn pieces_of_any_lengths(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(digests(&pieces), expected(&pieces));
        }
    }
}
