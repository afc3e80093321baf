//! Token buckets, many of them, of which only those that are not full take memory.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tourbillon_types::Instant;

use super::config::{Bucket, BucketProblem};

/// Parts of a [`Meter`] with a lock each.
const SHARDS: usize = 64;

/// At each tick every so-manieth shard is swept.
const STRIDE: usize = 8;

/// How soon after a sweep that found no room the next one is worth while.
const AGAIN: Duration = Duration::from_secs(1);

/// A bucket: holds up to `rate` tokens and gets them back evenly over its interval.
///
/// What is kept of one is the moment at which it will be full again (the generic cell rate algorithm): a full bucket is
/// no state at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Nanoseconds that one token takes to come back.
    step: u64,
    /// Nanoseconds that an empty bucket takes to be full.
    span: u64,
}

impl Rate {
    pub(crate) fn new(bucket: Bucket) -> Result<Self, BucketProblem> {
        let Bucket { interval, rate } = bucket;
        if interval < Bucket::SHORTEST || interval > Bucket::LONGEST {
            return Err(BucketProblem::Interval(interval));
        }
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let step = nanos.checked_div(u64::from(rate)).ok_or(BucketProblem::NoRate)?.max(1);
        Ok(Self { step, span: step.saturating_mul(u64::from(rate)) })
    }

    /// How long one token takes to come back.
    pub(crate) const fn step(self) -> Duration {
        Duration::from_nanos(self.step)
    }

    /// How many tokens it holds.
    pub(crate) fn holds(self) -> u32 {
        u32::try_from(self.span / self.step).unwrap_or(u32::MAX)
    }

    /// When the bucket will be full once a token is taken; `None` while it has none.
    fn taken(self, full_at: u64, now: u64) -> Option<u64> {
        let after = full_at.max(now).saturating_add(self.step);
        (after - now <= self.span).then_some(after)
    }

    /// The same, but the token is taken in any case, as far as there is something to take.
    fn drained(self, full_at: u64, now: u64) -> u64 {
        full_at.max(now).saturating_add(self.step).min(now.saturating_add(self.span))
    }
}

/// Buckets that are asked together: all must have a token. The first has this number among all of a meter, the others
/// the following ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    first: u16,
    rates: SmallVec<[Rate; 2]>,
}

impl Set {
    /// Buckets that take the next numbers.
    pub(crate) fn new(buckets: &[Bucket], next: &mut u16) -> Result<Self, BucketProblem> {
        let rates: SmallVec<_> = buckets.iter().map(|bucket| Rate::new(*bucket)).collect::<Result<_, _>>()?;
        let first = *next;
        *next = u16::try_from(rates.len())
            .ok()
            .and_then(|count| first.checked_add(count))
            .ok_or(BucketProblem::TooMany)?;
        Ok(Self { first, rates })
    }

    /// The buckets with their numbers.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u16, Rate)> + '_ {
        (self.first..).zip(self.rates.iter().copied())
    }
}

/// The buckets of one key that are not full: their numbers, and when each will be.
#[derive(Debug, Default)]
pub(crate) struct Levels(SmallVec<[(u16, u64); 2]>);

impl Levels {
    fn of(&self, number: u16) -> u64 {
        self.0.iter().find(|(of, _)| *of == number).map_or(0, |(_, full_at)| *full_at)
    }

    fn set(&mut self, number: u16, full_at: u64) {
        match self.0.iter_mut().find(|(of, _)| *of == number) {
            Some((_, level)) => *level = full_at,
            None => self.0.push((number, full_at)),
        }
    }

    /// Takes a token of each bucket of all sets, if each has one; otherwise of none.
    pub(crate) fn take(&mut self, sets: &[Option<&Set>], now: Instant) -> bool {
        let now = now.as_nanos();
        let all = || sets.iter().flatten().flat_map(|set| set.numbered());
        if !all().all(|(number, rate)| rate.taken(self.of(number), now).is_some()) {
            return false;
        }
        for (number, rate) in all() {
            self.set(number, rate.drained(self.of(number), now));
        }
        true
    }

    /// Takes a token of each bucket of a set that has one.
    pub(crate) fn drain(&mut self, set: &Set, now: Instant) {
        let now = now.as_nanos();
        for (number, rate) in set.numbered() {
            self.set(number, rate.drained(self.of(number), now));
        }
    }

