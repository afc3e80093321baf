//! Messages to commands.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tourbillon_node::{HistoryQuery, SharedPollUpdate, Target};
use tourbillon_types::{Channel, Disconnect, Epoch, MapQuery, Payload, StreamPosition, TagFilter, UserId};

use super::{Asks, Outcome, wire};
use crate::command::{
    ApiCommand, ApiError, ApiReply, Batch, BlockUser, Broadcast, Channels, Content, DisconnectUser, History,
    InvalidateUserTokens, MapPublish, MapReadState, MapRemove, Overrides, Publish, Refresh, RevokeToken, Rpc,
    SharedPollPublish, Subscribe, Unsubscribe,
};
use crate::decode::{self, reason, unavailable};
use crate::decode_map::{absent_yet, key_mode, place};

impl Asks for wire::BatchRequest {
    type Answer = wire::BatchResponse;

    fn command(self) -> ApiCommand {
        let commands = self.commands.into_iter().map(|command| Ok(ApiCommand::from(command)));
        ApiCommand::Batch(Batch { commands: commands.collect(), parallel: self.parallel })
    }

    fn answer(outcome: Outcome) -> Self::Answer {
        let replies = match outcome {
            Ok(ApiReply::Batch(replies)) => replies,
            other => vec![other],
        };
        wire::BatchResponse { replies: replies.into_iter().map(wire::Reply::from).collect() }
    }
}

impl From<wire::Command> for ApiCommand {
    /// Of a command that says several things, the first counts.
    fn from(command: wire::Command) -> Self {
        let or_refused = |command: Result<Self, ApiError>| command.unwrap_or_else(Self::Refused);
        match command {
            wire::Command { publish: Some(asked), .. } => or_refused(asked.read()),
            wire::Command { broadcast: Some(asked), .. } => or_refused(asked.read()),
            wire::Command { subscribe: Some(asked), .. } => or_refused(asked.read()),
            wire::Command { unsubscribe: Some(asked), .. } => or_refused(asked.read()),
            wire::Command { disconnect: Some(asked), .. } => or_refused(asked.read()),
            wire::Command { presence: Some(asked), .. } => Self::Presence(asked.channel.into()),
            wire::Command { presence_stats: Some(asked), .. } => Self::PresenceStats(asked.channel.into()),
            wire::Command { history: Some(asked), .. } => asked.read(),
            wire::Command { history_remove: Some(asked), .. } => Self::HistoryRemove(asked.channel.into()),
            wire::Command { info: Some(wire::InfoRequest {}), .. } => Self::Info,
            wire::Command { rpc: Some(asked), .. } => Self::Rpc(Rpc { method: asked.method }),
            wire::Command { refresh: Some(asked), .. } => or_refused(asked.read()),
            wire::Command { channels: Some(asked), .. } => {
                Self::Channels(Channels { pattern: asked.pattern })
            }
            wire::Command { block_user: Some(asked), .. } => Self::BlockUser(BlockUser {
                user: UserId::from(asked.user),
                expire_at: time(asked.expire_at),
            }),
            wire::Command { unblock_user: Some(asked), .. } => Self::UnblockUser(UserId::from(asked.user)),
            wire::Command { revoke_token: Some(asked), .. } => {
                Self::RevokeToken(RevokeToken { uid: asked.uid, expire_at: time(asked.expire_at) })
            }
            wire::Command { invalidate_user_tokens: Some(asked), .. } => asked.read(),
            wire::Command { map_publish: Some(asked), .. } => or_refused(asked.read()),
            wire::Command { map_remove: Some(asked), .. } => Self::MapRemove(MapRemove {
                channel: asked.channel.into(),
                key: asked.key.into(),
                idempotency_key: asked.idempotency_key,
            }),
            wire::Command { map_read_state: Some(asked), .. } => asked.read(),
            wire::Command { map_read_stream: Some(asked), .. } => {
                let since = place(asked.since_offset, &asked.since_epoch);
                let query = HistoryQuery::of_api(since, asked.limit, asked.reverse);
                Self::MapReadStream(History { channel: asked.channel.into(), query })
            }
            wire::Command { map_stats: Some(asked), .. } => Self::MapStats(asked.channel.into()),
            wire::Command { map_clear: Some(asked), .. } => Self::MapClear(asked.channel.into()),
            wire::Command { shared_poll_publish: Some(asked), .. } => or_refused(asked.read()),
            _ => Self::Refused(ApiError::NOT_FOUND),
        }
    }
}

