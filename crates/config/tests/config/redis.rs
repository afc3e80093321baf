//! ENG-01 to ENG-03: what carries publications and who keeps presence, and RED-01 to RED-03: where their Redis is.

use std::time::Duration;

use tourbillon::redis::Servers;
use tourbillon_config::{BrokerSettings, EngineSettings, MapsSettings, PresenceSettings, Settings};

use crate::harness::Sources;

fn engine(text: &str) -> EngineSettings {
    Settings::new(&Sources::json(text).taken().options).expect("sound").engine
}

/// The database tells where it comes from.
fn told(text: &str) -> (String, String) {
    let EngineSettings { broker, presence, .. } = engine(text);
    let broker = match broker {
        BrokerSettings::Memory(_) => "memory".to_owned(),
        BrokerSettings::Redis(config) => format!("redis {}", config.shards[0].connection.database),
        BrokerSettings::Nats(config) => format!("nats {}", config.prefix),
        BrokerSettings::Postgres(..) => "postgres".to_owned(),
    };
    let presence = match presence {
        PresenceSettings::Broker => "broker".to_owned(),
        PresenceSettings::Memory => "memory".to_owned(),
        PresenceSettings::Redis(place) => format!("redis {}", place.shards[0].connection.database),
    };
    (broker, presence)
}

#[test]
fn eng_01_to_03_broker_and_presence_are_the_engines_unless_they_are_elsewhere() {
    for (broker, presence, engine, expected) in [
        ("", "", "memory", ("memory", "broker")),
        ("", "", "redis", ("redis 1", "broker")),
        ("redis", "", "memory", ("redis 2", "memory")),
        ("redis", "", "redis", ("redis 2", "redis 1")),
        ("", "redis", "memory", ("memory", "redis 3")),
        ("", "redis", "redis", ("redis 1", "redis 3")),
        ("redis", "redis", "redis", ("redis 2", "redis 3")),
        ("memory", "", "redis", ("memory", "redis 1")),
        ("", "memory", "redis", ("redis 1", "memory")),
        ("memory", "memory", "redis", ("memory", "broker")),
    ] {
        let part = |kind: &str, db: u8| {
            let (enabled, kind) = (!kind.is_empty(), if kind.is_empty() { "memory" } else { kind });
            format!(r#"{{"enabled":{enabled},"type":"{kind}","redis":{{"db":{db}}}}}"#)
        };
        let text = format!(
            r#"{{"engine":{{"type":"{engine}","redis":{{"db":1}}}},"broker":{},"presence_manager":{}}}"#,
            part(broker, 2),
            part(presence, 3)
        );
        let (broker, presence) = told(&text);
        assert_eq!((broker.as_str(), presence.as_str()), expected, "{text}");
    }
}

#[test]
fn mapb_04_keyed_channels_have_a_redis_of_their_own() {
    let MapsSettings::Memory = engine("{}").maps else { panic!("memory") };
    let text = r#"{"map_broker":{"type":"redis","redis":{"prefix":"p","address":"a:1,b:1","cleanup_interval":"-1s",
        "cleanup_batch_size":7,"idempotent_result_ttl":"1m"}}}"#;
    let MapsSettings::Redis(maps) = engine(text).maps else { panic!("Redis") };
    assert_eq!((maps.prefix.as_str(), maps.shards.len(), maps.cleanup_batch_size), ("p", 2, 7));
    assert_eq!((maps.cleanup_interval, maps.idempotent_result_ttl), (None, Duration::from_secs(60)));
    let MapsSettings::Redis(maps) = engine(r#"{"map_broker":{"type":"redis"}}"#).maps else {
        panic!("Redis")
    };
    assert_eq!((maps.cleanup_interval, maps.cleanup_batch_size), (Some(Duration::from_secs(1)), 100));
    assert_eq!(maps.idempotent_result_ttl, Duration::from_secs(300));
}

