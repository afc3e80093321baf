//! Options from the environment: how texts are read, and what is said of variables that mean nothing.

use expect_test::{Expect, expect};
use tourbillon_config::Loaded;

use crate::harness::Sources;

fn read(variables: &[(&str, &str)], lenient: bool) -> Result<Loaded, String> {
    Sources::file("yaml", include_str!("namespaces.yaml")).variables(variables).lenient(lenient).read()
}

fn taken(variables: &[(&str, &str)]) -> Loaded {
    read(variables, false).unwrap_or_else(|errors| panic!("{errors}"))
}

fn silent(variables: &[(&str, &str)]) {
    assert_eq!(taken(variables).warnings, [""; 0], "{variables:?}");
}

#[expect(clippy::needless_pass_by_value, reason = "expectations are made where they are used")]
fn refused(variables: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&read(variables, false).expect_err("refused"));
}

#[test]
fn whole_numbers_have_bases() {
    for (text, number) in
        [("16", 16), ("0x10", 16), ("0X1f", 31), ("010", 8), ("0o10", 8), ("0b101", 5), ("+7", 7)]
    {
        let options = taken(&[("CENTRIFUGO_CLIENT_CHANNEL_LIMIT", text)]).options;
        assert_eq!(options.client.channel_limit, number, "{text}");
    }
    refused(
        &[("CENTRIFUGO_CLIENT_CHANNEL_LIMIT", "many"), ("CENTRIFUGO_HTTP_SERVER_PORT", "tcp://10.0.0.1:80")],
        expect![[r#"
            client.channel_limit: "many" is not a whole number (by CENTRIFUGO_CLIENT_CHANNEL_LIMIT)
            http_server.port: "tcp://10.0.0.1:80" is not a whole number (by CENTRIFUGO_HTTP_SERVER_PORT)"#]],
    );
    for text in ["0x", "0x+1", "--1", "1.5", " 1", "9999999999999999999", "1_000"] {
        let read = read(&[("CENTRIFUGO_CLIENT_CHANNEL_LIMIT", text)], false);
        assert!(read.is_err(), "{text:?}");
    }
}

#[test]
fn truth_values_are_those_of_go() {
    for (text, on) in [("1", true), ("t", true), ("TRUE", true), ("True", true), ("0", false), ("F", false)] {
        assert_eq!(taken(&[("CENTRIFUGO_CLIENT_INSECURE", text)]).options.client.insecure, on, "{text}");
    }
    refused(
        &[("CENTRIFUGO_CLIENT_INSECURE", "yes")],
        expect![[r#"client.insecure: "yes" is neither true nor false (by CENTRIFUGO_CLIENT_INSECURE)"#]],
    );
}

#[test]
fn durations_have_units() {
    let options = taken(&[("CENTRIFUGO_CLIENT_PING_INTERVAL", "1m30s")]).options;
    assert_eq!(options.client.ping_interval.to_string(), "90s");
    refused(
        &[("CENTRIFUGO_CLIENT_PING_INTERVAL", "25")],
        expect![[
            r#"client.ping_interval: invalid value: string "25", expected a duration such as "25s", or a number of nanoseconds"#
        ]],
    );
}

/// HID-103.
#[test]
fn lists_are_split_on_spaces_and_on_nothing_else() {
    let of =
        |text: &str| taken(&[("CENTRIFUGO_CLIENT_ALLOWED_ORIGINS", text)]).options.client.allowed_origins;
    assert_eq!(of("http://a http://b"), ["http://a", "http://b"]);
    assert_eq!(of("http://a,http://b"), ["http://a,http://b"]);
    assert_eq!(of(" http://a  "), ["http://a"]);
}

#[test]
fn what_is_empty_is_not_set() {
    silent(&[
        ("CENTRIFUGO_CLIENT_CHANNEL_LIMIT", ""),
        ("CENTRIFUGO_GRAPHITE_HOST", ""),
        ("CENTRIFUGO_NONSENSE", ""),
        ("CENTRIFUGO_CHANNEL_NAMESPACES", ""),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_MY_NEWS_CHANNEL_REGEX", ""),
    ]);
}

#[test]
fn what_kubernetes_sets_for_a_service_is_passed_over() {
    silent(&[
        ("CENTRIFUGO_SERVICE_HOST", "10.0.0.1"),
        ("CENTRIFUGO_SERVICE_PORT", "8000"),
        ("CENTRIFUGO_SERVICE_PORT_HTTP", "8000"),
        ("CENTRIFUGO_PORT", "tcp://10.0.0.1:8000"),
        ("CENTRIFUGO_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("CENTRIFUGO_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("CENTRIFUGO_INTERNAL_SERVICE_HOST", "10.0.0.1"),
        ("CENTRIFUGO_REDIS_PORT_6379_TCP_PROTO", "tcp"),
        ("CENTRIFUGO_VAR_SECRET", "x"),
        ("TOURBILLON_SERVICE_HOST", "10.0.0.1"),
        ("CENTRIFUGOX", "x"),
        ("PATH", "/bin"),
    ]);
    let options = taken(&[("CENTRIFUGO_HTTP_SERVER_PORT", "9000")]).options;
    assert_eq!(options.http_server.port, 9000);
}

#[test]
fn what_asks_for_nothing_is_taken_silently() {
    silent(&[
        ("CENTRIFUGO_GRAPHITE_ENABLED", "false"),
        ("CENTRIFUGO_PROMETHEUS_ENABLED", "0"),
        ("CENTRIFUGO_GRPC_API_PORT", "10000"),
        ("CENTRIFUGO_BROKER_NATS_DIAL_TIMEOUT", "1000ms"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_MY_NEWS_PRESENCE", "false"),
    ]);
}

#[test]
fn what_belongs_to_a_feature_that_is_off_is_a_warning() {
    let variables = [("CENTRIFUGO_GRAPHITE_HOST", "secret"), ("CENTRIFUGO_OPENTELEMETRY_API", "true")];
    expect![[r#"
        graphite.host has no effect: its feature is off, and not implemented yet
        opentelemetry.api has no effect: its feature is off, and not implemented yet"#]]
    .assert_eq(&taken(&variables).warnings.join("\n"));
}

#[test]
fn what_means_nothing_is_refused_by_name() {
    let variables = [
        ("CENTRIFUGO_GRAPHITE_ENABLED", "true"),
        ("CENTRIFUGO_GRAPHITE_HOST", "secret"),
        ("CENTRIFUGO_CLIENT_ALOWED_ORIGINS", "http://a"),
        ("CENTRIFUGO_ADMIN_ENABLED", "true"),
        ("CENTRIFUGO_ADMIN_WEB_PROXY_ADDRESS", "http://a"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_NO_NEWS_PRESENCE", "true"),
        ("TOURBILLON_SOMETHING_ELSE_ENTIRELY_AND_WITHOUT_A_NAME", "1"),
    ];
    refused(
        &variables,
        expect![[r#"
            admin.web_proxy_address: an option of Centrifugo that is not implemented yet (by CENTRIFUGO_ADMIN_WEB_PROXY_ADDRESS)
            CENTRIFUGO_CHANNEL_NAMESPACES_NO_NEWS_PRESENCE: no such option (by CENTRIFUGO_CHANNEL_NAMESPACES_NO_NEWS_PRESENCE)
            CENTRIFUGO_CLIENT_ALOWED_ORIGINS: no such option (by CENTRIFUGO_CLIENT_ALOWED_ORIGINS); did you mean CENTRIFUGO_CLIENT_ALLOWED_ORIGINS?
            graphite.enabled: an option of Centrifugo that is not implemented yet (by CENTRIFUGO_GRAPHITE_ENABLED)
            graphite.host: an option of Centrifugo that is not implemented yet (by CENTRIFUGO_GRAPHITE_HOST)
            TOURBILLON_SOMETHING_ELSE_ENTIRELY_AND_WITHOUT_A_NAME: no such option (by TOURBILLON_SOMETHING_ELSE_ENTIRELY_AND_WITHOUT_A_NAME)"#]],
    );
    expect![[r#"
        admin.web_proxy_address: an option of Centrifugo that is not implemented yet (by CENTRIFUGO_ADMIN_WEB_PROXY_ADDRESS): ignored
        CENTRIFUGO_CHANNEL_NAMESPACES_NO_NEWS_PRESENCE: no such option (by CENTRIFUGO_CHANNEL_NAMESPACES_NO_NEWS_PRESENCE): ignored
        CENTRIFUGO_CLIENT_ALOWED_ORIGINS: no such option (by CENTRIFUGO_CLIENT_ALOWED_ORIGINS); did you mean CENTRIFUGO_CLIENT_ALLOWED_ORIGINS?: ignored
        graphite.enabled: an option of Centrifugo that is not implemented yet (by CENTRIFUGO_GRAPHITE_ENABLED): ignored
        graphite.host: an option of Centrifugo that is not implemented yet (by CENTRIFUGO_GRAPHITE_HOST): ignored
        TOURBILLON_SOMETHING_ELSE_ENTIRELY_AND_WITHOUT_A_NAME: no such option (by TOURBILLON_SOMETHING_ELSE_ENTIRELY_AND_WITHOUT_A_NAME): ignored"#]].assert_eq(&read(&variables, true).expect("lenient").warnings.join("\n"));
}

#[test]
fn namespaces_can_be_given_as_a_list_and_are_judged_like_those_of_a_file() {
    let list = r#"[{"name":"aa","allow_publish_for_client":true},{"name":"bb","presence":false}]"#;
    let variables =
        [("CENTRIFUGO_CHANNEL_NAMESPACES", list), ("CENTRIFUGO_CHANNEL_NAMESPACES_BB_CHANNEL_REGEX", "^x")];
    let namespaces = taken(&variables).options.channel.namespaces;
    assert_eq!(namespaces.len(), 2);
    assert!(namespaces[0].rules.allow_publish_for_client);
    assert_eq!(namespaces[1].rules.channel_regex, "^x");
    refused(
        &[("CENTRIFUGO_CHANNEL_NAMESPACES", r#"[{"name":"aa","map":{"mod":"x"},"histroy_size":1}]"#)],
        expect![[r#"
            channel.namespaces[0].histroy_size: no such option (by CENTRIFUGO_CHANNEL_NAMESPACES); did you mean channel.namespaces.history_size?
            channel.namespaces[0].map.mod: no such option (by CENTRIFUGO_CHANNEL_NAMESPACES); did you mean channel.namespaces.map.mode?"#]],
    );
    for text in ["[", "[1", "{}"] {
        assert!(read(&[("CENTRIFUGO_CHANNEL_NAMESPACES", text)], false).is_err(), "{text}");
    }
}

/// CONF-03: elements that a file has stay what they are.
#[test]
fn named_lists_can_be_given_as_names() {
    let options = taken(&[
        ("CENTRIFUGO_CHANNEL_NAMESPACES", "one my-news  two"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_TWO_CHANNEL_REGEX", "^x"),
        ("CENTRIFUGO_PROXIES", "backend"),
        ("CENTRIFUGO_PROXIES_BACKEND_ENDPOINT", "http://a"),
        ("CENTRIFUGO_RPC_NAMESPACES", "calls"),
        ("CENTRIFUGO_RPC_NAMESPACES_CALLS_PROXY_NAME", "backend"),
    ])
    .options;
    let before = taken(&[]).options.channel.namespaces.len();
    let namespaces = &options.channel.namespaces;
    let names: Vec<_> = namespaces.iter().skip(before).map(|namespace| namespace.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(namespaces[before + 1].rules.channel_regex, "^x");
    assert_eq!(
        (options.proxies[0].name.as_str(), options.proxies[0].endpoint.as_str()),
        ("backend", "http://a")
    );
    assert_eq!(options.rpc.namespaces[0].proxy_name, "backend");
}

#[test]
fn names_with_the_same_variable_are_both_set() {
    let options =
        taken(&[("CENTRIFUGO_CHANNEL_NAMESPACES_MY_NEWS_ALLOW_PUBLISH_FOR_CLIENT", "true")]).options;
    let set: Vec<_> = options
        .channel
        .namespaces
        .iter()
        .map(|namespace| (namespace.name.as_str(), namespace.rules.allow_publish_for_client))
        .collect();
    assert_eq!(set, [("my-news", true), ("my.news", true), ("my", false)]);
}

#[test]
fn our_prefix_wins_whatever_it_sets() {
    let options = taken(&[
        ("CENTRIFUGO_CHANNEL_NAMESPACES", r#"[{"name":"aa"}]"#),
        ("TOURBILLON_CHANNEL_NAMESPACES", r#"[{"name":"bb"}]"#),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_BB_CHANNEL_REGEX", "^x"),
        ("CENTRIFUGO_NODE_NAME", "theirs"),
        ("TOURBILLON_NODE_NAME", "ours"),
    ])
    .options;
    assert_eq!(options.node.name, "ours");
    assert_eq!(options.channel.namespaces.len(), 1);
    assert_eq!(options.channel.namespaces[0].name, "bb");
    assert_eq!(options.channel.namespaces[0].rules.channel_regex, "^x");
}
