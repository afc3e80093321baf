//! Messages that are collected before they are written (PRO-63).

use std::time::Duration;

use serde_json::json;
use tourbillon_node::{AllowAll, NodeConfig};
use tourbillon_types::{Channel, Payload};

use crate::harness::{TestNode, start};

const DELAY: Duration = Duration::from_millis(80);

fn delayed(change: impl FnOnce(&mut NodeConfig)) -> TestNode {
    let mut config = NodeConfig::default();
    config.write_delay = Some(DELAY);
    change(&mut config);
    start(AllowAll, config)
}

#[tokio::test(start_paused = true)]
async fn messages_of_all_channels_wait_for_the_end_of_the_delay() {
    let test = delayed(|_| {});
    let mut client = test.client().await;
    client.subscribe("a").await;
    client.subscribe("b").await;
    let before = tokio::time::Instant::now();
    for (channel, data) in [("a", "1"), ("b", "2"), ("a", "3")] {
        test.publish(channel, data).await;
        client.silence().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.silence().await;
    for (channel, data) in [("a", 1), ("b", 2), ("a", 3)] {
        assert_eq!(client.publication(channel).await, data);
    }
    let waited = before.elapsed();
    assert!(waited >= DELAY && waited < DELAY + Duration::from_millis(5), "{waited:?}");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn replies_wait_as_well_unless_they_are_not_to() {
    for (at_once, expected) in [(false, DELAY), (true, Duration::ZERO)] {
        let test = delayed(|config| config.reply_without_queue = at_once);
        let mut client = test.client().await;
        client.subscribe("a").await;
        test.publish("a", "1").await;
        client.silence().await;
        let before = tokio::time::Instant::now();
        client.send(r#"{"id":9,"rpc":{"method":"echo","data":2}}"#);
        // It does not overtake what was queued before.
        assert_eq!(client.publication("a").await, 1);
        assert_eq!(client.message().await["id"], json!(9));
        let waited = before.elapsed();
        assert!(waited >= expected && waited < expected + Duration::from_millis(5), "{at_once}: {waited:?}");
        test.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_queue_does_not_wait() {
    let test = delayed(|_| {});
    let mut client = test.client().await;
    client.subscribe("a").await;
    let before = tokio::time::Instant::now();
    // More than may wait for a connection, though not at once.
    for _ in 0..40 {
        let data = Payload::from(format!("\"{}\"", "x".repeat(50_000)).into_bytes());
        test.node.publish(Channel::from("a"), data, Default::default()).await.expect("published");
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    for _ in 0..40 {
        client.publication("a").await;
    }
    assert!(before.elapsed() <= 2 * DELAY, "{:?}", before.elapsed());
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_when_a_connection_ends_is_written() {
    let test = delayed(|_| {});
    let mut client = test.client().await;
    client.subscribe("a").await;
    test.publish("a", "1").await;
    test.node.shutdown().await;
    assert_eq!(client.publication("a").await, 1);
    client.closed().await;
}

#[test]
fn delays_are_bounded() {
    for delay in [Duration::ZERO, Duration::from_millis(1_001)] {
        let mut config = NodeConfig::default();
        config.write_delay = Some(delay);
        let built =
            tourbillon_node::Node::builder(tourbillon_broker_memory::MemoryEngine::default()).config(config);
        assert!(built.build().is_err(), "{delay:?}");
    }
}
