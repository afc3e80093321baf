//! Options from files, environment and flags, and what is said of those that mean nothing.

use expect_test::expect;
use tourbillon_config::{Given, Loaded, Settings, load};

use crate::harness::Sources;

fn loaded(text: &str, variables: &[(&str, &str)]) -> Loaded {
    Sources::json(text).variables(variables).taken()
}

#[test]
fn conf_01_the_three_formats_say_the_same() {
    let json = r#"{"client":{"allowed_origins":["http://a"],"ping_interval":"30s"},"channel":{"namespaces":[{"name":"news","allow_subscribe_for_client":true}]}}"#;
    let yaml = "client:\n  allowed_origins: [http://a]\n  ping_interval: 30s\nchannel:\n  namespaces:\n    - name: news\n      allow_subscribe_for_client: true\n";
    let toml = "[client]\nallowed_origins = [\"http://a\"]\nping_interval = \"30s\"\n[[channel.namespaces]]\nname = \"news\"\nallow_subscribe_for_client = true\n";
    let all = [("json", json), ("yaml", yaml), ("yml", yaml), ("toml", toml)]
        .map(|(extension, text)| format!("{:?}", Sources::file(extension, text).taken().options));
    assert!(all.iter().all(|options| *options == all[0]), "{all:#?}");
    assert!(all[0].contains("news"), "{}", all[0]);
}

#[test]
fn conf_02_flags_win_over_the_environment_over_the_file_over_defaults() {
    let file = r#"{"http_server":{"port":1},"client":{"channel_limit":7}}"#;
    let sources = Sources::json(file).variables(&[("CENTRIFUGO_HTTP_SERVER_PORT", "2")]);
    assert_eq!(sources.taken().options.http_server.port, 2);
    let sources = sources.variables(&[("TOURBILLON_HTTP_SERVER_PORT", "3")]);
    assert_eq!(sources.taken().options.http_server.port, 3);
    let options = sources.flags(&[("http_server.port", "4")]).taken().options;
    assert_eq!(
        (options.http_server.port, options.client.channel_limit, options.channel.max_length),
        (4, 7, 255)
    );
}

