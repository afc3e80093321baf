//! The client's half of WebSocket framing (RFC 6455 section 5): masked frames out, whole messages in.
//!
//! A load generator must cost less than the server it loads, so messages are handed out as slices of the read
//! buffer, and only what a read cut in two is kept.

use flate2::{Decompress, FlushDecompress};

/// The kind of a data or control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A text message.
    Text,
    /// A binary message.
    Binary,
    /// The end of the connection.
    Close,
    /// A question.
    Ping,
    /// An answer to a question.
    Pong,
}

impl Opcode {
    const fn bits(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// Why the bytes of a server cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The server masked a frame, set an unknown bit or used an unknown opcode.
    #[error("the server sent a frame that RFC 6455 does not allow")]
    Invalid,
    /// A fragmented message: servers of this protocol do not send any.
    #[error("the server sent a fragmented message")]
    Fragmented,
    /// A compressed message that does not inflate.
    #[error("the server sent a compressed message that does not inflate")]
    Deflate,
    /// A message above [`MAX_MESSAGE`].
    #[error("the server sent a message of {0} bytes")]
    TooLong(u64),
}

/// The longest message taken from a server, in bytes.
pub const MAX_MESSAGE: u64 = 64 << 20;

/// The mask of every frame: a load generator has no browser to protect, but the server must do its work.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Appends a whole message as one masked frame.
pub fn encode(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode.bits());
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    for (index, byte) in out.iter_mut().skip(start).enumerate() {
        *byte ^= MASK.get(index & 3).copied().unwrap_or_default();
    }
}

/// The parts of a frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    opcode: Opcode,
    compressed: bool,
    /// Bytes of the head.
    head: usize,
    /// Bytes of the payload.
    payload: usize,
}

/// The head at the start of `bytes`, or `None` when it is not complete yet.
fn head(bytes: &[u8]) -> Result<Option<Head>, FrameError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x30 != 0 || second & 0x80 != 0 {
        return Err(FrameError::Invalid);
    }
    let opcode = match first & 0x0f {
        0 => return Err(FrameError::Fragmented),
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(FrameError::Invalid),
    };
    if first & 0x80 == 0 {
        return Err(FrameError::Fragmented);
    }
    let (extra, length) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (2, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (8, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        length => (0, u64::from(length)),
    };
    if length > MAX_MESSAGE {
        return Err(FrameError::TooLong(length));
    }
    let payload = usize::try_from(length).map_err(|_| FrameError::TooLong(length))?;
    Ok(Some(Head { opcode, compressed: first & 0x40 != 0, head: 2 + extra, payload }))
}

/// Takes messages out of what was read, and inflates those that are compressed (RFC 7692 without context takeover).
#[derive(Debug)]
pub struct Inflater {
    state: Decompress,
    out: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { state: Decompress::new(false), out: Vec::new() }
    }
}

impl Inflater {
    fn inflate(&mut self, payload: &[u8]) -> Result<&[u8], FrameError> {
        self.state.reset(false);
        self.out.clear();
        let tail = [0, 0, 0xff, 0xff];
        for part in [payload, &tail] {
            let mut part = part;
            loop {
                self.out.reserve(part.len() * 4 + 1024);
                let before = self.state.total_in();
                self.state
                    .decompress_vec(part, &mut self.out, FlushDecompress::Sync)
                    .map_err(|_| FrameError::Deflate)?;
                let used =
                    usize::try_from(self.state.total_in() - before).map_err(|_| FrameError::Deflate)?;
                part = part.get(used..).unwrap_or_default();
                let full = self.out.len() == self.out.capacity();
                if self.out.len() as u64 > MAX_MESSAGE || (used == 0 && !full && !part.is_empty()) {
                    return Err(FrameError::Deflate);
                }
                if part.is_empty() && !full {
                    break;
                }
            }
        }
        Ok(&self.out)
    }
}

