//! From the options of proxies to endpoints, and who is asked about what.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use tourbillon::node::{NodeConfig, Refusal};
use tourbillon::proxy::{Endpoint, EndpointConfig, Event, StatusTransform};
use tourbillon::types::{Disconnect, ReplyError};
use tourbillon_access::ChannelProxies;

use crate::check::Checker;
use crate::model::{ChannelRules, Options};
use crate::proxies::{NamedProxy, Proxy, SecretMap, StatusToCode};

/// The name by which namespaces mean the proxy of an event.
const DEFAULT: &str = "default";

/// Who is asked about what.
#[derive(Debug, Default)]
pub struct Backends {
    /// Those that stand for their event: `client.proxy`, `channel.proxy` and `rpc.proxy`.
    defaults: HashMap<Event, Arc<Endpoint>>,
    /// `proxies`, by name.
    named: HashMap<Box<str>, Arc<Endpoint>>,
    rpc: RpcRoutes,
    /// The method of `rpc.ping`, if that is on.
    pub ping: Option<String>,
    /// The headers that backends want of a connection as long as it lasts.
    keep_headers: Vec<HeaderName>,
    /// The same of those that clients write into their connect command.
    keep_emulated: Vec<HeaderName>,
    /// The longest that a call may take.
    longest: Duration,
}

/// Which proxy answers which calls.
#[derive(Debug, Default)]
struct RpcRoutes {
    boundary: String,
    /// Whether any proxy answers any.
    any: bool,
    without_namespace: Option<Arc<str>>,
    namespaces: HashMap<Box<str>, Option<Arc<str>>>,
}

impl Backends {
    /// The backend of this name for an event; `default` stands for the event's own.
    #[must_use]
    pub fn named(&self, event: Event, name: &str) -> Option<Arc<Endpoint>> {
        if name == DEFAULT { self.of(event) } else { self.named.get(name).cloned() }
    }

    /// The event's own backend: that of connections, or what namespaces mean by `default`.
    #[must_use]
    pub fn of(&self, event: Event) -> Option<Arc<Endpoint>> {
        self.defaults.get(&event).cloned()
    }

    /// The backend that answers calls of a method (PRX-40).
    ///
    /// # Errors
    ///
    /// 104 for a method of an unknown namespace, if calls are answered at all.
    pub fn of_method(&self, method: &str) -> Result<Option<Arc<Endpoint>>, ReplyError> {
        let RpcRoutes { boundary, any, without_namespace, namespaces } = &self.rpc;
        if !any {
            return Ok(None);
        }
        let split = if boundary.is_empty() { None } else { method.split_once(boundary.as_str()) };
        let name = match split {
            None | Some(("", _)) => without_namespace,
            Some((namespace, _)) => namespaces.get(namespace).ok_or(ReplyError::METHOD_NOT_FOUND)?,
        };
        Ok(name.as_deref().and_then(|name| self.named(Event::Rpc, name)))
    }

    /// Every backend, each once.
    pub fn each(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.defaults.values().chain(self.named.values())
    }

    /// Notes what connections have to keep for a backend.
    fn note(&mut self, config: &EndpointConfig, keeps: bool) {
        self.longest = self.longest.max(config.timeout);
        if !keeps {
            return;
        }
        let of_transport = config.http_headers.iter().chain(&config.grpc_metadata);
        for (kept, names) in [
            (&mut self.keep_headers, of_transport.collect::<Vec<_>>()),
            (&mut self.keep_emulated, config.emulated_headers.iter().collect()),
        ] {
            for name in names {
                if !kept.contains(name) {
                    kept.push(name.clone());
                }
            }
        }
    }

    /// What a node has to do for backends to be asked: keep headers, and wait.
    pub(crate) fn prepare(&self, node: &mut NodeConfig) {
        node.keep_headers.clone_from(&self.keep_headers);
        node.keep_emulated_headers.clone_from(&self.keep_emulated);
        // The proxy's own timeout comes first.
        let longest = self.longest + Duration::from_secs(1);
        node.call_timeout = node.call_timeout.max(longest);
        node.shared_poll_call_timeout = node.shared_poll_call_timeout.max(longest);
    }
}

/// The names of proxies that there are.
pub(crate) struct Known(HashSet<String>);

impl Known {
    pub(crate) fn new(options: &Options) -> Self {
        let names = options.proxies.iter().map(|proxy| proxy.name.clone());
        Self(names.chain([DEFAULT.to_owned()]).collect())
    }

