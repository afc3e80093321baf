//! What options there are: ours, from the model, and Centrifugo's, from a list.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::Value;

pub(crate) use tourbillon_config_syntax::near::nearest_of;

use crate::consumers::NamedConsumer;
use crate::duration::GoDuration;
use crate::load::Problem;
use crate::model::{JwksProvider, Namespace, Options};
use crate::proxies::{NamedProxy, RpcNamespace};

/// Every option of Centrifugo v6: a path a line, and its default, if it has one, after a tab.
const KNOWN: &str = include_str!("known_options.txt");

const FOR_CLIENTS: &str = "it is for clients: a server's own certificate is what it is";

const FOR_SERVERS: &str = "it is for servers: whom we connect to has clients of its own";

/// Why there is no SockJS (TR-11).
const SOCKJS: &str =
    "SockJS is gone since Centrifugo v6; http_stream and sse are for clients without WebSocket";

/// Options of Centrifugo that mean nothing here, and why. They are accepted, with a warning. Those that begin with a dot
/// are ends of paths.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("websocket.read_buffer_size", "connections hold no read buffer"),
    ("websocket.write_buffer_size", "connections hold no write buffer"),
    ("websocket.use_write_buffer_pool", "connections hold no write buffer"),
    ("uni_websocket.read_buffer_size", "connections hold no read buffer"),
    ("uni_websocket.write_buffer_size", "connections hold no write buffer"),
    ("uni_websocket.use_write_buffer_pool", "connections hold no write buffer"),
    ("usage_stats.disabled", "this server sends no usage statistics"),
    ("enable_unreleased_features", "this server has none that are not released"),
    ("http_server.tls.server_ca_pem", FOR_CLIENTS),
    ("http_server.tls.insecure_skip_verify", FOR_CLIENTS),
    ("http_server.tls.server_name", FOR_CLIENTS),
    ("http_server.internal_tls.server_ca_pem", FOR_CLIENTS),
    ("http_server.internal_tls.insecure_skip_verify", FOR_CLIENTS),
    ("http_server.internal_tls.server_name", FOR_CLIENTS),
    ("broker.nats.tls.client_ca_pem", FOR_SERVERS),
    ("broker.postgres.tls.client_ca_pem", FOR_SERVERS),
    ("controller.postgres.tls.client_ca_pem", FOR_SERVERS),
    ("grpc_api.tls.server_ca_pem", FOR_CLIENTS),
    ("grpc_api.tls.insecure_skip_verify", FOR_CLIENTS),
    ("grpc_api.tls.server_name", FOR_CLIENTS),
    ("uni_grpc.tls.server_ca_pem", FOR_CLIENTS),
    ("uni_grpc.tls.insecure_skip_verify", FOR_CLIENTS),
    ("uni_grpc.tls.server_name", FOR_CLIENTS),
    ("consumers.postgresql.tls.client_ca_pem", FOR_SERVERS),
    (".http.tls.client_ca_pem", FOR_SERVERS),
    (".grpc.tls.client_ca_pem", FOR_SERVERS),
];

/// Why an option has no effect, if it has none.
pub(crate) fn without_effect(path: &str) -> Option<&'static str> {
    let means = |option: &str| if option.starts_with('.') { path.ends_with(option) } else { path == option };
    WITHOUT_EFFECT.iter().find(|(option, _)| means(option)).map(|(_, why)| *why)
}

/// Options that Centrifugo's open edition does not have: our own and some of its paid one; these and all below them.
/// What a namespace has, channels without one have, too.
const EXTENSIONS: &[&str] = &[
    "broker.memory",
    "channel.namespaces[].allow_channel_compaction",
    "channel.namespaces[].batch_flush_latest",
    "channel.namespaces[].batch_max_delay",
    "channel.namespaces[].batch_max_size",
    "channel.namespaces[].cache_empty_proxy_enabled",
    "channel.namespaces[].cache_empty_proxy_name",
    "channel.namespaces[].client_publish_debounce_interval",
    "channel.namespaces[].history_cel",
    "channel.namespaces[].keep_latest_publication",
    "channel.namespaces[].overflow_policy",
    "channel.namespaces[].pattern",
    "channel.namespaces[].presence_cel",
    "channel.namespaces[].publish_cel",
    "channel.namespaces[].shared_poll.backpressure_max_interval",
    "channel.namespaces[].shared_poll.keep_latest_data",
    "channel.namespaces[].subscribe_cel",
    "channel.patterns",
    "channel.proxy.cache_empty",
    "client.half_open_limit",
    "client.max_messages_in_frame",
    "client.rate_limit",
    "client.reply_without_queue",
    "client.subscription_token.jwks",
    "client.token.jwks",
    "client.token.labels_from_claim",
    "client.token.meta_from_claim",
    "client.write_delay",
    "database",
    "grpc_api.tls.min_version",
    "http_server.internal_tls.min_version",
    "http_server.proxy_protocol",
    "http_server.tls.min_version",
    "http_server.tls_autocert.directory_ca_pem",
    "http_server.tls_autocert.directory_url",
    "prometheus.client_labels",
    "shutdown.drain_window",
    "shutdown.ready_delay",
    "ticket",
    "token_revoke",
    "uni_grpc.tls.min_version",
    "user_block",
    "user_tokens_invalidate",
];

