//! Publications from here to there.

use serde_json::json;
use tourbillon_node::{AllowAll, NodeConfig};
use tourbillon_types::{Direction, Disconnect, Encoding, PushKinds};

use crate::harness::start;

#[tokio::test(start_paused = true)]
async fn a_publication_reaches_every_subscriber_and_nobody_else() {
    let test = start(AllowAll, NodeConfig::default());
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = test.client().await;
        client.subscribe("a").await;
        clients.push(client);
    }
    let mut other = test.client().await;
    other.subscribe("b").await;
    test.publish("a", r#"{"n":1}"#).await;
    for client in &mut clients {
        assert_eq!(client.publication("a").await, json!({"n": 1}));
    }
    other.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_publisher_is_named_and_gets_its_own_publication() {
    let test = start(AllowAll, NodeConfig::default());
    let mut client = test.client().await;
    client.subscribe("a").await;
    client.send(r#"{"id":9,"publish":{"channel":"a","data":"hi"}}"#);
    let push = client.message().await;
    assert_eq!(push["push"]["pub"]["data"], "hi");
    assert_eq!(push["push"]["pub"]["info"]["user"], "");
    assert!(push["push"]["pub"]["info"]["client"].is_string());
    assert_eq!(client.message().await, json!({"id": 9, "publish": {}}));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_between_server_and_client_publications() {
    let test = start(AllowAll, NodeConfig::default());
    let mut listener = test.client().await;
    listener.subscribe("a").await;
    let mut publisher = test.client().await;
    for number in 0..300 {
        if number % 2 == 0 {
            test.publish("a", &number.to_string()).await;
        } else {
            publisher.call(&format!(r#""publish":{{"channel":"a","data":{number}}}"#)).await;
        }
    }
    for number in 0..300 {
        assert_eq!(listener.publication("a").await, number);
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_ends_delivery() {
    let test = start(AllowAll, NodeConfig::default());
    let mut client = test.client().await;
    client.subscribe("a").await;
    assert_eq!(test.node.stats().subscriptions, 1);
    client.call(r#""unsubscribe":{"channel":"a"}"#).await;
    assert_eq!(test.node.stats().subscriptions, 0);
    test.publish("a", "1").await;
    client.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn several_commands_in_one_frame_are_answered_in_order() {
    let test = start(AllowAll, NodeConfig::default());
    let mut client = test.open(1 << 20, |_| {});
    client.send(
        "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":1}}\n",
    );
    assert_eq!(client.message().await["id"], 1);
    assert_eq!(client.message().await, json!({"id": 2, "subscribe": {}}));
    assert_eq!(client.publication("a").await, 1);
    assert_eq!(client.message().await["id"], 3);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn data_that_is_not_json_ends_json_clients_only() {
    let test = start(AllowAll, NodeConfig::default());
    let mut json = test.client().await;
    json.subscribe("a").await;
    let mut protobuf = test.open(1 << 20, |info| info.encoding = Encoding::Protobuf);
    // {id: 1, connect: {}} and {id: 2, subscribe: {channel: "a"}}, each behind its length.
    protobuf.peer.send(&b"\x04\x08\x01\x22\x00\x07\x08\x02\x2a\x03\x0a\x01a"[..]);
    protobuf.next().await;
    protobuf.next().await;
    test.publish("a", "\u{1}binary").await;
    assert_eq!(json.closed().await, Disconnect::INAPPROPRIATE_PROTOCOL);
    let tourbillon_transport::memory::Sent::Message(push) = protobuf.next().await else { panic!("closed") };
    assert!(push.windows(7).any(|bytes| bytes == b"\x01binary"), "{push:02x?}");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_unidirectional_client_gets_bare_pushes() {
    let test = start(AllowAll, NodeConfig::default());
    let mut client = test.open(1 << 20, |info| {
        info.direction = Direction::Unidirectional;
        info.suppressed = PushKinds::NONE;
    });
    client.send(r#"{"id":1,"connect":{}}"#);
    let push = client.message().await;
    assert!(push["connect"]["session"].is_string(), "{push}");
    assert_eq!(push["connect"]["pong"], json!(null));
    test.node.shutdown().await;
    assert_eq!(client.message().await["disconnect"]["code"], 3001);
    assert_eq!(client.closed().await, Disconnect::SHUTDOWN);
}
