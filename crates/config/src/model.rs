//! The options as configuration files state them, under Centrifugo's names and with its defaults.
//!
//! Only options that have an effect are here. Others that Centrifugo knows are listed in `known_options.txt`, and
//! refused with a text that says so.

use serde::{Deserialize, Serialize};

use crate::consumers::NamedConsumer;
use crate::describe::{Describe, Texts, path_of};
use crate::duration::GoDuration;
use crate::limits::RateLimit;
use crate::maps::{MapBroker, MapOptions};
use crate::proxies::{ChannelProxies, ClientProxies, NamedProxy, Rpc};
use crate::secret::SecretText;

pub use crate::client_tls::ClientTls;
pub use crate::database::{Database, DatabasePostgres};
pub use crate::grpc_api::GrpcApi;
pub use crate::namespace::Namespace;
pub use crate::nats::{BrokerNats, RawModeOptions, Replacements};
pub use crate::observe::{Admin, Debugging, Prometheus};
pub use crate::polls::{SharedPoll, SharedPollRules};
pub use crate::postgres::{BrokerPostgres, Controller, ControllerPostgres, PostgresOutbox};
pub use crate::redis::{
    Addresses, BrokerRedis, EngineRedis, MapsRedis, PresenceRedis, RatesRedis, RevocationsRedis,
};
pub use crate::tokens::{Jwks, JwksProvider, KeyValue, SubscriptionToken, Token};

macro_rules! options {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $text:literal])+ $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[doc = $text])+ pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Describe for $name {
            fn describe(path: &str, _: &str, into: &mut Texts) {
                $(<$type>::describe(&path_of(path, stringify!($field)), concat!($($text),+), into);)*
            }
        }
    };
}

pub(crate) use options;

options! {
    /// Everything.
    Options {
        /// Listeners.
        http_server: HttpServer = HttpServer::default(),
        /// Logs.
        log: Log = Log::default(),
        /// Broker and presence manager.
        engine: Engine = Engine::default(),
        /// What carries publications.
        broker: Broker = Broker::default(),
        /// Who keeps presence.
        presence_manager: PresenceManager = PresenceManager::default(),
        /// What carries messages between nodes, if the broker does not.
        controller: Controller = Controller::default(),
        /// What keeps channels with keys.
        map_broker: MapBroker = MapBroker::default(),
        /// Client connections.
        client: Client = Client::default(),
        /// Channels and namespaces.
        channel: Channel = Channel::default(),
        /// Polled channels.
        shared_poll: SharedPoll = SharedPoll::default(),
        /// Calls of clients.
        rpc: Rpc = Rpc::default(),
        /// Backends that are asked, by names that namespaces name.
        proxies: Vec<NamedProxy> = Vec::new(),
        /// Queues and outboxes whose messages the server API carries out.
        consumers: Vec<NamedConsumer> = Vec::new(),
        /// WebSocket connections.
        websocket: WebSocket = WebSocket::default(),
        /// HTTP streaming.
        http_stream: HttpStream = HttpStream::default(),
        /// Server-sent events.
        sse: Sse = Sse::default(),
        /// What clients of these two send.
        emulation: Emulation = Emulation::default(),
        /// HTTP streaming to clients that never send.
        uni_http_stream: UniHttpStream = UniHttpStream::default(),
        /// Server-sent events to clients that never send.
        uni_sse: UniSse = UniSse::default(),
        /// WebSocket connections to clients that never send.
        uni_websocket: UniWebSocket = UniWebSocket::default(),
        /// Tickets for the endpoints of server-sent events and for `uni_websocket`.
        ticket: Ticket = Ticket::default(),
        /// WebTransport.
        webtransport: WebTransport = WebTransport::default(),
        /// The unidirectional GRPC stream.
        uni_grpc: UniGrpc = UniGrpc::default(),
        /// What a page may ask before it connects.
        init: Init = Init::default(),
        /// The server API over HTTP.
        http_api: HttpApi = HttpApi::default(),
        /// The server API over GRPC.
        grpc_api: GrpcApi = GrpcApi::default(),
        /// The health endpoint.
        health: Health = Health::default(),
        /// The OpenAPI document of the HTTP API.
        swagger: Swagger = Swagger::default(),
        /// The admin page and its API.
        admin: Admin = Admin::default(),
        /// Metrics for Prometheus.
        prometheus: Prometheus = Prometheus::default(),
        /// Pages about the process.
        debug: Debugging = Debugging::default(),
        /// A database.
        database: Database = Database::default(),
        /// Blocked users.
        user_block: RevocationsOptions = RevocationsOptions::default(),
        /// Revoked tokens.
        token_revoke: RevocationsOptions = RevocationsOptions::default(),
        /// Older tokens of users that are revoked together.
        user_tokens_invalidate: RevocationsOptions = RevocationsOptions::default(),
        /// This node.
        node: Node = Node::default(),
        /// Graceful stop.
        shutdown: Shutdown = Shutdown::default(),
        /// Where to write the process id; empty for nowhere.
        pid_file: String = String::new(),
    }
}

