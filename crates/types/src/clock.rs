//! Time as a value: the only module of the workspace that reads the system's clocks.
//!
//! State machines take a [`Now`] as an argument, so their tests run in virtual time.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A point on a monotonic clock: nanoseconds since an origin that the clock chose.
///
/// Instants of different clocks must not be compared.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);
    /// A point that is never reached.
    pub const MAX: Self = Self(u64::MAX);

    /// The point `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time from `earlier` until `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::MAX`].
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Saturates at zero.
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// The present: a monotonic instant for deadlines and the wall clock for what is stated in calendar time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time. Deadlines are computed from it.
    pub instant: Instant,
    /// Milliseconds since 1970-01-01 UTC. Token expiry and the connect result's `time` are stated in it.
    pub unix_millis: i64,
}

impl Now {
    /// Whole seconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.unix_millis.div_euclid(1000)
    }
}

/// A source of [`Now`].
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present. The instant never goes back between two calls.
    fn now(&self) -> Now;

    /// The instant of the present, for who measures and needs no calendar.
    fn instant(&self) -> Instant {
        self.now().instant
    }
}

/// The operating system's clocks. The origin of its instants is when the value was made.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose origin is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn new() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    /// Milliseconds since 1970-01-01 UTC by the system's wall clock; 0 if it stands before that day.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn unix_millis() -> i64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { instant: self.instant(), unix_millis: Self::unix_millis() }
    }

    fn instant(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A clock that stands still until it is told to move: for tests.
#[derive(Debug)]
pub struct ManualClock {
    nanos: AtomicU64,
    unix_millis: AtomicI64,
}

impl ManualClock {
    /// A clock at instant zero whose wall clock shows `unix_millis`.
    #[must_use]
    pub const fn new(unix_millis: i64) -> Self {
        Self { nanos: AtomicU64::new(0), unix_millis: AtomicI64::new(unix_millis) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::SeqCst);
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.unix_millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        Now {
            instant: Instant::from_nanos(self.nanos.load(Ordering::SeqCst)),
            unix_millis: self.unix_millis.load(Ordering::SeqCst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::MAX + Duration::from_secs(1), Instant::MAX);
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::MAX);
        assert_eq!(Instant::ZERO - Instant::MAX, Duration::ZERO);
        assert_eq!((Instant::ZERO + Duration::from_millis(1500)).as_millis(), 1500);
    }

    #[test]
    fn seconds_round_towards_the_past() {
        assert_eq!(Now { instant: Instant::ZERO, unix_millis: 1999 }.unix_seconds(), 1);
        assert_eq!(Now { instant: Instant::ZERO, unix_millis: -1 }.unix_seconds(), -1);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(1_000);
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now().instant.as_millis(), 2_000);
        assert_eq!(clock.now().unix_millis, 3_000);
    }

    #[test]
    fn the_system_clock_does_not_go_back() {
        let clock = SystemClock::new();
        let first = clock.now();
        let second = clock.now();
        assert!(second.instant >= first.instant);
        assert!(first.unix_millis > 1_700_000_000_000);
    }
}
