//! Pushes that a transport leaves out (PUSH-10).

use std::time::Duration;

use serde_json::{Value, json};
use tourbillon_node::{Hooks, NodeConfig, RefreshDecision, Target};
use tourbillon_transport::memory::Sent;
use tourbillon_types::{Channel, Direction, Disconnect, Payload, PushKinds, Unsubscribe, UserId};

use crate::harness::{Client, TestNode, start, start_on};
use crate::scripted::{ByName, Scripted, at};

/// What is pushed to a client to whom everything happens, in order. The one of no kind is always sent.
const ALL: [(&str, PushKinds); 10] = [
    ("connect", PushKinds::CONNECT),
    ("subscribe", PushKinds::SUBSCRIBE),
    ("join ann", PushKinds::JOIN),
    ("join bob", PushKinds::JOIN),
    ("leave bob", PushKinds::LEAVE),
    ("pub", PushKinds::PUBLICATION),
    ("message", PushKinds::MESSAGE),
    ("refresh", PushKinds::NONE),
    ("unsubscribe", PushKinds::UNSUBSCRIBE),
    ("disconnect", PushKinds::DISCONNECT),
];

fn name_of(message: &Value) -> String {
    let push = message.get("push").unwrap_or(message).as_object().expect("a push");
    let (kind, event) = push.iter().find(|(key, _)| *key != "channel").expect("a kind");
    match event["info"]["user"].as_str().filter(|_| kind != "pub") {
        Some(user) => format!("{kind} {user}"),
        None => kind.clone(),
    }
}

