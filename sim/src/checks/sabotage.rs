//! How a world can be broken on purpose, to see that the checkers see it. Only tests can break one.

use engine::peer::io::{Outcome, Work};
use engine::wire::tracker::TrackerMessage;
#[cfg(test)]
use {
    crate::content::{Bytes, ContentId, Whole},
    crate::node::Kind,
    engine::peer::io::Stamp,
    engine::wire::list::List,
    engine::wire::tracker::Answer,
};

use crate::network::NodeId;
use crate::world::World;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A disk says that it wrote a piece, and did not.
    #[cfg(test)]
    ForgetsWrites,
    /// A disk says that a file is complete in its place, and it is not there.
    #[cfg(test)]
    FinishesNothing,
    /// A disk puts other bytes in the place of a file that it finishes.
    #[cfg(test)]
    FinishesOther,
    /// A worker finds spoilt pieces right.
    #[cfg(test)]
    FindsSpoiltRight,
    /// The tracker's store says that changes are durable, and keeps none.
    ForgetsChanges,
    /// A worker finds every signature right.
    #[cfg(test)]
    FindsSignaturesRight,
    /// Nobody hears who was removed from a group.
    SwallowsExpulsions,
    /// Pieces are spoilt on their way from the honest.
    SpoilsInTransit,
    /// Credit for what was sent comes back twice.
    RefundsTwice,
    /// No worker ever finishes hashing a piece.
    NeverHashes,
    /// Each piece that is to be sent waits for the uplink many times over.
    RepeatsTransfers,
    /// Uplinks are twice as fast as they say.
    IsTooFast,
    /// The tracker lists every file as one that can be completed.
    #[cfg(test)]
    ListsAllAsAvailable,
}

#[cfg(test)]
impl World {
    /// Whether the world is broken in this way.
    pub(crate) fn is_broken(&self, how: Sabotage) -> bool {
        self.sabotage == Some(how)
    }

    /// What a broken worker makes of its work.
    pub(crate) fn sabotaged_work(&mut self, id: NodeId, work: &Work) -> Option<Outcome> {
        let how = self.sabotage?;
        let Kind::Client(client) = &mut self.nodes[id.0].kind else { return None };
        match (how, work) {
            (Sabotage::ForgetsWrites, Work::Write { slot, .. }) => {
                client.slots.remove(slot);
                Some(Outcome::Done)
            }
            (Sabotage::FinishesNothing, Work::Finish { .. }) => Some(Outcome::Finished(Stamp::default())),
            (Sabotage::FinishesOther, Work::Finish { file }) => {
                let place = client.places[*client.place_of.get(file)?].clone();
                let finished = client.disk.finish(*file, &mut self.digests);
                let Some(whole) = client.disk.file(&place) else { return Some(finished) };
                let stamp = client.disk.put(place, Whole { content: ContentId(u64::MAX), ..whole });
                Some(Outcome::Finished(stamp))
            }
            (Sabotage::FindsSpoiltRight, Work::Hash { slot, size, .. }) => {
                let bytes = Bytes { spoilt: false, ..*client.slots.get(slot)? };
                let whole = Whole { content: bytes.content, size: *size };
                Some(Outcome::Hashed(self.digests.of(whole, &bytes)))
            }
            (Sabotage::FindsSignaturesRight, Work::Verify { .. }) => Some(Outcome::Verified(true)),
            _ => None,
        }
    }

    /// What a broken tracker says.
    pub(crate) fn sabotage_word(&self, message: &mut TrackerMessage) {
        if !self.is_broken(Sabotage::ListsAllAsAvailable) {
            return;
        }
        if let TrackerMessage::Answer { answer: Ok(answer), .. } = message
            && let Answer::Files(page) = &mut **answer
        {
            let mut rows = page.rows.to_vec();
            rows.iter_mut().for_each(|row| row.available = true);
            page.rows = List::new(rows);
        }
    }
}

/// Outside of tests no world is broken.
#[cfg(not(test))]
#[expect(clippy::unused_self, reason = "as in tests")]
impl World {
    pub(crate) const fn is_broken(&self, _how: Sabotage) -> bool {
        false
    }

    pub(crate) const fn sabotaged_work(&self, _id: NodeId, _work: &Work) -> Option<Outcome> {
        None
    }

    pub(crate) const fn sabotage_word(&self, _message: &mut TrackerMessage) {}
}