#[test]
fn conf_03_04_lists_and_namespaces_come_from_variables_too() {
    let options = loaded(
        r#"{"channel":{"namespaces":[{"name":"my-news"}]}}"#,
        &[
            ("CENTRIFUGO_CLIENT_ALLOWED_ORIGINS", "http://a http://b"),
            ("CENTRIFUGO_CHANNEL_NAMESPACES_MY_NEWS_ALLOW_SUBSCRIBE_FOR_CLIENT", "true"),
            ("CENTRIFUGO_CLIENT_CHANNEL_LIMIT", "0x10"),
            ("CENTRIFUGO_LOG_LEVEL", ""),
            ("CENTRIFUGO_PORT_8000_TCP_ADDR", "10.0.0.1"),
            ("CENTRIFUGO_SERVICE_HOST", "10.0.0.1"),
        ],
    )
    .options;
    assert_eq!(options.client.allowed_origins, ["http://a", "http://b"]);
    assert!(options.channel.namespaces[0].rules.allow_subscribe_for_client);
    assert_eq!((options.client.channel_limit, options.log.level.as_str()), (16, "info"));
    let whole = ("CENTRIFUGO_CHANNEL_NAMESPACES", r#"[{"name":"aa"},{"name":"bb"}]"#);
    assert_eq!(loaded("{}", &[whole]).options.channel.namespaces.len(), 2);
}

#[test]
fn conf_09_zero_is_the_default() {
    let options = loaded(
        r#"{"client":{"channel_limit":0,"ping_interval":"0s"},"websocket":{"message_size_limit":0}}"#,
        &[],
    )
    .options;
    assert_eq!((options.client.channel_limit, options.websocket.message_size_limit), (128, 65_536));
    assert_eq!(options.client.ping_interval.to_string(), "25s");
}

#[test]
fn what_means_nothing_is_an_error_that_says_so() {
    let text = r#"{
        "admin": {"enabled": true, "web_proxy_address": "http://a"},
        "clinet": {"insecure": true},
        "client": {"alowed_origins": [], "proxy": {"connect": {"enabled": true}}, "channel_limit": "many"},
        "channel": {"namespaces": [{"name": "a1", "histroy_size": 10}]},
        "engine": {"redis": {"address": "redis://10.0.0.1:6379"}},
        "graphite": {"enabled": false, "host": "secret"},
        "websocket": {"read_buffer_size": 512}
    }"#;
    expect![[r#"
        admin.web_proxy_address: an option of Centrifugo that is not implemented yet (in FILE)
        channel.namespaces[0].histroy_size: no such option (in FILE); did you mean channel.namespaces.history_size?
        client.alowed_origins: no such option (in FILE); did you mean client.allowed_origins?
        clinet.insecure: no such option (in FILE); did you mean client.insecure?
        client.channel_limit: invalid type: string "many", expected usize"#]]
    .assert_eq(&Sources::json(text).read().expect_err("refused"));
}

#[test]
fn contradictions_name_the_option() {
    let text = r#"{
        "client": {"ping_interval": "5s", "token": {"audience": "a", "audience_regex": "b"}},
        "channel": {"namespaces": [{"name": "x"}]},
        "http_api": {"error_mode": "loud"},
        "websocket": {"compression": true, "compression_level": 10}
    }"#;
    let wrong = Sources::json(text).read().expect_err("refused");
    for part in [
        "client.ping_interval: 5s must be longer than client.pong_timeout, 8s",
        "channel.namespaces[0].name",
        "client.token.audience",
        "http_api.error_mode",
        "websocket.compression_level: must be 1 to 9",
    ] {
        assert!(wrong.contains(part), "{part} is not in\n{wrong}");
    }
}

#[test]
fn leniency_turns_errors_into_warnings() {
    let sources = Sources::json(r#"{"nonsense": 1, "graphite": {"enabled": true}}"#);
    let sources = sources.variables(&[("CENTRIFUGO_NONSENSE", "1")]).lenient(true);
    let warnings = sources.taken().warnings.join("\n");
    for part in
        ["nonsense: no such option", "graphite.enabled: an option of Centrifugo", "CENTRIFUGO_NONSENSE"]
    {
        assert!(warnings.contains(part), "{part} is not in\n{warnings}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    for (extension, text) in [("json", "{"), ("yaml", "a: ["), ("toml", "a ="), ("json", "[]"), ("ini", "")] {
        let errors = Sources::file(extension, text).read().expect_err("refused");
        assert!(errors.starts_with("configuration file (in FILE): "), "{text}: {errors}");
    }
    let missing = Given { file: Some("/nowhere/config.json".into()), ..Given::default() };
    assert!(load(&missing).is_err(), "a file that is named must be there");
}

#[test]
fn centrifugos_defaults_written_out_are_accepted() {
    let mut tree = serde_json::json!({});
    for line in include_str!("../../src/known_options.txt").lines() {
        // Elements of lists have no place of their own.
        let Some((path, default)) = line.split_once('\t') else { continue };
        if ["namespaces.", "proxies.", "consumers.", "transforms."].iter().any(|list| path.contains(list)) {
            continue;
        }
        let value = serde_json::from_str(default).unwrap_or_else(|_| serde_json::Value::from(default));
        let value = if path.ends_with("redis.address") { serde_json::json!([default]) } else { value };
        let mut place = &mut tree;
        for name in path.split('.') {
            place = &mut place[name];
        }
        *place = value;
    }
    let mut namespace = serde_json::json!({"name": "aa"});
    for line in include_str!("../../src/known_options.txt").lines() {
        let Some((path, default)) = line.split_once('\t') else { continue };
        let Some(name) = path.strip_prefix("channel.namespaces.").filter(|name| *name != "name") else {
            continue;
        };
        let value = serde_json::from_str(default).unwrap_or_else(|_| serde_json::Value::from(default));
        let place = name.split('.').fold(&mut namespace, |place, part| &mut place[part]);
        *place = value;
    }
    assert!(namespace.as_object().is_some_and(|members| members.len() > 1), "{namespace}");
    tree["channel"]["namespaces"] = serde_json::json!([namespace]);
    let loaded = loaded(&tree.to_string(), &[]);
    assert_eq!(loaded.warnings, [""; 0]);
    assert!(Settings::new(&loaded.options).is_ok());
}

#[test]
fn options_of_history_positions_and_presence_reach_the_channels() {
    let text = r#"{
        "channel": {
            "history_meta_ttl": "2h",
            "without_namespace": {"presence": true, "join_leave": true, "force_push_join_leave": true},
            "namespaces": [{
                "name": "kept", "history_size": 10, "history_ttl": "1m", "history_meta_ttl": "1h",
                "force_positioning": true, "force_recovery": true, "force_recovery_mode": "cache",
                "auto_cache_recover": true
            }]
        },
        "client": {
            "presence_update_interval": "5s", "channel_position_check_delay": "6s",
            "channel_position_max_time_lag": "7s", "history_max_publication_limit": 8,
            "recovery_max_publication_limit": 9
        },
        "node": {"info_metrics_aggregate_interval": "10s"}
    }"#;
    let settings = Settings::new(&loaded(text, &[]).options).expect("settings");
    let kept = settings.namespaces.channel_options("kept:a").expect("known");
    let history = kept.history.expect("history");
    let seconds = [history.ttl, history.meta_ttl, kept.history_meta_ttl].map(|time| time.as_secs());
    assert_eq!((history.size, seconds), (10, [60, 3600, 3600]));
    let subscription = kept.subscription();
    assert!(subscription.positioned && subscription.recoverable && subscription.auto_cache_recover);
    assert!(!subscription.presence && !subscription.join_leave && !subscription.push_join_leave);
    let plain = settings.namespaces.channel_options("a").expect("known");
    assert_eq!((plain.history, plain.history_meta_ttl.as_secs()), (None, 7200));
    let subscription = plain.subscription();
    assert!(plain.presence && subscription.presence);
    assert!(subscription.join_leave && subscription.push_join_leave && !subscription.positioned);
    let node = &settings.node;
    let times = [
        node.presence_update_interval,
        node.channel_position_check_delay,
        node.info_metrics_aggregate_interval,
    ];
    assert_eq!(times.map(|time| time.as_secs()), [5, 6, 10]);
    assert_eq!(node.channel_position_max_time_lag.map(|time| time.as_secs()), Some(7));
    assert_eq!((node.history_max_publication_limit, node.recovery_max_publication_limit), (8, 9));
    let defaults = Settings::new(&loaded("{}", &[]).options).expect("settings").node;
    assert_eq!(defaults.channel_position_max_time_lag, None);
    let none = r#"{"node":{"info_metrics_aggregate_interval":0}}"#;
    for text in ["{}", none] {
        let node = Settings::new(&loaded(text, &[]).options).expect("settings").node;
        assert_eq!(node.info_metrics_aggregate_interval.as_secs(), 60, "{text}");
    }
}

#[test]
fn options_of_deltas_filters_and_compaction_reach_the_channels() {
    let text = r#"{"channel": {
        "without_namespace": {"allowed_delta_types": ["fossil"], "delta_publish": true},
        "namespaces": [{
            "name": "ns", "allow_tags_filter": true, "keep_latest_publication": true, "allow_channel_compaction": true,
            "client_publish_debounce_interval": "1.5s"
        }]
    }}"#;
    let rules = |text: &str, channel: &str| {
        let settings = Settings::new(&loaded(text, &[]).options).expect("settings");
        settings.namespaces.channel_options(channel).expect("known")
    };
    let (plain, ns) = (rules(text, "a"), rules(text, "ns:a"));
    assert!(
        plain.allow_delta
            && plain.delta_publish
            && !plain.allow_tags_filter
            && !plain.allow_channel_compaction
    );
    assert!(!ns.allow_delta && !ns.delta_publish && ns.allow_tags_filter && ns.allow_channel_compaction);
    assert!(ns.keep_latest_publication && !plain.keep_latest_publication);
    assert_eq!((ns.publish_debounce.as_millis(), plain.publish_debounce.as_millis()), (1500, 0));
    for (option, value, expected) in [
        (
            "allowed_delta_types",
            r#"["fossil","xdelta"]"#,
            "unknown delta type \"xdelta\": it must be \"fossil\"",
        ),
        (
            "client_publish_debounce_interval",
            r#""1us""#,
            "must be whole milliseconds, and at most 2^32 - 1 of them",
        ),
        (
            "client_publish_debounce_interval",
            r#""1500h""#,
            "must be whole milliseconds, and at most 2^32 - 1 of them",
        ),
        ("client_publish_debounce_interval", r#""-1s""#, "must not be negative"),
    ] {
        let text = format!(r#"{{"channel":{{"without_namespace":{{"{option}":{value}}}}}}}"#);
        let refused = Sources::json(&text).read().expect_err("refused");
        assert_eq!(refused, format!("channel.without_namespace.{option}: {expected}"));
    }
}

#[test]
fn pro_63_64_options_of_batches_reach_the_node_and_the_channels() {
    let text = r#"{
        "client": {"write_delay": "100ms", "max_messages_in_frame": 16, "reply_without_queue": true},
        "channel": {"namespaces": [{
            "name": "news", "batch_max_size": 10, "batch_max_delay": "200ms", "batch_flush_latest": true,
            "overflow_policy": "keep_latest"
        }]}
    }"#;
    let settings = Settings::new(&loaded(text, &[]).options).expect("sound");
    assert_eq!(settings.node.write_delay, Some(std::time::Duration::from_millis(100)));
    assert!(settings.node.reply_without_queue);
    let frame = |settings: &Settings| settings.websocket.as_ref().expect("on").1.max_messages_in_frame;
    assert_eq!(frame(&settings), 16);
    let options = settings.namespaces.channel_options("news:x").expect("a channel");
    let batching = options.batching.expect("it batches");
    assert_eq!(batching.max_size.map(|size| size.get()), Some(10));
    assert_eq!(
        (batching.max_delay, batching.flush_latest),
        (Some(std::time::Duration::from_millis(200)), true)
    );
    assert_eq!(format!("{:?}", options.overflow), "KeepLatest");
    for (text, most) in [("{}", 1), (r#"{"client":{"max_messages_in_frame":-1}}"#, usize::MAX)] {
        let settings = Settings::new(&loaded(text, &[]).options).expect("sound");
        assert_eq!(frame(&settings), most, "{text}");
        assert_eq!(settings.node.write_delay, None);
    }
}
