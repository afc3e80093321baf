//! Keyed channels: one value for each key, changed one by one.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tourbillon_types::{
    Channel, ClientInfo, HistoryQuery, KeyMode, MapPage, MapPolicy, MapQuery, Page, Payload, StreamPosition,
    Tags,
};

use crate::{BoxFuture, BrokerError, EventSink, Stop};

/// How a key is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapPublishOptions {
    /// The publishing client, when it is one.
    pub info: Option<Arc<ClientInfo>>,
    /// Labels for filters and for the receiver. A removal that names none carries them, too (MAP-31).
    pub tags: Option<Arc<Tags>>,
    /// A second change with the same key within `idempotency_ttl` has no effect. Empty for none.
    pub idempotency_key: String,
    /// How long `idempotency_key` is remembered; `None` for
    /// [`IDEMPOTENCY_TTL`](crate::PublishOptions::IDEMPOTENCY_TTL).
    pub idempotency_ttl: Option<Duration>,
    /// A version not above that of the key is suppressed; 0 for none. Needs a stream. A change without a version leaves
    /// the key's as it is.
    pub version: u64,
    /// Versions of different epochs are not compared; a version without an epoch is compared with any.
    pub version_epoch: String,
    /// Whether subscribers that negotiated deltas may get one against the key's value before (MAP-29).
    pub delta: bool,
    /// On which condition the key is set.
    pub mode: KeyMode,
    /// Whether a key that is there, and is not set because of `mode`, lives on as if it had been (MAP-33).
    pub refresh_ttl: bool,
    /// The key is set only if it was last set at this place.
    pub expected: Option<StreamPosition>,
}

/// One call of [`MapStore::publish`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapPublish {
    /// The channel.
    pub channel: Channel,
    /// The key; not empty.
    pub key: Arc<str>,
    /// Its new value.
    pub data: Payload,
    /// What the channel keeps.
    pub policy: MapPolicy,
    /// Everything else.
    pub options: MapPublishOptions,
}

impl MapPublish {
    /// A plain value for a key.
    #[must_use]
    pub fn new(channel: Channel, key: impl Into<Arc<str>>, data: Payload, policy: MapPolicy) -> Self {
        Self { channel, key: key.into(), data, policy, options: MapPublishOptions::default() }
    }
}

/// One call of [`MapStore::remove`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapRemove {
    /// The channel.
    pub channel: Channel,
    /// The key; not empty.
    pub key: Arc<str>,
    /// What the channel keeps.
    pub policy: MapPolicy,
    /// The tags of the removal; `None` for those of the entry.
    pub tags: Option<Arc<Tags>>,
    /// As in [`MapPublishOptions::idempotency_key`].
    pub idempotency_key: String,
    /// As in [`MapPublishOptions::idempotency_ttl`].
    pub idempotency_ttl: Option<Duration>,
    /// As in [`MapPublishOptions::expected`].
    pub expected: Option<StreamPosition>,
}

impl MapRemove {
    /// A plain removal.
    #[must_use]
    pub fn new(channel: Channel, key: impl Into<Arc<str>>, policy: MapPolicy) -> Self {
        Self {
            channel,
            key: key.into(),
            policy,
            tags: None,
            idempotency_key: String::new(),
            idempotency_ttl: None,
            expected: None,
        }
    }
}

/// What became of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapChanged {
    /// The change's place in the stream, or where the stream stands if there was none (MAP-36).
    pub position: StreamPosition,
    /// Why nothing changed, if so.
    pub suppressed: Option<MapSuppressed>,
}

/// Why a change had no effect (MAP-36). They are looked at in this order (MAPB-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapSuppressed {
    /// The idempotency key was used before.
    Idempotency,
    /// The version is not above the key's.
    Version,
    /// The key is there already ([`KeyMode::IfNew`]).
    KeyExists,
    /// The key is not there ([`KeyMode::IfExists`], and every removal).
    KeyNotFound,
    /// The key was last set elsewhere.
    PositionMismatch,
}

