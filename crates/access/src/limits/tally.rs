//! How often limits were exceeded: told in the log now and then, not each time.

use std::sync::atomic::{AtomicU64, Ordering};

use super::config::Operation;

/// Counts what was too much, for each operation. In a layer that only tries its limits out this is what it is for.
#[derive(Debug, Default)]
pub(crate) struct Tally([AtomicU64; Operation::ALL.len()]);

impl Tally {
    pub(crate) fn count(&self, operation: Operation) {
        if let Some(at) = Operation::ALL.iter().position(|of| *of == operation)
            && let Some(count) = self.0.get(at)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted since the last call.
    pub(crate) fn take(&self) -> impl Iterator<Item = (Operation, u64)> + '_ {
        let counts = Operation::ALL.into_iter().zip(&self.0);
        counts.map(|(of, count)| (of, count.swap(0, Ordering::Relaxed))).filter(|(_, count)| *count > 0)
    }
}
