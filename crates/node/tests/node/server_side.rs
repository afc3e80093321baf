//! What the server side does to connections.

use std::time::Duration;

use serde_json::json;
use tourbillon_node::{
    ConnectDecision, ConnectRequest, Hooks, NodeConfig, PublishDecision, PublishRequest, RefreshDecision,
    Refusal, SubscribeDecision, SubscriptionOptions, Target,
};
use tourbillon_types::{Channel, Disconnect, Payload, Unsubscribe, UserId};

use crate::harness::{Client, TestNode, start};

/// The token is the user's name; channels named in the data are subscribed to by the server.
struct Names;

impl Hooks for Names {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let mut decision = ConnectDecision::new(UserId::from(request.token));
        for channel in request.channels {
            decision.subscriptions.push((channel, SubscriptionOptions::default()));
        }
        Ok(decision)
    }

    async fn subscribe(&self, _: tourbillon_node::SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        Ok(SubscribeDecision::default())
    }

    async fn publish(&self, _: PublishRequest) -> Result<PublishDecision, Refusal> {
        Ok(PublishDecision::default())
    }
}

async fn user(test: &TestNode, name: &str) -> Client {
    let mut client = test.open(1 << 20, |_| {});
    client.call(&format!(r#""connect":{{"token":"{name}"}}"#)).await;
    client
}

fn target(name: &str) -> Target {
    Target::user(UserId::from(name))
}

#[tokio::test(start_paused = true)]
async fn subscribing_takes_effect_before_it_returns() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    let mut ann_too = user(&test, "ann").await;
    let mut bob = user(&test, "bob").await;
    let options = SubscriptionOptions::default();
    test.node.subscribe(&target("ann"), Channel::from("a"), options).await.expect("subscribed");
    test.publish("a", "1").await;
    for client in [&mut ann, &mut ann_too] {
        assert_eq!(client.message().await, json!({"push": {"channel": "a", "subscribe": {}}}));
        assert_eq!(client.publication("a").await, 1);
    }
    bob.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_tells_everybody_meant() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    ann.subscribe("a").await;
    let mut ann_too = user(&test, "ann").await;
    test.node.unsubscribe(&target("ann"), Channel::from("a"), Unsubscribe::SERVER).await.expect("done");
    let push =
        json!({"push": {"channel": "a", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}});
    assert_eq!(ann.message().await, push);
    assert_eq!(ann_too.message().await, push, "not subscribed, and told all the same");
    test.publish("a", "1").await;
    ann.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn disconnecting_spares_the_exceptions() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    let mut spared = test.open(1 << 20, |_| {});
    let reply = spared.call(r#""connect":{"token":"ann"}"#).await;
    let client = reply["connect"]["client"].as_str().expect("an id").parse().expect("an id");
    let mut nobody = user(&test, "").await;
    let why = Disconnect::custom(4321, "go");
    test.node.disconnect(&target("ann"), why.clone(), &[client]).await.expect("done");
    assert_eq!(ann.closed().await, why);
    spared.silence().await;
    test.node.disconnect(&target(""), Disconnect::FORCE_DISCONNECT, &[]).await.expect("done");
    assert_eq!(nobody.closed().await, Disconnect::FORCE_DISCONNECT);
    spared.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn refreshing_changes_the_expiry() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    let expire_at = tourbillon_types::SystemClock::unix_millis() / 1000 + 60;
    test.node.refresh(&target("ann"), RefreshDecision::until(Some(expire_at))).await.expect("done");
    let push = ann.message().await;
    assert_eq!(push["push"]["refresh"]["expires"], true);
    test.node.refresh(&target("ann"), RefreshDecision::until(Some(1))).await.expect("done");
    assert_eq!(ann.closed().await, Disconnect::CONNECTION_EXPIRED);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn refreshing_changes_what_others_are_told() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    let mut bob = user(&test, "bob").await;
    bob.subscribe("a").await;
    let expire_at = tourbillon_types::SystemClock::unix_millis() / 1000 + 60;
    let mut decision = RefreshDecision::until(Some(expire_at));
    decision.info = Some(Payload::from(r#"{"name":"Ann"}"#));
    test.node.refresh(&target("ann"), decision).await.expect("done");
    assert!(ann.message().await["push"]["refresh"].is_object());
    ann.call(r#""publish":{"channel":"a","data":1}"#).await;
    assert_eq!(bob.message().await["push"]["pub"]["info"]["conn_info"], json!({"name": "Ann"}));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn subscriptions_at_connect_come_with_the_reply() {
    let test = start(Names, NodeConfig::default());
    let mut client = test.open(1 << 20, |_| {});
    let reply = client.call(r#""connect":{"token":"ann","subs":{"a":{},"b":{}}}"#).await;
    assert_eq!(reply["connect"]["subs"], json!({"a": {}, "b": {}}));
    test.publish("b", "2").await;
    assert_eq!(client.publication("b").await, 2);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_connections_of_a_user_are_limited() {
    let mut config = NodeConfig::default();
    config.user_connection_limit = Some(1);
    let test = start(Names, config);
    let _first = user(&test, "ann").await;
    let mut second = test.open(1 << 20, |_| {});
    second.send(r#"{"id":1,"connect":{"token":"ann"}}"#);
    assert_eq!(second.closed().await, Disconnect::CONNECTION_LIMIT);
    let _anonymous = (user(&test, "").await, user(&test, "").await);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_node_tells_what_it_carries() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    ann.subscribe("news").await;
    ann.subscribe("chat").await;
    let mut bob = user(&test, "bob").await;
    bob.subscribe("news").await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let info = test.node.info();
    let stats = info.stats;
    assert_eq!((stats.clients, stats.users, stats.subscriptions, stats.channels), (2, 2, 3, 2));
    assert_eq!(info.uptime.as_secs(), 5);
    let mut channels = test.node.channels(&|name| name.starts_with('n')).await.expect("channels");
    channels.sort();
    assert_eq!(channels, [(Channel::from("news"), 2)]);
    test.end().await;
}
