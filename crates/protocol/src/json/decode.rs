//! JSON to commands.
//!
//! Payloads are not parsed into a tree: they stay slices of the frame. `null` counts as absent.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tourbillon_types::{Epoch, Payload, StreamPosition, TagFilter};

use crate::command::{
    Command, Connect, History, KeyedItem, Presence, PresenceStats, Publish, Refresh, Request, Rpc, Send,
    SubRefresh, Subscribe, TrackBatch, Unsubscribe,
};
use crate::{DecodeError, Limits};

pub(crate) fn decode_command(bytes: &Bytes, limits: &Limits) -> Result<Command, DecodeError> {
    let wire: Object<WireCommand<'_>> =
        serde_json::from_slice(bytes).map_err(|error| DecodeError::Json(error.to_string()))?;
    wire.0.into_command(&Frame { bytes, limits })
}

/// Where payloads are slices of.
struct Frame<'a> {
    bytes: &'a Bytes,
    limits: &'a Limits,
}

impl Frame<'_> {
    fn payload(&self, raw: Option<&RawValue>) -> Payload {
        raw.map_or_else(Payload::empty, |raw| Payload::from_json(self.bytes.slice_ref(raw.get().as_bytes())))
    }
}

/// A message, which is an object: what serde derives would take an array of the fields too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// `Some(())` for a value that is there and not `null`.
type Flag = Option<serde::de::IgnoredAny>;

#[derive(Deserialize)]
struct WireCommand<'a> {
    #[serde(default)]
    id: Option<u32>,
    #[serde(borrow, default)]
    connect: Option<Box<Object<WireConnect<'a>>>>,
    #[serde(default)]
    ping: Flag,
    #[serde(borrow, default)]
    subscribe: Option<Box<Object<WireSubscribe<'a>>>>,
    #[serde(borrow, default)]
    unsubscribe: Option<Object<WireChannel<'a>>>,
    #[serde(borrow, default)]
    publish: Option<Object<WirePublish<'a>>>,
    #[serde(borrow, default)]
    presence: Option<Object<WireChannel<'a>>>,
    #[serde(borrow, default)]
    presence_stats: Option<Object<WireChannel<'a>>>,
    #[serde(borrow, default)]
    history: Option<Object<WireHistory<'a>>>,
    #[serde(borrow, default)]
    rpc: Option<Object<WireRpc<'a>>>,
    #[serde(borrow, default)]
    send: Option<Object<WireSend<'a>>>,
    #[serde(borrow, default)]
    refresh: Option<Object<WireRefresh<'a>>>,
    #[serde(borrow, default)]
    sub_refresh: Option<Box<Object<WireSubRefresh<'a>>>>,
}

type Text<'a> = Option<Cow<'a, str>>;

fn text(text: Text<'_>) -> String {
    text.map(Cow::into_owned).unwrap_or_default()
}

