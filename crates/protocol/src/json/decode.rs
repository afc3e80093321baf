//! JSON to commands.
//!
//! Payloads are not parsed into a tree: they stay slices of the frame, and nest as deeply as they like. `null` counts
//! as absent, except as a payload, where it is the value `null`.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tourbillon_types::{Encoding, Payload, TagFilter};

use super::read::{Nullable, Object, WireEmpty, WireText, parse, payload, position, raw};
use crate::command::{
    Command, Connect, EmulationRequest, History, KeyedItem, Presence, PresenceStats, Publish, Refresh,
    Request, Rpc, Send, SubRefresh, Subscribe, TrackBatch, Unsubscribe,
};
use crate::{DecodeError, Limits};

pub(crate) fn decode_command(bytes: &Bytes, limits: &Limits) -> Result<Command, DecodeError> {
    // What an idle client says, and nothing else as often.
    if bytes[..] == *b"{}" {
        return Ok(Command { id: 0, request: Request::Pong });
    }
    parse::<WireCommand<'_>>(bytes)?.into_command(&Frame { bytes, limits })
}

pub(crate) fn decode_emulation(body: &Bytes) -> Result<EmulationRequest, DecodeError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Wire {
        node: Nullable<String>,
        session: Nullable<String>,
        data: Nullable<String>,
    }

    let Wire { node, session, data } = parse(body)?;
    let encoding = Encoding::Json;
    Ok(EmulationRequest { node: node.0, session: session.0, data: data.0.into(), encoding })
}

/// Where payloads are slices of.
struct Frame<'a> {
    bytes: &'a Bytes,
    limits: &'a Limits,
}

impl Frame<'_> {
    fn payload(&self, raw: Option<&RawValue>) -> Payload {
        payload(self.bytes, raw)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireCommand<'a> {
    id: Nullable<u32>,
    #[serde(borrow)]
    connect: Option<Object<WireConnect<'a>>>,
    ping: Option<Object<WireEmpty>>,
    #[serde(borrow)]
    subscribe: Option<Box<Object<WireSubscribe<'a>>>>,
    unsubscribe: Option<Object<WireChannel>>,
    #[serde(borrow)]
    publish: Option<Object<WirePublish<'a>>>,
    presence: Option<Object<WireChannel>>,
    presence_stats: Option<Object<WireChannel>>,
    history: Option<Object<WireHistory>>,
    #[serde(borrow)]
    rpc: Option<Object<WireRpc<'a>>>,
    #[serde(borrow)]
    send: Option<Object<WireSend<'a>>>,
    refresh: Option<Object<WireRefresh>>,
    sub_refresh: Option<Box<Object<WireSubRefresh>>>,
}

impl WireCommand<'_> {
    fn into_command(self, frame: &Frame<'_>) -> Result<Command, DecodeError> {
        let id = self.id.0;
        let request = if let Some(connect) = self.connect {
            Request::Connect(Box::new(connect.0.into_connect(frame)?))
        } else if self.ping.is_some() {
            Request::Ping
        } else if let Some(subscribe) = self.subscribe {
            Request::Subscribe(Box::new(subscribe.0.into_subscribe(frame)?))
        } else if let Some(Object(channel)) = self.unsubscribe {
            Request::Unsubscribe(Unsubscribe { channel: channel.channel.0 })
        } else if let Some(Object(publish)) = self.publish {
            Request::Publish(publish.into_publish(frame))
        } else if let Some(Object(channel)) = self.presence {
            Request::Presence(Presence { channel: channel.channel.0 })
        } else if let Some(Object(channel)) = self.presence_stats {
            Request::PresenceStats(PresenceStats { channel: channel.channel.0 })
        } else if let Some(Object(history)) = self.history {
            Request::History(history.into_history())
        } else if let Some(Object(rpc)) = self.rpc {
            Request::Rpc(Rpc { data: frame.payload(rpc.data), method: rpc.method.0 })
        } else if let Some(Object(send)) = self.send {
            Request::Send(Send { data: frame.payload(send.data) })
        } else if let Some(Object(refresh)) = self.refresh {
            Request::Refresh(Refresh { token: refresh.token.0 })
        } else if let Some(sub_refresh) = self.sub_refresh {
            Request::SubRefresh(Box::new(sub_refresh.0.into_sub_refresh()))
        } else if id == 0 {
            Request::Pong
        } else {
            Request::Empty
        };
        Ok(Command { id, request })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireConnect<'a> {
    token: Nullable<String>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    subs: Nullable<BTreeMap<String, Option<Object<WireSubscribe<'a>>>>>,
    name: WireText,
    version: WireText,
    headers: Nullable<BTreeMap<String, Nullable<String>>>,
    flag: Nullable<i64>,
    profile: Nullable<String>,
    dict: Nullable<String>,
}

