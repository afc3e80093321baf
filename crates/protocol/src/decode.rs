//! Frames to commands.

use bytes::{Buf, Bytes};
use tourbillon_types::Encoding;

use crate::{Command, json, protobuf};

/// Bounds on what a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest command, in bytes, without its delimiter or length prefix. Default 65,536.
    pub max_command_bytes: usize,
    /// How deep a tags filter may nest. Default 32.
    pub max_filter_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_command_bytes: 65_536, max_filter_depth: 32 }
    }
}

impl Limits {
    /// The default bounds with another length of commands.
    #[must_use]
    pub fn with_max_command_bytes(max_command_bytes: usize) -> Self {
        Self { max_command_bytes, ..Self::default() }
    }
}

/// Why bytes are not a command. Each means disconnect 3501 (PROTO-12, PROTO-13).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A frame without any command.
    #[error("empty frame")]
    Empty,
    /// A command longer than the limit.
    #[error("command exceeds {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Bytes that are no command in JSON.
    #[error("not a command in JSON: {0}")]
    Json(String),
    /// Bytes that are no command in Protobuf.
    #[error("not a command in Protobuf: {0}")]
    Protobuf(String),
    /// A length prefix that is cut off, longer than a length can be, or points beyond the frame.
    #[error("bad length prefix")]
    Length,
    /// A tags filter that nests too deeply.
    #[error("tags filter nests too deeply")]
    FilterDepth,
}

/// The commands of one frame, decoded one at a time.
///
/// The payloads of the commands share the frame's memory.
#[derive(Clone, Debug, Default)]
pub struct Commands {
    encoding: Encoding,
    rest: Bytes,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    Fresh,
    More,
    #[default]
    Done,
}

impl Commands {
    /// The commands of a frame.
    #[must_use]
    pub const fn new(encoding: Encoding, frame: Bytes) -> Self {
        Self { encoding, rest: frame, state: State::Fresh }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state == State::Done
    }

    /// The next command, or why the rest of the frame is none. After an error there is nothing more.
    pub fn next_command(&mut self, limits: &Limits) -> Option<Result<Command, DecodeError>> {
        if self.state == State::Done {
            return None;
        }
        let fresh = self.state == State::Fresh;
        self.state = State::More;
        if self.rest.is_empty() {
            self.finish();
            return fresh.then_some(Err(DecodeError::Empty));
        }
        let command = self.split(limits).and_then(|bytes| match self.encoding {
            Encoding::Json => json::decode_command(&bytes, limits),
            Encoding::Protobuf => protobuf::decode_command(bytes, limits),
        });
        if command.is_err() || self.rest.is_empty() {
            self.finish();
        }
        Some(command)
    }

    /// Lets go of the frame's memory.
    fn finish(&mut self) {
        self.state = State::Done;
        self.rest = Bytes::new();
    }

    /// Takes the bytes of the next command off the frame.
    fn split(&mut self, limits: &Limits) -> Result<Bytes, DecodeError> {
        let (skip, length) = match self.encoding {
            Encoding::Json => {
                let end = memchr::memchr(b'\n', &self.rest).unwrap_or(self.rest.len());
                (0, end)
            }
            Encoding::Protobuf => split_length(&self.rest)?,
        };
        if length > limits.max_command_bytes {
            return Err(DecodeError::TooLarge { limit: limits.max_command_bytes });
        }
        if length > self.rest.len() - skip {
            return Err(DecodeError::Length);
        }
        self.rest.advance(skip);
        let bytes = self.rest.split_to(length);
        if self.encoding == Encoding::Json && !self.rest.is_empty() {
            self.rest.advance(1);
        }
        Ok(bytes)
    }
}

/// The length that a varint prefix states, and how long the prefix is.
pub(crate) fn split_length(bytes: &[u8]) -> Result<(usize, usize), DecodeError> {
    let mut length: u64 = 0;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let length = u32::try_from(length).map_err(|_| DecodeError::Length)?;
            return Ok((at + 1, usize::try_from(length).map_err(|_| DecodeError::Length)?));
        }
    }
    Err(DecodeError::Length)
}
