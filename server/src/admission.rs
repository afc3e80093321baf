//! Who is let in before anything is known of them (LIM-05, LIM-06).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon::node::Node;
use tourbillon::types::{Clock, Instant, SystemClock};
use tourbillon_access::Live;

/// So often at most the log tells of a reached limit.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// Turns connections away when there are too many, or too many at once.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    node: Node,
    limit: Live<Option<usize>>,
    bucket: Option<Arc<Bucket>>,
    clock: SystemClock,
    told: Arc<Told>,
}

/// When the log told of it last.
#[derive(Debug, Default)]
struct Told(Mutex<Option<Instant>>);

#[derive(Debug)]
struct Bucket {
    /// Tokens are taken one by one and come back one a second, up to this many (HID-63).
    burst: f64,
    state: Mutex<(f64, Instant)>,
}

impl Admission {
    /// The limit can change while the server runs, the rate cannot, as in Centrifugo.
    pub(crate) fn new(node: Node, limit: Live<Option<usize>>, rate: Option<u32>) -> Self {
        let clock = SystemClock::new();
        let bucket = rate.map(|rate| {
            let state = Mutex::new((f64::from(rate), clock.now().instant));
            Arc::new(Bucket { burst: f64::from(rate), state })
        });
        Self { node, limit, bucket, clock, told: Arc::default() }
    }

    /// Whether one more connection may come.
    pub(crate) fn admit(&self) -> bool {
        let now = self.clock.now().instant;
        let limit = self.limit.with(|limit| *limit);
        if let Some(limit) = limit.filter(|limit| self.node.connections() >= *limit) {
            if self.told.is_due(now) {
                tracing::warn!(limit, "client.connection_limit is reached: connections are refused");
            }
            return false;
        }
        self.bucket.as_ref().is_none_or(|bucket| bucket.take(now))
    }
}

impl Told {
    /// Whether it is time to tell of it again, which is then done.
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock();
        let due = last.is_none_or(|last| now - last >= TELL_EVERY);
        if due {
            *last = Some(now);
        }
        due
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
    fn a_reached_limit_is_told_of_every_three_seconds() {
        let told = Told::default();
        let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
        let due = [0, 0, 2, 3, 4, 9].map(|seconds| told.is_due(at(seconds)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }

    #[test]
    fn a_burst_and_then_one_a_second() {
        let bucket = Bucket { burst: 3.0, state: Mutex::new((3.0, Instant::ZERO)) };
        let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!([0, 0, 0, 0].map(|seconds| bucket.take(at(seconds))), [true, true, true, false]);
        assert_eq!([1, 1, 2].map(|seconds| bucket.take(at(seconds))), [true, false, true]);
        assert_eq!([60, 60, 60, 60].map(|seconds| bucket.take(at(seconds))), [true, true, true, false]);
    }
}
