//! Things in the order they were made, found by name, and things in a row. Knows nothing of what it holds, but remembers
//! which were borrowed mutably, so that the keeper of a copy knows what to copy again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
    mem,
    ops::{Deref, Index, IndexMut},
};

#[derive(Clone, Debug)]
pub(super) struct OrderedMap<N, T> {
    items: BTreeMap<u64, (N, T)>,
    serials: HashMap<N, u64>,
    /// Counts from 1, so that there is a number before every thing's own.
    next: u64,
    touched: BTreeSet<u64>,
}

impl<N, T> Default for OrderedMap<N, T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), serials: HashMap::new(), next: 1, touched: BTreeSet::new() }
    }
}

impl<N: Clone + Eq + Hash, T> OrderedMap<N, T> {
    /// Puts a new thing at the end.
    pub(super) fn insert(&mut self, name: N, item: T) {
        self.touched.insert(self.next);
        self.restore(self.next, name, item);
    }

    /// Puts a thing where it was; it does not count as touched.
    pub(super) fn restore(&mut self, serial: u64, name: N, item: T) {
        self.serials.insert(name.clone(), serial);
        self.items.insert(serial, (name, item));
        self.next = self.next.max(serial + 1);
    }

    /// Whether nothing has ever been stored, as far as is known.
    pub(super) fn is_new(&self) -> bool {
        self.next == 1
    }

    pub(super) fn remove(&mut self, name: &N) -> Option<T> {
        let serial = self.serials.remove(name)?;
        self.touched.insert(serial);
        self.items.remove(&serial).map(|(_, item)| item)
    }

    pub(super) fn get(&self, name: &N) -> Option<&T> {
        self.items.get(self.serials.get(name)?).map(|(_, item)| item)
    }

    pub(super) fn get_mut(&mut self, name: &N) -> Option<&mut T> {
        let serial = *self.serials.get(name)?;
        self.touched.insert(serial);
        self.at_mut(serial)
    }

    /// The newest first, from `from` on towards the oldest, each with its serial number.
    pub(super) fn newest_first(&self, from: u64) -> impl Iterator<Item = (u64, &N, &T)> {
        self.items.range(..=from).rev().map(|(serial, (name, item))| (*serial, name, item))
    }

    pub(super) fn oldest_first(&self) -> impl Iterator<Item = (&N, &T)> {
        self.items.values().map(|(name, item)| (name, item))
    }

    /// The thing with this serial number, and its name.
    pub(super) fn at(&self, serial: u64) -> Option<&(N, T)> {
        self.items.get(&serial)
    }

    /// The thing with this serial number, without touching it.
    pub(super) fn at_mut(&mut self, serial: u64) -> Option<&mut T> {
        self.items.get_mut(&serial).map(|(_, item)| item)
    }

    /// The serial numbers of all things that were reached for writing, made or removed since the last call.
    pub(super) fn take_touched(&mut self) -> BTreeSet<u64> {
        mem::take(&mut self.touched)
    }

    /// Has everything count as touched; gives all things.
    pub(super) fn touch_all(&mut self) -> impl Iterator<Item = &mut T> {
        self.touched.extend(self.items.keys());
        self.items.values_mut().map(|(_, item)| item)
    }
}

/// Things in a row.
#[derive(Clone, Debug)]
pub(super) struct Ordered<T> {
    items: Vec<T>,
    /// Their indices, as often as they were reached.
    touched: Vec<u32>,
}

impl<T> Ordered<T> {
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let item = self.items.get_mut(index as usize)?;
        self.touched.push(index);
        Some(item)
    }

    /// The indices of all things that were reached for writing since the last call.
    pub(super) fn take_touched(&mut self) -> BTreeSet<u32> {
        mem::take(&mut self.touched).into_iter().collect()
    }

    pub(super) fn touch_all(&mut self) {
        self.touched.extend(0..self.items.len() as u32);
    }

    /// Puts a thing that was there before at the end; it does not count as touched.
    pub(super) fn restore(&mut self, item: T) {
        self.items.push(item);
    }
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { items: Vec::new(), touched: Vec::new() }
    }
}

impl<T> FromIterator<T> for Ordered<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut row = Self { items: items.into_iter().collect(), touched: Vec::new() };
        row.touch_all();
        row
    }
}

impl<T> Deref for Ordered<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> Index<u32> for Ordered<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        &self.items[index as usize]
    }
}

impl<T> IndexMut<u32> for Ordered<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.touched.push(index);
        &mut self.items[index as usize]
    }
}
