//! Where in the source eight bytes occur, as far as they begin at a multiple of the stride.

use crate::compare::word;

/// Bytes that are hashed, and the shortest match that is found.
pub(crate) const WINDOW: usize = 8;

/// Places that are indexed at most. Longer sources are indexed more coarsely.
const MAX_PLACES: usize = 1 << 16;

/// Up to this length a source is indexed twice as finely, because small deltas gain the most.
pub(crate) const FINE: usize = 16 * 1024;

/// Candidates looked at for one place of the target: this is what bounds the work on adversarial input.
const MAX_CANDIDATES: usize = 16;

/// The tables, kept between uses. Chains begin at `heads` and go on in `next`; both hold a place's number plus one,
/// and 0 ends a chain.
#[derive(Debug, Default)]
pub(crate) struct Index {
    heads: Vec<u32>,
    next: Vec<u32>,
    stride: usize,
    shift: u32,
}

impl Index {
    /// Bytes that the tables occupy.
    pub(crate) fn capacity(&self) -> usize {
        (self.heads.capacity() + self.next.capacity()) * size_of::<u32>()
    }

    /// Forgets what was indexed and indexes this source.
    pub(crate) fn build(&mut self, source: &[u8]) {
        let finest = if source.len() <= FINE { WINDOW / 2 } else { WINDOW };
        self.stride = source.len().div_ceil(MAX_PLACES).max(finest);
        let places = if source.len() < WINDOW { 0 } else { (source.len() - WINDOW) / self.stride + 1 };
        let bits = places.next_power_of_two().trailing_zeros().max(4);
        self.shift = u64::BITS - bits;
        reset(&mut self.heads, 1 << bits);
        reset(&mut self.next, places);
        // From the end, so that chains go forward: of equal candidates the first one has the shortest offset.
        for place in (0..places).rev() {
            let Some(word) = word(source, place * self.stride) else { continue };
            let slot = self.slot(word);
            let (Some(head), Some(next)) = (self.heads.get_mut(slot), self.next.get_mut(place)) else {
                continue;
            };
            *next = *head;
            *head = place as u32 + 1;
        }
    }

    /// Offsets in the source that may hold these bytes.
    pub(crate) fn candidates(&self, word: u64) -> impl Iterator<Item = usize> {
        let mut entry = self.heads.get(self.slot(word)).copied().unwrap_or_default();
        std::iter::from_fn(move || {
            let place = (entry as usize).checked_sub(1)?;
            entry = self.next.get(place).copied().unwrap_or_default();
            Some(place * self.stride)
        })
        .take(MAX_CANDIDATES)
    }

    fn slot(&self, word: u64) -> usize {
        // Fibonacci hashing: the upper bits of the product depend on all bytes.
        (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }
}

/// Zeros, and no more memory than they take.
fn reset(table: &mut Vec<u32>, length: usize) {
    table.clear();
    table.reserve_exact(length);
    table.resize(length, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_come_forward_and_are_few() {
        let mut index = Index::default();
        let source = b"abcdefgh".repeat(1000);
        index.build(&source);
        let word = word(&source, 0).expect("eight bytes");
        let found: Vec<usize> = index.candidates(word).collect();
        assert_eq!(found.first(), Some(&0));
        assert!(found.is_sorted() && found.len() <= MAX_CANDIDATES, "{found:?}");
        assert!(found.iter().filter(|at| source[**at..].starts_with(b"abcdefgh")).count() > 1);
    }

    #[test]
    fn nothing_is_left_of_the_source_before() {
        let mut index = Index::default();
        let many = |n: u32| n.wrapping_mul(0x9e37_79b9).to_le_bytes();
        index.build(&(0..2_000).flat_map(many).collect::<Vec<u8>>());
        let word = word(b"abcdefgh", 0).expect("eight bytes");
        for source in [&b""[..], b"abcdefg", b"01234567"] {
            index.build(source);
            // In every slot, whichever words fall into it.
            for word in (0..1_000).map(|n: u64| word.wrapping_add(n)) {
                assert!(index.candidates(word).all(|place| place + WINDOW <= source.len()));
            }
        }
        index.build(b"abcdefgh");
        assert_eq!(index.candidates(word).collect::<Vec<_>>(), [0]);
    }
}
