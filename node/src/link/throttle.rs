//! Limits on how many bytes of pieces all links together send, and take in, in a second.
//!
//! Bytes are reserved in the order of the asking, each at the time at which the rate allows it: whoever reserves hears how long to wait. An
//! unused allowance is kept for [`BURST`] only, which is also how late a task may wake without loss.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_io::Timer;

use crate::rate::Rate;

/// For how long an unused allowance is kept.
const BURST: Duration = Duration::from_millis(100);

/// The limits of a client, one for each direction.
#[derive(Debug, Default)]
pub struct Throttles {
    /// What leaves.
    pub up: Throttle,
    /// What comes in.
    pub down: Throttle,
}

/// A limit that many links share; none at first.
#[derive(Debug, Default)]
pub struct Throttle {
    /// Bytes a second; 0 for no limit.
    rate: AtomicU64,
    /// When the next byte may move.
    next: Mutex<Option<Instant>>,
}

impl Throttle {
    /// The limit.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        Rate::new(self.rate.load(Ordering::Relaxed))
    }

    /// From now on this is the limit. What was reserved before keeps its time.
    pub fn set(&self, rate: Option<Rate>) {
        self.rate.store(rate.map_or(0, Rate::bytes_per_s), Ordering::Relaxed);
    }

    /// Reserves `len` bytes. Gives the alarm to wait for before they may move, if they may not move at once.
    pub(super) fn reserve(&self, len: usize) -> Option<Timer> {
        let rate = self.rate()?;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let at = reserve(&mut next, now, len, rate);
        (at > now).then(|| Timer::at(at))
    }
}

/// When `len` bytes may move, given when the `next` byte may, which is put off by them.
fn reserve(next: &mut Option<Instant>, now: Instant, len: usize, rate: Rate) -> Instant {
    let earliest = now.checked_sub(BURST).unwrap_or(now);
    let at = next.map_or(now, |next| next.max(earliest));
    *next = Some(at + rate.time_for(len));
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the pattern of the asking, no more moves than the rate allows, and someone who always asks gets all of it.
        #[test]
        fn what_moves_is_what_the_rate_allows(
            rate in 32_768_u64..1_000_000_000,
            asked in proptest::collection::vec((0_u64..300_000, 1_usize..65_536), 1..200),
        ) {
            let rate = Rate::new(rate).unwrap();
            let (origin, mut next) = (Instant::now(), None);
            let (mut now, mut moved) = (origin, 0);
            for (pause_us, len) in asked {
                now += Duration::from_micros(pause_us);
                let at = reserve(&mut next, now, len, rate).max(now);
                let allowed = rate.bytes_per_s() as f64 * (at - origin + BURST).as_secs_f64();
                prop_assert!(moved as f64 <= allowed + 1_000.0, "{moved} bytes by {:?}", at - origin);
                now = at;
                moved += len;
            }
        }

        #[test]
        fn someone_who_always_asks_gets_all_of_it(rate in 32_768_u64..1_000_000_000, late_us in 0_u64..50_000) {
            let rate = Rate::new(rate).unwrap();
            let (origin, mut next, mut now) = (Instant::now(), None, Instant::now());
            let count = 1_000_u32;
            for _ in 0..count {
                // Woken late, as tasks are.
                now = reserve(&mut next, now, 65_536, rate).max(now) + Duration::from_micros(late_us).min(rate.time_for(65_536));
            }
            let wanted = rate.time_for(65_536) * count;
            prop_assert!(now - origin <= wanted + rate.time_for(65_536), "{:?} for {wanted:?}", now - origin);
        }
    }
}