/// A time, if there is one.
fn time(seconds: i64) -> Option<i64> {
    Some(seconds).filter(|at| *at != 0)
}

/// Bytes as they are, or in base64, which wins (HID-12).
fn payload(name: &str, bytes: Bytes, base64: &str) -> Result<Payload, ApiError> {
    if base64.is_empty() {
        return Ok(Payload::new(bytes));
    }
    let decoded = STANDARD.decode(base64).map(Payload::from);
    decoded.map_err(|error| ApiError::BAD_REQUEST.with_message(format!("b64{name}: not base64: {error}")))
}

impl From<wire::FilterNode> for TagFilter {
    fn from(node: wire::FilterNode) -> Self {
        let wire::FilterNode { op, key, cmp, val, vals, nodes } = node;
        Self { op, key, cmp, val, vals, nodes: nodes.into_iter().map(Self::from).collect() }
    }
}

/// Whose connections are meant.
fn target(
    user: String,
    client: String,
    session: String,
    label_filter: Option<wire::FilterNode>,
    all_users: bool,
) -> Result<Target, ApiError> {
    let filter = label_filter.map(TagFilter::from);
    let target = decode::target(Some(user), Some(client), Some(session), filter.as_ref(), Some(all_users));
    target.map_err(|error| ApiError::BAD_REQUEST.with_message(error.to_string()))
}

/// What publish and broadcast have in common.
struct Asked {
    data: Bytes,
    b64data: String,
    skip_history: bool,
    tags: BTreeMap<String, String>,
    idempotency_key: String,
    delta: bool,
    version: u64,
    version_epoch: String,
}

impl Asked {
    fn content(self) -> Result<Content, ApiError> {
        Ok(Content {
            data: payload("data", self.data, &self.b64data)?,
            skip_history: self.skip_history,
            tags: Some(self.tags).filter(|tags| !tags.is_empty()).map(Arc::new),
            idempotency_key: self.idempotency_key,
            delta: self.delta,
            version: self.version,
            version_epoch: self.version_epoch,
        })
    }
}

impl wire::PublishRequest {
    fn read(self) -> Result<ApiCommand, ApiError> {
        let Self {
            channel,
            data,
            b64data,
            skip_history,
            tags,
            idempotency_key,
            delta,
            version,
            version_epoch,
        } = self;
        let asked =
            Asked { data, b64data, skip_history, tags, idempotency_key, delta, version, version_epoch };
        Ok(ApiCommand::Publish(Publish { channel: Channel::from(channel), content: asked.content()? }))
    }
}

impl wire::BroadcastRequest {
    fn read(self) -> Result<ApiCommand, ApiError> {
        let Self {
            channels,
            data,
            b64data,
            skip_history,
            tags,
            idempotency_key,
            delta,
            version,
            version_epoch,
        } = self;
        let asked =
            Asked { data, b64data, skip_history, tags, idempotency_key, delta, version, version_epoch };
        let channels = channels.into_iter().map(Channel::from).collect();
        Ok(ApiCommand::Broadcast(Broadcast { channels, content: asked.content()? }))
    }
}

impl wire::MapPublishRequest {
    fn read(self) -> Result<ApiCommand, ApiError> {
        let has_stream_data = !self.stream_data.is_empty() || !self.b64stream_data.is_empty();
        if let Some(field) = absent_yet(has_stream_data, self.score) {
            return Ok(unavailable(field));
        }
        let mode = key_mode(&self.key_mode)?;
        let Self {
            channel, key, data, b64data, tags, idempotency_key, delta, version, version_epoch, ..
        } = self;
        let skip_history = false;
        let asked =
            Asked { data, b64data, skip_history, tags, idempotency_key, delta, version, version_epoch };
        let content = asked.content()?;
        let (channel, key) = (channel.into(), key.into());
        Ok(ApiCommand::MapPublish(Box::new(MapPublish { channel, key, content, mode })))
    }
}

