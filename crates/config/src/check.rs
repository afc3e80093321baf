//! From options to settings: every value checked once, with its full path in every message.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tourbillon::grpc::GrpcConfig;
use tourbillon::node::NodeConfig;
use tourbillon::postgres::PostgresConfig;
use tourbillon::websocket::{UniWebSocketConfig, WebSocketConfig};
use tourbillon::webtransport::WebTransportConfig;
use tourbillon_access::{
    ChannelConfig, LimitsConfig, NamespaceConfig, Namespaces, NamespacesConfig, RevocationKind, TokensConfig,
};
use tourbillon_api::{GrpcApiConfig, HttpApiConfig};

use crate::LOG_LEVELS;
use crate::addresses::{IpLimits, Networks};
use crate::backends::{self, Backends, Known};
use crate::brokers::{self, EngineSettings};
use crate::consumers::{self, ConsumerSettings};
use crate::database;
use crate::duration::GoDuration;
use crate::grpc_api;
use crate::limits::{self, SharedLimits};
use crate::listeners::{self, ListenerConfig, PortSettings};
use crate::load::{ConfigError, Problem, Source};
use crate::maps;
use crate::model::{self, ChannelRules, Options};
use crate::observe::{self, AdminSettings, PrometheusSettings};
use crate::personal;
use crate::polls;
use crate::redis::{self, RedisPlace};
use crate::streams;
use crate::tokens;
use crate::transports::{self, HttpTransports};

/// Everything a server is built from.
#[derive(Debug)]
pub struct Settings {
    /// Where it listens.
    pub listeners: ListenerConfig,
    /// How it speaks there.
    pub ports: PortSettings,
    /// How the node behaves.
    pub node: NodeConfig,
    /// What carries publications, and who keeps presence.
    pub engine: EngineSettings,
    /// Who may do what.
    pub namespaces: Namespaces,
    /// Who clients are.
    pub tokens: TokensConfig,
    /// Who is asked about what.
    pub backends: Backends,
    /// The path of the WebSocket endpoint and how it behaves; `None` when it is off.
    pub websocket: Option<(String, WebSocketConfig)>,
    /// The path of the endpoint for WebSockets that go one way and how it behaves; `None` when it is off.
    pub uni_websocket: Option<(String, UniWebSocketConfig)>,
    /// How WebTransport behaves; `None` when it is off.
    pub webtransport: Option<WebTransportConfig>,
    /// Where the unidirectional GRPC stream is and how it behaves; `None` when it is off.
    pub uni_grpc: Option<(SocketAddr, GrpcConfig)>,
    /// The endpoints of connections over plain HTTP.
    pub http: HttpTransports,
    /// How the HTTP API behaves; `None` when it is off.
    pub api: Option<HttpApiConfig>,
    /// Where the API over GRPC is and how it behaves; `None` when it is off.
    pub grpc_api: Option<(SocketAddr, GrpcApiConfig)>,
    /// The path of the HTTP API, whether it is on or off.
    pub api_prefix: String,
    /// Whether the API is on the external port too.
    pub api_external: bool,
    /// The path of the health endpoint; `None` when it is off.
    pub health: Option<String>,
    /// The path of the pages about the API; `None` when they are off.
    pub swagger: Option<String>,
    /// The admin page and its API; `None` when they are off.
    pub admin: Option<AdminSettings>,
    /// The path of the pages about the process (OBS-05); `None` when they are off.
    pub debug: Option<String>,
    /// Metrics for Prometheus; `None` when they are off.
    pub prometheus: Option<PrometheusSettings>,
    /// The most connections of clients; `None` for any number.
    pub connection_limit: Option<usize>,
    /// Connections taken at once, refilled by one a second; `None` for any number.
    pub connection_rate_limit: Option<u32>,
    /// What clients may do in which time.
    pub limits: LimitsConfig,
    /// What users may do on all nodes together in which time; `None` for as they like.
    pub shared_limits: Option<SharedLimits>,
    /// Where revocations are kept beside the memory of each node, by their kinds.
    pub revocations: Vec<(RevocationKind, RevocationPlace)>,
    /// Where the database is; `None` where nothing is kept there.
    pub database: Option<PostgresConfig>,
    /// What is consumed from queues and outboxes.
    pub consumers: Vec<ConsumerSettings>,
    /// How often and how many times at once an address may connect; `None` for as it likes.
    pub ip_limits: Option<IpLimits>,
    /// Who is believed in naming the address of others.
    pub trusted_proxies: Networks,
    /// The most connections that have not said yet who they are; `None` for any number.
    pub half_open_limit: Option<usize>,
    /// How the server stops.
    pub shutdown: ShutdownSettings,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// What the operator should know of.
    pub warnings: Vec<String>,
}