/// Whether an option is one of our own.
pub(crate) fn is_extension(path: &str) -> bool {
    let path = &path.replace("channel.without_namespace.", "channel.namespaces[].");
    EXTENSIONS.iter().any(|extension| {
        path.strip_prefix(extension).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// A list whose elements have names, by which variables set their options.
#[derive(Debug)]
pub(crate) struct List {
    /// The list's path.
    pub(crate) path: &'static str,
    /// The options of an element with their defaults, by path.
    pub(crate) options: &'static BTreeMap<String, Value>,
    /// What the reference calls an element's name.
    pub(crate) element: &'static str,
}

/// All such lists.
pub(crate) fn lists() -> &'static [List] {
    static LISTS: OnceLock<Vec<List>> = OnceLock::new();
    LISTS.get_or_init(|| {
        vec![
            List { path: "channel.namespaces", options: leaves_of::<Namespace>(), element: "namespace" },
            List { path: "proxies", options: leaves_of::<NamedProxy>(), element: "proxy" },
            List {
                path: "client.token.jwks.providers",
                options: leaves_of::<JwksProvider>(),
                element: "provider",
            },
            List {
                path: "client.subscription_token.jwks.providers",
                options: leaves_of::<JwksProvider>(),
                element: "provider",
            },
            List { path: "consumers", options: leaves_of::<NamedConsumer>(), element: "consumer" },
            List { path: "rpc.namespaces", options: leaves_of::<RpcNamespace>(), element: "namespace" },
        ]
    })
}

/// The list of this path, if its elements have names.
pub(crate) fn list(path: &str) -> Option<&'static List> {
    lists().iter().find(|list| list.path == path)
}

/// Our options with their defaults, by path. Elements of lists of objects are not part of it.
pub(crate) fn ours() -> &'static BTreeMap<String, Value> {
    static OURS: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    OURS.get_or_init(|| {
        let mut leaves = BTreeMap::new();
        collect(&serde_json::to_value(Options::default()).unwrap_or_default(), "", &mut leaves);
        leaves
    })
}

/// The options that hold secrets: those that are not shown once they are set.
pub(crate) fn secrets() -> Vec<String> {
    let is_hidden = |path: &str, set: Value| {
        let set = path.rsplit('.').fold(set, |value, name| serde_json::json!({ name: value }));
        let options = serde_json::from_value::<Options>(set).ok();
        let shown = options.and_then(|options| serde_json::to_value(options).ok()).unwrap_or_default();
        let place = path.split('.').try_fold(&shown, |value, name| value.get(name));
        place == Some(&Value::from(""))
    };
    let is_secret = |path: &&String| {
        is_hidden(path, Value::from("x")) || is_hidden(path, serde_json::json!({ "x": "x" }))
    };
    ours().keys().filter(is_secret).cloned().collect()
}

/// The options of an element with their defaults. Kept for ever: there are as many as there are kinds of lists.
fn leaves_of<T: Default + Serialize>() -> &'static BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    collect(&serde_json::to_value(T::default()).unwrap_or_default(), "", &mut leaves);
    Box::leak(Box::new(leaves))
}

fn collect(value: &Value, path: &str, leaves: &mut BTreeMap<String, Value>) {
    let Value::Object(members) = value else {
        leaves.insert(path.to_owned(), value.clone());
        return;
    };
    for (name, member) in members {
        collect(member, &join(path, name), leaves);
    }
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Centrifugo's options with the texts of their defaults.
fn known() -> &'static BTreeMap<&'static str, &'static str> {
    static KNOWN_OPTIONS: OnceLock<BTreeMap<&'static str, &'static str>> = OnceLock::new();
    KNOWN_OPTIONS
        .get_or_init(|| KNOWN.lines().map(|line| line.split_once('\t').unwrap_or((line, ""))).collect())
}

