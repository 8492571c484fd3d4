//! Which piece next: random first, then rarest first.
//!
//! Holds the pieces that are wanted and not under way, sorted by availability (how many neighbours hold them), so that the
//! rarest of an uploader's pieces is found by looking from the front. A change of availability by one is one swap at a bucket's border
//! (the structure of libtorrent's `piece_picker`, there described by Arvid Norberg). Neighbours that hold everything are only counted.

use alloc::vec;
use alloc::vec::Vec;

use rand::{Rng, RngExt};

use super::glance::start;
use crate::bitfield::Bitfield;

const ABSENT: u32 = u32::MAX;

/// The pieces still to be asked for, rarest first.
#[derive(Clone, Debug)]
pub struct Picker {
    /// Neighbours that hold each piece, those that hold all not counted.
    availability: Vec<u16>,
    /// Wanted pieces by availability.
    order: Vec<u32>,
    /// Where each piece stands in `order`.
    place: Vec<u32>,
    /// `order[starts[a]..starts[a + 1]]` are the pieces of availability `a`.
    starts: Vec<u32>,
    seeders: u32,
}

impl Picker {
    /// A picker for a file of which `held` is here, with no neighbours yet.
    #[must_use]
    pub fn new(held: &Bitfield) -> Picker {
        let len = held.len();
        let order: Vec<u32> = (0..len).filter(|piece| !held.has(*piece)).collect();
        let mut place = vec![ABSENT; len as usize];
        for (at, piece) in (0u32..).zip(&order) {
            place[*piece as usize] = at;
        }
        let starts = vec![0, index(order.len())];
        Picker { availability: vec![0; len as usize], order, place, starts, seeders: 0 }
    }

    /// Names the lines of memory that news of a piece needs.
    pub(super) fn glance(&self, piece: u32, fetch: &mut impl FnMut(*const u8)) {
        start(&self.starts[..], fetch);
        self.availability.get(piece as usize).into_iter().for_each(|level| start(level, fetch));
        self.place.get(piece as usize).into_iter().for_each(|place| start(place, fetch));
    }

