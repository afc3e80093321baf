//! Filters on tags on a running node (TF-01..03, HID-33).

use std::sync::Arc;

use serde_json::{Value, json};
use tourbillon_node::NodeConfig;
use tourbillon_protocol::command::Subscribe;
use tourbillon_types::{Encoding, TagFilter, Tags};

use crate::follower::Follower;
use crate::harness::{TestNode, start};
use crate::scripted::ByName;

const STREAM: &str = "history_recover_filter";

/// Publishes numbers, tagged by whether they are even.
async fn publish(test: &TestNode, channel: &str, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        let parity = if number % 2 == 0 { "even" } else { "odd" };
        let tags =
            Tags::from([("parity".to_owned(), parity.to_owned()), ("number".to_owned(), number.to_string())]);
        let data = number.to_string().into_bytes();
        test.publish_with(channel, data, |options| options.tags = Some(Arc::new(tags))).await;
    }
}

fn parity(value: &str) -> Box<TagFilter> {
    let (key, cmp, val) = ("parity".to_owned(), "eq".to_owned(), value.to_owned());
    Box::new(TagFilter { key, cmp, val, ..TagFilter::default() })
}

fn even(subscribe: &mut Subscribe) {
    subscribe.filter = Some(parity("even"));
}

async fn numbers(follower: &mut Follower) -> Vec<u32> {
    let number = |data: Vec<u8>| String::from_utf8(data).ok()?.parse().ok();
    follower.news().await.into_iter().map(|news| number(news.data).expect("a number")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_filter_shows_what_matches() {
    let test = start(ByName, NodeConfig::default());
    let channels = [
        ("filter", Encoding::Json),
        (STREAM, Encoding::Protobuf),
        ("filter_batch", Encoding::Json),
        ("history_recover_filter_batch", Encoding::Json),
        ("history_recover_filter_loose", Encoding::Json),
    ];
    for (channel, encoding) in channels {
        let mut all = Follower::connect(&test, encoding, channel).await;
        all.subscribe(|_| {}).await.expect("subscribed");
        let mut one = Follower::connect(&test, encoding, channel).await;
        one.subscribe(even).await.expect("subscribed");
        let mut large = Follower::connect(&test, encoding, channel).await;
        let at_least =
            TagFilter { key: "number".into(), cmp: "gte".into(), val: "3.5".into(), ..TagFilter::default() };
        let both = vec![*parity("odd"), at_least];
        let filter = TagFilter { op: "and".into(), nodes: both, ..TagFilter::default() };
        large.subscribe(|subscribe| subscribe.filter = Some(Box::new(filter))).await.expect("subscribed");
        publish(&test, channel, 1..=5).await;
        test.publish(channel, "6").await;
        assert_eq!(numbers(&mut all).await, [1, 2, 3, 4, 5, 6]);
        assert_eq!(numbers(&mut one).await, [2, 4], "without tags it does not match");
        assert_eq!(numbers(&mut large).await, [5]);
        // Gone, the filter goes, too.
        one.unsubscribe().await;
        one.subscribe(|_| {}).await.expect("subscribed");
        publish(&test, channel, 7..=8).await;
        assert_eq!(numbers(&mut one).await, [7, 8]);
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn hidden_publications_move_the_position() {
    let test = start(ByName, NodeConfig::default());
    let mut follower = Follower::connect(&test, Encoding::Json, STREAM).await;
    follower.subscribe(even).await.expect("subscribed");
    publish(&test, STREAM, 1..=4).await;
    assert_eq!(numbers(&mut follower).await, [2, 4]);
    // Its position is behind what it would take for a gap if the hidden ones did not count.
    publish(&test, STREAM, 5..=9).await;
    test.publish(STREAM, "10").await;
    assert_eq!(numbers(&mut follower).await, [6, 8]);
    assert_eq!(follower.unsubscribed, None);
    // The periodic check agrees.
    tokio::time::advance(std::time::Duration::from_secs(120)).await;
    follower.settle().await;
    assert_eq!(follower.unsubscribed, None);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_recovered_is_filtered_and_counts_as_received() {
    let test = start(ByName, NodeConfig::default());
    publish(&test, STREAM, 1..=5).await;
    let mut follower = Follower::connect(&test, Encoding::Json, STREAM).await;
    let result = follower.subscribe(|subscribe| {
        even(subscribe);
        subscribe.recover = true;
    });
    let result = result.await.expect("subscribed");
    assert!(result.recovered);
    assert_eq!(numbers(&mut follower).await, [2, 4]);
    publish(&test, STREAM, 6..=6).await;
    assert_eq!(numbers(&mut follower).await, [6], "5 was hidden, and is not missing");
    // A cache gives the newest that matches (HID-30).
    let channel = "history_recover_cache_filter";
    publish(&test, channel, 1..=5).await;
    let mut follower = Follower::connect(&test, Encoding::Json, channel).await;
    let result = follower.subscribe(|subscribe| {
        even(subscribe);
        subscribe.recover = true;
    });
    assert!(result.await.expect("subscribed").recovered);
    assert_eq!(numbers(&mut follower).await, [4]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn filters_that_are_wrong_or_not_allowed_are_bad_requests() {
    let test = start(ByName, NodeConfig::default());
    let mut client = test.client().await;
    let fine = json!({"key": "a", "cmp": "eq", "val": "1"});
    let mut deep = fine.clone();
    for _ in 0..40 {
        deep = json!({"op": "not", "nodes": [deep]});
    }
    let wide = json!({"op": "or", "nodes": vec![fine.clone(); 1001]});
    let mut refused = async |channel: &str, filter: &Value| {
        let reply = client.call(&format!(r#""subscribe":{{"channel":"{channel}","tf":{filter}}}"#)).await;
        reply["error"]["code"].as_u64()
    };
    assert_eq!(refused("history_recover", &fine).await, Some(107), "not allowed");
    for filter in [
        json!({"cmp": "eq", "val": "1"}),
        json!({"key": "a", "cmp": "eq"}),
        json!({"key": "a", "cmp": "like", "val": "1"}),
        json!({"key": "a", "cmp": "in", "val": "1"}),
        json!({"op": "xor", "nodes": [fine.clone()]}),
        json!({"op": "and"}),
        json!({"op": "not", "nodes": [fine.clone(), fine.clone()]}),
        deep,
        wide,
    ] {
        assert_eq!(refused("filter", &filter).await, Some(107), "{filter}");
    }
    assert_eq!(refused("filter", &fine).await, None);
    assert_eq!(test.node.stats().subscriptions, 1);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_filter_hides_from_deltas_too_and_breaks_the_chain() {
    let channel = "history_recover_filter_delta";
    let test = start(ByName, NodeConfig::default());
    let document =
        |number: u32| format!(r#"{{"number":{number},"text":"the same words in every one of them"}}"#);
    let mut follower = Follower::connect(&test, Encoding::Json, channel).await;
    let both = |subscribe: &mut Subscribe| {
        even(subscribe);
        subscribe.delta = "fossil".to_owned();
    };
    assert!(follower.subscribe(both).await.expect("subscribed").delta);
    let publish = async |number: u32, parity: &str| {
        let tags = Arc::new(Tags::from([("parity".to_owned(), parity.to_owned())]));
        let data = document(number).into_bytes();
        test.publish_with(channel, data, |options| options.tags = Some(tags)).await;
    };
    for (number, parity) in [(1, "even"), (2, "even"), (3, "odd"), (4, "even"), (5, "even")] {
        publish(number, parity).await;
    }
    let news = follower.news().await;
    let deltas: Vec<_> = news.iter().map(|news| (news.offset, news.delta)).collect();
    assert_eq!(deltas, [(1, false), (2, true), (4, false), (5, true)]);
    assert!(
        news.iter()
            .all(|news| news.data == document(u32::try_from(news.offset).expect("small")).into_bytes())
    );
    // The last one shown is not the latest: what follows it is whole.
    publish(6, "odd").await;
    let mut back = Follower::connect(&test, Encoding::Json, channel).await;
    let result = back.subscribe(|subscribe| {
        both(subscribe);
        subscribe.recover = true;
        subscribe.position.offset = 3;
    });
    assert!(result.await.expect("subscribed").recovered);
    publish(7, "even").await;
    publish(8, "even").await;
    let deltas: Vec<_> = back.news().await.iter().map(|news| (news.offset, news.delta)).collect();
    assert_eq!(deltas, [(4, false), (5, true), (7, false), (8, true)]);
    test.end().await;
}
