//! Any message that the protocol can carry in both encodings.
//!
//! Left out is what does not travel on purpose: times of publications, epochs other than with a live offset of 1,
//! features and dictionaries in connect pushes, and line breaks between the tokens of payloads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use tourbillon_protocol::client::ServerMessage;
use tourbillon_protocol::command::{
    Command, Connect, History, KeyedItem, Presence, PresenceStats, Publish, Refresh, Request, Rpc, Send,
    SubRefresh, Subscribe, TrackBatch, Unsubscribe,
};
use tourbillon_protocol::reply::{
    ConnectResult, Dictionary, HistoryResult, PresenceResult, PresenceStatsResult, RefreshResult, RpcResult,
    SubRefreshResult, SubscribePush, SubscribeResult,
};
use tourbillon_protocol::{Envelope, Push, PushEvent, Reply, ReplyResult};
use tourbillon_types::{
    Channel, ClientId, ClientInfo, Disconnect, Encoding, Epoch, Payload, Publication, ReplyError,
    StreamPosition, TagFilter, Text, UserId,
};

pub(crate) fn encoding() -> impl Strategy<Value = Encoding> {
    prop_oneof![Just(Encoding::Json), Just(Encoding::Protobuf)]
}

pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    prop_oneof![Just(Envelope::Reply), Just(Envelope::Push)]
}

fn text() -> BoxedStrategy<String> {
    prop_oneof![
        3 => "[a-z:]{0,8}",
        1 => "[\\x00-\\x20\"\\\\<>&/'\u{7f}\u{2027}-\u{202a}é😀]{0,6}",
        1 => any::<String>(),
    ]
    .boxed()
}

/// One JSON value on one line, or nothing.
fn payload() -> BoxedStrategy<Payload> {
    let quoted = text().prop_map(|text| serde_json::Value::from(text).to_string());
    prop_oneof![
        Just(String::new()),
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no such number", |it| it.is_finite())
            .prop_map(|it| it.to_string()),
        quoted.clone(),
        vec(quoted.clone(), 0..3).prop_map(|values| format!("[ {} ]", values.join(" ,\t"))),
        btree_map(quoted.clone(), quoted, 0..3).prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            format!("{{{}}}", members.join(","))
        }),
    ]
    .prop_map(|text| Payload::from(text.into_bytes()))
    .boxed()
}

fn position() -> impl Strategy<Value = StreamPosition> {
    (any::<u64>(), text()).prop_map(|(offset, epoch)| StreamPosition { offset, epoch: epoch.as_str().into() })
}

