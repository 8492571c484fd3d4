//! What a run will do, in order of time; ties in the order in which they were planned.

use std::collections::BTreeMap;

use engine::time::Time;

/// Something that a run does at its time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// A peer of this class comes.
    Arrive(usize),
    /// This actor logs in.
    LogIn(usize),
    /// This actor shares a file.
    Share(usize, usize),
    /// This actor asks for a file.
    Fetch(usize, usize),
    /// This actor leaves.
    Leave(usize),
    /// This actor, who floods others, does so.
    Flood(usize),
    /// This intruder tries what it can.
    Intrude(usize),
    /// This fault begins.
    Begin(usize),
    /// This fault, which comes by chance, strikes.
    Again(usize),
    /// This fault ends.
    End(usize),
    /// This actor dies by this fault.
    Crash(usize, usize),
    /// This actor comes back.
    Back(usize),
    /// The tracker comes back.
    TrackerBack,
    /// This class is removed from the group.
    Remove(usize),
    /// This class is let in again.
    LetIn(usize),
    /// The run is looked at.
    Sample,
}

/// Everything that is planned.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    deeds: BTreeMap<(Time, u64), Deed>,
    planned: u64,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: Time, deed: Deed) {
        self.planned += 1;
        self.deeds.insert((at, self.planned), deed);
    }

    /// When the next deed is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.deeds.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes a deed that is due.
    pub(super) fn take(&mut self, now: Time) -> Option<Deed> {
        let first = self.deeds.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }
}
