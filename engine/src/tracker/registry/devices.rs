//! Devices as the registry knows them: who ever logged in, and what their last changes were answered.
//!
//! A client that did not hear the answer to a change sends it again under the same number; it gets the first answer and the
//! change is not made twice. A client asks nothing that is [`REQUESTS_PER_LINK`] numbers or more ahead of what is unanswered, so answers
//! with so much lower numbers are of no use any more: what comes with such a number is a copy that was long under way, and is not
//! looked at.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::Origin;
use crate::id::DeviceId;
use crate::limits::{DEVICES_MAX, REQUESTS_PER_LINK};
use crate::refusal::Refusal;

/// The table of devices; the least recently used is forgotten first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Devices {
    by_id: BTreeMap<DeviceId, Device>,
    /// Log index of the last use of each device; no two uses share one.
    by_use: BTreeMap<u64, DeviceId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Device {
    used: u64,
    bound: bool,
    /// Of the last changes, by their numbers.
    answers: Vec<(u64, Result<(), Refusal>)>,
}

impl Device {
    /// The highest number of a change that was answered.
    fn latest(&self) -> u64 {
        self.answers.iter().map(|(seq, _)| *seq).max().unwrap_or_default()
    }
}

/// Whether a number is so low that its client knows the answer, or does not want it any more.
const fn is_bygone(seq: u64, latest: u64) -> bool {
    latest.saturating_sub(seq) >= REQUESTS_PER_LINK as u64
}

impl Devices {
    pub(super) fn is_bound(&self, device: &DeviceId) -> bool {
        self.by_id.get(device).is_some_and(|device| device.bound)
    }

    pub(super) fn answered(&self, origin: &Origin) -> Option<Result<(), Refusal>> {
        let device = self.by_id.get(&origin.device)?;
        let known =
            device.answers.iter().find(|(seq, _)| *seq == origin.seq).map(|(_, answer)| answer.clone());
        let latest = device.latest();
        known.or_else(|| is_bygone(origin.seq, latest).then_some(Err(Refusal::Forgotten { latest })))
    }

    pub(super) fn bind(&mut self, index: u64, device: DeviceId) {
        self.touch(index, device).bound = true;
    }

    pub(super) fn note(&mut self, index: u64, origin: &Origin, answer: Result<(), Refusal>) {
        let device = self.touch(index, origin.device);
        device.answers.push((origin.seq, answer));
        let latest = device.latest();
        device.answers.retain(|(seq, _)| !is_bygone(*seq, latest));
    }

    fn touch(&mut self, index: u64, id: DeviceId) -> &mut Device {
        if !self.by_id.contains_key(&id)
            && self.by_id.len() >= DEVICES_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        let device = self.by_id.entry(id).or_default();
        self.by_use.remove(&device.used);
        device.used = index;
        self.by_use.insert(index, id);
        device
    }

    pub(super) fn check(&self) {
        assert_eq!(self.by_id.len(), self.by_use.len(), "each device has one last use");
        assert!(self.by_id.len() <= DEVICES_MAX);
        for (used, id) in &self.by_use {
            let device = self.by_id.get(id);
            assert_eq!(device.map(|device| device.used), Some(*used));
            assert!(device.is_some_and(|device| device.answers.len() <= REQUESTS_PER_LINK));
        }
    }
}
