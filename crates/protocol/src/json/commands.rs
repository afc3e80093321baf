//! Commands to JSON, for clients. Members stand in the schema's order, and what is zero is left out.

use tourbillon_types::{StreamPosition, TagFilter};

use super::write::Writer;
use crate::EncodeError;
use crate::command::{Command, Connect, EmulationRequest, History, Publish, Request, SubRefresh, Subscribe};

type Result = std::result::Result<(), EncodeError>;

pub(crate) fn command(command: &Command) -> std::result::Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new(128);
    w.open();
    w.number("id", command.id);
    request(&mut w, &command.request)?;
    w.close();
    Ok(w.finish())
}

pub(crate) fn emulation(request: &EmulationRequest) -> std::result::Result<Vec<u8>, EncodeError> {
    let data = std::str::from_utf8(&request.data).map_err(|_| EncodeError::NotJson)?;
    let mut w = Writer::new(128 + data.len());
    w.open();
    w.text("node", &request.node);
    w.text("session", &request.session);
    w.text_always("data", data);
    w.close();
    Ok(w.finish())
}

fn request(w: &mut Writer, request: &Request) -> Result {
    match request {
        Request::Pong | Request::Empty => {}
        Request::Connect(it) => connect(w, it)?,
        Request::Subscribe(it) => {
            w.key("subscribe");
            subscribe(w, it)?;
        }
        Request::Unsubscribe(it) => channel(w, "unsubscribe", &it.channel),
        Request::Publish(it) => publish(w, it)?,
        Request::Presence(it) => channel(w, "presence", &it.channel),
        Request::PresenceStats(it) => channel(w, "presence_stats", &it.channel),
        Request::History(it) => history(w, it),
        Request::Ping => {
            w.object("ping");
            w.close();
        }
        Request::Send(it) => {
            w.object("send");
            w.payload("data", &it.data)?;
            w.close();
        }
        Request::Rpc(it) => {
            w.object("rpc");
            w.payload("data", &it.data)?;
            w.text("method", &it.method);
            w.close();
        }
        Request::Refresh(it) => {
            w.object("refresh");
            w.text("token", &it.token);
            w.close();
        }
        Request::SubRefresh(it) => sub_refresh(w, it)?,
    }
    Ok(())
}

/// A request of nothing but a channel.
fn channel(w: &mut Writer, key: &str, channel: &str) {
    w.object(key);
    w.text("channel", channel);
    w.close();
}

fn connect(w: &mut Writer, it: &Connect) -> Result {
    w.object("connect");
    w.text("token", &it.token);
    w.payload("data", &it.data)?;
    if !it.subs.is_empty() {
        let entries = it.subs.iter().map(|(channel, subscribe)| (channel.as_str(), subscribe));
        w.map("subs", entries, subscribe)?;
    }
    w.text("name", &it.name);
    w.text("version", &it.version);
    if !it.headers.is_empty() {
        let entries = it.headers.iter().map(|(name, value)| (name.as_str(), value));
        w.map("headers", entries, text)?;
    }
    w.number("flag", it.flag);
    w.text("profile", &it.profile);
    w.text("dict", &it.dict);
    w.close();
    Ok(())
}

fn subscribe(w: &mut Writer, it: &Subscribe) -> Result {
    w.open();
    w.text("channel", &it.channel);
    w.text("token", &it.token);
    w.flag("recover", it.recover);
    w.text("epoch", it.position.epoch.as_str());
    w.number("offset", it.position.offset);
    w.payload("data", &it.data)?;
    w.flag("positioned", it.positioned);
    w.flag("recoverable", it.recoverable);
    w.flag("join_leave", it.join_leave);
    w.text("delta", &it.delta);
    if let Some(it) = &it.filter {
        w.key("tf");
        filter(w, it)?;
    }
    w.number("flag", it.flag);
    w.number("type", it.kind);
    w.number("phase", it.phase);
    w.text("cursor", &it.cursor);
    w.number("limit", it.limit);
    w.flag("asc", it.asc);
    w.close();
    Ok(())
}

fn filter(w: &mut Writer, it: &TagFilter) -> Result {
    w.open();
    w.text("op", &it.op);
    w.text("key", &it.key);
    w.text("cmp", &it.cmp);
    w.text("val", &it.val);
    if !it.vals.is_empty() {
        w.list("vals", &it.vals, text)?;
    }
    if !it.nodes.is_empty() {
        w.list("nodes", &it.nodes, filter)?;
    }
    w.close();
    Ok(())
}

fn text<T: AsRef<str>>(w: &mut Writer, text: &T) -> Result {
    w.value(text.as_ref());
    Ok(())
}

fn publish(w: &mut Writer, it: &Publish) -> Result {
    w.object("publish");
    w.text("channel", &it.channel);
    w.payload("data", &it.data)?;
    w.number("type", it.kind);
    w.text("key", &it.key);
    w.flag("removed", it.removed);
    w.close();
    Ok(())
}

fn history(w: &mut Writer, it: &History) {
    w.object("history");
    w.text("channel", &it.channel);
    w.number("limit", it.limit);
    if let Some(StreamPosition { offset, epoch }) = &it.since {
        w.object("since");
        w.number("offset", *offset);
        w.text("epoch", epoch.as_str());
        w.close();
    }
    w.flag("reverse", it.reverse);
    w.close();
}

fn sub_refresh(w: &mut Writer, it: &SubRefresh) -> Result {
    w.object("sub_refresh");
    w.text("channel", &it.channel);
    w.text("token", &it.token);
    w.number("type", it.kind);
    if !it.track.is_empty() {
        w.list("track", &it.track, |w, batch| {
            w.open();
            w.text("signature", &batch.signature);
            if !batch.items.is_empty() {
                w.list("items", &batch.items, |w, item| {
                    w.open();
                    w.text("key", &item.key);
                    w.number("version", item.version);
                    w.close();
                    Ok(())
                })?;
            }
            w.close();
            Ok(())
        })?;
    }
    if !it.untrack.is_empty() {
        w.list("untrack", &it.untrack, text)?;
    }
    w.close();
    Ok(())
}
