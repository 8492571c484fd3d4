//! When to look again: one named alarm for each reason.

use crate::time::Time;

/// A reason to wake up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// When to dial a tracker again.
    Tracker,
    /// When to look over downloads, uploads and commands for what stalls.
    Sweep,
    /// When to tell neighbours of new pieces.
    Haves,
    /// When to grant the next slot, since the piece that is being sent has nearly left.
    GrantAhead,
    /// When to say something on quiet links, and end dead ones.
    KeepAlive,
    /// When a ticket is old, or somebody's has expired.
    Tickets,
}

const COUNT: usize = 6;

/// The alarms that are set. Setting one that is set keeps the earlier time.
#[derive(Debug)]
pub(super) struct Alarms([Time; COUNT]);

impl Alarms {
    pub(super) const fn new() -> Alarms {
        Alarms([Time::NEVER; COUNT])
    }

    pub(super) fn set(&mut self, alarm: Alarm, at: Time) {
        let slot = &mut self.0[alarm as usize];
        *slot = (*slot).min(at);
    }

    /// Whether the alarm is due; if so, it is no longer set.
    pub(super) fn take(&mut self, alarm: Alarm, now: Time) -> bool {
        let slot = &mut self.0[alarm as usize];
        let due = *slot <= now;
        if due {
            *slot = Time::NEVER;
        }
        due
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.0.iter().copied().min().filter(|time| *time != Time::NEVER)
    }
}
