//! Numbers in place of channels' names (COMP-01, HID-26, HID-35), and advice on publishing (DEB-01).

use serde_json::{Value, json};
use tourbillon_node::NodeConfig;
use tourbillon_types::{Channel, Unsubscribe, UserId};

use crate::harness::{Client, TestNode, start};
use crate::scripted::ByName;

async fn subscribe(client: &mut Client, channel: &str, rest: &str) -> Value {
    client.call(&format!(r#""subscribe":{{"channel":"{channel}"{rest}}}"#)).await["subscribe"].clone()
}

async fn next(client: &mut Client) -> Value {
    client.message().await["push"].clone()
}

async fn end(test: TestNode) {
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn pushes_have_the_number_of_the_reply_in_place_of_the_name() {
    let test = start(ByName, NodeConfig::default());
    for channel in ["compact", "compact_history_recover", "compact_listen_joins"] {
        let mut named = test.client().await;
        assert_eq!(subscribe(&mut named, channel, "").await["id"], json!(null), "it did not ask");
        if channel.contains("listen") {
            assert!(next(&mut named).await["join"].is_object());
        }
        let mut client = test.client().await;
        let number = subscribe(&mut client, channel, r#","flag":1"#).await["id"].clone();
        assert!(number.as_i64().is_some_and(|number| number > 0), "{number}");
        if channel.contains("listen") {
            let join = next(&mut client).await;
            assert_eq!((&join["id"], &join["channel"]), (&number, &json!(null)), "{join}");
            assert_eq!(next(&mut named).await["channel"], channel);
        }
        test.publish(channel, "[1]").await;
        let push = next(&mut client).await;
        assert_eq!((&push["id"], &push["channel"]), (&number, &json!(null)), "{push}");
        let push = next(&mut named).await;
        assert_eq!((&push["id"], &push["channel"]), (&json!(null), &json!(channel)), "{push}");
        if channel.contains("listen") {
            continue;
        }
        // Another connection of the channel has the same number, another channel another one.
        let mut second = test.client().await;
        assert_eq!(subscribe(&mut second, channel, r#","flag":3"#).await["id"], number);
        let other = subscribe(&mut second, &format!("{channel}_2"), r#","flag":1"#).await["id"].clone();
        assert!(other.is_number() && other != number);
    }
    end(test).await;
}

#[tokio::test(start_paused = true)]
async fn numbers_are_for_those_who_ask_where_they_are_allowed_and_are_not_used_again() {
    let test = start(ByName, NodeConfig::default());
    let mut client = test.client().await;
    assert_eq!(subscribe(&mut client, "other", r#","flag":1"#).await["id"], json!(null));
    let first = subscribe(&mut client, "compact", r#","flag":1"#).await["id"].clone();
    assert_eq!(first, 1, "0 would be none");
    client.call(r#""unsubscribe":{"channel":"compact"}"#).await;
    assert_eq!(subscribe(&mut client, "compact", r#","flag":1"#).await["id"], 2);
    test.publish("compact", "1").await;
    assert_eq!(next(&mut client).await["id"], 2);
    // The end of a subscription comes by name, as SDKs expect it.
    let target = tourbillon_node::Target::user(UserId::anonymous());
    let channel = Channel::from("compact");
    test.node.unsubscribe(&target, channel, Unsubscribe::SERVER).await.expect("unsubscribed");
    let push = next(&mut client).await;
    assert_eq!((&push["channel"], &push["id"]), (&json!("compact"), &json!(null)));
    end(test).await;
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_how_much_to_debounce() {
    let test = start(ByName, NodeConfig::default());
    let mut client = test.client().await;
    assert_eq!(subscribe(&mut client, "debounce", "").await["publish_debounce"], 250);
    assert_eq!(subscribe(&mut client, "other", "").await["publish_debounce"], json!(null));
    end(test).await;
}