options! {
    /// `http_server`.
    HttpServer {
        /// The address to listen on; empty for all. `unix:` and a path for a Unix socket, `systemd` or `systemd:` and a
        /// name for a socket that the service manager hands over; the port has no meaning then.
        address: String = String::new(),
        /// The port to listen on.
        port: u16 = 8000,
        /// The address for API and health, if another.
        internal_address: String = String::new(),
        /// The port for API and health, if another.
        internal_port: String = String::new(),
        /// TLS.
        tls: Tls = Tls::default(),
        /// TLS with certificates that are got by ACME.
        tls_autocert: TlsAutocert = TlsAutocert::default(),
        /// There is no TLS on a port of its own for API and health.
        tls_external: bool = false,
        /// Other TLS on a port of its own for API and health.
        internal_tls: Tls = Tls::default(),
        /// HTTP/2 without TLS for clients; needs an internal port of its own.
        h2c_external: bool = false,
        /// HTTP/3 for clients.
        http3: Http3 = Http3::default(),
        /// Load balancers say who clients are.
        proxy_protocol: ProxyProtocol = ProxyProtocol::default(),
    }
}

options! {
    /// TLS of a listener.
    Tls {
        /// Switches it on.
        enabled: bool = false,
        /// The certificate and those between it and its root: PEM, base64 of it or a file.
        cert_pem: String = String::new(),
        /// Its private key: PEM, base64 of it or a file.
        key_pem: SecretText = SecretText::default(),
        /// Roots of clients' certificates, likewise; with them, clients need one.
        client_ca_pem: String = String::new(),
        /// The oldest version of TLS that is spoken, `1.2` or `1.3`.
        min_version: String = "1.2".to_owned(),
    }
}

options! {
    /// `http_server.tls_autocert`.
    TlsAutocert {
        /// Switches it on. By this, the terms of service of the authority are agreed to.
        enabled: bool = false,
        /// The host names to have certificates for; unlike Centrifugo's, must not be empty.
        host_whitelist: Vec<String> = Vec::new(),
        /// Where certificates and the account are kept; empty for memory alone.
        cache_dir: String = String::new(),
        /// Where the authority writes to when something is wrong.
        email: String = String::new(),
        /// The host that is meant where a client names none.
        server_name: String = String::new(),
        /// The authority asks over HTTP, at `http_addr`, rather than over TLS at the port for clients.
        http: bool = false,
        /// Where to listen for that.
        http_addr: String = ":80".to_owned(),
        /// The authority's directory.
        directory_url: String = "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
        /// The root of the authority's own certificate, if none that everybody knows: PEM, base64 of it or a
        /// file.
        directory_ca_pem: String = String::new(),
    }
}

