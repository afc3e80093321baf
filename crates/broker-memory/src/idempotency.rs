//! Which idempotency keys were used lately (MEM-03).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;
use tourbillon_types::{Channel, Instant, StreamPosition};

/// How long a key is remembered.
const LIFETIME: Duration = Duration::from_secs(300);

/// The most keys remembered at once; beyond it the oldest are forgotten early.
const CAPACITY: usize = 1_000_000;

/// The keys used within [`LIFETIME`], with the positions their first use got.
#[derive(Debug, Default)]
pub(crate) struct Idempotency {
    keys: HashMap<(Channel, Box<str>), StreamPosition, RandomState>,
    expiries: VecDeque<(Instant, Channel, Box<str>)>,
}

impl Idempotency {
    /// Notes the use of a key. Gives the position of its first use if there was one.
    pub(crate) fn check(&mut self, now: Instant, channel: &Channel, key: &str) -> Option<StreamPosition> {
        self.forget(now);
        let entry = (channel.clone(), Box::from(key));
        if let Some(position) = self.keys.get(&entry) {
            return Some(position.clone());
        }
        self.expiries.push_back((now + LIFETIME, entry.0.clone(), entry.1.clone()));
        self.keys.insert(entry, StreamPosition::default());
        None
    }

    fn forget(&mut self, now: Instant) {
        while let Some((due, ..)) = self.expiries.front()
            && (*due <= now || self.expiries.len() >= CAPACITY)
        {
            if let Some((_, channel, key)) = self.expiries.pop_front() {
                self.keys.remove(&(channel, key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_forgotten_after_their_lifetime() {
        let mut idempotency = Idempotency::default();
        let channel = Channel::from("a");
        let start = Instant::ZERO;
        assert!(idempotency.check(start, &channel, "k").is_none());
        assert!(idempotency.check(start + Duration::from_secs(299), &channel, "k").is_some());
        assert!(idempotency.check(start + LIFETIME, &channel, "k").is_none());
        assert_eq!(idempotency.keys.len(), 1);
        assert_eq!(idempotency.expiries.len(), 1);
    }
}
