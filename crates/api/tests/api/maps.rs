//! Keyed channels (API-34 to API-39, MAP-35, MAP-36).

use serde_json::{Value, json};
use tourbillon_broker::Engine;
use tourbillon_broker_memory::MemoryEngine;

use crate::harness::{Test, start, start_on};

const CHANNEL: &str = "map:a";

async fn set(test: &Test, key: &str, mut more: Value) -> Value {
    more["channel"] = json!(CHANNEL);
    more["key"] = json!(key);
    test.call("map_publish", more).await["result"].clone()
}

async fn read(test: &Test, method: &str, mut more: Value) -> Value {
    more["channel"] = json!(CHANNEL);
    test.call(method, more).await
}

/// Entries without their times, which have to be there.
fn entries(answer: &Value) -> Value {
    let mut entries = answer["result"]["entries"].clone();
    for entry in entries.as_array_mut().expect("entries") {
        let time = entry.as_object_mut().expect("an entry").remove("time");
        assert!(time.and_then(|time| time.as_i64()).is_some_and(|time| time > 1_600_000_000_000));
    }
    entries
}

#[tokio::test]
async fn api_34_a_key_is_set_and_the_answer_tells_where() {
    let test = start();
    let first = set(&test, "k", json!({"data": {"n": 1}, "tags": {"t": "x"}})).await;
    let epoch = first["epoch"].as_str().expect("an epoch").to_owned();
    assert_eq!(first, json!({"offset": 1, "epoch": epoch}));
    // Nobody looks at the format that clients' data must have.
    let second = set(&test, "b", json!({"data": {"n": 1}, "b64data": "/wA="})).await;
    assert_eq!(second, json!({"offset": 2, "epoch": epoch}));
    assert_eq!(set(&test, "empty", json!({})).await["offset"], 3);
    let state = read(&test, "map_read_state", json!({"limit": -1})).await;
    let expected = json!([
        {"key": "b", "b64data": "/wA=", "offset": 2},
        {"key": "empty", "offset": 3},
        {"key": "k", "data": {"n": 1}, "tags": {"t": "x"}, "offset": 1},
    ]);
    assert_eq!(entries(&state), expected);
    assert_eq!(state["result"]["epoch"], epoch);
    let none = test.call("map_publish", json!({"channel": "ephemeral:a", "key": "k", "data": 1})).await;
    assert_eq!(none["result"]["offset"], json!(null), "no stream, no offset: {none}");
    test.end().await;
}

#[tokio::test]
async fn map_36_a_change_that_is_not_made_says_why_and_is_no_error() {
    let test = start();
    set(&test, "k", json!({"data": 1, "version": 5, "idempotency_key": "once"})).await;
    for (more, reason) in [
        (json!({"data": 2, "idempotency_key": "once"}), "idempotency"),
        (json!({"data": 2, "version": 5}), "version"),
        (json!({"data": 2, "key_mode": "if_new"}), "key_exists"),
    ] {
        let suppressed = set(&test, "k", more).await;
        assert_eq!(suppressed["suppressed"], true);
        assert_eq!((&suppressed["suppress_reason"], &suppressed["offset"]), (&json!(reason), &json!(1)));
    }
    let missing = set(&test, "new", json!({"data": 2, "key_mode": "if_exists"})).await;
    assert_eq!((&missing["suppressed"], &missing["suppress_reason"]), (&json!(true), &json!("key_not_found")));
    let removed = test.call("map_remove", json!({"channel": CHANNEL, "key": "new"})).await;
    assert_eq!(removed["result"]["suppress_reason"], "key_not_found");
    assert_eq!(set(&test, "k", json!({"data": 3, "version": 1, "version_epoch": "x"})).await["offset"], 2);
    test.end().await;
}

#[tokio::test]
async fn api_35_a_key_is_removed_once() {
    let test = start();
    set(&test, "k", json!({"data": 1, "tags": {"t": "x"}})).await;
    let remove = |key: &str| json!({"channel": CHANNEL, "key": key, "idempotency_key": "once"});
    let removed = test.call("map_remove", remove("k")).await;
    assert_eq!((&removed["result"]["offset"], &removed["result"]["suppressed"]), (&json!(2), &Value::Null));
    let again = test.call("map_remove", remove("other")).await;
    assert_eq!(again["result"]["suppress_reason"], "idempotency");
    let stream = read(&test, "map_read_stream", json!({"limit": -1})).await;
    let expected = json!([
        {"key": "k", "data": 1, "tags": {"t": "x"}, "offset": 1},
        {"key": "k", "removed": true, "tags": {"t": "x"}, "offset": 2},
    ]);
    assert_eq!(entries(&stream), expected);
    test.end().await;
}

