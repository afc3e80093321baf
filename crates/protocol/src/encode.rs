//! Replies and pushes to frames.

use tourbillon_types::{Direction, Encoding, Epoch, Publication};

use crate::{Push, Reply, json, protobuf};

/// The epoch that a live publication carries: its own with the first offset, so that a subscriber from before the
/// stream began learns it, and none otherwise (HID-10).
pub(crate) fn live_epoch(publication: &Publication) -> &Epoch {
    if publication.offset == 1 { &publication.epoch } else { &Epoch::UNKNOWN }
}

/// How a push is wrapped (PROTO-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Envelope {
    /// In a reply, on bidirectional connections.
    Reply,
    /// Not at all, on unidirectional ones.
    Push,
}

impl From<Direction> for Envelope {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Bidirectional => Self::Reply,
            Direction::Unidirectional => Self::Push,
        }
    }
}

/// Why a message cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A payload is not JSON, and the encoding is (PROTO-17).
    #[error("the payload is not one JSON value")]
    NotJson,
}

/// A reply as bytes: in JSON without a line break at the end, in Protobuf with its length in front.
///
/// # Errors
///
/// [`EncodeError::NotJson`].
pub fn encode_reply(encoding: Encoding, reply: &Reply) -> Result<Vec<u8>, EncodeError> {
    match encoding {
        Encoding::Json => json::reply(reply),
        Encoding::Protobuf => Ok(protobuf::reply(reply)),
    }
}

/// A push as bytes; framed as [`encode_reply`] does.
///
/// # Errors
///
/// [`EncodeError::NotJson`].
pub fn encode_push(encoding: Encoding, envelope: Envelope, push: &Push) -> Result<Vec<u8>, EncodeError> {
    match encoding {
        Encoding::Json => json::push(envelope, push),
        Encoding::Protobuf => Ok(protobuf::push(envelope, push)),
    }
}

/// The push of a publication as bytes, without building a [`Push`] first: the path of every message. `id`, when not
/// 0, is sent instead of the channel's name (COMP-01).
///
/// # Errors
///
/// [`EncodeError::NotJson`].
pub fn encode_publication(
    encoding: Encoding,
    envelope: Envelope,
    channel: &str,
    id: i64,
    publication: &Publication,
) -> Result<Vec<u8>, EncodeError> {
    match encoding {
        Encoding::Json => json::publication_push(envelope, channel, id, publication),
        Encoding::Protobuf => Ok(protobuf::publication_push(envelope, channel, id, publication)),
    }
}

/// The server's ping (PUSH-09, HID-02): an empty message, whatever the envelope.
#[must_use]
pub fn encode_ping(encoding: Encoding, _envelope: Envelope) -> Vec<u8> {
    match encoding {
        Encoding::Json => b"{}".to_vec(),
        Encoding::Protobuf => vec![0],
    }
}
