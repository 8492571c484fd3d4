//! Memory that begins on a page.
//!
//! Files lie in pages in memory. Some processors (Zen 3) copy at a fifteenth of their speed from the beginning of a page to a few bytes behind the
//! beginning of another, and that is where the C library's allocator puts what is large.

use std::ops::{Deref, DerefMut};

/// Bytes of a page, or of a part of one where pages are larger.
const PAGE_LEN: usize = 4096;

/// Bytes that begin on a page, or a little behind.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    bytes: Box<[u8]>,
    start: usize,
    len: usize,
}

impl Pages {
    /// So many bytes, all zero.
    pub(crate) fn new(len: usize) -> Pages {
        Pages::behind(0, len)
    }

    /// The same, so many bytes behind the beginning of a page.
    pub(crate) fn behind(offset: usize, len: usize) -> Pages {
        let bytes = vec![0; PAGE_LEN + offset + len].into_boxed_slice();
        let start = bytes.as_ptr().align_offset(PAGE_LEN).min(PAGE_LEN) + offset;
        Pages { bytes, start, len }
    }
}

impl Deref for Pages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_begin_on_a_page_or_behind_whatever_their_length() {
        for (len, offset) in [(0, 0), (1, 0), (100, 64), (PAGE_LEN, 128), (1_000_000, 0)] {
            let mut pages = Pages::behind(offset, len);
            assert_eq!((pages.len(), pages.as_ptr().addr() % PAGE_LEN), (len, offset));
            pages.fill(7);
            assert!(pages.iter().all(|byte| *byte == 7));
        }
    }
}
