//! Replies and pushes to JSON.

use std::sync::Arc;

use tourbillon_types::{ClientId, ClientInfo, Epoch, Publication, ReplyError, StreamPosition};

use super::write::Writer;
use crate::encode::live_epoch;
use crate::reply::{
    ConnectResult, Dictionary, HistoryResult, Push, PushEvent, RefreshResult, Reply, ReplyResult,
    SubRefreshResult, SubscribeResult,
};
use crate::{EncodeError, Envelope};

type Result = std::result::Result<(), EncodeError>;

/// Room for a message of the usual size without its payloads and texts.
const OVERHEAD: usize = 96;

/// Writes into the memory of `buffer`, as the other functions for whole messages do.
pub(crate) fn reply(buffer: Vec<u8>, reply: &Reply) -> std::result::Result<Vec<u8>, EncodeError> {
    let room = match &reply.result {
        Ok(ReplyResult::Subscribe(it)) => rooms(&it.publications) + rooms(&it.state),
        Ok(ReplyResult::History(it)) => rooms(&it.publications),
        Ok(ReplyResult::Presence(it)) => it.presence.iter().map(|(_, info)| info_room(info) + 40).sum(),
        _ => 0,
    };
    let mut w = Writer::within(buffer, 2 * OVERHEAD + room);
    w.open();
    w.number("id", reply.id);
    match &reply.result {
        Err(refused) => error(&mut w, refused),
        Ok(result) => reply_result(&mut w, result)?,
    }
    w.close();
    Ok(w.finish())
}

/// About how long publications get, so that the buffer seldom grows.
fn rooms(publications: &[Arc<Publication>]) -> usize {
    publications.iter().map(|it| publication_room(it)).sum()
}

fn publication_room(it: &Publication) -> usize {
    let info = it.info.as_deref().map_or(0, info_room);
    let tags = it.tags.iter().flat_map(|tags| tags.iter());
    let tags: usize = tags.map(|(name, value)| name.len() + value.len() + 6).sum();
    OVERHEAD + it.data.len() + it.key.as_ref().map_or(0, |key| key.len()) + info + tags
}

fn info_room(it: &ClientInfo) -> usize {
    OVERHEAD + it.user.len() + it.connection.len() + it.channel.len()
}

fn error(w: &mut Writer, error: &ReplyError) {
    w.object("error");
    w.number("code", error.code.0);
    w.text("message", &error.message);
    w.flag("temporary", error.temporary);
    w.close();
}

fn reply_result(w: &mut Writer, result: &ReplyResult) -> Result {
    match result {
        ReplyResult::Connect(result) => connect_result(w, result)?,
        ReplyResult::Subscribe(result) => {
            w.key("subscribe");
            subscribe(w, result)?;
        }
        ReplyResult::Unsubscribe => empty(w, "unsubscribe"),
        ReplyResult::Publish => empty(w, "publish"),
        ReplyResult::Presence(result) => {
            w.object("presence");
            let entries = result.presence.iter().map(|(client, info)| (client.as_str(), info));
            w.map("presence", entries, |w, info| client_info(w, info))?;
            w.close();
        }
        ReplyResult::PresenceStats(stats) => {
            w.object("presence_stats");
            w.number_always("num_clients", stats.num_clients);
            w.number_always("num_users", stats.num_users);
            w.close();
        }
        ReplyResult::History(result) => history(w, result)?,
        ReplyResult::Ping => empty(w, "ping"),
        ReplyResult::Rpc(result) => {
            w.object("rpc");
            w.payload("data", &result.data)?;
            w.close();
        }
        ReplyResult::Refresh(result) => {
            w.key("refresh");
            refresh(w, result);
        }
        ReplyResult::SubRefresh(result) => sub_refresh(w, result)?,
    }
    Ok(())
}

fn empty(w: &mut Writer, key: &str) {
    w.object(key);
    w.close();
}

