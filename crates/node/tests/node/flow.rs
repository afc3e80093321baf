//! Publications that are collected before they are delivered, and those that slow connections may miss (PRO-64).

use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tourbillon_node::{
    AllowAll, Batching, ChannelOptions, ConnectDecision, ConnectRequest, HistoryPolicy, Hooks, NodeConfig,
    OverflowPolicy, PublishDecision, PublishRequest, Refusal, SubscribeDecision, SubscribeRequest,
};
use tourbillon_transport::memory::Sent;
use tourbillon_types::{Channel, Disconnect, Payload, ReplyError};

use crate::harness::{Client, TestNode, start};

/// Every channel has the same rules, and a stream; where its name says so, subscriptions recover.
#[derive(Clone, Copy, Debug, Default)]
struct Rules {
    batching: Option<Batching>,
    overflow: OverflowPolicy,
}

impl Hooks for Rules {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        Hooks::connect(&AllowAll, request).await
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options = self.channel_options(&request.channel)?.subscription();
        Ok(decision)
    }

    async fn publish(&self, _: PublishRequest) -> Result<PublishDecision, Refusal> {
        Ok(PublishDecision::default())
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        let mut options = ChannelOptions::default();
        let hour = Duration::from_secs(3_600);
        options.history = Some(HistoryPolicy { size: 1_000, ttl: hour, meta_ttl: hour });
        options.force_recovery = channel.starts_with("recover");
        options.join_leave = channel.ends_with("told");
        options.force_push_join_leave = channel.ends_with("told");
        // One channel is as most are.
        if channel != "plain" {
            options.batching = self.batching;
            options.overflow = self.overflow;
        }
        Ok(options)
    }
}

fn batched(max_size: usize, max_delay: Option<Duration>, flush_latest: bool) -> Rules {
    let batching = Some(Batching { max_size: NonZeroUsize::new(max_size), max_delay, flush_latest });
    Rules { batching, ..Rules::default() }
}

fn missing(overflow: OverflowPolicy) -> Rules {
    Rules { overflow, ..Rules::default() }
}

const DELAY: Duration = Duration::from_millis(30);

