//! JSON to commands about channels with keys.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tourbillon_node::{HistoryQuery, SharedPollUpdate};
use tourbillon_types::{Channel, Epoch, KeyMode, MapQuery, StreamPosition, Tags};

use crate::command::{
    ApiCommand, ApiError, Content, History, MapPublish, MapReadState, MapRemove, SharedPollPublish,
};
use crate::decode::{DecodeError, payload, present, unavailable};

#[derive(Deserialize)]
pub(crate) struct WireMapPublish<'a> {
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
    #[serde(borrow, default)]
    stream_data: Option<&'a RawValue>,
    #[serde(default)]
    b64stream_data: Option<String>,
    #[serde(default)]
    tags: Option<Tags>,
    #[serde(default)]
    idempotency_key: Option<String>,
    #[serde(default)]
    delta: Option<bool>,
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    version_epoch: Option<String>,
    #[serde(default)]
    score: Option<i64>,
    #[serde(default)]
    key_mode: Option<String>,
}

impl WireMapPublish<'_> {
    pub(crate) fn into_command(self, body: &Bytes) -> Result<ApiCommand, DecodeError> {
        let has_stream_data = self.stream_data.is_some_and(|data| data.get() != "null")
            || self.b64stream_data.is_some_and(|data| !data.is_empty());
        if let Some(field) = absent_yet(has_stream_data, self.score.unwrap_or_default()) {
            return Ok(unavailable(field));
        }
        let mode = match key_mode(self.key_mode.as_deref().unwrap_or_default()) {
            Ok(mode) => mode,
            Err(why) => return Ok(ApiCommand::Refused(why)),
        };
        let content = Content {
            data: payload(body, "data", self.data, self.b64data.as_deref())?,
            skip_history: false,
            tags: self.tags.filter(|tags| !tags.is_empty()).map(Arc::new),
            idempotency_key: self.idempotency_key.unwrap_or_default(),
            delta: self.delta.unwrap_or_default(),
            version: self.version.unwrap_or_default(),
            version_epoch: self.version_epoch.unwrap_or_default(),
        };
        let channel = Channel::from(self.channel.unwrap_or_default());
        let key = Arc::from(self.key.unwrap_or_default());
        Ok(ApiCommand::MapPublish(Box::new(MapPublish { channel, key, content, mode })))
    }
}

/// What of a publication into a keyed channel is not there yet.
pub(crate) fn absent_yet(has_stream_data: bool, score: i64) -> Option<&'static str> {
    if has_stream_data {
        return Some("stream_data");
    }
    (score != 0).then_some("score")
}

/// On which condition a key is set.
pub(crate) fn key_mode(text: &str) -> Result<KeyMode, ApiError> {
    match text {
        "" => Ok(KeyMode::Replace),
        "if_new" => Ok(KeyMode::IfNew),
        "if_exists" => Ok(KeyMode::IfExists),
        _ => Err(ApiError::BAD_REQUEST.with_message("key_mode must be empty, if_new or if_exists")),
    }
}

#[derive(Deserialize)]
pub(crate) struct WireMapRemove {
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    idempotency_key: Option<String>,
}

impl WireMapRemove {
    pub(crate) fn into_command(self) -> ApiCommand {
        ApiCommand::MapRemove(MapRemove {
            channel: Channel::from(self.channel.unwrap_or_default()),
            key: Arc::from(self.key.unwrap_or_default()),
            idempotency_key: self.idempotency_key.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct WireMapReadState {
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    limit: Option<i32>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    asc: Option<bool>,
    #[serde(default)]
    revision_offset: Option<u64>,
    #[serde(default)]
    revision_epoch: Option<String>,
}

impl WireMapReadState {
    pub(crate) fn into_command(self) -> ApiCommand {
        let query = MapQuery {
            cursor: self.cursor.unwrap_or_default(),
            limit: usize::try_from(self.limit.unwrap_or_default()).ok(),
            key: self.key.filter(|key| !key.is_empty()).map(Arc::from),
            ascending: self.asc.unwrap_or_default(),
        };
        ApiCommand::MapReadState(MapReadState {
            channel: Channel::from(self.channel.unwrap_or_default()),
            query,
            revision: place(
                self.revision_offset.unwrap_or_default(),
                self.revision_epoch.as_deref().unwrap_or_default(),
            ),
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct WireMapReadStream {
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    since_offset: Option<u64>,
    #[serde(default)]
    since_epoch: Option<String>,
    #[serde(default)]
    limit: Option<i32>,
    #[serde(default)]
    reverse: Option<bool>,
}

impl WireMapReadStream {
    pub(crate) fn into_command(self) -> ApiCommand {
        let since =
            place(self.since_offset.unwrap_or_default(), self.since_epoch.as_deref().unwrap_or_default());
        let (limit, reverse) = (self.limit.unwrap_or_default(), self.reverse.unwrap_or_default());
        let channel = Channel::from(self.channel.unwrap_or_default());
        ApiCommand::MapReadStream(History { channel, query: HistoryQuery::of_api(since, limit, reverse) })
    }
}

#[derive(Deserialize)]
pub(crate) struct WireSharedPollPublish<'a> {
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    epoch: Option<String>,
}

impl WireSharedPollPublish<'_> {
    pub(crate) fn into_command(self, body: &Bytes) -> Result<ApiCommand, DecodeError> {
        let update = SharedPollUpdate {
            key: self.key.unwrap_or_default(),
            version: self.version.unwrap_or_default(),
            epoch: Epoch::from(self.epoch.as_deref().unwrap_or_default()),
            data: payload(body, "data", self.data, self.b64data.as_deref())?,
        };
        let channel = Channel::from(self.channel.unwrap_or_default());
        Ok(ApiCommand::SharedPollPublish(Box::new(SharedPollPublish { channel, update })))
    }
}

/// A place, where one is given.
pub(crate) fn place(offset: u64, epoch: &str) -> Option<StreamPosition> {
    let is_given = offset != 0 || !epoch.is_empty();
    is_given.then(|| StreamPosition { offset, epoch: Epoch::from(epoch) })
}
