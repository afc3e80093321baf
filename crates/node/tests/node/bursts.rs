//! Publications that come faster than they are written, which are queued as runs: nobody may see a difference.

use proptest::prelude::*;
use serde_json::Value;
use tourbillon_node::{AllowAll, NodeConfig};
use tourbillon_transport::memory::Sent;
use tourbillon_types::{Channel, Disconnect, Payload};

use crate::harness::{Client, TestNode, start};

/// What the acting client asks for, all in one frame.
#[derive(Clone, Copy, Debug)]
enum Act {
    Publish(&'static str),
    Subscribe(&'static str),
    Unsubscribe(&'static str),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let channel = prop_oneof![4 => Just("a"), 1 => Just("b")];
    let act = (channel, 0..12_u8).prop_map(|(channel, kind)| match kind {
        0 => Act::Subscribe(channel),
        1 => Act::Unsubscribe(channel),
        _ => Act::Publish(channel),
    });
    prop::collection::vec(act, 1..150)
}

impl Act {
    fn command(self, id: usize) -> String {
        match self {
            Self::Publish(channel) => {
                format!(r#"{{"id":{id},"publish":{{"channel":"{channel}","data":{id}}}}}"#)
            }
            Self::Subscribe(channel) => format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"}}}}"#),
            Self::Unsubscribe(channel) => format!(r#"{{"id":{id},"unsubscribe":{{"channel":"{channel}"}}}}"#),
        }
    }
}

/// Each publication that an observer of all channels sees, and those that the actor sees.
fn expected(acts: &[Act]) -> (Vec<Value>, Vec<Value>) {
    let (mut all, mut mine, mut have) = (Vec::new(), Vec::new(), Vec::new());
    for (act, id) in acts.iter().zip(1..) {
        match act {
            Act::Subscribe(channel) if !have.contains(channel) => have.push(channel),
            Act::Subscribe(_) => {}
            Act::Unsubscribe(channel) => have.retain(|had| had != channel),
            Act::Publish(channel) => {
                all.push(Value::from(id));
                if have.contains(channel) {
                    mine.push(Value::from(id));
                }
            }
        }
    }
    (all, mine)
}

/// Publications until `count` replies and `publications` have come.
async fn collect(client: &mut Client, count: usize, publications: usize) -> (Vec<Value>, Vec<Value>) {
    let (mut replies, mut seen) = (Vec::new(), Vec::new());
    while replies.len() < count || seen.len() < publications {
        let message = client.message().await;
        match message["push"]["pub"].get("data") {
            Some(data) => seen.push(data.clone()),
            None => replies.push(message["id"].clone()),
        }
    }
    (replies, seen)
}

async fn scenario(acts: &[Act]) {
    let test = start(AllowAll, NodeConfig::default());
    let mut observers = Vec::new();
    for _ in 0..5 {
        let mut client = test.client().await;
        client.subscribe("a").await;
        client.subscribe("b").await;
        observers.push(client);
    }
    let mut actor = test.client().await;
    let frame: Vec<String> = acts.iter().zip(1..).map(|(act, id)| act.command(id)).collect();
    actor.send(&frame.join("\n"));
    let (all, mine) = expected(acts);
    let (replies, seen) = collect(&mut actor, acts.len(), mine.len()).await;
    assert_eq!(replies, (1..=acts.len()).map(Value::from).collect::<Vec<_>>());
    assert_eq!(seen, mine, "what the actor sees");
    actor.silence().await;
    for observer in &mut observers {
        assert_eq!(collect(observer, 0, all.len()).await.1, all, "what an observer sees");
        observer.silence().await;
    }
    test.end().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn order_and_subscriptions_hold_in_a_burst(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(scenario(&acts));
    }
}

/// Publishes without letting anything else run in between.
async fn burst(test: &TestNode, channel: &str, count: usize, bytes: usize) {
    let text = "x".repeat(bytes);
    for number in 0..count {
        let data = Payload::from(format!(r#"{{"n":{number},"text":"{text}"}}"#).into_bytes());
        test.node.publish(Channel::from(channel), data, Default::default()).await.expect("published");
    }
}

#[tokio::test(start_paused = true)]
async fn long_bursts_arrive_whole() {
    let test = start(AllowAll, NodeConfig::default());
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = test.client().await;
        client.subscribe("a").await;
        clients.push(client);
    }
    for (count, bytes) in [(1_000, 10), (40, 5_000), (3, 70_000)] {
        burst(&test, "a", count, bytes).await;
        for client in &mut clients {
            for number in 0..count {
                assert_eq!(client.publication("a").await["n"], number);
            }
        }
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_is_ended_and_the_others_lose_nothing() {
    let mut config = NodeConfig::default();
    config.queue_max_size = 100_000;
    let test = start(AllowAll, config);
    let mut slow = test.open(1_000, |_| {});
    slow.call(r#""connect":{}"#).await;
    slow.subscribe("a").await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = test.client().await;
        client.subscribe("a").await;
        clients.push(client);
    }
    for _ in 0..40 {
        burst(&test, "a", 50, 100).await;
        for client in &mut clients {
            for number in 0..50 {
                assert_eq!(client.publication("a").await["n"], number);
            }
        }
    }
    let mut got = 0;
    let why = loop {
        match slow.next().await {
            Sent::Message(_) => got += 1,
            Sent::Ping => {}
            Sent::Closed(why) => break why,
        }
    };
    assert_eq!(why, Disconnect::SLOW);
    // What fits the queue, a run more, and what was written before: not the 2,000 that were published.
    assert!(got < 1_500, "{got} messages were kept for it");
    test.end().await;
}