impl MapSuppressed {
    /// Its name in the server API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idempotency => "idempotency",
            Self::Version => "version",
            Self::KeyExists => "key_exists",
            Self::KeyNotFound => "key_not_found",
            Self::PositionMismatch => "position_mismatch",
        }
    }
}

/// How large a keyed channel is (API-38).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapStats {
    /// Keys in its state.
    pub keys: usize,
}

/// Keeps keyed channels and tells their subscribers of changes (`map_broker`, ENG-04).
///
/// It is independent of the node's [`Broker`](crate::Broker) and has subscriptions of its own. Its events go to
/// [`BrokerEvents::publication`](crate::BrokerEvents::publication), and to
/// [`delta_publication`](crate::BrokerEvents::delta_publication) with the value that the same key had before; a key that
/// ends by itself is told as a removal. Of one channel they come in the order of their offsets; where there is no
/// stream, their offsets are 0 and those of one key come in the order in which it changed.
///
/// A channel has one epoch from its first use, be it a read, until its meta data end (MAPB-10): an entry of an earlier
/// epoch is never seen.
///
/// Dropping the future of any method leaves the store usable; whether the call took effect is then unknown.
pub trait MapStore: Debug + Send + Sync + 'static {
    /// Whether it never loses an event between the stream and its node, so that positions need no periodic check.
    /// Constant over its life.
    fn is_reliable(&self) -> bool {
        false
    }

    /// Sets a key. State, stream and event are one step per channel.
    ///
    /// # Errors
    ///
    /// After a [transient](BrokerError::is_transient) error the change may have taken effect.
    /// [Invalid](BrokerError::is_invalid) is an empty key, a version or an expected place where there is no stream.
    fn publish(&self, publish: MapPublish) -> impl Future<Output = Result<MapChanged, BrokerError>> + Send;

    /// Removes a key. State, stream and event are one step per channel.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    fn remove(&self, remove: MapRemove) -> impl Future<Output = Result<MapChanged, BrokerError>> + Send;

    /// A page of the state. Entries that are there from the first page to the last are in exactly one of the pages; what
    /// is set or removed meanwhile may be in one or not.
    ///
    /// # Errors
    ///
    /// [Invalid](BrokerError::is_invalid) is a cursor that is none of ours.
    fn state(
        &self,
        channel: &Channel,
        query: &MapQuery,
        policy: &MapPolicy,
    ) -> impl Future<Output = Result<MapPage, BrokerError>> + Send;

    /// A part of the stream, as [`History::history`](crate::History::history) answers: a place of another epoch gets no
    /// publications and the stream's position. Without a stream the page is empty.
    ///
    /// # Errors
    ///
    /// [Unsupported](BrokerError::is_unsupported) where it cannot be read in reverse.
    fn stream(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        policy: &MapPolicy,
    ) -> impl Future<Output = Result<Page, BrokerError>> + Send;

    /// How large a channel is.
    ///
    /// # Errors
    ///
    /// None but the store's own.
    fn stats(&self, channel: &Channel) -> impl Future<Output = Result<MapStats, BrokerError>> + Send;

    /// Forgets all of a channel, its epoch too (API-39). Subscribers are told that positions are lost.
    ///
    /// # Errors
    ///
    /// It may be gone or not.
    fn clear(&self, channel: &Channel) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// As [`Broker::subscribe`](crate::Broker::subscribe).
    ///
    /// # Errors
    ///
    /// Either all of the channels are subscribed or the call failed and none need be.
    fn subscribe(&self, channels: &[Channel]) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// As [`Broker::unsubscribe`](crate::Broker::unsubscribe).
    ///
    /// # Errors
    ///
    /// The channels may still be subscribed.
    fn unsubscribe(&self, channels: &[Channel]) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Tells the store where its events go. Called once, before any other method but `is_reliable`.
    fn attach(&self, events: EventSink);

    /// As [`Broker::ready`](crate::Broker::ready), for what is not the broker's own.
    ///
    /// # Errors
    ///
    /// Why not, in words that may be shown to anybody.
    fn ready(&self) -> impl Future<Output = Result<(), BrokerError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Does the background work, such as ending keys, until `stop` resolves. Called once.
    ///
    /// # Errors
    ///
    /// Only what cannot be mended by reconnecting; the node then stops being ready.
    fn run(&self, stop: Stop) -> impl Future<Output = Result<(), BrokerError>> + Send;
}