    /// Even a name that is not used must mean something.
    fn name(&self, check: &mut Checker, path: &str, (enabled, name): (bool, &str)) -> Option<Arc<str>> {
        if !name.is_empty() && !self.0.contains(name) {
            let message = format!("there is no proxy {name:?}: it must be \"{DEFAULT}\" or one of `proxies`");
            check.error(&format!("{path}_name"), message);
        }
        enabled.then(|| Arc::from(name))
    }
}

/// The proxies of a namespace.
pub(crate) fn of_channel(
    check: &mut Checker,
    path: &str,
    rules: &ChannelRules,
    known: &Known,
) -> ChannelProxies {
    let mut name = |option: &str, named: Named<'_>| known.name(check, &format!("{path}.{option}"), named);
    ChannelProxies {
        subscribe: name("subscribe_proxy", subscribe(rules)),
        publish: name("publish_proxy", publish(rules)),
        sub_refresh: name("sub_refresh_proxy", sub_refresh(rules)),
        subscribe_stream: name("subscribe_stream_proxy", subscribe_stream(rules)),
        bidirectional: rules.subscribe_stream_proxy_bidirectional,
        map_publish: name("map.publish_proxy", map_publish(rules)),
        map_remove: name("map.remove_proxy", map_remove(rules)),
        cache_empty: name("cache_empty_proxy", cache_empty(rules)),
        shared_poll: name("shared_poll.proxy", shared_poll(rules)),
    }
}

/// Whether a proxy is asked, and which one.
type Named<'a> = (bool, &'a str);

fn subscribe(rules: &ChannelRules) -> Named<'_> {
    (rules.subscribe_proxy_enabled, &rules.subscribe_proxy_name)
}

fn publish(rules: &ChannelRules) -> Named<'_> {
    (rules.publish_proxy_enabled, &rules.publish_proxy_name)
}

fn sub_refresh(rules: &ChannelRules) -> Named<'_> {
    (rules.sub_refresh_proxy_enabled, &rules.sub_refresh_proxy_name)
}

fn subscribe_stream(rules: &ChannelRules) -> Named<'_> {
    (rules.subscribe_stream_proxy_enabled, &rules.subscribe_stream_proxy_name)
}

fn map_publish(rules: &ChannelRules) -> Named<'_> {
    (rules.map.publish_proxy_enabled, &rules.map.publish_proxy_name)
}

fn map_remove(rules: &ChannelRules) -> Named<'_> {
    (rules.map.remove_proxy_enabled, &rules.map.remove_proxy_name)
}

fn shared_poll(rules: &ChannelRules) -> Named<'_> {
    let name = rules.shared_poll.proxy_name.as_str();
    (rules.subscription_type == "shared_poll", if name.is_empty() { DEFAULT } else { name })
}

fn cache_empty(rules: &ChannelRules) -> Named<'_> {
    (rules.cache_empty_proxy_enabled, &rules.cache_empty_proxy_name)
}

/// All backends.
pub(crate) fn backends(check: &mut Checker, options: &Options) -> Backends {
    let mut backends = Backends { rpc: rpc(check, options), ..Backends::default() };
    let needs = |is: fn(&ChannelRules) -> Named<'_>| {
        let namespaces = options.channel.namespaces.iter().map(|namespace| &namespace.rules);
        namespaces.chain([&options.channel.without_namespace]).any(|rules| is(rules) == (true, DEFAULT))
    };
    let uses_default = |name: &Option<Arc<str>>| name.as_deref() == Some(DEFAULT);
    let routes = &backends.rpc;
    let calls = uses_default(&routes.without_namespace) || routes.namespaces.values().any(uses_default);
    let (client, channel) = (&options.client.proxy, &options.channel.proxy);
    let defaults = [
        (Event::Connect, "client.proxy.connect", client.connect.proxy(), client.connect.enabled),
        (Event::Refresh, "client.proxy.refresh", client.refresh.proxy(), client.refresh.enabled),
        (Event::Subscribe, "channel.proxy.subscribe", channel.subscribe.proxy(), needs(subscribe)),
        (Event::Publish, "channel.proxy.publish", channel.publish.proxy(), needs(publish)),
        (Event::SubRefresh, "channel.proxy.sub_refresh", channel.sub_refresh.proxy(), needs(sub_refresh)),
        (
            Event::SubscribeStream,
            "channel.proxy.subscribe_stream",
            channel.subscribe_stream.proxy(),
            needs(subscribe_stream),
        ),
        (Event::MapPublish, "channel.proxy.map_publish", channel.map_publish.proxy(), needs(map_publish)),
        (Event::MapRemove, "channel.proxy.map_remove", channel.map_remove.proxy(), needs(map_remove)),
        (Event::CacheEmpty, "channel.proxy.cache_empty", channel.cache_empty.proxy(), needs(cache_empty)),
        (
            Event::SharedPollRefresh,
            "channel.proxy.shared_poll_refresh",
            channel.shared_poll_refresh.proxy(),
            needs(shared_poll),
        ),
        (Event::Rpc, "rpc.proxy", options.rpc.proxy.proxy(), calls),
    ];
    for (event, path, proxy, _) in defaults.iter().filter(|(.., needed)| *needed) {
        let Some((endpoint, config)) = endpoint(check, path, DEFAULT, proxy) else { continue };
        // A connection is asked about with everything that it came with.
        backends.note(&config, *event != Event::Connect);
        backends.defaults.insert(*event, Arc::new(endpoint));
    }
    named(check, &mut backends, &options.proxies);
    streams(check, options, &backends);
    backends.ping = options.rpc.ping.enabled.then(|| options.rpc.ping.method.clone());
    backends
}

