//! SHA-1 (FIPS 180-4) of up to four messages of one length, by the instructions that some processors have for it.
//!
//! The instruction for four rounds takes six cycles, and the next four rounds need its result: with one message, the processor mostly waits.
//! So the messages take turns, instruction by instruction. On a Zen 3, two are hashed in 1.1 and four in 1.9 times the time of one.
//!
//! Invariant: the instructions are called only after the processor said that it has them.

#![expect(unsafe_code, reason = "instructions that not every processor has")]
#![expect(clippy::needless_range_loop, reason = "a message has the same place in several lists")]

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_loadu_si128, _mm_set_epi32, _mm_set_epi64x, _mm_setzero_si128,
    _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32, _mm_sha1rnds4_epu32, _mm_shuffle_epi8,
    _mm_storeu_si128, _mm_xor_si128,
};

use engine::id::Sha1;

use super::{BLOCK_LEN, INITIAL, alike, padding};

/// Most messages that take turns.
pub(super) const STREAMS: usize = 4;

/// Four words of each message; the first stands highest in its register.
type Words<const N: usize> = [__m128i; N];

/// What is hashed into.
#[derive(Clone, Copy)]
struct State<const N: usize> {
    /// The words `a` to `d`.
    abcd: Words<N>,
    /// The word `e`, highest; or, between the rounds of a block, the words `a` to `d` four rounds ago, whose `a` becomes it.
    e: Words<N>,
}

/// Whether the processor has the instructions.
pub(super) fn are_there() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3")
}

/// The digests of messages that are [`alike`]; none if the processor has not the instructions.
///
/// # Panics
/// If they are not alike.
pub(super) fn digests(messages: &[&[u8]]) -> Option<Vec<Sha1>> {
    assert!(alike(messages));
    are_there().then(|| messages.chunks(STREAMS).flat_map(some_digests).collect())
}

fn some_digests(messages: &[&[u8]]) -> Vec<Sha1> {
    // SAFETY: only `digests` calls this, after it saw that the processor has what `hash` needs.
    unsafe {
        match *messages {
            [a, b, c, d] => hash([a, b, c, d]).to_vec(),
            [a, b, c] => hash([a, b, c]).to_vec(),
            [a, b] => hash([a, b]).to_vec(),
            _ => messages.iter().flat_map(|message| hash([message])).collect(),
        }
    }
}

#[target_feature(enable = "sha,ssse3")]
fn hash<const N: usize>(messages: [&[u8]; N]) -> [Sha1; N] {
    let rows = messages.map(|message| message.as_chunks::<BLOCK_LEN>().0);
    let [a, b, c, d, e] = INITIAL.map(u32::cast_signed);
    let mut state = State { abcd: [_mm_set_epi32(a, b, c, d); N], e: [_mm_set_epi32(e, 0, 0, 0); N] };
    for block in 0..rows[0].len() {
        state = compress(state, rows.map(|row| &row[block]));
    }
    digests_in(compress(state, [&padding(messages[0].len()); N]))
}

/// Four rounds each, by their numbers: with constants that are known here, nothing is looked up.
macro_rules! rounds {
    ($state:ident, $words:ident, $($number:literal)*) => {
        $(
            if $number >= 4 {
                schedule::<{ $number % 4 }, N>(&mut $words);
            }
            four_rounds::<{ $number / 5 }, N>(&mut $state, &$words[$number % 4]);
        )*
    };
}

/// Hashes a block of each message into the state.
#[inline]
#[target_feature(enable = "sha,ssse3")]
fn compress<const N: usize>(before: State<N>, blocks: [&[u8; BLOCK_LEN]; N]) -> State<N> {
    let mut words = [[_mm_setzero_si128(); N]; 4];
    for stream in 0..N {
        for (at, words) in words.iter_mut().enumerate() {
            words[stream] = load(blocks[stream], at);
        }
    }
    let mut state = before;
    for stream in 0..N {
        let first = _mm_add_epi32(before.e[stream], words[0][stream]);
        state.e[stream] = before.abcd[stream];
        state.abcd[stream] = _mm_sha1rnds4_epu32::<0>(before.abcd[stream], first);
    }
    rounds!(state, words, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    for stream in 0..N {
        state.abcd[stream] = _mm_add_epi32(state.abcd[stream], before.abcd[stream]);
        state.e[stream] = _mm_sha1nexte_epu32(state.e[stream], before.e[stream]);
    }
    state
}

/// The sixteen bytes of a block that begin at four times the `at`th word, turned round: their first word stands highest.
#[inline]
#[target_feature(enable = "ssse3")]
fn load(block: &[u8; BLOCK_LEN], at: usize) -> __m128i {
    let words = &block.as_chunks::<16>().0[at];
    // SAFETY: as long as a register, and need not be aligned.
    let words = unsafe { _mm_loadu_si128(words.as_ptr().cast()) };
    _mm_shuffle_epi8(words, _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f))
}

#[inline]
#[target_feature(enable = "sha")]
fn four_rounds<const MIX: i32, const N: usize>(state: &mut State<N>, words: &Words<N>) {
    for stream in 0..N {
        let next = _mm_sha1nexte_epu32(state.e[stream], words[stream]);
        state.e[stream] = state.abcd[stream];
        state.abcd[stream] = _mm_sha1rnds4_epu32::<MIX>(state.abcd[stream], next);
    }
}

/// Puts the next four words in the place of those of four times four rounds ago, of which they are made.
#[inline]
#[target_feature(enable = "sha")]
fn schedule<const AT: usize, const N: usize>(words: &mut [Words<N>; 4]) {
    for stream in 0..N {
        let earlier = |at: usize| words[(AT + at) % 4][stream];
        let mixed = _mm_xor_si128(_mm_sha1msg1_epu32(earlier(0), earlier(1)), earlier(2));
        words[AT][stream] = _mm_sha1msg2_epu32(mixed, earlier(3));
    }
}

#[target_feature(enable = "sha")]
fn digests_in<const N: usize>(state: State<N>) -> [Sha1; N] {
    let mut digests = [Sha1([0; 20]); N];
    for (stream, digest) in digests.iter_mut().enumerate() {
        let mut words = [0_u32; 8];
        let (low, high) = words.split_at_mut(4);
        // SAFETY: each half is as long as a register, and need not be aligned.
        unsafe {
            _mm_storeu_si128(low.as_mut_ptr().cast(), state.e[stream]);
            _mm_storeu_si128(high.as_mut_ptr().cast(), state.abcd[stream]);
        }
        for (bytes, word) in digest.0.as_chunks_mut::<4>().0.iter_mut().zip(words.iter().rev()) {
            *bytes = word.to_be_bytes();
        }
    }
    digests
}
