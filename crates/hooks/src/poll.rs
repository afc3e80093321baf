//! Polled channels: which keys clients may track.

use std::fmt;
use std::sync::Arc;

use tourbillon_types::Channel;

use crate::request::Client;

/// A client wants to track keys of a polled channel to which it is subscribed (SP-03).
#[derive(Clone, Debug)]
pub struct TrackRequest {
    /// Who tracks.
    pub client: Arc<Client>,
    /// In which channel.
    pub channel: Channel,
    /// The keys, in batches that the application signed; there is at least one key.
    pub batches: Vec<SignedKeys>,
    /// The present, seconds since 1970 UTC: what expiry is measured by.
    pub unix_seconds: i64,
}

impl TrackRequest {
    /// A client's request.
    #[must_use]
    pub const fn new(
        client: Arc<Client>,
        channel: Channel,
        batches: Vec<SignedKeys>,
        unix_seconds: i64,
    ) -> Self {
        Self { client, channel, batches, unix_seconds }
    }
}

/// Keys that were signed together.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SignedKeys {
    /// The signature. Never logged.
    pub signature: String,
    /// The keys in the order in which they were sent, with repetitions: it is what was signed (HID-42).
    pub keys: Vec<String>,
}

impl fmt::Debug for SignedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedKeys").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// The client may track the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackDecision {
    /// When each batch's right ends, seconds since 1970 UTC, in the order of the batches; `None` for never. What is
    /// missing at the end never ends.
    pub expire_at: Vec<Option<i64>>,
}
