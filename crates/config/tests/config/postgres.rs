//! PostgreSQL as the broker (ENG-02, PGS-06 to PGS-09, PGS-11).

use std::time::Duration;

use expect_test::{Expect, expect};
use tourbillon::postgres::{ControlConfig, PostgresConfig, StreamConfig};
use tourbillon_config::{BrokerSettings, PresenceSettings, Settings};

use crate::harness::Sources;

/// A configuration with these options of PostgreSQL.
fn with(postgres: &str) -> String {
    format!(r#"{{"broker":{{"enabled":true,"type":"postgres","postgres":{postgres}}}}}"#)
}

fn settings(file: &str) -> Settings {
    Settings::new(&Sources::json(file).taken().options).expect("sound options")
}

fn postgres(options: &str) -> (PostgresConfig, StreamConfig) {
    match settings(&with(options)).engine.broker {
        BrokerSettings::Postgres(settings) => *settings,
        other => panic!("{other:?}"),
    }
}

fn refused(file: &str, expected: Expect) {
    Sources::json(file).refused(expected);
}

#[test]
fn pgs_06_to_09_defaults_are_centrifugos_and_zero_is_the_same() {
    let zeros = r#"{"dsn":"host=db","pool_size":0,"num_shards":0,"cleanup_interval":0,"idempotent_result_ttl":0,
        "stream_retention":0,"outbox":{"poll_interval":0,"batch_size":0},"partition_lookahead_days":0}"#;
    for options in [r#"{"dsn":"host=db"}"#, zeros] {
        let (config, streams) = postgres(options);
        assert_eq!(format!("{config:?}"), r#"PostgresConfig { at: "db:5432", .. }"#);
        assert_eq!(format!("{streams:?}"), format!("{:?}", StreamConfig::default()));
    }
}

#[test]
fn every_option_of_postgres_counts() {
    let (config, streams) = postgres(
        r#"{"dsn":"postgresql://ann:secret@db:1/base","tls":{"enabled":true,"insecure_skip_verify":true},"pool_size":3,
            "num_shards":4,"cleanup_interval":"2s","idempotent_result_ttl":"3s","binary_data":true,"stream_retention":"4s",
            "use_notify":true,"notify_dsn":"host=direct","table_prefix":"app_","skip_schema_init":true,
            "outbox":{"poll_interval":"5s","batch_size":6},"partition_lookahead_days":7,"partition_retention_days":-1}"#,
    );
    assert!(!config.is_unsure());
    assert_eq!(format!("{config:?}"), r#"PostgresConfig { at: "db:1", .. }"#);
    assert_eq!(
        (
            streams.pool_size,
            streams.num_shards,
            streams.batch_size,
            streams.binary_data,
            streams.skip_schema_init
        ),
        (3, 4, 6, true, true)
    );
    assert_eq!((streams.partition_lookahead_days, streams.partition_retention_days), (7, 0));
    let seconds = [2, 3, 4, 5].map(Duration::from_secs);
    let said = [
        streams.cleanup_interval,
        streams.idempotent_result_ttl,
        streams.stream_retention,
        streams.poll_interval,
    ];
    assert_eq!(said, seconds);
    assert_eq!(format!("{:?}", streams.table_prefix), r#"TablePrefix("app")"#);
    assert_eq!(format!("{:?}", streams.notify), r#"Some(PostgresConfig { at: "direct:5432", .. })"#);
    let (_, streams) = postgres(r#"{"dsn":"host=db","use_notify":true}"#);
    assert_eq!(format!("{:?}", streams.notify), r#"Some(PostgresConfig { at: "db:5432", .. })"#);
}

#[test]
fn presence_is_elsewhere_and_what_may_surprise_is_told() {
    let settings = settings(&with(r#"{"dsn":"host=a sslmode=require","notify_dsn":"host=b"}"#));
    assert!(matches!(settings.engine.presence, PresenceSettings::Memory));
    let told = |text: &str| settings.warnings.iter().any(|warning| warning.contains(text));
    for text in [
        "presence is kept by each node for itself",
        "nodes do not know of each other",
        "broker.postgres.notify_dsn has no effect without broker.postgres.use_notify",
        "broker.postgres.dsn: sslmode=require takes any certificate",
    ] {
        assert!(told(text), "{text}: {:?}", settings.warnings);
    }
    let idle = Sources::json(r#"{"broker":{"enabled":true,"postgres":{"dsn":"host=a"}}}"#).taken().warnings;
    assert_eq!(idle, [r#"broker.postgres has no effect: broker.type is not "postgres""#]);
}

#[test]
fn mistakes_are_told_without_secrets() {
    for (options, expected) in [
        ("{}", expect!["broker.postgres.dsn: must be set"]),
        (
            r#"{"dsn":"host=a sslmode=disable","tls":{"enabled":true}}"#,
            expect![
                "broker.postgres.dsn: sslmode=disable says that there is no TLS, and the options of TLS that there is"
            ],
        ),
        (
            r#"{"dsn":"host=a","use_notify":true,"notify_dsn":"postgres//ann:secret@db"}"#,
            expect!["broker.postgres.notify_dsn: must be like postgresql://user:password@host:5432/database"],
        ),
        (
            r#"{"dsn":"host=a","table_prefix":"App","pool_size":2000,"cleanup_interval":"-1s","partition_retention_days":9999,
                "outbox":{"batch_size":1000000}}"#,
            expect![[r#"
                broker.postgres.pool_size: must be at most 1000
                broker.postgres.outbox.batch_size: must be at most 100000
                broker.postgres.partition_retention_days: must be at most 3650
                broker.postgres.cleanup_interval: must not be negative
                broker.postgres.table_prefix: must begin with a letter and have lower-case letters, digits and _ only, 20 at most"#]],
        ),
    ] {
        refused(&with(options), expected);
    }
}

#[test]
fn what_would_be_dropped_before_its_time_is_refused() {
    let kept = r#""history_size":10,"history_ttl":"60h""#;
    let file = |days: i8| {
        format!(
            r#"{{"broker":{{"enabled":true,"type":"postgres","postgres":{{"dsn":"host=a","partition_retention_days":{days}}}}},
                "channel":{{"namespaces":[{{"name":"aa"}},{{"name":"bb",{kept}}}]}}}}"#
        )
    };
    refused(
        &file(2),
        expect![
            "channel.namespaces[1].history_ttl: is longer than broker.postgres.partition_retention_days keeps anything: 2 days"
        ],
    );
    settings(&file(3));
    settings(&file(-1));
}

#[test]
fn pgs_11_replicas_and_delivery_by_others_are_refused() {
    for options in [
        r#"{"dsn":"host=a","replica":{"enabled":true,"dsn":["host=b"]}}"#,
        r#"{"dsn":"host=a","broker_fanout":{"enabled":true}}"#,
    ] {
        let told = Sources::json(&with(options)).read().expect_err("refused");
        assert!(
            told.contains("broker.postgres.replica") || told.contains("broker.postgres.broker_fanout"),
            "{told}"
        );
    }
}

fn control(options: &str) -> Option<(PostgresConfig, ControlConfig)> {
    settings(&format!(r#"{{"controller":{options}}}"#)).engine.control
}

#[test]
fn eng_05_ctl_01_a_controller_is_postgres_and_its_defaults_are_centrifugos() {
    let zeros = r#""pool_size":0,"num_shards":0,"poll_interval":0,"partition_lookahead_days":0,"partition_cleanup_interval":0,"batch_size":0"#;
    for more in ["", zeros] {
        let comma = if more.is_empty() { "" } else { "," };
        let options =
            format!(r#"{{"enabled":true,"type":"postgres","postgres":{{"dsn":"host=db"{comma}{more}}}}}"#);
        let (config, control) = control(&options).expect("a controller");
        assert_eq!(format!("{config:?}"), r#"PostgresConfig { at: "db:5432", .. }"#);
        assert_eq!(format!("{control:?}"), format!("{:?}", ControlConfig::default()));
    }
    // HID-97: nobody listens unless that is said.
    assert!(ControlConfig::default().notify.is_none());
    assert!(control(r#"{"type":"postgres","postgres":{"dsn":"host=db"}}"#).is_none(), "it is off");
    let (_, control) = control(
        r#"{"enabled":true,"type":"postgres","postgres":{"dsn":"host=db","pool_size":2,"num_shards":3,"table_prefix":"app",
            "poll_interval":"4s","use_notify":true,"notify_dsn":"host=direct","partition_retention_days":5,
            "partition_lookahead_days":6,"partition_cleanup_interval":"7s","batch_size":8,"skip_schema_init":true}}"#,
    )
    .expect("a controller");
    assert_eq!((control.pool_size, control.num_shards, control.batch_size), (2, 3, 8));
    assert_eq!((control.partition_retention_days, control.partition_lookahead_days), (5, 6));
    assert_eq!(
        (control.poll_interval, control.partition_cleanup_interval, control.skip_schema_init),
        (Duration::from_secs(4), Duration::from_secs(7), true)
    );
    assert_eq!(format!("{:?}", control.table_prefix), r#"TablePrefix("app")"#);
    assert_eq!(format!("{:?}", control.notify), r#"Some(PostgresConfig { at: "direct:5432", .. })"#);
    for (options, expected) in [
        (r#"{"enabled":true}"#, expect![[r#"controller.type: "" must be "postgres""#]]),
        (r#"{"enabled":true,"type":"redis"}"#, expect![[r#"controller.type: "redis" must be "postgres""#]]),
        (r#"{"enabled":true,"type":"postgres"}"#, expect!["controller.postgres.dsn: must be set"]),
    ] {
        refused(&format!(r#"{{"controller":{options}}}"#), expected);
    }
}
