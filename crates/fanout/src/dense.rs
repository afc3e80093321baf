//! Dense arrays whose elements are found by the key of a connection.

use std::hash::BuildHasher;
use std::ops::{Deref, DerefMut};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Up to this many elements a search through the array is as quick as a table, and takes no memory.
const SCAN: usize = 32;

/// What a connection has in a channel.
pub trait Keyed {
    /// The key of the connection; stays the same.
    fn key(&self) -> u64;
}

/// Elements next to each other, one for a key. They are found by looking through them while they are few, by a table of
/// their places when they are many: keys stand in the elements only.
#[derive(Debug)]
pub struct Dense<T> {
    elements: Vec<T>,
    index: Option<Box<Index>>,
}

#[derive(Debug, Default)]
struct Index {
    places: HashTable<u32>,
    hasher: RandomState,
}

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Self { elements: Vec::new(), index: None }
    }
}

impl<T> Deref for Dense<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.elements
    }
}

impl<T> DerefMut for Dense<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.elements
    }
}

impl<T: Keyed> Dense<T> {
    /// Where the element of a key stands.
    pub fn position(&self, key: u64) -> Option<usize> {
        match &self.index {
            None => self.elements.iter().position(|element| element.key() == key),
            Some(index) => index.find(&self.elements, key),
        }
    }

    /// Appends an element; there is none of its key yet.
    pub fn push(&mut self, element: T) {
        let len = self.elements.len();
        if len == self.elements.capacity() {
            // From one on, as most channels have few subscribers; and by a small part in large ones, as room that is
            // not used would be the larger part of what a subscription costs.
            self.elements.reserve_exact(if len < SCAN { len.max(1) } else { len / 8 });
        }
        self.elements.push(element);
        match &mut self.index {
            Some(index) => index.add(&self.elements, len),
            None if len >= SCAN => {
                let mut index = Box::<Index>::default();
                (0..=len).for_each(|at| index.add(&self.elements, at));
                self.index = Some(index);
            }
            None => {}
        }
    }

    /// Takes an element out. The last one has its place from now on.
    pub fn swap_remove(&mut self, at: usize) -> Option<T> {
        let last = self.elements.len().checked_sub(1)?;
        if at > last {
            return None;
        }
        if last <= SCAN / 2 {
            self.index = None;
        }
        if let Some(index) = &mut self.index {
            index.remove(&self.elements, at);
            if at < last {
                index.remove(&self.elements, last);
            }
        }
        let gone = self.elements.swap_remove(at);
        if self.elements.capacity() > 64 && last < self.elements.capacity() / 4 {
            self.elements.shrink_to(last * 2);
        }
        if let Some(index) = &mut self.index {
            if at < last {
                index.add(&self.elements, at);
            }
            index.shrink(&self.elements);
        }
        Some(gone)
    }
}

impl Index {
    fn hash<T: Keyed>(&self, elements: &[T], at: u32) -> u64 {
        self.hasher.hash_one(key(elements, at))
    }

    fn find<T: Keyed>(&self, elements: &[T], wanted: u64) -> Option<usize> {
        let hash = self.hasher.hash_one(Some(wanted));
        let found = self.places.find(hash, |at| key(elements, *at) == Some(wanted));
        found.and_then(|at| usize::try_from(*at).ok())
    }

    /// Notes the place of an element.
    fn add<T: Keyed>(&mut self, elements: &[T], at: usize) {
        let at = place(at);
        let hash = self.hash(elements, at);
        let Self { places, hasher } = self;
        places.insert_unique(hash, at, |at| hasher.hash_one(key(elements, *at)));
    }

    /// Forgets the place of an element that is still there.
    fn remove<T: Keyed>(&mut self, elements: &[T], at: usize) {
        let at = place(at);
        let hash = self.hash(elements, at);
        if let Ok(found) = self.places.find_entry(hash, |other| *other == at) {
            found.remove();
        }
    }

    fn shrink<T: Keyed>(&mut self, elements: &[T]) {
        let Self { places, hasher } = self;
        if places.capacity() > 4 * places.len() {
            places.shrink_to(places.len() * 2, |at| hasher.hash_one(key(elements, *at)));
        }
    }
}

/// The key of the element at a place; there is one at each place of an index.
fn key<T: Keyed>(elements: &[T], at: u32) -> Option<u64> {
    elements.get(usize::try_from(at).ok()?).map(Keyed::key)
}

/// Arrays of more than four billion connections are beyond the memory of a node.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Keyed for u64 {
        fn key(&self) -> u64 {
            *self
        }
    }

    fn toggle(dense: &mut Dense<u64>, key: u64) {
        match dense.position(key) {
            Some(at) => assert_eq!(dense.swap_remove(at), Some(key)),
            None => dense.push(key),
        }
    }

    proptest! {
        #[test]
        fn every_key_is_found_where_it_stands(keys in prop::collection::vec(0_u64..100, 0..400)) {
            let mut dense = Dense::default();
            let mut expected = std::collections::BTreeSet::new();
            for key in keys {
                toggle(&mut dense, key);
                if !expected.remove(&key) {
                    expected.insert(key);
                }
                prop_assert_eq!(dense.len(), expected.len());
                for (at, key) in dense.iter().enumerate() {
                    prop_assert!(expected.contains(key));
                    prop_assert_eq!(dense.position(*key), Some(at));
                }
                prop_assert_eq!(dense.position(1000), None);
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_removed() {
        let mut dense = Dense::default();
        assert_eq!(dense.swap_remove(0), None);
        dense.push(7_u64);
        assert_eq!(dense.swap_remove(1), None);
        assert_eq!((dense.swap_remove(0), dense.swap_remove(0)), (Some(7), None));
    }

    /// However many there are: room for what is not there is a small part of it.
    #[test]
    fn a_place_in_a_large_array_costs_little_more_than_the_element() {
        let mut dense = Dense::default();
        let mut most = 0.0_f64;
        for key in 0..20_000_u64 {
            dense.push(key);
            if let Some(index) = dense.index.as_ref().filter(|_| key >= 1_000) {
                let bytes = dense.elements.capacity() * size_of::<u64>() + index.places.allocation_size();
                most = most.max(bytes as f64 / dense.len() as f64 - size_of::<u64>() as f64);
            }
        }
        // Five bytes in tables that are up to seven eighths full and down to seven sixteenths, and an eighth of eight.
        assert!(most < 12.6, "{most} bytes");
        for _ in 0..19_000 {
            dense.swap_remove(0);
        }
        let index = dense.index.as_ref().expect("many");
        let bytes = dense.elements.capacity() * size_of::<u64>() + index.places.allocation_size();
        assert!(bytes < 64 * dense.len(), "{bytes} bytes are left of {}", dense.len());
    }
}