fn entries<T: std::fmt::Debug>(values: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<(String, T)>> {
    btree_map(text(), values, 0..4).prop_map(BTreeMap::into_iter).prop_map(Iterator::collect)
}

fn filter() -> impl Strategy<Value = TagFilter> {
    let leaf = (text(), text(), text(), text(), vec(text(), 0..3))
        .prop_map(|(op, key, cmp, val, vals)| TagFilter { op, key, cmp, val, vals, nodes: Vec::new() });
    leaf.prop_recursive(4, 16, 3, |node| {
        (text(), vec(node, 0..3)).prop_map(|(op, nodes)| TagFilter { op, nodes, ..TagFilter::default() })
    })
}

prop_compose! {
    fn subscribe()(
        (channel, token, delta, cursor) in (text(), text(), text(), text()),
        (recover, positioned, recoverable, join_leave, asc) in any::<(bool, bool, bool, bool, bool)>(),
        (flag, kind, phase, limit) in any::<(i64, i32, i32, i32)>(),
        position in position(),
        data in payload(),
        filter in option::of(filter().prop_map(Box::new)),
    ) -> Subscribe {
        Subscribe {
            channel, token, recover, position, data, positioned, recoverable, join_leave, delta, filter, flag,
            kind, phase, cursor, limit, asc,
        }
    }
}

prop_compose! {
    fn connect()(
        (token, name, version, profile, dict) in (text(), text(), text(), text(), text()),
        data in payload(),
        subs in entries(subscribe()),
        headers in entries(text()),
        flag: i64,
    ) -> Connect {
        let (name, version) = (Text::from(name), Text::from(version));
        Connect { token, data, subs, name, version, headers, flag, profile, dict }
    }
}

fn sub_refresh() -> impl Strategy<Value = SubRefresh> {
    let item = (text(), any::<u64>()).prop_map(|(key, version)| KeyedItem { key, version });
    let batch = (text(), vec(item, 0..3)).prop_map(|(signature, items)| TrackBatch { signature, items });
    (text(), text(), any::<i32>(), vec(batch, 0..3), vec(text(), 0..3)).prop_map(
        |(channel, token, kind, track, untrack)| SubRefresh { channel, token, kind, track, untrack },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let publish = (text(), payload(), any::<i32>(), text(), any::<bool>())
        .prop_map(|(channel, data, kind, key, removed)| Publish { channel, data, kind, key, removed });
    let history = (text(), any::<i32>(), option::of(position()), any::<bool>())
        .prop_map(|(channel, limit, since, reverse)| History { channel, limit, since, reverse });
    prop_oneof![
        Just(Request::Empty),
        Just(Request::Ping),
        connect().prop_map(|it| Request::Connect(Box::new(it))),
        subscribe().prop_map(|it| Request::Subscribe(Box::new(it))),
        text().prop_map(|channel| Request::Unsubscribe(Unsubscribe { channel })),
        publish.prop_map(Request::Publish),
        text().prop_map(|channel| Request::Presence(Presence { channel })),
        text().prop_map(|channel| Request::PresenceStats(PresenceStats { channel })),
        history.prop_map(Request::History),
        payload().prop_map(|data| Request::Send(Send { data })),
        (payload(), text()).prop_map(|(data, method)| Request::Rpc(Rpc { data, method: method.into() })),
        text().prop_map(|token| Request::Refresh(Refresh { token })),
        sub_refresh().prop_map(|it| Request::SubRefresh(Box::new(it))),
    ]
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    (any::<u32>(), request()).prop_map(|(id, request)| match (id, request) {
        (0, Request::Empty) => Command { id, request: Request::Pong },
        (id, request) => Command { id, request },
    })
}

fn client_info() -> impl Strategy<Value = ClientInfo> {
    let client = option::of(any::<[u8; 16]>().prop_map(ClientId::from_random));
    (text(), client, payload(), payload()).prop_map(|(user, client, connection, channel)| ClientInfo {
        user: UserId::from(user),
        client,
        connection,
        channel,
    })
}

fn name<T: From<String> + std::fmt::Debug>() -> impl Strategy<Value = Option<T>> {
    text().prop_map(|name| Some(name).filter(|name| !name.is_empty()).map(T::from))
}

prop_compose! {
    fn listed_publication()(
        data in payload(),
        info in option::of(client_info().prop_map(Arc::new)),
        tags in btree_map(text(), text(), 0..3),
        channel in name(),
        key in name(),
        (offset, score, version, delta, removed) in any::<(u64, i64, u64, bool, bool)>(),
    ) -> Arc<Publication> {
        let tags = Some(tags).filter(|tags| !tags.is_empty()).map(Arc::new);
        Arc::new(Publication {
            data, info, offset, epoch: Epoch::UNKNOWN, tags, time: 0, channel, delta, key, removed, score, version,
        })
    }
}

/// A publication as a push carries it.
pub(crate) fn live_publication() -> impl Strategy<Value = Arc<Publication>> {
    (listed_publication(), option::of(text())).prop_map(|(publication, epoch)| match epoch {
        None => publication,
        Some(epoch) => {
            Arc::new(Publication { offset: 1, epoch: epoch.as_str().into(), ..(*publication).clone() })
        }
    })
}

fn publications() -> impl Strategy<Value = Vec<Arc<Publication>>> {
    vec(listed_publication(), 0..3)
}

prop_compose! {
    fn subscribe_result()(
        (expires, recoverable, recovered) in any::<(bool, bool, bool)>(),
        (positioned, was_recovering, delta) in any::<(bool, bool, bool)>(),
        (ttl, id, kind, phase, publish_debounce) in any::<(u32, i64, i32, i32, u32)>(),
        (position, cursor) in (position(), text()),
        (publications, state) in (publications(), publications()),
        data in payload(),
    ) -> SubscribeResult {
        SubscribeResult {
            expires, ttl, recoverable, position, publications, recovered, positioned, data, was_recovering,
            delta, id, kind, phase, cursor, state, publish_debounce,
        }
    }
}

prop_compose! {
    fn connect_push()(
        (client, version, session, node) in (text(), text(), text(), text()),
        (expires, pong, ttl, ping, time) in any::<(bool, bool, u32, u32, i64)>(),
        data in payload(),
        subs in entries(prop_oneof![Just(SubscribeResult::default()), subscribe_result()]),
    ) -> ConnectResult {
        let subs = subs.into_iter().map(|(channel, result)| (Channel::from(channel), result)).collect();
        ConnectResult {
            client, version: version.into(), expires, ttl, data, subs, ping, pong, session, node, time, flag: 0, dict: None,
        }
    }
}

fn connect_result() -> impl Strategy<Value = ConnectResult> {
    let dictionary =
        (text(), payload(), text()).prop_map(|(id, data, data_b64)| Dictionary { id, data, data_b64 });
    (connect_push(), any::<i64>(), option::of(dictionary)).prop_map(|(result, flag, dict)| ConnectResult {
        flag,
        dict,
        ..result
    })
}

fn reply_result() -> impl Strategy<Value = ReplyResult> {
    let presence = entries(client_info().prop_map(Arc::new));
    let refresh = (text(), text(), any::<bool>(), any::<u32>())
        .prop_map(|(client, version, expires, ttl)| RefreshResult { client, version, expires, ttl });
    prop_oneof![
        connect_result().prop_map(|it| ReplyResult::Connect(Box::new(it))),
        subscribe_result().prop_map(|it| ReplyResult::Subscribe(Box::new(it))),
        Just(ReplyResult::Unsubscribe),
        Just(ReplyResult::Publish),
        presence.prop_map(|presence| ReplyResult::Presence(PresenceResult { presence })),
        any::<(u32, u32)>().prop_map(|(num_clients, num_users)| {
            ReplyResult::PresenceStats(PresenceStatsResult { num_clients, num_users })
        }),
        (publications(), position()).prop_map(|(publications, position)| {
            ReplyResult::History(HistoryResult { publications, position })
        }),
        Just(ReplyResult::Ping),
        payload().prop_map(|data| ReplyResult::Rpc(RpcResult { data })),
        refresh.prop_map(ReplyResult::Refresh),
        (any::<bool>(), any::<u32>(), publications()).prop_map(|(expires, ttl, items)| {
            ReplyResult::SubRefresh(SubRefreshResult { expires, ttl, items })
        }),
    ]
}

pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    let error = (any::<u32>(), text(), any::<bool>())
        .prop_map(|(code, message, temporary)| ReplyError::custom(code, Cow::Owned(message), temporary));
    let result = prop_oneof![5 => reply_result().prop_map(Ok), 1 => error.prop_map(Err)];
    (any::<u32>(), result).prop_map(|(id, result)| Reply { id, result })
}

fn push_event() -> impl Strategy<Value = PushEvent> {
    let reason = || (any::<u32>(), text().prop_map(Cow::Owned));
    let subscribe = (any::<bool>(), position(), any::<bool>(), payload()).prop_map(
        |(recoverable, position, positioned, data)| SubscribePush { recoverable, position, positioned, data },
    );
    prop_oneof![
        live_publication().prop_map(PushEvent::Publication),
        client_info().prop_map(Arc::new).prop_map(PushEvent::Join),
        client_info().prop_map(Arc::new).prop_map(PushEvent::Leave),
        reason().prop_map(|(code, reason)| {
            PushEvent::Unsubscribe(tourbillon_types::Unsubscribe { code, reason })
        }),
        payload().prop_map(PushEvent::Message),
        subscribe.prop_map(PushEvent::Subscribe),
        connect_push().prop_map(|it| PushEvent::Connect(Box::new(it))),
        reason().prop_map(|(code, reason)| PushEvent::Disconnect(Disconnect { code, reason })),
        any::<(bool, u32)>().prop_map(|(expires, ttl)| {
            PushEvent::Refresh(RefreshResult { expires, ttl, ..RefreshResult::default() })
        }),
    ]
}

/// A push that names its channel, or its number, or neither.
pub(crate) fn push() -> impl Strategy<Value = Push> {
    (name(), prop_oneof![2 => Just(0), 1 => any::<i64>()], push_event()).prop_map(|(channel, id, event)| {
        let channel = if id == 0 { channel } else { None };
        Push { channel, id, event }
    })
}

/// What a server may send in this envelope.
pub(crate) fn server_message(envelope: Envelope) -> BoxedStrategy<ServerMessage> {
    let push = push().prop_map(ServerMessage::Push);
    match envelope {
        Envelope::Push => prop_oneof![5 => push, 1 => Just(ServerMessage::Ping)].boxed(),
        Envelope::Reply => {
            let reply = reply().prop_map(ServerMessage::Reply);
            prop_oneof![5 => push, 5 => reply, 1 => Just(ServerMessage::Ping)].boxed()
        }
    }
}
