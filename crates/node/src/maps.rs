//! Keyed channels: changing and reading them, for clients and for the server side.

use std::sync::Arc;

use tourbillon_broker::{
    HistoryQuery, MapChanged, MapPublish, MapPublishOptions, MapRemove, MapStats, Page, SharedMapStore,
};
use tourbillon_metrics::Action;
use tourbillon_types::{Channel, MapPage, MapQuery, Payload, ReplyError};

use crate::Node;
use crate::calls::refusal;
use crate::hooks::{ChannelOptions, MapRemoveOptions, MapRules};
use crate::queries::{call, error_of};
use crate::shared::Shared;

impl Shared {
    /// The engine's keyed channels and the rules of this one, if there are such.
    pub(crate) fn map_of(&self, rules: &ChannelOptions) -> Result<(&SharedMapStore, MapRules), ReplyError> {
        self.engine.maps().zip(rules.map).ok_or(ReplyError::NOT_AVAILABLE)
    }

    /// Sets a key, within the deadline for calls.
    pub(crate) async fn map_publish(
        &self,
        maps: &SharedMapStore,
        publish: MapPublish,
    ) -> Result<MapChanged, ReplyError> {
        self.metrics.act(Action::MapPublish);
        call(self, "map_publish", maps.publish(publish)).await.map_err(|error| error_of(refusal(&error)))
    }

    /// Removes a key, within the deadline for calls.
    pub(crate) async fn map_remove(
        &self,
        maps: &SharedMapStore,
        remove: MapRemove,
    ) -> Result<MapChanged, ReplyError> {
        self.metrics.act(Action::MapRemove);
        call(self, "map_remove", maps.remove(remove)).await.map_err(|error| error_of(refusal(&error)))
    }
}

/// A removal of a key with these options.
pub(crate) fn removal(
    channel: Channel,
    key: Arc<str>,
    rules: &MapRules,
    options: MapRemoveOptions,
) -> MapRemove {
    let mut remove = MapRemove::new(channel, key, rules.policy);
    remove.tags = options.tags;
    remove.idempotency_key = options.idempotency_key;
    remove.idempotency_ttl = options.idempotency_ttl;
    remove.expected = options.expected;
    remove
}

/// Changing and reading keyed channels.
///
/// Each fails with 102 for a channel of an unknown namespace, 107 for one that is not keyed, 108 where keyed channels are
/// not kept, and 100 when the store fails or does not answer within
/// [`NodeConfig::call_timeout`](crate::NodeConfig::call_timeout).
impl Node {
    fn keyed(&self, channel: &str) -> Result<(&SharedMapStore, MapRules), ReplyError> {
        let rules = self.channel_options(channel)?;
        if !rules.kind.is_map() {
            return Err(ReplyError::BAD_REQUEST);
        }
        self.shared.map_of(&rules)
    }

    /// Sets a key (API-34). `options` are taken as they are, but for deltas, which the channel's rules may add.
    ///
    /// Returns when delivery has begun, without waiting for any connection. A change that is suppressed is no error.
    ///
    /// # Errors
    ///
    /// As all of them; 107 for an empty key, too, and for what needs a stream where there is none.
    ///
    /// # Cancel safety
    ///
    /// Whether the key was set is unknown after a drop.
    pub async fn map_publish(
        &self,
        channel: Channel,
        key: impl Into<Arc<str>>,
        data: Payload,
        mut options: MapPublishOptions,
    ) -> Result<MapChanged, ReplyError> {
        let (maps, rules) = self.keyed(&channel)?;
        let key = key.into();
        if key.is_empty() {
            return Err(ReplyError::BAD_REQUEST);
        }
        options.delta |= self.channel_options(&channel)?.delta_publish;
        let publish = MapPublish { options, ..MapPublish::new(channel, key, data, rules.policy) };
        self.shared.map_publish(maps, publish).await
    }

