//! JSON to replies and pushes, for clients.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tourbillon_types::{
    Channel, ClientInfo, Disconnect, Epoch, Publication, ReplyError, Unsubscribe, UserId,
};

use super::read::{Nullable, Object, WireEmpty, parse, payload, position, raw};
use crate::client::ServerMessage;
use crate::reply::{
    ConnectResult, Dictionary, HistoryResult, PresenceResult, PresenceStatsResult, Push, PushEvent,
    RefreshResult, Reply, ReplyResult, RpcResult, SubRefreshResult, SubscribePush, SubscribeResult,
};
use crate::{DecodeError, Envelope};

pub(crate) fn decode_message(envelope: Envelope, bytes: &Bytes) -> Result<ServerMessage, DecodeError> {
    match envelope {
        Envelope::Reply => parse::<WireReply<'_>>(bytes)?.into_message(bytes),
        Envelope::Push => parse::<WirePush<'_>>(bytes)?.into_message(bytes),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireReply<'a> {
    id: Nullable<u32>,
    error: Option<Object<WireError>>,
    #[serde(borrow)]
    push: Option<Box<Object<WirePush<'a>>>>,
    #[serde(borrow)]
    connect: Option<Box<Object<WireConnect<'a>>>>,
    #[serde(borrow)]
    subscribe: Option<Box<Object<WireSubscribe<'a>>>>,
    unsubscribe: Option<Object<WireEmpty>>,
    publish: Option<Object<WireEmpty>>,
    #[serde(borrow)]
    presence: Option<Object<WirePresence<'a>>>,
    presence_stats: Option<Object<WireStats>>,
    #[serde(borrow)]
    history: Option<Object<WireHistory<'a>>>,
    ping: Option<Object<WireEmpty>>,
    #[serde(borrow)]
    rpc: Option<Object<WireData<'a>>>,
    refresh: Option<Object<WireRefresh>>,
    #[serde(borrow)]
    sub_refresh: Option<Object<WireSubRefresh<'a>>>,
}

impl WireReply<'_> {
    fn into_message(self, message: &Bytes) -> Result<ServerMessage, DecodeError> {
        let id = self.id.0;
        if let Some(Object(error)) = self.error {
            return Ok(ServerMessage::Reply(Reply { id, result: Err(error.into_error()) }));
        }
        if let Some(push) = self.push {
            return push.0.into_message(message);
        }
        match self.into_result(message) {
            Some(result) => Ok(ServerMessage::Reply(Reply { id, result: Ok(result) })),
            None if id == 0 => Ok(ServerMessage::Ping),
            None => Err(DecodeError::Hollow),
        }
    }

    fn into_result(self, message: &Bytes) -> Option<ReplyResult> {
        Some(if let Some(it) = self.connect {
            ReplyResult::Connect(Box::new(it.0.into_result(message)))
        } else if let Some(it) = self.subscribe {
            ReplyResult::Subscribe(Box::new(it.0.into_result(message)))
        } else if self.unsubscribe.is_some() {
            ReplyResult::Unsubscribe
        } else if self.publish.is_some() {
            ReplyResult::Publish
        } else if let Some(Object(it)) = self.presence {
            let clients = it.presence.0.into_iter();
            let presence = clients.map(|(client, Object(info))| (client, Arc::new(info.into_info(message))));
            ReplyResult::Presence(PresenceResult { presence: presence.collect() })
        } else if let Some(Object(it)) = self.presence_stats {
            let stats = PresenceStatsResult { num_clients: it.num_clients.0, num_users: it.num_users.0 };
            ReplyResult::PresenceStats(stats)
        } else if let Some(Object(it)) = self.history {
            let position = position(it.offset.0, &it.epoch.0);
            let publications = publications(it.publications, message);
            ReplyResult::History(HistoryResult { publications, position })
        } else if self.ping.is_some() {
            ReplyResult::Ping
        } else if let Some(Object(it)) = self.rpc {
            ReplyResult::Rpc(RpcResult { data: payload(message, it.data) })
        } else if let Some(Object(it)) = self.refresh {
            ReplyResult::Refresh(it.into_result())
        } else if let Some(Object(it)) = self.sub_refresh {
            let items = publications(it.items, message);
            ReplyResult::SubRefresh(SubRefreshResult { expires: it.expires.0, ttl: it.ttl.0, items })
        } else {
            return None;
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePush<'a> {
    id: Nullable<i64>,
    channel: Nullable<String>,
    #[serde(borrow)]
    r#pub: Option<Object<WirePublication<'a>>>,
    #[serde(borrow)]
    join: Option<Object<WirePerson<'a>>>,
    #[serde(borrow)]
    leave: Option<Object<WirePerson<'a>>>,
    unsubscribe: Option<Object<WireReason>>,
    #[serde(borrow)]
    message: Option<Object<WireData<'a>>>,
    #[serde(borrow)]
    subscribe: Option<Object<WireSubscribe<'a>>>,
    #[serde(borrow)]
    connect: Option<Box<Object<WireConnect<'a>>>>,
    disconnect: Option<Object<WireReason>>,
    refresh: Option<Object<WireRefresh>>,
}

impl WirePush<'_> {
    fn into_message(self, message: &Bytes) -> Result<ServerMessage, DecodeError> {
        let id = self.id.0;
        let channel = Some(self.channel.0).filter(|name| !name.is_empty()).map(Channel::from);
        let event = if let Some(Object(it)) = self.r#pub {
            PushEvent::Publication(Arc::new(it.into_publication(message)))
        } else if let Some(Object(it)) = self.join {
            PushEvent::Join(it.into_info(message))
        } else if let Some(Object(it)) = self.leave {
            PushEvent::Leave(it.into_info(message))
        } else if let Some(Object(it)) = self.unsubscribe {
            PushEvent::Unsubscribe(Unsubscribe { code: it.code.0, reason: it.reason.0.into() })
        } else if let Some(Object(it)) = self.message {
            PushEvent::Message(payload(message, it.data))
        } else if let Some(Object(it)) = self.subscribe {
            PushEvent::Subscribe(it.into_push(message))
        } else if let Some(it) = self.connect {
            PushEvent::Connect(Box::new(it.0.into_result(message)))
        } else if let Some(Object(it)) = self.disconnect {
            PushEvent::Disconnect(Disconnect { code: it.code.0, reason: it.reason.0.into() })
        } else if let Some(Object(it)) = self.refresh {
            PushEvent::Refresh(it.into_result())
        } else if id == 0 && channel.is_none() {
            return Ok(ServerMessage::Ping);
        } else {
            return Err(DecodeError::Hollow);
        };
        Ok(ServerMessage::Push(Push { channel, id, event }))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireError {
    code: Nullable<u32>,
    message: Nullable<String>,
    temporary: Nullable<bool>,
}

impl WireError {
    fn into_error(self) -> ReplyError {
        ReplyError::custom(self.code.0, Cow::Owned(self.message.0), self.temporary.0)
    }
}

/// A connect result, and the push of one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WireConnect<'a> {
    client: Nullable<String>,
    version: Nullable<String>,
    expires: Nullable<bool>,
    ttl: Nullable<u32>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    subs: Nullable<BTreeMap<String, Object<WireSubscribe<'a>>>>,
    ping: Nullable<u32>,
    pong: Nullable<bool>,
    session: Nullable<String>,
    node: Nullable<String>,
    time: Nullable<i64>,
    flag: Nullable<i64>,
    #[serde(borrow)]
    dict: Option<Object<WireDictionary<'a>>>,
}

impl WireConnect<'_> {
    fn into_result(self, message: &Bytes) -> ConnectResult {
        let subs = self.subs.0.into_iter();
        ConnectResult {
            client: self.client.0,
            version: self.version.0.into(),
            expires: self.expires.0,
            ttl: self.ttl.0,
            data: payload(message, self.data),
            subs: subs.map(|(name, Object(it))| (Channel::from(name), it.into_result(message))).collect(),
            ping: self.ping.0,
            pong: self.pong.0,
            session: self.session.0,
            node: self.node.0,
            time: self.time.0,
            flag: self.flag.0,
            dict: self.dict.map(|Object(it)| Dictionary {
                id: it.id.0,
                data: payload(message, it.data),
                data_b64: it.data_b64.0,
            }),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireDictionary<'a> {
    id: Nullable<String>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    data_b64: Nullable<String>,
}

/// A subscribe result, and the push of a subscription, whose fields are some of the same.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSubscribe<'a> {
    expires: Nullable<bool>,
    ttl: Nullable<u32>,
    recoverable: Nullable<bool>,
    epoch: Nullable<String>,
    #[serde(borrow)]
    publications: WirePublications<'a>,
    recovered: Nullable<bool>,
    offset: Nullable<u64>,
    positioned: Nullable<bool>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    was_recovering: Nullable<bool>,
    delta: Nullable<bool>,
    id: Nullable<i64>,
    #[serde(rename = "type")]
    kind: Nullable<i32>,
    phase: Nullable<i32>,
    cursor: Nullable<String>,
    #[serde(borrow)]
    state: WirePublications<'a>,
    publish_debounce: Nullable<u32>,
}

impl WireSubscribe<'_> {
    fn into_result(self, message: &Bytes) -> SubscribeResult {
        SubscribeResult {
            expires: self.expires.0,
            ttl: self.ttl.0,
            recoverable: self.recoverable.0,
            position: position(self.offset.0, &self.epoch.0),
            publications: publications(self.publications, message),
            recovered: self.recovered.0,
            positioned: self.positioned.0,
            data: payload(message, self.data),
            was_recovering: self.was_recovering.0,
            delta: self.delta.0,
            id: self.id.0,
            kind: self.kind.0,
            phase: self.phase.0,
            cursor: self.cursor.0,
            state: publications(self.state, message),
            publish_debounce: self.publish_debounce.0,
        }
    }

    fn into_push(self, message: &Bytes) -> SubscribePush {
        SubscribePush {
            recoverable: self.recoverable.0,
            position: position(self.offset.0, &self.epoch.0),
            positioned: self.positioned.0,
            data: payload(message, self.data),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePresence<'a> {
    #[serde(borrow)]
    presence: Nullable<BTreeMap<String, Object<WireInfo<'a>>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStats {
    num_clients: Nullable<u32>,
    num_users: Nullable<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireHistory<'a> {
    #[serde(borrow)]
    publications: WirePublications<'a>,
    epoch: Nullable<String>,
    offset: Nullable<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireRefresh {
    client: Nullable<String>,
    version: Nullable<String>,
    expires: Nullable<bool>,
    ttl: Nullable<u32>,
}

impl WireRefresh {
    fn into_result(self) -> RefreshResult {
        let Self { client, version, expires, ttl } = self;
        RefreshResult { client: client.0, version: version.0, expires: expires.0, ttl: ttl.0 }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSubRefresh<'a> {
    expires: Nullable<bool>,
    ttl: Nullable<u32>,
    #[serde(borrow)]
    items: WirePublications<'a>,
}

/// A message of data alone.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WireData<'a> {
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireReason {
    code: Nullable<u32>,
    reason: Nullable<String>,
}

/// Somebody who came or left.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePerson<'a> {
    #[serde(borrow)]
    info: Option<Object<WireInfo<'a>>>,
}

impl WirePerson<'_> {
    fn into_info(self, message: &Bytes) -> Arc<ClientInfo> {
        Arc::new(self.info.map(|Object(info)| info).unwrap_or_default().into_info(message))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireInfo<'a> {
    user: Nullable<String>,
    client: Nullable<String>,
    #[serde(borrow, deserialize_with = "raw")]
    conn_info: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw")]
    chan_info: Option<&'a RawValue>,
}

impl WireInfo<'_> {
    fn into_info(self, message: &Bytes) -> ClientInfo {
        ClientInfo {
            user: UserId::from(self.user.0),
            client: self.client.0.parse().ok(),
            connection: payload(message, self.conn_info),
            channel: payload(message, self.chan_info),
        }
    }
}

type WirePublications<'a> = Nullable<Vec<Object<WirePublication<'a>>>>;

fn publications(them: WirePublications<'_>, message: &Bytes) -> Vec<Arc<Publication>> {
    them.0.into_iter().map(|Object(it)| Arc::new(it.into_publication(message))).collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePublication<'a> {
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    info: Option<Object<WireInfo<'a>>>,
    offset: Nullable<u64>,
    tags: Nullable<BTreeMap<String, String>>,
    delta: Nullable<bool>,
    time: Nullable<i64>,
    channel: Nullable<String>,
    key: Nullable<String>,
    removed: Nullable<bool>,
    score: Nullable<i64>,
    epoch: Nullable<String>,
    version: Nullable<u64>,
}

impl WirePublication<'_> {
    fn into_publication(self, message: &Bytes) -> Publication {
        Publication {
            data: payload(message, self.data),
            info: self.info.map(|Object(info)| Arc::new(info.into_info(message))),
            offset: self.offset.0,
            epoch: Epoch::from(self.epoch.0.as_str()),
            tags: Some(self.tags.0).filter(|tags| !tags.is_empty()).map(Arc::new),
            time: self.time.0,
            delta: self.delta.0,
            channel: Some(self.channel.0).filter(|name| !name.is_empty()).map(Channel::from),
            key: Some(self.key.0).filter(|key| !key.is_empty()).map(Arc::from),
            removed: self.removed.0,
            score: self.score.0,
            version: self.version.0,
        }
    }
}
