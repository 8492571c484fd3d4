//! SHA-1 of pieces: one after another, or many side by side where the processor can.
//!
//! SHA-1 is a chain: a core that hashes one piece mostly waits for its last result. Pieces do not depend on each other, so a processor
//! with AVX-512 hashes sixteen in the time of two or three ([`lanes`]). All others, and those who have few pieces, use what the TLS
//! library has, which is the fastest for one piece.
//!
//! Invariant: a digest is the same whichever way it was made.

#[cfg(target_arch = "x86_64")]
mod lanes;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY as SHA1, digest as digest_one};
use engine::id::Sha1;

/// Most pieces that are hashed side by side.
pub(crate) const LANES: usize = 16;

/// Pieces from which on it pays: sixteen lanes take as long as two pieces one by one, or three where the processor knows SHA-1.
const LANES_WORTHWHILE: usize = 4;

/// How many pieces to gather, if that many wait: one where they are hashed one by one anyway.
pub(crate) fn batch_len() -> usize {
    if has_lanes() { LANES } else { 1 }
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

#[cfg(target_arch = "x86_64")]
fn has_lanes() -> bool {
    lanes::are_there()
}

/// The digests of at most [`LANES`] pieces, if the processor can and it pays.
#[cfg(target_arch = "x86_64")]
fn side_by_side(pieces: &[&[u8]]) -> Option<Vec<Sha1>> {
    let (first, others) = pieces.split_first()?;
    let alike = others.iter().all(|piece| piece.len() == first.len()) && lanes::takes(first.len());
    if !alike || pieces.len() < LANES_WORTHWHILE {
        return None;
    }
    let mut all = [*first; LANES];
    all[..pieces.len()].copy_from_slice(pieces);
    lanes::digests(&all).map(|digests| digests[..pieces.len()].to_vec())
}

#[cfg(not(target_arch = "x86_64"))]
fn has_lanes() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn side_by_side(_: &[&[u8]]) -> Option<Vec<Sha1>> {
    None
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

        #[test]
        fn pieces_of_any_lengths(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(digests(&pieces), expected(&pieces));
        }
    }
}
