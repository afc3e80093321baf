//! How long answers are waited for, which may change while a node runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::shared::Shared;
use crate::{Node, NodeConfig};

/// How long answers are waited for, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Timeouts {
    call: AtomicU64,
    shared_poll_call: AtomicU64,
}

impl Timeouts {
    pub(crate) fn new(config: &NodeConfig) -> Self {
        let [call, shared_poll_call] = [config.call_timeout, config.shared_poll_call_timeout]
            .map(|timeout| AtomicU64::new(nanoseconds(timeout)));
        Self { call, shared_poll_call }
    }
}

/// As many as there are in five hundred years, which nobody waits.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Shared {
    /// How long a hook or the broker is waited for.
    pub(crate) fn call_timeout(&self) -> Duration {
        Duration::from_nanos(self.timeouts.call.load(Ordering::Relaxed))
    }

    /// How long the application is waited for when it is asked about a polled channel.
    pub(crate) fn shared_poll_call_timeout(&self) -> Duration {
        Duration::from_nanos(self.timeouts.shared_poll_call.load(Ordering::Relaxed))
    }
}

impl Node {
    /// Waits so long for answers from now on, instead of [`NodeConfig::call_timeout`] and
    /// [`NodeConfig::shared_poll_call_timeout`], which [`config`](Self::config) goes on to tell. What is waited for already
    /// keeps its time.
    pub fn set_call_timeouts(&self, call: Duration, shared_poll_call: Duration) {
        let timeouts = &self.shared.timeouts;
        timeouts.call.store(nanoseconds(call), Ordering::Relaxed);
        timeouts.shared_poll_call.store(nanoseconds(shared_poll_call), Ordering::Relaxed);
    }

    /// How long the node waits for a hook or the broker, and for the answer to a question about a polled channel.
    #[must_use]
    pub fn call_timeouts(&self) -> (Duration, Duration) {
        (self.shared.call_timeout(), self.shared.shared_poll_call_timeout())
    }
}