async fn subscribe(client: &mut Client, channel: &str, rest: &str) -> Value {
    client.call(&format!(r#""subscribe":{{"channel":"{channel}"{rest}}}"#)).await["subscribe"].clone()
}

async fn offset(client: &mut Client) -> u64 {
    let push = client.message().await;
    push["push"]["pub"]["offset"].as_u64().unwrap_or_else(|| panic!("no offset: {push}"))
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_delivered_when_it_is_complete() {
    let test = start(batched(3, None, false), NodeConfig::default());
    let mut clients = Vec::new();
    // With five, a batch is a run.
    for _ in 0..5 {
        let mut client = test.client().await;
        client.subscribe("a").await;
        clients.push(client);
        for number in 1..3 {
            test.publish("a", &number.to_string()).await;
        }
        for client in &mut clients {
            client.silence().await;
        }
        test.publish("a", "3").await;
        for client in &mut clients {
            for number in 1..=3 {
                assert_eq!(client.publication("a").await, number);
            }
            client.silence().await;
        }
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_delivered_when_its_time_is_over() {
    let test = start(batched(100, Some(DELAY), false), NodeConfig::default());
    let mut client = test.client().await;
    client.subscribe("a").await;
    for round in 0..3 {
        let before = tokio::time::Instant::now();
        test.publish("a", "1").await;
        tokio::time::sleep(DELAY / 2).await;
        test.publish("a", "2").await;
        client.silence().await;
        assert_eq!((client.publication("a").await, client.publication("a").await), (json!(1), json!(2)));
        let waited = before.elapsed();
        assert!(waited >= DELAY && waited < DELAY + Duration::from_millis(5), "round {round}: {waited:?}");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_begins_after_a_complete_one_has_its_own_time() {
    let test = start(batched(2, Some(DELAY), false), NodeConfig::default());
    let mut client = test.client().await;
    client.subscribe("a").await;
    test.publish("a", "1").await;
    tokio::time::sleep(DELAY / 2).await;
    test.publish("a", "2").await;
    assert_eq!((client.publication("a").await, client.publication("a").await), (json!(1), json!(2)));
    let before = tokio::time::Instant::now();
    test.publish("a", "3").await;
    assert_eq!(client.publication("a").await, 3);
    assert!(before.elapsed() >= DELAY, "{:?}", before.elapsed());
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_of_a_batch_is_delivered_and_positions_move_over_the_rest() {
    let test = start(batched(0, Some(DELAY), true), NodeConfig::default());
    let (mut plain, mut recovers) = (test.client().await, test.client().await);
    plain.subscribe("recovers_not").await;
    let epoch = subscribe(&mut recovers, "recover", "").await["epoch"].as_str().expect("an epoch").to_owned();
    for round in 1..=3 {
        for number in 1..=4 {
            test.publish("recovers_not", &(10 * round + number).to_string()).await;
            test.publish("recover", &(10 * round + number).to_string()).await;
        }
        assert_eq!(plain.publication("recovers_not").await, 10 * round + 4);
        assert_eq!(offset(&mut recovers).await, 4 * round);
        plain.silence().await;
        recovers.silence().await;
    }
    // Before its time is over, what is held is in the history of who comes back.
    test.publish("recover", "41").await;
    test.publish("recover", "42").await;
    drop(recovers);
    let mut again = test.client().await;
    let since = format!(r#","recover":true,"offset":12,"epoch":"{epoch}""#);
    let result = subscribe(&mut again, "recover", &since).await;
    assert_eq!(result["recovered"], true, "{result}");
    let publications = result["publications"].as_array().expect("some").len();
    assert_eq!(publications, 2);
    // It has those already, and goes on behind them.
    tokio::time::sleep(2 * DELAY).await;
    again.silence().await;
    test.publish("recover", "43").await;
    assert_eq!(offset(&mut again).await, 15);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_gets_nothing_older_and_who_goes_gets_what_was_his() {
    for recover in ["", "recover_"] {
        let channel = format!("{recover}a");
        let test = start(batched(100, None, false), NodeConfig::default());
        let mut first = test.client().await;
        first.subscribe(&channel).await;
        test.publish(&channel, "1").await;
        test.publish(&channel, "2").await;
        first.silence().await;
        let mut second = test.client().await;
        second.subscribe(&channel).await;
        assert_eq!(first.publication(&channel).await, 1);
        assert_eq!(first.publication(&channel).await, 2);
        test.publish(&channel, "3").await;
        first.silence().await;
        second.silence().await;
        first.send(&format!(r#"{{"id":9,"unsubscribe":{{"channel":"{channel}"}}}}"#));
        assert_eq!(first.publication(&channel).await, 3);
        assert_eq!(first.message().await["id"], 9);
        assert_eq!(second.publication(&channel).await, 3);
        // Nothing that is held is lost with a connection that the server ends.
        test.publish(&channel, "4").await;
        test.node.shutdown().await;
        assert_eq!(second.publication(&channel).await, 4);
        assert_eq!(second.closed().await, Disconnect::SHUTDOWN);
    }
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_do_not_overtake_what_is_held() {
    let test = start(batched(100, None, false), NodeConfig::default());
    let mut first = test.client().await;
    subscribe(&mut first, "told", "").await;
    let joined = first.message().await;
    assert!(joined["push"]["join"].is_object(), "{joined}");
    let mut second = test.client().await;
    second.send(r#"{"id":5,"subscribe":{"channel":"told"}}"#);
    while second.message().await["id"] != 5 {}
    assert!(first.message().await["push"]["join"].is_object());
    test.publish("told", "1").await;
    drop(second);
    assert_eq!(first.publication("told").await, 1);
    assert!(first.message().await["push"]["leave"].is_object());
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_batch_has_not_lost_its_position() {
    let test = start(batched(100, None, false), NodeConfig::default());
    let mut client = test.client().await;
    subscribe(&mut client, "recover", "").await;
    for number in 1..=3_u64 {
        test.publish("recover", "{}").await;
        // Longer than it takes to check positions, which delivers what is held.
        assert_eq!(offset(&mut client).await, number);
    }
    assert_eq!(test.node.stats().subscriptions, 1);
    test.end().await;
}

/// Fills a connection that does not read, and gives what it finds when it reads again.
async fn flood(test: &TestNode, slow: &mut Client, channel: &str, count: u64) -> Vec<Value> {
    let mut quick = test.client().await;
    quick.subscribe("plain").await;
    for number in 1..=count {
        test.publish(channel, &format!(r#"{{"n":{number},"text":"{}"}}"#, "x".repeat(400))).await;
        if number % 5 == 0 {
            tokio::task::yield_now().await;
            test.publish("plain", &number.to_string()).await;
            assert_eq!(quick.publication("plain").await, number, "others are not delayed");
        }
    }
    let mut found = Vec::new();
    loop {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        match slow.peer.try_recv() {
            Some(Sent::Message(message)) => found.push(serde_json::from_slice(&message).expect("JSON")),
            Some(Sent::Ping) => {}
            Some(Sent::Closed(why)) => {
                found.push(json!({"closed": why.code}));
                return found;
            }
            None => return found,
        }
    }
}

fn numbers(found: &[Value]) -> Vec<u64> {
    found.iter().filter_map(|message| message["push"]["pub"]["data"]["n"].as_u64()).collect()
}

async fn slow_client(test: &TestNode, channel: &str) -> Client {
    let mut slow = test.open(2_000, |_| {});
    slow.call(r#""connect":{}"#).await;
    subscribe(&mut slow, channel, "").await;
    slow
}

fn small_queue() -> NodeConfig {
    let mut config = NodeConfig::default();
    config.queue_max_size = 10_000;
    config
}

#[tokio::test(start_paused = true)]
async fn the_oldest_make_room_for_the_newest() {
    let test = start(missing(OverflowPolicy::DropOldest), small_queue());
    let mut slow = slow_client(&test, "a").await;
    let found = numbers(&flood(&test, &mut slow, "a", 200).await);
    // What was written before the queue was full, and the end.
    let gap = found.windows(2).position(|pair| pair[1] != pair[0] + 1).expect("something is missing");
    assert!(found[..=gap].iter().copied().eq(1..=found[gap]), "{found:?}");
    assert!(found[gap + 1..].iter().copied().eq(found[gap + 1]..=200), "{found:?}");
    // 10,000 bytes of queue, in messages of a bit more than 400.
    assert!((15..=24).contains(&(found.len() - gap - 1)), "{found:?}");
    test.publish("a", r#"{"n":201}"#).await;
    assert_eq!(slow.publication("a").await["n"], 201);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_newest_takes_the_place_of_the_one_that_waits() {
    let test = start(missing(OverflowPolicy::KeepLatest), small_queue());
    let mut slow = slow_client(&test, "a").await;
    let found = numbers(&flood(&test, &mut slow, "a", 200).await);
    assert_eq!(found.last(), Some(&200));
    assert!(found.len() <= 6, "one waits beside what is written: {found:?}");
    assert!(found.is_sorted(), "{found:?}");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_a_slow_connection_ends() {
    let test = start(missing(OverflowPolicy::Disconnect), small_queue());
    let mut slow = slow_client(&test, "a").await;
    let found = flood(&test, &mut slow, "a", 200).await;
    assert_eq!(found.last(), Some(&json!({"closed": 3008})));
    let found = numbers(&found);
    assert!(found.iter().copied().eq(1..=found.len() as u64), "{found:?}");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_a_position_is_told_and_recovers() {
    for policy in [OverflowPolicy::DropOldest, OverflowPolicy::KeepLatest] {
        let test = start(missing(policy), small_queue());
        let mut slow = slow_client(&test, "recover").await;
        let found = flood(&test, &mut slow, "recover", 26).await;
        let told = json!({"push": {
            "channel": "recover", "unsubscribe": {"code": 2500, "reason": "insufficient state"},
        }});
        assert_eq!(found.last(), Some(&told), "{policy:?}");
        let got = numbers(&found);
        // What it has to recover fits its queue again.
        assert!(got.len() < 20 && got.iter().copied().eq(1..=got.len() as u64), "no gap before: {got:?}");
        let mut again = test.client().await;
        let since = format!(r#","recover":true,"offset":{}"#, got.len());
        let result = subscribe(&mut again, "recover", &since).await;
        let recovered = result["publications"].as_array().expect("publications").len();
        assert_eq!(got.len() + recovered, 26, "{policy:?}");
        test.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_missed_makes_room_for_what_may_not() {
    let test = start(missing(OverflowPolicy::DropOldest), small_queue());
    let mut slow = slow_client(&test, "a").await;
    slow.subscribe("plain").await;
    let text = "x".repeat(900);
    for number in 1..=30 {
        test.publish("a", &format!(r#"{{"n":{number},"text":"{text}"}}"#)).await;
    }
    for number in 101..=108 {
        test.publish("plain", &format!(r#"{{"n":{number},"text":"{text}"}}"#)).await;
    }
    // There is nothing left to be dropped but this.
    for number in 31..=40 {
        test.publish("a", &format!(r#"{{"n":{number},"text":"{}"}}"#, "x".repeat(3_000))).await;
    }
    assert_eq!(test.node.stats().clients, 1, "it goes on");
    let mut found = Vec::new();
    while found.last() != Some(&json!(108)) {
        found.push(slow.message().await["push"]["pub"]["data"]["n"].clone());
    }
    let plain: Vec<&Value> = found.iter().filter(|number| number.as_u64() > Some(100)).collect();
    assert_eq!(plain.len(), 8, "{found:?}");
    assert!(
        !found.iter().any(|number| (31..=40).contains(&number.as_u64().unwrap_or_default())),
        "{found:?}"
    );
    slow.silence().await;
    test.end().await;
}

/// What happens to one channel.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Publishes so many bytes.
    Publish(usize),
    /// Lets what can be written be written.
    Turn,
    /// The slow client reads so many messages.
    Read(usize),
    /// So many milliseconds pass.
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (1..600_usize).prop_map(Act::Publish),
        2 => Just(Act::Turn),
        2 => (1..8_usize).prop_map(Act::Read),
        1 => (1..60_u64).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 1..120)
}

fn rules() -> impl Strategy<Value = Rules> {
    let batching = (1..=8_usize, prop::option::of(1..50_u64), any::<bool>());
    let batching = batching.prop_map(|(max_size, delay, flush_latest)| Batching {
        max_size: NonZeroUsize::new(max_size),
        max_delay: delay.map(Duration::from_millis),
        flush_latest,
    });
    let overflow = prop_oneof![
        Just(OverflowPolicy::Disconnect),
        Just(OverflowPolicy::DropOldest),
        Just(OverflowPolicy::KeepLatest),
    ];
    (prop::option::of(batching), overflow).prop_map(|(batching, overflow)| Rules { batching, overflow })
}

async fn take(client: &mut Client, found: &mut Vec<Value>) -> bool {
    for _ in 0..30 {
        tokio::task::yield_now().await;
    }
    match client.peer.try_recv() {
        Some(Sent::Message(message)) if &message[..] == b"{}" => client.send("{}"),
        Some(Sent::Message(message)) => found.push(serde_json::from_slice(&message).expect("JSON")),
        Some(Sent::Ping) => {}
        Some(Sent::Closed(why)) => found.push(json!({"closed": why.code})),
        None => return false,
    }
    true
}

/// Whatever is published and however it is read: order holds, nothing comes twice, and nothing is missing but what
/// the rules say.
async fn holds(rules: Rules, channel: &str, acts: &[Act]) {
    let mut config = NodeConfig::default();
    // A batch fits, and not much more.
    config.queue_max_size = 6_000;
    config.write_timeout = Duration::from_secs(3_600);
    let test = start(rules, config);
    let mut slow = test.open(700, |_| {});
    slow.call(r#""connect":{}"#).await;
    subscribe(&mut slow, channel, "").await;
    let mut quick = test.client().await;
    quick.subscribe(channel).await;
    let (mut found, mut all) = (Vec::new(), Vec::new());
    let mut published = 0;
    for act in acts {
        match act {
            Act::Publish(bytes) => {
                published += 1;
                let data = format!(r#"{{"n":{published},"text":"{}"}}"#, "x".repeat(*bytes));
                let mut options = tourbillon_node::PublishOptions::default();
                options.history = test.node.channel_options(channel).expect("rules").history;
                let data = Payload::from(data.into_bytes());
                test.node.publish(Channel::from(channel), data, options).await.expect("published");
            }
            Act::Turn => {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
            Act::Read(count) => {
                for _ in 0..*count {
                    take(&mut slow, &mut found).await;
                }
            }
            Act::Pass(millis) => tokio::time::advance(Duration::from_millis(*millis)).await,
        }
        while take(&mut quick, &mut all).await {}
    }
    // Whoever leaves ends the batch; so does time.
    let mut third = test.client().await;
    third.subscribe(channel).await;
    while take(&mut slow, &mut found).await {}
    while take(&mut quick, &mut all).await {}
    let latest = rules.batching.is_some_and(|batching| batching.flush_latest);
    let seen = numbers(&all);
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    assert_eq!(seen.last().copied().unwrap_or_default(), published, "the newest reaches who reads");
    if !latest && rules.overflow != OverflowPolicy::KeepLatest {
        assert_eq!(seen.len() as u64, published, "nothing is missing for who reads: {seen:?}");
    }
    let got = numbers(&found);
    assert!(got.is_sorted_by(|one, next| one < next), "{got:?}");
    let end = found.iter().find_map(|message| message["closed"].as_u64());
    let lost = found.iter().any(|message| message["push"]["unsubscribe"]["code"] == 2500);
    let recovers = channel.starts_with("recover");
    match rules.overflow {
        OverflowPolicy::Disconnect => assert!(end.is_none_or(|code| code == 3008) && !lost),
        OverflowPolicy::DropOldest => assert_eq!((end, lost && !recovers), (None, false)),
        OverflowPolicy::KeepLatest => assert!(end.is_none_or(|code| code == 3008), "{end:?}"),
    }
    if recovers || rules.overflow == OverflowPolicy::Disconnect {
        // What came has no gap but where only the newest counts.
        if latest {
            assert!(got.iter().all(|number| seen.contains(number)), "{got:?} of {seen:?}");
        } else {
            assert!(got.iter().copied().eq(1..=got.len() as u64), "{got:?}");
        }
    }
    if end.is_none() && !lost && published > 0 {
        // The newest one is larger than all that may wait: even that is only left out by the policy that may.
        assert_eq!(got.last(), Some(&published), "{got:?}");
    }
    test.end().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn order_holds_and_nothing_is_missing_but_what_may_be(rules in rules(), recovers in any::<bool>(), acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let channel = if recovers { "recover" } else { "a" };
        runtime.expect("a runtime").block_on(holds(rules, channel, &acts));
    }
}
