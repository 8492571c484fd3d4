//! What a run leaves behind: when each peer came and completed, and what it looked like over time.

use engine::time::{Span, Time};

use super::Runner;
use super::actor::Life;
use crate::scenario::Behaviour;

/// Parts of all files whose copies are noted.
const PARTS_MAX: usize = 96;

/// Strikes of faults that are noted in one run.
const STRIKES_MAX: usize = 1_000;

/// One run of a scenario.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// How long it lasted in virtual time, the set-up excluded.
    pub lasted: Span,
    /// Everybody who took part.
    pub peers: Vec<PeerRecord>,
    /// What it looked like, at even times.
    pub samples: Vec<Sample>,
    /// Pieces that nobody online held at the end, by file.
    pub lost: Vec<(String, Vec<u32>)>,
    /// Pieces that were stored.
    pub pieces_stored: u64,
    /// Bytes that left on uplinks.
    pub bytes_left: u64,
    /// Bytes of pieces that were stored.
    pub bytes_stored: u64,
    /// Pairs of an honest peer and one that breaks the rules that were connected.
    pub bad_pairs: usize,
    /// Pieces that came to those who were to be removed.
    pub outcast_pieces: u64,
    /// How long after their removal the last of those came, if any of them was removed.
    pub last_byte: Option<Span>,
    /// Honest peers that others have banned.
    pub honest_banned: usize,
    /// How often each fault has fired, by name.
    pub fired: std::collections::BTreeMap<&'static str, u64>,
    /// When each fault, by its place in the scenario, struck somebody; of a fault that strikes very often, the first times.
    pub strikes: Vec<(Span, usize)>,
    /// A digest of every action.
    pub trace: u64,
    /// How long it took, in seconds of the clock on the wall.
    pub wall_s: f64,
}

/// One peer in a run.
#[derive(Clone, Debug)]
pub struct PeerRecord {
    /// Its class.
    pub class: usize,
    /// Whether it is an honest one that fetches, so that it counts.
    pub counts: bool,
    /// Whether it died, or left, before it had everything.
    pub gave_up: bool,
    /// When it asked.
    pub asked: Option<Span>,
    /// When it had everything.
    pub completed: Option<Span>,
    /// Bytes that left on its uplink.
    pub bytes_left: u64,
}

/// What a run looked like at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Span,
    /// Peers that fetch.
    pub fetching: u32,
    /// Peers that have completed so far.
    pub completed: u32,
    /// Bytes that left on uplinks so far.
    pub bytes_left: u64,
    /// The uplinks of everybody who is up and honest, together, in bytes a second.
    pub up: u64,
    /// The share of honest peers that are up whose uplink is at work.
    pub sending: f64,
    /// Requests for a slot that wait at an uploader, or were turned away until there is a place: the mean over honest peers that are up.
    pub queue_mean: f64,
    /// The same, the most at one peer.
    pub queue_max: usize,
    /// How many hold each part of all files on average: one part a piece, or several pieces a part if there are many.
    pub copies: Vec<f32>,
}

impl Runner<'_> {
    /// Notes what it looks like now.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests")]
    pub(super) fn sample(&mut self) {
        let mut sample = Sample {
            at: self.since(self.world.now()),
            fetching: 0,
            completed: 0,
            bytes_left: self.world.watch.bytes_left,
            up: 0,
            sending: 0.0,
            queue_mean: 0.0,
            queue_max: 0,
            copies: self.copies(),
        };
        let (mut sending, mut queued, mut there) = (0u32, 0, 0u32);
        for actor in &self.actors {
            let class = &self.scenario.classes[actor.class];
            if class.behaviour != Behaviour::Honest {
                continue;
            }
            let up = matches!(actor.life, Life::Up);
            sample.fetching += u32::from(up && actor.is_fetching());
            sample.completed += u32::from(actor.completed.is_some());
            if up {
                sample.up += class.access.up;
                let queue = self.world.upload_queue(actor.node);
                sample.queue_max = sample.queue_max.max(queue);
                queued += queue;
                sending += u32::from(self.world.is_sending(actor.node));
                there += 1;
            }
        }
        let mean = |sum: f64| sum / f64::from(there.max(1));
        sample.sending = mean(sending.into());
        sample.queue_mean = mean(queued as f64);
        self.samples.push(sample);
    }

    /// How many hold each part of all files.
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^24 peers")]
    fn copies(&self) -> Vec<f32> {
        let files = self.files.iter().filter_map(|whole| self.world.watch.copies.get(&whole.content));
        let all: Vec<u32> = files.flatten().copied().collect();
        let together = all.len().div_ceil(PARTS_MAX).max(1);
        let mean = |part: &[u32]| part.iter().sum::<u32>() as f32 / part.len() as f32;
        all.chunks(together).map(mean).collect()
    }

    /// Notes that a fault strikes.
    pub(super) fn note_strike(&mut self, fault: usize) {
        if self.strikes.len() < STRIKES_MAX {
            let at = self.since(self.world.now());
            self.strikes.push((at, fault));
        }
    }

    pub(super) fn record(self, seed: u64, wall_s: f64) -> Run {
        let watch = &self.world.watch;
        let since = |at: Option<Time>| at.map(|at| self.since(at));
        let peers = self.actors.iter().map(|actor| {
            let class = &self.scenario.classes[actor.class];
            PeerRecord {
                class: actor.class,
                counts: !class.seeds && class.behaviour == Behaviour::Honest,
                gave_up: actor.completed.is_none() && matches!(actor.life, Life::Gone),
                asked: since(actor.asked),
                completed: since(actor.completed),
                bytes_left: watch.bytes_left_by.get(actor.node.0).copied().unwrap_or(0),
            }
        });
        let (outcast_pieces, last_byte) = self.taken();
        let lost = self.scenario.files.iter().zip(&self.files);
        let lost = lost.map(|(file, whole)| (file.name.clone(), watch.lost(whole.content)));
        Run {
            seed,
            lasted: self.since(self.world.now()),
            peers: peers.collect(),
            lost: lost.filter(|(_, lost)| !lost.is_empty()).collect(),
            pieces_stored: watch.pieces_stored,
            bytes_left: watch.bytes_left,
            bytes_stored: watch.bytes_stored,
            bad_pairs: watch.bad_pairs.len(),
            outcast_pieces,
            last_byte,
            honest_banned: self.world.honest_banned(),
            fired: self.world.faults.fired.clone(),
            trace: self.world.trace(),
            wall_s,
            samples: self.samples,
            strikes: self.strikes,
        }
    }
}
