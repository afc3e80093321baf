//! Where Redis is and how it is spoken to.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tourbillon_tls::rustls::ClientConfig;

/// What an engine on Redis needs to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The servers, or clusters, that channels are spread over by consistent hashing (RED-04); at least one. Their order
    /// matters.
    pub shards: Vec<ShardConfig>,
    /// What all names in Redis begin with (RED-05).
    pub prefix: String,
    /// Streams are lists: neither versions nor reading in reverse (RED-10).
    pub lists: bool,
    /// How presence is kept.
    pub presence: PresenceConfig,
}

impl RedisConfig {
    /// The usual settings for these servers.
    #[must_use]
    pub fn new(shards: Vec<ShardConfig>) -> Self {
        Self { shards, prefix: "centrifugo".to_owned(), lists: false, presence: PresenceConfig::default() }
    }
}

/// How presence is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PresenceConfig {
    /// How long a connection is there after it was noted last. At least a second, and counted in whole ones.
    pub ttl: Duration,
    /// Fields of hashes have lifetimes of their own (RED-15); needs Redis 7.4.
    pub hash_field_ttl: bool,
    /// Users are counted when they come and go, which makes statistics cheap (RED-16).
    pub user_mapping: bool,
}

impl Default for PresenceConfig {
    /// A minute, and no more keys than that takes.
    fn default() -> Self {
        Self { ttl: Duration::from_secs(60), hash_field_ttl: false, user_mapping: false }
    }
}

/// One server, or what stands for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardConfig {
    /// Where it is.
    pub servers: Servers,
    /// How it is spoken to.
    pub connection: Connection,
}

impl ShardConfig {
    /// A shard of these servers.
    #[must_use]
    pub const fn new(servers: Servers, connection: Connection) -> Self {
        Self { servers, connection }
    }
}

/// A server's name or address, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Where a shard is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Servers {
    /// One server. If it turns out to be a node of a cluster, the shard is that cluster.
    Standalone(HostPort),
    /// One server, by the path of its socket.
    Unix(PathBuf),
    /// Whatever server these sentinels name.
    Sentinel {
        /// The sentinels.
        hosts: Vec<HostPort>,
        /// What they call the server.
        master: String,
    },
    /// A cluster that has these nodes.
    Cluster(Vec<HostPort>),
}

/// A server's client side of TLS.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisTls {
    /// Whom it trusts and what it shows.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate has to have; `None` for the one that was connected to.
    pub server_name: Option<String>,
}

impl RedisTls {
    /// TLS with this configuration.
    #[must_use]
    pub const fn new(config: Arc<ClientConfig>, server_name: Option<String>) -> Self {
        Self { config, server_name }
    }
}

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// How a shard is spoken to.
#[derive(Clone)]
#[non_exhaustive]
pub struct Connection {
    /// The user; empty for the one that needs no name.
    pub user: String,
    /// The password; empty for none. `Debug` does not show it.
    pub password: String,
    /// The database.
    pub database: u8,
    /// What connections call themselves (`CLIENT SETNAME`); empty for nothing.
    pub client_name: String,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub io_timeout: Duration,
    /// How often a connection for messages is asked whether it is there; one that does not answer within `io_timeout` is
    /// replaced (RED-19).
    pub probe_interval: Duration,
    /// Speaks the older protocol, for servers that know no other.
    pub force_resp2: bool,
    /// TLS, if it is wanted; the same towards sentinels.
    pub tls: Option<RedisTls>,
    /// The user that sentinels want; empty for none.
    pub sentinel_user: String,
    /// The password that sentinels want; empty for none. `Debug` does not show it.
    pub sentinel_password: String,
}

impl Default for Connection {
    /// Nobody in particular, database 0, a second for connecting and four for answers (RED-03), a
    /// probe every half a minute.
    fn default() -> Self {
        Self {
            user: String::new(),
            password: String::new(),
            database: 0,
            client_name: String::new(),
            connect_timeout: Duration::from_secs(1),
            io_timeout: Duration::from_secs(4),
            probe_interval: Duration::from_secs(30),
            force_resp2: false,
            tls: None,
            sentinel_user: String::new(),
            sentinel_password: String::new(),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("user", &self.user)
            .field("database", &self.database)
            .field("client_name", &self.client_name)
            .field("connect_timeout", &self.connect_timeout)
            .field("io_timeout", &self.io_timeout)
            .field("force_resp2", &self.force_resp2)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}
