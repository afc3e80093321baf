//! Replies and pushes to Protobuf. The numbers are those of the schema.

use std::sync::Arc;

use tourbillon_types::{ClientInfo, Disconnect, Epoch, Payload, Publication, ReplyError, Unsubscribe};

use super::write::{Empty, Entry, Message, Sink, TextEntry, delimited};
use crate::Envelope;
use crate::encode::live_epoch;
use crate::reply::{
    ConnectResult, Dictionary, HistoryResult, PresenceResult, PresenceStatsResult, Push, PushEvent,
    RefreshResult, Reply, ReplyResult, SubRefreshResult, SubscribePush, SubscribeResult,
};

/// Writes into the memory of `buffer`, as the other functions for whole messages do.
pub(crate) fn reply(buffer: Vec<u8>, reply: &Reply) -> Vec<u8> {
    delimited(buffer, reply)
}

pub(crate) fn push(buffer: Vec<u8>, envelope: Envelope, push: &Push) -> Vec<u8> {
    let channel = push.channel.as_deref().unwrap_or_default();
    wrapped(buffer, envelope, &WirePush { id: push.id, channel, event: &push.event })
}

pub(crate) fn publication_push(
    buffer: Vec<u8>,
    envelope: Envelope,
    channel: &str,
    id: i64,
    it: &Publication,
) -> Vec<u8> {
    wrapped(buffer, envelope, &WirePush { id, channel, event: it })
}

fn wrapped(buffer: Vec<u8>, envelope: Envelope, push: &impl Message) -> Vec<u8> {
    match envelope {
        Envelope::Push => delimited(buffer, push),
        Envelope::Reply => delimited(buffer, &PushReply(push)),
    }
}

/// A reply that wraps a push.
struct PushReply<M>(M);

impl<M: Message> Message for PushReply<M> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.message(4, &self.0);
    }
}

impl Message for Reply {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.id);
        match &self.result {
            Err(error) => sink.message(2, error),
            Ok(ReplyResult::Connect(it)) => sink.message(5, &**it),
            Ok(ReplyResult::Subscribe(it)) => sink.message(6, &**it),
            Ok(ReplyResult::Unsubscribe) => sink.message(7, &Empty),
            Ok(ReplyResult::Publish) => sink.message(8, &Empty),
            Ok(ReplyResult::Presence(it)) => sink.message(9, it),
            Ok(ReplyResult::PresenceStats(it)) => sink.message(10, it),
            Ok(ReplyResult::History(it)) => sink.message(11, it),
            Ok(ReplyResult::Ping) => sink.message(12, &Empty),
            Ok(ReplyResult::Rpc(it)) => sink.message(13, &Data(&it.data)),
            Ok(ReplyResult::Refresh(it)) => sink.message(14, it),
            Ok(ReplyResult::SubRefresh(it)) => sink.message(15, it),
        }
    }
}

/// A push of anything that can be one.
struct WirePush<'a, E> {
    id: i64,
    channel: &'a str,
    event: &'a E,
}

impl<E: Event> Message for WirePush<'_, E> {
    fn write<S: Sink>(&self, sink: &mut S) {
        if self.id == 0 {
            sink.bytes(2, self.channel);
        } else {
            sink.signed(1, self.id);
        }
        self.event.write(sink);
    }
}

/// Writes itself as the one field of a push that says what happened.
trait Event {
    fn write<S: Sink>(&self, sink: &mut S);
}

impl Event for Publication {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.message(4, &WirePublication { it: self, epoch: live_epoch(self) });
    }
}

impl Event for PushEvent {
    fn write<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Publication(it) => Event::write(&**it, sink),
            Self::Join(it) => sink.message(5, &Person(it)),
            Self::Leave(it) => sink.message(6, &Person(it)),
            Self::Unsubscribe(it) => sink.message(7, it),
            Self::Message(it) => sink.message(8, &Data(it)),
            Self::Subscribe(it) => sink.message(9, it),
            Self::Connect(it) => sink.message(10, &ConnectPush(it)),
            Self::Disconnect(it) => sink.message(11, it),
            Self::Refresh(it) => sink.message(12, &RefreshPush(it)),
        }
    }
}

impl Message for ReplyError {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.code.0);
        sink.bytes(2, &*self.message);
        sink.number(3, self.temporary);
    }
}

/// A message of data alone.
struct Data<'a>(&'a Payload);

impl Message for Data<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, self.0);
    }
}

impl Message for ConnectResult {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.client);
        sink.bytes(2, &self.version);
        sink.number(3, self.expires);
        sink.number(4, self.ttl);
        sink.bytes(5, &self.data);
        sink.messages(6, self.subs.iter().map(|(channel, it)| Entry(channel, it)));
        sink.number(7, self.ping);
        sink.number(8, self.pong);
        sink.bytes(9, &self.session);
        sink.bytes(10, &self.node);
        sink.signed(11, self.time);
        sink.signed(12, self.flag);
        sink.messages(13, &self.dict);
    }
}