/// Where revocations of a kind are kept.
#[derive(Clone, Debug)]
pub enum RevocationPlace {
    /// In Redis.
    Redis(RedisPlace),
    /// In the [database](Settings::database).
    Database,
}

pub(crate) struct Checker {
    errors: Vec<ConfigError>,
}

impl Checker {
    pub(crate) fn error(&mut self, path: &str, problem: impl Into<String>) {
        self.errors.push(ConfigError {
            path: path.to_owned(),
            source: Source::Merged,
            problem: Problem::Value(problem.into()),
        });
    }

    pub(crate) fn ok<T, E: std::fmt::Display>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(path, error.to_string());
                None
            }
        }
    }

    pub(crate) fn duration(&mut self, path: &str, duration: GoDuration) -> Duration {
        duration.to_std().unwrap_or_else(|| {
            self.error(path, "must not be negative");
            Duration::ZERO
        })
    }

    fn shutdown(&mut self, options: &model::Shutdown) -> ShutdownSettings {
        ShutdownSettings {
            ready_delay: self.duration("shutdown.ready_delay", options.ready_delay),
            drain_window: self.duration("shutdown.drain_window", options.drain_window),
            timeout: self.duration("shutdown.timeout", options.timeout),
        }
    }

    /// Whether errors are told by the status of an answer (API-05).
    pub(crate) fn error_mode(&mut self, path: &str, mode: &str) -> bool {
        if !matches!(mode, "" | "transport") {
            self.error(path, format!("{mode:?} must be empty or \"transport\""));
        }
        mode == "transport"
    }

    pub(crate) fn prefix(&mut self, path: &str, prefix: &str) -> String {
        let trimmed = prefix.trim_end_matches('/');
        if !prefix.starts_with('/') {
            self.error(path, format!("{prefix:?} must begin with a slash"));
        }
        if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
    }
}

/// How the server stops (LIM-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownSettings {
    /// How long it goes on, though it says that it is not ready.
    pub ready_delay: Duration,
    /// Over how long clients are told to go.
    pub drain_window: Duration,
    /// How long what is left may take then.
    pub timeout: Duration,
}

