//! Keyed channels: their rules, and what clients want to change in them.

use std::sync::Arc;
use std::time::Duration;

use tourbillon_broker::MapPublishOptions;
use tourbillon_types::{Channel, MapPolicy, PageSizes, Payload, Permissions, StreamPosition, Tags};

use crate::request::Client;

/// Rules of a keyed channel (section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapRules {
    /// What the channel keeps (MAP-01 to MAP-04).
    pub policy: MapPolicy,
    /// How large its pages are (MAP-10).
    pub pages: PageSizes,
    /// The most changes that a subscriber is told of at once as it goes live; with more it loads the state again (MAP-11).
    pub live_transition_limit: usize,
    /// Within this time of its first page a subscriber has to be live (MAP-12).
    pub catch_up_timeout: Duration,
    /// Whether the key of a client's id is removed when the client's subscription ends (MAP-06).
    pub remove_client_on_unsubscribe: bool,
}

impl MapRules {
    /// How long a subscriber may take unless a channel's rules say otherwise.
    pub const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

    /// The rules of a channel that keeps this, and is like most others.
    #[must_use]
    pub fn new(policy: MapPolicy) -> Self {
        let pages = PageSizes::default();
        Self {
            policy,
            pages,
            live_transition_limit: pages.max,
            catch_up_timeout: Self::CATCH_UP_TIMEOUT,
            remove_client_on_unsubscribe: false,
        }
    }
}

/// A client wants to set a key (MAP-32).
#[derive(Clone, Debug)]
pub struct MapPublishRequest {
    /// Who publishes.
    pub client: Arc<Client>,
    /// Into which channel.
    pub channel: Channel,
    /// The key as the client has it; may be empty.
    pub key: Arc<str>,
    /// Its new value.
    pub data: Payload,
    /// Whether the client is subscribed to the channel.
    pub subscribed: bool,
    /// What its subscription lets it do.
    pub allow: Permissions,
}

impl MapPublishRequest {
    /// A client's request.
    #[must_use]
    pub const fn new(
        client: Arc<Client>,
        channel: Channel,
        key: Arc<str>,
        data: Payload,
        subscribed: bool,
    ) -> Self {
        Self { client, channel, key, data, subscribed, allow: Permissions::NONE }
    }
}

/// What becomes of a key that a client wants to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapPublishDecision {
    /// The node sets it. A key that is empty in the end is refused with 107 (CMD-07).
    Publish {
        /// The key, if it is to differ from the client's (MAP-07, PRX-33).
        key: Option<Arc<str>>,
        /// The value, if it is to differ from what the client sent.
        data: Option<Payload>,
        /// How it is set. The client's info is added by the node, and so is the channel's rule about deltas.
        options: Box<MapPublishOptions>,
    },
    /// The program has seen to it already.
    Done,
}

impl Default for MapPublishDecision {
    fn default() -> Self {
        Self::Publish { key: None, data: None, options: Box::default() }
    }
}

/// A client wants to remove a key (MAP-32).
#[derive(Clone, Debug)]
pub struct MapRemoveRequest {
    /// Who removes.
    pub client: Arc<Client>,
    /// From which channel.
    pub channel: Channel,
    /// The key as the client has it; may be empty.
    pub key: Arc<str>,
    /// Whether the client is subscribed to the channel.
    pub subscribed: bool,
    /// What its subscription lets it do.
    pub allow: Permissions,
}

impl MapRemoveRequest {
    /// A client's request.
    #[must_use]
    pub const fn new(client: Arc<Client>, channel: Channel, key: Arc<str>, subscribed: bool) -> Self {
        Self { client, channel, key, subscribed, allow: Permissions::NONE }
    }
}

/// What becomes of a key that a client wants to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapRemoveDecision {
    /// The node removes it. A key that is empty in the end is refused with 107 (CMD-07).
    Remove {
        /// The key, if it is to differ from the client's (MAP-07, PRX-34).
        key: Option<Arc<str>>,
        /// How it is removed.
        options: Box<MapRemoveOptions>,
    },
    /// The program has seen to it already.
    Done,
}

impl Default for MapRemoveDecision {
    fn default() -> Self {
        Self::Remove { key: None, options: Box::default() }
    }
}

/// How a key is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapRemoveOptions {
    /// The tags of the removal; `None` for those of the entry (MAP-31).
    pub tags: Option<Arc<Tags>>,
    /// A second change with the same key within `idempotency_ttl` has no effect. Empty for none.
    pub idempotency_key: String,
    /// How long `idempotency_key` is remembered; `None` for
    /// [`IDEMPOTENCY_TTL`](tourbillon_broker::PublishOptions::IDEMPOTENCY_TTL).
    pub idempotency_ttl: Option<Duration>,
    /// The key is removed only if it was last set at this place.
    pub expected: Option<StreamPosition>,
}
