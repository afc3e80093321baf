//! Every option written out, and read again.

use std::collections::BTreeMap;

use serde_json::Value;
use tourbillon_config::{Complete, Given, Options, complete, dotenv, load, reference};

use crate::harness::Sources;

/// Something of everything: lists, texts by names, secrets, numbers, texts with signs in them.
const FILE: &str = r#"{
    "client": {"token": {"hmac_secret_key": "planted \"$A\" \\", "jwks": {"providers": [
        {"name": "pp", "endpoint": "https://a", "issuer": "i", "tls": {"key_pem": "planted"}}
    ]}}, "allowed_origins": ["http://a", "http://b"], "ping_interval": "30s", "channel_limit": 7},
    "channel": {"namespaces": [
        {"name": "my-news", "presence": true, "history_size": 3, "history_ttl": "60s"}, {"name": "other"}
    ]},
    "rpc": {"proxy": {"http": {"static_headers": {"x-key": "${CENTRIFUGO_VAR_KEY}"}}}},
    "broker": {"nats": {"raw_mode": {"channel_replacements": {":": "."}}}},
    "user_block": {"storage_type": "memory"}
}"#;

const KEY: (&str, &str) = ("CENTRIFUGO_VAR_KEY", "planted");

fn of(given: &Given) -> Complete {
    complete(given).unwrap_or_else(|errors| panic!("{}", tourbillon_config::lines(&errors)))
}

/// The same values, secrets included: what is hidden is read by another way.
fn same(found: &Options, expected: &Options) {
    assert_eq!(serde_json::to_value(found).expect("JSON"), serde_json::to_value(expected).expect("JSON"));
    for options in [found, expected] {
        assert_eq!(options.client.token.hmac_secret_key.expose(), "planted \"$A\" \\");
        assert_eq!(options.client.token.jwks.providers[0].tls.key_pem.expose(), "planted");
        assert_eq!(options.rpc.proxy.http.static_headers.texts()["x-key"].expose(), "planted");
    }
}

#[test]
fn cli_05_every_option_is_written_and_read_again_without_a_word() {
    let all = of(&Given::default());
    for (extension, text) in [
        ("json", serde_json::to_string(all.options()).expect("JSON")),
        ("yaml", serde_saphyr::to_string(all.options()).expect("YAML")),
        ("toml", toml::to_string(all.options()).expect("TOML")),
    ] {
        let sources = Sources::file(extension, &text);
        let loaded = sources.taken();
        assert_eq!(loaded.warnings, [""; 0], "{extension}");
        let options = serde_json::to_value(&loaded.options).expect("JSON");
        assert_eq!(options, serde_json::to_value(Options::default()).expect("JSON"), "{extension}");
    }
    let page = reference();
    let paths =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(path, _)| path));
    for path in paths.filter(|path| !path.contains("[]")) {
        let place = format!("/{}", path.replace('.', "/"));
        assert!(all.options().pointer(&place).is_some_and(|value| !value.is_null()), "{path}");
    }
}

#[test]
fn cli_05_what_a_file_sets_is_written_with_its_secrets() {
    let sources = Sources::json(FILE).variables(&[KEY, ("CENTRIFUGO_NODE_NAME", "one")]);
    let all = of(&sources.given);
    assert_eq!(all.options()["rpc"]["proxy"]["http"]["static_headers"]["x-key"], "${CENTRIFUGO_VAR_KEY}");
    let again = Sources::json(&all.options().to_string()).variables(&[KEY]);
    same(&again.taken().options, &sources.taken().options);
    assert!(!format!("{all:?}").contains("planted"));
    let wrong = Sources::json(r#"{"client":{"ping_interval":"1s"}}"#);
    assert!(complete(&wrong.given).is_err(), "it would not start");
}

#[test]
fn cli_06_every_variable_is_written_and_read_again() {
    let sources = Sources::json(FILE).variables(&[KEY]);
    for set_only in [false, true] {
        let text = of(&sources.given).variables(set_only);
        let mut variables = dotenv::parse(&text).expect("a .env file");
        assert_eq!(variables.len() > 100, !set_only, "{text}");
        variables.insert(KEY.0.to_owned(), KEY.1.to_owned());
        let again = Sources::json("{}");
        let given = Given { variables, ..again.given.clone() };
        let loaded = load(&given).unwrap_or_else(|errors| panic!("{}", tourbillon_config::lines(&errors)));
        same(&loaded.options, &sources.taken().options);
    }
    let set = of(&sources.given).variables(true);
    assert!(
        set.starts_with("CENTRIFUGO_BROKER_NATS_RAW_MODE_CHANNEL_REPLACEMENTS=\"{\\\":\\\":\\\".\\\"}\"\n"),
        "{set}"
    );
    for line in [
        "CENTRIFUGO_CHANNEL_NAMESPACES=\"my-news other\"",
        "CENTRIFUGO_CHANNEL_NAMESPACES_MY_NEWS_HISTORY_SIZE=3",
        "CENTRIFUGO_CLIENT_ALLOWED_ORIGINS=\"http://a http://b\"",
        "CENTRIFUGO_CLIENT_CHANNEL_LIMIT=7",
    ] {
        assert!(set.lines().any(|written| written == line), "{line}: {set}");
    }
    // What the environment sets is not what the file sets.
    let more = Sources::json("{}").variables(&[("CENTRIFUGO_NODE_NAME", "one")]);
    assert_eq!(of(&more.given).variables(true), "");
    assert!(of(&more.given).variables(false).contains("CENTRIFUGO_NODE_NAME=\"one\"\n"));
}

/// Each variable of the reference is there, and no other.
#[test]
fn cli_06_the_variables_are_those_of_the_reference() {
    let variables = dotenv::parse(&of(&Given::default()).variables(false)).expect("a .env file");
    let page = reference();
    let documented: BTreeMap<&str, Value> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").nth(2))
        .map(|cell| (cell.trim_matches('`'), Value::Null))
        .filter(|(name, _)| !name.contains("<NAME>"))
        .collect();
    assert!(variables.keys().map(String::as_str).eq(documented.keys().copied()), "{variables:?}");
}
