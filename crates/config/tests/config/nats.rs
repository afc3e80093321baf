//! NATS as the broker (ENG-02, NATS-01, NATS-03, NATS-05).

use std::time::Duration;

use expect_test::{Expect, expect};
use tourbillon::nats::NatsConfig;
use tourbillon_config::{BrokerSettings, PresenceSettings, Settings};

use crate::harness::Sources;

/// A configuration with these options of NATS.
fn with(nats: &str) -> String {
    format!(r#"{{"broker":{{"enabled":true,"type":"nats","nats":{nats}}}}}"#)
}

fn settings(file: &str) -> Settings {
    Settings::new(&Sources::json(file).taken().options).expect("sound options")
}

fn nats(options: &str) -> NatsConfig {
    match settings(&with(options)).engine.broker {
        BrokerSettings::Nats(config) => config,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nats_01_defaults_are_centrifugos() {
    let config = nats("{}");
    assert_eq!(format!("{:?}", config.servers), "[localhost:4222]");
    assert_eq!((config.prefix.as_str(), config.allow_wildcards), ("centrifugo", false));
    let second = Duration::from_secs(1);
    assert_eq!((config.dial_timeout, config.write_timeout), (second, second));
    assert!(config.tls.is_none() && config.raw.is_none());
}

#[test]
fn every_option_of_nats_counts() {
    let config = nats(
        r#"{"url":"nats://u:p@10.0.0.1,tls://10.0.0.2:4223","prefix":"app","dial_timeout":"2s","write_timeout":"3s",
            "tls":{"enabled":true,"insecure_skip_verify":true,"server_name":"nats.test"},"allow_wildcards":true,
            "raw_mode":{"enabled":true,"prefix":"raw.","channel_replacements":{":":"."}}}"#,
    );
    assert_eq!(format!("{:?}", config.servers), "[10.0.0.1:4222, 10.0.0.2:4223]");
    assert_eq!((config.prefix.as_str(), config.allow_wildcards), ("app", true));
    assert_eq!((config.dial_timeout, config.write_timeout), (Duration::from_secs(2), Duration::from_secs(3)));
    // What says how to make sure of a server knows its name, unless there is nothing to make sure of.
    assert!(!format!("{:?}", config.tls.expect("TLS").config).contains("nats.test"));
    let named = nats(r#"{"tls":{"enabled":true,"server_name":"nats.test"}}"#).tls.expect("TLS");
    assert!(format!("{:?}", named.config).contains("nats.test"));
    let raw = config.raw.expect("bare data");
    assert_eq!((raw.prefix.as_str(), raw.replacements), ("raw.", vec![(":".to_owned(), ".".to_owned())]));
}

#[test]
fn replacements_come_from_a_variable_too() {
    let sources = Sources::json(&with(r#"{"raw_mode":{"enabled":true}}"#));
    let text = r#"{":": ".", "a b": "c"}"#;
    let sources = sources.variables(&[("CENTRIFUGO_BROKER_NATS_RAW_MODE_CHANNEL_REPLACEMENTS", text)]);
    let settings = Settings::new(&sources.taken().options).expect("sound options");
    let BrokerSettings::Nats(config) = settings.engine.broker else { panic!("another broker") };
    let pairs = config.raw.expect("bare data").replacements;
    assert_eq!(pairs, [(":", "."), ("a b", "c")].map(|(from, to)| (from.to_owned(), to.to_owned())));
}

/// ENG-02: the engine keeps presence, each node for itself.
#[test]
fn nats_is_a_broker_and_nothing_else() {
    let settings = settings(&with("{}"));
    assert!(matches!(settings.engine.presence, PresenceSettings::Memory));
    let warned = settings.warnings.iter().any(|warning| warning.starts_with("presence is kept by each node"));
    assert!(warned, "{:?}", settings.warnings);
    let off = r#"{"broker":{"type":"nats","nats":{"url":"nats://a"}}}"#;
    let settings = self::settings(off);
    assert!(matches!(settings.engine.broker, BrokerSettings::Memory(None)));
    assert_eq!(Sources::json(off).taken().warnings, ["broker has no effect: broker.enabled is false"]);
}

#[test]
fn what_makes_no_sense_with_nats_is_named() {
    for (options, expected) in [
        (r#"{"url":"http://a"}"#, expect!["broker.nats.url: must begin with nats:// or tls://"]),
        (
            r#"{"url":"nats://u:secret@a:x"}"#,
            expect!["broker.nats.url: has a port that is no number from 1 to 65535"],
        ),
        (
            r#"{"prefix":"a b"}"#,
            expect![[r#"broker.nats.prefix: "a b" cannot be the beginning of a subject"#]],
        ),
        (r#"{"write_timeout":"-1s"}"#, expect!["broker.nats.write_timeout: must not be negative"]),
        (
            r#"{"tls":{"enabled":true,"server_ca_pem":"no such file"}}"#,
            expect![
                "broker.nats.tls.server_ca_pem: is neither PEM, nor base64 of PEM, nor the path of a file that is there"
            ],
        ),
        (
            r#"{"tls":{"enabled":true,"server_name":"a b"}}"#,
            expect!["broker.nats.tls.server_name: invalid dns name"],
        ),
        (
            r#"{"raw_mode":{"prefix":"*","channel_replacements":{":":" "}}}"#,
            expect![[r#"
                broker.nats.raw_mode.prefix: "*" cannot be the beginning of a subject
                broker.nats.raw_mode.channel_replacements: " " cannot stand for ":" in a subject"#]],
        ),
        (
            r#"{"raw_mode":{"channel_replacements":{":":1}}}"#,
            expect!["broker.nats.raw_mode.channel_replacements: must be an object of texts"],
        ),
    ] {
        refused(&with(options), expected);
    }
}

fn refused(file: &str, expected: Expect) {
    Sources::json(file).refused(expected);
}

#[test]
fn what_nats_does_not_have_is_refused_where_it_is_asked_for() {
    let kept = r#""history_size":10,"history_ttl":"60s""#;
    let file = format!(
        r#"{{"broker":{{"enabled":true,"type":"nats","memory":{{"persistence":{{"enabled":true,"path":"x"}}}}}},
            "channel":{{"without_namespace":{{{kept}}},"namespaces":[{{"name":"aa"}},{{"name":"bb",{kept}}}]}}}}"#
    );
    refused(
        &file,
        expect![[r#"
            broker.memory.persistence.enabled: memory does not carry publications: another does
            channel.without_namespace.history_size: needs a broker that keeps streams: NATS keeps none
            channel.namespaces[1].history_size: needs a broker that keeps streams: NATS keeps none"#]],
    );
}
