//! Proxies: what their options come to, and what is wrong with them.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use serde_json::json;
use tourbillon::proxy::Event;
use tourbillon_config::{Settings, lines};

use crate::harness::Sources;

fn settings(text: &str) -> Settings {
    let options = Sources::json(text).read().unwrap_or_else(|errors| panic!("{text}: {errors}")).options;
    Settings::new(&options).unwrap_or_else(|errors| panic!("{text}: {}", lines(&errors)))
}

#[expect(clippy::needless_pass_by_value, reason = "expectations are made where they are used")]
fn refused(text: &str, expected: Expect) {
    let options = match Sources::json(text).read() {
        Ok(loaded) => loaded.options,
        Err(errors) => return expected.assert_eq(&errors),
    };
    expected.assert_eq(&lines(&Settings::new(&options).expect_err("refused")));
}

#[test]
fn prx_12_events_have_proxies_of_their_own_and_others_have_names() {
    let backends = settings(
        r#"{
        "client": {"proxy": {
            "connect": {"enabled": true, "endpoint": "http://a/connect"},
            "refresh": {"endpoint": "http://a/refresh"}
        }},
        "channel": {
            "proxy": {"subscribe": {"endpoint": "grpc://a:1"}, "publish": {"endpoint": "http://unused"}},
            "without_namespace": {"subscribe_proxy_enabled": true},
            "namespaces": [{"name": "ns", "publish_proxy_enabled": true, "publish_proxy_name": "other"}]
        },
        "proxies": [{"name": "other", "endpoint": "b:2"}]
    }"#,
    )
    .backends;
    assert!(backends.of(Event::Connect).expect("enabled").is_http());
    assert!(backends.of(Event::Refresh).is_none(), "it is off");
    assert!(!backends.named(Event::Subscribe, "default").expect("used").is_http());
    assert!(backends.named(Event::Publish, "default").is_none(), "nobody uses it");
    assert_eq!(backends.named(Event::Publish, "other").expect("named").name(), "other");
    assert_eq!(backends.each().count(), 3);
}

#[test]
fn opt_20_namespaces_name_their_proxies() {
    let settings = settings(
        r#"{"channel":{"proxy":{"subscribe":{"endpoint":"http://a"},"sub_refresh":{"endpoint":"http://a"}},
            "namespaces":[{"name":"ns","subscribe_proxy_enabled":true,"publish_proxy_enabled":true,
                "publish_proxy_name":"other","sub_refresh_proxy_enabled":true}]},
            "proxies":[{"name":"other","endpoint":"http://b"}]}"#,
    );
    let rules = &settings.namespaces.find("ns:x").expect("is there").rules.proxies;
    let names = [&rules.subscribe, &rules.publish, &rules.sub_refresh, &rules.cache_empty];
    assert_eq!(names.map(|name| name.as_deref()), [Some("default"), Some("other"), Some("default"), None]);
    assert_eq!(settings.namespaces.find("x").expect("is there").rules.proxies, Default::default());
}

