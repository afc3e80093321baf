//! What goes when its time has come.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use tourbillon_types::Instant;

/// Things with a time, the earliest first.
///
/// Times that move are looked at when the one noted first has come, and noted again if there is still time. So a
/// stream that is published to all the time costs nothing here, and nothing is in here more than once.
#[derive(Debug)]
pub(crate) struct Deadlines<T>(BinaryHeap<Entry<T>>);

#[derive(Debug)]
struct Entry<T> {
    due: Instant,
    thing: T,
}

impl<T> Deadlines<T> {
    pub(crate) fn push(&mut self, due: Instant, thing: T) {
        self.0.push(Entry { due, thing });
    }

    /// The earliest thing, if its time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.is_due(now) { self.pop() } else { None }
    }

    /// Whether anything's time has come.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.0.peek().is_some_and(|earliest| earliest.due <= now)
    }

    /// The earliest thing, whether its time has come or not.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let popped = self.0.pop().map(|entry| entry.thing);
        // What a storm left is given back.
        if self.0.capacity() > 64 && self.0.len() < self.0.capacity() / 8 {
            self.0.shrink_to(self.0.len() * 2);
        }
        popped
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

// The heap gives the greatest first, so the earliest is the greatest.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_not_before_its_time() {
        let mut deadlines = Deadlines::default();
        for due in [3, 1, 2] {
            deadlines.push(Instant::from_nanos(due), due);
        }
        assert_eq!(deadlines.pop_due(Instant::ZERO), None);
        let now = Instant::from_nanos(2);
        let popped: Vec<_> = std::iter::from_fn(|| deadlines.pop_due(now)).collect();
        assert_eq!((popped, deadlines.len()), (vec![1, 2], 1));
        assert_eq!(deadlines.pop(), Some(3));
    }

    #[test]
    fn room_is_given_back() {
        let mut deadlines = Deadlines::default();
        for number in 0..10_000 {
            deadlines.push(Instant::ZERO, number);
        }
        while deadlines.pop_due(Instant::ZERO).is_some() {}
        assert!(deadlines.0.capacity() <= 64);
    }
}
