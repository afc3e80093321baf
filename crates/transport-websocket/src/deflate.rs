//! permessage-deflate (RFC 7692), each message by itself: neither side keeps a window between messages.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What ends a message that is compressed with a sync flush, and is left out on the wire (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A last, empty block. What a client sends does not end with one, so it shows whether all before it was complete.
const LAST: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// The levels of compression, 1 to 9.
const LEVELS: usize = 9;

thread_local! {
    // The states are large, so a thread has one of each kind, not a connection.
    static DEFLATE: RefCell<[Option<Compress>; LEVELS]> = const { RefCell::new([const { None }; LEVELS]) };
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Why a compressed message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// The bytes are not DEFLATE.
    Malformed,
    /// The message is larger than allowed.
    TooLarge,
}

/// The compressed form of a message, as a frame carries it.
pub(crate) fn deflate(bytes: &[u8], level: u32) -> Bytes {
    let level = level.clamp(1, 9);
    DEFLATE.with_borrow_mut(|states| {
        let at = usize::try_from(level - 1).unwrap_or_default();
        let Some(slot) = states.get_mut(at) else { return Bytes::new() };
        let state = slot.get_or_insert_with(|| Compress::new(Compression::new(level), false));
        state.reset();
        let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
        loop {
            let consumed = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
            let rest = bytes.get(consumed..).unwrap_or_default();
            // Into memory, compressing cannot fail; if it could, the message would end here and be told wrong.
            let done = state.compress_vec(rest, &mut out, FlushCompress::Sync);
            let consumed = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
            // Room left over shows that the flush is complete.
            if done.is_err() || (consumed == bytes.len() && out.len() < out.capacity()) {
                break;
            }
            out.reserve(out.capacity().max(64));
        }
        if out.ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
        Bytes::from(out)
    })
}

/// Inflates one message, up to `limit` bytes.
pub(crate) fn inflate(compressed: &[u8], limit: usize) -> Result<Bytes, InflateError> {
    INFLATE.with_borrow_mut(|state| {
        state.reset(false);
        let room = compressed.len().saturating_mul(3).clamp(64, 64 * 1024);
        let mut out = Vec::with_capacity(room.min(limit.saturating_add(1)));
        let ended = feed(state, compressed, &mut out, limit)?
            || feed(state, &TAIL, &mut out, limit)?
            || feed(state, &LAST, &mut out, limit)?;
        // A message that was cut does not come to the end of its last block.
        if ended { Ok(Bytes::from(out)) } else { Err(InflateError::Malformed) }
    })
}

/// Inflates all of `input`. Yields whether that ended with a block that says that it is the last.
fn feed(
    state: &mut Decompress,
    mut input: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<bool, InflateError> {
    loop {
        let before = (state.total_in(), out.len());
        let status =
            state.decompress_vec(input, out, FlushDecompress::Sync).map_err(|_| InflateError::Malformed)?;
        if out.len() > limit {
            return Err(InflateError::TooLarge);
        }
        let consumed = usize::try_from(state.total_in() - before.0).unwrap_or(usize::MAX);
        input = input.get(consumed..).unwrap_or_default();
        if status == Status::StreamEnd {
            if input.is_empty() {
                return Ok(true);
            }
            // After a last block another stream may follow (RFC 7692 section 7.2.3.4).
            state.reset(false);
            continue;
        }
        if out.len() < out.capacity() {
            if input.is_empty() {
                return Ok(false);
            }
            if consumed == 0 && out.len() == before.1 {
                return Err(InflateError::Malformed);
            }
        } else {
            // One byte beyond the limit is enough to see that it is exceeded.
            let left = limit.saturating_sub(out.len()).saturating_add(1);
            out.reserve_exact(out.capacity().max(64).min(left));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = deflate(&vec![0; 32 << 20], 9);
        assert!(bomb.len() < 64 << 10);
        assert_eq!(inflate(&bomb, 1 << 20), Err(InflateError::TooLarge));
        assert_eq!(inflate(&bomb, 32 << 20).map(|out| out.len()), Ok(32 << 20));
    }

    #[test]
    fn the_limit_is_exact() {
        let compressed = deflate(b"0123456789", 1);
        assert!(inflate(&compressed, 10).is_ok());
        assert_eq!(inflate(&compressed, 9), Err(InflateError::TooLarge));
    }

    #[test]
    fn vectors_of_the_rfc() {
        // RFC 7692 section 7.2.3: fixed block, shared window aside, stored block, final block.
        let vectors: &[&[u8]] = &[
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ];
        for vector in vectors {
            assert_eq!(inflate(vector, 100).expect("valid"), &b"Hello"[..], "{vector:02x?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(bytes in prop::collection::vec(any::<u8>(), 0..5000), level in 0_u32..12) {
            let compressed = deflate(&bytes, level);
            prop_assert_eq!(&inflate(&compressed, bytes.len()).expect("own output")[..], &bytes[..]);
        }

        #[test]
        fn any_bytes_end_in_order(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            if let Ok(out) = inflate(&bytes, 10_000) {
                prop_assert!(out.len() <= 10_000);
            }
        }
    }
}
