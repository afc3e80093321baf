//! What channels keep: history, presence, positions of publications (API-20, API-22, API-26..29, PUBS-01..03).

use serde_json::{Value, json};

use crate::harness::{Test, start};

const CHANNEL: &str = "kept:a";

async fn publish(test: &Test, mut more: Value) -> Value {
    more["channel"] = json!(CHANNEL);
    if more["data"].is_null() {
        more["data"] = json!(1);
    }
    let answer = test.call("publish", more).await;
    answer["result"].clone()
}

async fn history(test: &Test, mut more: Value) -> Value {
    more["channel"] = json!(CHANNEL);
    test.call("history", more).await
}

fn offsets(answer: &Value) -> Vec<u64> {
    let publications = answer["result"]["publications"].as_array().expect("publications");
    publications.iter().map(|publication| publication["offset"].as_u64().expect("an offset")).collect()
}

#[tokio::test]
async fn api_20_publishing_tells_where_the_publication_is() {
    let test = start();
    let first = publish(&test, json!({})).await;
    let epoch = first["epoch"].as_str().expect("an epoch");
    assert_eq!((first["offset"].as_u64(), epoch.len()), (Some(1), 8));
    let skipped = publish(&test, json!({"skip_history": true})).await;
    assert_eq!(skipped["offset"], json!(null), "PUBS-03");
    let broadcast = test.call("broadcast", json!({"channels": [CHANNEL, "a"], "data": 2})).await;
    let responses = &broadcast["result"]["responses"];
    assert_eq!(responses[0]["result"], json!({"offset": 2, "epoch": epoch}));
    assert_eq!(responses[1]["result"], json!({}));
    test.end().await;
}

#[tokio::test]
async fn pubs_01_02_repeated_keys_and_old_versions_have_no_effect() {
    let test = start();
    let first = publish(&test, json!({"idempotency_key": "k", "version": 5})).await;
    publish(&test, json!({"version": 6})).await;
    assert_eq!(publish(&test, json!({"idempotency_key": "k"})).await, first);
    let old = publish(&test, json!({"version": 6})).await;
    assert_eq!(old["offset"], 2, "where the stream stands");
    let other = publish(&test, json!({"version": 1, "version_epoch": "x"})).await;
    assert_eq!(other["offset"], 3);
    assert_eq!(offsets(&history(&test, json!({"limit": -1})).await), [1, 2, 3]);
    test.end().await;
}

