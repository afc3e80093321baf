//! `client.rate_limit`, and where revocations are kept.

use expect_test::expect;
use tourbillon_access::RevocationKind;
use tourbillon_config::{RevocationPlace, Settings};

use crate::harness::Sources;

#[test]
fn pro_30_to_33_limits_are_read_as_the_paid_edition_writes_them() {
    let text = r#"{
        "channel": {"namespaces": [{"name": "chat"}]},
        "client": {"rate_limit": {
            "client_command": {
                "enabled": true, "dry_run": true, "disconnect_on_accounted_limit": true,
                "total": {"enabled": true, "buckets": [{"interval": "1s", "rate": 20}]},
                "default": {"enabled": true, "buckets": [{"interval": "1s", "rate": 60}]},
                "publish": {
                    "enabled": true,
                    "buckets": [{"interval": "1s", "rate": 1}, {"interval": "1m", "rate": 10}],
                    "namespace_overrides": [
                        {"namespace_name": "chat", "enabled": true, "buckets": [{"interval": "10s", "rate": 1}]}
                    ]
                },
                "rpc": {"method_overrides": [
                    {"method": "m", "enabled": true, "buckets": [{"interval": "20s", "rate": 1}]}
                ]}
            },
            "user_command": {"enabled": true, "connect": {"enabled": true, "buckets": [{"interval": "1h", "rate": 5}]}},
            "client_error": {"enabled": true, "total": {"enabled": true, "buckets": [{"interval": "5s", "rate": 20}]}},
            "ip_connect": {
                "enabled": true, "buckets": [{"interval": "1s", "rate": 10}], "max_concurrent_per_ip": 20,
                "trusted_proxies": ["203.0.113.0/24", "2001:db8::1"]
            }
        }}
    }"#;
    let settings = Settings::new(&Sources::json(text).taken().options).expect("sound");
    let commands = &settings.limits.client_command;
    assert!(commands.enabled && commands.dry_run && commands.disconnect_on_accounted_limit);
    assert_eq!((commands.total.buckets[0].rate, commands.default.buckets[0].rate), (20, 60));
    let of = |name: &str| &commands.commands.iter().find(|(of, _)| of.name() == name).expect("there").1;
    let publish = of("publish");
    assert_eq!(publish.base.buckets.iter().map(|bucket| bucket.rate).collect::<Vec<_>>(), [1, 10]);
    assert_eq!((publish.namespaces[0].0.as_str(), publish.namespaces[0].1.enabled), ("chat", true));
    assert_eq!(of("rpc").methods[0].1.buckets[0].interval.as_secs(), 20);
    let users = &settings.limits.user_command;
    assert!(users.enabled && !users.disconnect_on_accounted_limit);
    assert_eq!(users.commands[0].1.base.buckets[0].interval.as_secs(), 3_600);
    assert!(settings.limits.client_error.enabled && settings.ip_limits.is_some());
    assert!(
        settings.warnings.iter().all(|warning| !warning.contains("rate_limit")),
        "{:?}",
        settings.warnings
    );
    let off = Settings::new(&Sources::json("{}").taken().options).expect("sound");
    assert!(!off.limits.client_command.enabled && off.ip_limits.is_none());
}

