//! Configuration: from files, environment and flags to checked settings.
//!
//! Names, formats, defaults and precedence are Centrifugo's: flags win over environment variables, these over the
//! file, this over the defaults. Unlike it we are strict: what is not known, or not there yet, is an error.

mod addresses;
mod backends;
mod brokers;
mod check;
mod client_tls;
mod complete;
pub mod consumers;
mod database;
mod describe;
mod env;
mod grpc_api;
mod idle;
pub mod limits;
mod listeners;
mod load;
pub mod maps;
pub mod model;
mod namespace;
mod nats;
mod observe;
mod personal;
mod polls;
mod postgres;
pub mod proxies;
mod redis;
mod reference;
mod schema;
mod sieve;
mod streams;
mod texts;
mod tokens;
mod transports;

pub use tourbillon_config_syntax::dotenv;
pub(crate) use tourbillon_config_syntax::{duration, secret, tree};

pub use addresses::{IpLimits, Networks};
pub use backends::Backends;
pub use brokers::{BrokerSettings, EngineSettings, PresenceSettings};
pub use check::{RevocationPlace, Settings, ShutdownSettings};
pub use complete::{Complete, complete};
pub use consumers::{ConsumerSettings, ConsumerSource};
pub use duration::GoDuration;
pub use limits::SharedLimits;
pub use listeners::{AcmeConfig, ListenerConfig, Place, PortSettings, TlsSettings};
pub use load::{ConfigError, Given, Loaded, Problem, Source, load};
pub use maps::MapsSettings;
pub use model::Options;
pub use observe::{Admin, AdminSettings, Prometheus, PrometheusSettings};
pub use redis::{PresencePlace, RedisPlace};
pub use reference::{Reference, reference};
pub use secret::SecretText;
pub use transports::{Endpoint, HttpTransports};

/// The paths of the options that hold secrets.
#[must_use]
pub fn secret_options() -> Vec<String> {
    schema::secrets()
}

/// The levels of logs there are, as options name them; another counts as `info` (OBS-07).
pub const LOG_LEVELS: [&str; 7] = ["none", "trace", "debug", "info", "warn", "error", "fatal"];

/// Several errors as one text, a line each.
pub fn lines<E: std::fmt::Display>(errors: &[E]) -> String {
    errors.iter().map(E::to_string).collect::<Vec<_>>().join("\nerror: ")
}