options! {
    /// `http_server.http3`.
    Http3 {
        /// HTTP/3 at the UDP port with the number of the port for clients, which answers over TCP tell of by `Alt-Svc`;
        /// needs TLS.
        enabled: bool = false,
    }
}

options! {
    /// `http_server.proxy_protocol`.
    ProxyProtocol {
        /// Connections for clients begin with a PROXY header, version 1 or 2, if they come from a trusted
        /// network.
        enabled: bool = false,
        /// The networks of load balancers, such as `10.0.0.0/8`. Who comes from elsewhere is a client itself.
        trusted: Vec<String> = Vec::new(),
    }
}

options! {
    /// `log`.
    Log {
        /// none, trace, debug, info, warn, error or fatal.
        level: String = "info".to_owned(),
        /// A file instead of standard output or error.
        file: String = String::new(),
    }
}

options! {
    /// `engine`.
    Engine {
        /// What carries publications and keeps presence, unless the other two options say otherwise: `memory` or `redis`.
        r#type: String = "memory".to_owned(),
        /// Redis, with type `redis`.
        redis: EngineRedis = EngineRedis::default(),
    }
}

options! {
    /// `broker`.
    Broker {
        /// The engine does not carry publications: this does.
        enabled: bool = false,
        /// `memory`, `redis`, `nats` or `postgres`.
        r#type: String = "memory".to_owned(),
        /// PostgreSQL, 13 or newer, with type `postgres`: streams that are tables, into which applications publish in their own
        /// transactions.
        postgres: BrokerPostgres = BrokerPostgres::default(),
        /// NATS, with type `nats`: without streams, so without history and recovery.
        nats: BrokerNats = BrokerNats::default(),
        /// Redis, with type `redis`.
        redis: BrokerRedis = BrokerRedis::default(),
        /// The embedded engine.
        memory: MemoryBroker = MemoryBroker::default(),
    }
}

options! {
    /// `presence_manager`.
    PresenceManager {
        /// The engine does not keep presence: this does.
        enabled: bool = false,
        /// `memory` or `redis`.
        r#type: String = "memory".to_owned(),
        /// Redis, with type `redis`.
        redis: PresenceRedis = PresenceRedis::default(),
    }
}

options! {
    /// `broker.memory`.
    MemoryBroker {
        /// Streams that outlive the process.
        persistence: MemoryPersistence = MemoryPersistence::default(),
    }
}

options! {
    /// `broker.memory.persistence`.
    MemoryPersistence {
        /// Streams are kept in a file: history, offsets and epochs outlive the process.
        enabled: bool = false,
        /// The file; it is made if it is not there, its directory is not. One server at a time has it.
        path: String = String::new(),
        /// When a publication is safe from a crash: `always` before it is acknowledged, `interval` every so often,
        /// `never` only at the server's orderly end. Unless always, streams have new epochs after a crash.
        fsync: String = "always".to_owned(),
        /// How often with `fsync` `interval`.
        fsync_interval: GoDuration = GoDuration::from_secs(1),
    }
}

