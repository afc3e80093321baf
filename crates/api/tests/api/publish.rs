//! Publish and broadcast.

use serde_json::{Value, json};

use crate::harness::start;

#[tokio::test(start_paused = true)]
async fn data_arrives_as_it_was_given() {
    let test = start();
    let mut client = test.client("ann", &["a"]).await;
    for data in [
        "1",
        "-0.0",
        "1.00",
        "1e5",
        "null",
        "false",
        "\"\"",
        r#""\u00e9\/é""#,
        "[]",
        "{}",
        r#"{"b":1,"a":{"b":[]}}"#,
        r#"{"a":1,"a":2}"#,
        "123456789012345678901234567890",
    ] {
        test.done_raw("publish", &format!(r#"{{"channel":"a","data":{data}}}"#)).await;
        assert_eq!(client.text().await, format!(r#"{{"push":{{"channel":"a","pub":{{"data":{data}}}}}}}"#));
    }
    test.end().await;
}

/// HID-12: what is in base64 wins.
#[tokio::test(start_paused = true)]
async fn base64_wins_over_data() {
    let test = start();
    let mut client = test.client("ann", &["a"]).await;
    test.done("publish", json!({"channel": "a", "data": 1, "b64data": "eyJhIjoxfQ=="})).await;
    assert_eq!(client.push().await["pub"]["data"], json!({"a": 1}));
    test.done("publish", json!({"channel": "a", "data": 1, "b64data": ""})).await;
    assert_eq!(client.push().await["pub"]["data"], 1);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn tags_travel_along_and_nobody_is_named() {
    let test = start();
    let mut client = test.client("ann", &["a"]).await;
    test.done("publish", json!({"channel": "a", "data": 1, "tags": {"kind": "x", "n": ""}})).await;
    let push = client.push().await;
    assert_eq!(push, json!({"channel": "a", "pub": {"data": 1, "tags": {"kind": "x", "n": ""}}}));
    test.end().await;
}

/// PUBS-01, HID-77: the second call gets the answer of the first, and nothing is delivered.
#[tokio::test(start_paused = true)]
async fn an_idempotency_key_publishes_once_a_channel() {
    let test = start();
    let mut client = test.client("ann", &["a", "b"]).await;
    let publish = |data: u32| json!({"channel": "a", "data": data, "idempotency_key": "k"});
    let first = test.call("publish", publish(1)).await;
    assert_eq!(test.call("publish", publish(2)).await, first);
    let broadcast = json!({"channels": ["a", "b"], "data": 3, "idempotency_key": "k"});
    test.call("broadcast", broadcast).await;
    test.done("publish", json!({"channel": "a", "data": 4, "idempotency_key": "other"})).await;
    let seen = [client.push().await, client.push().await, client.push().await];
    let seen = seen.map(|push| (push["channel"].clone(), push["pub"]["data"].clone()));
    assert_eq!(seen, [(json!("a"), json!(1)), (json!("b"), json!(3)), (json!("a"), json!(4))]);
    client.silence().await;
    test.end().await;
}

#[tokio::test]
async fn the_format_of_the_channel_is_kept() {
    let test = start();
    // By base64: nothing, no JSON, a number, an object.
    let payloads =
        [("", "nothing"), ("/w==", "no JSON"), ("MQ==", "a number"), ("eyJhIjoxfQ==", "an object")];
    for (channel, taken) in [
        ("a", [false, true, true, true]),
        ("json:a", [false, false, true, true]),
        ("object:a", [false, false, false, true]),
        ("binary:a", [true, true, true, true]),
    ] {
        for ((base64, what), taken) in payloads.into_iter().zip(taken) {
            let code = if taken { Value::Null } else { json!(107) };
            let params = json!({"channel": channel, "b64data": base64});
            assert_eq!(test.error("publish", params).await, code, "{what} in {channel}");
        }
    }
}

#[tokio::test]
async fn a_channel_is_needed_and_must_exist() {
    let test = start();
    for method in ["publish", "subscribe"] {
        assert_eq!(test.error(method, json!({"data": 1})).await, 107, "{method}");
        assert_eq!(test.error(method, json!({"channel": "", "data": 1})).await, 107, "{method}");
        assert_eq!(test.error(method, json!({"channel": "nowhere:a", "data": 1})).await, 102, "{method}");
    }
}

/// API-21, HID-76.
#[tokio::test(start_paused = true)]
async fn a_broadcast_answers_for_each_channel_in_order() {
    let test = start();
    let mut client = test.client("ann", &["a", "json:b"]).await;
    let channels = ["a", "", "nowhere:x", "object:x", "json:b", "a"];
    let answer = test.call("broadcast", json!({"channels": channels, "data": 1})).await;
    let bad = |message: &str| json!({"error": {"code": 107, "message": message}});
    assert_eq!(
        answer,
        json!({"result": {"responses": [
            {"result": {}},
            bad("channel is required"),
            {"error": {"code": 102, "message": "unknown channel"}},
            bad("data does not have the format of the channel"),
            {"result": {}},
            {"result": {}},
        ]}})
    );
    let seen = [client.push().await, client.push().await, client.push().await];
    assert_eq!(seen.map(|push| push["channel"].clone()), ["a", "json:b", "a"]);
    client.silence().await;
    test.end().await;
}

#[tokio::test]
async fn a_broadcast_needs_channels() {
    let test = start();
    for params in
        [json!({"data": 1}), json!({"channels": [], "data": 1}), json!({"channels": null, "data": 1})]
    {
        assert_eq!(test.error("broadcast", params).await, 107);
    }
}

/// LIM-12: more channels than are worked on at once.
#[tokio::test]
async fn a_broadcast_to_many_channels_answers_for_all() {
    let test = start();
    let channels: Vec<String> =
        (0..5000).map(|at| if at % 7 == 0 { format!("nowhere:{at}") } else { format!("c{at}") }).collect();
    let answer = test.call("broadcast", json!({"channels": channels, "data": 1})).await;
    let responses = answer["result"]["responses"].as_array().expect("responses");
    assert_eq!(responses.len(), 5000);
    for (at, response) in responses.iter().enumerate() {
        assert_eq!(response["error"]["code"] == 102, at % 7 == 0, "{at}: {response}");
    }
}
