//! Protobuf to commands.

use bytes::Bytes;
use prost::Message;
use tourbillon_types::{Encoding, Epoch, Payload, StreamPosition, TagFilter};

use super::wire;
use crate::command::{
    Command, Connect, EmulationRequest, History, KeyedItem, Presence, PresenceStats, Publish, Refresh,
    Request, Rpc, Send, SubRefresh, Subscribe, TrackBatch, Unsubscribe,
};
use crate::{DecodeError, Limits};

pub(crate) fn decode_command(bytes: Bytes, limits: &Limits) -> Result<Command, DecodeError> {
    let command = wire::Command::decode(bytes).map_err(|error| DecodeError::Protobuf(error.to_string()))?;
    let id = command.id;
    Ok(Command { id, request: request(command, limits)? })
}

pub(crate) fn decode_emulation(body: &Bytes) -> Result<EmulationRequest, DecodeError> {
    let wire::EmulationRequest { node, session, data } = wire::EmulationRequest::decode(body.clone())
        .map_err(|error| DecodeError::Protobuf(error.to_string()))?;
    Ok(EmulationRequest { node, session, data, encoding: Encoding::Protobuf })
}

fn request(command: wire::Command, limits: &Limits) -> Result<Request, DecodeError> {
    let request = if let Some(it) = command.connect {
        Request::Connect(Box::new(connect(it, limits)?))
    } else if command.ping.is_some() {
        Request::Ping
    } else if let Some(it) = command.subscribe {
        Request::Subscribe(Box::new(subscribe(it, limits)?))
    } else if let Some(it) = command.unsubscribe {
        Request::Unsubscribe(Unsubscribe { channel: it.channel })
    } else if let Some(it) = command.publish {
        let data = Payload::new(it.data);
        Request::Publish(Publish {
            channel: it.channel,
            data,
            kind: it.r#type,
            key: it.key,
            removed: it.removed,
        })
    } else if let Some(it) = command.presence {
        Request::Presence(Presence { channel: it.channel })
    } else if let Some(it) = command.presence_stats {
        Request::PresenceStats(PresenceStats { channel: it.channel })
    } else if let Some(it) = command.history {
        let since = it.since.map(|since| position(since.offset, &since.epoch));
        Request::History(History { channel: it.channel, limit: it.limit, since, reverse: it.reverse })
    } else if let Some(it) = command.rpc {
        Request::Rpc(Rpc { data: Payload::new(it.data), method: it.method.into() })
    } else if let Some(it) = command.send {
        Request::Send(Send { data: Payload::new(it.data) })
    } else if let Some(it) = command.refresh {
        Request::Refresh(Refresh { token: it.token })
    } else if let Some(it) = command.sub_refresh {
        Request::SubRefresh(Box::new(sub_refresh(it)))
    } else if command.id == 0 {
        Request::Pong
    } else {
        Request::Empty
    };
    Ok(request)
}

fn position(offset: u64, epoch: &str) -> StreamPosition {
    StreamPosition { offset, epoch: Epoch::from(epoch) }
}

fn connect(it: wire::ConnectRequest, limits: &Limits) -> Result<Connect, DecodeError> {
    let subs = it.subs.into_iter().map(|(channel, it)| Ok((channel, subscribe(it, limits)?)));
    Ok(Connect {
        token: it.token,
        data: Payload::new(it.data),
        subs: subs.collect::<Result<_, _>>()?,
        name: it.name.into(),
        version: it.version.into(),
        headers: it.headers.into_iter().collect(),
        flag: it.flag,
        profile: it.profile,
        dict: it.dict,
    })
}

fn subscribe(it: wire::SubscribeRequest, limits: &Limits) -> Result<Subscribe, DecodeError> {
    Ok(Subscribe {
        position: position(it.offset, &it.epoch),
        channel: it.channel,
        token: it.token,
        recover: it.recover,
        data: Payload::new(it.data),
        positioned: it.positioned,
        recoverable: it.recoverable,
        join_leave: it.join_leave,
        delta: it.delta,
        filter: it.tf.map(|it| filter(it, limits.max_filter_depth)).transpose()?.map(Box::new),
        flag: it.flag,
        kind: it.r#type,
        phase: it.phase,
        cursor: it.cursor,
        limit: it.limit,
        asc: it.asc,
    })
}

fn filter(it: wire::FilterNode, depth: usize) -> Result<TagFilter, DecodeError> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::FilterDepth)?;
    Ok(TagFilter {
        op: it.op,
        key: it.key,
        cmp: it.cmp,
        val: it.val,
        vals: it.vals,
        nodes: it.nodes.into_iter().map(|it| filter(it, depth)).collect::<Result<_, _>>()?,
    })
}

fn sub_refresh(it: wire::SubRefreshRequest) -> SubRefresh {
    let item = |it: wire::KeyedItem| KeyedItem { key: it.key, version: it.version };
    let batch = |it: wire::TrackBatch| TrackBatch {
        signature: it.signature,
        items: it.items.into_iter().map(item).collect(),
    };
    SubRefresh {
        channel: it.channel,
        token: it.token,
        kind: it.r#type,
        track: it.track.into_iter().map(batch).collect(),
        untrack: it.untrack,
    }
}
