//! Frames (RFC 6455 section 5), without I/O.
//!
//! [`Header::parse`] takes a client's frame header apart and refuses whatever the RFC refuses; [`Header::encode`]
//! writes a server's; [`mask`] applies a masking key. [`Decoder`] makes messages of frames.

pub use crate::decoder::{Decoder, Event, Limits, Violation};

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opcode {
    /// More of a fragmented message.
    Continuation,
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
    /// The end of the connection.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether frames of this kind may stand between the fragments of a message.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of one frame of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Whether the frame ends its message.
    pub fin: bool,
    /// Whether the message is compressed (RFC 7692); set on its first frame only.
    pub compressed: bool,
    /// What kind of frame it is.
    pub opcode: Opcode,
    /// The masking key that every client's frame has.
    pub mask: [u8; 4],
    /// The number of bytes after the header.
    pub length: u64,
}

/// Why a header is refused. Each means close code 1002.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A reserved bit is set that no negotiated extension defines.
    #[error("reserved bit set")]
    ReservedBit,
    /// An opcode that does not exist.
    #[error("reserved opcode")]
    ReservedOpcode,
    /// A client's frame without a mask.
    #[error("frame is not masked")]
    Unmasked,
    /// A control frame that is fragmented or compressed.
    #[error("fragmented control frame")]
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    #[error("control frame too long")]
    LongControl,
    /// A length that is not stated in the shortest way, or is negative.
    #[error("bad length encoding")]
    Length,
}

/// The longest header that a server writes.
pub const MAX_SERVER_HEADER: usize = 10;

impl Header {
    /// Reads the header of a client's frame off the front of `bytes`. `Ok(None)`: more bytes are needed. Otherwise
    /// the header and its own length.
    ///
    /// # Errors
    ///
    /// A [`HeaderError`] as soon as the bytes that show it are there.
    pub fn parse(bytes: &[u8], deflate: bool) -> Result<Option<(Self, usize)>, HeaderError> {
        let [first, second, rest @ ..] = bytes else {
            return match bytes {
                [first] => Self::check_first(*first, deflate).map(|_| None),
                _ => Ok(None),
            };
        };
        let opcode = Self::check_first(*first, deflate)?;
        let fin = first & 0x80 != 0;
        if second & 0x80 == 0 {
            return Err(HeaderError::Unmasked);
        }
        let short = second & 0x7f;
        if opcode.is_control() && short > 125 {
            return Err(HeaderError::LongControl);
        }
        let (length, extended) = match short {
            126 => {
                let Some(bytes) = rest.first_chunk::<2>() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*bytes)), 2)
            }
            127 => {
                let Some(bytes) = rest.first_chunk::<8>() else { return Ok(None) };
                (u64::from_be_bytes(*bytes), 8)
            }
            _ => (u64::from(short), 0),
        };
        let minimal = match extended {
            2 => length > 125,
            8 => length > 0xffff && length >> 63 == 0,
            _ => true,
        };
        if !minimal {
            return Err(HeaderError::Length);
        }
        let Some(mask) = rest.get(extended..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
        let header = Self { fin, compressed: first & 0x40 != 0, opcode, mask: *mask, length };
        Ok(Some((header, 2 + extended + 4)))
    }

    fn check_first(first: u8, deflate: bool) -> Result<Opcode, HeaderError> {
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(HeaderError::ReservedOpcode)?;
        let compressible = deflate && matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & 0x30 != 0 || (first & 0x40 != 0 && !compressible) {
            return Err(HeaderError::ReservedBit);
        }
        if opcode.is_control() && first & 0x80 == 0 {
            return Err(HeaderError::FragmentedControl);
        }
        Ok(opcode)
    }

    /// Writes the header of a server's unfragmented, unmasked frame. Yields the buffer and how much of it is used.
    #[must_use]
    pub fn encode(opcode: Opcode, compressed: bool, length: usize) -> ([u8; MAX_SERVER_HEADER], usize) {
        let mut out = [0; MAX_SERVER_HEADER];
        out[0] = 0x80 | (u8::from(compressed) << 6) | opcode.bits();
        if let Ok(short) = u8::try_from(length)
            && short <= 125
        {
            out[1] = short;
            return (out, 2);
        }
        if let Ok(medium) = u16::try_from(length) {
            out[1] = 126;
            out[2..4].copy_from_slice(&medium.to_be_bytes());
            return (out, 4);
        }
        out[1] = 127;
        out[2..10].copy_from_slice(&(length as u64).to_be_bytes());
        (out, 10)
    }
}

/// Applies a masking key in place (RFC 6455 section 5.3): masks what is plain, unmasks what is masked.
pub fn mask(bytes: &mut [u8], key: [u8; 4]) {
    fastwebsockets::unmask(bytes, key);
}

/// Whether a close frame may carry this code (RFC 6455 section 7.4).
#[must_use]
pub const fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
