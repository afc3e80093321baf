//! `database`, and what is kept there.

use expect_test::expect;
use tourbillon_access::RevocationKind;
use tourbillon_config::{RevocationPlace, Settings};

use crate::harness::Sources;

fn settings(text: &str) -> Settings {
    Settings::new(&Sources::json(text).taken().options).expect("sound")
}

#[test]
fn pro_34_to_36_revocations_are_in_the_database_where_there_is_one() {
    let settings = settings(
        r#"{
            "database": {"enabled": true, "postgresql": {"dsn": "postgresql://ann:secret@db:1/base"}},
            "user_block": {"storage_type": "database"},
            "token_revoke": {"storage_type": "redis"},
            "user_tokens_invalidate": {"storage_type": "database"}
        }"#,
    );
    let in_database = settings.revocations.iter().filter(|(_, at)| matches!(at, RevocationPlace::Database));
    let kinds: Vec<RevocationKind> = in_database.map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [RevocationKind::User, RevocationKind::TokensOf]);
    assert_eq!(format!("{:?}", settings.database), r#"Some(PostgresConfig { at: "db:1", .. })"#);
    let is_warned = settings.warnings.iter().any(|warning| warning.starts_with("database"));
    assert!(!is_warned, "{:?}", settings.warnings);
}

#[test]
fn a_database_that_nothing_is_kept_in_is_told_of() {
    let text = r#"{"database": {"enabled": true, "postgresql": {"dsn": "host=a"}}}"#;
    let settings = settings(text);
    assert!(settings.database.is_none());
    let warned = settings.warnings.iter().filter(|warning| warning.starts_with("database: nothing is kept"));
    assert_eq!(warned.count(), 1, "{:?}", settings.warnings);
}

#[test]
fn connections_that_trust_anybody_are_warned_of() {
    for (postgresql, expected) in [
        (r#""dsn": "host=a sslmode=prefer""#, None),
        (r#""dsn": "host=a", "tls": {"enabled": true}"#, None),
        (r#""dsn": "host=a sslmode=require", "tls": {"enabled": true}"#, None),
        (r#""dsn": "host=a sslmode=require""#, Some("database.postgresql.dsn: sslmode=require takes any")),
        (
            r#""dsn": "host=a", "tls": {"enabled": true, "insecure_skip_verify": true}"#,
            Some("database.postgresql.tls.insecure_skip_verify"),
        ),
    ] {
        let text = format!(
            r#"{{"database": {{"enabled": true, "postgresql": {{{postgresql}}}}},
                "user_block": {{"storage_type": "database"}}}}"#
        );
        let warnings = settings(&text).warnings;
        let warned = warnings.iter().find(|warning| warning.starts_with("database"));
        assert_eq!(
            warned.map(|warning| expected.is_some_and(|text| warning.starts_with(text))),
            expected.map(|_| true)
        );
    }
}

#[test]
fn databases_that_make_no_sense_are_named_without_their_passwords() {
    let with = |database: &str| {
        Sources::json(&format!(r#"{{"database": {database}, "user_block": {{"storage_type": "database"}}}}"#))
    };
    with("{}").refused(expect![[r#"user_block.storage_type: "database" needs database.enabled"#]]);
    with(r#"{"enabled": true}"#).refused(expect!["database.postgresql.dsn: must be set"]);
    with(r#"{"enabled": true, "postgresql": {"dsn": "postgres//ann:secret@db"}}"#).refused(expect![
        "database.postgresql.dsn: must be like postgresql://user:password@host:5432/database"
    ]);
    with(r#"{"enabled": true, "postgresql": {"dsn": "host=a sslmode=disable", "tls": {"enabled": true}}}"#).refused(
        expect!["database.postgresql.dsn: sslmode=disable says that there is no TLS, and the options of TLS that there is"],
    );
    with(r#"{"enabled": true, "postgresql": {"dsn": "host=a", "tls": {"enabled": true, "server_ca_pem": "none"}}}"#)
        .refused(expect!["database.postgresql.tls.server_ca_pem: is neither PEM, nor base64 of PEM, nor the path of a file that is there"]);
}
