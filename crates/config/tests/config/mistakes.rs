//! What is said of options that are wrong, message by message.

use expect_test::{Expect, expect};
use tourbillon_config::Loaded;

use crate::harness::Sources;

fn refused(text: &str, expected: Expect) {
    Sources::json(text).refused(expected);
}

fn taken(text: &str) -> Loaded {
    Sources::json(text).taken()
}

#[test]
fn other_types_are_named_with_the_full_path() {
    for (text, expected) in [
        (
            r#"{"client":{"channel_limit":"many"}}"#,
            expect![[r#"client.channel_limit: invalid type: string "many", expected usize"#]],
        ),
        (
            r#"{"client":{"channel_limit":-1}}"#,
            expect!["client.channel_limit: invalid value: integer `-1`, expected usize"],
        ),
        (
            r#"{"client":{"channel_limit":1.5}}"#,
            expect!["client.channel_limit: invalid type: floating point `1.5`, expected usize"],
        ),
        (
            r#"{"client":{"channel_limit":[1]}}"#,
            expect!["client.channel_limit: invalid type: sequence, expected usize"],
        ),
        (
            r#"{"client":{"insecure":"maybe"}}"#,
            expect![[r#"client.insecure: invalid type: string "maybe", expected a boolean"#]],
        ),
        (
            r#"{"client":{"insecure":2}}"#,
            expect!["client.insecure: invalid type: integer `2`, expected a boolean"],
        ),
        (
            r#"{"client":{"ping_interval":"soon"}}"#,
            expect![[
                r#"client.ping_interval: invalid value: string "soon", expected a duration such as "25s", or a number of nanoseconds"#
            ]],
        ),
        (
            r#"{"client":{"ping_interval":true}}"#,
            expect![[
                r#"client.ping_interval: invalid type: boolean `true`, expected a duration such as "25s", or a number of nanoseconds"#
            ]],
        ),
        (
            r#"{"client":{"allowed_origins":"http://a"}}"#,
            expect![[r#"client.allowed_origins: invalid type: string "http://a", expected a sequence"#]],
        ),
        (
            r#"{"client":{"allowed_origins":[1]}}"#,
            expect!["client.allowed_origins[0]: invalid type: integer `1`, expected a string"],
        ),
        (r#"{"client":{"token":"secret"}}"#, expect!["client.token: must be an object (in FILE)"]),
        (r#"{"client":5}"#, expect!["client: must be an object (in FILE)"]),
        (r#"{"client":[1]}"#, expect!["client: must be an object (in FILE)"]),
        (
            r#"{"http_server":{"port":65536}}"#,
            expect!["http_server.port: invalid value: integer `65536`, expected u16"],
        ),
        (r#"{"node":{"name":{"a":1}}}"#, expect!["node.name: invalid type: map, expected a string"]),
        (r#"{"pid_file":1.5}"#, expect!["pid_file: invalid type: floating point `1.5`, expected a string"]),
        (
            r#"{"channel":{"namespaces":{"a":{}}}}"#,
            expect!["channel.namespaces: invalid type: map, expected a sequence"],
        ),
        (
            r#"{"channel":{"namespaces":["aa"]}}"#,
            expect![[r#"channel.namespaces[0]: invalid type: string "aa", expected an object with a name"#]],
        ),
        (
            r#"{"channel":{"namespaces":[{"name":"aa"},{"name":[]}]}}"#,
            expect!["channel.namespaces[1].name: invalid type: sequence, expected a string"],
        ),
        (
            r#"{"channel":{"namespaces":[{"name":"aa","allow_publish_for_client":"maybe"}]}}"#,
            expect![[
                r#"channel.namespaces[0].allow_publish_for_client: invalid type: string "maybe", expected a boolean"#
            ]],
        ),
        (
            r#"{"channel":{"without_namespace":{"channel_regex":true}}}"#,
            expect![
                "channel.without_namespace.channel_regex: invalid type: boolean `true`, expected a string"
            ],
        ),
    ] {
        refused(text, expected);
    }
}

#[test]
fn values_that_make_no_sense_are_named() {
    for (text, expected) in [
        (
            r#"{"engine":{"type":"radish"}}"#,
            expect![[r#"engine.type: "radish" must be one of "memory", "redis""#]],
        ),
        (
            r#"{"http_server":{"address":"example.com"}}"#,
            expect![[r#"http_server.address: "example.com" is not an IP address"#]],
        ),
        (
            r#"{"http_server":{"internal_address":"::x"}}"#,
            expect![[r#"http_server.internal_address: "::x" is not an IP address"#]],
        ),
        (
            r#"{"http_server":{"internal_port":"http"}}"#,
            expect![[r#"http_server.internal_port: "http" is not a port"#]],
        ),
        (
            r#"{"http_api":{"handler_prefix":"api"}}"#,
            expect![[r#"http_api.handler_prefix: "api" must begin with a slash"#]],
        ),
        (
            r#"{"http_api":{"error_mode":"loud"}}"#,
            expect![[r#"http_api.error_mode: "loud" must be empty or "transport""#]],
        ),
        (
            r#"{"websocket":{"handler_prefix":"ws"}}"#,
            expect![[r#"websocket.handler_prefix: "ws" must begin with a slash"#]],
        ),
        (
            r#"{"health":{"enabled":true,"handler_prefix":"h"}}"#,
            expect![[r#"health.handler_prefix: "h" must begin with a slash"#]],
        ),
        (
            r#"{"debug":{"enabled":true,"handler_prefix":"debug"}}"#,
            expect![[r#"debug.handler_prefix: "debug" must begin with a slash"#]],
        ),
        (
            r#"{"prometheus":{"client_labels":["tier","app-version"]}}"#,
            expect![[r#"prometheus.client_labels: "app-version" must be of letters, digits and _"#]],
        ),
        (
            r#"{"client":{"ping_interval":"8s"}}"#,
            expect!["client.ping_interval: 8s must be longer than client.pong_timeout, 8s"],
        ),
        (
            r#"{"client":{"ping_interval":"500ms","pong_timeout":"100ms"}}"#,
            expect!["client.ping_interval: must be at least 1s, the unit in which clients are told"],
        ),
        (r#"{"client":{"pong_timeout":"-1s"}}"#, expect!["client.pong_timeout: must not be negative"]),
        (r#"{"shutdown":{"timeout":"-1s"}}"#, expect!["shutdown.timeout: must not be negative"]),
        (
            r#"{"client":{"user_id_http_header":"no header"}}"#,
            expect!["client.user_id_http_header: invalid HTTP header name"],
        ),
        (
            r#"{"client":{"allowed_origins":["http://[a"]}}"#,
            expect![[
                r#"client.allowed_origins: origin pattern "http://[a": unclosed character class; missing ']'"#
            ]],
        ),
    ] {
        refused(text, expected);
    }
}

#[test]
fn tokens_compression_and_namespaces_that_make_no_sense_are_named() {
    for (text, expected) in [
        (
            r#"{"client":{"token":{"audience":"a","audience_regex":"b"}}}"#,
            expect!["client.token.audience: cannot be used together with `audience_regex`"],
        ),
        (
            r#"{"client":{"token":{"issuer":"a","issuer_regex":"b"}}}"#,
            expect!["client.token.issuer: cannot be used together with `issuer_regex`"],
        ),
        (
            r#"{"client":{"token":{"issuer_regex":"("}}}"#,
            expect!["client.token.issuer_regex: invalid regular expression: unclosed group"],
        ),
        (
            r#"{"client":{"token":{"user_id_claim":"a-b"}}}"#,
            expect!["client.token.user_id_claim: must match ^[a-zA-Z_]+$"],
        ),
        (
            r#"{"client":{"subscription_token":{"enabled":true,"audience":"a","audience_regex":"b"}}}"#,
            expect!["client.subscription_token.audience: cannot be used together with `audience_regex`"],
        ),
        (
            r#"{"client":{"token":{"rsa_public_key":"x"}}}"#,
            expect![
                "client.token.rsa_public_key: not a key in PEM form, which begins with -----BEGIN PUBLIC KEY-----"
            ],
        ),
        (
            r#"{"client":{"subscription_token":{"enabled":true,"ecdsa_public_key":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}}}"#,
            expect![
                "client.subscription_token.ecdsa_public_key: a private key, where a public key is wanted"
            ],
        ),
        (
            r#"{"client":{"token":{"jwks_public_endpoint":"issuer/keys"}}}"#,
            expect!["client.token.jwks_public_endpoint: not an http or https address of a key set"],
        ),
        (
            r#"{"client":{"token":{"jwks_public_endpoint":"https://{{t}}.example/","issuer_regex":"(?P<t>.+)"}}}"#,
            expect![
                "client.token.jwks_public_endpoint: the group `t` of `issuer_regex` fills a placeholder, so it must list fixed texts, as in (?P<t>one|two)"
            ],
        ),
        (
            r#"{"client":{"token":{"jwks_public_endpoint":"https://{{t}}.example/","issuer_regex":"(?P<t>[ab])"}}}"#,
            expect![
                "client.token.jwks_public_endpoint: character classes are not allowed where groups fill placeholders of an address"
            ],
        ),
        (
            r#"{"websocket":{"compression":true,"compression_level":10}}"#,
            expect!["websocket.compression_level: must be 1 to 9"],
        ),
        (
            r#"{"channel":{"publication_data_format":"xml"}}"#,
            expect![[
                r#"channel.publication_data_format: unknown format "xml": it must be "", "json", "json_object" or "binary""#
            ]],
        ),
        (
            r#"{"channel":{"without_namespace":{"channel_regex":"("}}}"#,
            expect!["channel.without_namespace.channel_regex: invalid regular expression: unclosed group"],
        ),
        (
            r#"{"channel":{"namespaces":[{"name":"x"}]}}"#,
            expect![[
                r#"channel.namespaces[0].name: invalid namespace name "x": it must match ^[-a-zA-Z0-9_.]{2,}$"#
            ]],
        ),
        (
            r#"{"channel":{"namespaces":[{}]}}"#,
            expect![[
                r#"channel.namespaces[0].name: invalid namespace name "": it must match ^[-a-zA-Z0-9_.]{2,}$"#
            ]],
        ),
        (
            r#"{"channel":{"namespaces":[{"name":"aa"},{"name":"aa"}]}}"#,
            expect![[r#"channel.namespaces[1].name: there is another namespace "aa""#]],
        ),
        (
            r#"{"channel":{"namespaces":[{"name":"aa"},{"name":"bb","channel_regex":"["}]}}"#,
            expect![
                "channel.namespaces[1].channel_regex: invalid regular expression: unclosed character class"
            ],
        ),
        (
            r#"{"channel":{"namespaces":[{"name":"aa","publication_data_format":"xml"}]}}"#,
            expect![[
                r#"channel.namespaces[0].publication_data_format: unknown format "xml": it must be "", "json", "json_object" or "binary""#
            ]],
        ),
    ] {
        refused(text, expected);
    }
}

#[test]
fn what_is_not_known_comes_with_the_name_that_was_meant() {
    for (text, expected) in [
        (
            r#"{"clinet":{"insecure":true}}"#,
            expect!["clinet.insecure: no such option (in FILE); did you mean client.insecure?"],
        ),
        (
            r#"{"client":{"Inscure":true}}"#,
            expect!["client.inscure: no such option (in FILE); did you mean client.insecure?"],
        ),
        (
            r#"{"client":{"tokn":{"hmac_secret_key":"x"}}}"#,
            expect![
                "client.tokn.hmac_secret_key: no such option (in FILE); did you mean client.token.hmac_secret_key?"
            ],
        ),
        (
            r#"{"token_hmac_secret_key":"x"}"#,
            expect![
                "token_hmac_secret_key: no such option (in FILE); did you mean client.token.hmac_secret_key?"
            ],
        ),
        (
            r#"{"allowed_origins":["*"]}"#,
            expect!["allowed_origins: no such option (in FILE); did you mean client.allowed_origins?"],
        ),
        (
            r#"{"nothing_like_it_at_all_anywhere":null}"#,
            expect!["nothing_like_it_at_all_anywhere: no such option (in FILE)"],
        ),
        (r#"{"":1}"#, expect![": no such option (in FILE)"]),
        (r#"{"clinet":{}}"#, expect!["clinet: no such option (in FILE)"]),
        (
            r#"{"channel":{"namespaces":[{"name":"aa"},{"name":"bb","histroy_size":10}]}}"#,
            expect![
                "channel.namespaces[1].histroy_size: no such option (in FILE); did you mean channel.namespaces.history_size?"
            ],
        ),
        (
            r#"{"channel":{"namespaces":[{"name":"aa","nothing":{"at":{"all":1}}}]}}"#,
            expect!["channel.namespaces[0].nothing.at.all: no such option (in FILE)"],
        ),
        (
            r#"{"channel":{"without_namespace":{"histroy_size":10}}}"#,
            expect![
                "channel.without_namespace.histroy_size: no such option (in FILE); did you mean channel.without_namespace.history_size?"
            ],
        ),
    ] {
        refused(text, expected);
    }
}

/// HID-109: Centrifugo's documentation of TLS has two groups at the top, where they mean nothing; and so had version 5.
#[test]
fn options_of_the_http_server_are_not_at_the_top() {
    for (text, expected) in [
        (
            r#"{"tls":{"enabled":true,"cert_pem":"c","key_pem":"k"}}"#,
            expect![[r#"
                tls.cert_pem: no such option (in FILE); did you mean http_server.tls.cert_pem?
                tls.enabled: no such option (in FILE); did you mean http_server.tls.enabled?
                tls.key_pem: no such option (in FILE); did you mean http_server.tls.key_pem?"#]],
        ),
        (
            r#"{"tls_autocert":{"enabled":true,"host_whitelist":["a.example"]}}"#,
            expect![[r#"
                tls_autocert.enabled: no such option (in FILE); did you mean http_server.tls_autocert.enabled?
                tls_autocert.host_whitelist: no such option (in FILE); did you mean http_server.tls_autocert.host_whitelist?"#]],
        ),
        (
            r#"{"tls":true,"tls_key_pem":"k","tls_autocert":true,"port":443}"#,
            expect![[r#"
                port: no such option (in FILE); did you mean http_server.port?
                tls: no such option (in FILE); did you mean http_server.tls.enabled?
                tls_autocert: no such option (in FILE); did you mean http_server.tls_autocert.enabled?
                tls_key_pem: no such option (in FILE); did you mean http_server.tls.key_pem?"#]],
        ),
    ] {
        refused(text, expected);
    }
    Sources::json("{}").variables(&[("CENTRIFUGO_TLS_ENABLED", "true")]).refused(expect![
        "CENTRIFUGO_TLS_ENABLED: no such option (by CENTRIFUGO_TLS_ENABLED); did you mean CENTRIFUGO_HTTP_SERVER_TLS_ENABLED?"
    ]);
}

/// TR-11.
#[test]
fn options_of_sockjs_are_refused_and_told_why() {
    for text in [r#"{"sockjs":{"enabled":true}}"#, r#"{"sockjs":{"handler_prefix":"/connection/sockjs"}}"#] {
        let refused = Sources::json(text).read().err().unwrap_or_default();
        assert!(refused.contains("SockJS is gone since Centrifugo v6"), "{refused}");
    }
    refused(
        r#"{"sockjs":true,"sockjs_heartbeat_delay":"25s"}"#,
        expect![[r#"
            sockjs: no such option (in FILE): SockJS is gone since Centrifugo v6; http_stream and sse are for clients without WebSocket
            sockjs_heartbeat_delay: no such option (in FILE): SockJS is gone since Centrifugo v6; http_stream and sse are for clients without WebSocket"#]],
    );
    Sources::json("{}").variables(&[("CENTRIFUGO_SOCKJS", "true")]).refused(expect![
        "CENTRIFUGO_SOCKJS: no such option (by CENTRIFUGO_SOCKJS): SockJS is gone since Centrifugo v6; http_stream and sse are for clients without WebSocket"
    ]);
}

#[test]
fn what_is_not_there_yet_is_refused() {
    for (text, expected) in [
        (
            r#"{"admin":{"enabled":true,"web_proxy_address":"http://localhost:3000"}}"#,
            expect!["admin.web_proxy_address: an option of Centrifugo that is not implemented yet (in FILE)"],
        ),
        (
            r#"{"graphite":{"enabled":true,"host":"x"}}"#,
            expect![[r#"
            graphite.enabled: an option of Centrifugo that is not implemented yet (in FILE)
            graphite.host: an option of Centrifugo that is not implemented yet (in FILE)"#]],
        ),
        (
            r#"{"channel":{"namespaces":[{"name":"aa","map":{"mod":"x"}},{"name":"bb","map":7}]}}"#,
            expect![[r#"
                channel.namespaces[1].map: must be an object (in FILE)
                channel.namespaces[0].map.mod: no such option (in FILE); did you mean channel.namespaces.map.mode?"#]],
        ),
        (
            r#"{"channel":{"namespaces":[{"name":"aa","subscription_type":"shared_poll"}]}}"#,
            expect![[r#"
                channel.proxy.shared_poll_refresh.endpoint: must be set
                channel.namespaces[0].subscription_type: needs `shared_poll.hmac_secret_key`"#]],
        ),
        (
            r#"{"map_broker":{"type":"postgres"}}"#,
            expect![[r#"map_broker.type: "postgres" is not implemented yet: "memory" and "redis" are"#]],
        ),
        (
            r#"{"map_broker":{"type":"redis","redis":{"cluster_address":"a:1","idempotent_result_ttl":"-1s"}}}"#,
            expect![[r#"
                map_broker.redis: keyed channels cannot be in a Redis Cluster
                map_broker.redis.idempotent_result_ttl: must not be negative"#]],
        ),
        (
            r#"{"map_broker":{"type":"redis","redis":{"skip_pub_sub":true}}}"#,
            expect![
                "map_broker.redis.skip_pub_sub: an option of Centrifugo that is not implemented yet (in FILE)"
            ],
        ),
        (
            r#"{"map_broker":{"type":"mongo"}}"#,
            expect![[r#"map_broker.type: "mongo" must be "memory", "redis" or "postgres""#]],
        ),
        (r#"{"grpc_api":{"enabled":true}}"#, expect![""]),
    ] {
        refused(text, expected);
    }
}

#[test]
fn what_asks_for_nothing_is_accepted() {
    for text in [
        "{}",
        r#"{"client":null,"health":{},"channel":{"namespaces":null}}"#,
        r#"{"admin":{"enabled":false},"prometheus":{"handler_prefix":"/metrics"},"proxies":[],"consumers":[]}"#,
        r#"{"channel":{"without_namespace":{"presence":false,"history_size":0,"history_ttl":"0s"}}}"#,
        r#"{"channel":{"namespaces":[{"name":"aa","presence":false,"history_size":0,"channel_regex":""}]}}"#,
        r#"{"engine":{"redis":{"address":"redis://127.0.0.1:6379"}}}"#,
        r#"{"engine":{"redis":{"address":["redis://127.0.0.1:6379"],"connect_timeout":"1000ms"}}}"#,
    ] {
        assert_eq!(taken(text).warnings, [""; 0], "{text}");
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let warnings = taken(
        r#"{
        "graphite": {"enabled": false, "host": "x", "prefix": "y"},
        "engine": {"redis": {"address": "redis://10.0.0.1:6379"}},
        "broker": {"redisnats": {"nats": {"prefix": "x"}}},
        "usage_stats": {"disabled": true},
        "websocket": {"read_buffer_size": 512}
    }"#,
    )
    .warnings;
    expect![[r#"
        broker.redisnats.nats.prefix has no effect: its feature is off, and not implemented yet
        graphite.host has no effect: its feature is off, and not implemented yet
        graphite.prefix has no effect: its feature is off, and not implemented yet
        usage_stats.disabled has no effect: this server sends no usage statistics
        websocket.read_buffer_size has no effect: connections hold no read buffer
        engine.redis has no effect: engine.type is not "redis""#]]
    .assert_eq(&warnings.join("\n"));
}

#[test]
fn flags_are_read_as_strictly() {
    let flags = [("http_server.port", "http"), ("client.insecure", "maybe")];
    Sources::json("{}").flags(&flags).refused(expect![[r#"
        --http_server.port: "http" is not a whole number
        --client.insecure: "maybe" is neither true nor false"#]]);
    let options =
        Sources::json(r#"{"http_server":{"port":1}}"#).flags(&[("http_server.port", "0")]).taken().options;
    assert_eq!(options.http_server.port, 8000, "zero is the default");
}

/// CONF-09: a secret or a name of "0" is no zero.
#[test]
fn texts_that_look_like_zero_are_texts() {
    let options = taken(
        r#"{"node":{"name":"0"},"http_api":{"key":"0s"},"http_server":{"internal_port":"0"},"client":{"ping_interval":"0"}}"#,
    )
    .options;
    assert_eq!((options.node.name.as_str(), options.http_api.key.expose()), ("0", "0s"));
    assert_eq!(options.http_server.internal_port, "0");
    assert_eq!(options.client.ping_interval.to_string(), "25s");
}

/// Centrifugo reads texts of numbers and truth values, in namespaces too.
#[test]
fn texts_of_other_types_are_read() {
    let options = taken(
        r#"{"http_server":{"port":"9000","internal_port":9001},"channel":{"namespaces":[
            {"name":"aa","allow_publish_for_client":"true","allow_subscribe_for_client":null,"channel_regex":null}
        ]}}"#,
    )
    .options;
    assert_eq!((options.http_server.port, options.http_server.internal_port.as_str()), (9000, "9001"));
    assert!(options.channel.namespaces[0].rules.allow_publish_for_client);
}

#[test]
fn options_of_history_and_positions_are_checked_together() {
    let rules = |rules: &str| format!(r#"{{"channel":{{"namespaces":[{{"name":"aa",{rules}}}]}}}}"#);
    for (text, expected) in [
        (rules(r#""history_size":10"#), expect!["channel.namespaces[0].history_size: needs `history_ttl`"]),
        (rules(r#""history_ttl":"1m""#), expect!["channel.namespaces[0].history_ttl: needs `history_size`"]),
        (
            rules(r#""history_size":10,"history_ttl":"1500ms""#),
            expect!["channel.namespaces[0].history_ttl: 1500ms must be whole seconds"],
        ),
        (
            rules(r#""history_size":10,"history_ttl":"-1s""#),
            expect![[r#"
                channel.namespaces[0].history_ttl: must not be negative
                channel.namespaces[0].history_size: needs `history_ttl`"#]],
        ),
        (
            rules(r#""history_size":10,"history_ttl":"1h","history_meta_ttl":"1m""#),
            expect!["channel.namespaces[0].history_ttl: must not be longer than `history_meta_ttl`, 60s"],
        ),
        (
            rules(r#""force_recovery":true"#),
            expect!["channel.namespaces[0].force_recovery: needs `history_size`"],
        ),
        (
            rules(r#""force_recovery_mode":"all""#),
            expect![[
                r#"channel.namespaces[0].force_recovery_mode: unknown recovery mode "all": it must be "", "stream" or "cache""#
            ]],
        ),
        (
            rules(r#""auto_cache_recover":true"#),
            expect!["channel.namespaces[0].auto_cache_recover: needs `force_recovery`"],
        ),
        (
            r#"{"channel":{"history_meta_ttl":"1ms"}}"#.to_owned(),
            expect!["channel.history_meta_ttl: 1ms must be whole seconds"],
        ),
        (
            r#"{"client":{"presence_update_interval":"1ms"}}"#.to_owned(),
            expect!["client.presence_update_interval: 1ms must be at least 1s"],
        ),
        (
            r#"{"swagger":{"enabled":true,"handler_prefix":"/api/docs"}}"#.to_owned(),
            expect!["swagger.handler_prefix: is below http_api.handler_prefix"],
        ),
        (
            r#"{"swagger":{"enabled":true},"http_api":{"handler_prefix":"/"}}"#.to_owned(),
            expect!["swagger.handler_prefix: is below http_api.handler_prefix"],
        ),
        (
            r#"{"node":{"info_metrics_aggregate_interval":"1ms"}}"#.to_owned(),
            expect!["node.info_metrics_aggregate_interval: 1ms must be at least 1s"],
        ),
        (
            r#"{"client":{"channel_position_check_delay":"1ms"}}"#.to_owned(),
            expect!["client.channel_position_check_delay: 1ms must be at least 1s"],
        ),
        (
            r#"{"client":{"channel_position_max_time_lag":"-1s"}}"#.to_owned(),
            expect!["client.channel_position_max_time_lag: must not be negative"],
        ),
    ] {
        refused(&text, expected);
    }
}

#[test]
fn a_file_of_streams_is_said_precisely() {
    for (text, expected) in [
        (
            r#"{"enabled":true}"#,
            expect!["broker.memory.persistence.path: is needed with broker.memory.persistence.enabled"],
        ),
        (
            r#"{"enabled":true,"path":"streams","fsync":"sometimes"}"#,
            expect![[
                r#"broker.memory.persistence.fsync: "sometimes" must be "always", "interval" or "never""#
            ]],
        ),
        (
            r#"{"path":"streams","fsync_interval":"1ms"}"#,
            expect!["broker.memory.persistence.fsync_interval: 1ms must be at least 10ms"],
        ),
        (
            r#"{"path":"streams","fsync_interval":"-1s"}"#,
            expect!["broker.memory.persistence.fsync_interval: must not be negative"],
        ),
    ] {
        refused(&format!(r#"{{"broker":{{"memory":{{"persistence":{text}}}}}}}"#), expected);
    }
}

#[test]
fn brokers_that_are_not_there_are_refused_still() {
    refused(
        r#"{"broker":{"enabled":true,"type":"nats","memory":{"persistance":{"enabled":true}}}}"#,
        expect![
            "broker.memory.persistance.enabled: no such option (in FILE); did you mean broker.memory.persistence.enabled?"
        ],
    );
}

#[test]
fn life_10_channels_of_users_own_need_their_namespace() {
    let personal = |text: &str| {
        format!(
            r#"{{"client":{{"subscribe_to_user_personal_channel":{text}}},"channel":{{"namespaces":[{{"name":"own"}},{{"name":"seen","presence":true}}]}}}}"#
        )
    };
    for (text, expected) in [
        (
            r#"{"enabled":true,"personal_channel_namespace":"nowhere"}"#,
            expect![[
                r#"client.subscribe_to_user_personal_channel.personal_channel_namespace: there is no namespace "nowhere""#
            ]],
        ),
        (
            r#"{"enabled":true,"personal_channel_namespace":"own","single_connection":true}"#,
            expect!["client.subscribe_to_user_personal_channel.single_connection: needs `presence` in own"],
        ),
        (
            r#"{"enabled":true,"single_connection":true}"#,
            expect![
                "client.subscribe_to_user_personal_channel.single_connection: needs `presence` in channel.without_namespace"
            ],
        ),
    ] {
        refused(&personal(text), expected);
    }
    taken(&personal(r#"{"enabled":true,"personal_channel_namespace":"seen","single_connection":true}"#));
    taken(&personal(r#"{"enabled":true}"#));
}

#[test]
fn what_is_collected_and_what_may_be_missed_is_checked() {
    refused(
        r#"{"client":{"write_delay":"2s"},"channel":{"without_namespace":{"batch_flush_latest":true}}}"#,
        expect![[r#"
            client.write_delay: 2s must be at most 1s
            channel.without_namespace.batch_flush_latest: needs `batch_max_size` or `batch_max_delay`"#]],
    );
    refused(
        r#"{"channel":{"namespaces":[{"name":"aa","overflow_policy":"drop","batch_max_delay":"-1s"}]}}"#,
        expect![[r#"
            channel.namespaces[0].batch_max_delay: must not be negative
            channel.namespaces[0].overflow_policy: unknown policy "drop": it must be "", "disconnect", "drop_oldest" or "keep_latest""#]],
    );
}

#[test]
fn expressions_patterns_and_mappings_are_named_with_their_path() {
    for (text, expected) in [
        (
            r#"{"channel":{"namespaces":[{"name":"ab","subscribe_cel":"nobody == user"}]}}"#,
            "channel.namespaces[0].subscribe_cel: invalid expression: unknown variable nobody",
        ),
        (
            r#"{"channel":{"without_namespace":{"publish_cel":"user =="}}}"#,
            "channel.without_namespace.publish_cel: invalid expression: ",
        ),
        (
            r#"{"channel":{"namespaces":[{"name":"ab","pattern":"/a/:b"}]}}"#,
            "channel.namespaces[0].pattern: needs `channel.patterns`",
        ),
        (
            r#"{"channel":{"patterns":true,"namespaces":[{"name":"ab","pattern":"/a/:b"},{"name":"cd","pattern":"/a/x:c"}]}}"#,
            "channel.namespaces[1].pattern: a channel could match \"/a/:b\" too",
        ),
        (
            r#"{"channel":{"without_namespace":{"pattern":"/a"}}}"#,
            "channel.without_namespace.pattern: no such option",
        ),
        (
            r#"{"client":{"token":{"meta_from_claim":[{"key":"1a","value":"b"}]}}}"#,
            "client.token.meta_from_claim: key \"1a\" must match ",
        ),
        (
            r#"{"client":{"token":{"labels_from_claim":[{"key":"a","value":"b.#"}]}}}"#,
            "client.token.labels_from_claim: value \"b.#\" must be names joined by dots",
        ),
        (
            r#"{"client":{"token":{"labels_from_claim":[{"kee":"a"}]}}}"#,
            "client.token.labels_from_claim[0].kee: unknown field `kee`",
        ),
    ] {
        let said = Sources::json(text).read().expect_err(text);
        assert!(said.starts_with(expected), "{text}: {said}");
    }
    taken(
        r#"{"channel":{"patterns":true,"namespaces":[{"name":"ab","pattern":"/a/:b","subscribe_cel":"vars.b == user",
            "history_cel":"'a' in meta.roles","presence_cel":"labels.tier == 'pro'","publish_cel":"subscribed"}]}}"#,
    );
}

#[test]
fn pro_46_providers_of_key_sets_are_checked() {
    let wrong = |list: &str, expected: &str| {
        let text = format!(r#"{{"client":{{"token":{{"jwks":{{"enabled":true,"providers":{list}}}}}}}}}"#);
        let said = Sources::json(&text).read().expect_err(&text);
        assert!(said.contains(expected), "{list}: {said}");
    };
    let path = "client.token.jwks.providers";
    let one = |name: &str, more: &str| {
        format!(
            r#"{{"name":"{name}","enabled":true,"endpoint":"https://a.example/keys","issuer":"a"{more}}}"#
        )
    };
    wrong("[]", &format!("{path}: none is enabled"));
    wrong(r#"[{"name":"ab"}]"#, &format!("{path}: none is enabled"));
    wrong(
        &format!("[{}]", one("a-b", "")),
        &format!("{path}[0].name: \"a-b\" must match ^[a-zA-Z0-9_]{{2,}}$"),
    );
    wrong(
        &format!("[{},{}]", one("ab", ""), one("ab", "")),
        &format!("{path}[0].name: there is another provider"),
    );
    wrong(
        &format!("[{},{}]", one("ab", ""), one("cd", "")),
        &format!("{path}[1].audience: must not be empty"),
    );
    let same = r#","audience":"x""#;
    wrong(
        &format!("[{},{}]", one("ab", same), one("cd", same)),
        &format!("{path}[1].audience: another provider"),
    );
    wrong(r#"[{"name":"ab","enabled":true}]"#, &format!("{path}[0].endpoint: must not be empty"));
    wrong(r#"[{"name":"ab","enabled":true}]"#, &format!("{path}[0].issuer: must not be empty"));
    wrong(
        r#"[{"name":"ab","enabled":true,"issuer":"a","endpoint":"nowhere"}]"#,
        &format!("{path}[0].endpoint: not an http or https address"),
    );
    for (tls, expected) in [
        (r#"{"enabled":true,"server_ca_pem":"nowhere"}"#, "server_ca_pem: is neither PEM"),
        (r#"{"enabled":true,"cert_pem":"nowhere"}"#, "cert_pem: is neither PEM"),
        (r#"{"enabled":true,"key_pem":"nowhere"}"#, "cert_pem: must be set"),
        (r#"{"enabled":true,"server_name":"a b"}"#, "server_name: "),
    ] {
        let list = format!("[{}]", one("ab", &format!(r#","tls":{tls}"#)));
        wrong(&list, &format!("{path}[0].tls.{expected}"));
    }
    wrong(&format!("[{}]", one("ab", r#","tls":{"client_ca_pem":""}"#)), "client_ca_pem");
    let plain = one("ab", r#","tls":{"enabled":true}"#).replace("https", "http");
    wrong(&format!("[{plain}]"), &format!("{path}[0].tls.enabled: its endpoint must begin with https://"));
    let text =
        r#"{"client":{"token":{"jwks_public_endpoint":"https://a.example/","jwks":{"enabled":true}}}}"#;
    let said = Sources::json(text).read().expect_err(text);
    assert!(
        said.starts_with("client.token.jwks.enabled: cannot be used together with `jwks_public_endpoint`"),
        "{said}"
    );
    let sub = one("ab", r#","meta_from_claim":[{"key":"a","value":"b"}]"#);
    let text = format!(
        r#"{{"client":{{"subscription_token":{{"enabled":true,"jwks":{{"enabled":true,"providers":[{sub}]}}}}}}}}"#
    );
    let said = Sources::json(&text).read().expect_err(&text);
    let expected =
        "client.subscription_token.jwks.providers[0].meta_from_claim: subscription tokens have neither";
    assert!(said.starts_with(expected), "{said}");
    let both = format!(
        "{},{}",
        one("ab", r#","audience":"x""#),
        one("cd", r#","audience":"y","labels_from_claim":[{"key":"a","value":"b.c"}]"#)
    );
    taken(&format!(r#"{{"client":{{"token":{{"jwks":{{"enabled":true,"providers":[{both}]}}}}}}}}"#));
    // Without the switch, the list means nothing, as it says.
    taken(r#"{"client":{"token":{"jwks":{"providers":[{"name":"ab"}]}}}}"#);
}
