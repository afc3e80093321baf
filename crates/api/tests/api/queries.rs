//! Info, channels, rpc.

use std::time::Duration;

use serde_json::json;

use crate::harness::start;

/// API-30, API-10: numbers are told even where they are zero.
#[tokio::test(start_paused = true)]
async fn info_tells_of_the_node() {
    let test = start();
    let uid = test.node.id().to_string();
    let node = |clients: u32, users: u32, subs: u32, channels: u32| {
        json!({"result": {"nodes": [{
            "uid": uid, "name": "test", "version": "1.2.3",
            "num_clients": clients, "num_users": users, "num_subs": subs, "num_channels": channels,
        }]}})
    };
    let without_uptime = |mut info: serde_json::Value| {
        if let Some(node) = info["result"]["nodes"][0].as_object_mut() {
            node.remove("uptime");
            node.remove("metrics");
        }
        info
    };
    assert_eq!(without_uptime(test.call("info", json!({})).await), node(0, 0, 0, 0));
    let _clients = [
        test.client("ann", &["a", "b"]).await,
        test.client("ann", &["a"]).await,
        test.client("bob", &[]).await,
        test.client("", &["c"]).await,
    ];
    assert_eq!(without_uptime(test.call("info", json!({})).await), node(4, 3, 4, 3));
    test.end().await;
}

/// API-30, OBS-13.
#[tokio::test(start_paused = true)]
async fn info_tells_what_nodes_counted() {
    let test = start();
    let _client = test.client("ann", &["a"]).await;
    for _ in 0..3 {
        test.call("publish", json!({"channel": "a", "data": {}})).await;
    }
    let metrics = async || {
        let info = test.call("info", json!({})).await;
        info["result"]["nodes"][0]["metrics"].clone()
    };
    let published = "centrifugo.node.messages_sent_count.type.publication";
    let first = metrics().await;
    assert_eq!((&first["interval"], &first["items"][published]), (&json!(60), &json!(0)));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(metrics().await["items"][published], json!(3), "over the first minute");
    test.call("publish", json!({"channel": "a", "data": {}})).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let items = metrics().await["items"].clone();
    assert_eq!(items[published], json!(1), "over the second");
    assert!(items["centrifugo.node.build.version.1.2.3"] == json!(1), "{items}");
    assert!(items.as_object().is_some_and(|items| items.values().all(serde_json::Value::is_number)));
    test.end().await;
}

/// API-31.
#[tokio::test(start_paused = true)]
async fn channels_are_counted_and_selected_by_pattern() {
    let test = start();
    let _clients = [
        test.client("ann", &["a", "json:one", "json:two"]).await,
        test.client("bob", &["json:one", "json:a/b"]).await,
    ];
    let count = |number: u32| json!({ "num_clients": number });
    for (pattern, expected) in [
        ("", json!({"a": count(1), "json:one": count(2), "json:two": count(1), "json:a/b": count(1)})),
        ("*", json!({"a": count(1), "json:one": count(2), "json:two": count(1), "json:a/b": count(1)})),
        ("json:*", json!({"json:one": count(2), "json:two": count(1), "json:a/b": count(1)})),
        ("json:???", json!({"json:one": count(2), "json:two": count(1), "json:a/b": count(1)})),
        ("json:{one,two}", json!({"json:one": count(2), "json:two": count(1)})),
        ("json:[o-p]*", json!({"json:one": count(2)})),
        ("a", json!({"a": count(1)})),
        ("A", json!({})),
        ("nothing*", json!({})),
    ] {
        let answer = test.call("channels", json!({ "pattern": pattern })).await;
        assert_eq!(answer, json!({"result": {"channels": expected}}), "{pattern:?}");
    }
    test.end().await;
}

#[tokio::test]
async fn a_pattern_that_makes_no_sense_is_refused() {
    let test = start();
    for pattern in ["[", "{a", "[z-a]"] {
        assert_eq!(test.error("channels", json!({ "pattern": pattern })).await, 107, "{pattern:?}");
    }
}

/// A pattern is compiled; one that is too large for that is refused rather than paid for.
#[tokio::test]
async fn a_pattern_that_is_too_much_is_refused() {
    let test = start();
    for pattern in ["a".repeat(4097), "{a,".repeat(1000) + &"}".repeat(1000)] {
        assert_eq!(test.error("channels", json!({ "pattern": pattern })).await, 107);
    }
    for pattern in [
        "a".repeat(4096),
        "{a,b}?*[a-z]".repeat(340),
        "*?".repeat(2000),
        "{".repeat(2000) + &"}".repeat(2000),
    ] {
        let answer = test.call("channels", json!({ "pattern": pattern })).await;
        assert_eq!(answer, json!({"result": {"channels": {}}}), "{pattern}");
    }
    let nested = "{a,".repeat(1000) + &"}".repeat(1000);
    assert_eq!(test.error("channels", json!({ "pattern": nested })).await, 107, "nests too deeply");
}

/// API-32: nothing is registered.
#[tokio::test]
async fn rpc_finds_nothing() {
    let test = start();
    assert_eq!(test.error("rpc", json!({"method": "anything", "params": {}})).await, 104);
    assert_eq!(test.error("rpc", json!({"method": ""})).await, 107);
}