    /// How many pieces are wanted and not under way.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.order.len()
    }

    /// Whether `piece` is wanted and not under way.
    #[must_use]
    pub fn wants(&self, piece: u32) -> bool {
        self.place[piece as usize] != ABSENT
    }

    /// How many neighbours hold `piece`.
    #[must_use]
    pub fn availability(&self, piece: u32) -> u32 {
        u32::from(self.availability[piece as usize]) + self.seeders
    }

    /// Pieces that no neighbour holds, of those wanted and not under way.
    #[must_use]
    pub fn unreachable(&self) -> u32 {
        if self.seeders > 0 { 0 } else { self.starts[1] }
    }

    /// A neighbour that holds everything came.
    pub const fn add_seeder(&mut self) {
        self.seeders += 1;
    }

    /// A neighbour that held everything went.
    pub const fn remove_seeder(&mut self) {
        self.seeders -= 1;
    }

    /// One more neighbour holds `piece`.
    pub fn increment(&mut self, piece: u32) {
        let level = self.availability[piece as usize];
        self.availability[piece as usize] = level + 1;
        if self.starts.len() < usize::from(level) + 3 {
            self.starts.push(index(self.order.len()));
        }
        if self.place[piece as usize] != ABSENT {
            self.starts[usize::from(level) + 1] -= 1;
            self.swap_to(piece, self.starts[usize::from(level) + 1]);
        }
    }

    /// One neighbour fewer holds `piece`.
    pub fn decrement(&mut self, piece: u32) {
        let level = self.availability[piece as usize];
        assert!(level > 0, "no more neighbours go than came");
        self.availability[piece as usize] = level - 1;
        if self.place[piece as usize] != ABSENT {
            self.swap_to(piece, self.starts[usize::from(level)]);
            self.starts[usize::from(level)] += 1;
        }
    }

    /// `piece` is under way, or here.
    pub fn remove(&mut self, piece: u32) {
        if self.place[piece as usize] == ABSENT {
            return;
        }
        // Let it wander to the end of its bucket, then of each bucket behind, which shifts their borders by one.
        for next in usize::from(self.availability[piece as usize]) + 1..self.starts.len() {
            self.starts[next] -= 1;
            self.swap_to(piece, self.starts[next]);
        }
        self.order.pop();
        self.place[piece as usize] = ABSENT;
    }

    /// `piece` is wanted again.
    pub fn insert(&mut self, piece: u32) {
        if self.place[piece as usize] != ABSENT {
            return;
        }
        self.place[piece as usize] = index(self.order.len());
        self.order.push(piece);
        for next in (usize::from(self.availability[piece as usize]) + 1..self.starts.len()).rev() {
            self.swap_to(piece, self.starts[next]);
            self.starts[next] += 1;
        }
    }

    /// One of the wanted pieces in `offered`: the rarest, at random among equals; or any, if `any`.
    #[must_use]
    pub fn pick(&self, offered: &Bitfield, any: bool, rng: &mut impl Rng) -> Option<u32> {
        if any {
            return self.pick_between(0, self.order.len(), offered, rng);
        }
        if (offered.count() as usize) * 4 < self.order.len() {
            return self.pick_of_few(offered, rng);
        }
        self.starts.windows(2).find_map(|bucket| {
            let (from, to) = (bucket[0] as usize, bucket[1] as usize);
            self.pick_between(from, to, offered, rng)
        })
    }

    /// The first that fits in `order[from..to]`, beginning anywhere in it.
    fn pick_between(&self, from: usize, to: usize, offered: &Bitfield, rng: &mut impl Rng) -> Option<u32> {
        if from == to {
            return None;
        }
        let (head, tail) = self.order[from..to].split_at(rng.random_range(0..to - from));
        tail.iter().chain(head).copied().find(|piece| offered.has(*piece))
    }

    /// The same choice, by looking through an offer that is shorter than the order.
    fn pick_of_few(&self, offered: &Bitfield, rng: &mut impl Rng) -> Option<u32> {
        let mut best = None;
        let mut ties = 0u32;
        for piece in offered.iter().filter(|piece| self.place[*piece as usize] != ABSENT) {
            let level = self.availability[piece as usize];
            match best {
                Some((rarest, _)) if level > rarest => continue,
                Some((rarest, _)) if level == rarest => ties += 1,
                _ => ties = 1,
            }
            if rng.random_range(0..ties) == 0 {
                best = Some((level, piece));
            }
        }
        best.map(|(_, piece)| piece)
    }

    fn swap_to(&mut self, piece: u32, at: u32) {
        let from = self.place[piece as usize];
        let other = self.order[at as usize];
        self.order.swap(from as usize, at as usize);
        self.place[other as usize] = from;
        self.place[piece as usize] = at;
    }

    /// Asserts every invariant.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self) {
        assert_eq!(self.starts.first(), Some(&0));
        assert_eq!(self.starts.last().map(|end| *end as usize), Some(self.order.len()));
        for (level, bucket) in self.starts.windows(2).enumerate() {
            for at in bucket[0]..bucket[1] {
                let piece = self.order[at as usize] as usize;
                assert_eq!(self.place[piece], at);
                assert_eq!(usize::from(self.availability[piece]), level);
            }
        }
        let placed = self.place.iter().filter(|place| **place != ABSENT).count();
        assert_eq!(placed, self.order.len());
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most PIECES_MAX")]
const fn index(len: usize) -> u32 {
    len as u32
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use super::*;
    use crate::id::LinkId;
    use alloc::collections::{BTreeMap, BTreeSet};
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn field(len: u32, pieces: &BTreeSet<u32>) -> Bitfield {
        let mut field = Bitfield::new(len);
        for piece in pieces {
            field.insert(*piece);
        }
        field
    }

    #[derive(Clone, Debug)]
    enum Op {
        Have(u64, u32),
        Leave(u64),
        Seeder(bool),
        Remove(u32),
        Insert(u32),
        Pick(u64, u64),
    }

    fn op(len: u32) -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..6u64, 0..len).prop_map(|(link, piece)| Op::Have(link, piece)),
            1 => (0..6u64).prop_map(Op::Leave),
            1 => any::<bool>().prop_map(Op::Seeder),
            2 => (0..len).prop_map(Op::Remove),
            2 => (0..len).prop_map(Op::Insert),
            3 => (0..6u64, any::<u64>()).prop_map(|(link, seed)| Op::Pick(link, seed)),
        ]
    }

    proptest! {
        /// The model: a set of wanted pieces, and who holds what. A pick is a wanted, offered piece of least availability.
        #[test]
        fn picks_the_rarest_that_is_wanted_and_offered(
            len in 1u32..40,
            ops in (1u32..40).prop_flat_map(|len| proptest::collection::vec(op(len), 0..200)),
        ) {
            let mut picker = Picker::new(&Bitfield::new(len));
            let mut wanted: BTreeSet<u32> = (0..len).collect();
            let mut holders: BTreeMap<LinkId, BTreeSet<u32>> = BTreeMap::new();
            let mut seeders = 0;
            for op in ops {
                match op {
                    Op::Have(link, piece) if piece < len && holders.entry(LinkId(link)).or_default().insert(piece) => {
                        picker.increment(piece);
                    }
                    Op::Leave(link) => {
                        for piece in holders.remove(&LinkId(link)).unwrap_or_default() {
                            picker.decrement(piece);
                        }
                    }
                    Op::Seeder(true) => { seeders += 1; picker.add_seeder(); }
                    Op::Seeder(false) if seeders > 0 => { seeders -= 1; picker.remove_seeder(); }
                    Op::Remove(piece) if piece < len => { wanted.remove(&piece); picker.remove(piece); }
                    Op::Insert(piece) if piece < len => { wanted.insert(piece); picker.insert(piece); }
                    Op::Pick(link, seed) => {
                        let offered = holders.get(&LinkId(link)).cloned().unwrap_or_default();
                        let level = |piece: u32| holders.values().filter(|held| held.contains(&piece)).count() as u32 + seeders;
                        let least = wanted.intersection(&offered).map(|piece| level(*piece)).min();
                        let mut rng = ChaCha8Rng::seed_from_u64(seed);
                        let picked = picker.pick(&field(len, &offered), false, &mut rng);
                        prop_assert_eq!(picked.map(level), least);
                        prop_assert_eq!(picked.map(|piece| picker.availability(piece)), least);
                        prop_assert!(picked.is_none_or(|piece| wanted.contains(&piece) && offered.contains(&piece)));
                        let any = picker.pick(&field(len, &offered), true, &mut rng);
                        prop_assert_eq!(any.is_some(), least.is_some());
                    }
                    _ => {}
                }
                picker.check();
                prop_assert_eq!(picker.wanted(), wanted.len());
            }
        }
    }
}