impl WireCommand<'_> {
    fn into_command(self, frame: &Frame<'_>) -> Result<Command, DecodeError> {
        let id = self.id.unwrap_or_default();
        let request = if let Some(connect) = self.connect {
            Request::Connect(Box::new(connect.0.into_connect(frame)?))
        } else if self.ping.is_some() {
            Request::Ping
        } else if let Some(subscribe) = self.subscribe {
            Request::Subscribe(Box::new(subscribe.0.into_subscribe(frame)?))
        } else if let Some(Object(channel)) = self.unsubscribe {
            Request::Unsubscribe(Unsubscribe { channel: text(channel.channel) })
        } else if let Some(Object(publish)) = self.publish {
            Request::Publish(publish.into_publish(frame))
        } else if let Some(Object(channel)) = self.presence {
            Request::Presence(Presence { channel: text(channel.channel) })
        } else if let Some(Object(channel)) = self.presence_stats {
            Request::PresenceStats(PresenceStats { channel: text(channel.channel) })
        } else if let Some(Object(history)) = self.history {
            Request::History(history.into_history())
        } else if let Some(Object(rpc)) = self.rpc {
            Request::Rpc(Rpc { data: frame.payload(rpc.data), method: text(rpc.method) })
        } else if let Some(Object(send)) = self.send {
            Request::Send(Send { data: frame.payload(send.data) })
        } else if let Some(Object(refresh)) = self.refresh {
            Request::Refresh(Refresh { token: text(refresh.token) })
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

#[derive(Deserialize)]
struct WireConnect<'a> {
    #[serde(borrow, default)]
    token: Text<'a>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    subs: Option<BTreeMap<Cow<'a, str>, Option<Object<WireSubscribe<'a>>>>>,
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    version: Text<'a>,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    flag: Option<i64>,
    #[serde(borrow, default)]
    profile: Text<'a>,
    #[serde(borrow, default)]
    dict: Text<'a>,
}

impl WireConnect<'_> {
    fn into_connect(self, frame: &Frame<'_>) -> Result<Connect, DecodeError> {
        let subs = self.subs.unwrap_or_default().into_iter().map(|(channel, subscribe)| {
            let subscribe = subscribe.map(|subscribe| subscribe.0.into_subscribe(frame)).transpose()?;
            Ok((channel.into_owned(), subscribe.unwrap_or_default()))
        });
        Ok(Connect {
            token: text(self.token),
            data: frame.payload(self.data),
            subs: subs.collect::<Result<_, _>>()?,
            name: text(self.name),
            version: text(self.version),
            headers: self.headers.unwrap_or_default().into_iter().collect(),
            flag: self.flag.unwrap_or_default(),
            profile: text(self.profile),
            dict: text(self.dict),
        })
    }
}

#[derive(Deserialize)]
struct WireSubscribe<'a> {
    #[serde(borrow, default)]
    channel: Text<'a>,
    #[serde(borrow, default)]
    token: Text<'a>,
    #[serde(default)]
    recover: Option<bool>,
    #[serde(borrow, default)]
    epoch: Text<'a>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    positioned: Option<bool>,
    #[serde(default)]
    recoverable: Option<bool>,
    #[serde(default)]
    join_leave: Option<bool>,
    #[serde(borrow, default)]
    delta: Text<'a>,
    #[serde(default)]
    tf: Option<Box<Object<WireFilter>>>,
    #[serde(default)]
    flag: Option<i64>,
    #[serde(rename = "type", default)]
    kind: Option<i32>,
    #[serde(default)]
    phase: Option<i32>,
    #[serde(borrow, default)]
    cursor: Text<'a>,
    #[serde(default)]
    limit: Option<i32>,
    #[serde(default)]
    asc: Option<bool>,
}

fn position(offset: Option<u64>, epoch: &Text<'_>) -> StreamPosition {
    StreamPosition {
        offset: offset.unwrap_or_default(),
        epoch: Epoch::from(epoch.as_deref().unwrap_or_default()),
    }
}