/// The push has neither features nor a dictionary, and other numbers.
struct ConnectPush<'a>(&'a ConnectResult);

impl Message for ConnectPush<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.0.client);
        sink.bytes(2, &self.0.version);
        sink.bytes(3, &self.0.data);
        sink.messages(4, self.0.subs.iter().map(|(channel, it)| Entry(channel, it)));
        sink.number(5, self.0.expires);
        sink.number(6, self.0.ttl);
        sink.number(7, self.0.ping);
        sink.number(8, self.0.pong);
        sink.bytes(9, &self.0.session);
        sink.bytes(10, &self.0.node);
        sink.signed(11, self.0.time);
    }
}

impl Message for Dictionary {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.id);
        sink.bytes(2, &self.data);
        sink.bytes(3, &self.data_b64);
    }
}

impl Message for SubscribeResult {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.expires);
        sink.number(2, self.ttl);
        sink.number(3, self.recoverable);
        sink.bytes(6, self.position.epoch.as_str());
        sink.messages(7, listed(&self.publications));
        sink.number(8, self.recovered);
        sink.number(9, self.position.offset);
        sink.number(10, self.positioned);
        sink.bytes(11, &self.data);
        sink.number(12, self.was_recovering);
        sink.number(13, self.delta);
        sink.signed(14, self.id);
        sink.signed(15, self.kind);
        sink.signed(16, self.phase);
        sink.bytes(17, &self.cursor);
        sink.messages(18, listed(&self.state));
        sink.number(19, self.publish_debounce);
    }
}

impl Message for SubscribePush {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.recoverable);
        sink.bytes(4, self.position.epoch.as_str());
        sink.number(5, self.position.offset);
        sink.number(6, self.positioned);
        sink.bytes(7, &self.data);
    }
}

impl Message for PresenceResult {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.messages(1, self.presence.iter().map(|(client, it)| Entry(client, &**it)));
    }
}

impl Message for PresenceStatsResult {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.num_clients);
        sink.number(2, self.num_users);
    }
}

impl Message for HistoryResult {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.messages(1, listed(&self.publications));
        sink.bytes(2, self.position.epoch.as_str());
        sink.number(3, self.position.offset);
    }
}

impl Message for RefreshResult {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, &self.client);
        sink.bytes(2, &self.version);
        sink.number(3, self.expires);
        sink.number(4, self.ttl);
    }
}

struct RefreshPush<'a>(&'a RefreshResult);

impl Message for RefreshPush<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.0.expires);
        sink.number(2, self.0.ttl);
    }
}

impl Message for SubRefreshResult {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.expires);
        sink.number(2, self.ttl);
        sink.messages(3, listed(&self.items));
    }
}

impl Message for Unsubscribe {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(2, self.code);
        sink.bytes(3, &*self.reason);
    }
}

/// `reconnect` is never said (HID-13).
impl Message for Disconnect {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.number(1, self.code);
        sink.bytes(2, &*self.reason);
    }
}

/// Somebody who came or left.
struct Person<'a>(&'a ClientInfo);

impl Message for Person<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.message(1, self.0);
    }
}

impl Message for ClientInfo {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes(1, self.user.as_str());
        if let Some(client) = &self.client {
            sink.client(2, client);
        }
        sink.bytes(3, &self.connection);
        sink.bytes(4, &self.channel);
    }
}

/// Publications of a result, which states the epoch itself.
fn listed(them: &[Arc<Publication>]) -> impl Iterator<Item = WirePublication<'_>> {
    them.iter().map(|it| WirePublication { it, epoch: &Epoch::UNKNOWN })
}

/// `time` is kept from clients (HID-11).
struct WirePublication<'a> {
    it: &'a Publication,
    epoch: &'a Epoch,
}

impl Message for WirePublication<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        let Self { it, epoch } = self;
        sink.bytes(4, &it.data);
        sink.messages(5, it.info.as_deref());
        sink.number(6, it.offset);
        let tags = it.tags.iter().flat_map(|tags| tags.iter());
        sink.messages(7, tags.map(|(name, value)| TextEntry(name, value)));
        sink.number(8, it.delta);
        sink.bytes(10, it.channel.as_deref().unwrap_or_default());
        sink.bytes(11, it.key.as_deref().unwrap_or_default());
        sink.number(12, it.removed);
        sink.zigzag(13, it.score);
        sink.bytes(14, epoch.as_str());
        sink.number(16, it.version);
    }
}