/// Only GRPC has streams.
fn streams(check: &mut Checker, options: &Options, backends: &Backends) {
    let namespaces = options.channel.namespaces.iter().enumerate();
    let namespaces = namespaces.map(|(at, one)| (format!("channel.namespaces[{at}]"), &one.rules));
    let all =
        namespaces.chain([("channel.without_namespace".to_owned(), &options.channel.without_namespace)]);
    for (path, rules) in all {
        let (enabled, name) = subscribe_stream(rules);
        let backend = backends.named(Event::SubscribeStream, name).filter(|_| enabled);
        if backend.is_some_and(|backend| backend.is_http()) {
            let path = format!("{path}.subscribe_stream_proxy_name");
            check.error(&path, format!("{name:?} is asked over HTTP, which has no streams"));
        }
    }
}

fn named(check: &mut Checker, backends: &mut Backends, proxies: &[NamedProxy]) {
    for (at, one) in proxies.iter().enumerate() {
        let path = format!("proxies[{at}]");
        let name = one.name.as_str();
        if !is_name(name) {
            check.error(&format!("{path}.name"), format!("{name:?} must match ^[-a-zA-Z0-9_.]{{2,}}$"));
        } else if name == DEFAULT {
            check.error(&format!("{path}.name"), "\"default\" stands for the proxies of their events");
        } else if proxies.iter().take(at).any(|other| other.name == name) {
            check.error(&format!("{path}.name"), format!("there is another proxy {name:?}"));
        }
        if let Some((endpoint, config)) = endpoint(check, &path, name, &one.proxy()) {
            backends.note(&config, true);
            backends.named.insert(name.into(), Arc::new(endpoint));
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() >= 2 && name.bytes().all(is_allowed)
}

fn rpc(check: &mut Checker, options: &Options) -> RpcRoutes {
    let rpc = &options.rpc;
    let known = Known::new(options);
    let rules = &rpc.without_namespace;
    let named = (rules.proxy_enabled, rules.proxy_name.as_str());
    let without_namespace = known.name(check, "rpc.without_namespace.proxy", named);
    let mut namespaces: HashMap<Box<str>, Option<Arc<str>>> = HashMap::new();
    for (at, namespace) in rpc.namespaces.iter().enumerate() {
        let path = format!("rpc.namespaces[{at}]");
        let name = &namespace.name;
        if !is_name(name) {
            check.error(&format!("{path}.name"), format!("{name:?} must match ^[-a-zA-Z0-9_.]{{2,}}$"));
        }
        let named = (namespace.proxy_enabled, namespace.proxy_name.as_str());
        let proxy = known.name(check, &format!("{path}.proxy"), named);
        if namespaces.insert(name.as_str().into(), proxy).is_some() {
            check.error(&format!("{path}.name"), format!("there is another namespace {name:?}"));
        }
    }
    let any = without_namespace.is_some() || namespaces.values().any(Option::is_some);
    RpcRoutes { boundary: rpc.namespace_boundary.clone(), any, without_namespace, namespaces }
}

/// An endpoint, if its options are sound. What is wrong with them is noted.
fn endpoint(
    check: &mut Checker,
    path: &str,
    name: &str,
    proxy: &Proxy,
) -> Option<(Endpoint, EndpointConfig)> {
    let at = |option: &str| format!("{path}.{option}");
    let mut config = EndpointConfig::new(name, &proxy.endpoint);
    config.timeout = check.duration(&at("timeout"), proxy.timeout);
    config.http_headers = names(check, &at("http_headers"), &proxy.http_headers);
    config.grpc_metadata = names(check, &at("grpc_metadata"), &proxy.grpc_metadata);
    config.emulated_headers = names(check, &at("emulated_headers"), &proxy.emulated_headers);
    config.binary_encoding = proxy.binary_encoding;
    config.include_connection_meta = proxy.include_connection_meta;
    let http = &proxy.http;
    config.http.tls = http.tls.config(check, &at("http.tls"));
    config.http.server_name.clone_from(&http.tls.server_name);
    config.http.static_headers = texts(check, &at("http.static_headers"), &http.static_headers);
    config.http.status_transforms =
        transforms(check, &at("http.status_to_code_transforms"), &http.status_to_code_transforms);
    let grpc = &proxy.grpc;
    config.grpc.tls = grpc.tls.config(check, &at("grpc.tls"));
    config.grpc.server_name.clone_from(&grpc.tls.server_name);
    config.grpc.static_metadata = texts(check, &at("grpc.static_metadata"), &grpc.static_metadata);
    config.grpc.compression = grpc.compression;
    if !grpc.credentials_key.is_empty() {
        let name = check.ok(&at("grpc.credentials_key"), grpc.credentials_key.parse::<HeaderName>());
        let value = HeaderValue::try_from(grpc.credentials_value.expose());
        let value = check.ok(&at("grpc.credentials_value"), value);
        config.grpc.credentials = name.zip(value);
    }
    match Endpoint::new(&config) {
        Ok(endpoint) => Some((endpoint, config)),
        Err(error) => {
            check.error(&at(error.option), error.problem);
            None
        }
    }
}

fn names(check: &mut Checker, path: &str, names: &[String]) -> Vec<HeaderName> {
    let mut all = Vec::new();
    for name in names {
        match name.parse() {
            Ok(name) => all.push(name),
            Err(_) => check.error(path, format!("{name:?} is not the name of a header")),
        }
    }
    all
}

/// Names and texts, of which only the names are told.
fn texts(check: &mut Checker, path: &str, map: &SecretMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut all = Vec::new();
    for (name, text) in map.texts() {
        match (name.parse(), HeaderValue::try_from(text.expose())) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                all.push((name, value));
            }
            (Err(_), _) => check.error(path, format!("{name:?} is not the name of a header")),
            (Ok(_), Err(_)) => check.error(path, format!("the text of {name:?} cannot be one of a header")),
        }
    }
    all
}

