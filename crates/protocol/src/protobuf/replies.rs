//! Protobuf to replies and pushes, for clients.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tourbillon_types::{
    Channel, ClientInfo, Disconnect, Epoch, Payload, Publication, ReplyError, StreamPosition, Unsubscribe,
    UserId,
};

use super::wire;
use crate::client::ServerMessage;
use crate::reply::{
    ConnectResult, Dictionary, HistoryResult, PresenceResult, PresenceStatsResult, Push, PushEvent,
    RefreshResult, Reply, ReplyResult, RpcResult, SubRefreshResult, SubscribePush, SubscribeResult,
};
use crate::{DecodeError, Envelope};

pub(crate) fn decode_message(envelope: Envelope, bytes: Bytes) -> Result<ServerMessage, DecodeError> {
    let broken = |error: prost::DecodeError| DecodeError::Protobuf(error.to_string());
    match envelope {
        Envelope::Reply => reply(wire::Reply::decode(bytes).map_err(broken)?),
        Envelope::Push => push(wire::Push::decode(bytes).map_err(broken)?),
    }
}

fn reply(mut it: wire::Reply) -> Result<ServerMessage, DecodeError> {
    let id = it.id;
    if let Some(error) = it.error {
        let error = ReplyError::custom(error.code, Cow::Owned(error.message), error.temporary);
        return Ok(ServerMessage::Reply(Reply { id, result: Err(error) }));
    }
    if let Some(it) = it.push.take() {
        return push(it);
    }
    match result(it) {
        Some(result) => Ok(ServerMessage::Reply(Reply { id, result: Ok(result) })),
        None if id == 0 => Ok(ServerMessage::Ping),
        None => Err(DecodeError::Hollow),
    }
}

fn result(it: wire::Reply) -> Option<ReplyResult> {
    Some(if let Some(it) = it.connect {
        ReplyResult::Connect(Box::new(connect(it)))
    } else if let Some(it) = it.subscribe {
        ReplyResult::Subscribe(Box::new(subscribe(it)))
    } else if it.unsubscribe.is_some() {
        ReplyResult::Unsubscribe
    } else if it.publish.is_some() {
        ReplyResult::Publish
    } else if let Some(it) = it.presence {
        let presence = it.presence.into_iter().map(|(client, info)| (client, Arc::new(client_info(info))));
        ReplyResult::Presence(PresenceResult { presence: presence.collect() })
    } else if let Some(it) = it.presence_stats {
        let stats = PresenceStatsResult { num_clients: it.num_clients, num_users: it.num_users };
        ReplyResult::PresenceStats(stats)
    } else if let Some(it) = it.history {
        let position = position(it.offset, &it.epoch);
        ReplyResult::History(HistoryResult { publications: publications(it.publications), position })
    } else if it.ping.is_some() {
        ReplyResult::Ping
    } else if let Some(it) = it.rpc {
        ReplyResult::Rpc(RpcResult { data: Payload::new(it.data) })
    } else if let Some(it) = it.refresh {
        let wire::RefreshResult { client, version, expires, ttl } = it;
        ReplyResult::Refresh(RefreshResult { client, version, expires, ttl })
    } else if let Some(it) = it.sub_refresh {
        let items = publications(it.items);
        ReplyResult::SubRefresh(SubRefreshResult { expires: it.expires, ttl: it.ttl, items })
    } else {
        return None;
    })
}