    /// Removes a key (API-35). Returns as [`map_publish`](Self::map_publish) does.
    ///
    /// # Errors
    ///
    /// As [`map_publish`](Self::map_publish).
    ///
    /// # Cancel safety
    ///
    /// Whether the key was removed is unknown after a drop.
    pub async fn map_remove(
        &self,
        channel: Channel,
        key: impl Into<Arc<str>>,
        options: MapRemoveOptions,
    ) -> Result<MapChanged, ReplyError> {
        let (maps, rules) = self.keyed(&channel)?;
        let key = key.into();
        if key.is_empty() {
            return Err(ReplyError::BAD_REQUEST);
        }
        self.shared.map_remove(maps, removal(channel, key, &rules, options)).await
    }

    /// Reads a page of a channel's state (API-36). The limit is the caller's to choose.
    ///
    /// # Errors
    ///
    /// As all of them; 107 for a cursor that is none of the store's, too.
    ///
    /// # Cancel safety
    ///
    /// Nothing changes.
    pub async fn map_state(&self, channel: &Channel, query: &MapQuery) -> Result<MapPage, ReplyError> {
        let (maps, rules) = self.keyed(channel)?;
        self.shared.metrics.act(Action::MapReadState);
        let page = maps.state(channel, query, &rules.policy);
        call(&self.shared, "map_state", page).await.map_err(|error| error_of(refusal(&error)))
    }

    /// Reads a part of a channel's stream (API-37). The limit is the caller's to choose. A channel without a stream has
    /// an empty one.
    ///
    /// # Errors
    ///
    /// As all of them; 107 for a query that contradicts itself, too, and 112 for a place of another epoch or one after
    /// which something is missing already.
    ///
    /// # Cancel safety
    ///
    /// Nothing changes.
    pub async fn map_stream(&self, channel: &Channel, query: &HistoryQuery) -> Result<Page, ReplyError> {
        let (maps, rules) = self.keyed(channel)?;
        query.check()?;
        self.shared.metrics.act(Action::MapReadStream);
        let page = call(&self.shared, "map_stream", maps.stream(channel, query, &rules.policy)).await;
        let page = page.map_err(|error| error_of(refusal(&error)))?;
        query.check_epoch(&page.position)?;
        let since = query.since.as_ref().filter(|_| !query.reverse && query.limit != Some(0));
        if since.is_some_and(|since| is_trimmed(since.offset, &page)) {
            return Err(ReplyError::UNRECOVERABLE_POSITION);
        }
        Ok(page)
    }

    /// How many keys a channel has (API-38).
    ///
    /// # Errors
    ///
    /// As all of them.
    ///
    /// # Cancel safety
    ///
    /// Nothing changes.
    pub async fn map_stats(&self, channel: &Channel) -> Result<MapStats, ReplyError> {
        let (maps, _) = self.keyed(channel)?;
        self.shared.metrics.act(Action::MapStats);
        let stats = call(&self.shared, "map_stats", maps.stats(channel)).await;
        stats.map_err(|error| error_of(refusal(&error)))
    }

    /// Forgets all of a channel, its epoch too (API-39). Its subscribers load it again.
    ///
    /// # Errors
    ///
    /// As all of them.
    ///
    /// # Cancel safety
    ///
    /// It may be gone or not.
    pub async fn map_clear(&self, channel: &Channel) -> Result<(), ReplyError> {
        let (maps, _) = self.keyed(channel)?;
        self.shared.metrics.act(Action::MapClear);
        let cleared = call(&self.shared, "map_clear", maps.clear(channel)).await;
        cleared.map_err(|error| error_of(refusal(&error)))
    }
}

/// Whether something after a place is missing in what was read from there.
pub(crate) fn is_trimmed(since: u64, page: &Page) -> bool {
    match page.publications.first() {
        Some(first) => first.offset > since.saturating_add(1),
        None => page.position.offset > since,
    }
}
