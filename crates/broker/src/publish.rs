//! A publication on its way in.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_types::{Channel, ClientInfo, HistoryPolicy, Payload, StreamPosition, Tags};

use crate::BrokerError;

/// What is published where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishOptions {
    /// The publishing client, when it is one.
    pub info: Option<Arc<ClientInfo>>,
    /// Labels for filters and for the receiver.
    pub tags: Option<Arc<Tags>>,
    /// How the channel's stream keeps it; `None` keeps nothing and gives it offset 0.
    pub history: Option<HistoryPolicy>,
    /// A second publication with the same key within `idempotency_ttl` has no effect but to get the first one's
    /// position (PUBS-01). Empty for none.
    pub idempotency_key: String,
    /// How long `idempotency_key` is remembered; `None` for [`IDEMPOTENCY_TTL`](Self::IDEMPOTENCY_TTL).
    pub idempotency_ttl: Option<Duration>,
    /// A version not above the stream's latest is suppressed (PUBS-02); 0 for none. Needs `history`. A publication
    /// without a version leaves the latest one as it is.
    pub version: u64,
    /// Versions of different epochs are not compared; a version without an epoch is compared with any.
    pub version_epoch: String,
    /// Whether subscribers that negotiated deltas may get one (DELTA-02).
    pub delta: bool,
}

impl PublishOptions {
    /// How long a key is remembered unless the publication says otherwise: five minutes (MEM-03).
    pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(300);
}

/// One call of [`Broker::publish`](crate::Broker::publish).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The channel.
    pub channel: Channel,
    /// The application's data.
    pub data: Payload,
    /// Everything else.
    pub options: PublishOptions,
}

impl Publish {
    /// Plain data for a channel.
    #[must_use]
    pub fn new(channel: Channel, data: Payload) -> Self {
        Self { channel, data, options: PublishOptions::default() }
    }
}

/// The outcome of a publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The publication's place in the stream; offset 0 and no epoch where none is kept. Of one that was suppressed:
    /// the place of the first one with the key (HID-77), or where the stream stands (HID-78).
    pub position: StreamPosition,
    /// Why nothing was delivered, if so.
    pub suppressed: Option<Suppressed>,
}

/// Why a publication had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suppressed {
    /// The idempotency key was used before.
    Idempotency,
    /// The version is not above the stream's latest.
    Version,
}

/// What became of a publish that may not wait.
#[derive(Debug)]
#[must_use = "a publication that is handed back has not been published"]
pub enum Attempt {
    /// It was answered.
    Done(Result<Published, BrokerError>),
    /// It takes waiting; nothing has happened to it.
    Later(Publish),
}
