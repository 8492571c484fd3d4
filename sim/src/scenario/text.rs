//! What stands in a scenario file, as it is read. The keys are explained in `scenarios/README.md`.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::str::FromStr as _;

use engine::peer::strategy::Strategy;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::units::{Bytes, Length, Rate, Share};
use crate::measure::Measure;

/// A whole file, or one variant of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) about: Spanned<String>,
    #[serde(default = "one_seed")]
    pub(super) seeds: Vec<u64>,
    #[serde(default)]
    pub(super) strategy: Named,
    pub(super) duration: Option<Length>,
    pub(super) time_max: Option<Length>,
    pub(super) warm_up: Option<Share>,
    pub(super) neighbours: Option<NonZero<u16>>,
    #[serde(default)]
    pub(super) heavy: bool,
    #[serde(default)]
    pub(super) checks: bool,
    #[serde(default)]
    pub(super) line: Line,
    #[serde(default)]
    pub(super) tracker: Line,
    #[serde(default)]
    pub(super) costs: Costs,
    pub(super) file: Spanned<BTreeMap<String, Spanned<File>>>,
    pub(super) class: Spanned<BTreeMap<String, Spanned<Class>>>,
    #[serde(default)]
    pub(super) fault: BTreeMap<String, Spanned<Fault>>,
    #[serde(default)]
    pub(super) band: BTreeMap<String, Spanned<Band>>,
}

fn one_seed() -> Vec<u64> {
    vec![1]
}

/// A strategy, by its name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Named(pub(super) Strategy);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Named, D::Error> {
        let name = String::deserialize(from)?;
        let strategy = Strategy::from_str(&name);
        strategy
            .map(Named)
            .map_err(|error| de::Error::custom(format_args!("no such strategy as {name:?}: {error}")))
    }
}

/// An access line. What a class does not say, `[line]` says.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) up: Option<Rate>,
    pub(super) down: Option<Rate>,
    pub(super) latency: Option<Length>,
}

/// How long work takes at a client.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Costs {
    pub(super) key: Option<Length>,
    pub(super) hash: Option<Length>,
    pub(super) write: Option<Length>,
    pub(super) sync: Option<Length>,
}

/// A file: its length in one of two forms.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) pieces: Option<Spanned<u32>>,
    pub(super) size: Option<Bytes>,
}

/// Peers of one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Class {
    pub(super) count: Option<Spanned<u32>>,
    pub(super) up: Option<Rate>,
    pub(super) down: Option<Rate>,
    pub(super) latency: Option<Length>,
    pub(super) strategy: Option<Named>,
    #[serde(default)]
    pub(super) seeds: bool,
    #[serde(default)]
    pub(super) behaviour: super::Behaviour,
    pub(super) at: Option<Length>,
    pub(super) over: Option<Length>,
    pub(super) per_s: Option<Spanned<f64>>,
    pub(super) dwell: Option<Length>,
    pub(super) dwell_mean: Option<Length>,
    pub(super) leave_at: Option<Length>,
    pub(super) leave_after_uploads: Option<u32>,
}

/// Something that goes wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) kind: super::FaultKind,
    pub(super) class: Option<String>,
    pub(super) share: Option<Share>,
    pub(super) at: Option<Length>,
    pub(super) until: Option<Length>,
    pub(super) per_s: Option<f64>,
    pub(super) back_after: Option<Length>,
    pub(super) chance: Option<Share>,
    pub(super) amount: Option<Length>,
    pub(super) factor: Option<f64>,
}

/// What must hold at the end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Band {
    pub(super) measure: Option<Spanned<Measure>>,
    pub(super) class: Option<String>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) stretch: Option<f64>,
}
