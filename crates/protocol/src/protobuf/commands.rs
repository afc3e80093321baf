//! Commands to Protobuf, for clients. The numbers are those of the schema.

use tourbillon_types::{Payload, StreamPosition, TagFilter};

use super::write::{Empty, Entry, Message, Sink, TextEntry, delimited, plain};
use crate::command::{
    Command, Connect, EmulationRequest, History, KeyedItem, Publish, Request, Rpc, SubRefresh, Subscribe,
    TrackBatch,
};

pub(crate) fn command(command: &Command) -> Vec<u8> {
    delimited(Vec::new(), command)
}

pub(crate) fn emulation(request: &EmulationRequest) -> Vec<u8> {
    plain(request)
}

impl Message for EmulationRequest {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.node);
        sink.bytes(2, &self.session);
        sink.bytes(3, &self.data);
    }
}

impl Message for Command {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.id);
        match &self.request {
            Request::Pong | Request::Empty => {}
            Request::Connect(it) => sink.message(4, &**it),
            Request::Subscribe(it) => sink.message(5, &**it),
            Request::Unsubscribe(it) => sink.message(6, &First(&it.channel)),
            Request::Publish(it) => sink.message(7, it),
            Request::Presence(it) => sink.message(8, &First(&it.channel)),
            Request::PresenceStats(it) => sink.message(9, &First(&it.channel)),
            Request::History(it) => sink.message(10, it),
            Request::Ping => sink.message(11, &Empty),
            Request::Send(it) => sink.message(12, &First(&it.data)),
            Request::Rpc(it) => sink.message(13, it),
            Request::Refresh(it) => sink.message(14, &First(&it.token)),
            Request::SubRefresh(it) => sink.message(15, &**it),
        }
    }
}

/// A message of one field of text or bytes.
struct First<'a, T>(&'a T);

impl Message for First<'_, String> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, self.0);
    }
}

impl Message for First<'_, Payload> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, self.0);
    }
}

impl Message for Connect {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.token);
        sink.bytes(2, &self.data);
        sink.messages(3, self.subs.iter().map(|(channel, it)| Entry(channel, it)));
        sink.bytes(4, &self.name);
        sink.bytes(5, &self.version);
        sink.messages(6, self.headers.iter().map(|(name, value)| TextEntry(name, value)));
        sink.signed(7, self.flag);
        sink.bytes(8, &self.dict);
        sink.bytes(9, &self.profile);
    }
}

impl Message for Subscribe {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.channel);
        sink.bytes(2, &self.token);
        sink.number(3, self.recover);
        sink.bytes(6, self.position.epoch.as_str());
        sink.number(7, self.position.offset);
        sink.bytes(8, &self.data);
        sink.number(9, self.positioned);
        sink.number(10, self.recoverable);
        sink.number(11, self.join_leave);
        sink.bytes(12, &self.delta);
        sink.messages(13, self.filter.as_deref());
        sink.signed(14, self.flag);
        sink.signed(15, self.kind);
        sink.signed(16, self.phase);
        sink.bytes(17, &self.cursor);
        sink.signed(18, self.limit);
        sink.number(19, self.asc);
    }
}

impl Message for TagFilter {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.op);
        sink.bytes(2, &self.key);
        sink.bytes(3, &self.cmp);
        sink.bytes(4, &self.val);
        for val in &self.vals {
            sink.bytes_always(5, val);
        }
        sink.messages(6, &self.nodes);
    }
}

impl Message for Publish {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.channel);
        sink.bytes(2, &self.data);
        sink.signed(3, self.kind);
        sink.bytes(4, &self.key);
        sink.number(5, self.removed);
    }
}

impl Message for History {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.channel);
        sink.signed(7, self.limit);
        sink.messages(8, &self.since);
        sink.number(9, self.reverse);
    }
}

impl Message for StreamPosition {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.offset);
        sink.bytes(2, self.epoch.as_str());
    }
}

impl Message for Rpc {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.data);
        sink.bytes(2, &self.method);
    }
}

impl Message for SubRefresh {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.channel);
        sink.bytes(2, &self.token);
        sink.signed(3, self.kind);
        sink.messages(4, &self.track);
        for key in &self.untrack {
            sink.bytes_always(5, key);
        }
    }
}

impl Message for TrackBatch {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.signature);
        sink.messages(2, &self.items);
    }
}

impl Message for KeyedItem {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.key);
        sink.number(2, self.version);
    }
}
