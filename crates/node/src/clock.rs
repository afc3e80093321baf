//! The clock of a node that is given none.

use tokio::time::Instant as TokioInstant;
use tourbillon_types::{Clock, Instant, Now, SystemClock};

/// The runtime's monotonic clock, which tests can pause and advance, with the system's wall clock.
#[derive(Debug)]
pub(crate) struct RuntimeClock {
    origin: TokioInstant,
}

impl Default for RuntimeClock {
    fn default() -> Self {
        Self { origin: TokioInstant::now() }
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Now {
        Now { instant: self.instant(), unix_millis: SystemClock::unix_millis() }
    }

    fn instant(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
