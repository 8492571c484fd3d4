//! A map for few entries: keys in order, and beside them their values.
//!
//! A peer has tens of neighbours, links and jobs; 100,000 simulated peers have millions, and most of what they cost is waiting for memory.
//! Keys that stand together are found in a few cache lines, however large the values are; a tree would take twice the memory, and a line a
//! step. Inserting costs the entries behind: tens of microseconds at the 20,000 that a limit allows at most. Large values that often move are boxed.

use alloc::vec::Vec;
use core::iter::Zip;
use core::{mem, slice};

/// Up to so many small keys are compared one and all: no step waits for the one before.
const FEW: usize = 40;

/// Room for one more: a list that is full grows by a quarter and not by doubling, where there are many lists and most stop growing soon.
pub(crate) fn make_room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 4 + 1);
    }
}

/// Entries in order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table { keys: Vec::new(), values: Vec::new() }
    }
}

impl<K, V> Table<K, V> {
    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All keys, in order, as they stand in memory.
    pub(crate) fn key_slice(&self) -> &[K] {
        &self.keys
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator {
        self.keys.iter().zip(&self.values)
    }

    /// All entries, in order.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.keys.iter().zip(&mut self.values)
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.keys.iter()
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator {
        self.values.iter()
    }

    /// All values, in the order of their keys.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.values.iter_mut()
    }

    /// All values, in the order of their keys.
    pub fn into_values(self) -> impl DoubleEndedIterator<Item = V> {
        self.values.into_iter()
    }

    /// Keeps the entries for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let mut kept = 0;
        for at in 0..self.len() {
            if keep(&self.keys[at], &mut self.values[at]) {
                self.keys.swap(kept, at);
                self.values.swap(kept, at);
                kept += 1;
            }
        }
        self.keys.truncate(kept);
        self.values.truncate(kept);
    }

    /// Removes all entries, and gives their memory back.
    pub fn clear(&mut self) {
        *self = Table::default();
    }
}

impl<K: Ord, V> Table<K, V> {
    fn find(&self, key: &K) -> Result<usize, usize> {
        if self.len() > FEW || size_of::<K>() > size_of::<u64>() {
            return self.keys.binary_search(key);
        }
        let at = self.keys.iter().filter(|other| *other < key).count();
        if self.keys.get(at) == Some(key) { Ok(at) } else { Err(at) }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.find(key).ok().map(|at| &self.values[at])
    }

    /// The value of `key`.
    #[must_use]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.find(key).ok().map(|at| &mut self.values[at])
    }

    /// Whether `key` has a value.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// Sets the value of `key`; returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => Some(mem::replace(&mut self.values[at], value)),
            Err(at) => {
                self.insert_at(at, key, value);
                None
            }
        }
    }

    /// The value of `key`, made if there was none.
    pub fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let at = self.find(&key).unwrap_or_else(|at| {
            self.insert_at(at, key, V::default());
            at
        });
        &mut self.values[at]
    }

    fn insert_at(&mut self, at: usize, key: K, value: V) {
        make_room(&mut self.keys);
        make_room(&mut self.values);
        self.keys.insert(at, key);
        self.values.insert(at, value);
    }

    /// Removes the entry of `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key).ok()?;
        self.keys.remove(at);
        Some(self.values.remove(at))
    }
}

impl<'a, K, V> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Zip<slice::Iter<'a, K>, slice::Iter<'a, V>>;
    fn into_iter(self) -> Self::IntoIter {
        self.keys.iter().zip(&self.values)
    }
}

impl<'a, K, V> IntoIterator for &'a mut Table<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = Zip<slice::Iter<'a, K>, slice::IterMut<'a, V>>;
    fn into_iter(self) -> Self::IntoIter {
        self.keys.iter().zip(&mut self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u8, u32),
        Remove(u8),
        OrDefault(u8),
        Retain(u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => any::<(u8, u32)>().prop_map(|(key, value)| Op::Insert(key, value)),
            2 => any::<u8>().prop_map(Op::Remove),
            1 => any::<u8>().prop_map(Op::OrDefault),
            1 => (1u32..5).prop_map(Op::Retain),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_tree(ops in proptest::collection::vec(op(), 0..200)) {
            let mut table = Table::default();
            let mut tree = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Insert(key, value) => prop_assert_eq!(table.insert(key, value), tree.insert(key, value)),
                    Op::Remove(key) => prop_assert_eq!(table.remove(&key), tree.remove(&key)),
                    Op::OrDefault(key) => prop_assert_eq!(*table.or_default(key), *tree.entry(key).or_default()),
                    Op::Retain(by) => {
                        table.retain(|_, value| *value % by == 0);
                        tree.retain(|_, value| *value % by == 0);
                    }
                }
                prop_assert!(table.iter().eq(tree.iter()));
                prop_assert!((0..=u8::MAX).all(|key| table.get(&key) == tree.get(&key)));
            }
        }
    }
}
