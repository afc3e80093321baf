//! Few tries for each address (ADM-10).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_types::Instant;

/// Tries at once.
const TRIES: u32 = 5;

/// One more after each of these.
const REFILL: Duration = Duration::from_secs(12);

/// Addresses that are told apart; all others count as one.
const ADDRESSES: usize = 4096;

/// What is left of the tries of addresses.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Tries>);

#[derive(Debug, Default)]
struct Tries {
    /// When all tries of an address are there again. Those for which they are have no entry.
    full: HashMap<Option<IpAddr>, Instant>,
}

impl Throttle {
    /// Takes a try. An error: there is none, and how long it takes until there is.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut tries = self.0.lock();
        let key = tries.key(network(address), now);
        let full = tries.full.get(&key).copied().unwrap_or(now).max(now) + REFILL;
        let wait = full.saturating_since(now + REFILL * TRIES);
        if !wait.is_zero() {
            return Err(wait);
        }
        tries.full.insert(key, full);
        Ok(())
    }

    /// The try was good: the address has all of them again.
    pub(crate) fn give_back(&self, address: IpAddr) {
        self.0.lock().full.remove(&Some(network(address)));
    }
}

impl Tries {
    fn key(&mut self, address: IpAddr, now: Instant) -> Option<IpAddr> {
        if self.full.len() >= ADDRESSES && !self.full.contains_key(&Some(address)) {
            self.full.retain(|_, full| *full > now);
        }
        let known = self.full.contains_key(&Some(address)) || self.full.len() < ADDRESSES;
        known.then_some(address)
    }
}

/// Whoever has an address of version 6 has the whole network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        IpAddr::V4(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn five_tries_and_then_one_in_twelve_seconds() {
        let throttle = Throttle::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let taken = [100; 6].map(|second| throttle.take(address, at(second)).is_ok());
        assert_eq!(taken, [true, true, true, true, true, false]);
        assert_eq!(throttle.take(address, at(102)), Err(Duration::from_secs(10)));
        assert_eq!(throttle.take(IpAddr::from([192, 0, 2, 2]), at(102)), Ok(()), "another address");
        let mapped = "::ffff:192.0.2.1".parse().expect("an address");
        assert!(throttle.take(mapped, at(102)).is_err(), "the same address");
        assert_eq!([112, 112].map(|second| throttle.take(address, at(second)).is_ok()), [true, false]);
        throttle.give_back(address);
        assert!((0..5).all(|_| throttle.take(address, at(112)).is_ok()));
    }

    #[test]
    fn a_network_of_version_6_counts_as_one() {
        let throttle = Throttle::default();
        let address = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        assert_eq!((1..=6).filter(|host| throttle.take(address(*host), at(0)).is_ok()).count(), 5);
    }

    #[test]
    fn many_addresses_take_no_more_memory_and_share_what_is_left() {
        let throttle = Throttle::default();
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        let taken = (0..10_000).filter(|number| throttle.take(address(*number), at(0)).is_ok()).count();
        assert_eq!(taken, ADDRESSES + 5);
        assert!(throttle.0.lock().full.len() <= ADDRESSES + 1);
        assert_eq!(throttle.take(address(20_000), at(60)), Ok(()), "those before are forgotten");
    }
}