options! {
    /// `client`.
    Client {
        /// Pages that may connect.
        allowed_origins: Vec<String> = Vec::new(),
        /// How connection tokens are checked.
        token: Token = Token::default(),
        /// How subscription tokens are checked, if otherwise.
        subscription_token: SubscriptionToken = SubscriptionToken::default(),
        /// Clients without a token may connect, without a name.
        allow_anonymous_connect_without_token: bool = false,
        /// Tokens without a user are refused.
        disallow_anonymous_connection_tokens: bool = false,
        /// Time between pings; negative for none.
        ping_interval: GoDuration = GoDuration::from_secs(25),
        /// Time within which a pong must come.
        pong_timeout: GoDuration = GoDuration::from_secs(8),
        /// How long an expired connection may still refresh.
        expired_close_delay: GoDuration = GoDuration::from_secs(25),
        /// How long an expired subscription may still refresh.
        expired_sub_close_delay: GoDuration = GoDuration::from_secs(25),
        /// Time within which a connection must connect successfully.
        stale_close_delay: GoDuration = GoDuration::from_secs(10),
        /// The most channels of a connection.
        channel_limit: usize = 128,
        /// The most bytes that wait for a connection.
        queue_max_size: usize = 1_048_576,
        /// How long messages are collected before they are written, up to `1s`; zero for not at all.
        write_delay: GoDuration = GoDuration::default(),
        /// How many messages a WebSocket frame may carry; negative for any number. The JavaScript SDK over the package `ws` may reorder those of one frame.
        max_messages_in_frame: i64 = 1,
        /// Replies do not wait for the end of `write_delay`.
        reply_without_queue: bool = false,
        /// How often it is said anew who is subscribed.
        presence_update_interval: GoDuration = GoDuration::from_secs(27),
        /// How long after a position was known to be good it is compared with the broker's.
        channel_position_check_delay: GoDuration = GoDuration::from_secs(40),
        /// The most publications that a client may read at once.
        history_max_publication_limit: usize = 300,
        /// The most publications that are recovered.
        recovery_max_publication_limit: usize = 300,
        /// A publication that took longer has lost its subscribers' positions; zero for any time.
        channel_position_max_time_lag: GoDuration = GoDuration::default(),
        /// How many commands of a connection are worked on at once; 0 and 1 are the same.
        concurrency: usize = 0,
        /// The most connections of the node; 0 for any number.
        connection_limit: usize = 0,
        /// The most connections of a user on the node; 0 for any number.
        user_connection_limit: usize = 0,
        /// Connections taken at once, refilled by one a second; 0 for any number.
        connection_rate_limit: u32 = 0,
        /// The most connections of the node that have not said yet who they are; 0 for any number. An extension.
        half_open_limit: usize = 16_384,
        /// What clients may do in which time.
        rate_limit: RateLimit = RateLimit::default(),
        /// The connect result tells the time.
        connect_include_server_time: bool = false,
        /// Signatures of tokens are not checked: for development.
        insecure_skip_token_signature_verify: bool = false,
        /// The header that names the user.
        user_id_http_header: String = String::new(),
        /// Who decides about connections.
        proxy: ClientProxies = ClientProxies::default(),
        /// A channel of each user's own.
        subscribe_to_user_personal_channel: PersonalChannel = PersonalChannel::default(),
        /// Everybody may connect, subscribe and publish: for development.
        insecure: bool = false,
        /// Unidirectional clients whose connect is refused by an error are told other disconnects.
        connect_code_to_unidirectional_disconnect: ConnectCodeToDisconnect = ConnectCodeToDisconnect::default(),
    }
}

options! {
    /// `client.subscribe_to_user_personal_channel`.
    PersonalChannel {
        /// The server subscribes each user with a name to a channel of its own, `#<user>`.
        enabled: bool = false,
        /// The namespace of these channels; empty for none.
        personal_channel_namespace: String = String::new(),
        /// A new connection of a user ends the older ones with 3504; needs `presence` in that namespace.
        single_connection: bool = false,
    }
}

options! {
    /// `client.connect_code_to_unidirectional_disconnect`.
    ConnectCodeToDisconnect {
        /// Switches it on.
        enabled: bool = false,
        /// What is told instead of which error: objects of `code` and `to`, which holds `code` and `reason`. Errors
        /// without an entry become what they always do.
        transforms: Vec<DisconnectTransform> = Vec::new(),
    }
}

/// An element of `client.connect_code_to_unidirectional_disconnect.transforms`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DisconnectTransform {
    /// The code of the error.
    pub code: u32,
    /// What is told instead.
    pub to: ToldDisconnect,
}

/// `to` of such an element.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToldDisconnect {
    /// The code of the disconnect.
    pub code: u32,
    /// The reason, in ASCII.
    pub reason: String,
}

