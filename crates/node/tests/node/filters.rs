//! Filters on tags on a running node (TF-01..04, HID-33).

use std::sync::Arc;

use std::time::Duration;

use serde_json::{Value, json};
use tourbillon_node::{
    ChannelOptions, ConnectDecision, ConnectRequest, HistoryRequest, Hooks, NodeConfig, RefreshDecision,
    Refusal, SubRefreshRequest, SubscribeDecision, SubscribeRequest, SubscriptionOptions, Target,
};
use tourbillon_protocol::command::Subscribe;
use tourbillon_types::{Channel, Encoding, FilterLimits, ReplyError, TagFilter, TagMatcher, Tags, UserId};

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

fn matcher(filter: &TagFilter) -> Arc<TagMatcher> {
    Arc::new(TagMatcher::new(filter, FilterLimits::default()).expect("a filter"))
}

fn at_least(number: &str) -> TagFilter {
    TagFilter { key: "number".into(), cmp: "gte".into(), val: number.into(), ..TagFilter::default() }
}

/// As [`ByName`], and a token is a number: the server lets have those that are not smaller.
struct Floors;

impl Floors {
    fn floor(token: &str) -> Option<Arc<TagMatcher>> {
        (!token.is_empty()).then(|| matcher(&at_least(token)))
    }
}

impl Hooks for Floors {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let floor = Self::floor(&request.token);
        let mut decision = ByName.connect(request).await?;
        for (_, options) in &mut decision.subscriptions {
            options.server_tags_filter = floor.clone();
        }
        Ok(decision)
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let floor = Self::floor(&request.token);
        let mut decision = ByName.subscribe(request).await?;
        decision.options.server_tags_filter = floor;
        decision.options.expire_at = Some(i64::MAX);
        Ok(decision)
    }

    async fn sub_refresh(&self, request: SubRefreshRequest) -> Result<RefreshDecision, Refusal> {
        let mut decision = RefreshDecision::until(Some(i64::MAX));
        if request.token != "same" {
            decision.server_tags_filter = Self::floor(&request.token);
        }
        Ok(decision)
    }

    async fn history(&self, request: HistoryRequest) -> Result<(), Refusal> {
        ByName.history(request).await
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        ByName.channel_options(channel)
    }
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
    tokio::time::advance(Duration::from_secs(120)).await;
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

