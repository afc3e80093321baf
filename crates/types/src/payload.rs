//! Application data that passes through unread.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

/// Bytes of the application: a JSON value or anything else. Cloning shares them.
///
/// A payload remembers when it is known to be one well-formed JSON value, so that it is checked once on its way
/// in and never again for each subscriber. Payloads are never logged: `Debug` shows the length only.
#[derive(Clone, Default)]
pub struct Payload {
    bytes: Bytes,
    known_json: bool,
}

impl Payload {
    /// The payload without bytes, which the protocol omits.
    #[must_use]
    pub const fn empty() -> Self {
        Self { bytes: Bytes::new(), known_json: false }
    }

    /// Bytes of unknown form.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self { bytes, known_json: false }
    }

    /// Bytes that a JSON parser has found to be exactly one JSON value in UTF-8.
    ///
    /// If they are not, clients that speak JSON receive frames that they cannot read.
    #[must_use]
    pub const fn from_json(bytes: Bytes) -> Self {
        Self { bytes, known_json: true }
    }

    /// Bytes that others hold, too: they are shared, not copied. `known_json` as of [`from_json`](Self::from_json).
    #[must_use]
    pub fn shared(bytes: Arc<[u8]>, known_json: bool) -> Self {
        Self { bytes: if bytes.is_empty() { Bytes::new() } else { Bytes::from_owner(bytes) }, known_json }
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes, given away.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether the bytes are known to be one JSON value. `false` means unknown.
    #[must_use]
    pub const fn is_known_json(&self) -> bool {
        self.known_json
    }

    /// Whether there are no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The number of bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// A copy in memory of its own. What is stored for long must not pin the large read buffer that a payload
    /// off the wire shares.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), known_json: self.known_json }
    }
}

impl PartialEq for Payload {
    /// Compares the bytes; what is known about their form does not count.
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Payload {}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Bytes::from(bytes))
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        Self::new(Bytes::from_static(text.as_bytes()))
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.bytes.len())
    }
}

/// A payload that is kept for as long as a connection lasts. An empty one, as most connections have, takes one word.
/// Read like the payload itself.
#[derive(Clone, Debug, Default)]
pub struct KeptPayload(Option<Arc<Payload>>);

impl KeptPayload {
    /// The payload, sharing its bytes.
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        self.0.as_deref().map_or_else(Payload::empty, Payload::clone)
    }
}

impl From<Payload> for KeptPayload {
    fn from(payload: Payload) -> Self {
        Self((!payload.is_empty()).then(|| Arc::new(payload)))
    }
}

impl Deref for KeptPayload {
    type Target = Payload;

    fn deref(&self) -> &Payload {
        static NONE: LazyLock<Payload> = LazyLock::new(Payload::empty);
        self.0.as_deref().unwrap_or_else(|| &NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_payload_stays_known() {
        let json = Payload::from_json(Bytes::from_static(b"{}"));
        for known in [json.clone(), json.detached(), json] {
            assert!(known.is_known_json());
        }
        for unknown in [Payload::from("{}"), Payload::from(b"{}".to_vec()), Bytes::from_static(b"{}").into()]
        {
            assert!(!unknown.is_known_json() && !unknown.detached().is_known_json());
        }
    }

    #[test]
    fn payloads_are_equal_when_their_bytes_are() {
        assert_eq!(Payload::from_json(Bytes::from_static(b"1")), Payload::from("1"));
        assert_ne!(Payload::from("1"), Payload::from("1 "));
        assert_eq!(Payload::empty(), Payload::default());
    }

    #[test]
    fn a_clone_shares_its_bytes_and_a_detached_copy_does_not() {
        let frame = Bytes::from(vec![b'1'; 64]);
        let payload = Payload::new(frame.slice(10..20));
        assert_eq!(payload.clone().bytes().as_ptr(), payload.bytes().as_ptr());
        let detached = payload.detached();
        assert_eq!(detached, payload);
        assert_ne!(detached.bytes().as_ptr(), payload.bytes().as_ptr());
        // The frame is free again, though the copy lives on.
        drop(payload);
        assert!(frame.is_unique());
    }

    #[test]
    fn shared_bytes_are_not_copied() {
        let bytes: Arc<[u8]> = Arc::from(&b"[1]"[..]);
        let (known, unknown) = (Payload::shared(bytes.clone(), true), Payload::shared(bytes.clone(), false));
        assert_eq!(known.bytes().as_ptr(), bytes.as_ptr());
        assert!(known.is_known_json() && !unknown.is_known_json());
        assert_eq!(known, Payload::from("[1]"));
        assert!(Payload::shared(Arc::from(&b""[..]), false).is_empty());
    }

    #[test]
    fn debug_output_does_not_show_the_data() {
        let secret = Payload::from("secret");
        assert_eq!(format!("{secret:?}"), "Payload(6 bytes)");
        assert_eq!((secret.len(), secret.is_empty()), (6, false));
        assert_eq!(secret.as_ref(), b"secret");
        assert_eq!(secret.into_bytes(), Bytes::from_static(b"secret"));
    }
}