/// The object-safe mirror of [`MapStore`].
pub trait DynMapStore: Debug + Send + Sync + 'static {
    /// See [`MapStore::is_reliable`].
    fn is_reliable(&self) -> bool;
    /// See [`MapStore::publish`].
    fn publish(&self, publish: MapPublish) -> BoxFuture<'_, Result<MapChanged, BrokerError>>;
    /// See [`MapStore::remove`].
    fn remove(&self, remove: MapRemove) -> BoxFuture<'_, Result<MapChanged, BrokerError>>;
    /// See [`MapStore::state`].
    fn state<'a>(
        &'a self,
        channel: &'a Channel,
        query: &'a MapQuery,
        policy: &'a MapPolicy,
    ) -> BoxFuture<'a, Result<MapPage, BrokerError>>;
    /// See [`MapStore::stream`].
    fn stream<'a>(
        &'a self,
        channel: &'a Channel,
        query: &'a HistoryQuery,
        policy: &'a MapPolicy,
    ) -> BoxFuture<'a, Result<Page, BrokerError>>;
    /// See [`MapStore::stats`].
    fn stats<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<MapStats, BrokerError>>;
    /// See [`MapStore::clear`].
    fn clear<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`MapStore::subscribe`].
    fn subscribe<'a>(&'a self, channels: &'a [Channel]) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`MapStore::unsubscribe`].
    fn unsubscribe<'a>(&'a self, channels: &'a [Channel]) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`MapStore::attach`].
    fn attach(&self, events: EventSink);
    /// See [`MapStore::ready`].
    fn ready(&self) -> BoxFuture<'_, Result<(), BrokerError>>;
    /// See [`MapStore::run`].
    fn run(&self, stop: Stop) -> BoxFuture<'_, Result<(), BrokerError>>;
}

impl<M: MapStore> DynMapStore for M {
    fn is_reliable(&self) -> bool {
        MapStore::is_reliable(self)
    }

    fn publish(&self, publish: MapPublish) -> BoxFuture<'_, Result<MapChanged, BrokerError>> {
        Box::pin(MapStore::publish(self, publish))
    }

    fn remove(&self, remove: MapRemove) -> BoxFuture<'_, Result<MapChanged, BrokerError>> {
        Box::pin(MapStore::remove(self, remove))
    }

    fn state<'a>(
        &'a self,
        channel: &'a Channel,
        query: &'a MapQuery,
        policy: &'a MapPolicy,
    ) -> BoxFuture<'a, Result<MapPage, BrokerError>> {
        Box::pin(MapStore::state(self, channel, query, policy))
    }

    fn stream<'a>(
        &'a self,
        channel: &'a Channel,
        query: &'a HistoryQuery,
        policy: &'a MapPolicy,
    ) -> BoxFuture<'a, Result<Page, BrokerError>> {
        Box::pin(MapStore::stream(self, channel, query, policy))
    }

    fn stats<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<MapStats, BrokerError>> {
        Box::pin(MapStore::stats(self, channel))
    }

    fn clear<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(MapStore::clear(self, channel))
    }

    fn subscribe<'a>(&'a self, channels: &'a [Channel]) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(MapStore::subscribe(self, channels))
    }

    fn unsubscribe<'a>(&'a self, channels: &'a [Channel]) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(MapStore::unsubscribe(self, channels))
    }

    fn attach(&self, events: EventSink) {
        MapStore::attach(self, events);
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(MapStore::ready(self))
    }

    fn run(&self, stop: Stop) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(MapStore::run(self, stop))
    }
}

/// Keyed channels behind a shared pointer.
pub type SharedMapStore = Arc<dyn DynMapStore>;
