//! Networks of addresses.

use std::net::IpAddr;

/// Addresses, as networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

impl Networks {
    /// Those that are not of the public internet: loopback, private, and of one link only.
    #[must_use]
    pub fn private() -> Self {
        let v4 = [([127, 0, 0, 0], 8), ([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16)];
        let v4 = v4.into_iter().chain([([169, 254, 0, 0], 16)]).map(|(ip, bits)| (IpAddr::from(ip), bits));
        let v6 = [("::1", 128), ("fc00::", 7), ("fe80::", 10)];
        let v6 = v6.into_iter().filter_map(|(ip, bits)| Some((ip.parse().ok()?, bits)));
        Self(v4.chain(v6).collect())
    }

    /// Adds the network of an address whose first bits are these.
    pub fn add(&mut self, address: IpAddr, bits: u8) {
        self.0.push((address, bits));
    }

    /// Whether an address is in one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let is_in = |network: IpAddr, bits: u8| match (address, network) {
            (IpAddr::V4(address), IpAddr::V4(network)) => {
                let differ = u32::from(address) ^ u32::from(network);
                differ.checked_shr(32 - u32::from(bits)).unwrap_or_default() == 0
            }
            (IpAddr::V6(address), IpAddr::V6(network)) => {
                let differ = u128::from(address) ^ u128::from(network);
                differ.checked_shr(128 - u32::from(bits)).unwrap_or_default() == 0
            }
            _ => false,
        };
        self.0.iter().any(|(network, bits)| is_in(*network, *bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_private_is_known() {
        let private = Networks::private();
        for inside in
            ["127.0.0.1", "10.255.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "::1", "fd00::1"]
        {
            assert!(private.contains(ip(inside)), "{inside}");
        }
        for outside in ["126.0.0.1", "11.0.0.1", "172.32.0.0", "192.169.0.1", "::2", "2001:db8::1", "0.0.0.0"]
        {
            assert!(!private.contains(ip(outside)), "{outside}");
        }
        let mut all = Networks::default();
        assert!(!all.contains(ip("127.0.0.1")));
        all.add(ip("0.0.0.0"), 0);
        assert!(all.contains(ip("203.0.113.1")) && !all.contains(ip("::1")));
    }
}
