//! How many calls there were, and how long they took (PRX-16).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Event;

/// The upper ends of the intervals that durations are sorted into; beyond the last there is one more.
pub const BUCKETS: [Duration; 14] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// What was counted of one endpoint's calls of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyStats {
    /// The endpoint's name.
    pub name: String,
    /// `http` or `grpc`.
    pub protocol: &'static str,
    /// What it was asked about.
    pub event: Event,
    /// Calls that ended.
    pub calls: u64,
    /// Those of them that failed: an answer that refuses is none.
    pub errors: u64,
    /// Calls under way.
    pub inflight: u64,
    /// How long all that ended took together.
    pub total: Duration,
    /// How many took up to each of [`BUCKETS`] and more than the one before; the last one, longer than all.
    pub durations: [u64; BUCKETS.len() + 1],
}

/// The upper ends of the intervals that numbers of keys are sorted into; beyond the last there is one more.
pub const SIZES: [usize; 11] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000];

/// How many keys of polled channels one endpoint was asked about at once, or told of (MET-57).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStats {
    /// All of them together.
    pub total: u64,
    /// How many questions or answers have up to each of [`SIZES`] and more than the one before; the last one, more than
    /// all.
    pub sizes: [u64; SIZES.len() + 1],
}

/// Counts keys.
#[derive(Debug, Default)]
pub(crate) struct KeyCounters {
    total: AtomicU64,
    sizes: [AtomicU64; SIZES.len() + 1],
}

impl KeyCounters {
    pub(crate) fn add(&self, keys: usize) {
        self.total.fetch_add(u64::try_from(keys).unwrap_or(u64::MAX), Ordering::Relaxed);
        let at = SIZES.iter().position(|end| keys <= *end).unwrap_or(SIZES.len());
        if let Some(counter) = self.sizes.get(at) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `None` while there was nothing to count.
    pub(crate) fn read(&self) -> Option<KeyStats> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sizes: [u64; SIZES.len() + 1] = std::array::from_fn(|at| self.sizes.get(at).map_or(0, read));
        sizes.iter().any(|count| *count > 0).then(|| KeyStats { total: read(&self.total), sizes })
    }
}

/// Counts calls of one kind.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    begun: AtomicU64,
    given_up: AtomicU64,
    errors: AtomicU64,
    nanos: AtomicU64,
    durations: [AtomicU64; BUCKETS.len() + 1],
}

/// A call under way. One that is given up counts no more.
pub(crate) struct Call<'a>(Option<&'a Counters>);

impl Counters {
    pub(crate) fn begin(&self) -> Call<'_> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Call(Some(self))
    }

    /// `None` while there was no call.
    pub(crate) fn read(&self, name: &str, protocol: &'static str, event: Event) -> Option<ProxyStats> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let durations = std::array::from_fn(|at| self.durations.get(at).map_or(0, read));
        let calls = durations.iter().sum();
        let given_up = read(&self.given_up);
        let begun = read(&self.begun);
        (begun > 0).then(|| ProxyStats {
            name: name.to_owned(),
            protocol,
            event,
            calls,
            errors: read(&self.errors),
            inflight: begun.saturating_sub(calls + given_up),
            total: Duration::from_nanos(read(&self.nanos)),
            durations,
        })
    }
}

impl Call<'_> {
    pub(crate) fn end(mut self, took: Duration, failed: bool) {
        let Some(counters) = self.0.take() else { return };
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        counters.nanos.fetch_add(nanos, Ordering::Relaxed);
        counters.errors.fetch_add(u64::from(failed), Ordering::Relaxed);
        let at = BUCKETS.iter().position(|end| took <= *end).unwrap_or(BUCKETS.len());
        if let Some(counter) = counters.durations.get(at) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(counters) = self.0 {
            counters.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_from_begin_to_end() {
        let counters = Counters::default();
        assert_eq!(counters.read("x", "http", Event::Rpc), None);
        let [one, two, gone] = [(); 3].map(|()| counters.begin());
        one.end(Duration::from_millis(3), false);
        drop(gone);
        let stats = counters.read("x", "http", Event::Rpc).expect("counted");
        assert_eq!((stats.calls, stats.errors, stats.inflight), (1, 0, 1));
        assert_eq!((stats.durations[3], stats.total), (1, Duration::from_millis(3)));
        two.end(Duration::from_secs(60), true);
        let stats = counters.read("x", "http", Event::Rpc).expect("counted");
        assert_eq!((stats.calls, stats.errors, stats.inflight), (2, 1, 0));
        assert_eq!(stats.durations[BUCKETS.len()], 1);
    }

    #[test]
    fn met_57_keys_are_counted_by_how_many_there_are_at_once() {
        let counters = KeyCounters::default();
        assert_eq!(counters.read(), None);
        [1, 2, 5, 5_000, 6_000].into_iter().for_each(|keys| counters.add(keys));
        let stats = counters.read().expect("counted");
        assert_eq!((stats.total, stats.sizes), (11_008, [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]));
    }
}