impl WireSubscribe<'_> {
    fn into_subscribe(self, frame: &Frame<'_>) -> Result<Subscribe, DecodeError> {
        let depth = frame.limits.max_filter_depth;
        Ok(Subscribe {
            position: position(self.offset, &self.epoch),
            channel: text(self.channel),
            token: text(self.token),
            recover: self.recover.unwrap_or_default(),
            data: frame.payload(self.data),
            positioned: self.positioned.unwrap_or_default(),
            recoverable: self.recoverable.unwrap_or_default(),
            join_leave: self.join_leave.unwrap_or_default(),
            delta: text(self.delta),
            filter: self.tf.map(|filter| filter.0.into_filter(depth)).transpose()?.map(Box::new),
            flag: self.flag.unwrap_or_default(),
            kind: self.kind.unwrap_or_default(),
            phase: self.phase.unwrap_or_default(),
            cursor: text(self.cursor),
            limit: self.limit.unwrap_or_default(),
            asc: self.asc.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct WireFilter {
    #[serde(default)]
    op: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    cmp: Option<String>,
    #[serde(default)]
    val: Option<String>,
    #[serde(default)]
    vals: Option<Vec<String>>,
    #[serde(default)]
    nodes: Option<Vec<Object<Self>>>,
}

impl WireFilter {
    fn into_filter(self, depth: usize) -> Result<TagFilter, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::FilterDepth)?;
        let nodes = self.nodes.unwrap_or_default().into_iter();
        Ok(TagFilter {
            op: self.op.unwrap_or_default(),
            key: self.key.unwrap_or_default(),
            cmp: self.cmp.unwrap_or_default(),
            val: self.val.unwrap_or_default(),
            vals: self.vals.unwrap_or_default(),
            nodes: nodes.map(|node| node.0.into_filter(depth)).collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Deserialize)]
struct WireChannel<'a> {
    #[serde(borrow, default)]
    channel: Text<'a>,
}

#[derive(Deserialize)]
struct WirePublish<'a> {
    #[serde(borrow, default)]
    channel: Text<'a>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(rename = "type", default)]
    kind: Option<i32>,
    #[serde(borrow, default)]
    key: Text<'a>,
    #[serde(default)]
    removed: Option<bool>,
}

impl WirePublish<'_> {
    fn into_publish(self, frame: &Frame<'_>) -> Publish {
        Publish {
            channel: text(self.channel),
            data: frame.payload(self.data),
            kind: self.kind.unwrap_or_default(),
            key: text(self.key),
            removed: self.removed.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct WireHistory<'a> {
    #[serde(borrow, default)]
    channel: Text<'a>,
    #[serde(default)]
    limit: Option<i32>,
    #[serde(borrow, default)]
    since: Option<Object<WirePosition<'a>>>,
    #[serde(default)]
    reverse: Option<bool>,
}

#[derive(Deserialize)]
struct WirePosition<'a> {
    #[serde(default)]
    offset: Option<u64>,
    #[serde(borrow, default)]
    epoch: Text<'a>,
}

impl WireHistory<'_> {
    fn into_history(self) -> History {
        History {
            channel: text(self.channel),
            limit: self.limit.unwrap_or_default(),
            since: self.since.map(|Object(since)| position(since.offset, &since.epoch)),
            reverse: self.reverse.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct WireRpc<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Text<'a>,
}

#[derive(Deserialize)]
struct WireSend<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireRefresh<'a> {
    #[serde(borrow, default)]
    token: Text<'a>,
}

#[derive(Deserialize)]
struct WireSubRefresh<'a> {
    #[serde(borrow, default)]
    channel: Text<'a>,
    #[serde(borrow, default)]
    token: Text<'a>,
    #[serde(rename = "type", default)]
    kind: Option<i32>,
    #[serde(default)]
    track: Option<Vec<Object<WireBatch>>>,
    #[serde(default)]
    untrack: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct WireBatch {
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    items: Option<Vec<Object<WireItem>>>,
}

#[derive(Deserialize)]
struct WireItem {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    version: Option<u64>,
}

impl WireSubRefresh<'_> {
    fn into_sub_refresh(self) -> SubRefresh {
        let batches = self.track.unwrap_or_default().into_iter();
        SubRefresh {
            channel: text(self.channel),
            token: text(self.token),
            kind: self.kind.unwrap_or_default(),
            track: batches.map(|Object(batch)| batch.into_batch()).collect(),
            untrack: self.untrack.unwrap_or_default(),
        }
    }
}

impl WireBatch {
    fn into_batch(self) -> TrackBatch {
        let items = self.items.unwrap_or_default().into_iter();
        TrackBatch {
            signature: self.signature.unwrap_or_default(),
            items: items
                .map(|Object(item)| KeyedItem {
                    key: item.key.unwrap_or_default(),
                    version: item.version.unwrap_or_default(),
                })
                .collect(),
        }
    }
}
