//! Frames to commands.

use bytes::Bytes;
use tourbillon_types::{Encoding, Payload};

use crate::command::EmulationRequest;
use crate::frame::Frame;
use crate::{Command, Request, json, protobuf};

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
        self.next_with_size(limits).map(|command| command.map(|(command, _)| command))
    }

    /// The next command and its size in bytes, without what separates it from others; or why the rest of the frame is
    /// none. After an error there is nothing more.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`] but `Hollow`.
    pub fn next_with_size(&mut self, limits: &Limits) -> Option<Result<(Command, usize), DecodeError>> {
        let bytes = self.0.next_message(limits.max_command_bytes)?;
        let command = bytes.and_then(|bytes| {
            let size = bytes.len();
            let command = match self.0.encoding() {
                Encoding::Json => json::decode_command(&bytes, limits),
                Encoding::Protobuf => protobuf::decode_command(bytes, limits),
            };
            command.map(|command| (command, size))
        });
        if command.is_err() {
            self.0.finish();
        }
        Some(command)
    }
}

/// A connect request by itself, as clients send it who never say anything else (UNI-01), made into the frame of the
/// connect command that it stands for. The frame is some 30 bytes longer than the request.
///
/// In JSON it is an object, or `null` for an empty one; in Protobuf a message without a length in front. The length is
/// for the transport to limit.
///
/// # Errors
///
/// [`DecodeError::Json`] or [`DecodeError::Protobuf`] for bytes that are no connect request.
pub fn connect_frame(encoding: Encoding, request: &Bytes) -> Result<Bytes, DecodeError> {
    let frame = match encoding {
        Encoding::Json => json_connect(request)?,
        Encoding::Protobuf => protobuf_connect(request),
    };
    let limits = Limits::with_max_command_bytes(frame.len());
    match Commands::new(encoding, frame.clone()).next_command(&limits) {
        Some(Ok(Command { request: Request::Connect(_), .. })) => Ok(frame),
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Err(DecodeError::Empty),
    }
}

fn json_connect(request: &[u8]) -> Result<Bytes, DecodeError> {
    let request = match request.trim_ascii() {
        b"null" => b"{}",
        request => request,
    };
    // Whole, or what follows it would say more than the request may.
    if !request.starts_with(b"{") || !json::is_json(&Payload::from(request.to_vec())) {
        return Err(DecodeError::Json { reason: "not an object", at: 0 });
    }
    let mut frame = Vec::with_capacity(request.len() + 32);
    frame.extend_from_slice(br#"{"id":1,"connect":"#);
    // Raw line breaks stand between tokens only. In a frame they would end the command.
    frame.extend(request.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    frame.push(b'}');
    Ok(Bytes::from(frame))
}

fn protobuf_connect(request: &[u8]) -> Bytes {
    // Field 1, a number: 1. Field 4, a message.
    let mut command = vec![0x08, 0x01, 0x22];
    prost::encoding::encode_varint(request.len() as u64, &mut command);
    command.extend_from_slice(request);
    let mut frame = Vec::with_capacity(command.len() + 5);
    prost::encoding::encode_varint(command.len() as u64, &mut frame);
    frame.extend_from_slice(&command);
    Bytes::from(frame)
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
