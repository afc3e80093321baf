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
        Encoding::Json => json::reply(Vec::new(), reply),
        Encoding::Protobuf => Ok(protobuf::reply(Vec::new(), reply)),
    }
}

/// A push as bytes; framed as [`encode_reply`] does.
///
/// # Errors
///
/// [`EncodeError::NotJson`].
pub fn encode_push(encoding: Encoding, envelope: Envelope, push: &Push) -> Result<Vec<u8>, EncodeError> {
    match encoding {
        Encoding::Json => json::push(Vec::new(), envelope, push),
        Encoding::Protobuf => Ok(protobuf::push(Vec::new(), envelope, push)),
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
        Encoding::Json => json::publication_push(Vec::new(), envelope, channel, id, publication),
        Encoding::Protobuf => Ok(protobuf::publication_push(Vec::new(), envelope, channel, id, publication)),
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

/// Encodes one message after the other in the same memory, for whoever copies them out anyway.
///
/// What it gives is what [`encode_reply`], [`encode_push`] and [`encode_publication`] give.
///
/// ```
/// use tourbillon_protocol::{Encoder, Reply, ReplyResult};
/// use tourbillon_types::Encoding;
///
/// let mut encoder = Encoder::default();
/// let reply = Reply { id: 1, result: Ok(ReplyResult::Publish) };
/// assert_eq!(encoder.reply(Encoding::Json, &reply)?, br#"{"id":1,"publish":{}}"#);
/// # Ok::<(), tourbillon_protocol::EncodeError>(())
/// ```
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: Vec<u8>,
}

/// The most memory that an [`Encoder`] keeps, in bytes.
const KEPT: usize = 64 * 1024;

impl Encoder {
    /// An encoder that owns no memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    /// See [`encode_reply`].
    ///
    /// # Errors
    ///
    /// [`EncodeError::NotJson`].
    pub fn reply(&mut self, encoding: Encoding, reply: &Reply) -> Result<&[u8], EncodeError> {
        let buffer = self.take();
        self.give(match encoding {
            Encoding::Json => json::reply(buffer, reply)?,
            Encoding::Protobuf => protobuf::reply(buffer, reply),
        })
    }

    /// See [`encode_push`].
    ///
    /// # Errors
    ///
    /// [`EncodeError::NotJson`].
    pub fn push(
        &mut self,
        encoding: Encoding,
        envelope: Envelope,
        push: &Push,
    ) -> Result<&[u8], EncodeError> {
        let buffer = self.take();
        self.give(match encoding {
            Encoding::Json => json::push(buffer, envelope, push)?,
            Encoding::Protobuf => protobuf::push(buffer, envelope, push),
        })
    }

    /// See [`encode_publication`].
    ///
    /// # Errors
    ///
    /// [`EncodeError::NotJson`].
    pub fn publication(
        &mut self,
        encoding: Encoding,
        envelope: Envelope,
        channel: &str,
        id: i64,
        publication: &Publication,
    ) -> Result<&[u8], EncodeError> {
        let buffer = self.take();
        self.give(match encoding {
            Encoding::Json => json::publication_push(buffer, envelope, channel, id, publication)?,
            Encoding::Protobuf => protobuf::publication_push(buffer, envelope, channel, id, publication),
        })
    }

    /// The buffer, unless a large message has made it too large to keep.
    fn take(&mut self) -> Vec<u8> {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() > KEPT { Vec::new() } else { buffer }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the last expression of functions that can fail")]
    fn give(&mut self, buffer: Vec<u8>) -> Result<&[u8], EncodeError> {
        self.buffer = buffer;
        Ok(&self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use tourbillon_types::Payload;

    use super::*;

    #[test]
    fn an_encoder_uses_its_memory_again_but_keeps_little() {
        let mut encoder = Encoder::new();
        let mut encode = |length: usize| {
            let data = Payload::from(format!("\"{}\"", "x".repeat(length)).into_bytes());
            let publication = Publication { data, ..Publication::default() };
            for encoding in [Encoding::Json, Encoding::Protobuf] {
                let encoded = encoder.publication(encoding, Envelope::Reply, "a", 0, &publication);
                assert_eq!(
                    encoded.map(<[u8]>::to_vec),
                    encode_publication(encoding, Envelope::Reply, "a", 0, &publication)
                );
            }
            encoder.buffer.as_ptr()
        };
        encode(100);
        assert_eq!(encode(100), encode(10));
        encode(2 * KEPT);
        encode(10);
        assert!(encoder.buffer.capacity() <= KEPT);
    }

    #[test]
    fn an_encoder_goes_on_after_an_error() {
        let mut encoder = Encoder::new();
        let publication = Publication { data: Payload::from("{"), ..Publication::default() };
        let refused = encoder.publication(Encoding::Json, Envelope::Push, "a", 0, &publication);
        assert_eq!(refused, Err(EncodeError::NotJson));
        let reply = Reply { id: 1, result: Ok(crate::ReplyResult::Ping) };
        assert_eq!(encoder.reply(Encoding::Json, &reply), Ok(&br#"{"id":1,"ping":{}}"#[..]));
    }
}