impl Settings {
    /// Checks options.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, not only the first.
    pub fn new(options: &Options) -> Result<Self, Vec<ConfigError>> {
        let mut check = Checker { errors: Vec::new() };
        let listeners = listeners::listeners(&mut check, options);
        let ports = listeners::ports(&mut check, options, listeners.as_ref());
        let admin = observe::admin(&mut check, &options.admin);
        let prometheus = observe::prometheus(&mut check, &options.prometheus);
        let mut node = node(&mut check, options);
        node.measures = prometheus.as_ref().map(|prometheus| prometheus.measures);
        node.metrics_client_labels.clone_from(&options.prometheus.client_labels);
        let backends = backends::backends(&mut check, options);
        backends.prepare(&mut node);
        polls::node(&mut node, options);
        let engine = brokers::engine(&mut check, options);
        let namespaces = namespaces(&mut check, options);
        let mut tokens = tokens::tokens(&mut check, options);
        if let (Some(namespaces), Some(tokens)) = (&namespaces, &mut tokens) {
            tokens.ask_inner = options.client.proxy.connect.enabled;
            tokens.inner_refreshes = options.client.proxy.refresh.enabled;
            tokens.personal_channel = personal::channel(&mut check, options, namespaces);
        }
        let websocket = transports::websocket(&mut check, options);
        let uni_websocket = transports::uni_websocket(&mut check, options);
        let webtransport = transports::webtransport(&mut check, options);
        let uni_grpc = uni_grpc(&mut check, options);
        let http = transports::http(&mut check, options);
        let api = api(&mut check, options);
        let grpc_api = grpc_api::config(&mut check, options);
        let limits = limits::limits(&mut check, options);
        let trusted_proxies = limits::trusted_proxies(&mut check, options);
        let ip_limits = limits::ip_limits(&mut check, options, trusted_proxies.clone());
        let shared_limits = limits::shared(&mut check, options);
        let database = database::config(&mut check, options);
        let revocations = revocations(&mut check, options);
        let consumers = consumers::consumers(&mut check, options);
        let health = &options.health;
        let health = health.enabled.then(|| check.prefix("health.handler_prefix", &health.handler_prefix));
        if let (Some(path), Some((other, _))) = (&health, &websocket)
            && path == other
        {
            check.error("health.handler_prefix", "is websocket.handler_prefix too");
        }
        let swagger = &options.swagger;
        let swagger =
            swagger.enabled.then(|| check.prefix("swagger.handler_prefix", &swagger.handler_prefix));
        let debug = &options.debug;
        let debug = debug.enabled.then(|| check.prefix("debug.handler_prefix", &debug.handler_prefix));
        // What is wrong with it is told where it is used.
        let api_prefix = options.http_api.handler_prefix.trim_end_matches('/').to_owned();
        let below = |path: &String| {
            path.strip_prefix(&api_prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !options.http_api.disabled && swagger.as_ref().is_some_and(below) {
            check.error("swagger.handler_prefix", "is below http_api.handler_prefix");
        }
        let shutdown = check.shutdown(&options.shutdown);
        let (Some(listeners), Some(engine), Some(namespaces), Some(tokens), true) =
            (listeners, engine, namespaces, tokens, check.errors.is_empty())
        else {
            return Err(check.errors);
        };
        let client = &options.client;
        Ok(Self {
            listeners,
            ports,
            node,
            engine,
            namespaces,
            tokens,
            backends,
            websocket,
            uni_websocket,
            webtransport,
            uni_grpc,
            http,
            api,
            grpc_api,
            api_prefix,
            api_external: options.http_api.external,
            health,
            swagger,
            admin,
            debug,
            prometheus,
            connection_limit: Some(client.connection_limit).filter(|limit| *limit > 0),
            connection_rate_limit: Some(client.connection_rate_limit).filter(|limit| *limit > 0),
            limits,
            shared_limits,
            database,
            revocations,
            consumers,
            ip_limits,
            trusted_proxies,
            half_open_limit: Some(client.half_open_limit).filter(|limit| *limit > 0),
            shutdown,
            pid_file: Some(&options.pid_file).filter(|path| !path.is_empty()).map(PathBuf::from),
            warnings: warnings(options),
        })
    }
}

/// Where revocations of each kind are kept that outlive all nodes (PRO-34 to PRO-36).
fn revocations(check: &mut Checker, options: &Options) -> Vec<(RevocationKind, RevocationPlace)> {
    let kinds = [
        (RevocationKind::User, "user_block", &options.user_block),
        (RevocationKind::Token, "token_revoke", &options.token_revoke),
        (RevocationKind::TokensOf, "user_tokens_invalidate", &options.user_tokens_invalidate),
    ];
    let is_database = options.database.enabled;
    let mut places = Vec::new();
    for (kind, feature, options) in kinds {
        let path = format!("{feature}.storage_type");
        match options.storage_type.as_str() {
            "memory" => {}
            "redis" => {
                let place = redis::revocations(check, &format!("{feature}.redis"), &options.redis);
                places.push((kind, RevocationPlace::Redis(place)));
            }
            "database" if is_database => places.push((kind, RevocationPlace::Database)),
            "database" => check.error(&path, "\"database\" needs database.enabled"),
            other => check.error(&path, format!("{other:?} must be \"memory\", \"redis\" or \"database\"")),
        }
    }
    places
}

/// UNI-07.
fn uni_grpc(check: &mut Checker, options: &Options) -> Option<(SocketAddr, GrpcConfig)> {
    let grpc = &options.uni_grpc;
    let address = listeners::address(check, "uni_grpc.address", &grpc.address, grpc.port);
    let mut config = GrpcConfig::default();
    if grpc.max_receive_message_size > 0 {
        config.max_receive_message_size = grpc.max_receive_message_size;
    }
    address.filter(|_| grpc.enabled).map(|address| (address, config))
}

fn node(check: &mut Checker, options: &Options) -> NodeConfig {
    let client = &options.client;
    let mut node = NodeConfig::default();
    node.name.clone_from(&options.node.name);
    if node.name.is_empty() {
        node.name = format!("{}_{}", host_name(), options.http_server.port);
    }
    if client.ping_interval.is_negative() {
        node.ping_interval = None;
    } else {
        let interval = check.duration("client.ping_interval", client.ping_interval);
        if client.ping_interval <= client.pong_timeout {
            let message = format!(
                "{} must be longer than client.pong_timeout, {}",
                client.ping_interval, client.pong_timeout
            );
            check.error("client.ping_interval", message);
        } else if interval < Duration::from_secs(1) {
            check.error("client.ping_interval", "must be at least 1s, the unit in which clients are told");
        }
        node.ping_interval = Some(interval);
    }
    node.pong_timeout = check.duration("client.pong_timeout", client.pong_timeout);
    node.stale_close_delay = check.duration("client.stale_close_delay", client.stale_close_delay);
    node.expired_close_delay = check.duration("client.expired_close_delay", client.expired_close_delay);
    node.expired_sub_close_delay =
        check.duration("client.expired_sub_close_delay", client.expired_sub_close_delay);
    node.channel_limit = client.channel_limit;
    node.channel_max_length = options.channel.max_length;
    node.queue_max_size = client.queue_max_size;
    let delay = check.duration("client.write_delay", client.write_delay);
    if delay > NodeConfig::MAX_WRITE_DELAY {
        check.error("client.write_delay", format!("{} must be at most 1s", client.write_delay));
    }
    node.write_delay = Some(delay).filter(|delay| !delay.is_zero());
    node.reply_without_queue = client.reply_without_queue;
    node.concurrency = client.concurrency.max(1);
    node.user_connection_limit = Some(client.user_connection_limit).filter(|limit| *limit > 0);
    node.history_max_publication_limit = client.history_max_publication_limit;
    node.recovery_max_publication_limit = client.recovery_max_publication_limit;
    node.presence_update_interval =
        at_least_a_second(check, "client.presence_update_interval", client.presence_update_interval);
    let interval = options.node.info_metrics_aggregate_interval;
    if interval != GoDuration::ZERO {
        node.info_metrics_aggregate_interval =
            at_least_a_second(check, "node.info_metrics_aggregate_interval", interval);
    }
    node.channel_position_check_delay =
        at_least_a_second(check, "client.channel_position_check_delay", client.channel_position_check_delay);
    let lag = check.duration("client.channel_position_max_time_lag", client.channel_position_max_time_lag);
    node.channel_position_max_time_lag = Some(lag).filter(|lag| !lag.is_zero());
    node.connect_include_server_time = client.connect_include_server_time;
    node.write_timeout = check.duration("websocket.write_timeout", options.websocket.write_timeout);
    node.message_size_limit = transports::largest_command(options);
    node.unidirectional_disconnects =
        transports::disconnects(check, &client.connect_code_to_unidirectional_disconnect);
    node
}

/// The host's name, as far as the system tells it.
fn host_name() -> String {
    let from_file = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = from_file.ok().or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "tourbillon".to_owned() } else { name.to_owned() }
}

/// What is done again and again is not done more often than this.
fn at_least_a_second(check: &mut Checker, path: &str, duration: GoDuration) -> Duration {
    let found = check.duration(path, duration);
    if found < Duration::from_secs(1) && !duration.is_negative() {
        check.error(path, format!("{duration} must be at least 1s"));
    }
    found
}

/// A length of time that streams are kept by, which count in seconds (CONF-08).
fn whole_seconds(check: &mut Checker, path: &str, duration: GoDuration) -> Duration {
    let found = check.duration(path, duration);
    if found.subsec_nanos() > 0 {
        check.error(path, format!("{duration} must be whole seconds"));
    }
    found
}

fn channel_config(check: &mut Checker, path: &str, rules: &ChannelRules, known: &Known) -> ChannelConfig {
    ChannelConfig {
        history_size: rules.history_size,
        history_ttl: whole_seconds(check, &format!("{path}.history_ttl"), rules.history_ttl),
        history_meta_ttl: whole_seconds(check, &format!("{path}.history_meta_ttl"), rules.history_meta_ttl),
        force_positioning: rules.force_positioning,
        allow_positioning: rules.allow_positioning,
        force_recovery: rules.force_recovery,
        allow_recovery: rules.allow_recovery,
        force_recovery_mode: rules.force_recovery_mode.clone(),
        auto_cache_recover: rules.auto_cache_recover,
        allowed_delta_types: rules.allowed_delta_types.clone(),
        delta_publish: rules.delta_publish,
        keep_latest_publication: rules.keep_latest_publication,
        allow_tags_filter: rules.allow_tags_filter,
        allow_channel_compaction: rules.allow_channel_compaction,
        client_publish_debounce_interval: check.duration(
            &format!("{path}.client_publish_debounce_interval"),
            rules.client_publish_debounce_interval,
        ),
        allow_history_for_client: rules.allow_history_for_client,
        allow_history_for_subscriber: rules.allow_history_for_subscriber,
        allow_history_for_anonymous: rules.allow_history_for_anonymous,
        allow_subscribe_for_client: rules.allow_subscribe_for_client,
        allow_subscribe_for_anonymous: rules.allow_subscribe_for_anonymous,
        allow_publish_for_client: rules.allow_publish_for_client,
        allow_publish_for_subscriber: rules.allow_publish_for_subscriber,
        allow_publish_for_anonymous: rules.allow_publish_for_anonymous,
        allow_user_limited_channels: rules.allow_user_limited_channels,
        subscribe_cel: rules.subscribe_cel.clone(),
        publish_cel: rules.publish_cel.clone(),
        history_cel: rules.history_cel.clone(),
        presence_cel: rules.presence_cel.clone(),
        channel_regex: rules.channel_regex.clone(),
        publication_data_format: rules.publication_data_format.clone(),
        presence: rules.presence,
        join_leave: rules.join_leave,
        force_push_join_leave: rules.force_push_join_leave,
        allow_presence_for_client: rules.allow_presence_for_client,
        allow_presence_for_subscriber: rules.allow_presence_for_subscriber,
        allow_presence_for_anonymous: rules.allow_presence_for_anonymous,
        batch_max_size: rules.batch_max_size,
        batch_max_delay: check.duration(&format!("{path}.batch_max_delay"), rules.batch_max_delay),
        batch_flush_latest: rules.batch_flush_latest,
        overflow_policy: rules.overflow_policy.clone(),
        subscription_type: rules.subscription_type.clone(),
        map: maps::map(check, path, rules),
        map_clients_presence_channel_prefix: rules.map_clients_presence_channel_prefix.clone(),
        map_users_presence_channel_prefix: rules.map_users_presence_channel_prefix.clone(),
        proxies: backends::of_channel(check, path, rules, known),
        shared_poll: polls::rules(check, path, &rules.shared_poll),
    }
}

fn namespaces(check: &mut Checker, options: &Options) -> Option<Namespaces> {
    let channel = &options.channel;
    let mut config = NamespacesConfig::default();
    let path = "channel.without_namespace";
    let known = Known::new(options);
    config.without_namespace = channel_config(check, path, &channel.without_namespace, &known);
    config.history_meta_ttl = whole_seconds(check, "channel.history_meta_ttl", channel.history_meta_ttl);
    config.namespaces = channel
        .namespaces
        .iter()
        .enumerate()
        .map(|(index, namespace)| {
            let mut config = NamespaceConfig::default();
            config.name.clone_from(&namespace.name);
            config.pattern.clone_from(&namespace.pattern);
            let path = format!("channel.namespaces[{index}]");
            config.channel = channel_config(check, &path, &namespace.rules, &known);
            config
        })
        .collect();
    config.patterns = channel.patterns;
    config.publication_data_format.clone_from(&channel.publication_data_format);
    config.private_prefix.clone_from(&channel.private_prefix);
    config.namespace_boundary.clone_from(&channel.namespace_boundary);
    config.user_boundary.clone_from(&channel.user_boundary);
    config.user_separator.clone_from(&channel.user_separator);
    config.insecure = options.client.insecure;
    config.shared_poll = polls::secrets(options);
    match Namespaces::new(&config) {
        Ok(namespaces) => Some(namespaces),
        Err(error) => {
            check.error(&error.path, error.problem.to_string());
            None
        }
    }
}

fn api(check: &mut Checker, options: &Options) -> Option<HttpApiConfig> {
    let api = &options.http_api;
    let mut config = HttpApiConfig::default();
    config.prefix = check.prefix("http_api.handler_prefix", &api.handler_prefix);
    api.key.expose().clone_into(&mut config.key);
    config.insecure = api.insecure;
    config.transport_errors = check.error_mode("http_api.error_mode", &api.error_mode);
    (!api.disabled).then_some(config)
}

/// What is allowed and dangerous, or allowed and useless (OBS-09).
fn warnings(options: &Options) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |on: bool, text: &str| {
        if on {
            warnings.push(text.to_owned());
        }
    };
    let client = &options.client;
    warn(
        !LOG_LEVELS.contains(&options.log.level.to_ascii_lowercase().as_str()),
        "log.level is none of none, trace, debug, info, warn, error and fatal: info counts",
    );
    warn(
        client.insecure,
        "client.insecure: everybody may connect, subscribe and publish; for development only",
    );
    warn(
        client.insecure_skip_token_signature_verify,
        "client.insecure_skip_token_signature_verify: anybody can make tokens; for development only",
    );
    warn(
        options.http_api.insecure,
        "http_api.insecure: the API takes requests without a key; for development only",
    );
    warn(
        !options.http_api.disabled && !options.http_api.insecure && options.http_api.key.is_empty(),
        "http_api.key is not set: every API request is refused",
    );
    warn(
        client.allowed_origins.iter().any(|origin| origin == "*"),
        "client.allowed_origins has \"*\": pages of anybody may connect",
    );
    warn(
        options.http_server.http3.enabled && options.http_server.proxy_protocol.enabled,
        "http_server.http3: over UDP there is no PROXY header: behind a load balancer all clients have its address",
    );
    let commands = &client.rate_limit.client_command;
    warn(
        commands.enabled && commands.disconnect_on_accounted_limit && !client.rate_limit.ip_connect.enabled,
        "client.rate_limit.client_command.disconnect_on_accounted_limit: without client.rate_limit.ip_connect clients \
         that are disconnected can come back as often as they like",
    );
    let token = &client.token;
    let (no_set, no_static_key) = (!token.has_sets(), !token.has_key());
    warn(!no_set && !no_static_key, "client.token has key sets: its other keys are not used");
    warn(
        !no_set && token.insecure_skip_jwks_endpoint_safety_check,
        "client.token.insecure_skip_jwks_endpoint_safety_check: tokens may say where their keys are",
    );
    let of_subscriptions = &client.subscription_token.jwks.providers;
    for provider in token.jwks.providers.iter().chain(of_subscriptions) {
        let text = format!(
            "jwks.providers: {:?} has tls.insecure_skip_verify: whoever is between can give it keys",
            provider.name
        );
        warn(provider.enabled && provider.tls.enabled && provider.tls.insecure_skip_verify, &text);
    }
    let no_key = no_set && no_static_key && !client.insecure_skip_token_signature_verify;
    let no_way_in = no_key
        && !client.insecure
        && !client.allow_anonymous_connect_without_token
        && !client.proxy.connect.enabled
        && client.user_id_http_header.is_empty();
    warn(no_way_in, "client.token has no key, and nothing else lets clients in: every connection is refused");
    let http = &options.http_server;
    warn(
        options.debug.enabled && http.internal_port.is_empty() && http.internal_address.is_empty(),
        "debug.enabled: whoever reaches the port for clients sees the command line, memory and threads of the process",
    );
    warnings.extend(grpc_api::warning(options));
    warnings.extend(brokers::warnings(options));
    warnings.extend(database::warnings(options));
    warnings.extend(consumers::warnings(options));
    warnings.extend(streams::warning(&options.broker.memory.persistence));
    warnings.extend(observe::admin_warnings(&options.admin));
    warnings
}