fn connect_result(w: &mut Writer, result: &ConnectResult) -> Result {
    w.object("connect");
    w.text("client", &result.client);
    w.text("version", &result.version);
    w.flag("expires", result.expires);
    w.number("ttl", result.ttl);
    w.payload("data", &result.data)?;
    subscriptions(w, result)?;
    connection(w, result);
    w.number("flag", result.flag);
    if let Some(dict) = &result.dict {
        dictionary(w, dict)?;
    }
    w.close();
    Ok(())
}

/// The push has neither features nor a dictionary, and another order.
fn connect_push(w: &mut Writer, result: &ConnectResult) -> Result {
    w.object("connect");
    w.text("client", &result.client);
    w.text("version", &result.version);
    w.payload("data", &result.data)?;
    subscriptions(w, result)?;
    w.flag("expires", result.expires);
    w.number("ttl", result.ttl);
    connection(w, result);
    w.close();
    Ok(())
}

fn subscriptions(w: &mut Writer, result: &ConnectResult) -> Result {
    if !result.subs.is_empty() {
        let entries = result.subs.iter().map(|(channel, result)| (channel.as_str(), result));
        w.map("subs", entries, subscribe)?;
    }
    Ok(())
}

fn connection(w: &mut Writer, result: &ConnectResult) {
    w.number("ping", result.ping);
    w.flag("pong", result.pong);
    w.text("session", &result.session);
    w.text("node", &result.node);
    w.number("time", result.time);
}

fn dictionary(w: &mut Writer, dict: &Dictionary) -> Result {
    w.object("dict");
    w.text("id", &dict.id);
    w.payload("data", &dict.data)?;
    w.text("data_b64", &dict.data_b64);
    w.close();
    Ok(())
}

fn subscribe(w: &mut Writer, result: &SubscribeResult) -> Result {
    w.open();
    w.flag("expires", result.expires);
    w.number("ttl", result.ttl);
    w.flag("recoverable", result.recoverable);
    w.text("epoch", result.position.epoch.as_str());
    if !result.publications.is_empty() {
        w.list("publications", &result.publications, listed_publication)?;
    }
    w.flag("recovered", result.recovered);
    w.number("offset", result.position.offset);
    w.flag("positioned", result.positioned);
    w.payload("data", &result.data)?;
    w.flag("was_recovering", result.was_recovering);
    w.flag("delta", result.delta);
    w.number("id", result.id);
    w.number("type", result.kind);
    w.number("phase", result.phase);
    w.text("cursor", &result.cursor);
    if !result.state.is_empty() {
        w.list("state", &result.state, listed_publication)?;
    }
    w.number("publish_debounce", result.publish_debounce);
    w.close();
    Ok(())
}

fn history(w: &mut Writer, result: &HistoryResult) -> Result {
    w.object("history");
    w.list("publications", &result.publications, listed_publication)?;
    let StreamPosition { offset, epoch } = &result.position;
    w.text_always("epoch", epoch.as_str());
    w.number_always("offset", *offset);
    w.close();
    Ok(())
}

fn refresh(w: &mut Writer, result: &RefreshResult) {
    w.open();
    w.text("client", &result.client);
    w.text("version", &result.version);
    w.flag("expires", result.expires);
    w.number("ttl", result.ttl);
    w.close();
}

fn sub_refresh(w: &mut Writer, result: &SubRefreshResult) -> Result {
    w.object("sub_refresh");
    w.flag("expires", result.expires);
    w.number("ttl", result.ttl);
    if !result.items.is_empty() {
        w.list("items", &result.items, listed_publication)?;
    }
    w.close();
    Ok(())
}

/// A publication of a result, which states the epoch itself.
fn listed_publication(w: &mut Writer, it: &Arc<Publication>) -> Result {
    publication(w, it, &Epoch::UNKNOWN)
}