options! {
    /// `channel`.
    Channel {
        /// The longest name in commands of clients, in bytes, but for channels that they ask for as they connect.
        max_length: usize = 255,
        /// Begins the names of channels that need a token.
        private_prefix: String = "$".to_owned(),
        /// Ends the name of a namespace.
        namespace_boundary: String = ":".to_owned(),
        /// Begins the list of users of a user-limited channel.
        user_boundary: String = "#".to_owned(),
        /// Stands between those users.
        user_separator: String = ",".to_owned(),
        /// What publications must be, where a namespace does not say.
        publication_data_format: String = String::new(),
        /// How long positions are kept after their last use, in whole seconds, where a namespace does not say.
        history_meta_ttl: GoDuration = GoDuration::from_secs(720 * 3600),
        /// Who decides about channels.
        proxy: ChannelProxies = ChannelProxies::default(),
        /// The rules of channels without a namespace.
        without_namespace: ChannelRules = ChannelRules::default(),
        /// Channels that begin with a slash belong to the namespace whose `pattern` they match.
        patterns: bool = false,
        /// The namespaces.
        namespaces: Vec<Namespace> = Vec::new(),
    }
}

options! {
    /// The rules of channels.
    ChannelRules {
        /// A backend decides about subscriptions, unless they come with a token or the name of the channel lists users.
        subscribe_proxy_enabled: bool = false,
        /// Which one: `default` for `channel.proxy.subscribe`, or one of `proxies`.
        subscribe_proxy_name: String = "default".to_owned(),
        /// A backend decides about publications of clients.
        publish_proxy_enabled: bool = false,
        /// Which one: `default` for `channel.proxy.publish`, or one of `proxies`.
        publish_proxy_name: String = "default".to_owned(),
        /// A backend decides how long subscriptions go on. Clients do not refresh them then.
        sub_refresh_proxy_enabled: bool = false,
        /// Which one: `default` for `channel.proxy.sub_refresh`, or one of `proxies`.
        sub_refresh_proxy_name: String = "default".to_owned(),
        /// A backend decides about subscriptions and streams their publications, over GRPC. Not together with the three
        /// above.
        subscribe_stream_proxy_enabled: bool = false,
        /// Which one: `default` for `channel.proxy.subscribe_stream`, or one of `proxies`.
        subscribe_stream_proxy_name: String = "default".to_owned(),
        /// What clients publish goes to the stream of their subscription. Otherwise they cannot publish there.
        subscribe_stream_proxy_bidirectional: bool = false,
        /// A backend is told when somebody subscribes and there is no latest publication. An option of Centrifugo PRO.
        cache_empty_proxy_enabled: bool = false,
        /// Which one: `default` for `channel.proxy.cache_empty`, or one of `proxies`.
        cache_empty_proxy_name: String = "default".to_owned(),
        /// Users may subscribe.
        allow_subscribe_for_client: bool = false,
        /// Where users may subscribe, so may clients without a name.
        allow_subscribe_for_anonymous: bool = false,
        /// Users may publish.
        allow_publish_for_client: bool = false,
        /// Users may publish while subscribed.
        allow_publish_for_subscriber: bool = false,
        /// Where users may publish, so may clients without a name.
        allow_publish_for_anonymous: bool = false,
        /// Channels name the users who may subscribe.
        allow_user_limited_channels: bool = false,
        /// A CEL expression that lets users subscribe where it is true of `user`, `channel`, `meta`, `labels`, `vars`
        /// (of the pattern) and `subscribed`.
        subscribe_cel: String = String::new(),
        /// The same for publishing.
        publish_cel: String = String::new(),
        /// The same for reading the history.
        history_cel: String = String::new(),
        /// The same for knowing who is subscribed.
        presence_cel: String = String::new(),
        /// What the name must match, after the namespace.
        channel_regex: String = String::new(),
        /// What publications must be: empty for anything but nothing, `json`, `json_object` or `binary`.
        publication_data_format: String = String::new(),
        /// How many publications a channel keeps; goes with `history_ttl`.
        history_size: usize = 0,
        /// How long a channel keeps its publications after the last one, in whole seconds; goes with `history_size`.
        history_ttl: GoDuration = GoDuration::default(),
        /// How long a channel's position is kept after its last use, in whole seconds; zero for that of all.
        history_meta_ttl: GoDuration = GoDuration::default(),
        /// Subscriptions have a position: clients learn at once that publications are missing.
        force_positioning: bool = false,
        /// Clients may ask for a position.
        allow_positioning: bool = false,
        /// Subscriptions recover what they missed; needs history.
        force_recovery: bool = false,
        /// Clients may ask for recovery.
        allow_recovery: bool = false,
        /// Empty or `stream` to recover everything that was missed, `cache` for the latest publication.
        force_recovery_mode: String = String::new(),
        /// The latest publication comes without being asked for; needs `force_recovery` in mode `cache`.
        auto_cache_recover: bool = false,
        /// The kinds of deltas that subscribers may negotiate: none, or `fossil`.
        allowed_delta_types: Vec<String> = Vec::new(),
        /// Every publication may go as its difference from the one before to subscribers that negotiated it.
        delta_publish: bool = false,
        /// The latest publication is kept while there are subscribers, so that deltas need no history. An option of
        /// Centrifugo PRO.
        keep_latest_publication: bool = false,
        /// Subscribers may have a filter on the tags of publications.
        allow_tags_filter: bool = false,
        /// Subscribers that ask for it get a number in place of the channel's name; the JavaScript SDK 5.7 cannot take
        /// that over Protobuf. An option of Centrifugo PRO.
        allow_channel_compaction: bool = false,
        /// By how much clients are asked to debounce their publishing, in whole milliseconds; zero for not at all. An
        /// option of Centrifugo PRO.
        client_publish_debounce_interval: GoDuration = GoDuration::default(),
        /// Users may read the history.
        allow_history_for_client: bool = false,
        /// Users may read the history while subscribed.
        allow_history_for_subscriber: bool = false,
        /// Where users may read the history, so may clients without a name.
        allow_history_for_anonymous: bool = false,
        /// It is kept who is subscribed.
        presence: bool = false,
        /// Beginnings and ends of subscriptions are told to those who listen.
        join_leave: bool = false,
        /// Every subscriber listens.
        force_push_join_leave: bool = false,
        /// Users may know who is subscribed.
        allow_presence_for_client: bool = false,
        /// Users may know who is subscribed while they are, too.
        allow_presence_for_subscriber: bool = false,
        /// Where users may know who is subscribed, so may clients without a name.
        allow_presence_for_anonymous: bool = false,
        /// How many publications are collected before they are delivered; zero for any number. Not for channels with keys.
        batch_max_size: usize = 0,
        /// How long publications are collected before they are delivered; zero for any time. Not for channels with keys.
        batch_max_delay: GoDuration = GoDuration::default(),
        /// Only the newest of those that were collected is delivered; needs one of the two.
        batch_flush_latest: bool = false,
        /// What kind of subscriptions there are: empty or `stream`, or a value for each key: `map`, `map_clients` (the keys
        /// are clients that are there) or `map_users` (users), or `shared_poll` (a backend is asked for keys).
        subscription_type: String = String::new(),
        /// Channels with keys.
        map: MapOptions = MapOptions::default(),
        /// Subscribers are shown in the channel whose name is this and that of theirs, which is of type `map_clients`; empty
        /// for nowhere.
        map_clients_presence_channel_prefix: String = String::new(),
        /// The same for their users, in channels of type `map_users`.
        map_users_presence_channel_prefix: String = String::new(),
        /// For connections without room for a publication: empty or `disconnect` ends them, `drop_oldest` and `keep_latest` let older publications go, but not in channels with keys. Who recovers loses nothing: its subscription begins anew.
        overflow_policy: String = String::new(),
        /// How keys are polled.
        shared_poll: SharedPollRules = SharedPollRules::default(),
    }
}

