//! Things in the order they were made, found by name. Knows nothing of what it holds.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

#[derive(Clone, Debug)]
pub(super) struct Shelf<N, T> {
    items: BTreeMap<u64, (N, T)>,
    serials: HashMap<N, u64>,
    /// Counts from 1, so that there is a number before every thing's own.
    next: u64,
}

impl<N, T> Default for Shelf<N, T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), serials: HashMap::new(), next: 1 }
    }
}

impl<N: Clone + Eq + Hash, T> Shelf<N, T> {
    /// Puts a new thing at the end.
    pub(super) fn insert(&mut self, name: N, item: T) {
        self.serials.insert(name.clone(), self.next);
        self.items.insert(self.next, (name, item));
        self.next += 1;
    }

    pub(super) fn remove(&mut self, name: &N) -> Option<T> {
        let serial = self.serials.remove(name)?;
        self.items.remove(&serial).map(|(_, item)| item)
    }

    pub(super) fn get(&self, name: &N) -> Option<&T> {
        self.items.get(self.serials.get(name)?).map(|(_, item)| item)
    }

    pub(super) fn get_mut(&mut self, name: &N) -> Option<&mut T> {
        self.items.get_mut(self.serials.get(name)?).map(|(_, item)| item)
    }

    /// The newest first, from `from` on towards the oldest, each with its serial number.
    pub(super) fn newest_first(&self, from: u64) -> impl Iterator<Item = (u64, &N, &T)> {
        self.items.range(..=from).rev().map(|(serial, (name, item))| (*serial, name, item))
    }

    pub(super) fn oldest_first(&self) -> impl Iterator<Item = (&N, &T)> {
        self.items.values().map(|(name, item)| (name, item))
    }
}