fn push(it: wire::Push) -> Result<ServerMessage, DecodeError> {
    let id = it.id;
    let channel = channel(it.channel);
    let event = if let Some(it) = it.r#pub {
        PushEvent::Publication(Arc::new(publication(it)))
    } else if let Some(it) = it.join {
        PushEvent::Join(Arc::new(client_info(it.info.unwrap_or_default())))
    } else if let Some(it) = it.leave {
        PushEvent::Leave(Arc::new(client_info(it.info.unwrap_or_default())))
    } else if let Some(it) = it.unsubscribe {
        PushEvent::Unsubscribe(Unsubscribe { code: it.code, reason: Cow::Owned(it.reason) })
    } else if let Some(it) = it.message {
        PushEvent::Message(Payload::new(it.data))
    } else if let Some(it) = it.subscribe {
        PushEvent::Subscribe(SubscribePush {
            recoverable: it.recoverable,
            position: position(it.offset, &it.epoch),
            positioned: it.positioned,
            data: Payload::new(it.data),
        })
    } else if let Some(it) = it.connect {
        PushEvent::Connect(Box::new(connect_push(it)))
    } else if let Some(it) = it.disconnect {
        PushEvent::Disconnect(Disconnect { code: it.code, reason: Cow::Owned(it.reason) })
    } else if let Some(it) = it.refresh {
        PushEvent::Refresh(RefreshResult { expires: it.expires, ttl: it.ttl, ..RefreshResult::default() })
    } else if id == 0 && channel.is_none() {
        return Ok(ServerMessage::Ping);
    } else {
        return Err(DecodeError::Hollow);
    };
    Ok(ServerMessage::Push(Push { channel, id, event }))
}

fn channel(name: String) -> Option<Channel> {
    Some(name).filter(|name| !name.is_empty()).map(Channel::from)
}

fn position(offset: u64, epoch: &str) -> StreamPosition {
    StreamPosition { offset, epoch: Epoch::from(epoch) }
}

fn connect(it: wire::ConnectResult) -> ConnectResult {
    ConnectResult {
        client: it.client,
        version: it.version.into(),
        expires: it.expires,
        ttl: it.ttl,
        data: Payload::new(it.data),
        subs: it.subs.into_iter().map(|(name, it)| (Channel::from(name), subscribe(it))).collect(),
        ping: it.ping,
        pong: it.pong,
        session: it.session,
        node: it.node,
        time: it.time,
        flag: it.flag,
        dict: it.dict.map(|it| Dictionary { id: it.id, data: Payload::new(it.data), data_b64: it.data_b64 }),
    }
}

fn connect_push(it: wire::Connect) -> ConnectResult {
    connect(wire::ConnectResult {
        client: it.client,
        version: it.version,
        expires: it.expires,
        ttl: it.ttl,
        data: it.data,
        subs: it.subs,
        ping: it.ping,
        pong: it.pong,
        session: it.session,
        node: it.node,
        time: it.time,
        flag: 0,
        dict: None,
    })
}

fn subscribe(it: wire::SubscribeResult) -> SubscribeResult {
    SubscribeResult {
        expires: it.expires,
        ttl: it.ttl,
        recoverable: it.recoverable,
        position: position(it.offset, &it.epoch),
        publications: publications(it.publications),
        recovered: it.recovered,
        positioned: it.positioned,
        data: Payload::new(it.data),
        was_recovering: it.was_recovering,
        delta: it.delta,
        id: it.id,
        kind: it.r#type,
        phase: it.phase,
        cursor: it.cursor,
        state: publications(it.state),
        publish_debounce: it.publish_debounce,
    }
}

pub(super) fn client_info(it: wire::ClientInfo) -> ClientInfo {
    ClientInfo {
        user: UserId::from(it.user),
        client: it.client.parse().ok(),
        connection: Payload::new(it.conn_info),
        channel: Payload::new(it.chan_info),
    }
}

fn publications(them: Vec<wire::Publication>) -> Vec<Arc<Publication>> {
    them.into_iter().map(|it| Arc::new(publication(it))).collect()
}

pub(super) fn publication(it: wire::Publication) -> Publication {
    Publication {
        data: Payload::new(it.data),
        info: it.info.map(|info| Arc::new(client_info(info))),
        offset: it.offset,
        epoch: Epoch::from(it.epoch.as_str()),
        tags: Some(it.tags).filter(|tags| !tags.is_empty()).map(Arc::new),
        time: it.time,
        delta: it.delta,
        channel: channel(it.channel),
        key: Some(it.key).filter(|key| !key.is_empty()).map(Arc::from),
        removed: it.removed,
        score: it.score,
        version: it.version,
    }
}
