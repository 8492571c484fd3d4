//! How fast a swarm can be at best. A run that is faster means that the simulator is wrong.

use engine::piece::PIECE_LEN;
use engine::time::Span;

use crate::scenario::{Arrival, Behaviour, Class, Departure, Scenario};

/// Everybody who counts in a bound.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Those who complete.
    pub completers: u32,
    /// The slowest downlink of one who completes, in bytes a second.
    pub down_min: u64,
}

/// The time for which somebody must take part to receive `bytes` on a downlink, in seconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a file has fewer than 2^52 bytes")]
pub fn alone_s(bytes: u64, down: u64) -> f64 {
    bytes as f64 / down as f64
}

/// Equal uplinks and one seeder: the last of N peers cannot hold all M pieces before (M + floor(log2 N)) x tau, where tau is the time
/// that one uplink needs for one piece.
///
/// Source: Mundinger, Weber, Weiss, Optimal scheduling of peer-to-peer file dissemination, J. Scheduling 11, 2008, theorem 1.
#[must_use]
pub fn mundinger_s(scenario: &Scenario, completers: u32) -> Option<f64> {
    may_use_mundinger(scenario).ok()?;
    let seeder = honest(scenario).find(|class| class.seeds)?;
    let tau_s = alone_s(u64::from(PIECE_LEN), seeder.access.up);
    Some(f64::from(scenario.pieces() + completers.max(1).ilog2()) * tau_s)
}

/// Whether the bound of Mundinger, Weber and Weiss holds for a scenario; if not, why.
///
/// # Errors
/// Why it does not.
pub fn may_use_mundinger(scenario: &Scenario) -> Result<(), &'static str> {
    let seeders: u32 = honest(scenario).filter(|class| class.seeds).map(|class| class.count).sum();
    let mut ups: Vec<u64> = honest(scenario).map(|class| class.access.up).collect();
    ups.dedup();
    let whole = scenario.files.iter().all(|file| file.size.bytes().is_multiple_of(u64::from(PIECE_LEN)));
    match () {
        () if seeders != 1 => Err("its bound is for one seeder"),
        () if ups.len() != 1 => Err("its bound is for equal uplinks"),
        () if scenario.files.len() != 1 || !whole => Err("its bound is for one file of whole pieces"),
        () => Ok(()),
    }
}

/// Any uplinks: max(F / u_s, F / d_min, N F / (u_s + sum of u_i)), where the sum runs over everybody who ever takes part.
///
/// Source: Kumar, Ross, Peer-assisted file distribution: the minimum distribution time, IEEE HotWeb 2006.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "rates and sizes lie far below 2^52")]
pub fn kumar_ross_s(scenario: &Scenario, crowd: Crowd) -> f64 {
    let bytes = scenario.bytes() as f64;
    let up = |seeds: bool| -> f64 {
        let counted = honest(scenario).filter(|class| class.seeds == seeds);
        counted.map(|class| class.access.up as f64 * f64::from(class.count)).sum()
    };
    let (seeders, leechers) = (up(true), up(false));
    let everybody = f64::from(crowd.completers) * bytes / (seeders + leechers);
    (bytes / seeders).max(bytes / crowd.down_min.max(1) as f64).max(everybody)
}

/// The mean download time of peers that come at rate `lam` and leave `dwell_s` after they have completed, bound by uplinks:
/// T = F / u - 1 / gamma - s / lam.
///
/// Source: Qiu, Srikant, Modeling and performance analysis of BitTorrent-like peer-to-peer networks, SIGCOMM 2004, with eta = 1, and a
/// permanent seed that counts as s = u_s / u peers.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "rates and sizes lie far below 2^52")]
pub fn steady_s(scenario: &Scenario) -> Option<f64> {
    let newcomers = newcomers(scenario)?;
    let Arrival::Poisson(lam) = newcomers.arrival else { return None };
    let dwell_s = match newcomers.departure {
        Departure::Dwell(span) | Departure::DwellMean(span) => span.0 as f64 / 1e6,
        Departure::Stay | Departure::At(_) | Departure::AfterUploads(_) => return None,
    };
    let seeds = seed_up(scenario) / newcomers.access.up as f64;
    Some(alone_s(scenario.bytes(), newcomers.access.up) - dwell_s - seeds / lam)
}

/// How fast a swarm grows that misses a piece: peers come at rate `lam`, and as many a second leave as the seed sends pieces a second.
///
/// Source: Hajek, Zhu, The missing piece syndrome in peer-to-peer communication, arXiv 1002.3493.
#[must_use]
pub fn missing_piece_growth_per_s(scenario: &Scenario) -> Option<f64> {
    let Arrival::Poisson(lam) = newcomers(scenario)?.arrival else { return None };
    Some(lam - seed_up(scenario) / f64::from(PIECE_LEN))
}

/// The one class that comes by chance.
#[must_use]
pub fn newcomers(scenario: &Scenario) -> Option<&Class> {
    let mut classes = scenario.classes.iter().filter(|class| matches!(class.arrival, Arrival::Poisson(_)));
    classes.next().filter(|_| classes.next().is_none())
}

#[expect(clippy::cast_precision_loss, reason = "rates lie far below 2^52")]
fn seed_up(scenario: &Scenario) -> f64 {
    let seeders = honest(scenario).filter(|class| class.seeds);
    seeders.map(|class| class.access.up as f64 * f64::from(class.count)).sum()
}

/// Those who may send good pieces.
fn honest(scenario: &Scenario) -> impl Iterator<Item = &Class> {
    let gives = |class: &&Class| matches!(class.behaviour, Behaviour::Honest | Behaviour::Flood);
    scenario.classes.iter().filter(gives)
}

/// About how long a run takes at best, if everybody who fetches completes.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive; what is too long for a number becomes the largest"
)]
pub fn rough(scenario: &Scenario) -> Span {
    let fetchers = || honest(scenario).filter(|class| !class.seeds);
    let crowd = Crowd {
        completers: fetchers().fold(0, |sum: u32, class| sum.saturating_add(class.count)),
        down_min: fetchers().map(|class| class.access.down).min().unwrap_or(u64::MAX),
    };
    let last = scenario.classes.iter().map(|class| match class.arrival {
        Arrival::At(at) => at,
        Arrival::Over(at, over) => Span(at.0 + over.0),
        Arrival::Poisson(_) => Span::ZERO,
    });
    let latest = last.max().unwrap_or(Span::ZERO);
    let fetching_us = (kumar_ross_s(scenario, crowd) * 1e6) as u64;
    Span(fetching_us.saturating_add(latest.0).saturating_add(1_000))
}