/// Whether a value is what Centrifugo has by default: setting it asks for nothing.
pub(crate) fn is_default(path: &str, value: &Value) -> bool {
    if is_zero(value) {
        return true;
    }
    let Some(default) = known().get(path).filter(|default| !default.is_empty()) else { return false };
    match value {
        Value::String(text) => {
            text == default
                || (GoDuration::parse(text).is_some()
                    && GoDuration::parse(text) == GoDuration::parse(default))
        }
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ") == *default,
        other => *default == other.to_string().as_str(),
    }
}

/// Whether a value is the same as none (CONF-09).
pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || GoDuration::parse(text) == Some(GoDuration::default()),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.values().all(is_zero),
    }
}

/// Whether Centrifugo has an option of this path, or options below it.
pub(crate) fn is_known(path: &str) -> bool {
    known().contains_key(path) || {
        let below = format!("{path}.");
        known().range(below.as_str()..).next().is_some_and(|(option, _)| option.starts_with(&below))
    }
}

/// Whether Centrifugo has an option of exactly this path.
pub(crate) fn is_leaf(path: &str) -> bool {
    known().contains_key(path)
}

/// Every option of Centrifugo.
pub(crate) fn all_known() -> impl Iterator<Item = &'static str> {
    known().keys().copied()
}

/// The option that switches the feature on which a path belongs to, if there is one above it.
pub(crate) fn switch_of(path: &str) -> Option<String> {
    let mut parent = path;
    while let Some((above, _)) = parent.rsplit_once('.') {
        let switch = format!("{above}.enabled");
        if switch != path && known().contains_key(switch.as_str()) {
            return Some(switch);
        }
        parent = above;
    }
    None
}

/// The known name that looks most like a wrong one.
pub(crate) fn nearest(path: &str) -> Option<String> {
    let candidates = ours().keys().map(String::as_str).chain(all_known());
    let path = path.to_lowercase();
    moved(&path).or_else(|| nearest_of(&path, candidates)).map(str::to_owned)
}

/// What is wrong with a name that stands for no option; `nearest` is what was meant, perhaps.
pub(crate) fn unknown(name: &str, nearest: Option<String>) -> Problem {
    let is_sockjs = name.to_lowercase().contains("sockjs");
    if is_sockjs { Problem::Removed(SOCKJS) } else { Problem::Unknown { nearest } }
}

/// An option whose name has this end: before version 6 options were not grouped, and the documentation of version 6
/// still has some so (HID-109). Those of the HTTP server stood at the top.
pub(crate) fn moved(path: &str) -> Option<&'static str> {
    let end = format!("_{}", path.replace('.', "_"));
    let is_meant = |option: &&'static str| {
        let option = option.replace('.', "_");
        option.ends_with(&end) || option.strip_suffix("_enabled").is_some_and(|option| option.ends_with(&end))
    };
    let best = |option: &&'static str| (!option.starts_with("http_server."), option.len());
    let of_ours = ours().keys().map(String::as_str).filter(is_meant).min_by_key(best);
    of_ours.or_else(|| all_known().filter(is_meant).min_by_key(best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(nearest("client.alowed_origins").as_deref(), Some("client.allowed_origins"));
        assert_eq!(nearest("something.else.entirely"), None);
    }

    #[test]
    fn our_options_are_centrifugos_or_extensions() {
        for path in ours().keys() {
            assert!(
                is_known(path) != is_extension(path),
                "{path} is an option of Centrifugo, or an extension"
            );
        }
        for List { path, options, .. } in lists() {
            for name in options.keys() {
                assert!(
                    is_known(&format!("{path}.{name}")) != is_extension(&format!("{path}[].{name}")),
                    "{name} is an option of Centrifugo's {path}, or an extension"
                );
            }
        }
    }

    /// By their names; a text that is none of them is shown.
    #[test]
    fn what_sounds_like_a_secret_is_one() {
        const SOUNDS: [&str; 13] = [
            "secret",
            "password",
            "private_key",
            "key_pem",
            "api_key",
            "_api.key",
            "credentials_value",
            "static_headers",
            "static_metadata",
            "nats.url",
            "postgresql.dsn",
            "postgres.dsn",
            "notify_dsn",
        ];
        let secrets = secrets();
        for path in ours().iter().filter(|(_, default)| default.is_string()).map(|(path, _)| path) {
            let sounds = SOUNDS.iter().any(|sound| path.contains(sound));
            assert_eq!(secrets.contains(path), sounds, "{path}");
        }
    }

    #[test]
    fn switches() {
        assert_eq!(switch_of("admin.password").as_deref(), Some("admin.enabled"));
        assert_eq!(switch_of("admin.enabled"), None);
        assert_eq!(
            switch_of("client.proxy.connect.http.tls.cert_pem").as_deref(),
            Some("client.proxy.connect.http.tls.enabled")
        );
    }
}
