//! Replies and pushes to Protobuf, through the generated types. Publications, which are many, have a
//! [writer](super::write) of their own.

use std::sync::Arc;

use prost::Message;
use tourbillon_types::{ClientInfo, Publication, ReplyError};

use super::wire;
use super::write::publication_push;
use crate::Envelope;
use crate::reply::{
    ConnectResult, Dictionary, Push, PushEvent, RefreshResult, Reply, ReplyResult, SubscribeResult,
};

pub(crate) fn reply(reply: &Reply) -> Vec<u8> {
    let mut message = wire::Reply { id: reply.id, ..wire::Reply::default() };
    match &reply.result {
        Err(it) => message.error = Some(error(it)),
        Ok(it) => set_result(&mut message, it),
    }
    message.encode_length_delimited_to_vec()
}

pub(crate) fn push(envelope: Envelope, push: &Push) -> Vec<u8> {
    if let PushEvent::Publication(it) = &push.event {
        return publication_push(envelope, push.channel.as_deref().unwrap_or_default(), push.id, it);
    }
    let push = wire_push(push);
    match envelope {
        Envelope::Push => push.encode_length_delimited_to_vec(),
        Envelope::Reply => {
            wire::Reply { push: Some(push), ..wire::Reply::default() }.encode_length_delimited_to_vec()
        }
    }
}

fn error(it: &ReplyError) -> wire::Error {
    wire::Error { code: it.code.0, message: it.message.to_string(), temporary: it.temporary }
}

fn set_result(message: &mut wire::Reply, result: &ReplyResult) {
    match result {
        ReplyResult::Connect(it) => message.connect = Some(connect(it)),
        ReplyResult::Subscribe(it) => message.subscribe = Some(subscribe(it)),
        ReplyResult::Unsubscribe => message.unsubscribe = Some(wire::UnsubscribeResult {}),
        ReplyResult::Publish => message.publish = Some(wire::PublishResult {}),
        ReplyResult::Presence(it) => {
            let entries = it.presence.iter().map(|(client, info)| (client.clone(), client_info(info)));
            message.presence = Some(wire::PresenceResult { presence: entries.collect() });
        }
        ReplyResult::PresenceStats(it) => {
            let stats = wire::PresenceStatsResult { num_clients: it.num_clients, num_users: it.num_users };
            message.presence_stats = Some(stats);
        }
        ReplyResult::History(it) => {
            message.history = Some(wire::HistoryResult {
                publications: publications(&it.publications),
                epoch: it.position.epoch.as_str().to_owned(),
                offset: it.position.offset,
            });
        }
        ReplyResult::Ping => message.ping = Some(wire::PingResult {}),
        ReplyResult::Rpc(it) => message.rpc = Some(wire::RpcResult { data: it.data.bytes().clone() }),
        ReplyResult::Refresh(it) => {
            let RefreshResult { client, version, expires, ttl } = it.clone();
            message.refresh = Some(wire::RefreshResult { client, version, expires, ttl });
        }
        ReplyResult::SubRefresh(it) => {
            let items = publications(&it.items);
            message.sub_refresh = Some(wire::SubRefreshResult { expires: it.expires, ttl: it.ttl, items });
        }
    }
}

fn connect(it: &ConnectResult) -> wire::ConnectResult {
    wire::ConnectResult {
        client: it.client.clone(),
        version: it.version.clone(),
        expires: it.expires,
        ttl: it.ttl,
        data: it.data.bytes().clone(),
        subs: it.subs.iter().map(|(channel, it)| (channel.to_string(), subscribe(it))).collect(),
        ping: it.ping,
        pong: it.pong,
        session: it.session.clone(),
        node: it.node.clone(),
        time: it.time,
        flag: it.flag,
        dict: it.dict.as_ref().map(dictionary),
    }
}

