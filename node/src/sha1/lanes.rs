//! SHA-1 (FIPS 180-4) of sixteen messages of one length, one in each 32-bit lane of an AVX-512 register.
//!
//! A register holds the same word of all sixteen, so each instruction of the algorithm is one instruction here. The messages come
//! row by row, and are transposed block by block.
//!
//! What is `unsafe` here: loads and stores of registers, and the call of instructions that not every processor
//! has. Invariant: they are called only after the processor said that it has them.

#![expect(unsafe_code, reason = "instructions that not every processor has")]

use std::arch::x86_64::{
    __m512i, _mm_set_epi8, _mm512_add_epi32, _mm512_broadcast_i32x4, _mm512_loadu_si512, _mm512_rol_epi32,
    _mm512_set1_epi32, _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_storeu_si512,
    _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use engine::id::Sha1;

use super::{BLOCK_LEN, INITIAL, LANES, alike, padding};

/// Sixteen words of a block, one a register; before the transposition, sixteen blocks.
type Words = [__m512i; 16];

/// The five words that are hashed into, of all lanes.
type State = [__m512i; 5];

/// The constants of the four times twenty rounds.
const CONSTANTS: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// Truth tables of what the rounds do with three words: bit `4b + 2c + d` is the result for bits `b`, `c` and `d`.
const CHOOSE: i32 = 0b1100_1010;
const PARITY: i32 = 0b1001_0110;
const MAJORITY: i32 = 0b1110_1000;

/// Whether the processor has the instructions.
pub(super) fn are_there() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// The digests of at most [`LANES`] messages that are [`alike`]; none if the processor has not the instructions.
///
/// # Panics
/// If they are not alike, or too many.
pub(super) fn digests(messages: &[&[u8]]) -> Option<Vec<Sha1>> {
    assert!(alike(messages));
    let first = messages.first()?;
    let mut all = [*first; LANES];
    all[..messages.len()].copy_from_slice(messages);
    // SAFETY: the processor has what the function needs.
    are_there().then(|| unsafe { hash(&all) }[..messages.len()].to_vec())
}

#[target_feature(enable = "avx512f,avx512bw")]
fn hash(messages: &[&[u8]; LANES]) -> [Sha1; LANES] {
    let mut state = [all(0); 5];
    for (words, initial) in state.iter_mut().zip(INITIAL) {
        *words = all(initial);
    }
    let len = messages[0].len();
    let padding = padding(len);
    let mut words = [all(0); 16];
    for at in (0..=len).step_by(BLOCK_LEN) {
        for (row, message) in words.iter_mut().zip(messages) {
            *row = load(message[at..].first_chunk().unwrap_or(&padding));
        }
        state = compress(state, transposed(words));
    }
    unload(state)
}

/// The same word in all lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn all(word: u32) -> __m512i {
    _mm512_set1_epi32(word.cast_signed())
}

/// A block, its words in the processor's order of bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(block: &[u8; BLOCK_LEN]) -> __m512i {
    let swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    // SAFETY: a block is as long as a register, and need not be aligned.
    let words = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    _mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(swap))
}

/// The digest in each lane.
#[target_feature(enable = "avx512f")]
fn unload(state: State) -> [Sha1; LANES] {
    let mut digests = [Sha1([0; 20]); LANES];
    for (at, words) in state.into_iter().enumerate() {
        let mut lanes = [0_u32; LANES];
        // SAFETY: as long as a register, and need not be aligned.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), words) };
        for (digest, word) in digests.iter_mut().zip(lanes) {
            digest.0[4 * at..][..4].copy_from_slice(&word.to_be_bytes());
        }
    }
    digests
}

/// Sixteen rows of sixteen words as sixteen columns: pairs of words, then of pairs, then of quarters of registers, change places.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(mut rows: Words) -> Words {
    for pair in rows.as_chunks_mut::<2>().0 {
        let [even, odd] = *pair;
        *pair = [_mm512_unpacklo_epi32(even, odd), _mm512_unpackhi_epi32(even, odd)];
    }
    for four in rows.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *four;
        *four = [
            _mm512_unpacklo_epi64(a, c),
            _mm512_unpackhi_epi64(a, c),
            _mm512_unpacklo_epi64(b, d),
            _mm512_unpackhi_epi64(b, d),
        ];
    }
    // Each register now holds word `at` of four blocks in each of its quarters, for the words `at`, `at + 4`, `at + 8` and `at + 12`.
    let mut columns = rows;
    for at in 0..4 {
        let [a, b, c, d] = [rows[at], rows[at + 4], rows[at + 8], rows[at + 12]];
        let (ab_even, ab_odd) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
        let (cd_even, cd_odd) = (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xdd>(c, d));
        columns[at] = _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even);
        columns[at + 4] = _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd);
        columns[at + 8] = _mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even);
        columns[at + 12] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd);
    }
    columns
}

/// Rounds by their numbers: with constants that are known here, all words stay in registers.
macro_rules! rounds {
    ($mix:ident, $k:expr, $state:ident, $words:ident, $($number:literal)*) => {
        let constant = all($k);
        $($state = round::<$mix>($state, constant, scheduled::<$number>(&mut $words));)*
    };
}

/// Hashes a block of each message into the state.
#[inline]
#[target_feature(enable = "avx512f")]
fn compress(before: State, mut words: Words) -> State {
    let mut state = before;
    let [k0, k1, k2, k3] = CONSTANTS;
    rounds!(CHOOSE, k0, state, words, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    rounds!(PARITY, k1, state, words, 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
    rounds!(MAJORITY, k2, state, words, 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
    rounds!(PARITY, k3, state, words, 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
    for (word, before) in state.iter_mut().zip(before) {
        *word = _mm512_add_epi32(*word, before);
    }
    state
}

#[inline]
#[target_feature(enable = "avx512f")]
fn round<const MIX: i32>([a, b, c, d, e]: State, constant: __m512i, word: __m512i) -> State {
    let mixed = _mm512_ternarylogic_epi32::<MIX>(b, c, d);
    let sum = _mm512_add_epi32(_mm512_add_epi32(e, constant), _mm512_add_epi32(word, mixed));
    [_mm512_add_epi32(sum, _mm512_rol_epi32::<5>(a)), a, _mm512_rol_epi32::<30>(b), c, d]
}

/// The word of a round: the first sixteen are the message's, each other one is made of four before it, and takes the place of one of
/// them.
#[inline]
#[target_feature(enable = "avx512f")]
fn scheduled<const NUMBER: usize>(words: &mut Words) -> __m512i {
    if NUMBER >= 16 {
        let earlier = |back: usize| words[(NUMBER - back) % 16];
        let three = _mm512_ternarylogic_epi32::<PARITY>(earlier(3), earlier(8), earlier(14));
        let four = _mm512_xor_si512(three, earlier(16));
        words[NUMBER % 16] = _mm512_rol_epi32::<1>(four);
    }
    words[NUMBER % 16]
}
