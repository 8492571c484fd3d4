//! The named rules by which a downloader chooses whom to ask for an upload slot.

use core::fmt;
use core::str::FromStr;

/// A rule for choosing an uploader among those that hold something wanted and have room in their queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub enum Strategy {
    /// The one with least work assigned to it by us.
    LeastLoaded,
    /// The one with the fewest pieces of the file.
    FewestPieces,
    /// Any.
    Random,
    /// The one expected to answer first: its queue and our own requests, over its measured rate.
    #[default]
    Adaptive,
}

impl Strategy {
    /// All rules, with the default last.
    pub const ALL: [Strategy; 4] =
        [Strategy::LeastLoaded, Strategy::FewestPieces, Strategy::Random, Strategy::Adaptive];

    /// The name by which people select it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::LeastLoaded => "least-loaded",
            Strategy::FewestPieces => "fewest-pieces",
            Strategy::Random => "random",
            Strategy::Adaptive => "adaptive",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No rule has that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownStrategy;

impl fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("choose one of least-loaded, fewest-pieces, random, adaptive")
    }
}

impl core::error::Error for UnknownStrategy {}

impl FromStr for Strategy {
    type Err = UnknownStrategy;
    fn from_str(name: &str) -> Result<Strategy, UnknownStrategy> {
        Strategy::ALL.into_iter().find(|strategy| strategy.name() == name).ok_or(UnknownStrategy)
    }
}
