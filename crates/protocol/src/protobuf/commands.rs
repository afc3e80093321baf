//! Commands to Protobuf, for clients, through the generated types.

use prost::Message;
use tourbillon_types::{StreamPosition, TagFilter};

use super::wire;
use crate::command::{
    Command, Connect, EmulationRequest, Publish, Request, SubRefresh, Subscribe, TrackBatch,
};

pub(crate) fn command(command: &Command) -> Vec<u8> {
    let mut message = wire::Command { id: command.id, ..wire::Command::default() };
    match &command.request {
        Request::Pong | Request::Empty => {}
        Request::Connect(it) => message.connect = Some(connect(it)),
        Request::Subscribe(it) => message.subscribe = Some(subscribe(it)),
        Request::Unsubscribe(it) => {
            message.unsubscribe = Some(wire::UnsubscribeRequest { channel: it.channel.clone() });
        }
        Request::Publish(it) => message.publish = Some(publish(it)),
        Request::Presence(it) => {
            message.presence = Some(wire::PresenceRequest { channel: it.channel.clone() });
        }
        Request::PresenceStats(it) => {
            message.presence_stats = Some(wire::PresenceStatsRequest { channel: it.channel.clone() });
        }
        Request::History(it) => {
            message.history = Some(wire::HistoryRequest {
                channel: it.channel.clone(),
                limit: it.limit,
                since: it.since.as_ref().map(position),
                reverse: it.reverse,
            });
        }
        Request::Ping => message.ping = Some(wire::PingRequest {}),
        Request::Send(it) => message.send = Some(wire::SendRequest { data: it.data.bytes().clone() }),
        Request::Rpc(it) => {
            let data = it.data.bytes().clone();
            message.rpc = Some(wire::RpcRequest { data, method: it.method.clone() });
        }
        Request::Refresh(it) => message.refresh = Some(wire::RefreshRequest { token: it.token.clone() }),
        Request::SubRefresh(it) => message.sub_refresh = Some(sub_refresh(it)),
    }
    message.encode_length_delimited_to_vec()
}

pub(crate) fn emulation(it: &EmulationRequest) -> Vec<u8> {
    let (node, session) = (it.node.clone(), it.session.clone());
    wire::EmulationRequest { node, session, data: it.data.clone() }.encode_to_vec()
}

fn position(it: &StreamPosition) -> wire::StreamPosition {
    wire::StreamPosition { offset: it.offset, epoch: it.epoch.as_str().to_owned() }
}

fn connect(it: &Connect) -> wire::ConnectRequest {
    wire::ConnectRequest {
        token: it.token.clone(),
        data: it.data.bytes().clone(),
        subs: it.subs.iter().map(|(channel, it)| (channel.clone(), subscribe(it))).collect(),
        name: it.name.clone(),
        version: it.version.clone(),
        headers: it.headers.iter().cloned().collect(),
        flag: it.flag,
        profile: it.profile.clone(),
        dict: it.dict.clone(),
    }
}

fn subscribe(it: &Subscribe) -> wire::SubscribeRequest {
    wire::SubscribeRequest {
        channel: it.channel.clone(),
        token: it.token.clone(),
        recover: it.recover,
        epoch: it.position.epoch.as_str().to_owned(),
        offset: it.position.offset,
        data: it.data.bytes().clone(),
        positioned: it.positioned,
        recoverable: it.recoverable,
        join_leave: it.join_leave,
        delta: it.delta.clone(),
        tf: it.filter.as_deref().map(filter),
        flag: it.flag,
        r#type: it.kind,
        phase: it.phase,
        cursor: it.cursor.clone(),
        limit: it.limit,
        asc: it.asc,
    }
}

fn filter(it: &TagFilter) -> wire::FilterNode {
    wire::FilterNode {
        op: it.op.clone(),
        key: it.key.clone(),
        cmp: it.cmp.clone(),
        val: it.val.clone(),
        vals: it.vals.clone(),
        nodes: it.nodes.iter().map(filter).collect(),
    }
}

fn publish(it: &Publish) -> wire::PublishRequest {
    wire::PublishRequest {
        channel: it.channel.clone(),
        data: it.data.bytes().clone(),
        r#type: it.kind,
        key: it.key.clone(),
        removed: it.removed,
    }
}

fn sub_refresh(it: &SubRefresh) -> wire::SubRefreshRequest {
    let batch = |it: &TrackBatch| {
        let items = it.items.iter().map(|it| wire::KeyedItem { key: it.key.clone(), version: it.version });
        wire::TrackBatch { signature: it.signature.clone(), items: items.collect() }
    };
    wire::SubRefreshRequest {
        channel: it.channel.clone(),
        token: it.token.clone(),
        r#type: it.kind,
        track: it.track.iter().map(batch).collect(),
        untrack: it.untrack.clone(),
    }
}