fn dictionary(it: &Dictionary) -> wire::Dictionary {
    wire::Dictionary { id: it.id.clone(), data: it.data.bytes().clone(), data_b64: it.data_b64.clone() }
}

fn subscribe(it: &SubscribeResult) -> wire::SubscribeResult {
    wire::SubscribeResult {
        expires: it.expires,
        ttl: it.ttl,
        recoverable: it.recoverable,
        epoch: it.position.epoch.as_str().to_owned(),
        publications: publications(&it.publications),
        recovered: it.recovered,
        offset: it.position.offset,
        positioned: it.positioned,
        data: it.data.bytes().clone(),
        was_recovering: it.was_recovering,
        delta: it.delta,
        id: it.id,
        r#type: it.kind,
        phase: it.phase,
        cursor: it.cursor.clone(),
        state: publications(&it.state),
        publish_debounce: it.publish_debounce,
    }
}

fn publications(them: &[Arc<Publication>]) -> Vec<wire::Publication> {
    them.iter().map(|it| listed_publication(it)).collect()
}

/// A publication of a result, which states the epoch itself. `time` is kept from clients (HID-11).
fn listed_publication(it: &Publication) -> wire::Publication {
    wire::Publication {
        data: it.data.bytes().clone(),
        info: it.info.as_deref().map(client_info),
        offset: it.offset,
        tags: it.tags.as_deref().cloned().unwrap_or_default(),
        delta: it.delta,
        channel: it.channel.as_deref().unwrap_or_default().to_owned(),
        key: it.key.as_deref().unwrap_or_default().to_owned(),
        removed: it.removed,
        score: it.score,
        version: it.version,
        ..wire::Publication::default()
    }
}

fn client_info(it: &ClientInfo) -> wire::ClientInfo {
    wire::ClientInfo {
        user: it.user.to_string(),
        client: it.client.map(|client| client.to_string()).unwrap_or_default(),
        conn_info: it.connection.bytes().clone(),
        chan_info: it.channel.bytes().clone(),
    }
}

fn wire_push(push: &Push) -> wire::Push {
    let mut message = wire::Push { id: push.id, ..wire::Push::default() };
    if push.id == 0 {
        message.channel = push.channel.as_deref().unwrap_or_default().to_owned();
    }
    match &push.event {
        // Written without these types.
        PushEvent::Publication(_) => {}
        PushEvent::Join(it) => message.join = Some(wire::Join { info: Some(client_info(it)) }),
        PushEvent::Leave(it) => message.leave = Some(wire::Leave { info: Some(client_info(it)) }),
        PushEvent::Unsubscribe(it) => {
            message.unsubscribe = Some(wire::Unsubscribe { code: it.code, reason: it.reason.to_string() });
        }
        PushEvent::Message(it) => message.message = Some(wire::Message { data: it.bytes().clone() }),
        PushEvent::Subscribe(it) => {
            message.subscribe = Some(wire::Subscribe {
                recoverable: it.recoverable,
                epoch: it.position.epoch.as_str().to_owned(),
                offset: it.position.offset,
                positioned: it.positioned,
                data: it.data.bytes().clone(),
            });
        }
        PushEvent::Connect(it) => message.connect = Some(connect_push(it)),
        PushEvent::Disconnect(it) => {
            let reason = it.reason.to_string();
            message.disconnect = Some(wire::Disconnect { code: it.code, reason, reconnect: false });
        }
        PushEvent::Refresh(it) => {
            message.refresh = Some(wire::Refresh { expires: it.expires, ttl: it.ttl });
        }
    }
    message
}

fn connect_push(it: &ConnectResult) -> wire::Connect {
    let it = connect(it);
    wire::Connect {
        client: it.client,
        version: it.version,
        data: it.data,
        subs: it.subs,
        expires: it.expires,
        ttl: it.ttl,
        ping: it.ping,
        pong: it.pong,
        session: it.session,
        node: it.node,
        time: it.time,
    }
}
