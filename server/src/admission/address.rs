//! What an address may do before anything else is known: how often it connects, and how many times at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use tourbillon::types::Instant;
use tourbillon_config::{IpLimits, Networks};

/// How often what was too much is told, and what is over is forgotten, at most.
const TELL_EVERY: Duration = Duration::from_secs(10);
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The address that a connection comes from: that of its peer, or what a trusted peer says. Of a list, that is the
/// last one that is not trusted itself: what stands before it, the client may have written.
pub(crate) fn client(trusted: &Networks, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !trusted.contains(peer) {
        return peer;
    }
    let lists = headers.get_all("x-forwarded-for").iter().rev();
    let entries = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
    let mut named = None;
    for entry in entries {
        let Some(address) = address(entry) else { break };
        named = Some(address);
        if !trusted.contains(address) {
            break;
        }
    }
    let real = || headers.get("x-real-ip").and_then(|value| address(value.to_str().ok()?));
    named.or_else(real).unwrap_or(peer)
}

/// An address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let address = bare().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

/// What a client counts as by its address.
pub(crate) fn counted(trusted: &Networks, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    key(client(trusted, peer, headers))
}

/// What counts as one address: of IPv6 a network of 64 bits, which is the least that anybody gets.
fn key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Who has how many connections.
#[derive(Debug)]
pub(super) struct Places {
    limits: IpLimits,
    taken: Arc<Taken>,
    hits: AtomicU64,
    /// When it was told last, and swept last.
    last: Mutex<(Option<Instant>, Instant)>,
}

#[derive(Debug, Default)]
struct Taken(Mutex<HashMap<IpAddr, usize>>);

/// One of the connections of an address. Ends with the value.
#[derive(Debug)]
pub(super) struct Place(Box<(Arc<Taken>, IpAddr)>);

impl Drop for Place {
    fn drop(&mut self) {
        let (taken, address) = &*self.0;
        let mut taken = taken.0.lock();
        if let Some(count) = taken.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(address);
            }
        }
        if taken.capacity() > 64 && taken.len() < taken.capacity() / 8 {
            taken.shrink_to_fit();
        }
    }
}

impl Places {
    pub(super) fn new(limits: IpLimits) -> Self {
        Self { limits, taken: Arc::default(), hits: AtomicU64::new(0), last: Mutex::default() }
    }

    /// Whether an address may connect once more. `Some(None)`: it may, and is not followed.
    pub(super) fn enter(&self, peer: SocketAddr, headers: &HeaderMap, now: Instant) -> Option<Option<Place>> {
        self.look_after(now);
        let key = counted(&self.limits.trusted, peer.ip(), headers);
        let place = self.place(key);
        if place.is_some() && self.limits.limiter.take(&key, now) {
            return place;
        }
        self.hits.fetch_add(1, Ordering::Relaxed);
        // Who is refused does not keep a place; who only would be, does where there is one.
        if self.limits.dry_run { Some(place.flatten()) } else { None }
    }

