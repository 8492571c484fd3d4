//! What the tests are written with: processes, folders, content, and peers driven by hand.

pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod content;
pub(crate) mod lan;
pub(crate) mod member;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod wire;
pub(crate) mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(crate) use client::Client;
pub(crate) use cluster::Cluster;
pub(crate) use content::Content;
pub(crate) use lan::Lan;
pub(crate) use member::Member;
pub(crate) use world::World;

/// How long anything may take. Far more than it needs on a busy machine, so that only what hangs fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Bytes in a piece.
pub(crate) const PIECE: usize = engine::piece::PIECE_LEN as usize;

/// Looks until there is something to see.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it did not happen in {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sets a flag at the end of its scope, also when that is left by a panic: so those who work beside it end as well.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Whether this user is bound by the permissions of files; root is not.
pub(crate) fn permissions_bind() -> bool {
    !rustix::process::geteuid().is_root()
}

/// Says that a test is skipped, and why.
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}