    fn is_full(&self, now: u64) -> bool {
        self.0.iter().all(|(_, full_at)| *full_at <= now)
    }
}

/// The buckets of many keys. Only keys with a bucket that is not full are kept, and no more than a limit: further ones
/// are let pass, since refusing whoever is not known would let one attacker lock everybody out.
pub(crate) struct Meter<K> {
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: RandomState,
    /// Keys of each shard.
    limit: usize,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Shard<K> {
    keys: HashMap<K, Levels, RandomState>,
    swept: Instant,
}

impl<K: Hash + Eq + Clone> Meter<K> {
    /// No key yet; `limit` keys at most.
    pub(crate) fn new(limit: usize) -> Self {
        let hasher = RandomState::default();
        let shard = || Shard { keys: HashMap::with_hasher(hasher.clone()), swept: Instant::ZERO };
        let shards = (0..SHARDS).map(|_| Mutex::new(shard())).collect();
        Self { shards, limit: limit.div_ceil(SHARDS).max(1), turn: AtomicUsize::new(0), hasher }
    }

    /// Asks the buckets of a key.
    pub(crate) fn with<R>(&self, key: &K, now: Instant, ask: impl FnOnce(&mut Levels) -> R) -> R {
        let at = usize::try_from(self.hasher.hash_one(key) >> 58).unwrap_or_default();
        let Some(shard) = self.shards.get(at) else { return ask(&mut Levels::default()) };
        let mut shard = shard.lock();
        if let Some(levels) = shard.keys.get_mut(key) {
            return ask(levels);
        }
        if shard.keys.len() >= self.limit && now - shard.swept >= AGAIN {
            shard.sweep(now);
        }
        let mut levels = Levels::default();
        let answer = ask(&mut levels);
        if shard.keys.len() < self.limit && !levels.0.is_empty() {
            shard.keys.insert(key.clone(), levels);
        }
        answer
    }

    /// Forgets some of the buckets that are full again; all of them after a few calls.
    pub(crate) fn sweep(&self, now: Instant) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % STRIDE;
        for shard in self.shards.iter().skip(turn).step_by(STRIDE) {
            shard.lock().sweep(now);
        }
    }

    /// The number of keys that take memory.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().keys.len()).sum()
    }
}

impl<K: Hash + Eq> Shard<K> {
    fn sweep(&mut self, now: Instant) {
        self.swept = now;
        self.keys.retain(|_, levels| !levels.is_full(now.as_nanos()));
        if self.keys.capacity() > 64 && self.keys.len() < self.keys.capacity() / 8 {
            self.keys.shrink_to_fit();
        }
    }
}

impl<K> fmt::Debug for Meter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// One set of buckets for each key: how often something may be done by whom.
///
/// Keys with full buckets take no memory, and no more than a limit of keys are followed; further ones are let pass.
///
/// ```
/// use std::time::Duration;
/// use tourbillon_access::{Bucket, RateLimiter};
/// use tourbillon_types::Instant;
///
/// let twice_a_second = [Bucket { interval: Duration::from_secs(1), rate: 2 }];
/// let limiter = RateLimiter::new(&twice_a_second, 100_000)?;
/// let taken = [0, 0, 0, 500].map(|ms| limiter.take(&"ada", Instant::ZERO + Duration::from_millis(ms)));
/// assert_eq!(taken, [true, true, false, true]);
/// # Ok::<(), tourbillon_access::BucketProblem>(())
/// ```
#[derive(Debug)]
pub struct RateLimiter<K> {
    set: Set,
    meter: Meter<K>,
}

impl<K: Hash + Eq + Clone> RateLimiter<K> {
    /// Full buckets for everybody; `limit` is the most keys that are followed at once.
    ///
    /// # Errors
    ///
    /// What is wrong with the first bucket that cannot be used.
    pub fn new(buckets: &[Bucket], limit: usize) -> Result<Self, BucketProblem> {
        Ok(Self { set: Set::new(buckets, &mut 0)?, meter: Meter::new(limit) })
    }

    /// Takes a token from each bucket of a key, if all have one.
    pub fn take(&self, key: &K, now: Instant) -> bool {
        self.meter.with(key, now, |levels| levels.take(&[Some(&self.set)], now))
    }

    /// Forgets some of the keys whose buckets are full again; all of them in eight calls.
    pub fn sweep(&self, now: Instant) {
        self.meter.sweep(now);
    }