impl wire::MapReadStateRequest {
    fn read(self) -> ApiCommand {
        let query = MapQuery {
            cursor: self.cursor,
            limit: usize::try_from(self.limit).ok(),
            key: Some(self.key).filter(|key| !key.is_empty()).map(Arc::from),
            ascending: self.asc,
        };
        let revision = place(self.revision_offset, &self.revision_epoch);
        ApiCommand::MapReadState(MapReadState { channel: self.channel.into(), query, revision })
    }
}

impl wire::SharedPollPublishRequest {
    fn read(self) -> Result<ApiCommand, ApiError> {
        let Self { channel, key, data, b64data, version, epoch } = self;
        let data = payload("data", data, &b64data)?;
        let update = SharedPollUpdate { key, version, epoch: Epoch::from(epoch.as_str()), data };
        let channel = channel.into();
        Ok(ApiCommand::SharedPollPublish(Box::new(SharedPollPublish { channel, update })))
    }
}

impl From<wire::StreamPosition> for StreamPosition {
    fn from(position: wire::StreamPosition) -> Self {
        Self { offset: position.offset, epoch: Epoch::from(position.epoch.as_str()) }
    }
}

impl From<wire::SubscribeOptionOverride> for Overrides {
    fn from(wire: wire::SubscribeOptionOverride) -> Self {
        let value = |switch: Option<wire::BoolValue>| switch.map(|switch| switch.value);
        Self {
            presence: value(wire.presence),
            join_leave: value(wire.join_leave),
            force_push_join_leave: value(wire.force_push_join_leave),
            force_recovery: value(wire.force_recovery),
            force_positioning: value(wire.force_positioning),
        }
    }
}

impl wire::SubscribeRequest {
    fn read(self) -> Result<ApiCommand, ApiError> {
        Ok(ApiCommand::Subscribe(Box::new(Subscribe {
            target: target(self.user, self.client, self.session, self.label_filter, self.all_users)?,
            channel: Channel::from(self.channel),
            info: payload("info", self.info, &self.b64info)?,
            data: payload("data", self.data, &self.b64data)?,
            expire_at: time(self.expire_at),
            server_tags_filter: None,
            recover_since: self.recover_since.map(StreamPosition::from),
            overrides: self.r#override.map(Overrides::from).unwrap_or_default(),
        })))
    }
}

impl wire::UnsubscribeRequest {
    fn read(self) -> Result<ApiCommand, ApiError> {
        Ok(ApiCommand::Unsubscribe(Unsubscribe {
            target: target(self.user, self.client, self.session, self.label_filter, self.all_users)?,
            channel: Channel::from(self.channel),
        }))
    }
}

impl wire::DisconnectRequest {
    fn read(self) -> Result<ApiCommand, ApiError> {
        let why = match self.disconnect {
            None => Disconnect::FORCE_DISCONNECT,
            Some(wire::Disconnect { code, reason: text }) => reason(code, text)?,
        };
        Ok(ApiCommand::Disconnect(DisconnectUser {
            target: target(self.user, self.client, self.session, self.label_filter, self.all_users)?,
            why,
            whitelist: self.whitelist.iter().filter_map(|client| client.parse().ok()).collect(),
        }))
    }
}

impl wire::RefreshRequest {
    fn read(self) -> Result<ApiCommand, ApiError> {
        Ok(ApiCommand::Refresh(Refresh {
            target: target(self.user, self.client, self.session, self.label_filter, self.all_users)?,
            expired: self.expired,
            expire_at: time(self.expire_at),
            info: Some(self.info).filter(|info| !info.is_empty()).map(Payload::new),
        }))
    }
}

impl wire::HistoryRequest {
    fn read(self) -> ApiCommand {
        let query = HistoryQuery::of_api(self.since.map(StreamPosition::from), self.limit, self.reverse);
        ApiCommand::History(History { channel: Channel::from(self.channel), query })
    }
}

impl wire::InvalidateUserTokensRequest {
    fn read(self) -> ApiCommand {
        ApiCommand::InvalidateUserTokens(InvalidateUserTokens {
            user: UserId::from(self.user),
            channel: Some(self.channel).filter(|channel| !channel.is_empty()).map(Channel::from),
            issued_before: time(self.issued_before),
            expire_at: time(self.expire_at),
        })
    }
}