#[test]
fn map_09_opt_23_who_decides_about_keys_is_named_by_the_namespace() {
    let keyed = r#""subscription_type":"map","map":{"mode":"persistent","publish_proxy_enabled":true,
        "remove_proxy_enabled":true,"remove_proxy_name":"other"}"#;
    let settings = settings(&format!(
        r#"{{"channel":{{"proxy":{{"map_publish":{{"endpoint":"grpc://a:1"}}}},
            "namespaces":[{{"name":"board",{keyed}}},{{"name":"off","subscription_type":"map",
                "map":{{"mode":"persistent","publish_proxy_name":"other","remove_proxy_name":""}}}}]}},
            "proxies":[{{"name":"other","endpoint":"http://b","timeout":"30s"}}]}}"#,
    ));
    let rules = |channel| &settings.namespaces.find(channel).expect("is there").rules.proxies;
    let names = [&rules("board:x").map_publish, &rules("board:x").map_remove, &rules("off:x").map_publish];
    assert_eq!(names.map(|name| name.as_deref()), [Some("default"), Some("other"), None]);
    let backends = &settings.backends;
    assert!(!backends.named(Event::MapPublish, "default").expect("used").is_http());
    assert!(backends.named(Event::MapRemove, "default").is_none(), "nobody uses it");
    assert_eq!(backends.named(Event::MapRemove, "other").expect("named").name(), "other");
    assert!(settings.node.call_timeout.as_secs() > 30, "the proxy's timeout comes first");
    refused(
        r#"{"channel":{"namespaces":[
            {"name":"aa","subscription_type":"map","map":{"mode":"persistent","publish_proxy_enabled":true}},
            {"name":"bb","map":{"remove_proxy_enabled":true,"remove_proxy_name":"nobody"}},
            {"name":"cc","map":{"publish_proxy_name":"nobody","remove_proxy_enabled":true,"remove_proxy_name":""}}]}}"#,
        expect![[r#"
            channel.proxy.map_publish.endpoint: must be set
            channel.proxy.map_remove.endpoint: must be set
            channel.namespaces[1].map.remove_proxy_name: there is no proxy "nobody": it must be "default" or one of `proxies`
            channel.namespaces[2].map.publish_proxy_name: there is no proxy "nobody": it must be "default" or one of `proxies`"#]],
    );
    refused(
        r#"{"channel":{"namespaces":[{"name":"aa","subscription_type":"map","map":{"mode":"persistent",
            "client_key":"user_id","remove_proxy_enabled":true,"remove_proxy_name":"pp"}}]},
            "proxies":[{"name":"pp","endpoint":"http://a"}]}"#,
        expect!["channel.namespaces[0].map.client_key: excludes `map.remove_proxy_enabled`"],
    );
}

#[test]
fn mode_05_life_03_clients_are_asked_of_backends_where_those_are_on() {
    let proxy = r#"{"enabled":true,"endpoint":"http://a"}"#;
    let on = settings(&format!(r#"{{"client":{{"proxy":{{"connect":{proxy},"refresh":{proxy}}}}}}}"#));
    assert!(on.tokens.ask_inner && on.tokens.inner_refreshes);
    let off = settings("{}");
    assert!(!off.tokens.ask_inner && !off.tokens.inner_refreshes);
}

#[test]
fn prx_40_methods_find_the_proxy_of_their_namespace() {
    let find = |text: &str, method: &str| {
        let found = settings(text).backends.of_method(method);
        found.map(|found| found.map(|endpoint| endpoint.name().to_owned())).map_err(|error| error.code.0)
    };
    let text = r#"{"rpc":{"proxy":{"endpoint":"http://a"},"without_namespace":{"proxy_enabled":true},
        "namespaces":[{"name":"on","proxy_enabled":true,"proxy_name":"other"},{"name":"off"}]},
        "proxies":[{"name":"other","endpoint":"http://b"}]}"#;
    for (method, expected) in [
        ("x", Ok(Some("default"))),
        ("", Ok(Some("default"))),
        (":x", Ok(Some("default"))),
        ("on:x", Ok(Some("other"))),
        ("on:x:y", Ok(Some("other"))),
        ("off:x", Ok(None)),
        ("unknown:x", Err(104)),
    ] {
        assert_eq!(find(text, method), expected.map(|name| name.map(str::to_owned)), "{method}");
    }
    assert_eq!(find("{}", "unknown:x"), Ok(None), "nobody is asked about anything");
    let boundary = r#"{"rpc":{"proxy":{"endpoint":"http://a"},"namespace_boundary":"/",
        "namespaces":[{"name":"ns","proxy_enabled":true}]}}"#;
    assert_eq!(find(boundary, "ns/x"), Ok(Some("default".to_owned())));
    assert_eq!(find(boundary, "ns:x"), Ok(None));
}

#[test]
fn connections_keep_what_backends_want_later() {
    let node = settings(
        r#"{"client":{"proxy":{"connect":{"enabled":true,"endpoint":"http://a","http_headers":["x-connect"]},
                "refresh":{"enabled":true,"endpoint":"http://a","timeout":"30s","http_headers":["Cookie"],
                           "emulated_headers":["Authorization"],"grpc_metadata":["x-meta"]}}},
            "proxies":[{"name":"pp","endpoint":"http://a","http_headers":["cookie","x-user"]}]}"#,
    )
    .node;
    let names: Vec<&str> = node.keep_headers.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["cookie", "x-meta", "x-user"]);
    let names: Vec<&str> = node.keep_emulated_headers.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["authorization"]);
    assert!(node.call_timeout.as_secs() > 30, "the proxy's timeout comes first");
}

