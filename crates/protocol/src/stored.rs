//! Publications and who is present, as brokers outside of the process keep and carry them: the messages of the client
//! protocol in Protobuf, by themselves. Nodes of other releases, and Centrifugo's, read the same bytes (RED-08).

use bytes::Bytes;
use tourbillon_types::{Channel, ClientInfo, Payload, Publication};

use crate::{DecodeError, protobuf};

/// A publication that was kept or carried.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stored {
    /// The publication. Its `delta` is as it was stored: brokers without streams use it to say that a delta may be made.
    pub publication: Publication,
    /// The data of the one before it, where the sender added it; empty if not.
    pub previous: Payload,
}

/// The publication in bytes, with all that is known of it.
#[must_use]
pub fn encode_publication(publication: &Publication) -> Vec<u8> {
    protobuf::stored_publication(publication)
}

/// Reads a publication. Its payloads are slices of `bytes`, and not known to be JSON.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_publication(bytes: Bytes) -> Result<Stored, DecodeError> {
    let (publication, previous) = protobuf::read_stored_publication(bytes)?;
    Ok(Stored { publication, previous: Payload::new(previous) })
}

/// What brokers that keep nothing carry: an event with its channel, which are pushes of the client protocol (NATS-02).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Carried {
    /// A publication.
    Publication(Stored),
    /// Somebody came.
    Join(ClientInfo),
    /// Somebody left.
    Leave(ClientInfo),
}

impl From<Publication> for Carried {
    fn from(publication: Publication) -> Self {
        Self::Publication(Stored { publication, previous: Payload::empty() })
    }
}

/// An event in bytes.
#[must_use]
pub fn encode_push(channel: &str, carried: &Carried) -> Vec<u8> {
    protobuf::carried_push(channel, carried)
}

/// Reads an event and its channel. Payloads are slices of `bytes`, and not known to be JSON.
///
/// # Errors
///
/// When the bytes are none, or say something else.
pub fn decode_push(bytes: Bytes) -> Result<(Channel, Carried), DecodeError> {
    protobuf::read_carried_push(bytes)
}

/// What is told of a connection, in bytes.
#[must_use]
pub fn encode_info(info: &ClientInfo) -> Vec<u8> {
    protobuf::stored_info(info)
}

/// Reads what is told of a connection.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_info(bytes: Bytes) -> Result<ClientInfo, DecodeError> {
    protobuf::read_stored_info(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tourbillon_types::{Channel, ClientId, Epoch, UserId};

    use super::*;

    fn info() -> ClientInfo {
        ClientInfo {
            user: UserId::from("u"),
            client: Some(ClientId::from_random([7; 16])),
            connection: Payload::from("{}"),
            channel: Payload::from("[]"),
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let publication = Publication {
            data: Payload::from("\0data"),
            info: Some(Arc::new(info())),
            offset: 7,
            epoch: Epoch::from("abcd"),
            tags: Some(Arc::new([("k".to_owned(), "v".to_owned())].into())),
            time: 1_700_000_000_000,
            channel: Some(Channel::from("c")),
            delta: true,
            key: Some(Arc::from("key")),
            removed: true,
            score: -3,
            version: 9,
        };
        let stored = decode_publication(encode_publication(&publication).into()).expect("read");
        assert_eq!(stored, Stored { publication, previous: Payload::empty() });
        assert_eq!(decode_info(encode_info(&info()).into()), Ok(info()));
        let nobody = ClientInfo { client: None, ..info() };
        assert_eq!(decode_info(encode_info(&nobody).into()), Ok(nobody));
    }

    #[test]
    fn the_bytes_are_those_of_the_client_protocol() {
        let publication = Publication { data: Payload::from("{}"), time: 1, ..Publication::default() };
        assert_eq!(encode_publication(&publication), b"\x22\x02{}\x48\x01");
        let info = ClientInfo {
            user: UserId::from("u"),
            client: None,
            connection: Payload::from("1"),
            channel: Payload::empty(),
        };
        assert_eq!(encode_info(&info), b"\x0a\x01u\x1a\x011");
        let previous = decode_publication(Bytes::from_static(b"\x22\x01b\x7a\x01a")).expect("read");
        assert_eq!((previous.publication.data, previous.previous), (Payload::from("b"), Payload::from("a")));
    }

    #[test]
    fn what_is_carried_is_a_push_of_the_client_protocol() {
        let publication =
            Publication { data: Payload::from("{}"), time: 1, delta: true, ..Publication::default() };
        for (carried, bytes) in [
            (Carried::from(publication), &b"\x12\x01c\x22\x08\x22\x02{}\x40\x01\x48\x01"[..]),
            (Carried::Join(info()), b"\x12\x01c\x2a"),
            (Carried::Leave(info()), b"\x12\x01c\x32"),
        ] {
            let encoded = encode_push("c", &carried);
            assert!(encoded.starts_with(bytes), "{encoded:?}");
            assert_eq!(decode_push(encoded.into()), Ok((Channel::from("c"), carried)));
        }
        assert_eq!(decode_push(Bytes::from_static(b"\x12\x01c")), Err(DecodeError::Hollow));
        assert!(decode_push(Bytes::from_static(b"{}")).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>) {
            let _ = decode_push(Bytes::from(bytes.clone()));
            let _ = decode_publication(Bytes::from(bytes.clone()));
            let _ = decode_info(Bytes::from(bytes));
        }
    }
}
