//! Measured speeds.

use crate::time::{Span, Time};

/// A smoothed duration: each sample counts for a quarter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Smooth(Option<Span>);

impl Smooth {
    pub(super) fn add(&mut self, sample: Span) {
        self.0 = Some(match self.0 {
            None => sample,
            Some(Span(old)) => Span((old * 3 + sample.0) / 4),
        });
    }

    pub(super) const fn get(self) -> Option<Span> {
        self.0
    }
}

const BUCKETS: usize = 8;

/// Bytes a second over the last few seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    buckets: [u64; BUCKETS],
    second: u64,
    began: Option<Time>,
}

impl Meter {
    pub(super) fn add(&mut self, now: Time, bytes: u64) {
        self.began.get_or_insert(now);
        self.advance(now);
        self.buckets[bucket(self.second)] += bytes;
    }

    /// Bytes a second, over at most [`BUCKETS`] seconds.
    pub(super) fn rate(&mut self, now: Time) -> u64 {
        self.advance(now);
        let Some(began) = self.began else { return 0 };
        let window_us = now.since(began).0.clamp(250_000, (BUCKETS as u64 - 1) * 1_000_000);
        self.buckets.iter().sum::<u64>().saturating_mul(1_000_000) / window_us
    }

    fn advance(&mut self, now: Time) {
        let second = now.0 / 1_000_000;
        for passed in (self.second + 1..=second).take(BUCKETS) {
            self.buckets[bucket(passed)] = 0;
        }
        // Beyond a whole turn every bucket is empty; the one of this very second must be, too.
        if second > self.second + BUCKETS as u64 {
            self.buckets = [0; BUCKETS];
        }
        self.second = self.second.max(second);
    }
}

/// Where the bytes of a second are counted.
#[expect(clippy::cast_possible_truncation, reason = "below BUCKETS")]
const fn bucket(second: u64) -> usize {
    (second % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_measured_and_forgotten() {
        let mut meter = Meter::default();
        for tick in 0..100 {
            meter.add(Time(tick * 100_000), 1_000);
        }
        let rate = meter.rate(Time(9_950_000));
        assert!((9_000..=11_500).contains(&rate), "{rate}");
        assert_eq!(meter.rate(Time(60_000_000)), 0);
    }
}
