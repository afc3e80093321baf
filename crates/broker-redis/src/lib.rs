//! The engine on Redis: publish and subscribe, history, presence and messages between nodes, for several nodes that share
//! one server, a cluster, or several of either.
//!
//! Names, messages and scripts' effects are Centrifugo's (RED-04 to RED-16), so that its nodes and ours can run on the same
//! Redis while one replaces the other. Redis 6.2 is needed, or what speaks its protocol.
//!
//! # How it is connected
//!
//! [`RedisEngine::connect`] opens two connections to each shard (in a cluster: to each node), one for commands and one for
//! messages; a third, for messages of other nodes, is opened when [`Control::run`] starts. It fails if one of the first
//! two cannot be opened. From then on a lost connection comes back by itself, tried every 250 ms. Meanwhile commands
//! wait for `io_timeout` at most, and end as [transient](BrokerError::is_transient) failures. No command is sent
//! twice.
//!
//! # What is lost, and told
//!
//! What is published while the connection for messages is down does not arrive. When it is back, channels are subscribed
//! again, 512 at a time, and then the positions of all of them are told as
//! [lost](tourbillon_broker::BrokerEvents::position_lost), so that subscribers catch up. The same is told of a channel
//! whose queue was full, or of which a damaged message came.
//!
//! Redis itself may lose what it had acknowledged (a restart without persistence, a failover, eviction). A stream that has
//! lost its meta data begins anew, with another epoch (HID-91).

mod address;
mod client;
mod config;
mod control;
mod counts;
mod engine;
mod keys;
mod maps;
mod payload;
mod presence;
mod pubsub;
mod rates;
mod records;
mod scripts;
mod shard;
mod sharding;
mod streams;

pub use address::AddressError;
pub use client::ConnectError;
pub use config::{Connection, HostPort, PresenceConfig, RedisConfig, RedisTls, Servers, ShardConfig};
pub use counts::PubSubCounts;
pub use engine::{RedisEngine, RedisPresence};
pub use maps::{MapsConfig, RedisMaps};
pub use rates::{RedisBucket, RedisRates};
pub use records::RedisRecords;
#[cfg(doc)]
use tourbillon_broker::{BrokerError, Control};
pub use tourbillon_broker::{Record, RecordsVersion};
