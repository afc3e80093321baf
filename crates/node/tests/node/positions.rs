//! Positions and recovery on a running node (REC-01..11, HID-20, HID-27..33).

use serde_json::{Value, json};
use tourbillon_node::NodeConfig;
use tourbillon_types::{Channel, Disconnect, Publication};

use crate::harness::{Client, start, start_on};
use crate::scripted::{ByName, Scripted, at, publication};

const CHANNEL: &str = "history_recover";

async fn subscribe(client: &mut Client, channel: &str, rest: &str) -> Value {
    client.call(&format!(r#""subscribe":{{"channel":"{channel}"{rest}}}"#)).await["subscribe"].clone()
}

async fn offset(client: &mut Client) -> u64 {
    let push = client.message().await;
    push["push"]["pub"]["offset"].as_u64().unwrap_or_else(|| panic!("no offset: {push}"))
}

fn offsets(result: &Value) -> Vec<u64> {
    let publications = result["publications"].as_array().map(Vec::as_slice).unwrap_or_default();
    publications.iter().map(|publication| publication["offset"].as_u64().expect("an offset")).collect()
}

fn unsubscribed(channel: &str) -> Value {
    json!({"push": {"channel": channel, "unsubscribe": {"code": 2500, "reason": "insufficient state"}}})
}

#[tokio::test(start_paused = true)]
async fn a_positioned_subscription_is_told_where_it_is_and_gets_what_follows() {
    let test = start(ByName, NodeConfig::default());
    test.publish("history_position", "1").await;
    let mut client = test.client().await;
    let result = subscribe(&mut client, "history_position", "").await;
    assert_eq!((&result["positioned"], &result["offset"]), (&json!(true), &json!(1)));
    assert_eq!(result["recoverable"], json!(null));
    assert!(result["epoch"].is_string(), "{result}");
    for number in 2..5 {
        test.publish("history_position", &number.to_string()).await;
    }
    for number in 2..5 {
        assert_eq!(offset(&mut client).await, number);
    }
    assert_eq!(test.node.stats().subscriptions, 1);
    client.call(r#""unsubscribe":{"channel":"history_position"}"#).await;
    assert_eq!(test.node.stats().subscriptions, 0);
    test.publish("history_position", "5").await;
    client.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let test = start(ByName, NodeConfig::default());
    test.publish(CHANNEL, "1").await;
    let mut client = test.client().await;
    let first = subscribe(&mut client, CHANNEL, "").await;
    assert_eq!((&first["recoverable"], &first["positioned"]), (&json!(true), &json!(true)));
    let epoch = first["epoch"].as_str().expect("an epoch").to_owned();
    drop(client);
    for number in 2..=4 {
        test.publish(CHANNEL, &number.to_string()).await;
    }
    let mut client = test.client().await;
    let since = format!(r#","recover":true,"offset":1,"epoch":"{epoch}""#);
    let result = subscribe(&mut client, CHANNEL, &since).await;
    assert_eq!((&result["recovered"], &result["was_recovering"]), (&json!(true), &json!(true)));
    assert_eq!(result["offset"], 1, "what the client sent (HID-27)");
    assert_eq!(offsets(&result), [2, 3, 4]);
    test.publish(CHANNEL, "5").await;
    assert_eq!(offset(&mut client).await, 5);
    // Too long away: five are kept.
    for number in 6..=9 {
        test.publish(CHANNEL, &number.to_string()).await;
    }
    let mut late = test.client().await;
    let result = subscribe(&mut late, CHANNEL, &since).await;
    assert_eq!((&result["recovered"], &result["was_recovering"]), (&json!(null), &json!(true)));
    assert_eq!((&result["offset"], offsets(&result)), (&json!(9), vec![]));
    // The same, but it wants to be refused rather than subscribed unrecovered (REC-06).
    let mut strict = test.client().await;
    let refused = strict.call(&format!(r#""subscribe":{{"channel":"{CHANNEL}","flag":2{since}}}"#)).await;
    assert_eq!(refused["error"]["code"], 112);
    // Another epoch is another stream.
    let mut other = test.client().await;
    let result = subscribe(&mut other, CHANNEL, r#","recover":true,"offset":9,"epoch":"other""#).await;
    assert_eq!(result["recovered"], json!(null));
    assert_eq!(test.node.stats().subscriptions, 3, "the refused one is not there");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn more_than_may_be_recovered_is_not() {
    let mut config = NodeConfig::default();
    config.recovery_max_publication_limit = 2;
    let test = start(ByName, config);
    for number in 1..=3 {
        test.publish(CHANNEL, &number.to_string()).await;
    }
    for (since, recovered) in [(0, json!(null)), (1, json!(true))] {
        let mut client = test.client().await;
        let result = subscribe(&mut client, CHANNEL, &format!(r#","recover":true,"offset":{since}"#)).await;
        assert_eq!(result["recovered"], recovered, "{since}");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn caches_give_the_latest() {
    let test = start(ByName, NodeConfig::default());
    for number in 1..=3 {
        test.publish("history_recover_cache", &number.to_string()).await;
        test.publish("history_recover_cache_auto", &number.to_string()).await;
    }
    let mut client = test.client().await;
    let result = subscribe(&mut client, "history_recover_cache", r#","recover":true"#).await;
    assert_eq!((&result["recovered"], offsets(&result)), (&json!(true), vec![3]));
    let result = subscribe(&mut client, "history_recover_cache_auto", "").await;
    assert_eq!((&result["recovered"], offsets(&result)), (&json!(true), vec![3]));
    assert_eq!(result["was_recovering"], true);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_arrives_while_history_is_read_is_merged_and_what_arrives_after_follows_the_reply() {
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), ByName, NodeConfig::default());
    let mut client = test.client().await;
    scripted.keep(&[4, 5], at(5, "a"));
    scripted.answer(false);
    client.send(&format!(
        r#"{{"id":9,"subscribe":{{"channel":"{CHANNEL}","recover":true,"offset":3,"epoch":"a"}}}}"#
    ));
    scripted.until_asked(1).await;
    // One that the history has, two that it does not have, out of order.
    for offset in [5, 7, 6] {
        scripted.deliver(CHANNEL, offset, "a");
    }
    client.silence().await;
    scripted.answer(true);
    let result = client.message().await["subscribe"].clone();
    assert_eq!(offsets(&result), [4, 5, 6, 7]);
    scripted.deliver(CHANNEL, 8, "a");
    // Known ones are passed over.
    scripted.deliver(CHANNEL, 8, "a");
    scripted.deliver(CHANNEL, 9, "a");
    assert_eq!(offset(&mut client).await, 8);
    assert_eq!(offset(&mut client).await, 9);
    client.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_hole_between_history_and_what_arrived_ends_the_connection() {
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), ByName, NodeConfig::default());
    let mut client = test.client().await;
    scripted.keep(&[4, 5], at(5, "a"));
    scripted.answer(false);
    client.send(&format!(
        r#"{{"id":9,"subscribe":{{"channel":"{CHANNEL}","recover":true,"offset":3,"epoch":"a"}}}}"#
    ));
    scripted.until_asked(1).await;
    scripted.deliver(CHANNEL, 7, "a");
    scripted.answer(true);
    assert_eq!(client.closed().await, Disconnect::INSUFFICIENT_STATE);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_history_that_fails_fails_the_subscription() {
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), ByName, NodeConfig::default());
    let mut client = test.client().await;
    scripted.fail();
    let reply = client.call(&format!(r#""subscribe":{{"channel":"{CHANNEL}"}}"#)).await;
    assert_eq!(reply["error"]["code"], 100);
    assert_eq!(test.node.stats().subscriptions, 0);
    scripted.keep(&[], at(5, "a"));
    assert_eq!(subscribe(&mut client, CHANNEL, "").await["offset"], 5);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_hole_ends_a_clients_subscription_and_it_may_subscribe_again() {
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), ByName, NodeConfig::default());
    for (offset, epoch) in [(7, "a"), (6, "b")] {
        let mut client = test.client().await;
        subscribe(&mut client, CHANNEL, "").await;
        scripted.deliver(CHANNEL, offset, epoch);
        // What follows does not reach it any more.
        scripted.deliver(CHANNEL, offset + 1, epoch);
        assert_eq!(client.message().await, unsubscribed(CHANNEL));
        client.silence().await;
        assert_eq!(test.node.stats().subscriptions, 0);
        assert_eq!(subscribe(&mut client, CHANNEL, "").await["offset"], 5);
        scripted.deliver(CHANNEL, 6, "a");
        assert_eq!(client.message().await["push"]["pub"]["offset"], 6);
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_hole_in_a_servers_subscription_ends_the_connection() {
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), ByName, NodeConfig::default());
    let mut client = test.open(1 << 20, |_| {});
    let reply = client.call(&format!(r#""connect":{{"subs":{{"{CHANNEL}":{{}}}}}}"#)).await;
    assert_eq!(reply["connect"]["subs"][CHANNEL]["offset"], 5);
    scripted.deliver(CHANNEL, 7, "a");
    assert_eq!(client.closed().await, Disconnect::INSUFFICIENT_STATE);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn servers_subscriptions_recover_as_the_client_connects() {
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), ByName, NodeConfig::default());
    scripted.keep(&[4, 5], at(5, "a"));
    let mut client = test.open(1 << 20, |_| {});
    let subs = format!(r#""subs":{{"{CHANNEL}":{{"recover":true,"offset":3,"epoch":"a"}}}}"#);
    let reply = client.call(&format!(r#""connect":{{{subs}}}"#)).await;
    let result = &reply["connect"]["subs"][CHANNEL];
    assert_eq!((&result["recovered"], offsets(result)), (&json!(true), vec![4, 5]));
    scripted.deliver(CHANNEL, 6, "a");
    assert_eq!(offset(&mut client).await, 6);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_may_have_lost_something_ends_positions_and_nothing_else() {
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), ByName, NodeConfig::default());
    let mut client = test.client().await;
    subscribe(&mut client, CHANNEL, "").await;
    subscribe(&mut client, "plain", "").await;
    subscribe(&mut client, "listen", "").await;
    scripted.events().position_lost(Some(&Channel::from("plain")));
    client.silence().await;
    scripted.events().position_lost(Some(&Channel::from(CHANNEL)));
    assert_eq!(client.message().await, unsubscribed(CHANNEL));
    subscribe(&mut client, CHANNEL, "").await;
    scripted.events().position_lost(None);
    assert_eq!(client.message().await, unsubscribed(CHANNEL));
    client.silence().await;
    assert_eq!(test.node.stats().subscriptions, 2);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_took_too_long_ends_positions() {
    let mut config = NodeConfig::default();
    config.channel_position_max_time_lag = Some(std::time::Duration::from_secs(10));
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), ByName, config);
    let mut client = test.client().await;
    subscribe(&mut client, CHANNEL, "").await;
    let late = Publication { time: 1, ..(*publication(6, "a")).clone() };
    scripted.events().publication(&Channel::from(CHANNEL), std::sync::Arc::new(late));
    assert_eq!(client.message().await, unsubscribed(CHANNEL));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn subscribers_with_and_without_a_position_share_a_channel() {
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), crate::scripted::Mixed, NodeConfig::default());
    let mut positioned = test.client().await;
    subscribe(&mut positioned, "news", r#","positioned":true"#).await;
    let mut plain = test.client().await;
    subscribe(&mut plain, "news", "").await;
    assert_eq!(test.node.stats().subscriptions, 2);
    for number in [6, 7, 9] {
        scripted.deliver("news", number, "a");
    }
    for number in [6, 7, 9] {
        assert_eq!(offset(&mut plain).await, number);
    }
    assert_eq!(offset(&mut positioned).await, 6);
    assert_eq!(offset(&mut positioned).await, 7);
    assert_eq!(positioned.message().await, unsubscribed("news"));
    test.end().await;
}

/// Lets so many seconds pass while a client, which is not pinged, waits.
async fn wait(seconds: u64) {
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await; // tidy: allow-sleep the clock of the caller is paused
}

fn quiet() -> NodeConfig {
    let mut config = NodeConfig::default();
    config.ping_interval = None;
    config
}

#[tokio::test(start_paused = true)]
async fn what_no_publication_reveals_is_found_by_asking_the_broker() {
    for (top, epoch, lost) in [(5, "a", false), (6, "a", true), (4, "a", true), (5, "b", true)] {
        let scripted = Scripted::new(at(5, "a"));
        let test = start_on(scripted.clone(), ByName, quiet());
        let mut client = test.client().await;
        subscribe(&mut client, CHANNEL, "").await;
        scripted.keep(&[], at(top, epoch));
        wait(39).await;
        client.silence().await;
        assert_eq!(scripted.asked(), 1, "only as it subscribed");
        wait(5).await;
        if lost {
            assert_eq!(client.message().await, unsubscribed(CHANNEL), "{top} {epoch}");
        } else {
            client.silence().await;
            assert_eq!(scripted.asked(), 2);
        }
        test.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_late_and_arrives_is_not_lost() {
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), ByName, quiet());
    let mut client = test.client().await;
    subscribe(&mut client, CHANNEL, "").await;
    scripted.keep(&[], at(6, "a"));
    // The broker is asked, and the publication arrives before it is asked again.
    scripted.until_asked(2).await;
    scripted.deliver(CHANNEL, 6, "a");
    assert_eq!(offset(&mut client).await, 6);
    wait(10).await;
    client.silence().await;
    assert_eq!(scripted.asked(), 3, "once more soon after");
    // A broker that cannot say proves nothing.
    scripted.fail();
    wait(100).await;
    client.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn channels_without_positions_are_not_asked_about() {
    let scripted = Scripted::new(at(5, "a"));
    let test = start_on(scripted.clone(), ByName, quiet());
    let mut client = test.client().await;
    client.subscribe("plain").await;
    client.subscribe("listen").await;
    wait(100).await;
    assert_eq!(scripted.asked(), 0);
    client.subscribe(CHANNEL).await;
    client.call(&format!(r#""unsubscribe":{{"channel":"{CHANNEL}"}}"#)).await;
    wait(100).await;
    assert_eq!(scripted.asked(), 1, "only as it subscribed");
    // And again, once there is somebody.
    client.subscribe(CHANNEL).await;
    wait(100).await;
    assert_eq!(scripted.asked(), 4);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reliable_broker_is_not_asked() {
    let scripted = Scripted::with(at(5, "a"), true);
    let test = start_on(scripted.clone(), ByName, quiet());
    let mut client = test.client().await;
    subscribe(&mut client, CHANNEL, "").await;
    scripted.keep(&[], at(9, "a"));
    wait(200).await;
    client.silence().await;
    assert_eq!(scripted.asked(), 1);
    test.end().await;
}
