//! The reference of options is that of this version.

use std::collections::BTreeSet;

use expect_test::expect_file;
use serde_json::json;
use tourbillon_config::{GoDuration, Options, reference};

use crate::harness::Sources;

#[test]
fn the_reference_is_fresh() {
    expect_file!["../../../../server/OPTIONS.md"].assert_eq(&reference());
}

#[test]
fn every_option_has_a_variable_of_its_own() {
    let reference = reference();
    let rows: Vec<&str> = reference.lines().filter(|line| line.starts_with("| `")).collect();
    let variables: BTreeSet<&str> = rows.iter().filter_map(|row| row.split(" | ").nth(2)).collect();
    assert!(rows.len() > 50, "{}", rows.len());
    assert_eq!(variables.len(), rows.len());
}

#[test]
fn every_option_says_what_it_means() {
    for row in reference().lines().filter(|line| line.starts_with("| `")) {
        assert!(row.trim_end_matches(" |").ends_with('.'), "{row}");
    }
}

/// What is documented is what is read: a variable of every option is taken, with either prefix.
#[test]
fn every_variable_of_the_reference_is_read() {
    let page = reference();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`'])).collect();
        let (path, default, variable) = (cells[0], cells[1], cells[2]);
        let place = format!("/{}", path.replace("[]", ".0").replace('.', "/"));
        let (text, place, value) = match default {
            _ if path == "proxies" || path == "consumers" || path.ends_with(".namespaces") => {
                (r#"[{"name":"seven"}]"#, format!("{place}/0/name"), json!("seven"))
            }
            _ if path.ends_with(".transforms") => (r#"[{"code":7}]"#, format!("{place}/0/code"), json!(7)),
            _ if path.ends_with("_transforms") => {
                (r#"[{"status_code":7}]"#, format!("{place}/0/status_code"), json!(7))
            }
            _ if path.ends_with(".buckets") => {
                (r#"[{"interval":"7s","rate":7}]"#, format!("{place}/0/rate"), json!(7))
            }
            _ if path.ends_with(".namespace_overrides") => {
                (r#"[{"namespace_name":"seven"}]"#, format!("{place}/0/namespace_name"), json!("seven"))
            }
            _ if path.ends_with(".method_overrides") => {
                (r#"[{"method":"seven"}]"#, format!("{place}/0/method"), json!("seven"))
            }
            _ if path.ends_with("_from_claim") => {
                (r#"[{"key":"six"}]"#, format!("{place}/0/key"), json!("six"))
            }
            _ if path.ends_with(".providers") => {
                (r#"[{"name":"six"}]"#, format!("{place}/0/name"), json!("six"))
            }
            _ if path.ends_with(".channel_replacements") => {
                (r#"{"six":"seven"}"#, place, json!(r#"{"six":"seven"}"#))
            }
            // Secrets are not shown.
            _ if path.ends_with(".static_headers") || path.ends_with(".static_metadata") => {
                (r#"{"six":"seven"}"#, place, json!(""))
            }
            _ if path.ends_with("redis.address") || path.ends_with("redis_stream.address") => {
                ("six seven", place, json!(["six", "seven"]))
            }
            _ if path.ends_with(".db") => ("7", place, json!(7)),
            "true" | "false" => ("true", place, json!(true)),
            "[]" => ("six seven", place, json!(["six", "seven"])),
            _ if default.parse::<i64>().is_ok() => ("7", place, json!(7)),
            _ if GoDuration::parse(default).is_some() => ("7s", place, json!("7s")),
            // Secrets are not shown.
            _ if default.is_empty()
                && [
                    "key",
                    "key_pem",
                    "credentials_value",
                    "password",
                    "nats.url",
                    "postgresql.dsn",
                    "notification_dsn",
                    "jetstream.url",
                    "jetstream.token",
                    "postgres.dsn",
                    "notify_dsn",
                    "secret",
                ]
                .iter()
                .any(|end| path.ends_with(end))
                && !path.ends_with("public_key")
                && !path.ends_with("client_key")
                && !path.ends_with("credentials_key") =>
            {
                ("seven", place, json!(""))
            }
            _ => ("seven", place, json!("seven")),
        };
        for prefix in ["CENTRIFUGO_", "TOURBILLON_"] {
            let name = variable.trim_start_matches("CENTRIFUGO_").trim_start_matches("TOURBILLON_");
            let variable = format!("{prefix}{}", name.replace("<NAME>", "MY_NAME_1"));
            let sources = Sources::json(
                r#"{"channel":{"namespaces":[{"name":"my.Name-1"}]},"rpc":{"namespaces":[{"name":"my.Name-1"}]},
                    "proxies":[{"name":"my.Name-1"}],"client":{"token":{"jwks":{"providers":[{"name":"my.Name-1"}]}},
                    "subscription_token":{"jwks":{"providers":[{"name":"my.Name-1"}]}}},"consumers":[{"name":"my.Name-1"}]}"#,
            );
            let sources = sources.variables(&[(&variable, text)]);
            let loaded = tourbillon_config::load(&sources.given);
            let options: Options = loaded.unwrap_or_else(|errors| panic!("{path}: {errors:?}")).options;
            let options = serde_json::to_value(&options).expect("options");
            assert_eq!(options.pointer(&place), Some(&value), "{path}");
        }
    }
}