/// PUBS-04: what asks for it goes out as a delta, to whoever negotiated that.
#[tokio::test(start_paused = true)]
async fn pubs_04_a_publication_may_ask_to_be_sent_as_a_delta() {
    let test = start();
    let mut client = test.client("ann", &[]).await;
    let subscribed = client.call(r#"{"id":2,"subscribe":{"channel":"kept:a","delta":"fossil"}}"#).await;
    assert_eq!(subscribed["subscribe"]["delta"], true, "{subscribed}");
    let mut deltas = Vec::new();
    for (number, delta) in [(1, true), (2, false), (3, true), (4, true)] {
        let data = json!({"number": number, "text": "the same in all of them, and long enough"});
        let params = json!({"channels": [CHANNEL], "data": data, "delta": delta});
        test.call("broadcast", params).await;
        let push = client.push().await;
        deltas.push(push["pub"]["delta"].as_bool().unwrap_or_default());
    }
    assert_eq!(deltas, [false, false, true, true]);
    test.end().await;
}

#[tokio::test]
async fn api_28_history_is_read_in_pages_both_ways_and_without_a_cap() {
    let test = start();
    for number in 1..=7 {
        publish(&test, json!({"data": {"n": number}, "tags": {"t": "x"}})).await;
    }
    let position = history(&test, json!({})).await;
    assert_eq!(offsets(&position), [0; 0]);
    assert_eq!(position["result"]["offset"], 7);
    let epoch = position["result"]["epoch"].clone();
    assert_eq!(offsets(&history(&test, json!({"limit": -1})).await), [3, 4, 5, 6, 7]);
    assert_eq!(offsets(&history(&test, json!({"limit": 2, "reverse": true})).await), [7, 6]);
    let since = |offset: u64| json!({"offset": offset, "epoch": epoch});
    assert_eq!(offsets(&history(&test, json!({"limit": 2, "since": since(4)})).await), [5, 6]);
    let back = json!({"limit": 9, "reverse": true, "since": since(5)});
    assert_eq!(offsets(&history(&test, back).await), [4, 3]);
    let one = history(&test, json!({"limit": 1})).await;
    assert_eq!(one["result"]["publications"], json!([{"data": {"n": 3}, "offset": 3, "tags": {"t": "x"}}]));
    let mut codes = Vec::new();
    for bad in [
        json!({"limit": 1, "reverse": true, "since": {"offset": 0}}),
        json!({"since": {"offset": 1, "epoch": "other"}}),
    ] {
        codes.push(history(&test, bad).await["error"]["code"].clone());
    }
    assert_eq!(codes, [107, 112]);
    test.end().await;
}

#[tokio::test]
async fn data_that_is_no_json_is_told_in_base64() {
    let test = start();
    publish(&test, json!({"b64data": "/wA="})).await;
    let answer = history(&test, json!({"limit": 1})).await;
    assert_eq!(answer["result"]["publications"], json!([{"b64data": "/wA=", "offset": 1}]));
    test.end().await;
}

#[tokio::test]
async fn api_29_removing_history_leaves_the_position() {
    let test = start();
    let first = publish(&test, json!({})).await;
    test.done("history_remove", json!({"channel": CHANNEL})).await;
    let answer = history(&test, json!({"limit": -1})).await;
    assert_eq!((offsets(&answer).len(), &answer["result"]["offset"]), (0, &json!(1)));
    assert_eq!(answer["result"]["epoch"], first["epoch"]);
    test.end().await;
}

#[tokio::test]
async fn api_26_27_presence_names_and_counts_who_is_there() {
    let test = start();
    let ann = test.client("ann", &[CHANNEL]).await;
    let again = test.client("ann", &[CHANNEL]).await;
    let member = |id: &str| json!({"user": "ann", "client": id});
    let expected = json!({ &ann.id: member(&ann.id), &again.id: member(&again.id) });
    let params = json!({"channel": CHANNEL});
    assert_eq!(test.call("presence", params.clone()).await, json!({"result": {"presence": expected}}));
    let stats = test.call("presence_stats", params.clone()).await;
    assert_eq!(stats, json!({"result": {"num_clients": 2, "num_users": 1}}));
    let nobody = json!({"channel": "kept:b"});
    assert_eq!(test.call("presence", nobody.clone()).await, json!({"result": {"presence": {}}}));
    assert_eq!(
        test.call("presence_stats", nobody).await,
        json!({"result": {"num_clients": 0, "num_users": 0}})
    );
    let batch = json!({"commands": [{"presence_stats": params}, {"history_remove": params}]});
    let replies = test.call("batch", batch).await;
    let expected = json!([{"presence_stats": {"num_clients": 2, "num_users": 1}}, {"history_remove": {}}]);
    assert_eq!(replies, json!({ "replies": expected }));
    test.end().await;
}

#[tokio::test]
async fn api_22_subscriptions_follow_the_channel_and_what_the_call_sets_otherwise() {
    let test = start();
    publish(&test, json!({})).await;
    let mut ann = test.client("ann", &[]).await;
    test.done("subscribe", json!({"user": "ann", "channel": CHANNEL})).await;
    assert_eq!(ann.push().await["subscribe"], json!({}));
    test.done("unsubscribe", json!({"user": "ann", "channel": CHANNEL})).await;
    ann.push().await;
    let on = json!({"value": true});
    let overrides = json!({"force_recovery": on, "presence": {"value": false}});
    test.done("subscribe", json!({"user": "ann", "channel": CHANNEL, "override": overrides})).await;
    let push = ann.push().await;
    assert_eq!((&push["subscribe"]["recoverable"], &push["subscribe"]["offset"]), (&json!(true), &json!(1)));
    let stats = test.call("presence_stats", json!({"channel": CHANNEL})).await;
    assert_eq!(stats["result"]["num_clients"], 0);
    publish(&test, json!({})).await;
    assert_eq!(ann.push().await["pub"]["offset"], 2);
    test.end().await;
}

#[tokio::test]
async fn what_is_no_question_about_history_is_refused() {
    let test = start();
    for body in [
        r#"{"channel":"kept:a","limit":"1"}"#,
        r#"{"channel":"kept:a","limit":1.5}"#,
        r#"{"channel":"kept:a","limit":99999999999}"#,
        r#"{"channel":"kept:a","since":[1]}"#,
        r#"{"channel":"kept:a","since":{"offset":-1}}"#,
        r#"{"channel":"kept:a","since":{"epoch":1}}"#,
        r#"{"channel":"kept:a","reverse":1}"#,
    ] {
        let answer = test.raw("history", body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    test.end().await;
}

#[tokio::test]
async fn api_22_rec_12_a_subscription_catches_up_from_a_position() {
    let test = start();
    let mut epoch = Value::Null;
    for number in 1..=3 {
        epoch = publish(&test, json!({"data": number})).await["epoch"].clone();
    }
    let mut ann = test.client("ann", &[]).await;
    let overrides = json!({"force_recovery": {"value": true}});
    let since = json!({"offset": 1, "epoch": epoch});
    let command = json!({"user": "ann", "channel": CHANNEL, "override": overrides, "recover_since": since});
    test.done("subscribe", command).await;
    let push = ann.push().await;
    assert_eq!((&push["subscribe"]["offset"], &push["subscribe"]["epoch"]), (&json!(1), &epoch));
    for number in 2..=3 {
        let push = ann.push().await;
        assert_eq!((&push["pub"]["data"], &push["pub"]["offset"]), (&json!(number), &json!(number)));
    }
    for bad in [json!(1), json!({"offset": -1}), json!({"epoch": 5}), json!([1])] {
        let body = json!({"user": "ann", "channel": CHANNEL, "recover_since": bad}).to_string();
        assert_eq!(test.raw("subscribe", body.clone()).await.status, 400, "{body}");
    }
    test.end().await;
}
