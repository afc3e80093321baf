//! Deltas on a running node (DELTA-01..07, HID-08, HID-09).

use serde_json::json;
use tourbillon_node::NodeConfig;
use tourbillon_protocol::command::Subscribe;
use tourbillon_types::Encoding;

use crate::follower::{Follower, Received};
use crate::harness::{TestNode, start};
use crate::scripted::ByName;

const STREAM: &str = "history_recover_delta";

/// Long enough that a delta is smaller.
fn document(number: u32) -> String {
    format!(r#"{{"number":{number},"text":"the same <words> in every one of them, ünd long enough"}}"#)
}

fn received(offset: u64, number: u32, delta: bool) -> Received {
    Received { offset, data: document(number).into_bytes(), delta }
}

fn fossil(subscribe: &mut Subscribe) {
    subscribe.delta = "fossil".to_owned();
}

fn since(offset: u64) -> impl FnOnce(&mut Subscribe) {
    move |subscribe| {
        fossil(subscribe);
        subscribe.recover = true;
        subscribe.position.offset = offset;
    }
}

async fn publish(test: &TestNode, channel: &str, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        test.publish(channel, &document(number)).await;
    }
}

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

#[tokio::test(start_paused = true)]
async fn the_first_publication_is_whole_and_the_next_are_deltas() {
    let test = start(ByName, NodeConfig::default());
    let mut plain = Follower::connect(&test, Encoding::Json, STREAM).await;
    assert!(!plain.subscribe(|_| {}).await.expect("subscribed").delta);
    let mut followers = Vec::new();
    for encoding in BOTH {
        let mut follower = Follower::connect(&test, encoding, STREAM).await;
        assert!(follower.subscribe(fossil).await.expect("subscribed").delta);
        followers.push(follower);
    }
    publish(&test, STREAM, 1..=3).await;
    for follower in &mut followers {
        let news = follower.news().await;
        assert_eq!(news, [received(1, 1, false), received(2, 2, true), received(3, 3, true)]);
    }
    let news = plain.news().await;
    assert_eq!(news, [received(1, 1, false), received(2, 2, false), received(3, 3, false)]);
    // Who comes later begins with something whole, while the others go on with deltas.
    let mut late = Follower::connect(&test, Encoding::Json, STREAM).await;
    late.subscribe(fossil).await.expect("subscribed");
    publish(&test, STREAM, 4..=5).await;
    assert_eq!(late.news().await, [received(4, 4, false), received(5, 5, true)]);
    assert_eq!(followers[0].news().await, [received(4, 4, true), received(5, 5, true)]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn deltas_are_for_those_who_want_them_where_they_are_allowed() {
    let test = start(ByName, NodeConfig::default());
    let mut client = test.client().await;
    let refused = client.call(r#""subscribe":{"channel":"history_position","delta":"fossil"}"#).await;
    assert_eq!(refused["subscribe"]["delta"], json!(null), "subscribed without deltas");
    test.publish("history_position", "[1]").await;
    assert_eq!(client.publication("history_position").await, json!([1]), "as it is");
    let granted = client.call(r#""subscribe":{"channel":"delta","delta":"fossil"}"#).await;
    assert_eq!(granted["subscribe"]["delta"], true);
    // On the wire: a string, with what HTML would understand escaped (HID-05).
    test.publish("delta", r#"{"a": "<é>\n"}"#).await;
    let push = client.message().await;
    assert_eq!(push["push"]["pub"], json!({"data": r#"{"a": "<é>\n"}"#}));
    let mut unknown = test.client().await;
    unknown.send(r#"{"id":9,"subscribe":{"channel":"delta","delta":"xdelta"}}"#);
    assert_eq!(unknown.closed().await.code, 3501);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_would_not_be_smaller_is_whole() {
    let test = start(ByName, NodeConfig::default());
    for encoding in BOTH {
        let mut follower = Follower::connect(&test, encoding, STREAM).await;
        follower.subscribe(fossil).await.expect("subscribed");
        for data in [r#""aaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#, r#""bcdefghijklmnopqrstuvwxyz0123""#, "1", "2"] {
            test.publish(STREAM, data).await;
        }
        let news = follower.news().await;
        assert_eq!(news.iter().map(|news| news.delta).collect::<Vec<_>>(), [false; 4]);
        assert_eq!(news[3].data, b"2");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn only_publications_that_say_so_are_deltas_and_all_are_bases() {
    let test = start(ByName, NodeConfig::default());
    let mut follower = Follower::connect(&test, Encoding::Json, STREAM).await;
    follower.subscribe(fossil).await.expect("subscribed");
    publish(&test, STREAM, 1..=1).await;
    test.publish_with(STREAM, document(2).into_bytes(), |options| options.delta = false).await;
    publish(&test, STREAM, 3..=3).await;
    assert_eq!(follower.news().await, [received(1, 1, false), received(2, 2, false), received(3, 3, true)]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_stream_there_are_deltas_only_where_the_latest_is_kept() {
    let test = start(ByName, NodeConfig::default());
    for (channel, deltas) in [("delta", false), ("delta_keep", true)] {
        for encoding in BOTH {
            let mut follower = Follower::connect(&test, encoding, channel).await;
            assert!(follower.subscribe(fossil).await.expect("subscribed").delta);
            publish(&test, channel, 1..=3).await;
            let news = follower.news().await;
            assert_eq!(news, [received(0, 1, false), received(0, 2, deltas), received(0, 3, deltas)]);
        }
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_a_chain_that_goes_on() {
    let test = start(ByName, NodeConfig::default());
    for encoding in BOTH {
        test.node.remove_history(&STREAM.into()).await.expect("removed");
        let mut first = Follower::connect(&test, encoding, STREAM).await;
        let top = first.subscribe(fossil).await.expect("subscribed").position.offset;
        publish(&test, STREAM, 1..=3).await;
        let mut back = Follower::connect(&test, encoding, STREAM).await;
        let result = back.subscribe(since(top)).await.expect("subscribed");
        assert!(result.recovered && result.delta);
        publish(&test, STREAM, 4..=4).await;
        let expected = [
            received(top + 1, 1, false),
            received(top + 2, 2, true),
            received(top + 3, 3, true),
            received(top + 4, 4, true),
        ];
        assert_eq!(back.news().await, expected);
        // Nothing was missed: what the client has is not known, and the next is whole.
        let mut same = Follower::connect(&test, encoding, STREAM).await;
        let result = same.subscribe(since(top + 4)).await.expect("subscribed");
        assert!(result.recovered && result.publications.is_empty());
        publish(&test, STREAM, 5..=6).await;
        assert_eq!(same.news().await, [received(top + 5, 5, false), received(top + 6, 6, true)]);
        // Too much was missed.
        let mut lost = Follower::connect(&test, encoding, STREAM).await;
        let result = lost.subscribe(since(top)).await.expect("subscribed");
        assert!(!result.recovered && result.publications.is_empty());
        publish(&test, STREAM, 7..=8).await;
        assert_eq!(lost.news().await, [received(top + 7, 7, false), received(top + 8, 8, true)]);
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_recovered_subscriber_goes_on_with_deltas_though_nobody_was_there_before() {
    let test = start(ByName, NodeConfig::default());
    publish(&test, STREAM, 1..=2).await;
    let mut back = Follower::connect(&test, Encoding::Json, STREAM).await;
    assert!(back.subscribe(since(0)).await.expect("subscribed").recovered);
    publish(&test, STREAM, 3..=3).await;
    assert_eq!(back.news().await, [received(1, 1, false), received(2, 2, true), received(3, 3, true)]);
    // It stays, and comes again.
    back.unsubscribe().await;
    publish(&test, STREAM, 4..=4).await;
    assert!(back.subscribe(since(3)).await.expect("subscribed").recovered);
    publish(&test, STREAM, 5..=5).await;
    assert_eq!(back.news().await, [received(4, 4, false), received(5, 5, true)]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn caches_begin_a_chain() {
    let channel = "history_recover_cache_auto_delta";
    let test = start(ByName, NodeConfig::default());
    publish(&test, channel, 1..=2).await;
    for encoding in BOTH {
        let mut follower = Follower::connect(&test, encoding, channel).await;
        let result = follower.subscribe(fossil).await.expect("subscribed");
        assert!(result.recovered && result.publications.len() == 1);
        follower.received.clear();
        publish(&test, channel, 3..=3).await;
        let news = follower.news().await;
        assert_eq!((news.len(), news[0].delta, &news[0].data), (1, true, &document(3).into_bytes()));
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn server_side_subscriptions_have_deltas_when_the_client_asks_as_it_connects() {
    let test = start(ByName, NodeConfig::default());
    publish(&test, STREAM, 1..=2).await;
    let mut client = test.open(1 << 20, |_| {});
    let subs = format!(r#"{{"{STREAM}":{{"recover":true,"delta":"fossil"}},"delta":{{"delta":"other"}}}}"#);
    let reply = client.call(&format!(r#""connect":{{"subs":{subs}}}"#)).await;
    let sub = &reply["connect"]["subs"][STREAM];
    assert_eq!((&sub["delta"], &sub["recovered"]), (&json!(true), &json!(true)), "{reply}");
    assert_eq!(reply["connect"]["subs"]["delta"], json!({}), "a kind that is not known is not granted");
    let publications = sub["publications"].as_array().expect("publications");
    assert_eq!(publications[0]["data"], document(1));
    assert_eq!((&publications[1]["delta"], publications[1]["data"].is_string()), (&json!(true), true));
    test.publish(STREAM, &document(3)).await;
    let push = client.message().await;
    assert_eq!(push["push"]["pub"]["delta"], true, "{push}");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_is_no_json_ends_json_connections_only() {
    let test = start(ByName, NodeConfig::default());
    for channel in [STREAM, "delta_keep"] {
        let mut json = Follower::connect(&test, Encoding::Json, channel).await;
        json.subscribe(fossil).await.expect("subscribed");
        let mut protobuf = Follower::connect(&test, Encoding::Protobuf, channel).await;
        protobuf.subscribe(fossil).await.expect("subscribed");
        let binary = vec![0xff_u8; 100];
        test.publish_with(channel, binary.clone(), |_| {}).await;
        assert_eq!(protobuf.news().await[0].data, binary);
        assert_eq!(json.closed().await.code, 3506);
    }
    // The same for what is in the reply.
    let mut back = test.client().await;
    back.send(&format!(r#"{{"id":5,"subscribe":{{"channel":"{STREAM}","delta":"fossil","recover":true}}}}"#));
    assert_eq!(back.closed().await.code, 3506);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn large_publications_are_deltas_where_little_changes() {
    let mut config = NodeConfig::default();
    config.queue_max_size = 1 << 24;
    let test = start(ByName, config);
    let mut follower = Follower::connect(&test, Encoding::Protobuf, "delta_keep").await;
    follower.subscribe(fossil).await.expect("subscribed");
    let noise = |mut state: u32| -> Vec<u8> {
        let next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as u8
        };
        std::iter::repeat_with(next).take(1 << 20).collect()
    };
    let mut changed = noise(1);
    changed[1 << 19] ^= 1;
    for data in [noise(1), changed.clone(), noise(7)] {
        test.publish_with("delta_keep", data, |_| {}).await;
    }
    let news = follower.news().await;
    let deltas: Vec<_> = news.iter().map(|news| news.delta).collect();
    assert_eq!(deltas, [false, true, false], "what has nothing in common is not smaller");
    assert!(news[1].data == changed && news[2].data == noise(7));
    test.end().await;
}

/// What is collected, or may be missed, is not followed: it comes whole.
#[tokio::test(start_paused = true)]
async fn where_publications_are_collected_or_may_be_missed_all_are_whole() {
    let test = start(ByName, NodeConfig::default());
    for channel in
        ["history_recover_delta_batch", "history_recover_delta_loose", "delta_keep_batch_compact_filter"]
    {
        for encoding in BOTH {
            let mut follower = Follower::connect(&test, encoding, channel).await;
            let subscribed = follower.subscribe(|subscribe| {
                fossil(subscribe);
                subscribe.flag = 1;
            });
            assert!(subscribed.await.expect("subscribed").delta);
            publish(&test, channel, 1..=2).await;
            let mut late = Follower::connect(&test, encoding, channel).await;
            late.subscribe(fossil).await.expect("subscribed");
            publish(&test, channel, 3..=4).await;
            let news = follower.news().await;
            let (deltas, data): (Vec<_>, Vec<_>) =
                news.into_iter().map(|news| (news.delta, news.data)).unzip();
            assert_eq!(deltas, [false; 4]);
            assert_eq!(data, [1, 2, 3, 4].map(|number| document(number).into_bytes()));
            assert_eq!(late.news().await.len(), 2);
        }
    }
    test.end().await;
}