    /// The number of keys that take memory.
    #[must_use]
    pub fn followed(&self) -> usize {
        self.meter.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn bucket(seconds: u64, rate: u32) -> Bucket {
        Bucket { interval: Duration::from_secs(seconds), rate }
    }

    #[test]
    fn tokens_come_back_evenly_and_no_more_than_fit() {
        let limiter = RateLimiter::new(&[bucket(1, 4)], 10).expect("sound");
        let take = |millis: u64| limiter.take(&1, at(millis));
        assert_eq!([0; 5].map(take), [true, true, true, true, false]);
        assert_eq!([249, 250, 250, 500, 500].map(take), [false, true, false, true, false]);
        assert_eq!([60_000; 5].map(take), [true, true, true, true, false]);
        assert!(limiter.take(&2, at(60_000)), "another key has buckets of its own");
    }

    #[test]
    fn all_buckets_of_a_set_must_have_a_token_and_give_none_otherwise() {
        let limiter = RateLimiter::new(&[bucket(1, 2), bucket(60, 3)], 10).expect("sound");
        let take = |millis: u64| limiter.take(&1, at(millis));
        assert_eq!([0, 0, 0].map(take), [true, true, false], "two a second");
        assert_eq!([1_000, 1_000].map(take), [true, false], "three a minute");
        assert_eq!([2_000, 3_000, 19_999].map(take), [false; 3]);
        assert!(take(20_000), "a third of a minute later, what was refused has cost nothing");
    }

    #[test]
    fn full_buckets_are_forgotten_and_the_number_of_keys_is_bounded() {
        let limiter = RateLimiter::new(&[bucket(1, 1)], 128).expect("sound");
        for key in 0..10_000 {
            assert!(limiter.take(&key, at(0)), "who is not followed is let pass");
        }
        assert!(limiter.followed() <= 128, "{}", limiter.followed());
        assert!(limiter.followed() > 100, "{}", limiter.followed());
        let again = (0..10_000).filter(|key| !limiter.take(key, at(1))).count();
        assert_eq!(again, limiter.followed(), "who is followed is refused");
        for _ in 0..STRIDE {
            limiter.sweep(at(1_000));
        }
        assert_eq!(limiter.followed(), 0);
        // A full table makes room by itself, too.
        for key in 0..10_000 {
            limiter.take(&key, at(2_000));
        }
        let refused =
            (10_000..10_128).filter(|key| limiter.take(key, at(5_000)) && !limiter.take(key, at(5_000)));
        assert!(refused.count() > 50);
    }

    #[test]
    fn buckets_that_make_no_sense_are_refused() {
        assert_eq!(Rate::new(bucket(0, 1)), Err(BucketProblem::Interval(Duration::ZERO)));
        assert_eq!(Rate::new(bucket(3_601, 1)), Err(BucketProblem::Interval(Duration::from_secs(3_601))));
        assert_eq!(Rate::new(bucket(1, 0)), Err(BucketProblem::NoRate));
        let fast = Rate::new(bucket(1, u32::MAX)).expect("sound");
        assert_eq!(fast, Rate { step: 1, span: u64::from(u32::MAX) });
        let mut next = u16::MAX;
        assert_eq!(Set::new(&[bucket(1, 1)], &mut next), Err(BucketProblem::TooMany));
    }

    proptest::proptest! {
        /// Over any stretch of time no more is let pass than the bucket holds and what comes back meanwhile, and a
        /// bucket that is never refused loses nothing.
        #[test]
        fn a_bucket_keeps_its_rate(
            rate in 1_u32..50,
            seconds in 1_u64..100,
            gaps in proptest::collection::vec(0_u64..5_000, 1..200),
        ) {
            let limiter = RateLimiter::new(&[bucket(seconds, rate)], 10).expect("sound");
            let mut now = 0;
            let mut passed: Vec<u64> = Vec::new();
            for gap in gaps {
                now += gap;
                if limiter.take(&0, at(now)) {
                    passed.push(now);
                } else {
                    proptest::prop_assert!(passed.len() >= rate as usize, "refused before it was empty");
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let most = u64::from(rate) + (to - from) * u64::from(rate) / (seconds * 1_000) + 1;
                    proptest::prop_assert!((last - first + 1) as u64 <= most);
                }
            }
        }
    }
}