options! {
    /// `websocket`.
    WebSocket {
        /// Switches WebSocket off.
        disabled: bool = false,
        /// The path.
        handler_prefix: String = "/connection/websocket".to_owned(),
        /// Clients that offer permessage-deflate get it.
        compression: bool = false,
        /// Messages up to this many bytes are not compressed.
        compression_min_size: usize = 0,
        /// The effort, 1 to 9.
        compression_level: u32 = 1,
        /// Time within which a peer must take what is written to it.
        write_timeout: GoDuration = GoDuration::from_secs(1),
        /// The largest message of a client, in bytes on the wire.
        message_size_limit: usize = 65_536,
        /// The same, once inflated; 0 for ten times as much.
        decompressed_message_size_limit: usize = 0,
    }
}

options! {
    /// `http_stream`.
    HttpStream {
        /// Switches the endpoint on.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/connection/http_stream".to_owned(),
        /// The largest body of a request, in bytes.
        max_request_body_size: usize = 65_536,
    }
}

options! {
    /// `sse`.
    Sse {
        /// Switches the endpoint on.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/connection/sse".to_owned(),
        /// The largest body of a request, in bytes.
        max_request_body_size: usize = 65_536,
    }
}

options! {
    /// `emulation`.
    Emulation {
        /// The path.
        handler_prefix: String = "/emulation".to_owned(),
        /// The largest body of a request, in bytes.
        max_request_body_size: usize = 65_536,
    }
}