impl WireConnect<'_> {
    fn into_connect(self, frame: &Frame<'_>) -> Result<Connect, DecodeError> {
        let subs = self.subs.0.into_iter().map(|(channel, subscribe)| {
            let subscribe = subscribe.map(|Object(it)| it.into_subscribe(frame)).transpose()?;
            Ok((channel, subscribe.unwrap_or_default()))
        });
        Ok(Connect {
            token: self.token.0,
            data: frame.payload(self.data),
            subs: subs.collect::<Result<_, _>>()?,
            name: self.name.0,
            version: self.version.0,
            headers: self.headers.0.into_iter().map(|(name, value)| (name, value.0)).collect(),
            flag: self.flag.0,
            profile: self.profile.0,
            dict: self.dict.0,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSubscribe<'a> {
    channel: Nullable<String>,
    token: Nullable<String>,
    recover: Nullable<bool>,
    epoch: Nullable<String>,
    offset: Nullable<u64>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    positioned: Nullable<bool>,
    recoverable: Nullable<bool>,
    join_leave: Nullable<bool>,
    delta: Nullable<String>,
    tf: Option<Box<Object<WireFilter>>>,
    flag: Nullable<i64>,
    #[serde(rename = "type")]
    kind: Nullable<i32>,
    phase: Nullable<i32>,
    cursor: Nullable<String>,
    limit: Nullable<i32>,
    asc: Nullable<bool>,
}

impl WireSubscribe<'_> {
    fn into_subscribe(self, frame: &Frame<'_>) -> Result<Subscribe, DecodeError> {
        let depth = frame.limits.max_filter_depth;
        Ok(Subscribe {
            position: position(self.offset.0, &self.epoch.0),
            channel: self.channel.0,
            token: self.token.0,
            recover: self.recover.0,
            data: frame.payload(self.data),
            positioned: self.positioned.0,
            recoverable: self.recoverable.0,
            join_leave: self.join_leave.0,
            delta: self.delta.0,
            filter: self.tf.map(|filter| filter.0.into_filter(depth)).transpose()?.map(Box::new),
            flag: self.flag.0,
            kind: self.kind.0,
            phase: self.phase.0,
            cursor: self.cursor.0,
            limit: self.limit.0,
            asc: self.asc.0,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireFilter {
    op: Nullable<String>,
    key: Nullable<String>,
    cmp: Nullable<String>,
    val: Nullable<String>,
    vals: Nullable<Vec<String>>,
    nodes: Nullable<Vec<Object<Self>>>,
}

impl WireFilter {
    fn into_filter(self, depth: usize) -> Result<TagFilter, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::FilterDepth)?;
        let nodes = self.nodes.0.into_iter();
        Ok(TagFilter {
            op: self.op.0,
            key: self.key.0,
            cmp: self.cmp.0,
            val: self.val.0,
            vals: self.vals.0,
            nodes: nodes.map(|node| node.0.into_filter(depth)).collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireChannel {
    channel: Nullable<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePublish<'a> {
    channel: Nullable<String>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(rename = "type")]
    kind: Nullable<i32>,
    key: Nullable<String>,
    removed: Nullable<bool>,
}

impl WirePublish<'_> {
    fn into_publish(self, frame: &Frame<'_>) -> Publish {
        Publish {
            channel: self.channel.0,
            data: frame.payload(self.data),
            kind: self.kind.0,
            key: self.key.0,
            removed: self.removed.0,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireHistory {
    channel: Nullable<String>,
    limit: Nullable<i32>,
    since: Option<Object<WirePosition>>,
    reverse: Nullable<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePosition {
    offset: Nullable<u64>,
    epoch: Nullable<String>,
}

impl WireHistory {
    fn into_history(self) -> History {
        History {
            channel: self.channel.0,
            limit: self.limit.0,
            since: self.since.map(|Object(since)| position(since.offset.0, &since.epoch.0)),
            reverse: self.reverse.0,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireRpc<'a> {
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    method: WireText,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSend<'a> {
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireRefresh {
    token: Nullable<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSubRefresh {
    channel: Nullable<String>,
    token: Nullable<String>,
    #[serde(rename = "type")]
    kind: Nullable<i32>,
    track: Nullable<Vec<Object<WireBatch>>>,
    untrack: Nullable<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireBatch {
    signature: Nullable<String>,
    items: Nullable<Vec<Object<WireItem>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireItem {
    key: Nullable<String>,
    version: Nullable<u64>,
}

impl WireSubRefresh {
    fn into_sub_refresh(self) -> SubRefresh {
        let batches = self.track.0.into_iter();
        SubRefresh {
            channel: self.channel.0,
            token: self.token.0,
            kind: self.kind.0,
            track: batches.map(|Object(batch)| batch.into_batch()).collect(),
            untrack: self.untrack.0,
        }
    }
}

impl WireBatch {
    fn into_batch(self) -> TrackBatch {
        let items = self.items.0.into_iter();
        TrackBatch {
            signature: self.signature.0,
            items: items.map(|Object(item)| KeyedItem { key: item.key.0, version: item.version.0 }).collect(),
        }
    }
}
