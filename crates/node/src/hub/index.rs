//! Where a connection stands in a dense array.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Up to this many slots a search through the array is as quick as a map, and takes no memory.
const SCAN: usize = 32;

/// Finds slots by connection key: by scanning while there are few, by a map when there are many.
#[derive(Debug, Default)]
pub(super) struct Index(Option<HashMap<u64, u32, RandomState>>);

impl Index {
    /// The position of a key; `scan` searches the array.
    pub(super) fn find(&self, key: u64, scan: impl Fn() -> Option<usize>) -> Option<usize> {
        match &self.0 {
            None => scan(),
            Some(map) => map.get(&key).and_then(|at| usize::try_from(*at).ok()),
        }
    }

    /// A key was appended and there are `len` now; `keys` lists them all.
    pub(super) fn added<I: Iterator<Item = u64>>(&mut self, key: u64, len: usize, keys: impl Fn() -> I) {
        match &mut self.0 {
            None if len > SCAN => self.0 = Some(keys().zip(0..).collect()),
            None => {}
            Some(map) => {
                map.insert(key, position(len.saturating_sub(1)));
            }
        }
    }

    /// A key was removed by swapping the last one into its place: `moved` names that one and the place.
    pub(super) fn removed(&mut self, key: u64, moved: Option<(u64, usize)>, len: usize) {
        let Some(map) = &mut self.0 else { return };
        if len <= SCAN / 2 {
            self.0 = None;
            return;
        }
        map.remove(&key);
        if let Some((moved, at)) = moved {
            map.insert(moved, position(at));
        }
        if map.capacity() > 4 * len {
            map.shrink_to(len * 2);
        }
    }
}

/// Arrays of more than four billion connections are beyond the memory of a node.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Model {
        keys: Vec<u64>,
        index: Index,
    }

    impl Model {
        fn find(&self, key: u64) -> Option<usize> {
            self.index.find(key, || self.keys.iter().position(|other| *other == key))
        }

        fn toggle(&mut self, key: u64) {
            if let Some(at) = self.find(key) {
                self.keys.swap_remove(at);
                self.index.removed(key, self.keys.get(at).map(|moved| (*moved, at)), self.keys.len());
            } else {
                self.keys.push(key);
                let keys = &self.keys;
                self.index.added(key, keys.len(), || keys.iter().copied());
            }
        }
    }

    proptest! {
        #[test]
        fn every_key_is_found_where_it_stands(keys in prop::collection::vec(0_u64..100, 0..400)) {
            let mut model = Model::default();
            for key in keys {
                model.toggle(key);
                for (at, key) in model.keys.iter().enumerate() {
                    prop_assert_eq!(model.find(*key), Some(at));
                }
                prop_assert_eq!(model.find(1000), None);
            }
        }
    }
}
