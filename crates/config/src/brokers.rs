//! What carries publications, and who keeps presence: `engine`, `broker` and `presence_manager` (ENG-01 to ENG-03).

use tourbillon::memory::Persistence;
use tourbillon::nats::NatsConfig;
use tourbillon::postgres::{ControlConfig, PostgresConfig, StreamConfig};
use tourbillon::redis::RedisConfig;

use crate::check::Checker;
use crate::maps::MapsSettings;
use crate::model::Options;
use crate::nats;
use crate::postgres;
use crate::redis::{self, PresencePlace};
use crate::streams;

/// What carries publications, and who keeps presence.
#[derive(Debug)]
pub struct EngineSettings {
    /// What carries publications.
    pub broker: BrokerSettings,
    /// Who keeps presence.
    pub presence: PresenceSettings,
    /// What keeps keyed channels.
    pub maps: MapsSettings,
    /// What carries messages between nodes, if that is not what carries publications (ENG-05).
    pub control: Option<(PostgresConfig, ControlConfig)>,
}

/// What carries publications.
#[derive(Debug)]
pub enum BrokerSettings {
    /// The embedded engine, with the file of its streams, if they have one.
    Memory(Option<Persistence>),
    /// Redis.
    Redis(RedisConfig),
    /// NATS.
    Nats(NatsConfig),
    /// PostgreSQL.
    Postgres(Box<(PostgresConfig, StreamConfig)>),
}

/// Who keeps presence.
#[derive(Debug)]
pub enum PresenceSettings {
    /// What carries publications.
    Broker,
    /// Each node for itself.
    Memory,
    /// Redis, though another carries publications.
    Redis(PresencePlace),
}

/// Products that can be either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Memory,
    Redis,
    Nats,
    Postgres,
}

/// Product names of Centrifugo that are not there yet.
const LATER: [&str; 1] = ["redisnats"];

fn kind(check: &mut Checker, path: &str, text: &str, all: &[&str]) -> Option<Kind> {
    match text {
        "memory" => return Some(Kind::Memory),
        "redis" => return Some(Kind::Redis),
        "nats" if all.contains(&"nats") => return Some(Kind::Nats),
        "postgres" if all.contains(&"postgres") => return Some(Kind::Postgres),
        other if LATER.contains(&other) && all.contains(&other) => {
            check.error(path, format!("{other:?} is not implemented yet"));
        }
        other => {
            let all: Vec<_> = all.iter().map(|name| format!("{name:?}")).collect();
            check.error(path, format!("{other:?} must be one of {}", all.join(", ")));
        }
    }
    None
}

/// Which of the options count; what is wrong with the others is told where it can be told at all.
pub(crate) fn engine(check: &mut Checker, options: &Options) -> Option<EngineSettings> {
    let Options { engine, broker, presence_manager, .. } = options;
    let of_engine = kind(check, "engine.type", &engine.r#type, &["memory", "redis"]);
    // Checked even where it is off, as Centrifugo does.
    let of_broker =
        kind(check, "broker.type", &broker.r#type, &["memory", "redis", "nats", "redisnats", "postgres"]);
    let of_presence = kind(check, "presence_manager.type", &presence_manager.r#type, &["memory", "redis"]);
    let persistence = streams::persistence(check, &broker.memory.persistence);
    let maps = options.map_broker.settings(check);
    let control = postgres::control(check, options);
    let (of_engine, of_broker, of_presence) = (of_engine?, of_broker?, of_presence?);
    let carries = if broker.enabled { of_broker } else { of_engine };
    let keeps = if presence_manager.enabled { of_presence } else { of_engine };
    if carries != Kind::Memory && broker.memory.persistence.enabled {
        check.error("broker.memory.persistence.enabled", "memory does not carry publications: another does");
    }
    let presence = match keeps {
        Kind::Memory if carries == Kind::Memory => PresenceSettings::Broker,
        Kind::Memory => PresenceSettings::Memory,
        Kind::Redis if presence_manager.enabled => {
            PresenceSettings::Redis(redis::presence(check, &presence_manager.redis))
        }
        Kind::Redis if broker.enabled => {
            PresenceSettings::Redis(redis::engine_presence(check, &engine.redis))
        }
        // Only brokers are of this kind.
        Kind::Redis | Kind::Nats | Kind::Postgres => PresenceSettings::Broker,
    };
    let broker = match carries {
        Kind::Memory => BrokerSettings::Memory(persistence),
        Kind::Redis if broker.enabled => BrokerSettings::Redis(redis::broker(check, &broker.redis)),
        Kind::Redis => BrokerSettings::Redis(redis::engine(check, &engine.redis)),
        Kind::Nats => BrokerSettings::Nats(nats::config(check, options)?),
        Kind::Postgres => BrokerSettings::Postgres(Box::new(postgres::config(check, options)?)),
    };
    Some(EngineSettings { broker, presence, maps: maps?, control })
}

/// What is said of NATS and PostgreSQL, and of presence that nodes keep for themselves.
pub(crate) fn warnings(options: &Options) -> Vec<String> {
    let Options { engine, broker, presence_manager, .. } = options;
    let mut warnings = postgres::warnings_of_control(options);
    match broker.r#type.as_str() {
        "nats" if broker.enabled => warnings.extend(nats::warnings(options)),
        "postgres" if broker.enabled => warnings.extend(postgres::warnings(options)),
        _ => return warnings,
    }
    let keeps = if presence_manager.enabled { &presence_manager.r#type } else { &engine.r#type };
    if keeps == "memory" {
        let text =
            "presence is kept by each node for itself: what others have is not seen (presence_manager)";
        warnings.push(text.to_owned());
    }
    warnings
}
