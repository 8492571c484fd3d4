//! Rates as people write them.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use parse_size::Config;

/// The least that can be set: 64 KiB, which travel as one, then take 2 s.
const LEAST: u64 = 32 * 1024;

/// Bytes a second, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// So many bytes a second; none for 0.
    #[must_use]
    pub fn new(bytes_per_s: u64) -> Option<Rate> {
        NonZeroU64::new(bytes_per_s).map(Rate)
    }

    /// Bytes a second.
    #[must_use]
    pub const fn bytes_per_s(self) -> u64 {
        self.0.get()
    }

    /// How long so many bytes take.
    #[must_use]
    pub fn time_for(self, len: usize) -> Duration {
        let nanos = len as u128 * 1_000_000_000 / u128::from(self.bytes_per_s());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The text is no rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRate(String);

impl fmt::Display for BadRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadRate(why) = self;
        write!(f, "{why}; write it as 500KB/s, 2MiB/s or 1.5M (bytes a second, 32KiB/s or more)")
    }
}

impl std::error::Error for BadRate {}

impl FromStr for Rate {
    type Err = BadRate;

    /// Reads a number of bytes a second: `500KB/s`, `2 MiB/s`, `1.5M`. Units without an `i` are powers of 1,000.
    fn from_str(text: &str) -> Result<Rate, BadRate> {
        let bytes = text.trim().strip_suffix("/s").unwrap_or(text);
        if bytes.to_ascii_lowercase().ends_with("bit") {
            return Err(BadRate("rates are counted in bytes, not bits".to_owned()));
        }
        let bytes = Config::new()
            .with_decimal()
            .parse_size(bytes)
            .map_err(|_| BadRate("it is no number with a unit".to_owned()))?;
        match Rate::new(bytes) {
            Some(rate) if bytes >= LEAST => Ok(rate),
            _ => Err(BadRate("it is too little to get anywhere".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        let read = |text: &str| text.parse().map(Rate::bytes_per_s).ok();
        assert_eq!(read("500KB/s"), Some(500_000));
        assert_eq!(read("2 MiB/s"), Some(2 << 20));
        assert_eq!(read("1.5M"), Some(1_500_000));
        assert_eq!(read("65536"), Some(65_536));
        for wrong in ["", "fast", "-1", "0", "31KiB/s", "2MiB/h", "8Mbit/s", "1e99", "999999999TB"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert!("8Mbit/s".parse::<Rate>().unwrap_err().to_string().contains("not bits"));
    }

    #[test]
    fn a_rate_says_how_long_bytes_take() {
        assert_eq!(Rate::new(1_000_000).unwrap().time_for(65_536), Duration::from_micros(65_536));
        assert_eq!(Rate::new(0), None);
    }
}
