//! Which idempotency keys were used lately (MEM-03).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use tourbillon_types::{Channel, Instant, StreamPosition};

use crate::deadlines::Deadlines;

/// The keys used lately, with the positions that their first use got.
///
/// Holds no more than `capacity` keys: beyond it those whose time comes next are forgotten early, because a publisher
/// that invents keys must not use up the memory.
#[derive(Debug)]
pub(crate) struct Idempotency {
    keys: HashMap<Key, StreamPosition, RandomState>,
    deadlines: Deadlines<Key>,
    capacity: usize,
}

/// A key is one within its channel.
type Key = (Channel, Arc<str>);

impl Idempotency {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { keys: HashMap::default(), deadlines: Deadlines::default(), capacity }
    }

    /// The position that the first use of a key got, if it was used.
    pub(crate) fn used(&mut self, now: Instant, channel: &Channel, key: &str) -> Option<StreamPosition> {
        self.expire(now);
        self.keys.get(&(channel.clone(), Arc::from(key))).cloned()
    }

    /// Notes the first use of a key.
    pub(crate) fn note(
        &mut self,
        now: Instant,
        ttl: Duration,
        (channel, key): (&Channel, &str),
        position: StreamPosition,
    ) {
        while self.deadlines.len() >= self.capacity
            && let Some(key) = self.deadlines.pop()
        {
            self.keys.remove(&key);
        }
        let key = (channel.clone(), Arc::from(key));
        if self.keys.insert(key.clone(), position).is_none() {
            self.deadlines.push(now + ttl, key);
        }
    }

    /// Forgets the keys whose time has come.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(key) = self.deadlines.pop_due(now) {
            self.keys.remove(&key);
        }
        if self.keys.capacity() > 64 && self.keys.len() < self.keys.capacity() / 8 {
            self.keys.shrink_to(self.keys.len() * 2);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_broker::PublishOptions;
    use tourbillon_types::Epoch;

    use super::*;

    const LIFETIME: Duration = PublishOptions::IDEMPOTENCY_TTL;

    fn at(offset: u64) -> StreamPosition {
        StreamPosition { offset, epoch: Epoch::from("a") }
    }

    #[test]
    fn keys_are_forgotten_after_their_lifetime() {
        let mut idempotency = Idempotency::new(10);
        let channel = Channel::from("a");
        let start = Instant::ZERO;
        assert_eq!(idempotency.used(start, &channel, "k"), None);
        idempotency.note(start, LIFETIME, (&channel, "k"), at(7));
        assert_eq!(idempotency.used(start + Duration::from_secs(299), &channel, "k"), Some(at(7)));
        assert_eq!(idempotency.used(start, &Channel::from("b"), "k"), None);
        assert_eq!(idempotency.used(start + LIFETIME, &channel, "k"), None);
        assert_eq!((idempotency.keys.len(), idempotency.deadlines.len()), (0, 0));
    }

    #[test]
    fn the_next_to_go_go_early_when_there_are_too_many() {
        let mut idempotency = Idempotency::new(2);
        let channel = Channel::from("a");
        let now = Instant::ZERO;
        idempotency.note(now, LIFETIME, (&channel, "long"), at(1));
        idempotency.note(now, LIFETIME / 2, (&channel, "short"), at(2));
        idempotency.note(now, LIFETIME, (&channel, "new"), at(3));
        assert_eq!(idempotency.used(now, &channel, "short"), None);
        assert_eq!(idempotency.used(now, &channel, "long"), Some(at(1)));
        assert_eq!(idempotency.used(now, &channel, "new"), Some(at(3)));
        assert_eq!((idempotency.keys.len(), idempotency.deadlines.len()), (2, 2));
    }
}
