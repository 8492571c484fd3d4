//! Quantities as people write them: a bare number in the base unit, or a text with a unit.

use std::fmt;
use std::ops::RangeInclusive;

use engine::time::Span;
use serde::{Deserialize, Deserializer, de};

/// Units of time, in microseconds.
const TIMES: &[(&str, f64)] =
    &[("us", 1.0), ("ms", 1e3), ("s", 1e6), ("min", 60e6), ("h", 3_600e6), ("d", 86_400e6)];

/// Units of bytes.
const BYTES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];

/// The longest time that a file can say: ten years, in microseconds.
pub(super) const TIME_MAX: Span = Span(320_000_000_000_000);

/// A length of time: seconds, or a text such as `"10 ms"`. At most [`TIME_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Length(pub(super) Span);

/// Bytes a second: a number of them, or a text such as `"1 MiB/s"`. At least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate(pub(super) u64);

/// Bytes: a number of them, or a text such as `"3 GB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// A share of something: 0 to 1, or a text such as `"30 %"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share(pub(super) f64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Length, D::Error> {
        let kind = Kind { what: "a time", like: "\"10 ms\"", base: 1e6, units: TIMES, per: "" };
        quantity(from, &kind, 0.0..=TIME_MAX.0 as f64).map(|micros| Length(Span(whole(micros))))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Rate, D::Error> {
        let kind = Kind { what: "a rate", like: "\"1 MiB/s\"", base: 1.0, units: BYTES, per: "/s" };
        quantity(from, &kind, 1.0..=1e15).map(|rate| Rate(whole(rate)))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let kind = Kind { what: "a size", like: "\"3 GB\"", base: 1.0, units: BYTES, per: "" };
        quantity(from, &kind, 0.0..=1.1e12).map(|bytes| Bytes(whole(bytes)))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Share, D::Error> {
        let kind = Kind { what: "a share", like: "\"30 %\"", base: 1.0, units: &[("%", 0.01)], per: "" };
        quantity(from, &kind, 0.0..=1.0).map(Share)
    }
}

/// A kind of quantity.
#[derive(Debug)]
struct Kind {
    what: &'static str,
    like: &'static str,
    /// What a bare number counts.
    base: f64,
    units: &'static [(&'static str, f64)],
    /// What follows every unit.
    per: &'static str,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Reads a quantity whose value, in the unit of factor 1, lies in the range.
fn quantity<'de, D: Deserializer<'de>>(
    from: D,
    kind: &Kind,
    range: RangeInclusive<f64>,
) -> Result<f64, D::Error> {
    let value = from.deserialize_any(Visitor { kind })?;
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (range.start() / kind.base, range.end() / kind.base);
    Err(de::Error::custom(format_args!("{} is out of range: choose {least} to {most}", kind.what)))
}

struct Visitor<'a> {
    kind: &'a Kind,
}

impl de::Visitor<'_> for Visitor<'_> {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, such as {}", self.kind.what, self.kind.like)
    }

    #[expect(clippy::cast_precision_loss, reason = "quantities lie far below 2^52")]
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64 * self.kind.base)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
        Ok(value * self.kind.base)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
        let Kind { what, like, units, per, .. } = self.kind;
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = unit
            .trim()
            .strip_suffix(per)
            .and_then(|unit| units.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| factor));
        match (number.parse::<f64>(), factor) {
            (Ok(number), Some(factor)) => Ok(number * factor),
            _ => {
                let names: Vec<String> = units.iter().map(|(name, _)| format!("{name}{per}")).collect();
                let names = names.join(", ");
                Err(E::custom(format_args!(
                    "{text:?} is not {what}: write a number and one of {names}, such as {like}"
                )))
            }
        }
    }
}