#[test]
fn limits_that_make_no_sense_are_named() {
    let text = r#"{
        "client": {"rate_limit": {
            "client_command": {"history": {"namespace_overrides": [{"namespace_name": "none"}]}},
            "user_command": {"rpc": {"method_overrides": [{"enabled": true}]}},
            "redis_user_command": {
                "enabled": true, "connect": {"buckets": [{"interval": "0s", "rate": 1}]},
                "history": {"namespace_overrides": [{"namespace_name": "none"}]},
                "redis": {"reuse_from_engine": true}
            },
            "client_error": {"total": {"buckets": [{"interval": "2h", "rate": 1}]}},
            "ip_connect": {"buckets": [{"interval": "1s"}], "trusted_proxies": ["10.0.0.0/33", "none"]}
        }},
        "user_block": {"storage_type": "redis", "redis": {"address": ["a:1", "b:1"]}},
        "token_revoke": {"storage_type": "database"},
        "user_tokens_invalidate": {"storage_type": "file"}
    }"#;
    Sources::json(text).refused(expect![[r#"
        client.rate_limit.client_command.history.namespace_overrides[0].namespace_name: "none" is no namespace
        client.rate_limit.user_command.rpc.method_overrides[0].method: must be set
        client.rate_limit.client_error.total.buckets: the interval 7200s must be 1 s to 1 h
        client.rate_limit.ip_connect.trusted_proxies: "10.0.0.0/33" is no address and no network such as 10.0.0.0/8
        client.rate_limit.ip_connect.trusted_proxies: "none" is no address and no network such as 10.0.0.0/8
        client.rate_limit.ip_connect.buckets: the rate must not be zero
        client.rate_limit.redis_user_command.history.namespace_overrides[0].namespace_name: "none" is no namespace
        client.rate_limit.redis_user_command.connect.buckets: the interval 0ns must be 1 s to 1 h
        client.rate_limit.redis_user_command.redis.reuse_from_engine: needs engine.type "redis"
        user_block.redis: has several shards, and must have one
        token_revoke.storage_type: "database" needs database.enabled
        user_tokens_invalidate.storage_type: "file" must be "memory", "redis" or "database""#]]);
    for (text, part) in [
        (r#"{"client":{"rate_limit":{"redis_user_command":{"total":{}}}}}"#, "redis_user_command.total"),
        (r#"{"client":{"rate_limit":{"client_command":{"trak":{"enabled":true}}}}}"#, "client_command.trak"),
        (r#"{"client":{"rate_limit":{"client_command":{"publish":{"buckets":[{"rat":1}]}}}}}"#, "rat"),
        (r#"{"user_block":{"redis":{"reuse_from_engine":true}}}"#, "user_block.redis.reuse_from_engine"),
    ] {
        let wrong = Sources::json(text).read().expect_err("refused");
        assert!(wrong.contains(part), "{part} is not in\n{wrong}");
    }
}

#[test]
fn pro_31_limits_of_users_on_all_nodes_have_a_redis_of_their_own_or_the_engines() {
    let shared = |engine: &str, redis: &str| {
        let text = format!(
            r#"{{"engine":{engine},"client":{{"rate_limit":{{"redis_user_command":{{
                "enabled":true,"dry_run":true,"redis":{redis},
                "connect":{{"enabled":true,"buckets":[{{"interval":"1m","rate":7}}]}},
                "default":{{"enabled":true,"buckets":[{{"interval":"1s","rate":60}}]}}
            }}}}}}}}"#
        );
        let settings = Settings::new(&Sources::json(&text).taken().options).expect("sound");
        settings.shared_limits.expect("it is on")
    };
    let own = shared("{}", r#"{"prefix":"p","address":["a:1","b:1"]}"#);
    assert_eq!((own.place.prefix.as_str(), own.place.shards.len()), ("p", 2));
    assert!(own.commands.enabled && own.commands.dry_run && !own.commands.disconnect_on_accounted_limit);
    assert_eq!(own.commands.default.buckets[0].rate, 60);
    let (operation, connect) = &own.commands.commands[0];
    assert_eq!((operation.name(), connect.base.buckets[0].rate), ("connect", 7));
    let engine = r#"{"type":"redis","redis":{"prefix":"e","db":5}}"#;
    let reused = shared(engine, r#"{"prefix":"p","reuse_from_engine":true}"#);
    let database = reused.place.shards[0].connection.database;
    assert_eq!((reused.place.prefix.as_str(), database, reused.place.shards.len()), ("e", 5, 1));
    let off = Settings::new(&Sources::json("{}").taken().options).expect("sound");
    assert!(off.shared_limits.is_none() && off.revocations.is_empty());
}

#[test]
fn pro_34_to_36_each_kind_of_revocations_has_a_redis_of_its_own() {
    let text = r#"{
        "user_block": {"storage_type": "redis", "redis": {"db": 1}},
        "token_revoke": {"storage_type": "redis", "redis": {"db": 2, "prefix": "p"}},
        "user_tokens_invalidate": {"storage_type": "memory"}
    }"#;
    let settings = Settings::new(&Sources::json(text).taken().options).expect("sound");
    let places = settings.revocations.iter().map(|(kind, place)| match place {
        RevocationPlace::Redis(place) => (*kind, place.shards[0].connection.database, place.prefix.as_str()),
        other @ RevocationPlace::Database => panic!("{other:?}"),
    });
    let expected = [(RevocationKind::User, 1, "centrifugo"), (RevocationKind::Token, 2, "p")];
    assert_eq!(places.collect::<Vec<_>>(), expected);
}

#[test]
fn a_disconnect_that_nothing_slows_down_is_warned_of() {
    let text = r#"{"client":{"rate_limit":{"client_command":{
        "enabled":true,"disconnect_on_accounted_limit":true}}}}"#;
    let settings = Settings::new(&Sources::json(text).taken().options).expect("sound");
    let warned = settings.warnings.iter().filter(|warning| warning.contains("disconnect_on_accounted_limit"));
    assert_eq!(warned.count(), 1, "{:?}", settings.warnings);
}
