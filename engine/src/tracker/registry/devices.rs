//! Devices as the registry knows them: who ever logged in, and what their last changes were answered.
//!
//! A client that did not hear the answer to a change sends it again under the same number; it gets the first answer and the
//! change is not made twice. A client has at most [`REQUESTS_PER_LINK`] unanswered requests, so as many answers are kept.

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
    answers: Vec<(u64, Result<(), Refusal>)>,
}

impl Devices {
    pub(super) fn is_bound(&self, device: &DeviceId) -> bool {
        self.by_id.get(device).is_some_and(|device| device.bound)
    }

    pub(super) fn answered(&self, origin: &Origin) -> Option<Result<(), Refusal>> {
        let device = self.by_id.get(&origin.device)?;
        device.answers.iter().find(|(seq, _)| *seq == origin.seq).map(|(_, answer)| answer.clone())
    }

    pub(super) fn bind(&mut self, index: u64, device: DeviceId) {
        self.touch(index, device).bound = true;
    }

    pub(super) fn note(&mut self, index: u64, origin: &Origin, answer: Result<(), Refusal>) {
        let answers = &mut self.touch(index, origin.device).answers;
        if answers.len() == REQUESTS_PER_LINK {
            let _oldest = answers.remove(0);
        }
        answers.push((origin.seq, answer));
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
            assert_eq!(self.by_id.get(id).map(|device| device.used), Some(*used));
        }
    }
}
