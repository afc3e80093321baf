//! What a connection may not do, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tourbillon_node::{
    AllowAll, ConnectDecision, ConnectRequest, Hooks, NodeConfig, Refusal, RpcDecision, RpcRequest,
    SubscribeDecision,
};
use tourbillon_transport::PingMode;
use tourbillon_transport::memory::Sent;
use tourbillon_types::Disconnect;

use crate::harness::start;
use crate::scripted::ByName;

#[tokio::test(start_paused = true)]
async fn malformed_frames_close_with_bad_request() {
    let test = start(AllowAll, NodeConfig::default());
    for frame in ["", "null", "[]", "{}", "{\"id\":1", "1e999", "{\"id\":-1,\"connect\":{}}", "\u{0}"] {
        let mut client = test.open(1 << 20, |_| {});
        client.send(frame);
        assert_eq!(client.closed().await, Disconnect::BAD_REQUEST, "{frame:?}");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_beyond_the_limit_closes() {
    let mut config = NodeConfig::default();
    config.message_size_limit = 100;
    let test = start(AllowAll, config);
    let mut client = test.client().await;
    client.send(&format!(r#"{{"id":5,"publish":{{"channel":"a","data":"{}"}}}}"#, "x".repeat(100)));
    assert_eq!(client.closed().await, Disconnect::BAD_REQUEST);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_connects_is_stale() {
    let test = start(AllowAll, NodeConfig::default());
    let mut client = test.open(1 << 20, |_| {});
    let before = tokio::time::Instant::now();
    assert_eq!(client.closed().await, Disconnect::STALE);
    let waited = before.elapsed();
    assert!(waited >= Duration::from_secs(10) && waited < Duration::from_millis(10_300), "{waited:?}");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn pings_come_and_an_unanswered_one_closes() {
    let test = start(AllowAll, NodeConfig::default());
    let mut client = test.client().await;
    for round in 0..4 {
        let before = tokio::time::Instant::now();
        assert_eq!(client.next().await, Sent::Message("{}".into()));
        let waited = before.elapsed().as_secs_f64();
        let expected = if round == 0 { 12.4..25.3 } else { 24.8..25.3 };
        assert!(expected.contains(&waited), "{waited}");
        client.send("{}");
    }
    assert_eq!(client.next().await, Sent::Message("{}".into()));
    let before = tokio::time::Instant::now();
    assert_eq!(client.closed().await, Disconnect::NO_PONG);
    assert!(before.elapsed() < Duration::from_millis(8_300));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn native_pings_take_the_place_of_the_protocols() {
    let test = start(AllowAll, NodeConfig::default());
    let mut client = test.open(1 << 20, |info| info.ping = PingMode::Native);
    let reply = client.call(r#""connect":{}"#).await;
    assert_eq!((&reply["connect"]["ping"], &reply["connect"]["pong"]), (&json!(null), &json!(null)));
    assert_eq!(client.next().await, Sent::Ping);
    client.peer.pong();
    assert_eq!(client.next().await, Sent::Ping);
    assert_eq!(client.closed().await, Disconnect::NO_PONG);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_closed_and_others_are_not_delayed() {
    let mut config = NodeConfig::default();
    config.queue_max_size = 10_000;
    let test = start(AllowAll, config);
    let mut slow = test.open(2_000, |_| {});
    slow.call(r#""connect":{}"#).await;
    slow.subscribe("a").await;
    let mut quick = test.client().await;
    quick.subscribe("a").await;
    let data = format!("\"{}\"", "x".repeat(500));
    let mut sent = 0;
    while test.node.stats().clients == 2 {
        test.publish("a", &data).await;
        sent += 1;
        assert!(sent < 100, "more is queued than allowed");
        quick.publication("a").await;
        tokio::task::yield_now().await;
    }
    assert!(sent > 15, "{sent}");
    assert_eq!(slow.closed().await, Disconnect::SLOW);
    test.publish("a", "1").await;
    assert_eq!(quick.publication("a").await, 1);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_in_time_is_closed() {
    let test = start(AllowAll, NodeConfig::default());
    let mut client = test.open(100, |_| {});
    client.call(r#""connect":{}"#).await;
    client.subscribe("a").await;
    let data = format!("\"{}\"", "x".repeat(200));
    for _ in 0..3 {
        test.publish("a", &data).await;
    }
    // Nobody reads for longer than the write timeout.
    tokio::time::advance(Duration::from_secs(3)).await;
    while test.node.stats().clients == 1 {
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.closed().await, Disconnect::WRITE_ERROR);
    test.end().await;
}

/// Answers RPCs after a while, or never.
struct Slow;

impl Hooks for Slow {
    async fn subscribe(&self, _: tourbillon_node::SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        Ok(SubscribeDecision::default())
    }

    async fn rpc(&self, request: RpcRequest) -> Result<RpcDecision, Refusal> {
        match request.method.as_str() {
            "slow" => tokio::time::advance(Duration::from_secs(1)).await,
            "panic" => panic!("a bug of the application"),
            "never" => std::future::pending().await,
            _ => {}
        }
        Ok(RpcDecision { data: request.data })
    }
}

#[tokio::test(start_paused = true)]
async fn rpc_is_answered_in_order_and_within_its_deadline() {
    let test = start(Slow, NodeConfig::default());
    let mut client = test.client().await;
    client.send("{\"id\":2,\"rpc\":{\"method\":\"slow\",\"data\":[1]}}\n{\"id\":3,\"rpc\":{\"data\":2}}");
    assert_eq!(client.message().await, json!({"id": 2, "rpc": {"data": [1]}}));
    assert_eq!(client.message().await, json!({"id": 3, "rpc": {"data": 2}}));
    client.send(r#"{"id":4,"rpc":{"method":"never"}}"#);
    let reply = client.message().await;
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(4), &json!(100)));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn concurrency_lets_commands_overtake() {
    let mut config = NodeConfig::default();
    config.concurrency = 2;
    let test = start(Slow, config);
    let mut client = test.client().await;
    client.send("{\"id\":2,\"rpc\":{\"method\":\"never\"}}\n{\"id\":3,\"rpc\":{\"data\":2}}");
    assert_eq!(client.message().await, json!({"id": 3, "rpc": {"data": 2}}));
    assert_eq!(client.message().await["id"], 2);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_connection_only() {
    let test = start(Slow, NodeConfig::default());
    let mut doomed = test.client().await;
    doomed.subscribe("a").await;
    let mut other = test.client().await;
    other.subscribe("a").await;
    doomed.send(r#"{"id":9,"rpc":{"method":"panic"}}"#);
    assert!(matches!(doomed.next().await, Sent::Closed(_)));
    test.publish("a", "1").await;
    assert_eq!(other.publication("a").await, 1);
    assert_eq!(test.node.stats().clients, 1);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_leaves_nothing() {
    let test = start(AllowAll, NodeConfig::default());
    let mut client = test.client().await;
    client.subscribe("a").await;
    drop(client);
    while test.node.stats().connections > 0 {
        tokio::task::yield_now().await;
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_turns_connections_away() {
    let test = start(AllowAll, NodeConfig::default());
    let mut client = test.client().await;
    test.node.shutdown().await;
    assert_eq!(client.closed().await, Disconnect::SHUTDOWN);
    let mut late = test.open(1 << 20, |_| {});
    assert_eq!(late.closed().await, Disconnect::SHUTDOWN);
}

/// Notes how long pongs took.
#[derive(Clone, Debug, Default)]
struct Latencies(Arc<Mutex<Vec<Duration>>>);

impl Hooks for Latencies {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        Hooks::connect(&AllowAll, request).await
    }

    fn answered(&self, _: &tourbillon_node::Client, after: Duration) {
        self.0.lock().push(after);
    }
}

#[tokio::test(start_paused = true)]
async fn the_application_is_told_how_long_a_pong_took() {
    let latencies = Latencies::default();
    let test = start(latencies.clone(), NodeConfig::default());
    let mut client = test.client().await;
    for delay in [40, 250] {
        assert!(matches!(client.next().await, Sent::Message(ping) if &ping[..] == b"{}"));
        tokio::time::advance(Duration::from_millis(delay)).await;
        client.send("{}");
    }
    client.silence().await;
    assert_eq!(*latencies.0.lock(), [Duration::from_millis(40), Duration::from_millis(250)]);
    test.end().await;
}

/// As in Centrifugo.
#[tokio::test(start_paused = true)]
async fn ch_01_long_names_are_refused_in_commands_and_not_as_a_client_connects() {
    let mut config = NodeConfig::default();
    config.channel_max_length = 3;
    let test = start(ByName, config);
    let mut client = test.open(1 << 20, |_| {});
    let reply = client.call(r#""connect":{"subs":{"long":{}}}"#).await;
    assert!(reply["connect"]["subs"]["long"].is_object(), "{reply}");
    assert!(client.call(r#""subscribe":{"channel":"not"}"#).await["subscribe"].is_object());
    assert_eq!(client.call(r#""subscribe":{"channel":"too long"}"#).await["error"]["code"], 107);
    test.end().await;
}
