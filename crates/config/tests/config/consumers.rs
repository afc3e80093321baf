//! `consumers`.

use std::time::Duration;

use expect_test::expect;
use tourbillon_config::{ConsumerSource, Settings};

use crate::harness::Sources;

fn settings(text: &str) -> Settings {
    Settings::new(&Sources::json(text).taken().options).expect("sound")
}

#[test]
fn cons_01_an_outbox_is_read_with_its_defaults() {
    let text = r#"{"consumers": [
        {"name": "orders", "enabled": true, "type": "postgresql", "postgresql": {
            "dsn": "postgresql://ann:secret@db:1/base", "outbox_table_name": "outbox",
            "num_partitions": 0, "partition_poll_interval": 0
        }},
        {"name": "off", "type": "postgresql"},
        {"name": "later", "type": "kafka", "kafka": {"brokers": ["a:1"]}}
    ]}"#;
    let settings = settings(text);
    let [consumer] = &settings.consumers[..] else { panic!("one is on: {:?}", settings.consumers) };
    assert_eq!(consumer.name, "orders");
    let ConsumerSource::Postgres(outbox) = &consumer.source else { panic!("{:?}", consumer.source) };
    assert_eq!(format!("{:?}", outbox.database), r#"PostgresConfig { at: "db:1", .. }"#);
    assert_eq!((outbox.partitions, outbox.limit, outbox.try_lock), (1, 100, false));
    assert_eq!(outbox.poll, Duration::from_millis(300));
    assert!(outbox.notifications.is_none());
    let warned = settings.warnings.iter().filter(|warning| warning.starts_with("consumers["));
    let warned: Vec<_> = warned.map(String::as_str).collect();
    assert_eq!(
        warned,
        ["consumers[1] has no effect: it is not enabled", "consumers[2] has no effect: it is not enabled"]
    );
}

#[test]
fn cons_01_variables_set_options_of_a_named_consumer() {
    let text = r#"{"consumers": [{"name": "orders", "type": "postgresql"}]}"#;
    let sources = Sources::json(text).variables(&[
        ("CENTRIFUGO_CONSUMERS_ORDERS_ENABLED", "true"),
        ("CENTRIFUGO_CONSUMERS_ORDERS_POSTGRESQL_DSN", "host=db"),
        ("CENTRIFUGO_CONSUMERS_ORDERS_POSTGRESQL_OUTBOX_TABLE_NAME", "app.outbox"),
        ("CENTRIFUGO_CONSUMERS_ORDERS_POSTGRESQL_NUM_PARTITIONS", "4"),
        ("CENTRIFUGO_CONSUMERS_ORDERS_POSTGRESQL_USE_TRY_LOCK", "true"),
        ("CENTRIFUGO_CONSUMERS_ORDERS_POSTGRESQL_PARTITION_NOTIFICATION_CHANNEL", "rows"),
    ]);
    let settings = Settings::new(&sources.taken().options).expect("sound");
    let ConsumerSource::Postgres(outbox) = &settings.consumers[0].source else { panic!() };
    assert_eq!((outbox.partitions, outbox.try_lock), (4, true));
    assert_eq!(outbox.notifications.as_ref().map(|(_, channel)| channel.as_str()), Some("rows"));
}

#[test]
fn cons_01_what_is_wrong_with_consumers_is_told() {
    Sources::json(
        r#"{"consumers": [
            {"name": "a", "type": "postgresql"},
            {"name": "same", "type": "rabbit"},
            {"name": "same", "enabled": true, "type": "kafka"},
            {"name": "outbox", "enabled": true, "type": "postgresql", "postgresql": {
                "outbox_table_name": "a; drop", "num_partitions": 2000, "partition_poll_interval": "-1s"
            }},
            {"name": "broken", "enabled": true, "type": "postgresql", "postgresql": {
                "dsn": "secret", "outbox_table_name": "a", "partition_notification_channel": "c",
                "partition_notification_dsn": "user=secret"
            }}
        ]}"#,
    )
    .refused(expect![[r#"
        consumers[0].name: "a" must match ^[a-zA-Z0-9_]{2,}$
        consumers[1].type: "rabbit" must be "postgresql"
        consumers[2].name: there is another consumer "same"
        consumers[2].type: "kafka" is not implemented yet
        consumers[3].postgresql.dsn: must be set
        consumers[3].postgresql.outbox_table_name: must be the name of a table, perhaps with that of its schema before it: outbox, app.outbox, "Outbox"
        consumers[3].postgresql.num_partitions: must be at most 1024
        consumers[3].postgresql.partition_poll_interval: must not be negative
        consumers[4].postgresql.dsn: must be like postgresql://user:password@host:5432/database
        consumers[4].postgresql.partition_notification_dsn: names no host"#]]);
}

#[test]
fn options_of_consumers_that_are_not_there_yet_are_refused_where_they_count() {
    let of = |kind: &str, enabled: bool| {
        let text = format!(
            r#"{{"consumers": [{{"name": "orders", "enabled": {enabled}, "type": "{kind}",
                "kafka": {{"brokers": ["a:1"]}},
                "postgresql": {{"dsn": "host=a", "outbox_table_name": "a"}}}}]}}"#
        );
        Sources::json(&text).read().map(|_| ())
    };
    assert_eq!(of("postgresql", true), Ok(()));
    assert_eq!(of("kafka", false), Ok(()));
    let refused = of("kafka", true).expect_err("refused");
    assert!(refused.contains("kafka"), "{refused}");
}