    /// Whether an address may have one more connection that says nothing. Trusted peers stand for many.
    pub(super) fn stand(&self, peer: SocketAddr) -> Option<Option<Place>> {
        if self.limits.trusted.contains(peer.ip()) || self.limits.dry_run {
            return Some(None);
        }
        let place = self.place(key(peer.ip()));
        if place.is_none() {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    fn place(&self, address: IpAddr) -> Option<Option<Place>> {
        if self.limits.max_concurrent == 0 {
            return Some(None);
        }
        let mut taken = self.taken.0.lock();
        let full = taken.len() >= self.limits.max_tracked;
        match taken.get_mut(&address) {
            Some(count) if *count >= self.limits.max_concurrent => return None,
            Some(count) => *count += 1,
            // To refuse who is not known would let one attacker lock everybody out.
            None if full => return Some(None),
            None => drop(taken.insert(address, 1)),
        }
        Some(Some(Place(Box::new((self.taken.clone(), address)))))
    }

    /// Tells of what was too much, and forgets what is over.
    fn look_after(&self, now: Instant) {
        let Some(mut last) = self.last.try_lock() else { return };
        let (told, swept) = *last;
        if now - swept >= SWEEP_EVERY {
            last.1 = now;
            self.limits.limiter.sweep(now);
        }
        if told.is_none_or(|told| now - told >= TELL_EVERY) {
            let hits = self.hits.swap(0, Ordering::Relaxed);
            if hits > 0 {
                last.0 = Some(now);
                let dry_run = self.limits.dry_run;
                tracing::warn!(
                    layer = "ip_connect",
                    command = "connect",
                    hits,
                    dry_run,
                    "a rate limit was exceeded"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_access::Bucket;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn headers(lists: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lists {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn only_trusted_peers_are_believed() {
        let private = Networks::private();
        let forwarded = headers(&[("x-forwarded-for", "203.0.113.9")]);
        assert_eq!(client(&private, ip("203.0.113.1"), &forwarded), ip("203.0.113.1"));
        for (lists, expected) in [
            (&[("x-forwarded-for", "203.0.113.9")][..], "203.0.113.9"),
            (&[("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.3")], "203.0.113.9"),
            (&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")], "203.0.113.9"),
            (&[("x-forwarded-for", "10.0.0.8, 10.0.0.9")], "10.0.0.8"),
            (&[("x-forwarded-for", "203.0.113.9:1234")], "203.0.113.9"),
            (&[("x-forwarded-for", "[2001:db8::9]:1234")], "2001:db8::9"),
            (&[("x-forwarded-for", "::ffff:203.0.113.9")], "203.0.113.9"),
            (&[("x-forwarded-for", "203.0.113.9, unknown")], "10.0.0.1"),
            (&[("x-real-ip", "203.0.113.7")], "203.0.113.7"),
            (&[("x-forwarded-for", "203.0.113.9"), ("x-real-ip", "203.0.113.7")], "203.0.113.9"),
            (&[("x-real-ip", "nobody")], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(&private, ip("10.0.0.1"), &headers(lists)), ip(expected), "{lists:?}");
        }
    }

    fn places(buckets: &[Bucket], concurrent: usize, tracked: usize) -> Places {
        Places::new(IpLimits::new(buckets, concurrent, tracked, Networks::private()).expect("sound"))
    }

    fn peer(text: &str) -> SocketAddr {
        SocketAddr::new(ip(text), 1)
    }

    #[test]
    fn an_address_has_so_many_places_and_gives_them_back() {
        let places = places(&[], 2, 100);
        let enter = |address: &str| places.enter(peer(address), &HeaderMap::new(), Instant::ZERO);
        let (first, second) = (enter("203.0.113.1"), enter("203.0.113.1"));
        assert!(first.is_some() && second.is_some());
        assert!(enter("203.0.113.1").is_none());
        assert!(places.stand(peer("203.0.113.1")).is_none(), "what says nothing counts, too");
        assert!(places.stand(peer("10.0.0.1")).is_some(), "but not that of a proxy");
        assert!(enter("203.0.113.2").is_some());
        drop(first);
        let again = enter("203.0.113.1");
        assert!(again.is_some());
        // Whoever holds a network of 64 bits, holds one address.
        let one = enter("2001:db8::1");
        let two = enter("2001:db8::2");
        assert!(one.is_some() && two.is_some() && enter("2001:db8:0:0:ffff::3").is_none());
        assert!(enter("2001:db8:0:1::1").is_some());
        drop((second, again, one, two));
        assert!(places.taken.0.lock().is_empty());
    }

    #[test]
    fn addresses_are_followed_up_to_a_number_and_then_let_pass() {
        let places = places(&[Bucket { interval: Duration::from_secs(1), rate: 1 }], 1, 64);
        let mut held = Vec::new();
        for number in 0..10_000_u32 {
            let address = IpAddr::from((0xcb00_0000 + number).to_be_bytes());
            let place = places.enter(SocketAddr::new(address, 1), &HeaderMap::new(), Instant::ZERO);
            held.push(place.expect("let pass"));
        }
        assert_eq!(places.taken.0.lock().len(), 64);
        assert!(places.limits.limiter.followed() <= 64);
        let first = places.enter(peer("203.0.0.0"), &HeaderMap::new(), Instant::ZERO);
        assert!(first.is_none(), "who is followed is refused");
    }

    #[test]
    fn a_dry_run_counts_and_lets_pass() {
        let mut places = places(&[Bucket { interval: Duration::from_secs(1), rate: 1 }], 0, 64);
        places.limits.dry_run = true;
        for _ in 0..3 {
            assert!(places.enter(peer("203.0.113.1"), &HeaderMap::new(), Instant::ZERO).is_some());
        }
        // What was told is not counted any more.
        assert_eq!(places.hits.load(Ordering::Relaxed), 1);
    }
}
