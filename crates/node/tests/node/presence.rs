//! Who is in a channel, and who comes and goes (CMD-08, CMD-09, PUSH-02, HID-23, OPT-01..03).

use std::time::Duration;

use serde_json::{Value, json};
use tourbillon_broker::Engine;
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{
    ChannelOptions, ConnectDecision, ConnectRequest, Hooks, Node, NodeConfig, RefreshDecision, Refusal,
    SubRefreshRequest, SubscribeDecision, SubscribeRequest,
};
use tourbillon_types::{Channel, Payload, ReplyError, UserId};

use crate::harness::{Client, TestNode, start, start_on};
use crate::scripted::{ByName, Forgetful};

const CHANNEL: &str = "presence_joins_listen";

async fn named(test: &TestNode, user: &str) -> (Client, String) {
    let mut client = test.open(1 << 20, |_| {});
    let reply = client.call(&format!(r#""connect":{{"token":"{user}"}}"#)).await;
    let id = reply["connect"]["client"].as_str().expect("an id").to_owned();
    (client, id)
}

async fn stats(test: &TestNode, channel: &str) -> (usize, usize) {
    let stats = test.node.presence_stats(&Channel::from(channel)).await.expect("numbers");
    (stats.clients, stats.users)
}

/// What a push says that somebody came or went.
fn news(push: &Value) -> (&str, &str) {
    for kind in ["join", "leave"] {
        if let Some(user) = push["push"][kind]["info"]["user"].as_str() {
            return (kind, user);
        }
    }
    panic!("neither: {push}")
}

#[tokio::test(start_paused = true)]
async fn who_subscribes_is_present_until_it_unsubscribes() {
    let test = start(ByName, NodeConfig::default());
    let (mut ann, ann_id) = named(&test, "ann").await;
    let (mut bob, bob_id) = named(&test, "bob").await;
    ann.subscribe("presence").await;
    bob.subscribe("presence").await;
    let found = ann.call(r#""presence":{"channel":"presence"}"#).await;
    let info = |user: &str, id: &str| json!({"user": user, "client": id, "conn_info": 1});
    let both = json!({ &ann_id: info("ann", &ann_id), &bob_id: info("bob", &bob_id) });
    assert_eq!(found["presence"]["presence"], both);
    let numbers = ann.call(r#""presence_stats":{"channel":"presence"}"#).await;
    assert_eq!(numbers["presence_stats"], json!({"num_clients": 2, "num_users": 2}));
    bob.call(r#""unsubscribe":{"channel":"presence"}"#).await;
    bob.silence().await;
    assert_eq!(stats(&test, "presence").await, (1, 1));
    // It may come again at once.
    bob.subscribe("presence").await;
    bob.send(r#"{"id":20,"unsubscribe":{"channel":"presence"}}"#);
    bob.send(r#"{"id":21,"subscribe":{"channel":"presence"}}"#);
    assert_eq!(bob.message().await["id"], 20);
    assert_eq!(bob.message().await["id"], 21);
    bob.silence().await;
    assert_eq!(stats(&test, "presence").await, (2, 2));
    // A connection that ends is present no more.
    drop(ann);
    bob.silence().await;
    assert_eq!(stats(&test, "presence").await, (1, 1));
    let all = test.node.presence(&Channel::from("presence")).await.expect("members");
    assert_eq!(all.len(), 1);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn presence_is_refused_where_it_is_not_kept_or_not_allowed() {
    let test = start(ByName, NodeConfig::default());
    let (mut ann, _) = named(&test, "ann").await;
    ann.subscribe("plain").await;
    for command in ["presence", "presence_stats"] {
        let reply = ann.call(&format!(r#""{command}":{{"channel":"plain"}}"#)).await;
        assert_eq!(reply["error"]["code"], 108, "{command}");
        let reply = ann.call(&format!(r#""{command}":{{"channel":"presence"}}"#)).await;
        assert_eq!(reply["error"]["code"], 103, "{command}");
    }
    assert_eq!(test.node.presence(&Channel::from("plain")).await, Err(ReplyError::NOT_AVAILABLE));
    assert_eq!(test.node.presence_stats(&Channel::from("plain")).await, Err(ReplyError::NOT_AVAILABLE));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_are_told_to_those_who_listen() {
    let test = start(ByName, NodeConfig::default());
    let (mut ann, _) = named(&test, "ann").await;
    ann.subscribe(CHANNEL).await;
    assert_eq!(news(&ann.message().await), ("join", "ann"), "its own, after the reply");
    let (mut bob, _) = named(&test, "bob").await;
    bob.subscribe(CHANNEL).await;
    assert_eq!(news(&ann.message().await), ("join", "bob"));
    assert_eq!(news(&bob.message().await), ("join", "bob"));
    test.publish(CHANNEL, "1").await;
    assert_eq!(ann.publication(CHANNEL).await, 1);
    assert_eq!(bob.publication(CHANNEL).await, 1);
    bob.call(&format!(r#""unsubscribe":{{"channel":"{CHANNEL}"}}"#)).await;
    assert_eq!(news(&ann.message().await), ("leave", "bob"));
    bob.silence().await;
    bob.subscribe(CHANNEL).await;
    assert_eq!(news(&ann.message().await), ("join", "bob"));
    drop(bob);
    assert_eq!(news(&ann.message().await), ("leave", "bob"));
    ann.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_listen_hears_nothing_and_who_is_not_told_of_makes_no_noise() {
    let test = start(ByName, NodeConfig::default());
    let (mut ann, _) = named(&test, "ann").await;
    ann.subscribe("joins").await;
    ann.subscribe("listen").await;
    let (mut bob, _) = named(&test, "bob").await;
    bob.subscribe("joins").await;
    bob.subscribe("listen").await;
    drop(bob);
    ann.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn servers_subscriptions_are_present_and_told_of_too() {
    let test = start(ByName, NodeConfig::default());
    let mut ann = test.open(1 << 20, |_| {});
    let reply = ann.call(&format!(r#""connect":{{"token":"ann","subs":{{"{CHANNEL}":{{}}}}}}"#)).await;
    assert!(reply["connect"]["subs"][CHANNEL].is_object(), "{reply}");
    assert_eq!(news(&ann.message().await), ("join", "ann"));
    let target = tourbillon_node::Target::user("bob".into());
    let (mut bob, _) = named(&test, "bob").await;
    let channel = Channel::from(CHANNEL);
    let options = test.node.channel_options(&channel).expect("options").subscription();
    test.node.subscribe(&target, channel.clone(), options).await.expect("subscribed");
    assert!(bob.message().await["push"]["subscribe"].is_object());
    assert_eq!(news(&bob.message().await), ("join", "bob"));
    assert_eq!(news(&ann.message().await), ("join", "bob"));
    assert_eq!(stats(&test, CHANNEL).await, (2, 2));
    test.node
        .unsubscribe(&target, channel, tourbillon_types::Unsubscribe::SERVER)
        .await
        .expect("unsubscribed");
    assert_eq!(news(&ann.message().await), ("leave", "bob"));
    assert_eq!(stats(&test, CHANNEL).await, (1, 1));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn entries_are_renewed_while_they_last() {
    let forgetful = Forgetful::default();
    let engine = Engine::new(MemoryEngine::default()).with_presence(forgetful.clone());
    let mut config = NodeConfig::default();
    config.presence_update_interval = Duration::from_secs(10);
    config.ping_interval = None;
    let test = start_on(engine, ByName, config);
    let (mut ann, _) = named(&test, "ann").await;
    ann.subscribe("presence").await;
    assert_eq!(forgetful.added(), 1);
    for round in 2..6 {
        tokio::time::sleep(Duration::from_millis(9_500)).await;
        assert_eq!(forgetful.added(), round - 1);
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(forgetful.added(), round);
    }
    ann.call(r#""unsubscribe":{"channel":"presence"}"#).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((forgetful.added(), forgetful.removed()), (5, 1));
    test.end().await;
}

/// Each removal may take as long as a call.
#[tokio::test(start_paused = true)]
async fn a_presence_that_hangs_does_not_keep_a_node_from_its_end() {
    let forgetful = Forgetful::default();
    let engine = Engine::new(MemoryEngine::default()).with_presence(forgetful.clone());
    let (node, driver) = Node::builder(engine).hooks(ByName).build().expect("a node");
    let test = TestNode { node };
    let driver = tokio::spawn(driver);
    let mut ann = test.client().await;
    for number in 0..5 {
        ann.subscribe(&format!("presence_{number}")).await;
    }
    forgetful.hang(true);
    drop(ann);
    let began = tokio::time::Instant::now();
    test.end().await;
    assert!(began.elapsed() < Duration::from_secs(1));
    driver.await.expect("ended");
    assert!(began.elapsed() < Duration::from_millis(20_100), "{:?}", began.elapsed());
    assert!(forgetful.removed() >= 2, "what could be tried was");
}

#[tokio::test(start_paused = true)]
async fn a_presence_that_fails_fails_the_subscription_and_leaves_nothing() {
    let forgetful = Forgetful::default();
    forgetful.fail(true);
    let engine = Engine::new(MemoryEngine::default()).with_presence(forgetful.clone());
    let test = start_on(engine, ByName, NodeConfig::default());
    let (mut ann, _) = named(&test, "ann").await;
    let reply = ann.call(&format!(r#""subscribe":{{"channel":"{CHANNEL}"}}"#)).await;
    assert_eq!(reply["error"]["code"], 100);
    ann.silence().await;
    assert_eq!(test.node.stats().subscriptions, 0);
    assert_eq!(forgetful.removed(), 1, "it may be noted all the same");
    forgetful.fail(false);
    ann.subscribe(CHANNEL).await;
    test.end().await;
    assert_eq!(forgetful.removed(), 2, "the end of the node waits for it");
}

/// Nobody waits for longer than a call may take, whoever is before it. What somebody waited for who gave up is not done
/// later; the end of whoever entered is.
#[tokio::test(start_paused = true)]
async fn a_presence_that_hangs_fails_subscriptions_in_time_and_loses_no_removal() {
    let forgetful = Forgetful::default();
    let engine = Engine::new(MemoryEngine::default()).with_presence(forgetful.clone());
    let mut config = NodeConfig::default();
    config.call_timeout = Duration::from_secs(2);
    config.ping_interval = None;
    let test = start_on(engine, ByName, config);
    let (mut ann, _) = named(&test, "ann").await;
    ann.subscribe("presence").await;
    let mut clients = Vec::new();
    for _ in 0..80 {
        clients.push(named(&test, "bob").await.0);
    }
    forgetful.hang(true);
    let begun = tokio::time::Instant::now();
    for client in &clients {
        client.send(r#"{"id":2,"subscribe":{"channel":"presence"}}"#);
    }
    for client in &mut clients {
        assert_eq!(client.message().await["error"]["code"], 100);
    }
    assert!(begun.elapsed() < Duration::from_millis(2_100), "{:?}", begun.elapsed());
    // One in each of the eight lanes, and the next.
    assert!(forgetful.added() <= 1 + 16, "{}", forgetful.added());
    drop(ann);
    tokio::time::sleep(Duration::from_secs(60)).await;
    forgetful.hang(false);
    let last = clients.last_mut().expect("a client");
    last.subscribe("presence").await;
    test.end().await;
    assert!(forgetful.added() <= 1 + 16 + 1, "{}", forgetful.added());
    assert_eq!(forgetful.removed(), forgetful.added(), "who may have been counted was removed");
}

/// Those who come and go, and try again, do not queue up without end.
#[tokio::test(start_paused = true)]
async fn who_enters_is_refused_while_too_much_is_to_be_told() {
    let forgetful = Forgetful::default();
    let engine = Engine::new(MemoryEngine::default()).with_presence(forgetful.clone());
    let mut config = NodeConfig::default();
    config.call_timeout = Duration::from_secs(1_000);
    config.ping_interval = None;
    let test = start_on(engine, ByName, config);
    let (mut ann, _) = named(&test, "ann").await;
    ann.subscribe("presence").await;
    forgetful.hang(true);
    ann.call(r#""unsubscribe":{"channel":"presence"}"#).await;
    // What is told of it waits behind that: that it came, and that it went.
    for _ in 0..16_384 / 2 {
        ann.subscribe("joins").await;
        ann.call(r#""unsubscribe":{"channel":"joins"}"#).await;
    }
    for channel in ["joins", "presence"] {
        let reply = ann.call(&format!(r#""subscribe":{{"channel":"{channel}"}}"#)).await;
        assert_eq!(reply["error"]["code"], 100, "{channel}");
    }
    ann.subscribe("plain").await;
    forgetful.hang(false);
    ann.silence().await;
    ann.subscribe("joins").await;
    ann.subscribe("presence").await;
    test.end().await;
    assert_eq!((forgetful.added(), forgetful.removed()), (2, 2));
}

/// Subscriptions last a minute, and are refreshed with the token as what is told of the subscriber in the channel.
struct Refreshed;

impl Hooks for Refreshed {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        Ok(ConnectDecision::new(UserId::from(request.token.as_str())))
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options.presence = true;
        decision.options.expire_at = Some(request.unix_seconds + 60);
        decision.options.info = Payload::from("1");
        Ok(decision)
    }

    async fn sub_refresh(&self, request: SubRefreshRequest) -> Result<RefreshDecision, Refusal> {
        let mut decision = RefreshDecision::until(Some(request.unix_seconds + 60));
        decision.info = Some(Payload::from(request.token.into_bytes()));
        Ok(decision)
    }

    fn channel_options(&self, _: &str) -> Result<ChannelOptions, ReplyError> {
        let mut options = ChannelOptions::default();
        options.presence = true;
        Ok(options)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_subscription_refresh_says_of_the_subscriber_gets_into_its_entry() {
    let mut config = NodeConfig::default();
    config.presence_update_interval = Duration::from_secs(10);
    config.ping_interval = None;
    let test = start(Refreshed, config);
    let (mut ann, _) = named(&test, "ann").await;
    ann.subscribe("a").await;
    ann.subscribe("b").await;
    let reply = ann.call(r#""sub_refresh":{"channel":"a","token":"2"}"#).await;
    assert_eq!(reply["sub_refresh"]["ttl"], 60);
    tokio::time::sleep(Duration::from_secs(11)).await;
    for (channel, info) in [("a", "2"), ("b", "1")] {
        let members = test.node.presence(&Channel::from(channel)).await.expect("members");
        let told: Vec<_> = members.iter().map(|(_, info)| info.channel.clone()).collect();
        assert_eq!(told, [Payload::from(info)], "{channel}");
    }
    test.end().await;
}