/// Hands every whole message in `bytes` to `take`, and returns how many bytes they took: the rest is a part of the
/// next one.
///
/// # Errors
///
/// [`FrameError`], after the messages in front of what is wrong.
pub fn decode(
    bytes: &[u8],
    inflater: &mut Inflater,
    mut take: impl FnMut(Opcode, &[u8]),
) -> Result<usize, FrameError> {
    let mut used = 0;
    loop {
        let rest = bytes.get(used..).unwrap_or_default();
        let Some(head) = head(rest)? else { return Ok(used) };
        let Some(payload) = rest.get(head.head..head.head + head.payload) else { return Ok(used) };
        if head.compressed {
            take(head.opcode, inflater.inflate(payload)?);
        } else {
            take(head.opcode, payload);
        }
        used += head.head + head.payload;
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    fn server_frame(compressed: bool, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x81 | if compressed { 0x40 } else { 0 }];
        match payload.len() {
            length @ 0..126 => out.push(length as u8),
            length => {
                out.push(126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
        out
    }

    fn deflated(payload: &[u8]) -> Vec<u8> {
        let mut state = Compress::new(Compression::default(), false);
        let mut out = Vec::with_capacity(payload.len() * 2 + 64);
        state.compress_vec(payload, &mut out, FlushCompress::Sync).expect("room");
        out.truncate(out.len() - 4);
        out
    }

    proptest! {
        #[test]
        fn messages_come_out_however_they_are_cut(
            messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..400)), 0..12),
            cuts in prop::collection::vec(1_usize..64, 1..40),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|(compressed, payload)| {
                if *compressed { server_frame(true, &deflated(payload)) } else { server_frame(false, payload) }
            }).collect();
            let (mut seen, mut kept, mut at) = (Vec::new(), Vec::new(), 0);
            let mut inflater = Inflater::default();
            let mut cuts = cuts.iter().cycle();
            while at < bytes.len() {
                let end = bytes.len().min(at + cuts.next().expect("endless"));
                kept.extend_from_slice(&bytes[at..end]);
                at = end;
                let used = decode(&kept, &mut inflater, |_, payload| seen.push(payload.to_vec())).expect("valid");
                kept.drain(..used);
            }
            prop_assert!(kept.is_empty());
            prop_assert_eq!(seen, messages.into_iter().map(|(_, payload)| payload).collect::<Vec<_>>());
        }

        #[test]
        fn damaged_bytes_end_in_an_error_or_wait(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, &mut Inflater::default(), |_, _| ());
        }
    }

    #[test]
    fn what_servers_may_not_send_is_told() {
        let mut inflater = Inflater::default();
        for (bytes, error) in [
            (&[0x81, 0x80][..], FrameError::Invalid),
            (&[0xa1, 0][..], FrameError::Invalid),
            (&[0x83, 0][..], FrameError::Invalid),
            (&[0x01, 0][..], FrameError::Fragmented),
            (&[0x80, 0][..], FrameError::Fragmented),
            (&[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0][..], FrameError::TooLong(1 << 56)),
            (&[0xc1, 2, 0xff, 0xff][..], FrameError::Deflate),
        ] {
            assert_eq!(decode(bytes, &mut inflater, |_, _| ()), Err(error));
        }
    }

    #[test]
    fn frames_are_masked() {
        let mut out = Vec::new();
        encode(Opcode::Text, b"abcde", &mut out);
        assert_eq!(out[..2], [0x81, 0x85]);
        let unmasked: Vec<u8> =
            out[6..].iter().enumerate().map(|(at, byte)| byte ^ out[2 + at % 4]).collect();
        assert_eq!(unmasked, b"abcde");
        let mut long = Vec::new();
        encode(Opcode::Binary, &[0; 70_000], &mut long);
        assert_eq!(long[..2], [0x82, 0xff]);
        assert_eq!(long.len(), 70_000 + 14);
    }
}
