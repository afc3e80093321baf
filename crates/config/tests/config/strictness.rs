//! Nothing that is configured is silently without effect, and nothing can be said twice.

use expect_test::expect;
use tourbillon_config::Settings;

use crate::harness::Sources;

#[test]
fn a_name_given_twice_is_refused() {
    for (extension, text, told) in [
        ("json", r#"{"client":{"insecure":true,"insecure":false}}"#, "insecure is there twice"),
        ("json", r#"{"client":{},"Client":{}}"#, "client is there twice"),
        (
            "json",
            r#"{"channel":{"namespaces":[{"name":"aa","Channel_Regex":"a","channel_regex":"b"}]}}"#,
            "channel_regex is there twice",
        ),
        ("yaml", "client:\n  insecure: true\n  insecure: false\n", "duplicate"),
        ("yaml", "client:\n  insecure: true\n  INSECURE: false\n", "insecure is there twice"),
        ("toml", "[client]\ninsecure = true\ninsecure = false\n", "duplicate"),
        ("toml", "[client]\n[Client]\n", "client is there twice"),
    ] {
        let errors = Sources::file(extension, text).read().expect_err(text);
        assert!(errors.starts_with("configuration file (in FILE): ") && errors.contains(told), "{errors}");
    }
}

#[test]
fn what_has_the_wrong_shape_is_refused_however_lenient() {
    let file = r#"{
        "http_server.port": 9000,
        "client": {"token.hmac_secret_key": "s", "token": 5},
        "websocket": [],
        "channel": {"without_namespace": true, "namespaces": [{"name": "aa", "map.mode": "x"}]}
    }"#;
    for lenient in [false, true] {
        Sources::json(file).lenient(lenient).refused(expect![[r#"
            channel.namespaces[0].map.mode: options are nested objects: a name has no dots (in FILE)
            channel.without_namespace: must be an object (in FILE)
            client.token: must be an object (in FILE)
            client.token.hmac_secret_key: options are nested objects: a name has no dots (in FILE)
            http_server.port: options are nested objects: a name has no dots (in FILE)
            websocket: must be an object (in FILE)"#]]);
    }
}

#[test]
fn names_are_read_in_any_case_and_numbers_as_texts() {
    let file = r#"{
        "Client": {"Token": {"HMAC_Secret_Key": 12345}, "insecure": "true", "channel_limit": "0x10"},
        "channel": {"Namespaces": [{"Name": "News", "Allow_Publish_For_Client": "t"}]},
        "http_server": {"internal_port": 9000}, "node": {"name": 7}, "log": null
    }"#;
    let options = Sources::json(file).taken().options;
    assert_eq!(options.client.token.hmac_secret_key.expose(), "12345");
    assert_eq!((options.client.insecure, options.client.channel_limit), (true, 16));
    assert_eq!((options.http_server.internal_port.as_str(), options.node.name.as_str()), ("9000", "7"));
    assert_eq!(options.channel.namespaces[0].name, "News", "values keep their case");
    assert!(options.channel.namespaces[0].rules.allow_publish_for_client);
}

#[test]
fn every_value_of_a_wrong_type_is_told_at_once() {
    let file = r#"{
        "client": {"channel_limit": "many", "allowed_origins": [1, 2]},
        "channel": {"namespaces": [{"name": "aa", "channel_regex": []}, {"name": {}, "channel_regex": true}]},
        "http_server": {"port": 70000}
    }"#;
    Sources::json(file).refused(expect![[r#"
        channel.namespaces[0].channel_regex: invalid type: sequence, expected a string
        channel.namespaces[1].channel_regex: invalid type: boolean `true`, expected a string
        channel.namespaces[1].name: invalid type: map, expected a string
        client.allowed_origins[0]: invalid type: integer `1`, expected a string
        client.channel_limit: invalid type: string "many", expected usize
        http_server.port: invalid value: integer `70000`, expected u16"#]]);
}

/// CONF-02: what a flag sets is not even looked at in the environment.
#[test]
fn a_flag_makes_the_variable_not_count() {
    let sources = Sources::json("{}").variables(&[("CENTRIFUGO_HTTP_SERVER_PORT", "no number")]);
    assert_eq!(sources.flags(&[("http_server.port", "2")]).taken().options.http_server.port, 2);
}

#[test]
fn the_switch_of_a_feature_counts_wherever_it_is() {
    let file = r#"{"graphite":{"host":"secret"},"opentelemetry":{"api":true,"enabled":"true"}}"#;
    Sources::json(file).variables(&[("CENTRIFUGO_GRAPHITE_ENABLED", "true")]).refused(expect![[r#"
        opentelemetry.api: an option of Centrifugo that is not implemented yet (in FILE)
        opentelemetry.enabled: an option of Centrifugo that is not implemented yet (in FILE)
        graphite.enabled: an option of Centrifugo that is not implemented yet (by CENTRIFUGO_GRAPHITE_ENABLED)"#]]);
}

/// CONF-08.
#[test]
fn durations_are_texts_with_units_or_nanoseconds() {
    let file = r#"{"client":{"ping_interval":"1m30s","pong_timeout":5000000000,"stale_close_delay":"1.5s"}}"#;
    let client = Sources::json(file).taken().options.client;
    let texts =
        [client.ping_interval, client.pong_timeout, client.stale_close_delay].map(|time| time.to_string());
    assert_eq!(texts, ["90s", "5s", "1500ms"]);
    let without = Sources::json(r#"{"client":{"ping_interval":-1}}"#).taken();
    assert_eq!(Settings::new(&without.options).expect("sound").node.ping_interval, None);
}

#[test]
fn secrets_are_in_no_debug_output() {
    let file = r#"{"http_api":{"key":"hush-3"},"client":{"token":{"hmac_secret_key":"hush-1"},
        "subscription_token":{"enabled":true,"hmac_secret_key":"hush-2"}}}"#;
    let loaded = Sources::json(file).taken();
    let settings = Settings::new(&loaded.options).expect("sound");
    let shown = serde_json::to_string(&loaded.options).expect("JSON");
    for text in [format!("{loaded:?}"), format!("{settings:?}"), shown] {
        assert!(!text.contains("hush"), "{text}");
    }
}

/// OBS-09, HID-102.
#[test]
fn warnings_tell_what_is_insecure_or_useless() {
    let warnings =
        |file: &str| Settings::new(&Sources::json(file).taken().options).expect("sound").warnings.join("\n");
    expect![[r#"
        log.level is none of none, trace, debug, info, warn, error and fatal: info counts
        client.insecure: everybody may connect, subscribe and publish; for development only
        client.insecure_skip_token_signature_verify: anybody can make tokens; for development only
        http_api.insecure: the API takes requests without a key; for development only
        client.allowed_origins has "*": pages of anybody may connect"#]]
    .assert_eq(&warnings(
        r#"{
        "client": {"insecure": true, "insecure_skip_token_signature_verify": true, "allowed_origins": ["*"]},
        "http_api": {"insecure": true}, "log": {"level": "loud"}
    }"#,
    ));
    expect![[r#"
        http_api.key is not set: every API request is refused
        client.token has no key, and nothing else lets clients in: every connection is refused"#]]
    .assert_eq(&warnings(r#"{"log":{"level":"WARN"}}"#));
    let proxy = r#"{"client":{"proxy":{"connect":{"enabled":true,"endpoint":"http://a"}}}}"#;
    assert!(!warnings(proxy).contains("every connection is refused"), "the backend lets clients in");
    let debug = "debug.enabled: whoever reaches the port for clients sees";
    assert!(warnings(r#"{"debug":{"enabled":true}}"#).contains(debug));
    assert!(
        !warnings(r#"{"debug":{"enabled":true},"http_server":{"internal_port":"9000"}}"#).contains(debug)
    );
}

/// CONF-11: all that contradicts itself, at once.
#[test]
fn every_contradiction_is_told_at_once() {
    let file = r#"{
        "client": {
            "ping_interval": "8s",
            "token": {"audience": "a", "audience_regex": "b", "user_id_claim": "1x"},
            "subscription_token": {"enabled": true, "issuer": "a", "issuer_regex": "b"},
            "user_id_http_header": "no header",
            "allowed_origins": ["http://["]
        },
        "channel": {"publication_data_format": "xml"},
        "engine": {"type": "radish"},
        "http_api": {"error_mode": "loud", "handler_prefix": "api"},
        "health": {"enabled": true, "handler_prefix": "health"},
        "http_server": {"address": "nowhere", "internal_port": "x"},
        "shutdown": {"timeout": "-1s"},
        "websocket": {"compression": true, "compression_level": 10, "write_timeout": "-1s"}
    }"#;
    Sources::json(file).refused(expect![[r#"
        http_server.address: "nowhere" is not an IP address
        http_server.internal_port: "x" is not a port
        client.ping_interval: 8s must be longer than client.pong_timeout, 8s
        websocket.write_timeout: must not be negative
        engine.type: "radish" must be one of "memory", "redis"
        channel.publication_data_format: unknown format "xml": it must be "", "json", "json_object" or "binary"
        client.token.user_id_claim: must match ^[a-zA-Z_]+$
        client.subscription_token.issuer: cannot be used together with `issuer_regex`
        websocket.compression_level: must be 1 to 9
        client.allowed_origins: origin pattern "http://[": unclosed character class; missing ']'
        http_api.handler_prefix: "api" must begin with a slash
        http_api.error_mode: "loud" must be empty or "transport"
        health.handler_prefix: "health" must begin with a slash
        shutdown.timeout: must not be negative"#]]);
    Sources::json(r#"{"health":{"enabled":true,"handler_prefix":"/connection/websocket"}}"#)
        .refused(expect!["health.handler_prefix: is websocket.handler_prefix too"]);
}

/// NET-02: nothing listens twice.
#[test]
fn an_empty_address_is_every_address_and_equal_ones_are_one_listener() {
    let listeners = |file: &str| {
        let listeners = Settings::new(&Sources::json(file).taken().options).expect("sound").listeners;
        (listeners.external.to_string(), listeners.internal.map(|address| address.to_string()))
    };
    assert_eq!(listeners("{}"), ("[::]:8000".to_owned(), None));
    for (file, external, internal) in [
        (r#"{"http_server":{"internal_port":"9000"}}"#, "[::]:8000", Some("[::]:9000")),
        (r#"{"http_server":{"internal_address":"127.0.0.1"}}"#, "[::]:8000", Some("127.0.0.1:8000")),
        (r#"{"http_server":{"internal_port":8000}}"#, "[::]:8000", None),
        (
            r#"{"http_server":{"address":"::1","internal_address":"localhost","internal_port":"1"}}"#,
            "[::1]:8000",
            Some("127.0.0.1:1"),
        ),
        (r#"{"http_server":{"address":"unix:/run/a.sock"}}"#, "unix:/run/a.sock", None),
        (r#"{"http_server":{"address":"unix:///run/a.sock"}}"#, "unix:/run/a.sock", None),
        (
            r#"{"http_server":{"address":"unix:a.sock","internal_port":9000}}"#,
            "unix:a.sock",
            Some("[::]:9000"),
        ),
        (
            r#"{"http_server":{"address":"systemd:a","internal_address":"systemd:b"}}"#,
            "systemd:a",
            Some("systemd:b"),
        ),
        (r#"{"http_server":{"internal_address":"systemd"}}"#, "[::]:8000", Some("systemd")),
    ] {
        assert_eq!(listeners(file), (external.to_owned(), internal.map(str::to_owned)), "{file}");
    }
}

/// CONF-13: where Centrifugo's documentation has options of TLS at the top, they are named where they belong.
#[test]
fn conf_13_options_of_tls_belong_to_the_http_server() {
    let file =
        r#"{"tls":{"enabled":true,"cert_pem":"x"},"tls_autocert":{"enabled":true},"tls_external":true}"#;
    Sources::json(file).refused(expect![[r#"
        tls.cert_pem: no such option (in FILE); did you mean http_server.tls.cert_pem?
        tls.enabled: no such option (in FILE); did you mean http_server.tls.enabled?
        tls_autocert.enabled: no such option (in FILE); did you mean http_server.tls_autocert.enabled?
        tls_external: no such option (in FILE); did you mean http_server.tls_external?"#]]);
}

#[test]
fn conf_14_there_are_no_unreleased_features_to_switch_on() {
    let loaded = Sources::json(r#"{"enable_unreleased_features":true}"#).taken();
    assert_eq!(
        loaded.warnings,
        ["enable_unreleased_features has no effect: this server has none that are not released"]
    );
    let file = r#"{"enable_unreleased_features":true,"broker":{"enabled":true,"type":"redisnats"}}"#;
    Sources::json(file).refused(expect![r#"broker.type: "redisnats" is not implemented yet"#]);
}

/// OBS-09: a line for each group that has no effect, and none for what does not matter.
#[test]
fn options_of_what_is_off_are_told_of() {
    let warnings = |file: &str| Sources::json(file).taken().warnings.join("\n");
    let file = r#"{
        "user_block": {"redis": {"password": "planted"}},
        "token_revoke": {"storage_type": "redis", "redis": {"prefix": "x"}},
        "engine": {"redis": {"prefix": "x", "tls": {"cert_pem": "x"}}},
        "broker": {"enabled": true, "type": "memory", "nats": {"prefix": "x"}},
        "presence_manager": {"redis": {"prefix": "x"}},
        "map_broker": {"redis": {"prefix": "x"}},
        "http_server": {"tls": {"cert_pem": "x", "key_pem": "planted"}, "http3": {"enabled": false}},
        "client": {
            "subscription_token": {"hmac_secret_key": "planted"},
            "token": {"jwks": {"providers": [{"name": "pp", "tls": {"server_name": "a"}}]}},
            "rate_limit": {"ip_connect": {"trusted_proxies": ["none"]}, "user_command": {"dry_run": true}},
            "subscribe_to_user_personal_channel": {"single_connection": true}
        },
        "proxies": [{"name": "pp", "endpoint": "https://a", "http": {"tls": {"key_pem": "planted"}}}],
        "admin": {"enabled": false, "password": "planted", "secret": "planted"},
        "health": {"handler_prefix": "/up"},
        "grpc_api": {"port": 10000}, "uni_grpc": {"max_receive_message_size": 0}, "ticket": {"ttl": "30000ms"}
    }"#;
    expect![[r#"
        broker.nats has no effect: broker.type is not "nats"
        client.rate_limit.user_command has no effect: client.rate_limit.user_command.enabled is false
        client.subscribe_to_user_personal_channel has no effect: client.subscribe_to_user_personal_channel.enabled is false
        client.subscription_token has no effect: client.subscription_token.enabled is false
        client.token.jwks has no effect: client.token.jwks.enabled is false
        client.token.jwks.providers[0].tls has no effect: client.token.jwks.providers[0].tls.enabled is false
        engine.redis has no effect: engine.type is not "redis"
        engine.redis.tls has no effect: engine.redis.tls.enabled is false
        health has no effect: health.enabled is false
        http_server.tls has no effect: http_server.tls.enabled is false
        map_broker.redis has no effect: map_broker.type is not "redis"
        presence_manager has no effect: presence_manager.enabled is false
        proxies[0].http.tls has no effect: proxies[0].http.tls.enabled is false
        user_block.redis has no effect: user_block.storage_type is not "redis""#]]
    .assert_eq(&warnings(file));
    assert_eq!(warnings(r#"{"user_block":{"storage_type":"redis","redis":{"prefix":"x"}}}"#), "");
    assert_eq!(warnings(r#"{"health":{"enabled":true,"handler_prefix":"/up"}}"#), "");
}