/// `time` is kept from clients (HID-11).
fn publication(w: &mut Writer, publication: &Publication, epoch: &Epoch) -> Result {
    w.open();
    w.payload("data", &publication.data)?;
    if let Some(info) = &publication.info {
        w.key("info");
        client_info(w, info)?;
    }
    w.number("offset", publication.offset);
    if let Some(tags) = publication.tags.as_ref().filter(|tags| !tags.is_empty()) {
        let entries = tags.iter().map(|(name, value)| (name.as_str(), value));
        w.map("tags", entries, |w, value| {
            w.value(value);
            Ok(())
        })?;
    }
    w.flag("delta", publication.delta);
    w.text("channel", publication.channel.as_deref().unwrap_or_default());
    w.text("key", publication.key.as_deref().unwrap_or_default());
    w.flag("removed", publication.removed);
    w.number("score", publication.score);
    w.text("epoch", epoch.as_str());
    w.number("version", publication.version);
    w.close();
    Ok(())
}

fn client_info(w: &mut Writer, info: &ClientInfo) -> Result {
    w.open();
    w.text_always("user", &info.user);
    let client = info.client.as_ref().map(ClientId::text);
    w.text_always("client", client.as_ref().map_or("", |text| text.as_str()));
    w.payload("conn_info", &info.connection)?;
    w.payload("chan_info", &info.channel)?;
    w.close();
    Ok(())
}

pub(crate) fn publication_push(
    buffer: Vec<u8>,
    envelope: Envelope,
    channel: &str,
    id: i64,
    it: &Publication,
) -> std::result::Result<Vec<u8>, EncodeError> {
    let mut w = Writer::within(buffer, publication_room(it) + channel.len() + 24);
    open_push(&mut w, envelope, channel, id);
    w.key("pub");
    publication(&mut w, it, live_epoch(it))?;
    close_push(&mut w, envelope);
    Ok(w.finish())
}

fn open_push(w: &mut Writer, envelope: Envelope, channel: &str, id: i64) {
    w.open();
    if envelope == Envelope::Reply {
        w.object("push");
    }
    if id == 0 {
        w.text("channel", channel);
    } else {
        w.number("id", id);
    }
}

fn close_push(w: &mut Writer, envelope: Envelope) {
    w.close();
    if envelope == Envelope::Reply {
        w.close();
    }
}

pub(crate) fn push(
    buffer: Vec<u8>,
    envelope: Envelope,
    push: &Push,
) -> std::result::Result<Vec<u8>, EncodeError> {
    let mut w = Writer::within(buffer, OVERHEAD);
    open_push(&mut w, envelope, push.channel.as_deref().unwrap_or_default(), push.id);
    push_event(&mut w, &push.event)?;
    close_push(&mut w, envelope);
    Ok(w.finish())
}

fn push_event(w: &mut Writer, event: &PushEvent) -> Result {
    match event {
        PushEvent::Publication(it) => {
            w.key("pub");
            publication(w, it, live_epoch(it))?;
        }
        PushEvent::Join(info) => presence_event(w, "join", info)?,
        PushEvent::Leave(info) => presence_event(w, "leave", info)?,
        PushEvent::Unsubscribe(why) => {
            w.object("unsubscribe");
            w.number("code", why.code);
            w.text("reason", &why.reason);
            w.close();
        }
        PushEvent::Message(data) => {
            w.object("message");
            w.payload("data", data)?;
            w.close();
        }
        PushEvent::Subscribe(subscribe) => {
            w.object("subscribe");
            w.flag("recoverable", subscribe.recoverable);
            w.text("epoch", subscribe.position.epoch.as_str());
            w.number("offset", subscribe.position.offset);
            w.flag("positioned", subscribe.positioned);
            w.payload("data", &subscribe.data)?;
            w.close();
        }
        PushEvent::Connect(result) => connect_push(w, result)?,
        PushEvent::Disconnect(why) => {
            w.object("disconnect");
            w.number("code", why.code);
            w.text("reason", &why.reason);
            w.close();
        }
        PushEvent::Refresh(result) => {
            w.object("refresh");
            w.flag("expires", result.expires);
            w.number("ttl", result.ttl);
            w.close();
        }
    }
    Ok(())
}

fn presence_event(w: &mut Writer, key: &str, info: &ClientInfo) -> Result {
    w.object(key);
    w.key("info");
    client_info(w, info)?;
    w.close();
    Ok(())
}