options! {
    /// `uni_http_stream`.
    UniHttpStream {
        /// Switches the endpoint on.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/connection/uni_http_stream".to_owned(),
        /// The largest body of a request, in bytes.
        max_request_body_size: usize = 65_536,
        /// Refused connects are answered by an HTTP status instead of a stream.
        connect_code_to_http_response: ConnectCodeToHttpResponse = ConnectCodeToHttpResponse::default(),
    }
}

options! {
    /// `uni_sse`.
    UniSse {
        /// Switches the endpoint on.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/connection/uni_sse".to_owned(),
        /// The largest body of a request, in bytes.
        max_request_body_size: usize = 65_536,
        /// Refused connects are answered by an HTTP status instead of a stream.
        connect_code_to_http_response: ConnectCodeToHttpResponse = ConnectCodeToHttpResponse::default(),
    }
}

options! {
    /// `uni_websocket`.
    UniWebSocket {
        /// Switches the endpoint on.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/connection/uni_websocket".to_owned(),
        /// Clients that offer permessage-deflate get it.
        compression: bool = false,
        /// Messages up to this many bytes are not compressed.
        compression_min_size: usize = 0,
        /// The effort, 1 to 9.
        compression_level: u32 = 1,
        /// Time within which a peer must take what is written to it.
        write_timeout: GoDuration = GoDuration::from_secs(1),
        /// The largest message of a client, in bytes on the wire.
        message_size_limit: usize = 65_536,
        /// The same, once inflated; 0 for ten times as much.
        decompressed_message_size_limit: usize = 0,
        /// Connections that the server ends get no close frame.
        disable_closing_handshake: bool = false,
        /// A disconnect is told by the close frame only.
        disable_disconnect_push: bool = false,
        /// Messages that wait together are lines of one frame.
        join_push_messages: bool = false,
    }
}

options! {
    /// `ticket`.
    Ticket {
        /// Switches the endpoint on, where clients put down what an address should not hold.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/connection/ticket".to_owned(),
        /// How long a ticket is good, in whole seconds.
        ttl: GoDuration = GoDuration::from_secs(30),
        /// The largest body of a request, in bytes.
        max_request_body_size: usize = 65_536,
        /// How much all tickets together may take, in bytes.
        max_memory: usize = 16_777_216,
        /// How much of that those of one address may take (IPv6: of one /64), behind
        /// `client.rate_limit.ip_connect.trusted_proxies` the client's.
        max_memory_per_address: usize = 2_097_152,
    }
}

