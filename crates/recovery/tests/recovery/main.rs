//! Logs, gates and positions through their public interface, in virtual time.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

#[cfg(test)]
mod gate;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod log;
#[cfg(test)]
mod model;
#[cfg(test)]
mod position;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod subscriber;

#[cfg(test)]
mod rig {
    //! What the tests share.

    use std::sync::Arc;
    use std::time::Duration;

    use tourbillon_recovery::HistoryPolicy;
    use tourbillon_types::{Epoch, Instant, Publication, StreamPosition};

    pub(crate) const TTL: Duration = Duration::from_secs(60);
    pub(crate) const META_TTL: Duration = Duration::from_secs(3600);

    pub(crate) const fn policy(size: usize) -> HistoryPolicy {
        HistoryPolicy { size, ttl: TTL, meta_ttl: META_TTL }
    }

    pub(crate) const fn seconds(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    pub(crate) fn at(offset: u64, epoch: &str) -> StreamPosition {
        StreamPosition { offset, epoch: Epoch::from(epoch) }
    }

    pub(crate) fn publication(offset: u64, epoch: &str) -> Arc<Publication> {
        Arc::new(Publication { offset, epoch: Epoch::from(epoch), ..Publication::default() })
    }

    pub(crate) fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
        publications.iter().map(|publication| publication.offset).collect()
    }
}
