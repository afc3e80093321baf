//! Short ways to decode a whole frame.

use bytes::Bytes;
use tourbillon_protocol::client::{Replies, ServerMessage};
use tourbillon_protocol::{Command, Commands, DecodeError, Envelope, Limits};
use tourbillon_types::Encoding;

/// Both encodings.
pub(crate) const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

/// Every command of a frame, or the first error.
pub(crate) fn commands(encoding: Encoding, frame: impl Into<Bytes>) -> Result<Vec<Command>, DecodeError> {
    let mut commands = Commands::new(encoding, frame.into());
    std::iter::from_fn(|| commands.next_command(&Limits::default())).collect()
}

/// The command of a frame of one.
pub(crate) fn command(encoding: Encoding, frame: impl Into<Bytes>) -> Result<Command, DecodeError> {
    let mut all = commands(encoding, frame)?;
    assert_eq!(all.len(), 1);
    Ok(all.remove(0))
}

/// Every message of a server's frame, or the first error.
pub(crate) fn replies(
    encoding: Encoding,
    envelope: Envelope,
    frame: impl Into<Bytes>,
) -> Result<Vec<ServerMessage>, DecodeError> {
    Replies::new(encoding, envelope, frame.into()).collect()
}

/// One frame of several encoded messages, as a transport joins them.
pub(crate) fn join(encoding: Encoding, messages: &[Vec<u8>]) -> Vec<u8> {
    match encoding {
        Encoding::Json => messages.join(&b'\n'),
        Encoding::Protobuf => messages.concat(),
    }
}