#[tokio::test(start_paused = true)]
async fn the_servers_filter_holds_beside_the_clients() {
    let test = start(Floors, NodeConfig::default());
    // Whether clients may have filters of their own, or positions, or deltas, does not matter to the server's.
    for channel in ["plain", "filter", STREAM, "filter_batch", "history_recover_filter_loose", "keep_delta"] {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let mut one = Follower::connect(&test, encoding, channel).await;
            one.subscribe(|subscribe| subscribe.token = "3".to_owned()).await.expect("subscribed");
            let mut other = Follower::connect(&test, encoding, channel).await;
            other.subscribe(|subscribe| subscribe.token = "5".to_owned()).await.expect("subscribed");
            let mut free = Follower::connect(&test, encoding, channel).await;
            free.subscribe(|_| {}).await.expect("subscribed");
            publish(&test, channel, 1..=5).await;
            test.publish(channel, "6").await;
            assert_eq!(numbers(&mut one).await, [3, 4, 5], "{channel}");
            assert_eq!(numbers(&mut other).await, [5], "{channel}");
            assert_eq!(numbers(&mut free).await, [1, 2, 3, 4, 5, 6], "{channel}");
        }
    }
    // Both have to match.
    let mut both = Follower::connect(&test, Encoding::Json, STREAM).await;
    let wish = |subscribe: &mut Subscribe| {
        even(subscribe);
        subscribe.token = "3".to_owned();
    };
    both.subscribe(wish).await.expect("subscribed");
    publish(&test, STREAM, 1..=6).await;
    assert_eq!(numbers(&mut both).await, [4, 6]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_server_hides_is_not_recovered_and_counts_as_received() {
    let test = start(Floors, NodeConfig::default());
    for channel in [STREAM, "history_recover_cache_filter"] {
        publish(&test, channel, 1..=5).await;
        let mut follower = Follower::connect(&test, Encoding::Json, channel).await;
        let recover = |subscribe: &mut Subscribe| {
            even(subscribe);
            (subscribe.token, subscribe.recover) = ("3".to_owned(), true);
        };
        assert!(follower.subscribe(recover).await.expect("subscribed").recovered);
        assert_eq!(
            numbers(&mut follower).await,
            [4],
            "{channel}: alone, the one would let 2, the other 5 pass"
        );
        publish(&test, channel, 1..=2).await;
        publish(&test, channel, 6..=6).await;
        assert_eq!(numbers(&mut follower).await, [6]);
        tokio::time::advance(Duration::from_secs(120)).await;
        follower.settle().await;
        assert_eq!(follower.unsubscribed, None);
    }
    test.end().await;
}

/// History knows no filter, so it is closed to those from whom the server hides something.
#[tokio::test(start_paused = true)]
async fn what_the_server_hides_is_not_read_either() {
    let test = start(Floors, NodeConfig::default());
    publish(&test, STREAM, 1..=5).await;
    let mut client = test.client().await;
    for (token, code) in [("3", Some(103)), ("", None)] {
        let subscribe = format!(r#""subscribe":{{"channel":"{STREAM}","token":"{token}"}}"#);
        assert!(client.call(&subscribe).await["error"].is_null());
        let read = client.call(&format!(r#""history":{{"channel":"{STREAM}","limit":10}}"#)).await;
        assert_eq!(read["error"]["code"].as_u64(), code, "{read}");
        client.call(&format!(r#""unsubscribe":{{"channel":"{STREAM}"}}"#)).await;
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_changes_the_servers_filter_at_once() {
    let test = start(Floors, NodeConfig::default());
    // Those with a filter and those that had none, alone and among others.
    for (channel, first) in
        [(STREAM, "3"), (STREAM, ""), ("plain", ""), ("plain", "3"), ("filter_batch", "3")]
    {
        let mut others = Vec::new();
        for _ in 0..5 {
            let mut other = Follower::connect(&test, Encoding::Json, channel).await;
            other.subscribe(|_| {}).await.expect("subscribed");
            others.push(other);
        }
        let mut follower = Follower::connect(&test, Encoding::Json, channel).await;
        follower.subscribe(|subscribe| subscribe.token = first.to_owned()).await.expect("subscribed");
        publish(&test, channel, 1..=4).await;
        let before: &[u32] = if first.is_empty() { &[1, 2, 3, 4] } else { &[3, 4] };
        assert_eq!(numbers(&mut follower).await, before, "{channel}");
        // One waits in the batch, if there is one: the filter that was is its filter.
        publish(&test, channel, 4..=4).await;
        follower.refresh("2").await.expect("refreshed");
        publish(&test, channel, 1..=4).await;
        assert_eq!(numbers(&mut follower).await, [4, 2, 3, 4], "{channel}");
        // A refresh that names none leaves it.
        follower.refresh("same").await.expect("refreshed");
        publish(&test, channel, 1..=2).await;
        assert_eq!(numbers(&mut follower).await, [2], "{channel}");
        follower.unsubscribe().await;
        follower.subscribe(|_| {}).await.expect("subscribed");
        publish(&test, channel, 1..=2).await;
        assert_eq!(numbers(&mut follower).await, [1, 2], "{channel}");
        for other in &mut others {
            assert_eq!(numbers(other).await, [1, 2, 3, 4, 4, 1, 2, 3, 4, 1, 2, 1, 2], "{channel}");
        }
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn subscriptions_that_the_server_makes_have_its_filter() {
    let test = start(Floors, NodeConfig::default());
    let mut client = test.open(1 << 20, |_| {});
    let reply = client.call(r#""connect":{"token":"3","subs":{"plain":{}}}"#).await;
    assert!(reply["connect"]["subs"]["plain"].is_object(), "{reply}");
    publish(&test, "plain", 2..=3).await;
    assert_eq!(client.publication("plain").await, 3);
    let mut options = SubscriptionOptions::default();
    options.server_tags_filter = Some(matcher(&at_least("5")));
    let target = Target::user(UserId::from("3"));
    test.node.subscribe(&target, Channel::from("later"), options).await.expect("subscribed");
    assert!(client.message().await["push"]["subscribe"].is_object());
    publish(&test, "later", 4..=5).await;
    assert_eq!(client.publication("later").await, 5);
    test.end().await;
}
