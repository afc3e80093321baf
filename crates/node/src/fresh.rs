//! Fresh identifiers for connections.
//!
//! The operating system is asked for the randomness of sixteen connections at once: when many arrive, a system call for
//! each identifier is felt.

use std::cell::RefCell;

use tourbillon_types::id::random_bytes;
use tourbillon_types::{ClientId, SessionId};

/// How much is fetched at once, in bytes.
const STOCK: usize = 512;

/// Bytes of one connection: two identifiers.
const TAKEN: usize = 32;

/// Randomness that nobody has taken yet.
struct Stock {
    bytes: [u8; STOCK],
    left: usize,
}

thread_local! {
    static STOCKED: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; STOCK], left: 0 }) };
}

/// The identifiers of a new connection.
pub(crate) fn identifiers() -> (ClientId, SessionId) {
    let taken = STOCKED.with_borrow_mut(Stock::take);
    match taken.as_chunks::<16>() {
        ([client, session], []) => (ClientId::from_random(*client), SessionId::from_random(*session)),
        _ => (ClientId::random(), SessionId::random()),
    }
}

impl Stock {
    /// Bytes that are given out once and then forgotten: one of the identifiers is a secret.
    fn take(&mut self) -> [u8; TAKEN] {
        if self.left < TAKEN {
            *self = Self { bytes: random_bytes(), left: STOCK };
        }
        self.left -= TAKEN;
        let place = self.bytes.get_mut(self.left..).and_then(|rest| rest.first_chunk_mut::<TAKEN>());
        place.map_or_else(random_bytes, std::mem::take)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_identifier_comes_twice() {
        let many = 4 * STOCK / TAKEN + 1;
        let mut seen = HashSet::new();
        for _ in 0..many {
            let (client, session) = identifiers();
            assert!(seen.insert(client.to_string()) && seen.insert(session.text().as_str().to_owned()));
        }
    }

    #[test]
    fn what_was_given_out_is_forgotten() {
        let mut stock = Stock { bytes: [7; STOCK], left: STOCK };
        assert_eq!(stock.take(), [7; TAKEN]);
        assert_eq!(stock.bytes[stock.left..], [0; TAKEN]);
        assert_eq!(stock.bytes[..stock.left], [7; STOCK - TAKEN]);
    }
}
