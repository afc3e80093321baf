//! Connections to one shard.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ConnectionConfig, HostMapping, PerformanceConfig, ReconnectPolicy,
    Server, ServerConfig, TlsConfig, TlsConnector, TlsHostMapping, UnresponsiveConfig,
};
use fred::types::{ClientState, ClusterHash, ConnectHandle, CustomCommand, RespVersion, Value};
use parking_lot::Mutex;
use tourbillon_broker::BrokerError;

use crate::config::{Connection, HostPort, RedisTls, Servers, ShardConfig};
use crate::scripts::Script;

/// How long until a lost connection is tried again, in milliseconds (RED-17).
const RETRY: u32 = 250;

/// The most commands that wait for a connection, each for `io_timeout` at most.
const WAITING: usize = 65_536;

/// The most messages that were received and not routed yet. What comes beyond that is lost, and told as lost.
const RECEIVED: usize = 65_536;

/// The server cannot be used as the options say.
#[derive(Debug, thiserror::Error)]
#[error("Redis at {at}: {problem}")]
pub struct ConnectError {
    /// Which one.
    at: String,
    /// What is wrong.
    problem: String,
}

impl ConnectError {
    pub(crate) fn new(shard: &ShardConfig, problem: impl ToString) -> Self {
        Self { at: shard.servers.to_string(), problem: problem.to_string() }
    }
}

impl std::fmt::Display for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut listed = |hosts: &[HostPort]| {
            for (at, HostPort { host, port }) in hosts.iter().enumerate() {
                write!(f, "{}{host}:{port}", if at > 0 { "," } else { "" })?;
            }
            Ok(())
        };
        match self {
            Self::Standalone(host) => listed(std::slice::from_ref(host)),
            Self::Cluster(hosts) | Self::Sentinel { hosts, .. } => listed(hosts),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What connections of a shard are for. Each is a connection of its own (to each node, in a cluster).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Commands and their answers.
    Commands,
    /// Messages that are handed on.
    Messages,
    /// Messages of other nodes, of which nobody waits for the connection.
    Control,
}

/// Connects, and stays connected from then on: a lost connection comes back by itself.
///
/// # Errors
///
/// When there is no server now, or none that takes us.
pub(crate) async fn connect(shard: &ShardConfig, purpose: Purpose) -> Result<Link, ConnectError> {
    let wrong = |problem: Error| ConnectError::new(shard, problem);
    let client = unconnected(shard, purpose);
    let connecting = client.init();
    // Names are looked up and sentinels asked besides, each of which has a limit of its own, too.
    let limit = shard.connection.connect_timeout.saturating_mul(3) + shard.connection.io_timeout;
    let running = match tokio::time::timeout(limit, connecting).await {
        Ok(connected) => connected.map_err(wrong)?,
        Err(_) => return Err(ConnectError::new(shard, "no connection in time")),
    };
    let link = Link::of(client, running);
    introduce(&link, &shard.connection).await.map_err(wrong)?;
    Ok(link)
}

/// A client with what runs its connections, which ends with the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    client: Client,
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running(Mutex<ConnectHandle>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.get_mut().abort();
    }
}

impl Link {
    /// Lets a client look for its server, however long that takes.
    pub(crate) fn begin(client: Client) -> Self {
        let running = client.connect();
        Self::of(client, running)
    }

    fn of(client: Client, running: ConnectHandle) -> Self {
        Self { client, running: Arc::new(Running(Mutex::new(running))) }
    }

    /// Some errors of connections, such as one about how names are resolved, end a client for good. It was fine once, so
    /// it may be again. A client that is without a connection and looks for one is left alone: two that run it are worse
    /// than none.
    pub(crate) fn revive(&self, error: &Error) {
        if self.client.state() != ClientState::Disconnected || error.is_canceled() {
            return;
        }
        let mut running = self.running.0.lock();
        if running.is_finished() {
            *running = self.client.connect();
        }
    }
}