/// Everything happens to a client whose transport leaves these out: what it is told, and how its connection ends.
async fn told(test: &TestNode, channel: &str, suppressed: PushKinds) -> (Vec<String>, Disconnect) {
    let mut ann = test.open(1 << 20, |info| {
        info.direction = Direction::Unidirectional;
        info.suppressed = suppressed;
    });
    ann.send(r#"{"id":1,"connect":{"token":"ann"}}"#);
    settle().await;
    let (target, name) = (Target::user(UserId::from("ann")), Channel::from(channel));
    let options = ByName.channel_options(channel).expect("options").subscription();
    test.node.subscribe(&target, name.clone(), options).await.expect("subscribed");
    settle().await;
    let mut bob = test.open(1 << 20, |_| {});
    bob.call(r#""connect":{"token":"bob"}"#).await;
    bob.subscribe(channel).await;
    settle().await;
    drop(bob);
    settle().await;
    test.publish(channel, "1").await;
    test.node.send(&target, Payload::from("2")).await.expect("sent");
    test.node.refresh(&target, RefreshDecision::until(Some(i64::MAX))).await.expect("refreshed");
    test.node.unsubscribe(&target, name, Unsubscribe::SERVER).await.expect("unsubscribed");
    test.node.disconnect(&target, Disconnect::FORCE_DISCONNECT, &[]).await.expect("disconnected");
    let mut pushes = Vec::new();
    loop {
        match ann.next().await {
            Sent::Message(message) if &message[..] == b"{}" => {}
            Sent::Message(message) => {
                pushes.push(name_of(&serde_json::from_slice(&message).expect("JSON")));
            }
            Sent::Closed(why) => return (pushes, why),
            Sent::Ping => panic!("no such pings"),
        }
    }
}

/// Lets everything that can happen now happen.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_leaves_out_kinds_of_pushes_and_nothing_else_changes() {
    let test = start(ByName, NodeConfig::default());
    let single = (0..8).map(|bit| PushKinds::from_bits(1 << bit));
    let several = [PushKinds::NONE, PushKinds::JOIN | PushKinds::LEAVE, PushKinds::from_bits(u8::MAX)];
    for suppressed in single.chain(several) {
        for channel in ["joins_listen", "history_position_joins_listen", "batch_joins_listen"] {
            let expected = ALL.iter().filter(|(_, kind)| !suppressed.has(*kind));
            let mut expected: Vec<&str> = expected.map(|(name, _)| *name).collect();
            let (mut pushes, why) = told(&test, channel, suppressed).await;
            if channel == "batch_joins_listen" {
                // A publication that waits for another one is delivered as the subscription ends.
                expected.sort_unstable();
                pushes.sort_unstable();
            }
            assert_eq!(pushes, expected, "{suppressed:?} of {channel}");
            assert_eq!(why, Disconnect::FORCE_DISCONNECT, "it ends all the same");
        }
    }
    test.end().await;
}

async fn silenced(test: &TestNode) -> Client {
    let mut client = test.open(1 << 20, |info| info.suppressed = PushKinds::PUBLICATION);
    client.call(r#""connect":{}"#).await;
    client
}

#[tokio::test(start_paused = true)]
async fn positions_move_over_publications_that_are_left_out() {
    let test = start(ByName, NodeConfig::default());
    for channel in [
        "history_recover",
        "history_recover_filter",
        "history_recover_delta",
        "history_recover_filter_batch",
        "history_recover_filter_loose",
    ] {
        let mut client = silenced(&test).await;
        client.subscribe(channel).await;
        let mut other = test.client().await;
        other.subscribe(channel).await;
        for number in 1..=4 {
            test.publish(channel, &number.to_string()).await;
        }
        for number in 1..=4 {
            assert_eq!(other.publication(channel).await, number, "others get all");
        }
        client.silence().await;
        // The periodic check finds it where the stream is.
        for _ in 0..24 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            settle().await;
            while let Some(sent) = client.peer.try_recv() {
                assert_eq!(sent, Sent::Message("{}".into()), "a ping and nothing else");
                client.send("{}");
            }
            while other.peer.try_recv().is_some() {
                other.send("{}");
            }
        }
        let stats = test.node.stats();
        assert_eq!(stats.subscriptions, 2, "{channel}: {stats:?}");
        drop((client, other));
        settle().await;
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn others_that_come_and_go_change_nothing_for_a_silenced_client() {
    let channel = "filter_delta_keep";
    let test = start(ByName, NodeConfig::default());
    let (mut client, mut other) = (silenced(&test).await, test.client().await);
    client.subscribe(channel).await;
    for special in [r#""delta":"fossil""#, r#""tf":{"key":"a","cmp":"eq","val":"1"}"#] {
        other.call(&format!(r#""subscribe":{{"channel":"{channel}",{special}}}"#)).await;
        test.publish(channel, "1").await;
        other.peer.try_recv();
        settle().await;
        other.peer.try_recv();
        other.call(&format!(r#""unsubscribe":{{"channel":"{channel}"}}"#)).await;
        test.publish(channel, "2").await;
        client.silence().await;
    }
    // Without the silenced one the channel is as any.
    drop(client);
    other.subscribe(channel).await;
    test.publish(channel, "3").await;
    assert_eq!(other.publication(channel).await, 3);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_reply_holds_is_no_push() {
    let broker = Scripted::new(at(2, "e"));
    let test = start_on(broker.clone(), ByName, NodeConfig::default());
    broker.keep(&[2], at(2, "e"));
    broker.answer(false);
    let mut client = silenced(&test).await;
    client
        .send(r#"{"id":2,"subscribe":{"channel":"history_recover","recover":true,"offset":1,"epoch":"e"}}"#);
    broker.until_asked(1).await;
    // It arrives while the history is read, and belongs to the reply.
    broker.deliver("history_recover", 3, "e");
    broker.answer(true);
    let reply = client.message().await;
    let offsets: Vec<&Value> = reply["subscribe"]["publications"]
        .as_array()
        .expect("some")
        .iter()
        .map(|one| &one["offset"])
        .collect();
    assert_eq!(offsets, [&json!(2), &json!(3)], "{reply}");
    broker.deliver("history_recover", 4, "e");
    client.silence().await;
    // What is missing is told nevertheless.
    broker.deliver("history_recover", 6, "e");
    let push = client.message().await;
    assert_eq!(push["push"]["unsubscribe"]["code"], 2500, "{push}");
    // Without a recovery what arrives meanwhile follows the reply, or does not.
    broker.keep(&[], at(6, "e"));
    broker.answer(false);
    client.send(r#"{"id":3,"subscribe":{"channel":"history_recover"}}"#);
    broker.until_asked(2).await;
    broker.deliver("history_recover", 7, "e");
    broker.answer(true);
    assert_eq!(client.message().await["id"], 3);
    broker.deliver("history_recover", 8, "e");
    client.silence().await;
    assert_eq!(test.node.stats().subscriptions, 1);
    test.end().await;
}