#[tokio::test]
async fn api_36_the_state_is_read_in_pages_of_one_epoch() {
    let test = start();
    for key in ["a", "b", "c", "d", "e"] {
        set(&test, key, json!({"data": 1})).await;
    }
    let position = read(&test, "map_read_state", json!({})).await;
    assert_eq!((entries(&position), &position["result"]["offset"]), (json!([]), &json!(5)), "0 asks for none");
    let mut keys = Vec::new();
    let mut more = json!({"limit": 2});
    loop {
        let page = read(&test, "map_read_state", more.clone()).await;
        let result = &page["result"];
        let read = result["entries"].as_array().expect("entries");
        assert!(read.len() <= 2);
        keys.extend(read.iter().map(|entry| entry["key"].as_str().expect("a key").to_owned()));
        if result["cursor"].is_null() {
            break;
        }
        let (cursor, offset, epoch) = (&result["cursor"], &result["offset"], &result["epoch"]);
        more = json!({"limit": 2, "cursor": cursor, "revision_offset": offset, "revision_epoch": epoch});
    }
    assert_eq!(keys, ["a", "b", "c", "d", "e"]);
    let one = read(&test, "map_read_state", json!({"key": "c", "limit": 0})).await;
    assert_eq!(entries(&one), json!([{"key": "c", "data": 1, "offset": 3}]));
    assert_eq!(entries(&read(&test, "map_read_state", json!({"key": "none"})).await), json!([]));
    // Between two pages the channel begins anew.
    test.done("map_clear", json!({"channel": CHANNEL})).await;
    let stale = read(&test, "map_read_state", more).await;
    assert_eq!(stale["error"]["code"], 112, "{stale}");
    test.end().await;
}

#[tokio::test]
async fn api_37_changes_are_read_from_anywhere_and_a_hole_is_told() {
    let test = start();
    for number in 1..=7 {
        set(&test, "k", json!({"data": number})).await;
    }
    let epoch = read(&test, "map_read_stream", json!({})).await["result"]["epoch"].clone();
    let offsets = async |more: Value| {
        let answer = read(&test, "map_read_stream", more).await;
        let entries = answer["result"]["entries"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["offset"].as_u64().expect("an offset")).collect::<Vec<_>>()
    };
    assert_eq!(offsets(json!({})).await, [0; 0], "0 asks for none");
    assert_eq!(offsets(json!({"limit": -1})).await, [3, 4, 5, 6, 7]);
    assert_eq!(offsets(json!({"limit": 2, "since_offset": 4, "since_epoch": epoch})).await, [5, 6]);
    assert_eq!(offsets(json!({"limit": 2, "reverse": true})).await, [7, 6]);
    assert_eq!(offsets(json!({"limit": -1, "since_offset": 7})).await, [0; 0]);
    for bad in [
        json!({"limit": -1, "since_offset": 1, "since_epoch": epoch}),
        json!({"limit": 1, "since_offset": 6, "since_epoch": "other"}),
    ] {
        let answer = read(&test, "map_read_stream", bad).await;
        assert_eq!(answer["error"]["code"], 112, "{answer}");
    }
    test.end().await;
}

#[tokio::test]
async fn api_38_39_keys_are_counted_and_all_is_forgotten() {
    let test = start();
    assert_eq!(read(&test, "map_stats", json!({})).await, json!({"result": {"num_keys": 0}}));
    let before = set(&test, "k", json!({"data": 1})).await;
    set(&test, "l", json!({"data": 1})).await;
    assert_eq!(read(&test, "map_stats", json!({})).await, json!({"result": {"num_keys": 2}}));
    test.done("map_clear", json!({"channel": CHANNEL})).await;
    let state = read(&test, "map_read_state", json!({"limit": -1})).await;
    assert_eq!((entries(&state), &state["result"]["offset"]), (json!([]), &json!(0)));
    assert_ne!(state["result"]["epoch"], before["epoch"]);
    assert_eq!(set(&test, "k", json!({"data": 1})).await["offset"], 1);
    test.end().await;
}

#[tokio::test]
async fn pubs_06_what_cannot_be_is_refused_with_its_code() {
    let test = start();
    let methods = ["map_publish", "map_remove", "map_read_state", "map_read_stream", "map_stats", "map_clear"];
    for method in methods {
        for (channel, code) in [("", 107), ("a", 107), ("kept:a", 107), ("poll:a", 107), ("nowhere:a", 102)] {
            let answer = test.error(method, json!({"channel": channel, "key": "k", "data": 1})).await;
            assert_eq!(answer, code, "{method} {channel:?}");
        }
    }
    for method in ["map_publish", "map_remove"] {
        assert_eq!(test.error(method, json!({"channel": CHANNEL, "data": 1})).await, 107, "{method}");
    }
    for (more, code) in [
        (json!({"key_mode": "never"}), 107),
        (json!({"score": 1}), 108),
        (json!({"stream_data": {"a": 1}}), 108),
        (json!({"b64stream_data": "AAAA"}), 108),
    ] {
        let mut params = json!({"channel": CHANNEL, "key": "k", "data": 1});
        for (name, value) in more.as_object().expect("an object") {
            params[name] = value.clone();
        }
        assert_eq!(test.error("map_publish", params).await, code, "{more}");
    }
    let versioned = json!({"channel": "ephemeral:a", "key": "k", "data": 1, "version": 1});
    assert_eq!(test.error("map_publish", versioned).await, 108, "a version without a stream");
    let backwards = json!({"channel": CHANNEL, "reverse": true, "since_epoch": "x", "limit": 1});
    assert_eq!(test.error("map_read_stream", backwards).await, 107);
    assert_eq!(read(&test, "map_stats", json!({})).await["result"]["num_keys"], 0, "nothing came of it");
    test.end().await;
}

