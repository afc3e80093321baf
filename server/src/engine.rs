//! What carries publications and keeps presence, from settings to something connected.

use std::path::PathBuf;
use std::sync::Arc;

use tourbillon::broker::Engine;
use tourbillon::memory::{MemoryEngine, MemoryMaps, OpenError, Persistence};
use tourbillon::nats::NatsBroker;
use tourbillon::postgres::{self, PostgresBroker, PostgresControl};
use tourbillon::redis::{ConnectError, RedisEngine, RedisMaps, RedisPresence};
use tourbillon::types::SystemClock;

use crate::config::{BrokerSettings, EngineSettings, MapsSettings, PresenceSettings};
use crate::metrics::RedisCounts;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The file of streams cannot be used.
    #[error("broker.memory.persistence.path: {}: {}", path.display(), chain(source))]
    Streams {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: OpenError,
    },
    /// Redis is not there, or not as it has to be (RED-17).
    #[error(transparent)]
    Redis(#[from] ConnectError),
    /// PostgreSQL is not there, or not as it has to be.
    #[error("broker.postgres: {0}")]
    Postgres(#[source] postgres::ConnectError),
    /// The PostgreSQL between nodes is not.
    #[error("controller.postgres: {0}")]
    Control(#[source] postgres::ConnectError),
    /// The Redis of keyed channels is not.
    #[error("map_broker.redis: {0}")]
    Maps(#[source] ConnectError),
}

/// An error with what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Connects to what is elsewhere, and reads what is in files. With what is counted there.
pub(crate) async fn connect(settings: EngineSettings) -> Result<(Engine, RedisCounts), EngineError> {
    let EngineSettings { broker, presence, maps, control } = settings;
    let mut counts = RedisCounts::default();
    let engine = match broker {
        BrokerSettings::Memory(persistence) => Engine::new(memory(persistence)?),
        BrokerSettings::Redis(config) => {
            let redis = RedisEngine::connect(config).await?;
            counts.broker = Some(redis.counts());
            Engine::new(redis)
        }
        // Connected while it runs, however often that takes.
        BrokerSettings::Nats(config) => Engine::new(NatsBroker::new(config)),
        BrokerSettings::Postgres(settings) => {
            let (config, streams) = *settings;
            let connected = PostgresBroker::connect(config, streams).await;
            Engine::new(connected.map_err(EngineError::Postgres)?)
        }
    };
    let engine = match presence {
        PresenceSettings::Broker => engine,
        PresenceSettings::Memory => engine.with_presence(MemoryEngine::default()),
        PresenceSettings::Redis(place) => {
            engine.with_presence(RedisPresence::connect(place.shards, &place.prefix, place.config).await?)
        }
    };
    let engine = match control {
        Some((config, control)) => {
            let connected = PostgresControl::connect(config, control).await;
            engine.with_control(connected.map_err(EngineError::Control)?)
        }
        None => engine,
    };
    let engine = match maps {
        MapsSettings::Memory => engine.with_maps(MemoryMaps::default()),
        MapsSettings::Redis(config) => {
            let redis = RedisMaps::connect(config).await.map_err(EngineError::Maps)?;
            counts.maps = Some(redis.counts());
            engine.with_maps(redis)
        }
    };
    Ok((engine, counts))
}

/// The embedded engine, with what is in its file, if it has one.
fn memory(persistence: Option<Persistence>) -> Result<MemoryEngine, EngineError> {
    let Some(persistence) = persistence else { return Ok(MemoryEngine::default()) };
    MemoryEngine::open(Arc::new(SystemClock::new()), &persistence)
        .map_err(|source| EngineError::Streams { path: persistence.path, source })
}
