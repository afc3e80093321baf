//! Settings that change while the server runs (CONF-10). What a signal reads is shown where signals are handled.

use std::time::Duration;

use tourbillon_server::config::model::Namespace;
use tourbillon_server::config::{SecretText, Settings};

use crate::harness::{Client, start};

fn news(allowed: bool) -> Vec<Namespace> {
    let mut namespace = Namespace { name: "news".to_owned(), ..Namespace::default() };
    namespace.rules.allow_subscribe_for_client = allowed;
    namespace.rules.allow_subscribe_for_anonymous = allowed;
    vec![namespace]
}

#[tokio::test]
async fn other_settings_change_what_clients_may_do() {
    let server = start(|options| options.channel.namespaces = news(false)).await;
    let mut client = Client::connected(server.external).await;
    let refused = client.call(r#"{"id":2,"subscribe":{"channel":"news:a"}}"#).await;
    assert!(refused.contains(r#""code":103"#), "{refused}");
    let mut options = server.options.clone();
    options.channel.namespaces = news(true);
    server.reload.apply(Settings::new(&options).expect("sound options"));
    let taken = client.call(r#"{"id":3,"subscribe":{"channel":"news:a"}}"#).await;
    assert!(taken.contains(r#""subscribe":{"#), "{taken}");
    // The namespace is gone: the API knows of it no more.
    options.channel.namespaces.clear();
    server.reload.apply(Settings::new(&options).expect("sound options"));
    let answer = server.api("publish", r#"{"channel":"news:a","data":1}"#).await;
    assert_eq!((answer.status, answer.body.contains(r#""code":102"#)), (200, true), "{answer:?}");
    drop(client);
    server.end().await;
}

/// The limit of connections changes, what is captured at the start stays, and nobody is disconnected.
#[tokio::test]
async fn the_limit_of_connections_changes_and_paths_stay_as_they_were() {
    let server = start(|options| options.client.connection_limit = 1).await;
    let mut client = Client::connected(server.external).await;
    assert_eq!(Client::upgrade(server.external, "").await.err(), Some(503));
    let mut options = server.options.clone();
    options.client.connection_limit = 2;
    "/elsewhere".clone_into(&mut options.health.handler_prefix);
    server.reload.apply(Settings::new(&options).expect("sound options"));
    let second = Client::connected(server.external).await;
    assert_eq!(Client::upgrade(server.external, "").await.err(), Some(503));
    assert_eq!(server.get("/health").await.status, 200);
    assert!(client.call(r#"{"id":2,"subscribe":{"channel":"a"}}"#).await.contains(r#""subscribe""#));
    drop((client, second));
    server.end().await;
}

/// A proxy that may take longer than before is waited for.
#[tokio::test]
async fn the_timeouts_of_proxies_change() {
    let server = start(|_| ()).await;
    let timeouts = || server.node.call_timeouts();
    let before = (Duration::from_secs(10), Duration::from_secs(30));
    assert_eq!(timeouts(), before);
    let mut options = server.options.clone();
    let proxy = r#"{"name":"slow","endpoint":"http://127.0.0.1:1","timeout":"45s"}"#;
    options.proxies.push(serde_json::from_str(proxy).expect("a proxy"));
    server.reload.apply(Settings::new(&options).expect("sound options"));
    assert_eq!(timeouts(), (Duration::from_secs(46), Duration::from_secs(46)));
    server.reload.apply(Settings::new(&server.options).expect("sound options"));
    assert_eq!(timeouts(), before);
    server.end().await;
}

/// Tokens of a user, signed with `old` and with `new`.
const OLD: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4ifQ.zCbD7oRPdtasUg7VWPWRFAupK0SIlKJd2upZ4Oh7w4I";
const NEW: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4ifQ.psReUBvHxs_F1YE-q1O-C-MZ8VjOg9e0Yz2asuCHiwU";

/// Tokens for the channel `a`, likewise.
const OLD_FOR_A: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJjaGFubmVsIjoiYSJ9.NgQDV2U2z3vsdb9aVpfb2lfuOM4FqXoO7Lv0dVK0e1w";
const NEW_FOR_A: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJjaGFubmVsIjoiYSJ9.xOLUbko9pQgB9qB7w1zfd1CNJtUdmo-IIQtOkR3mreQ";

/// KEY-09.
#[tokio::test]
async fn other_keys_change_which_tokens_are_good() {
    let server = start(|options| options.client.token.hmac_secret_key = SecretText::new("old")).await;
    let codes = async || {
        let mut codes = Vec::new();
        for token in [OLD, NEW] {
            let mut client = Client::upgrade(server.external, "").await.expect("an upgrade");
            client.send(&format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#)).await;
            let (opcode, payload) = client.frame().await;
            codes.push(if opcode == 8 { u16::from_be_bytes([payload[0], payload[1]]) } else { 0 });
        }
        codes
    };
    assert_eq!(codes().await, [0, 3500]);
    let mut options = server.options.clone();
    options.client.token.hmac_secret_key = SecretText::new("new");
    server.reload.apply(Settings::new(&options).expect("sound options"));
    assert_eq!(codes().await, [3500, 0]);
    server.end().await;
}

/// KEY-09: the keys of subscription tokens, which may be others.
#[tokio::test]
async fn other_keys_change_which_subscription_tokens_are_good() {
    let server = start(|options| {
        options.client.subscription_token.enabled = true;
        options.client.subscription_token.hmac_secret_key = SecretText::new("old");
    })
    .await;
    let good = async || {
        let mut good = Vec::new();
        for token in [OLD_FOR_A, NEW_FOR_A] {
            let mut client = Client::connected(server.external).await;
            client.send(&format!(r#"{{"id":2,"subscribe":{{"channel":"a","token":"{token}"}}}}"#)).await;
            let (_, payload) = client.frame().await;
            good.push(String::from_utf8_lossy(&payload).contains(r#""subscribe":{"#));
        }
        good
    };
    assert_eq!(good().await, [true, false]);
    let mut options = server.options.clone();
    options.client.subscription_token.hmac_secret_key = SecretText::new("new");
    server.reload.apply(Settings::new(&options).expect("sound options"));
    assert_eq!(good().await, [false, true]);
    server.end().await;
}
