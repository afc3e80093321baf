//! Who is let in before anything is known of them (LIM-05, LIM-06), asked before a request is worked on.
//!
//! In this order: an address that connects too often or too many times at once (429), a node that is full, and one that
//! is connected to too fast (503). Even before, a connection that says nothing takes one of a bounded number of places.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tourbillon::node::Node;
use tourbillon::types::{Clock, Instant, SystemClock};
use tourbillon_access::Live;
use tourbillon_config::IpLimits;

mod address;

use address::{Place, Places};
pub(crate) use address::{client, counted};

/// So often at most the log tells of a reached limit.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// Turns connections away when there are too many, or too many at once.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    limit: Live<Option<usize>>,
    bucket: Option<Bucket>,
    addresses: Option<Places>,
    half_open_limit: Option<usize>,
    /// Connections that were let in and have not ended.
    admitted: AtomicUsize,
    /// Connections that have not sent a request yet.
    opening: AtomicUsize,
    clock: SystemClock,
    told: Told,
    told_opening: Told,
}

/// What of the settings is about admission.
#[derive(Debug)]
pub(crate) struct Rules {
    /// It can change while the server runs, the others cannot, as in Centrifugo.
    pub(crate) limit: Live<Option<usize>>,
    pub(crate) rate: Option<u32>,
    pub(crate) addresses: Option<IpLimits>,
    pub(crate) half_open: Option<usize>,
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

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The node takes no more, or not so fast.
    Node,
    /// Its address has too many, or connects too often.
    Address,
    /// The server is about to stop.
    Leaving,
}

impl Refused {
    /// What it is answered with.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Node | Self::Leaving => StatusCode::SERVICE_UNAVAILABLE,
            Self::Address => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// And in words.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Node | Self::Address => "too many connections\n",
            Self::Leaving => "the server is about to stop\n",
        }
    }
}

/// A connection's place. Given back by its end.
pub(crate) struct Permit {
    inner: Arc<Inner>,
    _place: Option<Place>,
}

/// The place of a connection that has not sent a request yet. Given back by its end.
pub(crate) struct Opening {
    inner: Arc<Inner>,
    place: Option<Place>,
}

impl Opening {
    /// Gives the place among those of its address back, for what takes one itself.
    pub(crate) fn without_address(mut self) -> Self {
        self.place = None;
        self
    }
}

impl Admission {
    pub(crate) fn new(node: Node, rules: Rules) -> Self {
        let Rules { limit, rate, addresses, half_open } = rules;
        let clock = SystemClock::new();
        let bucket = rate.map(|rate| {
            let state = Mutex::new((f64::from(rate), clock.now().instant));
            Bucket { burst: f64::from(rate), state }
        });
        Self(Arc::new(Inner {
            node,
            limit,
            bucket,
            addresses: addresses.map(Places::new),
            half_open_limit: half_open,
            admitted: AtomicUsize::new(0),
            opening: AtomicUsize::new(0),
            clock,
            told: Told::default(),
            told_opening: Told::default(),
        }))
    }

    /// Whether one more connection may come, by its peer and the headers of its request.
    pub(crate) fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<Permit, Refused> {
        let inner = &self.0;
        if inner.node.is_leaving() {
            return Err(Refused::Leaving);
        }
        let now = inner.clock.now().instant;
        let place = match &inner.addresses {
            Some(addresses) => addresses.enter(peer, headers, now).ok_or(Refused::Address)?,
            None => None,
        };
        let admitted = inner.admitted.fetch_add(1, Ordering::Relaxed);
        // From here on the place is given back by its end.
        let permit = Permit { inner: inner.clone(), _place: place };
        let limit = inner.limit.with(|limit| *limit);
        if let Some(limit) = limit.filter(|limit| admitted >= *limit) {
            inner.node.turned_away();
            if inner.told.is_due(now) {
                tracing::warn!(limit, "client.connection_limit is reached: connections are refused");
            }
            return Err(Refused::Node);
        }
        if inner.bucket.as_ref().is_none_or(|bucket| bucket.take(now)) {
            Ok(permit)
        } else {
            Err(Refused::Node)
        }
    }

    /// How many connections stand that have not sent a request yet.
    pub(crate) fn opening(&self) -> usize {
        self.0.opening.load(Ordering::Relaxed)
    }

    /// Whether one more connection may stand that has not sent a request yet. Without a peer it counts for no address.
    pub(crate) fn open(&self, peer: Option<SocketAddr>) -> Option<Opening> {
        let inner = &self.0;
        let opening = inner.opening.fetch_add(1, Ordering::Relaxed);
        let place = inner.addresses.as_ref().zip(peer).map(|(addresses, peer)| addresses.stand(peer));
        let (stands, place) = place.map_or((true, None), |place| (place.is_some(), place.flatten()));
        let opened = Opening { inner: inner.clone(), place };
        let limit = inner.half_open_limit.filter(|limit| opening + inner.node.half_open() >= *limit);
        if let Some(limit) = limit {
            if inner.told_opening.is_due(inner.clock.now().instant) {
                tracing::warn!(limit, "client.half_open_limit is reached: connections are closed");
            }
            return None;
        }
        stands.then_some(opened)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.inner.opening.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
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
