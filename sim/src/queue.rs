//! What will happen, in order of time; ties in the order in which they were planned.
//!
//! A wheel of two levels (Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987). Planning costs the same however much is
//! planned, where a heap of a million events costs twenty comparisons, each a cache miss. The near wheel has buckets of 256 us and
//! spans one *window* of about four seconds; each bucket of the distant wheel is one window, and all of them are one *era* of some 19 hours;
//! what lies beyond waits in a list. Buckets are linked lists through one slab, so an empty bucket costs four bytes. A bucket is sorted when
//! its time comes.

use engine::time::Time;

/// A bucket spans 2^8 us.
const BUCKET: u32 = 8;
/// A wheel has 2^14 buckets.
const WHEEL: u32 = 14;
/// A window spans 2^22 us: the near wheel.
const WINDOW: u32 = BUCKET + WHEEL;
/// An era spans 2^36 us: the distant wheel.
const ERA: u32 = WINDOW + WHEEL;

const BUCKETS: usize = 1 << WHEEL;
/// The end of a list.
const NONE: u32 = u32::MAX;

/// The future.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    slots: Vec<Slot<E>>,
    /// The first of the slots that are free.
    free: u32,
    near: Wheel,
    distant: Wheel,
    /// What lies beyond the era.
    beyond: u32,
    /// The bucket that is open, counted from the origin. Whatever is planned in or before it stands in `due`.
    open: u64,
    /// The events of the open bucket, the last first.
    due: Vec<Due>,
    planned: u64,
}

/// An event, or a free place for one.
#[derive(Debug)]
struct Slot<E> {
    at: Time,
    sequence: u64,
    next: u32,
    event: Option<E>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Time,
    sequence: u64,
    slot: u32,
}

/// Buckets, and which of them hold something.
#[derive(Debug)]
struct Wheel {
    first: Box<[u32]>,
    occupied: Box<[u64]>,
}

impl Wheel {
    fn new() -> Wheel {
        Wheel { first: vec![NONE; BUCKETS].into(), occupied: vec![0; BUCKETS / 64].into() }
    }

    /// Puts a slot into a bucket; returns the one that was first.
    fn push(&mut self, bucket: usize, slot: u32) -> u32 {
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
        std::mem::replace(&mut self.first[bucket], slot)
    }

    /// Empties a bucket.
    fn take(&mut self, bucket: usize) -> u32 {
        self.occupied[bucket / 64] &= !(1 << (bucket % 64));
        std::mem::replace(&mut self.first[bucket], NONE)
    }

