//! What will happen, in order of time; ties in the order in which they were planned.
//!
//! Wheels, one above another (Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987). Planning costs the same however much is
//! planned, where a heap of a million events costs twenty comparisons, each a cache miss. A bucket of the lowest wheel is one microsecond;
//! a bucket of each wheel above is one turn of the wheel below: four milliseconds, 17 seconds, 19 hours. What lies beyond waits in a list. Buckets are
//! linked lists through one slab, so an empty bucket costs four bytes. When the time of a bucket comes, what it holds moves to
//! the wheel below; only the events of one microsecond are ever sorted.

use std::collections::VecDeque;

use engine::time::Time;

/// A bucket of wheel `n` spans 2^`SPANS[n]` us, the wheel itself 2^`SPANS[n + 1]`.
const SPANS: [u32; 4] = [0, 12, 24, 36];
const WHEELS: usize = SPANS.len() - 1;
/// The end of a list.
const NONE: u32 = u32::MAX;

/// The future.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    slots: Vec<Slot<E>>,
    /// The first of the slots that are free.
    free: u32,
    wheels: [Wheel; WHEELS],
    /// The first of the slots that no wheel reaches.
    beyond: u32,
    /// How far the wheels have turned; nothing is planned before.
    turned: Time,
    /// What happens then, in the order in which it was planned.
    due: VecDeque<u32>,
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

/// Buckets, and which of them hold something.
#[derive(Debug)]
struct Wheel {
    first: Box<[u32]>,
    occupied: Box<[u64]>,
}

impl Wheel {
    fn new(buckets: usize) -> Wheel {
        Wheel { first: vec![NONE; buckets].into(), occupied: vec![0; buckets / 64].into() }
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
        for word in from / 64..self.occupied.len() {
            let found = self.occupied[word] & mask;
            if found != 0 {
                return Some(word * 64 + found.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    /// The buckets that hold something, from `from` on, each as its first slot.
    fn lists(&self, mut from: usize) -> impl Iterator<Item = u32> {
        std::iter::from_fn(move || {
            let bucket = self.next(from)?;
            from = bucket + 1;
            Some(self.first[bucket])
        })
    }
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Queue<E> {
        Queue {
            slots: Vec::new(),
            free: NONE,
            wheels: std::array::from_fn(|wheel| Wheel::new(1 << (SPANS[wheel + 1] - SPANS[wheel]))),
            beyond: NONE,
            turned: Time(0),
            due: VecDeque::new(),
            planned: 0,
        }
    }

    /// # Panics
    /// If the time is past: before an event that was popped, or before an `until` by which none was left.
    pub(crate) fn plan(&mut self, at: Time, event: E) {
        assert!(at >= self.turned, "nothing is planned in the past");
        self.planned += 1;
        let slot = Slot { at, sequence: self.planned, next: NONE, event: Some(event) };
        let mut index = self.free;
        if let Some(free) = self.slots.get_mut(index as usize) {
            self.free = free.next;
            *free = slot;
        } else {
            index = u32::try_from(self.slots.len()).expect("memory ends before four billion events");
            self.slots.push(slot);
        }
        if at == self.turned {
            self.due.push_back(index);
        } else {
            self.place(index);
        }
    }

    /// Puts a slot into the lowest wheel whose present turn reaches its time.
    fn place(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let differs = slot.at.0 ^ self.turned.0;
        slot.next = match (0..WHEELS).find(|wheel| differs >> SPANS[wheel + 1] == 0) {
            Some(wheel) => self.wheels[wheel].push(bucket(slot.at, wheel), index),
            None => std::mem::replace(&mut self.beyond, index),
        };
    }

    /// The next event, if it happens by `until`.
    pub(crate) fn pop(&mut self, until: Time) -> Option<(Time, E)> {
        while self.due.is_empty() {
            self.turn(until)?;
        }
        if self.turned > until {
            return None;
        }
        let index = self.due.pop_front()?;
        let slot = &mut self.slots[index as usize];
        slot.next = std::mem::replace(&mut self.free, index);
        Some((slot.at, slot.event.take().expect("what is due is planned")))
    }

    /// Events that come next, within the turn of the lowest wheel, in order of time.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = &E> {
        let slots = |first| self.slots.get(first as usize);
        let lists = self.wheels[0]
            .lists(bucket(self.turned, 0))
            .flat_map(move |first| std::iter::successors(slots(first), move |slot| slots(slot.next)));
        self.due
            .iter()
            .filter_map(move |index| slots(*index))
            .chain(lists)
            .filter_map(|slot| slot.event.as_ref())
    }

    /// Turns on to the next bucket that holds something; none if it begins after `until`.
    fn turn(&mut self, until: Time) -> Option<()> {
        let next =
            (0..WHEELS).find_map(|wheel| Some((wheel, self.wheels[wheel].next(bucket(self.turned, wheel))?)));
        let Some((wheel, bucket)) = next else { return self.turn_beyond(until) };
        let turn = self.turned.0 >> SPANS[wheel + 1] << SPANS[wheel + 1];
        self.reach(turn + ((bucket as u64) << SPANS[wheel]), until)?;
        let first = self.wheels[wheel].take(bucket);
        if wheel > 0 {
            self.place_all(first);
            return Some(());
        }
        let mut index = first;
        while let Some(slot) = self.slots.get(index as usize) {
            self.due.push_back(index);
            index = slot.next;
        }
        self.due.make_contiguous().sort_unstable_by_key(|index| self.slots[*index as usize].sequence);
        Some(())
    }

    /// Turns on to the first turn of the uppermost wheel that holds something of what lies beyond this one.
    fn turn_beyond(&mut self, until: Time) -> Option<()> {
        let mut first: Option<u64> = None;
        let mut index = self.beyond;
        while let Some(slot) = self.slots.get(index as usize) {
            let turn = slot.at.0 >> SPANS[WHEELS];
            first = Some(first.map_or(turn, |first| first.min(turn)));
            index = slot.next;
        }
        self.reach(first? << SPANS[WHEELS], until)?;
        let beyond = std::mem::replace(&mut self.beyond, NONE);
        self.place_all(beyond);
        Some(())
    }

    /// Turns on to a time, unless it is after `until`.
    fn reach(&mut self, time: u64, until: Time) -> Option<()> {
        (time <= until.0).then(|| self.turned = Time(time))
    }

    /// Places all slots of a list anew.
    fn place_all(&mut self, mut index: u32) {
        while let Some(next) = self.slots.get(index as usize).map(|slot| slot.next) {
            self.place(index);
            index = next;
        }
    }
}

/// The bucket of a time in a wheel.
#[expect(clippy::cast_possible_truncation, reason = "below the number of buckets")]
const fn bucket(at: Time, wheel: usize) -> usize {
    (at.0 >> SPANS[wheel]) as usize & ((1 << (SPANS[wheel + 1] - SPANS[wheel])) - 1)
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
                        } else {
                            now = until.0;
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
