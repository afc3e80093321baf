//! When what the server side wants of a connection is done, and who waits for it.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;
use tokio::time::Instant;
use tourbillon_node::{
    ChannelOptions, ConnectDecision, ConnectRequest, Hooks, NodeConfig, RefreshDecision, Refusal,
    RpcDecision, RpcRequest, SubscriptionOptions, Target,
};
use tourbillon_types::{Channel, Disconnect, Payload, ReplyError, UserId};

use crate::harness::{start, start_on};
use crate::scripted::{ByName, Scripted, at};

/// Tells a client what is told of it.
struct Tells;

impl Hooks for Tells {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        ByName.connect(request).await
    }

    async fn rpc(&self, request: RpcRequest) -> Result<RpcDecision, Refusal> {
        Ok(RpcDecision { data: request.client.info.to_payload() })
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        ByName.channel_options(channel)
    }
}

fn everybody() -> Target {
    Target::user(UserId::from(""))
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_connection_that_fails() {
    let mut config = NodeConfig::default();
    config.queue_max_size = 1_000;
    let test = start(ByName, config);
    let mut client = test.client().await;
    client.subscribe("a").await;
    let (node, began, target) = (test.node.clone(), Instant::now(), everybody());
    let mut before = pin!(node.send(&target, Payload::from("1")));
    assert!(before.as_mut().now_or_never().is_none());
    test.publish("a", &format!("\"{}\"", "x".repeat(2_000))).await;
    // Its driver has not heard of that yet.
    test.node.send(&target, Payload::from("2")).await.expect("done");
    assert!(began.elapsed() < Duration::from_secs(1), "wanted of one that has failed");
    before.await.expect("done");
    assert!(began.elapsed() < Duration::from_secs(1), "wanted of one that fails before it hears of it");
    assert_eq!(client.closed().await, Disconnect::SLOW);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_of_a_connection_that_connects_is_done_once_it_is_accepted() {
    let broker = Scripted::new(at(0, "e"));
    let test = start_on(broker.clone(), Tells, NodeConfig::default());
    broker.answer(false);
    let mut client = test.open(1 << 20, |_| {});
    client.send(r#"{"id":1,"connect":{"subs":{"position":{}}}}"#);
    broker.until_asked(1).await;
    let (node, target) = (test.node.clone(), everybody());
    let mut subscribe = pin!(node.subscribe(&target, Channel::from("b"), SubscriptionOptions::default()));
    let mut decision = RefreshDecision::until(None);
    decision.info = Some(Payload::from("2"));
    let mut refresh = pin!(node.refresh(&target, decision));
    for _ in 0..2 {
        assert!(subscribe.as_mut().now_or_never().is_none());
        assert!(refresh.as_mut().now_or_never().is_none());
        client.silence().await;
    }
    broker.answer(true);
    subscribe.await.expect("subscribed");
    broker.deliver("b", 1, "");
    refresh.await.expect("done");
    let reply = client.message().await;
    assert!(reply["connect"]["subs"]["position"].is_object(), "{reply}");
    assert!(client.message().await["push"]["refresh"].is_object());
    assert_eq!(client.message().await, json!({"push": {"channel": "b", "subscribe": {}}}));
    assert_eq!(client.publication("b").await, 1);
    client.send(r#"{"id":2,"rpc":{"method":"info"}}"#);
    assert_eq!(client.message().await, json!({"id": 2, "rpc": {"data": 2}}));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_connects_can_be_ended() {
    let broker = Scripted::new(at(0, "e"));
    let test = start_on(broker.clone(), Tells, NodeConfig::default());
    broker.answer(false);
    let mut client = test.open(1 << 20, |_| {});
    client.send(r#"{"id":1,"connect":{"subs":{"position":{}}}}"#);
    broker.until_asked(1).await;
    let (node, began, target) = (test.node.clone(), Instant::now(), everybody());
    let mut message = pin!(node.send(&target, Payload::from("1")));
    assert!(message.as_mut().now_or_never().is_none());
    test.node.disconnect(&target, Disconnect::FORCE_DISCONNECT, &[]).await.expect("told");
    message.await.expect("nothing is left to be done");
    assert_eq!(client.closed().await, Disconnect::FORCE_DISCONNECT);
    assert!(began.elapsed() < Duration::from_secs(1));
    broker.answer(true);
    test.end().await;
}
