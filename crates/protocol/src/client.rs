//! The other half of the codec, for clients: commands to bytes, bytes to replies and pushes.
//!
//! Tests, load generators and clients in Rust need it; a server does not.
//!
//! ```
//! use bytes::Bytes;
//! use tourbillon_protocol::client::{Replies, ServerMessage, encode_command};
//! use tourbillon_protocol::command::{Command, Publish, Request};
//! use tourbillon_protocol::{Envelope, ReplyResult};
//! use tourbillon_types::Encoding;
//!
//! let publish = Publish { channel: "news".to_owned(), data: "{}".into(), ..Publish::default() };
//! let command = Command { id: 7, request: Request::Publish(publish) };
//! let bytes = encode_command(Encoding::Json, &command)?;
//! assert_eq!(bytes, br#"{"id":7,"publish":{"channel":"news","data":{}}}"#);
//!
//! let frame = Bytes::from_static(b"{\"id\":7,\"publish\":{}}\n{}");
//! let mut replies = Replies::new(Encoding::Json, Envelope::Reply, frame);
//! let Some(Ok(ServerMessage::Reply(reply))) = replies.next() else { panic!("a reply") };
//! assert_eq!((reply.id, reply.result), (7, Ok(ReplyResult::Publish)));
//! assert_eq!(replies.next(), Some(Ok(ServerMessage::Ping)));
//! assert_eq!(replies.next(), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use bytes::Bytes;
use tourbillon_types::Encoding;

use crate::command::EmulationRequest;
use crate::frame::Frame;
use crate::{Command, DecodeError, EncodeError, Envelope, Push, Reply, json, protobuf};

/// One message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// The answer to a command.
    Reply(Reply),
    /// A message that no command asked for.
    Push(Push),
    /// The server's ping (PUSH-09). A bidirectional client that was told so answers with a
    /// [`Pong`](crate::Request::Pong).
    Ping,
}

/// The messages of one frame, decoded one at a time. After an error there is nothing more.
///
/// Payloads share the frame's memory. A message that has several contents is what the first of the schema's order
/// makes it; unknown fields are skipped. Where a message names the publishing client by something other than one of
/// our identifiers, the client is left out.
#[derive(Clone, Debug)]
pub struct Replies {
    frame: Frame,
    envelope: Envelope,
}

impl Replies {
    /// The messages of a frame, whose length is not limited: a client trusts its server so far.
    /// [`Splitter`](crate::Splitter) limits what it cuts out of a stream.
    #[must_use]
    pub const fn new(encoding: Encoding, envelope: Envelope, frame: Bytes) -> Self {
        Self { frame: Frame::new(encoding, frame), envelope }
    }
}

impl Iterator for Replies {
    type Item = Result<ServerMessage, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.frame.next_message(usize::MAX)?;
        let message = bytes.and_then(|bytes| match self.frame.encoding() {
            Encoding::Json => json::decode_message(self.envelope, &bytes),
            Encoding::Protobuf => protobuf::decode_message(self.envelope, bytes),
        });
        if message.is_err() {
            self.frame.finish();
        }
        Some(message)
    }
}

/// A command as bytes, framed as [`encode_reply`](crate::encode_reply) does: in JSON without a line break at the end,
/// in Protobuf with its length in front. [`Request::Pong`](crate::Request::Pong) goes with id 0.
///
/// # Errors
///
/// [`EncodeError::NotJson`].
pub fn encode_command(encoding: Encoding, command: &Command) -> Result<Vec<u8>, EncodeError> {
    match encoding {
        Encoding::Json => json::command(command),
        Encoding::Protobuf => Ok(protobuf::command(command)),
    }
}

/// The body of a request to the emulation endpoint, in the encoding that the request names (HID-07).
///
/// # Errors
///
/// [`EncodeError::NotJson`] where data for JSON is not UTF-8.
pub fn encode_emulation(request: &EmulationRequest) -> Result<Vec<u8>, EncodeError> {
    match request.encoding {
        Encoding::Json => json::emulation(request),
        Encoding::Protobuf => Ok(protobuf::emulation(request)),
    }
}
