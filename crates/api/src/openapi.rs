//! The OpenAPI document of the HTTP API (PUBS-07).
//!
//! It is made of the table of methods, so that none is missing, and of tables of their members below, which the tests
//! hold against what the decoder takes and what the encoder writes.

use serde_json::{Map, Value, json};

use crate::method::Method;

/// What a member holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Flag,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Number,
    /// Any JSON value.
    Json,
    Texts,
    /// Texts by name.
    TextsByName,
    NumbersByName,
    Object(&'static [Member]),
    Objects(&'static [Member]),
    ObjectsByName(&'static [Member]),
    /// A filter by tags, which holds others.
    Filter,
    /// Commands of a batch.
    Commands,
    /// Their replies.
    Replies,
}

/// A member of a JSON object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    about: &'static str,
}

macro_rules! members {
    ($($name:literal $kind:ident $(($of:expr))? $about:literal,)*) => {
        &[$(Member { name: $name, kind: Kind::$kind $(($of))?, about: $about },)*]
    };
}

const CHANNEL: &[Member] = members! {
    "channel" Text "The channel.",
};

const POSITION: &[Member] = members! {
    "offset" Uint64 "The offset.",
    "epoch" Text "The epoch it counts in.",
};

const SWITCH: &[Member] = members! {
    "value" Flag "What it is.",
};

const OVERRIDE: &[Member] = members! {
    "presence" Object(SWITCH) "Instead of the channel's `presence`.",
    "join_leave" Object(SWITCH) "Instead of the channel's `join_leave`.",
    "force_recovery" Object(SWITCH) "Instead of the channel's `force_recovery`.",
    "force_positioning" Object(SWITCH) "Instead of the channel's `force_positioning`.",
    "force_push_join_leave" Object(SWITCH) "Instead of the channel's `force_push_join_leave`.",
};

const DISCONNECT: &[Member] = members! {
    "code" Uint32 "3000 to 4999; from 3500 to 3999 and from 4500 on clients do not come back.",
    "reason" Text "At most 123 bytes.",
};

const PUBLISH: &[Member] = members! {
    "channel" Text "The channel.",
    "data" Json "What is published.",
    "b64data" Text "The same in base64, for data that is not JSON.",
    "skip_history" Flag "The channel's history leaves it out.",
    "tags" TextsByName "Labels, which filters of subscribers look at.",
    "idempotency_key" Text "A second publication with the same key has no effect.",
    "delta" Flag "Subscribers may get what is different from the publication before.",
    "version" Uint64 "One that is not above the channel's latest has no effect.",
    "version_epoch" Text "Versions of different epochs are not compared.",
};

const BROADCAST: &[Member] = members! {
    "channels" Texts "The channels.",
    "data" Json "What is published.",
    "b64data" Text "The same in base64, for data that is not JSON.",
    "skip_history" Flag "The channels' histories leave it out.",
    "tags" TextsByName "Labels, which filters of subscribers look at.",
    "idempotency_key" Text "A second publication with the same key has no effect.",
    "delta" Flag "Subscribers may get what is different from the publication before.",
    "version" Uint64 "One that is not above a channel's latest has no effect.",
    "version_epoch" Text "Versions of different epochs are not compared.",
};

const SUBSCRIBE: &[Member] = members! {
    "user" Text "Whose connections.",
    "channel" Text "To which channel.",
    "client" Text "Only this connection.",
    "session" Text "Only the connection with this session.",
    "label_filter" Filter "Only connections with such labels.",
    "all_users" Flag "Without a user: the connections of all users, on every node.",
    "info" Json "What others in the channel are told of the subscriber.",
    "b64info" Text "The same in base64.",
    "data" Json "Data for the client.",
    "b64data" Text "The same in base64.",
    "expire_at" Int64 "When the subscription expires, in seconds since 1970 UTC.",
    "recover_since" Object(POSITION) "Where it catches up from.",
    "server_tags_filter" Filter "Which publications it gets.",
    "override" Object(OVERRIDE) "Options that this subscription has otherwise.",
};

const UNSUBSCRIBE: &[Member] = members! {
    "user" Text "Whose connections.",
    "channel" Text "Of which channel.",
    "client" Text "Only this connection.",
    "session" Text "Only the connection with this session.",
    "label_filter" Filter "Only connections with such labels.",
    "all_users" Flag "Without a user: the connections of all users, on every node.",
};

const DISCONNECT_USER: &[Member] = members! {
    "user" Text "Whose connections.",
    "client" Text "Only this connection.",
    "session" Text "Only the connection with this session.",
    "label_filter" Filter "Only connections with such labels.",
    "all_users" Flag "Without a user: the connections of all users, on every node.",
    "whitelist" Texts "Connections that are spared.",
    "disconnect" Object(DISCONNECT) "What clients are told.",
};

const REFRESH: &[Member] = members! {
    "user" Text "Whose connections.",
    "client" Text "Only this connection.",
    "session" Text "Only the connection with this session.",
    "label_filter" Filter "Only connections with such labels.",
    "all_users" Flag "Without a user: the connections of all users, on every node.",
    "expired" Flag "They are expired now.",
    "expire_at" Int64 "When they expire, in seconds since 1970 UTC.",
    "info" Json "What others are told of them from now on.",
};

const HISTORY: &[Member] = members! {
    "channel" Text "The channel.",
    "limit" Int32 "The most publications; 0 for none, below 0 for all.",
    "since" Object(POSITION) "Those after this place.",
    "reverse" Flag "The newest first.",
};

const CHANNELS: &[Member] = members! {
    "pattern" Text "Which channels: with `*`, `?`, `[a-z]` and `{a,b}`; empty for all.",
};

const RPC: &[Member] = members! {
    "method" Text "The method's name.",
};

const BATCH: &[Member] = members! {
    "commands" Commands "Objects with one member each: the method's name, and what it takes.",
    "parallel" Flag "They may be carried out at the same time.",
};

const EXPLAIN: &[Member] = members! {
    "action" Text "`subscribe`, `publish`, `map_publish`, `map_remove`, `presence`, `presence_stats` or `history`.",
    "channel" Text "The channel.",
    "user" Text "Who.",
    "subscribed" Flag "The connection is subscribed to the channel.",
    "token" Text "A subscription token.",
    "connection_token" Text "A connection token.",
    "data" Json "What would be published.",
    "b64data" Text "The same in base64.",
};

const BLOCK: &[Member] = members! {
    "user" Text "Whom.",
    "expire_at" Int64 "Until when, in seconds since 1970 UTC.",
};

const UNBLOCK: &[Member] = members! {
    "user" Text "Whom.",
};

const REVOKE: &[Member] = members! {
    "uid" Text "The token's `jti`.",
    "expire_at" Int64 "Until when, in seconds since 1970 UTC.",
};

const INVALIDATE: &[Member] = members! {
    "user" Text "Whose tokens.",
    "channel" Text "Those of subscriptions to this channel; those of connections, if it is missing.",
    "issued_before" Int64 "Those older than this, in seconds since 1970 UTC; now, if it is missing.",
    "expire_at" Int64 "Until when, in seconds since 1970 UTC.",
};

const MAP_PUBLISH: &[Member] = members! {
    "channel" Text "The channel.",
    "key" Text "The key.",
    "data" Json "Its value.",
    "b64data" Text "The same in base64, for data that is not JSON.",
    "tags" TextsByName "Labels, which filters of subscribers look at.",
    "idempotency_key" Text "A second change with the same key of idempotency has no effect.",
    "delta" Flag "Subscribers may get what is different from the key's value before.",
    "version" Uint64 "One that is not above the key's has no effect.",
    "version_epoch" Text "Versions of different epochs are not compared.",
    "key_mode" Text "`if_new`: only if the key is not there; `if_exists`: only if it is.",
};

const MAP_REMOVE: &[Member] = members! {
    "channel" Text "The channel.",
    "key" Text "The key.",
    "idempotency_key" Text "A second change with the same key of idempotency has no effect.",
};

const MAP_READ_STATE: &[Member] = members! {
    "channel" Text "The channel.",
    "cursor" Text "Where the page before ended.",
    "limit" Int32 "The most entries; 0 for none, below 0 for all.",
    "key" Text "Only this key.",
    "asc" Flag "In ascending order, where entries have one.",
    "revision_offset" Uint64 "The offset that came with the page before.",
    "revision_epoch" Text "The epoch that came with the page before; in another one, that page is worth nothing.",
};

const MAP_READ_STREAM: &[Member] = members! {
    "channel" Text "The channel.",
    "since_offset" Uint64 "Those after this offset.",
    "since_epoch" Text "The epoch that it counts in.",
    "limit" Int32 "The most changes; 0 for none, below 0 for all.",
    "reverse" Flag "The newest first.",
};

const MAP_CHANGED: &[Member] = members! {
    "offset" Uint64 "Where the change is in the channel's stream; where the stream stands, if nothing changed.",
    "epoch" Text "The epoch of the stream.",
    "suppressed" Flag "Nothing changed.",
    "suppress_reason" Text "Why: `idempotency`, `version`, `key_exists`, `key_not_found` or `position_mismatch`.",
};

const ENTRY: &[Member] = members! {
    "key" Text "The key.",
    "data" Json "Its value.",
    "b64data" Text "The same in base64, where it is not JSON.",
    "tags" TextsByName "Its labels.",
    "offset" Uint64 "The offset at which it was set.",
    "score" Int64 "Its rank.",
    "removed" Flag "It was removed.",
    "time" Int64 "When, in milliseconds since 1970 UTC.",
};

const MAP_STATE_RESULT: &[Member] = members! {
    "entries" Objects(ENTRY) "The entries.",
    "offset" Uint64 "Where the channel stood when they were read.",
    "epoch" Text "The epoch it counts in.",
    "cursor" Text "Where to go on; missing when this was the end.",
};

const MAP_STREAM_RESULT: &[Member] = members! {
    "entries" Objects(ENTRY) "The changes.",
    "offset" Uint64 "Where the channel stands.",
    "epoch" Text "The epoch it counts in.",
};

const MAP_STATS_RESULT: &[Member] = members! {
    "num_keys" Uint32 "Keys.",
};

const SHARED_POLL_PUBLISH: &[Member] = members! {
    "channel" Text "The channel.",
    "key" Text "The key.",
    "data" Json "Its value.",
    "b64data" Text "The same in base64, for data that is not JSON.",
    "version" Uint64 "The value's version, at least 1; one that is not above the key's has no effect.",
    "epoch" Text "To what versions belong; another one than before ends all subscriptions, which begin anew.",
};

const NOTHING: &[Member] = &[];

const ERROR: &[Member] = members! {
    "code" Uint32 "What went wrong.",
    "message" Text "The same for people.",
};

const PUBLISHED: &[Member] = members! {
    "offset" Uint64 "Where it is in the channel's stream.",
    "epoch" Text "The epoch of the stream.",
};

const BROADCAST_RESULT: &[Member] = members! {
    "responses" Objects(members! {
        "error" Object(ERROR) "Why it was not published.",
        "result" Object(PUBLISHED) "Where it is.",
    }) "One for each channel, in order.",
};

const METRICS: &[Member] = members! {
    "interval" Number "How long it was counted, in seconds.",
    "items" NumbersByName "What was counted.",
};

const INFO_RESULT: &[Member] = members! {
    "nodes" Objects(members! {
        "uid" Text "The node's identifier.",
        "name" Text "Its name.",
        "version" Text "Its version.",
        "num_clients" Uint32 "Accepted connections.",
        "num_users" Uint32 "Their users.",
        "num_subs" Uint32 "Their subscriptions.",
        "num_channels" Uint32 "Channels with subscribers.",
        "uptime" Uint64 "How long it has been running, in seconds.",
        "metrics" Object(METRICS) "What it counted lately.",
    }) "The nodes of the cluster.",
};

const CHANNELS_RESULT: &[Member] = members! {
    "channels" ObjectsByName(members! {
        "num_clients" Uint32 "Subscribers.",
    }) "By name.",
};

const CLIENT_INFO: &[Member] = members! {
    "user" Text "The user.",
    "client" Text "The connection.",
    "conn_info" Json "What is told of the connection.",
    "b64conn_info" Text "The same in base64, where it is not JSON.",
    "chan_info" Json "What is told of it in this channel.",
    "b64chan_info" Text "The same in base64, where it is not JSON.",
};

const HISTORY_RESULT: &[Member] = members! {
    "publications" Objects(members! {
        "data" Json "What was published.",
        "b64data" Text "The same in base64, where it is not JSON.",
        "info" Object(CLIENT_INFO) "By whom, if by a client.",
        "offset" Uint64 "Its offset.",
        "tags" TextsByName "Its labels.",
    }) "What the channel keeps.",
    "epoch" Text "The epoch of the stream.",
    "offset" Uint64 "The offset of the newest publication.",
};

const PRESENCE_RESULT: &[Member] = members! {
    "presence" ObjectsByName(CLIENT_INFO) "By connection.",
};

const PRESENCE_STATS_RESULT: &[Member] = members! {
    "num_clients" Uint32 "Connections.",
    "num_users" Uint32 "Their users.",
};

const TOKEN: &[Member] = members! {
    "claims" Json "What it says.",
    "problem" Text "What is wrong with it.",
};

const EXPLAIN_RESULT: &[Member] = members! {
    "namespace" Text "The channel's namespace.",
    "allowed" Flag "Whether it would be allowed.",
    "verdict" Text "How it would end.",
    "code" Uint32 "The code it would be refused with.",
    "rules" Objects(members! {
        "rule" Text "The rule.",
        "outcome" Text "What came of it.",
        "why" Text "Why.",
    }) "What was looked at, in order.",
    "token" Object(TOKEN) "The subscription token.",
    "connection_token" Object(TOKEN) "The connection token.",
};

/// What a method is for, what it takes, and what it answers.
pub(crate) struct Described {
    about: &'static str,
    pub(crate) takes: &'static [Member],
    pub(crate) answers: &'static [Member],
}

pub(crate) const fn describe(method: Method) -> Described {
    let (about, takes, answers) = match method {
        Method::Publish => ("Publishes into a channel.", PUBLISH, PUBLISHED),
        Method::Broadcast => ("Publishes the same into many channels.", BROADCAST, BROADCAST_RESULT),
        Method::Subscribe => ("Subscribes a user's connections to a channel.", SUBSCRIBE, NOTHING),
        Method::Unsubscribe => ("Ends a subscription of a user's connections.", UNSUBSCRIBE, NOTHING),
        Method::Disconnect => ("Ends a user's connections.", DISCONNECT_USER, NOTHING),
        Method::History => ("Reads a channel's history.", HISTORY, HISTORY_RESULT),
        Method::HistoryRemove => ("Forgets a channel's publications.", CHANNEL, NOTHING),
        Method::Presence => ("Tells who is in a channel.", CHANNEL, PRESENCE_RESULT),
        Method::PresenceStats => ("Tells how many are in a channel.", CHANNEL, PRESENCE_STATS_RESULT),
        Method::Info => ("Tells of the nodes.", NOTHING, INFO_RESULT),
        Method::Rpc => ("Calls a method of the API's extension point.", RPC, NOTHING),
        Method::Refresh => ("Changes when a user's connections expire.", REFRESH, NOTHING),
        Method::Channels => ("Tells which channels have subscribers.", CHANNELS, CHANNELS_RESULT),
        Method::BlockUser => ("Blocks a user.", BLOCK, NOTHING),
        Method::UnblockUser => ("Ends that.", UNBLOCK, NOTHING),
        Method::RevokeToken => ("Revokes a token.", REVOKE, NOTHING),
        Method::InvalidateUserTokens => ("Revokes older tokens of a user.", INVALIDATE, NOTHING),
        Method::MapPublish => ("Sets a key of a keyed channel.", MAP_PUBLISH, MAP_CHANGED),
        Method::MapRemove => ("Removes a key of a keyed channel.", MAP_REMOVE, MAP_CHANGED),
        Method::MapReadState => ("Reads a keyed channel's state.", MAP_READ_STATE, MAP_STATE_RESULT),
        Method::MapReadStream => ("Reads a keyed channel's changes.", MAP_READ_STREAM, MAP_STREAM_RESULT),
        Method::MapStats => ("Tells how many keys a keyed channel has.", CHANNEL, MAP_STATS_RESULT),
        Method::MapClear => ("Forgets all of a keyed channel.", CHANNEL, NOTHING),
        Method::SharedPollPublish => {
            ("Publishes a value of a key of a polled channel.", SHARED_POLL_PUBLISH, NOTHING)
        }
        Method::Batch => ("Carries several commands out.", BATCH, NOTHING),
        Method::Explain => ("Says why somebody may do something, or may not.", EXPLAIN, EXPLAIN_RESULT),
    };
    Described { about, takes, answers }
}

fn object(members: &[Member]) -> Value {
    let properties: Map<String, Value> = members
        .iter()
        .map(|member| {
            let mut schema = schema(member.kind);
            // A reference stands alone.
            if schema.get("$ref").is_none() {
                schema["description"] = member.about.into();
            }
            (member.name.to_owned(), schema)
        })
        .collect();
    json!({"type": "object", "properties": properties})
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Int32 => json!({"type": "integer", "format": "int32"}),
        Kind::Int64 => json!({"type": "integer", "format": "int64"}),
        Kind::Uint32 => json!({"type": "integer", "format": "uint32", "minimum": 0}),
        Kind::Uint64 => json!({"type": "integer", "format": "uint64", "minimum": 0}),
        Kind::Number => json!({"type": "number"}),
        Kind::Json => json!({}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::TextsByName => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Kind::NumbersByName => json!({"type": "object", "additionalProperties": {"type": "number"}}),
        Kind::Object(members) => object(members),
        Kind::Objects(members) => json!({"type": "array", "items": object(members)}),
        Kind::ObjectsByName(members) => json!({"type": "object", "additionalProperties": object(members)}),
        Kind::Filter => json!({"$ref": "#/components/schemas/TagsFilter"}),
        Kind::Commands => json!({"type": "array", "items": {"$ref": "#/components/schemas/Command"}}),
        Kind::Replies => json!({"type": "array", "items": {"$ref": "#/components/schemas/Reply"}}),
    }
}

fn filter() -> Value {
    let text = || json!({"type": "string"});
    let nodes = json!({"type": "array", "items": {"$ref": "#/components/schemas/TagsFilter"}});
    json!({"type": "object", "properties": {
        "op": text(), "key": text(), "cmp": text(), "val": text(),
        "vals": {"type": "array", "items": text()}, "nodes": nodes,
    }})
}

/// What a call is answered with: a batch's replies have no result around them.
fn response(method: Method) -> Value {
    if method == Method::Batch {
        const REPLIES: &[Member] = members! {
            "replies" Replies "One for each command, in order.",
        };
        return object(REPLIES);
    }
    let error = json!({"$ref": "#/components/schemas/Error"});
    json!({"type": "object", "properties": {"result": object(describe(method).answers), "error": error}})
}

fn operation(method: Method) -> Value {
    let Described { about, takes, .. } = describe(method);
    let plain = |description: &str| json!({"description": description});
    json!({"post": {
        "operationId": method.name(),
        "summary": about,
        "requestBody": {"required": true, "content": {"application/json": {"schema": object(takes)}}},
        "responses": {
            "200": {
                "description": "It was carried out, or failed with an error in the body.",
                "content": {"application/json": {"schema": response(method)}},
            },
            "400": plain("The body is not what the method takes."),
            "401": plain("The key is missing or wrong."),
            "413": plain("The body is too large."),
        },
    }})
}

/// The document for an API below this path, in JSON: OpenAPI 3.0.
#[must_use]
pub fn openapi(prefix: &str, version: &str) -> String {
    let paths: Map<String, Value> =
        Method::all().map(|method| (format!("/{}", method.name()), operation(method))).collect();
    let by_method = |make: fn(Method) -> Value| -> Map<String, Value> {
        Method::IN_BATCH.into_iter().map(|method| (method.name().to_owned(), make(method))).collect()
    };
    let commands = by_method(|method| object(describe(method).takes));
    let mut replies = by_method(|method| object(describe(method).answers));
    replies.insert("error".to_owned(), json!({"$ref": "#/components/schemas/Error"}));
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Server API",
            "version": version,
            "description": "What an application's backend asks of the server: a POST of a JSON object to a method.",
        },
        "servers": [{"url": prefix}],
        "security": [{"header": []}, {"query": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "query": {"type": "apiKey", "in": "query", "name": "api_key"},
            },
            "schemas": {
                "Error": object(ERROR),
                "TagsFilter": filter(),
                "Command": {"type": "object", "maxProperties": 1, "properties": commands},
                "Reply": {"type": "object", "maxProperties": 1, "properties": replies},
            },
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::decode::{decode, fields};

    /// A value that the decoder takes for a member, and one that it does not; `None` where it takes anything.
    fn examples(kind: Kind) -> (Value, Option<Value>) {
        let (good, bad) = match kind {
            Kind::Text => (json!("AAAA"), json!(1)),
            Kind::Flag => (json!(true), json!("true")),
            Kind::Int32 => (json!(-1), json!(i64::MAX)),
            Kind::Int64 => (json!(i64::MIN), json!(u64::MAX)),
            Kind::Uint32 => (json!(3000), json!(u64::MAX)),
            Kind::Uint64 => (json!(u64::MAX), json!(-1)),
            Kind::Number => (json!(1.5), json!("1")),
            Kind::Json => return (json!([{"a": null}]), None),
            Kind::Texts => (json!(["a"]), json!([1])),
            Kind::TextsByName => (json!({"a": "b"}), json!({"a": 1})),
            Kind::NumbersByName => (json!({"a": 1}), json!({"a": "b"})),
            Kind::Object(members) => {
                let good = members.iter().map(|member| (member.name.to_owned(), examples(member.kind).0));
                (Value::Object(good.collect()), json!([]))
            }
            Kind::Objects(_) | Kind::ObjectsByName(_) | Kind::Replies => (json!([]), json!(1)),
            Kind::Filter => (json!({"key": "a", "cmp": "ex"}), json!({"nodes": 1})),
            Kind::Commands => (json!([{"info": {}}]), json!({})),
        };
        (good, Some(bad))
    }

    fn body(value: &Value) -> Bytes {
        Bytes::from(value.to_string())
    }

    /// Every member is known to the decoder, and of the kind that the document says.
    #[test]
    fn what_is_described_is_taken() {
        for method in Method::all() {
            for member in describe(method).takes {
                let (good, bad) = examples(member.kind);
                let name = format!("{}.{}", method.name(), member.name);
                assert!(decode(method, &body(&json!({ member.name: good }))).is_ok(), "{name}");
                if let Some(bad) = bad {
                    assert!(decode(method, &body(&json!({ member.name: bad }))).is_err(), "{name}: {bad}");
                }
                let Kind::Object(inner) = member.kind else { continue };
                for of in inner {
                    if let (_, Some(bad)) = examples(of.kind) {
                        let wrong = json!({ member.name: { of.name: bad } });
                        assert!(decode(method, &body(&wrong)).is_err(), "{name}.{}", of.name);
                    }
                }
            }
        }
    }

    /// Every member that the decoder knows is described, but for those that it knows only to refuse them.
    #[test]
    fn what_is_taken_is_described() {
        /// These are known only to be refused.
        const REFUSED: [&str; 3] = ["score", "stream_data", "b64stream_data"];
        for method in Method::all() {
            let mut known: Vec<&str> = fields(method).to_vec();
            known.retain(|name| !REFUSED.contains(name) && !is_others(method, name));
            let mut described: Vec<&str> = describe(method).takes.iter().map(|member| member.name).collect();
            known.sort_unstable();
            described.sort_unstable();
            assert_eq!(described, known, "{}", method.name());
        }
    }

    /// Members that the decoder reads for methods that share a type, and has no use for in this one.
    fn is_others(method: Method, name: &str) -> bool {
        match method {
            Method::Publish => name == "channels",
            Method::Broadcast => name == "channel",
            Method::BlockUser => ["uid", "issued_before", "channel"].contains(&name),
            Method::UnblockUser => ["uid", "issued_before", "channel", "expire_at"].contains(&name),
            Method::RevokeToken => ["user", "issued_before", "channel"].contains(&name),
            Method::InvalidateUserTokens => name == "uid",
            _ => false,
        }
    }

    #[test]
    fn every_method_of_the_api_is_in_the_document() {
        let document: Value = serde_json::from_str(&openapi("/api", "1.2.3")).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        assert_eq!(paths.len(), Method::all().count());
        for method in Method::all() {
            let operation = &paths[&format!("/{}", method.name())]["post"];
            assert_eq!(operation["operationId"], method.name());
            assert_eq!(Method::named(method.name()), Some(method));
        }
        assert_eq!(document["servers"][0]["url"], "/api");
        // What is referred to is there.
        let text = document.to_string();
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().expect("a name");
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
