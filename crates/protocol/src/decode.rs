//! Frames to commands.

use bytes::Bytes;
use tourbillon_types::Encoding;

use crate::command::EmulationRequest;
use crate::frame::Frame;
use crate::{Command, json, protobuf};

/// Bounds on what a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest command, in bytes, without its delimiter or length prefix. Default 65,536.
    pub max_command_bytes: usize,
    /// How deep a tags filter may nest; one comparison is 1 deep. Default 32. Beyond about 60 the parsers' own bounds
    /// on nesting apply first.
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
    /// Bytes that are no message in JSON.
    #[error("not a message in JSON: {reason} at byte {at}")]
    Json {
        /// What is wrong, without anything of what was read.
        reason: &'static str,
        /// How far into the message it was noticed.
        at: usize,
    },
    /// Bytes that are no message in Protobuf.
    #[error("not a message in Protobuf: {0}")]
    Protobuf(String),
    /// A length prefix that is cut off, longer than a length can be, or points beyond the frame.
    #[error("bad length prefix")]
    Length,
    /// A tags filter that nests too deeply.
    #[error("tags filter nests too deeply")]
    FilterDepth,
    /// A reply to a command that has neither a result nor an error, or a push of nothing. For clients.
    #[error("a reply or push without content")]
    Hollow,
}

/// The commands of one frame, decoded one at a time.
///
/// The payloads of the commands share the frame's memory. A frame may carry any number of commands; in JSON they are
/// lines, and the last one may end with a line break or not. Line breaks of the other kind (`\r\n`) pass as the
/// whitespace that they are in JSON. Blank lines are no commands, and an error (PROTO-10).
#[derive(Clone, Debug, Default)]
pub struct Commands(Frame);

impl Commands {
    /// The commands of a frame.
    #[must_use]
    pub const fn new(encoding: Encoding, frame: Bytes) -> Self {
        Self(Frame::new(encoding, frame))
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_done()
    }

    /// The next command, or why the rest of the frame is none. After an error there is nothing more.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`] but `Hollow`.
    pub fn next_command(&mut self, limits: &Limits) -> Option<Result<Command, DecodeError>> {
        let bytes = self.0.next_message(limits.max_command_bytes)?;
        let command = bytes.and_then(|bytes| match self.0.encoding() {
            Encoding::Json => json::decode_command(&bytes, limits),
            Encoding::Protobuf => protobuf::decode_command(bytes, limits),
        });
        if command.is_err() {
            self.0.finish();
        }
        Some(command)
    }
}

/// A request to the emulation endpoint (PROTO-04, HID-07), whose whole body is one message without framing.
///
/// In JSON `data` is a string that holds the commands, in Protobuf it is their bytes. What it holds is not looked at.
/// The length of the body is for the transport to limit.
///
/// # Errors
///
/// [`DecodeError::Json`] and [`DecodeError::Protobuf`].
pub fn decode_emulation(encoding: Encoding, body: &Bytes) -> Result<EmulationRequest, DecodeError> {
    match encoding {
        Encoding::Json => json::decode_emulation(body),
        Encoding::Protobuf => protobuf::decode_emulation(body),
    }
}