fn transforms(check: &mut Checker, path: &str, list: &[StatusToCode]) -> Vec<StatusTransform> {
    let mut all = Vec::new();
    for (at, one) in list.iter().enumerate() {
        let at = |option: &str| format!("{path}[{at}].{option}");
        let status = one.status_code;
        if !(100..=999).contains(&status) || status == 200 {
            check.error(&at("status_code"), "must be a status other than 200");
        }
        let (error, disconnect) = (&one.to_error, &one.to_disconnect);
        let is_told = |text: &str| text.is_ascii() && text.len() <= Disconnect::MAX_REASON;
        for (option, text) in
            [("to_error.message", &error.message), ("to_disconnect.reason", &disconnect.reason)]
        {
            if !is_told(text) {
                check.error(&at(option), "must be at most 123 bytes of ASCII");
            }
        }
        let to: Refusal = match (error.code, disconnect.code) {
            (0, 0) => {
                check.error(&at("to_error.code"), "either it or `to_disconnect.code` must be set");
                continue;
            }
            (code, 0) => ReplyError::custom(code, error.message.clone(), error.temporary).into(),
            (0, code @ 3000..=4999) => Disconnect::custom(code, disconnect.reason.clone()).into(),
            (0, _) => {
                check.error(&at("to_disconnect.code"), "must be from 3000 to 4999");
                continue;
            }
            _ => {
                check.error(&at("to_disconnect.code"), "cannot be set together with `to_error.code`");
                continue;
            }
        };
        all.push(StatusTransform { status, to });
    }
    all
}
