//! Carrying out commands about channels with keys (API-34 to API-40).

use tourbillon_node::{MapPublishOptions, MapRemoveOptions, SubscriptionKind};
use tourbillon_types::StreamPosition;

use crate::command::{
    ApiCommand, ApiError, ApiReply, History, MapPublish, MapReadState, MapRemove, SharedPollPublish,
};
use crate::service::{Answer, ApiService, bad, named};

impl ApiService {
    /// Carries out a command about a channel with keys, or tells why it cannot be.
    pub(crate) async fn keyed(&self, command: ApiCommand) -> Answer {
        match command {
            ApiCommand::MapPublish(publish) => self.map_publish(*publish).await,
            ApiCommand::MapRemove(MapRemove { channel, key, idempotency_key }) => {
                named(&channel)?;
                named_key(&key)?;
                let mut options = MapRemoveOptions::default();
                options.idempotency_key = idempotency_key;
                Ok(ApiReply::MapRemove(self.node.map_remove(channel, key, options).await?))
            }
            ApiCommand::MapReadState(MapReadState { channel, query, revision }) => {
                named(&channel)?;
                let page = self.node.map_state(&channel, &query).await?;
                same_epoch(revision.as_ref(), &page.position)?;
                Ok(ApiReply::MapReadState(page))
            }
            ApiCommand::MapReadStream(History { channel, query }) => {
                named(&channel)?;
                Ok(ApiReply::MapReadStream(self.node.map_stream(&channel, &query).await?))
            }
            ApiCommand::MapStats(channel) => {
                named(&channel)?;
                Ok(ApiReply::MapStats(self.node.map_stats(&channel).await?))
            }
            ApiCommand::MapClear(channel) => {
                named(&channel)?;
                self.node.map_clear(&channel).await?;
                Ok(ApiReply::MapClear)
            }
            ApiCommand::SharedPollPublish(publish) => self.shared_poll_publish(*publish).await,
            ApiCommand::Refused(why) => Err(why),
            // The rest has been carried out before it comes here.
            _ => Err(ApiError::NOT_FOUND),
        }
    }

    async fn map_publish(&self, publish: MapPublish) -> Answer {
        let MapPublish { channel, key, content, mode } = publish;
        named(&channel)?;
        named_key(&key)?;
        let rules = self.node.channel_options(&channel)?;
        let has_version = content.version != 0 || !content.version_epoch.is_empty();
        // Nothing compares versions where none are kept.
        if has_version && rules.map.is_some_and(|map| !map.policy.is_positioned()) {
            return Err(ApiError::NOT_AVAILABLE
                .with_message("not available: version needs a channel that keeps a stream"));
        }
        let mut options = MapPublishOptions::default();
        options.tags = content.tags;
        options.idempotency_key = content.idempotency_key;
        options.delta = content.delta;
        options.version = content.version;
        options.version_epoch = content.version_epoch;
        options.mode = mode;
        Ok(ApiReply::MapPublish(self.node.map_publish(channel, key, content.data, options).await?))
    }
}

impl ApiService {
    async fn shared_poll_publish(&self, publish: SharedPollPublish) -> Answer {
        let SharedPollPublish { channel, update } = publish;
        named(&channel)?;
        named_key(&update.key)?;
        if update.version == 0 {
            return Err(bad("version is required"));
        }
        if self.node.channel_options(&channel)?.kind != SubscriptionKind::SharedPoll {
            return Err(ApiError::BAD_REQUEST);
        }
        self.node.shared_poll_publish(channel, &update).await?;
        Ok(ApiReply::SharedPollPublish)
    }
}

fn named_key(key: &str) -> Result<(), ApiError> {
    if key.is_empty() { Err(bad("key is required")) } else { Ok(()) }
}

/// Whether a page goes on from the one before: its channel must not have begun anew in between.
fn same_epoch(revision: Option<&StreamPosition>, now: &StreamPosition) -> Result<(), ApiError> {
    match revision {
        Some(revision) if revision.epoch != now.epoch => Err(ApiError::UNRECOVERABLE_POSITION),
        _ => Ok(()),
    }
}