#[test]
fn variables_set_options_of_proxies() {
    let loaded = Sources::json(r#"{"proxies":[{"name":"my-proxy"}]}"#)
        .variables(&[
            ("CENTRIFUGO_PROXIES_MY_PROXY_ENDPOINT", "https://a"),
            ("CENTRIFUGO_PROXIES_MY_PROXY_HTTP_TLS_SERVER_NAME", "b"),
            ("CENTRIFUGO_PROXIES_MY_PROXY_HTTP_STATIC_HEADERS", r#"{"X-Key":"planted"}"#),
            ("CENTRIFUGO_RPC_NAMESPACES", r#"[{"name":"ns"}]"#),
            ("CENTRIFUGO_RPC_NAMESPACES_NS_PROXY_ENABLED", "true"),
            ("CENTRIFUGO_RPC_NAMESPACES_NS_PROXY_NAME", "my-proxy"),
        ])
        .read();
    let options = loaded.unwrap_or_else(|errors| panic!("{errors}")).options;
    assert_eq!(options.proxies[0].endpoint, "https://a");
    assert_eq!(options.proxies[0].http.tls.server_name, "b");
    let headers = options.proxies[0].http.static_headers.texts();
    assert_eq!(headers["X-Key"].expose(), "planted");
    assert!(!format!("{options:?}").contains("planted"));
    let backends = Settings::new(&options).unwrap_or_else(|errors| panic!("{}", lines(&errors))).backends;
    assert_eq!(backends.of_method("ns:x").expect("known").expect("asked").name(), "my-proxy");
}

/// CONF-04, CONF-06: in each form, with the texts of variables that are for that.
#[test]
fn conf_06_texts_by_names_come_in_every_form_with_variables_in_them() {
    let given = |file: &str, variables: &[(&str, &str)]| {
        Sources::json(file)
            .variables(&[("CENTRIFUGO_VAR_KEY", "planted")])
            .variables(variables)
            .taken()
            .options
    };
    let expected = json!({"x-key": "a planted b", "x-other": "${HOME}"});
    let object = r#"{"x-key": "a ${CENTRIFUGO_VAR_KEY} b", "x-other": "${HOME}"}"#;
    let pairs =
        r#"[{"key": "x-key", "value": "a ${CENTRIFUGO_VAR_KEY} b"}, {"key": "x-other", "value": "${HOME}"}]"#;
    for texts in [object, pairs] {
        let proxy =
            format!(r#"{{"http": {{"static_headers": {texts}}}, "grpc": {{"static_metadata": {texts}}}}}"#);
        let file = format!(
            r#"{{"proxies": [{{"name": "pp", "endpoint": "http://a", "http": {{"static_headers": {texts}}}}}], "rpc": {{"proxy": {proxy}}},
            "broker": {{"nats": {{"raw_mode": {{"channel_replacements": {texts}}}}}}}}}"#
        );
        let of_file = given(&file, &[]);
        let of_variables = given(
            r#"{"proxies": [{"name": "pp", "endpoint": "http://a"}]}"#,
            &[
                ("CENTRIFUGO_PROXIES_PP_HTTP_STATIC_HEADERS", texts),
                ("CENTRIFUGO_RPC_PROXY_HTTP_STATIC_HEADERS", texts),
                ("CENTRIFUGO_RPC_PROXY_GRPC_STATIC_METADATA", texts),
                ("CENTRIFUGO_BROKER_NATS_RAW_MODE_CHANNEL_REPLACEMENTS", texts),
            ],
        );
        for options in [of_file, of_variables] {
            let proxy = &options.rpc.proxy;
            for map in [
                &options.proxies[0].http.static_headers,
                &proxy.http.static_headers,
                &proxy.grpc.static_metadata,
            ] {
                let found: BTreeMap<&str, &str> =
                    map.texts().iter().map(|(name, text)| (name.as_str(), text.expose())).collect();
                assert_eq!(json!(found), expected, "{texts}");
            }
            let replacements =
                serde_json::to_value(&options.broker.nats.raw_mode.channel_replacements).expect("JSON");
            assert_eq!(replacements.as_str().expect("text"), expected.to_string());
        }
    }
    // Names of an object are in lower case, as all names of a file are; those of a list are not.
    let pair = r#"{"rpc":{"proxy":{"http":{"static_headers":[{"key":"X-Key","value":"x"}]}}}}"#;
    assert!(given(pair, &[]).rpc.proxy.http.static_headers.texts().contains_key("X-Key"));
}

#[test]
fn conf_06_what_is_wrong_with_texts_by_names_is_told_without_them() {
    for (texts, problem) in [
        (r#"{"x-key":"planted ${CENTRIFUGO_VAR_GONE}"}"#, "there is no variable CENTRIFUGO_VAR_GONE"),
        (r#"{"x-key":7}"#, "must be an object of texts"),
        (r#""planted""#, "must be an object of texts"),
        (r#"["planted"]"#, "must be an object of texts"),
        (r#"[{"key":"x","value":"planted"},{"key":"x","value":""}]"#, "\"x\" is there twice"),
    ] {
        let file = format!(
            r#"{{"rpc":{{"proxy":{{"http":{{"static_headers":{texts}}}}}}},
            "proxies":[{{"name":"pp","endpoint":"http://a","grpc":{{"static_metadata":{texts}}}}}]}}"#
        );
        let told =
            format!("rpc.proxy.http.static_headers: {problem}\nproxies[0].grpc.static_metadata: {problem}");
        assert_eq!(Sources::json(&file).read().expect_err(texts), told);
    }
}

#[test]
fn net_04_tls_towards_a_backend_is_checked() {
    refused(
        r#"{"proxies":[{"name":"pp","endpoint":"https://a","http":{"tls":{"enabled":true,"server_ca_pem":"no file"}}}]}"#,
        expect![
            "proxies[0].http.tls.server_ca_pem: is neither PEM, nor base64 of PEM, nor the path of a file that is there"
        ],
    );
    let warned = Sources::json(
        r#"{"proxies":[{"name":"pp","endpoint":"https://a","http":{"tls":{"client_ca_pem":"x"}}}]}"#,
    )
    .read();
    let warnings = warned.unwrap_or_else(|errors| panic!("{errors}")).warnings;
    expect!["proxies[0].http.tls.client_ca_pem has no effect: it is for servers: whom we connect to has clients of its own"].assert_eq(&warnings.join("\n"));
}

#[test]
fn what_is_wrong_with_a_proxy_is_told_with_its_path() {
    refused(
        r#"{
        "client": {"proxy": {
            "connect": {"enabled": true, "endpoint": "", "timeout": "-1s"},
            "refresh": {"enabled": true, "endpoint": "ftp://secret@a", "http_headers": ["a b"]}
        }},
        "channel": {
            "without_namespace": {"subscribe_proxy_enabled": true, "publish_proxy_name": "nobody"},
            "namespaces": [{"name": "ns", "sub_refresh_proxy_enabled": true, "sub_refresh_proxy_name": "none"}]
        },
        "rpc": {"without_namespace": {"proxy_name": "nobody"}, "namespaces": [{"name": "x"}, {"name": "x"}]},
        "proxies": [
            {"name": "default", "endpoint": "http://a"},
            {"name": "x", "endpoint": "http://a"},
            {"name": "twice", "endpoint": "http://a"},
            {"name": "twice", "endpoint": "http://a",
             "http": {"static_headers": {"a b": "planted", "ok": "line\nbreak"}},
             "grpc": {"credentials_key": "ä"}}
        ]
    }"#,
        expect![[r#"
            rpc.without_namespace.proxy_name: there is no proxy "nobody": it must be "default" or one of `proxies`
            rpc.namespaces[0].name: "x" must match ^[-a-zA-Z0-9_.]{2,}$
            rpc.namespaces[1].name: "x" must match ^[-a-zA-Z0-9_.]{2,}$
            rpc.namespaces[1].name: there is another namespace "x"
            client.proxy.connect.timeout: must not be negative
            client.proxy.connect.timeout: must be more than zero
            client.proxy.refresh.http_headers: "a b" is not the name of a header
            client.proxy.refresh.endpoint: has a scheme that is not http, https, grpc, dns, passthrough, ipv4, ipv6 or unix
            channel.proxy.subscribe.endpoint: must be set
            proxies[0].name: "default" stands for the proxies of their events
            proxies[1].name: "x" must match ^[-a-zA-Z0-9_.]{2,}$
            proxies[3].name: there is another proxy "twice"
            proxies[3].http.static_headers: "a b" is not the name of a header
            proxies[3].http.static_headers: the text of "ok" cannot be one of a header
            proxies[3].grpc.credentials_key: invalid HTTP header name
            channel.without_namespace.publish_proxy_name: there is no proxy "nobody": it must be "default" or one of `proxies`
            channel.namespaces[0].sub_refresh_proxy_name: there is no proxy "none": it must be "default" or one of `proxies`"#]],
    );
    refused(
        r#"{"proxies":[{"name":"pp","endpoint":"http://a","http":{"status_to_code_transforms":[
            {"status_code":404,"to_error":{"code":404,"message":"ü"}},
            {"to_error":{"code":1}},
            {"status_code":200,"to_disconnect":{"code":4000}},
            {"status_code":404},
            {"status_code":404,"to_error":{"code":1},"to_disconnect":{"code":4000}},
            {"status_code":404,"to_disconnect":{"code":1}}
        ]}}]}"#,
        expect![[r#"
            proxies[0].http.status_to_code_transforms[0].to_error.message: must be at most 123 bytes of ASCII
            proxies[0].http.status_to_code_transforms[1].status_code: must be a status other than 200
            proxies[0].http.status_to_code_transforms[2].status_code: must be a status other than 200
            proxies[0].http.status_to_code_transforms[3].to_error.code: either it or `to_disconnect.code` must be set
            proxies[0].http.status_to_code_transforms[4].to_disconnect.code: cannot be set together with `to_error.code`
            proxies[0].http.status_to_code_transforms[5].to_disconnect.code: must be from 3000 to 4999"#]],
    );
    refused(
        r#"{"proxies":[{"name":"pp","endpont":"x","http":{"tls":{"enabeld":true}},"grpc":7,"http.tls":{}}]}"#,
        expect![[r#"
            proxies[0].grpc: must be an object (in FILE)
            proxies[0].http.tls: options are nested objects: a name has no dots (in FILE)
            proxies[0].endpont: no such option (in FILE); did you mean proxies.endpoint?
            proxies[0].http.tls.enabeld: no such option (in FILE); did you mean proxies.http.tls.enabled?"#]],
    );
}

#[test]
fn opt_21_streams_are_over_grpc_and_exclude_others() {
    let settings = settings(
        r#"{"channel":{"proxy":{"subscribe_stream":{"endpoint":"a:1"}},"without_namespace":{
            "subscribe_stream_proxy_enabled":true,"subscribe_stream_proxy_bidirectional":true}}}"#,
    );
    let rules = &settings.namespaces.find("x").expect("is there").rules.proxies;
    assert_eq!((rules.subscribe_stream.as_deref(), rules.bidirectional), (Some("default"), true));
    assert!(settings.backends.named(Event::SubscribeStream, "default").is_some());
    refused(
        r#"{"channel":{"proxy":{"subscribe_stream":{"endpoint":"http://a"}},"without_namespace":{
            "subscribe_stream_proxy_enabled":true,"publish_proxy_enabled":true,"publish_proxy_name":"pp"},
            "namespaces":[{"name":"ns","subscribe_stream_proxy_enabled":true,"subscribe_stream_proxy_name":"pp"}]},
            "proxies":[{"name":"pp","endpoint":"https://a"}]}"#,
        expect![[r#"
            channel.namespaces[0].subscribe_stream_proxy_name: "pp" is asked over HTTP, which has no streams
            channel.without_namespace.subscribe_stream_proxy_name: "default" is asked over HTTP, which has no streams
            channel.without_namespace.subscribe_stream_proxy_enabled: excludes `publish_proxy_enabled`"#]],
    );
}
