//! Who is let in before anything is known of them (LIM-05, LIM-06).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon::node::Node;
use tourbillon::types::{Clock, Instant, SystemClock};

/// Turns connections away when there are too many, or too many at once.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    node: Node,
    limit: Option<usize>,
    bucket: Option<Arc<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    clock: SystemClock,
    /// Tokens are taken one by one and come back one a second, up to this many (HID-63).
    burst: f64,
    state: Mutex<(f64, Instant)>,
}

impl Admission {
    pub(crate) fn new(node: Node, limit: Option<usize>, rate: Option<u32>) -> Self {
        let bucket = rate.map(|rate| {
            let clock = SystemClock::new();
            let state = Mutex::new((f64::from(rate), clock.now().instant));
            Arc::new(Bucket { clock, burst: f64::from(rate), state })
        });
        Self { node, limit, bucket }
    }

    /// Whether one more connection may come.
    pub(crate) fn admit(&self) -> bool {
        if self.limit.is_some_and(|limit| self.node.connections() >= limit) {
            return false;
        }
        self.bucket.as_ref().is_none_or(|bucket| bucket.take(bucket.clock.now().instant))
    }
}

impl Bucket {
    fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let (tokens, before) = *state;
        let refilled =
            (tokens + (now - before).as_secs_f64() / Duration::from_secs(1).as_secs_f64()).min(self.burst);
        let taken = refilled >= 1.0;
        *state = (if taken { refilled - 1.0 } else { refilled }, now);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_a_second() {
        let bucket =
            Bucket { clock: SystemClock::new(), burst: 3.0, state: Mutex::new((3.0, Instant::ZERO)) };
        let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!([0, 0, 0, 0].map(|seconds| bucket.take(at(seconds))), [true, true, true, false]);
        assert_eq!([1, 1, 2].map(|seconds| bucket.take(at(seconds))), [true, false, true]);
        assert_eq!([60, 60, 60, 60].map(|seconds| bucket.take(at(seconds))), [true, true, true, false]);
    }
}