    /// The first bucket that holds something, from `from` on.
    fn next(&self, from: usize) -> Option<usize> {
        let mut mask = u64::MAX << (from % 64);
        for word in from / 64..BUCKETS / 64 {
            let found = self.occupied[word] & mask;
            if found != 0 {
                return Some(word * 64 + found.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Queue<E> {
        Queue {
            slots: Vec::new(),
            free: NONE,
            near: Wheel::new(),
            distant: Wheel::new(),
            beyond: NONE,
            open: 0,
            due: Vec::new(),
            planned: 0,
        }
    }

    pub(crate) fn plan(&mut self, at: Time, event: E) {
        self.planned += 1;
        let slot = Slot { at, sequence: self.planned, next: NONE, event: Some(event) };
        let index = self.free;
        if let Some(free) = self.slots.get_mut(index as usize) {
            self.free = free.next;
            *free = slot;
            self.place(index);
        } else {
            let index = u32::try_from(self.slots.len()).expect("memory ends before four billion events");
            self.slots.push(slot);
            self.place(index);
        }
    }

    /// Puts a slot where its time belongs.
    fn place(&mut self, index: u32) {
        let Slot { at, sequence, .. } = self.slots[index as usize];
        if at.0 >> BUCKET <= self.open {
            let due = Due { at, sequence, slot: index };
            let place = self.due.partition_point(|other| *other > due);
            return self.due.insert(place, due);
        }
        let now = self.open << BUCKET;
        let before = if at.0 >> WINDOW == now >> WINDOW {
            self.near.push(bucket(at, BUCKET), index)
        } else if at.0 >> ERA == now >> ERA {
            self.distant.push(bucket(at, WINDOW), index)
        } else {
            std::mem::replace(&mut self.beyond, index)
        };
        self.slots[index as usize].next = before;
    }

    /// The next event, if it happens by `until`.
    pub(crate) fn pop(&mut self, until: Time) -> Option<(Time, E)> {
        while self.due.is_empty() {
            self.turn(until)?;
        }
        let due = self.due.last().filter(|due| due.at <= until).copied()?;
        self.due.pop();
        let slot = &mut self.slots[due.slot as usize];
        slot.next = std::mem::replace(&mut self.free, due.slot);
        Some((due.at, slot.event.take().expect("what is due is planned")))
    }

    /// Events of the open bucket that come next, in order.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = &E> {
        self.due.iter().rev().filter_map(|due| self.slots[due.slot as usize].event.as_ref())
    }

    /// Turns on to the next bucket, window or era that holds something; none if it begins after `until`.
    fn turn(&mut self, until: Time) -> Option<()> {
        let now = Time(self.open << BUCKET);
        if let Some(next) = self.near.next(bucket(now, BUCKET)) {
            let open = (now.0 >> WINDOW << WHEEL) + next as u64;
            self.reach(open, until)?;
            let mut index = self.near.take(next);
            while let Some(&Slot { at, sequence, next, .. }) = self.slots.get(index as usize) {
                self.due.push(Due { at, sequence, slot: index });
                index = next;
            }
            self.due.sort_unstable_by(|one, other| other.cmp(one));
        } else if let Some(next) = self.distant.next(bucket(now, WINDOW)) {
            let window = (now.0 >> ERA << WHEEL) + next as u64;
            self.reach(window << WHEEL, until)?;
            let first = self.distant.take(next);
            self.place_all(first);
        } else {
            let era = self.era_beyond()?;
            self.reach(era << (ERA - BUCKET), until)?;
            let first = std::mem::replace(&mut self.beyond, NONE);
            self.place_all(first);
        }
        Some(())
    }

    /// Opens a bucket, unless it begins after `until`.
    fn reach(&mut self, open: u64, until: Time) -> Option<()> {
        (open << BUCKET <= until.0).then(|| self.open = open)
    }

    /// Places all slots of a list anew.
    fn place_all(&mut self, mut index: u32) {
        while let Some(next) = self.slots.get(index as usize).map(|slot| slot.next) {
            self.place(index);
            index = next;
        }
    }

    /// The first era of what lies beyond this one.
    fn era_beyond(&self) -> Option<u64> {
        let mut index = self.beyond;
        let mut era: Option<u64> = None;
        while let Some(slot) = self.slots.get(index as usize) {
            let other = slot.at.0 >> ERA;
            era = Some(era.map_or(other, |era| era.min(other)));
            index = slot.next;
        }
        era
    }
}

/// The bucket of a time, in a wheel whose buckets span 2^`width` us.
#[expect(clippy::cast_possible_truncation, reason = "below BUCKETS")]
const fn bucket(at: Time, width: u32) -> usize {
    (at.0 >> width) as usize & (BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Op {
        Plan(u64),
        Pop(u64),
        Advance(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        // Spans of every size, so that each level and its borders are met.
        let span = (0u32..38, any::<u64>()).prop_map(|(bits, span)| span & ((1 << bits) - 1));
        prop_oneof![
            5 => span.clone().prop_map(Op::Plan),
            4 => span.clone().prop_map(Op::Pop),
            1 => span.prop_map(Op::Advance),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn agrees_with_a_tree(ops in proptest::collection::vec(op(), 0..300)) {
            let mut queue = Queue::new();
            let mut tree = BTreeMap::new();
            let mut now = 0;
            for (sequence, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Plan(span) => {
                        queue.plan(Time(now + span), sequence);
                        tree.insert((Time(now + span), sequence), sequence);
                    }
                    Op::Pop(span) => {
                        let until = Time(now + span);
                        let first = tree.first_key_value().filter(|((at, _), _)| *at <= until);
                        let expected = first.map(|((at, _), event)| (*at, *event));
                        prop_assert_eq!(queue.pop(until), expected);
                        if let Some((at, event)) = expected {
                            tree.remove(&(at, event));
                            now = at.0;
                        }
                    }
                    // The world lets time pass only when nothing is left to happen meanwhile.
                    Op::Advance(span) => {
                        let next = tree.first_key_value().map_or(u64::MAX, |((at, _), _)| at.0);
                        now = (now + span).min(next);
                    }
                }
            }
            while let Some(((at, _), event)) = tree.pop_first() {
                prop_assert_eq!(queue.pop(Time::NEVER), Some((at, event)));
            }
            prop_assert_eq!(queue.pop(Time::NEVER), None);
        }
    }
}