impl Deref for Link {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A client that is not connected.
pub(crate) fn unconnected(shard: &ShardConfig, purpose: Purpose) -> Client {
    let connection = &shard.connection;
    let performance = PerformanceConfig {
        default_command_timeout: connection.io_timeout,
        broadcast_channel_capacity: if purpose == Purpose::Commands { 16 } else { RECEIVED },
        ..PerformanceConfig::default()
    };
    let behaviour = ConnectionConfig {
        connection_timeout: connection.connect_timeout,
        internal_command_timeout: connection.io_timeout,
        // A script that was under way when the connection broke may have run: it is not for us to run it again.
        max_command_attempts: 1,
        max_command_buffer_len: WAITING,
        reconnect_on_auth_error: true,
        unresponsive: UnresponsiveConfig {
            max_timeout: Some(connection.io_timeout),
            interval: (connection.io_timeout / 4).max(Duration::from_millis(50)),
        },
        ..ConnectionConfig::default()
    };
    let policy = ReconnectPolicy::new_constant(0, RETRY);
    let config = Config { fail_fast: purpose != Purpose::Control, ..config(shard) };
    Client::new(config, Some(performance), Some(behaviour), Some(policy))
}

fn config(shard: &ShardConfig) -> Config {
    let connection = &shard.connection;
    let tls = connection.tls.as_ref();
    let server = |host: &HostPort| server(host, tls);
    let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let servers = match &shard.servers {
        Servers::Standalone(host) => ServerConfig::Centralized { server: server(host) },
        Servers::Unix(path) => ServerConfig::Unix { path: path.clone() },
        Servers::Sentinel { hosts, master } => ServerConfig::Sentinel {
            hosts: hosts.iter().map(server).collect(),
            service_name: master.clone(),
            username: named(&connection.sentinel_user),
            password: named(&connection.sentinel_password),
        },
        Servers::Cluster(hosts) => ServerConfig::Clustered {
            hosts: hosts.iter().map(server).collect(),
            policy: ClusterDiscoveryPolicy::default(),
        },
    };
    Config {
        server: servers,
        username: named(&connection.user),
        password: named(&connection.password),
        version: if connection.force_resp2 { RespVersion::RESP2 } else { RespVersion::RESP3 },
        database: Some(connection.database).filter(|database| *database > 0),
        tls: tls.map(encrypted),
        ..Config::default()
    }
}

fn server(host: &HostPort, tls: Option<&RedisTls>) -> Server {
    let mut server = Server::new(host.host.as_str(), host.port);
    server.tls_server_name = tls.and_then(|tls| tls.server_name.as_deref()).map(Into::into);
    server
}

fn encrypted(tls: &RedisTls) -> TlsConfig {
    let hostnames = match &tls.server_name {
        Some(name) => TlsHostMapping::Custom(Arc::new(OneName(name.clone()))),
        None => TlsHostMapping::DefaultHost,
    };
    TlsConfig { connector: TlsConnector::from(tls.config.as_ref().clone()), hostnames }
}

/// All nodes of a cluster show a certificate of one name.
#[derive(Debug)]
struct OneName(String);

impl HostMapping for OneName {
    fn map(&self, _: &IpAddr, _: &str) -> Option<String> {
        Some(self.0.clone())
    }
}

/// Says what the connections of this client are called, on each of them.
pub(crate) async fn introduce(client: &Client, connection: &Connection) -> Result<(), Error> {
    if connection.client_name.is_empty() {
        return Ok(());
    }
    let name = || vec![Value::from("SETNAME"), Value::from(connection.client_name.as_str())];
    let command = || CustomCommand::new_static("CLIENT", ClusterHash::Random, false);
    if !client.is_clustered() {
        return client.custom(command(), name()).await;
    }
    for server in client.active_connections() {
        client.with_cluster_node(server).custom::<(), _>(command(), name()).await?;
    }
    Ok(())
}

/// Whether the server that was connected to by itself is a node of a cluster.
pub(crate) async fn is_of_cluster(client: &Client) -> bool {
    let command = CustomCommand::new_static("INFO", ClusterHash::Random, false);
    let info: Result<String, Error> = client.custom(command, vec!["cluster"]).await;
    // A server that does not say so is none.
    info.is_ok_and(|info| info.lines().any(|line| line.trim() == "cluster_enabled:1"))
}

/// How often a cluster may say that a key is on another node before that is the answer.
const MOVES: usize = 5;

/// Runs a command whose first argument is the key that says on which node.
pub(crate) async fn command(
    client: &Link,
    name: &'static str,
    key: String,
    mut args: Vec<Value>,
) -> Result<Value, BrokerError> {
    let slot = slot(&key);
    args.insert(0, key.into());
    send(client, name, slot, args).await.map_err(|error| failed(client, error))
}

/// Publishes at the node that has `at`, whatever the name is: in a cluster, what comes by different nodes has no order.
pub(crate) async fn publish_at(
    client: &Link,
    at: &str,
    name: String,
    message: Bytes,
) -> Result<(), BrokerError> {
    let args = vec![name.into(), Value::Bytes(message)];
    send(client, "PUBLISH", slot(at), args).await.map(drop).map_err(|error| failed(client, error))
}

/// Runs a script. All keys are on one node.
pub(crate) async fn run(
    client: &Link,
    script: &'static Script,
    keys: Vec<String>,
    args: Vec<Value>,
) -> Result<Value, BrokerError> {
    let slot = keys.first().map_or(ClusterHash::Random, |key| slot(key));
    let mut all = Vec::with_capacity(2 + keys.len() + args.len());
    all.push(Value::from_static_str(script.hash()));
    all.push(Value::Integer(i64::try_from(keys.len()).unwrap_or_default()));
    all.extend(keys.into_iter().map(Value::from));
    all.extend(args);
    // Not fred's own `evalsha`, which is not pipelined.
    let mut done = send(client, "EVALSHA", slot.clone(), all.clone()).await;
    if done.as_ref().is_err_and(|error| error.details().starts_with("NOSCRIPT")) {
        // It did not run. This is the text, by which the server knows it from now on.
        if let Some(first) = all.first_mut() {
            *first = Value::from_static_str(script.text());
        }
        done = send(client, "EVAL", slot, all).await;
    }
    done.map_err(|error| failed(client, error))
}

/// Where a key is. Commands of one's own heed no other form.
fn slot(key: &str) -> ClusterHash {
    ClusterHash::Custom(fred::util::redis_keyslot(key.as_bytes()))
}

async fn send(
    client: &Client,
    name: &'static str,
    slot: ClusterHash,
    args: Vec<Value>,
) -> Result<Value, Error> {
    let moves = if client.is_clustered() { MOVES } else { 1 };
    for _ in 1..moves {
        let command = CustomCommand::new_static(name, slot.clone(), false);
        match client.custom(command, args.clone()).await {
            // The node has said that the key is elsewhere, and fred, which knows by now where, may not send it once more.
            // What broke with a connection fails otherwise.
            Err(error) if error.details() == "Too many failed write attempts." => {}
            done => return done,
        }
    }
    client.custom(CustomCommand::new_static(name, slot, false), args).await
}

/// What an error is to the node. A client that has given up begins again.
pub(crate) fn failed(link: &Link, error: Error) -> BrokerError {
    link.revive(&error);
    failure(error)
}

/// What the server's or the connection's error is to the node.
fn failure(error: Error) -> BrokerError {
    const PASSING: &[&str] = &[
        "LOADING",
        "READONLY",
        "CLUSTERDOWN",
        "MASTERDOWN",
        "TRYAGAIN",
        "BUSY",
        "OOM",
        "NOREPLICAS",
        "MISCONF",
        // What fred says, as of no kind, while there is no connection.
        "Failed to route command",
        "Failed to send command to router",
    ];
    let passing = PASSING.iter().any(|prefix| error.details().starts_with(prefix));
    let kind = match error.kind() {
        ErrorKind::IO
        | ErrorKind::Timeout
        | ErrorKind::Canceled
        | ErrorKind::Backpressure
        | ErrorKind::Routing
        | ErrorKind::Cluster
        | ErrorKind::Sentinel
        | ErrorKind::Tls => BrokerError::unavailable("Redis"),
        _ if passing => BrokerError::unavailable("Redis"),
        _ => BrokerError::internal("Redis"),
    };
    kind.caused_by(error)
}

/// A number of an answer, which may be text.
pub(crate) fn number(value: &Value) -> Result<u64, BrokerError> {
    value.as_u64().ok_or_else(|| BrokerError::internal("Redis answered something else than a number"))
}

/// Text of an answer.
pub(crate) fn text(value: &Value) -> Result<String, BrokerError> {
    value.as_string().ok_or_else(|| BrokerError::internal("Redis answered something else than text"))
}

/// Bytes of an answer, or of a message.
pub(crate) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::String(text) => Some(text.into_inner()),
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// So many parts of an answer.
pub(crate) fn parts<const N: usize>(value: Value) -> Result<[Value; N], BrokerError> {
    let wrong = || BrokerError::internal("Redis answered something else than was asked for");
    match value {
        Value::Array(parts) => parts.try_into().map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}