#[tokio::test]
async fn a_node_that_keeps_no_keyed_channels_says_so() {
    let test = start_on(Engine::new(MemoryEngine::default()));
    for method in ["map_publish", "map_read_state", "map_clear"] {
        let answer = test.error(method, json!({"channel": CHANNEL, "key": "k", "data": 1})).await;
        assert_eq!(answer, 108, "{method}");
    }
    test.end().await;
}

/// API-20, HID-75: one channel is looked at, many are not.
#[tokio::test]
async fn hid_75_publish_is_for_streams_and_broadcast_does_not_look() {
    let test = start();
    for channel in [CHANNEL, "ephemeral:a", "poll:a"] {
        let data = json!({"n": 1});
        assert_eq!(test.error("publish", json!({"channel": channel, "data": data})).await, 107, "{channel}");
        let answer = test.call("broadcast", json!({"channels": [channel], "data": data})).await;
        assert!(answer["result"]["responses"][0]["result"].is_object(), "{channel}: {answer}");
    }
    assert_eq!(read(&test, "map_stats", json!({})).await["result"]["num_keys"], 0, "it sets no key");
    test.end().await;
}

/// MAP-35: in batches, and at the endpoint of before.
#[tokio::test]
async fn map_35_batches_and_the_old_endpoint_have_them_all() {
    let test = start();
    let key = json!({"channel": CHANNEL, "key": "k", "data": 1});
    let channel = json!({"channel": CHANNEL, "limit": -1});
    let commands = json!([
        {"map_publish": key}, {"map_read_state": channel}, {"map_remove": key}, {"map_read_stream": channel},
        {"map_stats": channel}, {"map_clear": channel}, {"map_publish": {"channel": "a", "key": "k"}},
    ]);
    let replies = test.call("batch", json!({"commands": commands})).await["replies"].clone();
    assert_eq!(replies[0]["map_publish"]["offset"], 1, "{replies}");
    assert_eq!(replies[1]["map_read_state"]["entries"][0]["key"], "k", "{replies}");
    assert_eq!(replies[2]["map_remove"]["offset"], 2, "{replies}");
    assert_eq!(replies[3]["map_read_stream"]["entries"][1]["removed"], true, "{replies}");
    assert_eq!(replies[4], json!({"map_stats": {"num_keys": 0}}));
    assert_eq!(replies[5], json!({"map_clear": {}}));
    assert_eq!(replies[6]["error"]["code"], 107);
    for method in ["map_publish", "map_read_state", "map_remove", "map_read_stream", "map_stats", "map_clear"] {
        let body = json!({"method": method, "params": {"channel": CHANNEL, "key": "k", "data": 1}});
        let request = crate::harness::post("/api").body(body.to_string()).expect("a request");
        let answer = test.send(request).await.json();
        assert!(answer["result"].is_object(), "{method}: {answer}");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn api_40_values_of_polled_channels_are_published_where_they_may_be() {
    let test = start();
    let value = |channel: &str, key: &str, version: u64| {
        json!({"channel": channel, "key": key, "version": version, "data": {"price": 1}})
    };
    test.done("shared_poll_publish", value("direct:a", "k", 1)).await;
    test.done("shared_poll_publish", json!({"channel": "direct:a", "key": "k", "version": 2, "b64data": "/wA=", "epoch": "e"}))
        .await;
    for (asked, code) in [
        (value("", "k", 1), 107),
        (value("direct:a", "", 1), 107),
        (value("direct:a", "k", 0), 107),
        (json!({"channel": "direct:a", "key": "k", "data": 1}), 107),
        (value("a", "k", 1), 107),
        (value(CHANNEL, "k", 1), 107),
        (value("poll:a", "k", 1), 108),
        (value("nowhere:a", "k", 1), 102),
    ] {
        assert_eq!(test.error("shared_poll_publish", asked.clone()).await, code, "{asked}");
    }
    for body in [
        r#"{"channel":"direct:a","key":"k","version":"1","data":1}"#,
        r#"{"channel":"direct:a","key":"k","version":-1,"data":1}"#,
        r#"{"channel":"direct:a","key":"k","version":1,"b64data":"?"}"#,
    ] {
        assert_eq!(test.raw("shared_poll_publish", body).await.status, 400, "{body}");
    }
    let commands = [value("direct:a", "k", 3), value("a", "k", 3)]
        .map(|publish| json!({"shared_poll_publish": publish}));
    let replies = test.call("batch", json!({"commands": commands})).await["replies"].clone();
    assert_eq!(replies[0], json!({"shared_poll_publish": {}}));
    assert_eq!(replies[1]["error"]["code"], 107);
    test.end().await;
}
