//! How a consumer does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// How one consumer does, with all its sources (CONS-08, MET-65).
#[derive(Debug, Default)]
pub struct Health {
    processed: AtomicU64,
    skipped: AtomicU64,
    errors: AtomicU64,
    failing: Mutex<BTreeMap<String, String>>,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Messages that are done.
    pub processed: u64,
    /// Those of them that were no commands, or were refused.
    pub skipped: u64,
    /// Messages that were to be tried again, and failures of sources.
    pub errors: u64,
    /// Sources that fail now.
    pub failing: usize,
}

impl Health {
    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            processed: read(&self.processed),
            skipped: read(&self.skipped),
            errors: read(&self.errors),
            failing: self.failing.lock().len(),
        }
    }

    /// The sources that fail now, and why: since the last time that they were used with success, or since a message of
    /// theirs that holds up others is tried again.
    #[must_use]
    pub fn failing(&self) -> Vec<(String, String)> {
        self.failing.lock().iter().map(|(source, why)| (source.clone(), why.clone())).collect()
    }

    pub(crate) fn processed(&self) {
        self.processed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, source: &str, why: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.failing.lock().insert(source.to_owned(), why);
    }

    /// Something failed that says nothing of its source.
    pub(crate) fn stumbled(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn recovered(&self, source: &str) {
        self.failing.lock().remove(source);
    }
}
