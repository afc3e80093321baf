//! Where Redis is, for each part that can be kept there: `engine.redis`, `broker.redis`, `presence_manager.redis`,
//! `map_broker.redis`, limits of users and revocations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tourbillon::redis::{
    Connection, MapsConfig, PresenceConfig, RedisConfig, RedisTls, Servers, ShardConfig,
};

use crate::check::Checker;
use crate::client_tls::ClientTls;
use crate::describe::{Describe, Texts, path_of};
use crate::duration::GoDuration;
use crate::model::{Engine, options};
use crate::secret::SecretText;

/// Addresses: a list, or a text in which commas divide them. There may be passwords in them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Listed", into = "Vec<String>")]
pub struct Addresses(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    List(Vec<String>),
    Text(String),
}

impl From<Listed> for Addresses {
    fn from(listed: Listed) -> Self {
        Self(match listed {
            Listed::List(list) => list,
            Listed::Text(text) if text.is_empty() => Vec::new(),
            Listed::Text(text) => text.split(',').map(|address| address.trim().to_owned()).collect(),
        })
    }
}

impl From<Addresses> for Vec<String> {
    fn from(addresses: Addresses) -> Self {
        addresses.0
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Addresses({})", self.0.len())
    }
}

/// Options of one part: what all have, and more.
macro_rules! redis_options {
    ($(#[$doc:meta])* $name:ident { $($more:tt)* }) => {
        options! {
            $(#[$doc])*
            $name {
                /// What all names in Redis begin with.
                prefix: String = "centrifugo".to_owned(),
                /// Where it is: `host:port` or a URL (redis, rediss, unix, redis+sentinel, rediss+sentinel, redis+cluster).
                /// Channels are spread over several.
                address: Addresses = Addresses(vec!["redis://127.0.0.1:6379".to_owned()]),
                /// How long connecting may take.
                connect_timeout: GoDuration = GoDuration::from_secs(1),
                /// How long an answer may take.
                io_timeout: GoDuration = GoDuration::from_secs(4),
                /// The database, up to 255.
                db: u8 = 0,
                /// The user; empty for the one without a name.
                user: String = String::new(),
                /// The password.
                password: SecretText = SecretText::default(),
                /// What connections call themselves.
                client_name: String = String::new(),
                /// Speaks the older protocol, for servers that know no other.
                force_resp2: bool = false,
                /// Clusters instead of `address`: `host:port` of some of their nodes, joined by commas.
                cluster_address: Addresses = Addresses::default(),
                /// TLS.
                tls: ClientTls = ClientTls::default(),
                /// Sentinels instead of `address`: `host:port` of some, joined by commas.
                sentinel_address: Addresses = Addresses::default(),
                /// The user that sentinels want.
                sentinel_user: String = String::new(),
                /// The password that sentinels want.
                sentinel_password: SecretText = SecretText::default(),
                /// What sentinels call the server.
                sentinel_master_name: String = String::new(),
                /// TLS towards sentinels; must be the same as `tls`.
                sentinel_tls: ClientTls = ClientTls::default(),
                $($more)*
            }
        }

        impl $name {
            fn place(&self) -> Place<'_> {
                Place {
                    prefix: &self.prefix,
                    address: &self.address.0,
                    timeouts: [self.connect_timeout, self.io_timeout],
                    db: self.db,
                    credentials: [&self.user, self.password.expose()],
                    client_name: &self.client_name,
                    force_resp2: self.force_resp2,
                    cluster_address: &self.cluster_address.0,
                    tls: &self.tls,
                    sentinel_address: &self.sentinel_address.0,
                    sentinel_credentials: [&self.sentinel_user, self.sentinel_password.expose()],
                    sentinel_master_name: &self.sentinel_master_name,
                    sentinel_tls: &self.sentinel_tls,
                }
            }
        }
    };
}

redis_options! {
    /// `engine.redis`.
    EngineRedis {
        /// Streams are lists: neither versions nor reading in reverse.
        history_use_lists: bool = false,
        /// How long a connection is there after it was noted last; whole seconds.
        presence_ttl: GoDuration = GoDuration::from_secs(60),
        /// Presence by lifetimes of fields of hashes, which Redis has since 7.4.
        presence_hash_field_ttl: bool = false,
        /// Users are counted when they come and go: statistics cost the same however many there are.
        presence_user_mapping: bool = false,
    }
}

redis_options! {
    /// `broker.redis`.
    BrokerRedis {
        /// Streams are lists: neither versions nor reading in reverse.
        history_use_lists: bool = false,
    }
}

redis_options! {
    /// `presence_manager.redis`.
    PresenceRedis {
        /// How long a connection is there after it was noted last; whole seconds.
        presence_ttl: GoDuration = GoDuration::from_secs(60),
        /// Presence by lifetimes of fields of hashes, which Redis has since 7.4.
        presence_hash_field_ttl: bool = false,
        /// Users are counted when they come and go: statistics cost the same however many there are.
        presence_user_mapping: bool = false,
    }
}

redis_options! {
    /// `map_broker.redis`.
    MapsRedis {
        /// How often it is looked for keys that have ended; negative for never, where other nodes do it.
        cleanup_interval: GoDuration = GoDuration::from_secs(1),
        /// How many keys of a channel are ended at once.
        cleanup_batch_size: usize = 100,
        /// How long an idempotency key is remembered.
        idempotent_result_ttl: GoDuration = GoDuration::from_secs(300),
    }
}

redis_options! {
    /// `client.rate_limit.redis_user_command.redis`.
    RatesRedis {
        /// The servers of `engine.redis`, with its prefix, and none of the other options here.
        reuse_from_engine: bool = false,
    }
}

redis_options! {
    /// `redis` of `user_block`, `token_revoke` and `user_tokens_invalidate`.
    RevocationsRedis {}
}

/// Where something is kept in Redis.
#[derive(Clone, Debug)]
pub struct RedisPlace {
    /// The servers.
    pub shards: Vec<ShardConfig>,
    /// What all names begin with.
    pub prefix: String,
}

/// Where presence is kept, if it is in Redis of its own.
#[derive(Clone, Debug)]
pub struct PresencePlace {
    /// The servers.
    pub shards: Vec<ShardConfig>,
    /// What all names begin with.
    pub prefix: String,
    /// How it is kept.
    pub config: PresenceConfig,
}

struct Place<'a> {
    prefix: &'a str,
    address: &'a [String],
    timeouts: [GoDuration; 2],
    db: u8,
    credentials: [&'a str; 2],
    client_name: &'a str,
    force_resp2: bool,
    cluster_address: &'a [String],
    tls: &'a ClientTls,
    sentinel_address: &'a [String],
    sentinel_credentials: [&'a str; 2],
    sentinel_master_name: &'a str,
    sentinel_tls: &'a ClientTls,
}

pub(crate) fn engine(check: &mut Checker, options: &EngineRedis) -> RedisConfig {
    const PATH: &str = "engine.redis";
    let mut config = config(check, PATH, &options.place());
    config.lists = options.history_use_lists;
    let EngineRedis { presence_ttl, presence_hash_field_ttl, presence_user_mapping, .. } = options;
    config.presence =
        presence_config(check, PATH, *presence_ttl, [*presence_hash_field_ttl, *presence_user_mapping]);
    config
}

/// Presence of the engine, where the broker is another.
pub(crate) fn engine_presence(check: &mut Checker, options: &EngineRedis) -> PresencePlace {
    let RedisConfig { shards, prefix, presence, .. } = engine(check, options);
    PresencePlace { shards, prefix, config: presence }
}

pub(crate) fn broker(check: &mut Checker, options: &BrokerRedis) -> RedisConfig {
    let mut config = config(check, "broker.redis", &options.place());
    config.lists = options.history_use_lists;
    config
}

pub(crate) fn presence(check: &mut Checker, options: &PresenceRedis) -> PresencePlace {
    const PATH: &str = "presence_manager.redis";
    let RedisConfig { shards, prefix, .. } = config(check, PATH, &options.place());
    let PresenceRedis { presence_ttl, presence_hash_field_ttl, presence_user_mapping, .. } = options;
    let switches = [*presence_hash_field_ttl, *presence_user_mapping];
    PresencePlace { shards, prefix, config: presence_config(check, PATH, *presence_ttl, switches) }
}

/// Keyed channels, which must not be in a cluster (MAPB-05).
pub(crate) fn maps(check: &mut Checker, options: &MapsRedis) -> MapsConfig {
    const PATH: &str = "map_broker.redis";
    let mut config = MapsConfig::new(shards(check, PATH, &options.place()));
    config.prefix.clone_from(&options.prefix);
    if config.shards.iter().any(|shard| matches!(shard.servers, Servers::Cluster(_))) {
        check.error(PATH, "keyed channels cannot be in a Redis Cluster");
    }
    // Negative is never.
    config.cleanup_interval = options.cleanup_interval.to_std();
    config.cleanup_batch_size = options.cleanup_batch_size;
    config.idempotent_result_ttl =
        check.duration(&format!("{PATH}.idempotent_result_ttl"), options.idempotent_result_ttl);
    config
}

/// Token buckets of users.
pub(crate) fn rates(check: &mut Checker, options: &RatesRedis, engine: &Engine) -> Option<RedisPlace> {
    const PATH: &str = "client.rate_limit.redis_user_command.redis";
    if !options.reuse_from_engine {
        return Some(place(check, PATH, &options.place()));
    }
    if engine.r#type != "redis" {
        check.error(&format!("{PATH}.reuse_from_engine"), "needs engine.type \"redis\"");
        return None;
    }
    Some(place(check, "engine.redis", &engine.redis.place()))
}

/// Revocations of one kind, which have one shard: with another one, some would not be found any more.
pub(crate) fn revocations(check: &mut Checker, path: &str, options: &RevocationsRedis) -> RedisPlace {
    let place = place(check, path, &options.place());
    if place.shards.len() > 1 {
        check.error(path, "has several shards, and must have one");
    }
    place
}

fn place(check: &mut Checker, path: &str, options: &Place<'_>) -> RedisPlace {
    RedisPlace { shards: shards(check, path, options), prefix: options.prefix.to_owned() }
}

fn presence_config(
    check: &mut Checker,
    path: &str,
    ttl: GoDuration,
    [hash_field_ttl, user_mapping]: [bool; 2],
) -> PresenceConfig {
    let path = format!("{path}.presence_ttl");
    let mut presence = PresenceConfig::default();
    presence.ttl = check.duration(&path, ttl);
    if presence.ttl < Duration::from_secs(1) && !ttl.is_negative() {
        check.error(&path, format!("{ttl} must be at least 1s"));
    }
    presence.hash_field_ttl = hash_field_ttl;
    presence.user_mapping = user_mapping;
    presence
}

fn config(check: &mut Checker, path: &str, place: &Place<'_>) -> RedisConfig {
    let mut config = RedisConfig::new(shards(check, path, place));
    place.prefix.clone_into(&mut config.prefix);
    config
}

/// Clusters go before sentinels, and these before addresses (RED-02).
fn shards(check: &mut Checker, path: &str, place: &Place<'_>) -> Vec<ShardConfig> {
    let connection = connection(check, path, place);
    let local = ["redis://127.0.0.1:6379".to_owned()];
    let (option, addresses) = if !place.cluster_address.is_empty() {
        ("cluster_address", place.cluster_address)
    } else if !place.sentinel_address.is_empty() {
        ("sentinel_address", place.sentinel_address)
    } else if !place.address.is_empty() {
        ("address", place.address)
    } else {
        ("address", &local[..])
    };
    let parse = |address: &String| match option {
        "cluster_address" => ShardConfig::cluster(address, &connection),
        "sentinel_address" => ShardConfig::sentinel(address, place.sentinel_master_name, &connection),
        _ => ShardConfig::parse(address, &connection),
    };
    let mut shards = Vec::new();
    for (at, address) in addresses.iter().enumerate() {
        shards.extend(check.ok(&format!("{path}.{option}[{at}]"), parse(address)));
    }
    let by_sentinel = shards.iter().any(|shard| matches!(shard.servers, Servers::Sentinel { .. }));
    // An address says it for both, unless the option of sentinels says otherwise.
    let is_said = option != "address" || place.sentinel_tls.enabled;
    if by_sentinel && is_said && place.tls != place.sentinel_tls {
        check.error(&format!("{path}.sentinel_tls"), format!("must be the same as {path}.tls"));
    }
    shards
}

fn connection(check: &mut Checker, path: &str, place: &Place<'_>) -> Connection {
    let mut connection = Connection::default();
    let names = ["connect_timeout", "io_timeout"];
    let into = [&mut connection.connect_timeout, &mut connection.io_timeout];
    for ((name, given), timeout) in names.into_iter().zip(place.timeouts).zip(into) {
        // Zero is the usual one.
        let given = check.duration(&format!("{path}.{name}"), given);
        if !given.is_zero() {
            *timeout = given;
        }
    }
    let texts = [place.credentials, place.sentinel_credentials].concat();
    let into = [
        &mut connection.user,
        &mut connection.password,
        &mut connection.sentinel_user,
        &mut connection.sentinel_password,
    ];
    into.into_iter().zip(texts).for_each(|(into, text)| text.clone_into(into));
    connection.database = place.db;
    place.client_name.clone_into(&mut connection.client_name);
    connection.force_resp2 = place.force_resp2;
    let tls = place.tls.config(check, &format!("{path}.tls"));
    connection.tls = tls.map(|tls| RedisTls::new(Arc::new(tls), place.tls.name().map(str::to_owned)));
    connection
}