#[test]
fn red_01_to_03_options_say_where_redis_is() {
    let text = r#"{"engine":{"type":"redis","redis":{
        "prefix": "p", "address": "redis://a:1/4,unix:///s", "connect_timeout": "2s", "io_timeout": "0s",
        "user": "u", "password": "pass", "client_name": "n", "force_resp2": true, "tls": {"enabled": true, "server_name": "s"},
        "history_use_lists": true, "presence_ttl": "30s", "presence_user_mapping": true
    }}}"#;
    let BrokerSettings::Redis(config) = engine(text).broker else { panic!("Redis") };
    assert_eq!((config.prefix.as_str(), config.lists, config.shards.len()), ("p", true, 2));
    assert_eq!((config.presence.ttl, config.presence.user_mapping), (Duration::from_secs(30), true));
    let connection = &config.shards[0].connection;
    assert_eq!((connection.user.as_str(), connection.password.as_str()), ("u", "pass"));
    assert_eq!((connection.database, connection.client_name.as_str()), (4, "n"));
    assert_eq!(connection.connect_timeout, Duration::from_secs(2));
    assert_eq!(connection.io_timeout, Duration::from_secs(4), "zero is the usual one");
    assert!(connection.force_resp2);
    assert_eq!(connection.tls.as_ref().and_then(|tls| tls.server_name.as_deref()), Some("s"));
    assert_eq!(config.shards[1].servers, Servers::Unix("/s".into()));
    let of = |text: &str| {
        let text = format!(r#"{{"broker":{{"enabled":true,"type":"redis","redis":{text}}}}}"#);
        let BrokerSettings::Redis(config) = engine(&text).broker else { panic!("Redis") };
        config.shards.into_iter().map(|shard| shard.servers).collect::<Vec<_>>()
    };
    let clusters = of(r#"{"cluster_address":["a:1,b:2","c:3"],"sentinel_address":["x:1"]}"#);
    assert!(
        matches!(&clusters[..], [Servers::Cluster(one), Servers::Cluster(two)] if one.len() == 2 && two.len() == 1)
    );
    let sentinels = of(r#"{"sentinel_address":["a:1,b:2"],"sentinel_master_name":"m"}"#);
    assert!(
        matches!(&sentinels[..], [Servers::Sentinel { hosts, master }] if hosts.len() == 2 && master == "m")
    );
    assert_eq!(of(r#"{"address":[]}"#).len(), 1, "the usual one");
}

#[test]
fn what_is_wrong_with_redis_is_told_without_secrets() {
    for (text, expected) in [
        (r#""address":["redis://u:secret@h:port"]"#, "engine.redis.address[0]: malformed address"),
        (r#""cluster_address":["a"]"#, "engine.redis.cluster_address[0]: malformed address"),
        (
            r#""sentinel_address":["a:1"]"#,
            "engine.redis.sentinel_address[0]: sentinels need the name of a master",
        ),
        (
            r#""sentinel_address":["a:1"],"sentinel_master_name":"m","tls":{"enabled":true}"#,
            "engine.redis.sentinel_tls: must be the same as engine.redis.tls",
        ),
        (r#""io_timeout":"-1s""#, "engine.redis.io_timeout: must not be negative"),
        (r#""presence_ttl":"10ms""#, "engine.redis.presence_ttl: 10ms must be at least 1s"),
        (r#""tls":{"enabled":true,"server_ca_pem":"nowhere"}"#, "engine.redis.tls.server_ca_pem: "),
        (r#""db":256"#, "engine.redis.db: "),
        (
            r#""replica_client":{"enabled":true}"#,
            "engine.redis.replica_client.enabled: an option of Centrifugo that is not",
        ),
    ] {
        let text = format!(r#"{{"engine":{{"type":"redis","redis":{{{text}}}}}}}"#);
        let error = match Sources::json(&text).read() {
            Err(error) => error,
            Ok(loaded) => match Settings::new(&loaded.options) {
                Err(errors) => tourbillon_config::lines(&errors),
                Ok(_) => panic!("{text} was taken"),
            },
        };
        assert!(error.starts_with(expected) && !error.contains("secret"), "{text}: {error}");
    }
}