options! {
    /// `webtransport`.
    WebTransport {
        /// Switches WebTransport on; needs `http_server.http3.enabled`.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/connection/webtransport".to_owned(),
        /// The largest command of a client, in bytes.
        message_size_limit: usize = 65_536,
    }
}

options! {
    /// `uni_grpc`.
    UniGrpc {
        /// Switches the stream on.
        enabled: bool = false,
        /// The address to listen on; empty for all.
        address: String = String::new(),
        /// The port to listen on.
        port: u16 = 11_000,
        /// The largest message of a client, in bytes; 0 for 4 MiB.
        max_receive_message_size: usize = 0,
        /// TLS.
        tls: Tls = Tls::default(),
    }
}

options! {
    /// `connect_code_to_http_response` of a unidirectional endpoint.
    ConnectCodeToHttpResponse {
        /// Switches it on.
        enabled: bool = false,
        /// What is answered to which code: objects of `code` and `to`, which holds `status_code` and `body`. Any other
        /// code gets 500.
        transforms: Vec<ConnectCodeTransform> = Vec::new(),
    }
}

/// An element of `connect_code_to_http_response.transforms`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectCodeTransform {
    /// The code of the error or of the disconnect.
    pub code: u32,
    /// How it is answered.
    pub to: HttpResponse,
}

/// `to` of such an element.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpResponse {
    /// The status.
    pub status_code: u16,
    /// The body; empty for the error's message or the disconnect's reason.
    pub body: String,
}

options! {
    /// `init`.
    Init {
        /// Switches the endpoint on.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/connection/init".to_owned(),
    }
}

options! {
    /// `http_api`.
    HttpApi {
        /// Switches the HTTP API off.
        disabled: bool = false,
        /// The path before the method's name.
        handler_prefix: String = "/api".to_owned(),
        /// What requests must show.
        key: SecretText = SecretText::default(),
        /// Empty, or `transport` to tell errors by the HTTP status too.
        error_mode: String = String::new(),
        /// On the external port too, where there are two.
        external: bool = false,
        /// Takes requests without a key: for development.
        insecure: bool = false,
    }
}

options! {
    /// `swagger`.
    Swagger {
        /// Switches the OpenAPI document of the HTTP API on, and a page to try it.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/swagger".to_owned(),
    }
}

options! {
    /// `health`.
    Health {
        /// Switches the endpoint on.
        enabled: bool = false,
        /// The path.
        handler_prefix: String = "/health".to_owned(),
    }
}

options! {
    /// `user_block`, `token_revoke` and `user_tokens_invalidate`.
    RevocationsOptions {
        /// `memory`: nodes tell each other, and all is forgotten when the last one ends. `redis` or `database`, which is
        /// that of `database`: it is kept there, too, and every node knows it within about a second.
        storage_type: String = "memory".to_owned(),
        /// Redis, with type `redis`. One shard.
        redis: RevocationsRedis = RevocationsRedis::default(),
    }
}

options! {
    /// `node`.
    Node {
        /// How long it is counted what `info` tells of each node; 0 for a minute.
        info_metrics_aggregate_interval: GoDuration = GoDuration::from_secs(60),
        /// The node's name; empty for host name and port.
        name: String = String::new(),
    }
}

options! {
    /// `shutdown`.
    Shutdown {
        /// How long the server goes on as before once it is asked to stop, though `/health/ready` says 503: until nobody
        /// sends clients to it any more. An extension.
        ready_delay: GoDuration = GoDuration::ZERO,
        /// Over how long clients are told to come again, so that they do not do so all at once; new ones are turned away
        /// meanwhile. An extension.
        drain_window: GoDuration = GoDuration::ZERO,
        /// After this long, from when all clients have been told, what has not ended is left.
        timeout: GoDuration = GoDuration::from_secs(30),
    }
}
