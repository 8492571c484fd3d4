//! Keys from passwords.

#![expect(unsafe_code, reason = "a word to the system about memory, which no library says safely")]

use argon2::{Algorithm, Argon2, Block, Error, Params, Version};
use engine::id::{Key, Salt};
use rustix::mm::{Advice, madvise};

/// Argon2id with 64 MiB, three passes, one lane: about 0.1 s.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;

/// What a huge page begins on: right for all processors that have any, if small for some.
const HUGE_PAGE_LEN: usize = 2 * 1024 * 1024;

/// The key that a password gives with an account's salt.
///
/// # Errors
/// The password is longer than 4 GiB.
pub(super) fn derive(password: &[u8], salt: &Salt) -> Result<Key, Error> {
    let mut key = [0; 32];
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(key.len()))?;
    let mut memory = in_huge_pages(params.block_count());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(password, &salt.0, &mut key, &mut memory)?;
    Ok(Key(key))
}

/// So many empty blocks, in huge pages if the system has some to spare: Argon2 jumps to and fro in its memory, and looks a small page up at
/// each jump. A login takes two thirds to three quarters of the time then.
fn in_huge_pages(count: usize) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(count);
    let room = blocks.spare_capacity_mut();
    let (start, len) = (room.as_mut_ptr().cast::<u8>(), size_of_val(room));
    let before = start.align_offset(HUGE_PAGE_LEN);
    let rest = len.saturating_sub(before) / HUGE_PAGE_LEN * HUGE_PAGE_LEN;
    if rest > 0 {
        // SAFETY: whole pages inside memory that is ours, where there is nothing yet; the advice changes nothing that is there.
        let advised = unsafe { madvise(start.add(before).cast(), rest, Advice::LinuxHugepage) };
        if let Err(error) = advised {
            tracing::debug!(%error, "no huge pages");
        }
    }
    blocks.resize(count, Block::new());
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the library does it with memory of its own.
    #[test]
    fn the_key_is_argon2id_of_password_and_salt() {
        let salt = Salt([7; 16]);
        let mut expected = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(65_536, 3, 1, Some(32)).unwrap())
            .hash_password_into(b"correct horse", &salt.0, &mut expected)
            .unwrap();
        assert_eq!(derive(b"correct horse", &salt).unwrap().0, expected);
    }

    #[test]
    fn blocks_are_empty_however_many() {
        for count in [0, 1, 3_000] {
            let blocks = in_huge_pages(count);
            assert_eq!(blocks.len(), count);
            assert!(blocks.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
        }
    }
}
