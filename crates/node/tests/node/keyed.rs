//! Keyed channels on a running node (MAP-20 to MAP-37).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tourbillon_broker::Engine;
use tourbillon_broker_memory::{MemoryEngine, MemoryMaps};
use tourbillon_node::{MapPublishOptions, MapRemoveOptions, NodeConfig};
use tourbillon_types::{
    Channel, Disconnect, Encoding, KeyMode, ManualClock, MapQuery, Payload, ReplyError, TagFilter, Tags,
};

use crate::harness::{Client, TestNode, start, start_on};
use crate::keeper::{Keeper, Phase};
use crate::metrics::value;
use crate::scripted::ByName;

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

fn start_maps() -> (TestNode, MemoryMaps, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let maps = MemoryMaps::with_clock(clock.clone());
    let engine = Engine::new(MemoryEngine::default()).with_maps(maps.clone());
    let mut config = NodeConfig::default();
    config.ping_interval = None;
    (start_on(engine, ByName, config), maps, clock)
}

/// Long enough that a delta is smaller.
fn document(number: u32) -> String {
    format!(r#"{{"number":{number},"text":"the same <words> in every one of them, ünd long enough"}}"#)
}

async fn set(test: &TestNode, channel: &str, key: &str, data: &str) {
    set_with(test, channel, key, data, |_| {}).await;
}

async fn set_with(
    test: &TestNode,
    channel: &str,
    key: &str,
    data: &str,
    change: impl FnOnce(&mut MapPublishOptions),
) {
    let mut options = MapPublishOptions::default();
    change(&mut options);
    let data = Payload::from(data.as_bytes().to_vec());
    let changed = test.node.map_publish(Channel::from(channel), key, data, options).await;
    assert_eq!(changed.expect("set").suppressed, None);
}

async fn remove(test: &TestNode, channel: &str, key: &str) {
    let removed = test.node.map_remove(Channel::from(channel), key, MapRemoveOptions::default()).await;
    assert_eq!(removed.expect("removed").suppressed, None);
}

async fn keys(test: &TestNode, channel: &str) -> Vec<String> {
    let page = test.node.map_state(&Channel::from(channel), &MapQuery::default()).await.expect("a state");
    page.entries.iter().map(|entry| entry.key.as_deref().expect("keyed").to_owned()).collect()
}

/// A connected client, and its id.
async fn named(test: &TestNode, user: &str) -> (Client, String) {
    let mut client = test.open(1 << 20, |_| {});
    let reply = client.call(&format!(r#""connect":{{"token":"{user}"}}"#)).await;
    let id = reply["connect"]["client"].as_str().expect("an id").to_owned();
    (client, id)
}

fn load(channel: &str, kind: i32) -> String {
    format!(r#""subscribe":{{"channel":"{channel}","type":{kind},"phase":2}}"#)
}

#[tokio::test(start_paused = true)]
async fn map_20_to_25_a_state_is_loaded_in_pages_caught_up_with_and_followed() {
    let (test, ..) = start_maps();
    for encoding in BOTH {
        let channel = format!("map_{encoding:?}");
        for number in 0..8 {
            set(&test, &channel, &format!("k{number}"), &document(number)).await;
        }
        let mut keeper = Keeper::connect(&test, encoding, &channel).await;
        // Three entries a page, as of the first one: what is set later comes later.
        keeper.step().await.expect("a page");
        set(&test, &channel, "k3", "3").await;
        set(&test, &channel, "k7", "7").await;
        remove(&test, &channel, "k5").await;
        let page = keeper.step().await.expect("a page");
        assert_eq!((page.position.offset, page.state.len()), (8, 2), "k3 is newer, and k5 is gone");
        keeper.load().await;
        let expected = keys(&test, &channel).await;
        assert_eq!(keeper.values.keys().cloned().collect::<Vec<_>>(), expected);
        assert_eq!(keeper.values["k7"], b"7");
        let changes = [("k3", false), ("k7", false), ("k5", true)];
        assert_eq!(keeper.changes, changes.map(|(key, removed)| (key.to_owned(), removed)));
        // Live.
        set(&test, &channel, "new", "1").await;
        remove(&test, &channel, "k0").await;
        keeper.settle().await;
        assert_eq!(keeper.values.keys().cloned().collect::<Vec<_>>(), keys(&test, &channel).await);
        // Away, and back.
        keeper.unsubscribe().await;
        set(&test, &channel, "k1", "[1]").await;
        let back = keeper.step().await.expect("recovered");
        assert!(back.recovered && back.was_recovering && back.state.is_empty());
        assert_eq!(keeper.values["k1"], b"[1]");
        // Away for too long: six changes are more than the five that it may catch up with.
        keeper.unsubscribe().await;
        for number in 0..6 {
            set(&test, &channel, "k1", &number.to_string()).await;
        }
        assert_eq!(keeper.step().await, Err(ReplyError::UNRECOVERABLE_POSITION));
        keeper.load().await;
        assert_eq!(keeper.values["k1"], b"5");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_26_hid_38_results_have_the_fields_of_maps_and_no_others() {
    let (test, ..) = start_maps();
    let mut client = test.client().await;
    set(&test, "map", "a", "1").await;
    let whole = client.call(&load("map", 1)).await;
    let epoch = whole["subscribe"]["epoch"].clone();
    let state = json!([{"data": 1, "offset": 1, "key": "a"}]);
    let mut got = whole["subscribe"].clone();
    got["state"][0].as_object_mut().expect("an entry").remove("time");
    assert_eq!(got, json!({"recoverable": true, "epoch": epoch, "offset": 1, "type": 1, "state": state}));
    for (channel, kind) in [("mapclients", 2), ("mapusers", 3)] {
        let found = client.call(&load(channel, kind)).await;
        assert_eq!((&found["subscribe"]["type"], &found["subscribe"]["phase"]), (&json!(1), &Value::Null));
    }
    let ephemeral = client.call(&load("map_ephemeral", 1)).await;
    assert_eq!(ephemeral["subscribe"]["recoverable"], Value::Null);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_25_nobody_recovers_without_knowing_the_epoch() {
    let (test, ..) = start_maps();
    for number in 0..3 {
        set(&test, "map", "a", &number.to_string()).await;
    }
    let mut client = test.client().await;
    for place in [r#""offset":2"#, r#""offset":0"#, r#""offset":2,"epoch":"other""#] {
        let recover = format!(r#""subscribe":{{"channel":"map","type":1,"recover":true,{place}}}"#);
        assert_eq!(client.call(&recover).await["error"]["code"], 112, "{place}");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn subt_02_to_04_a_channel_is_of_one_kind() {
    let (test, ..) = start_maps();
    let mut client = test.client().await;
    for (channel, kind, code) in [
        ("plain", 1, 103),
        ("plain", 2, 103),
        ("plain", 3, 103),
        ("map", 2, 103),
        ("map", 3, 103),
        ("mapclients", 1, 103),
        ("mapusers", 2, 103),
    ] {
        let refused = client.call(&load(channel, kind)).await;
        assert_eq!(refused["error"]["code"], code, "{channel} {kind}");
    }
    for channel in ["map", "mapclients", "mapusers"] {
        let refused = client.call(&format!(r#""subscribe":{{"channel":"{channel}"}}"#)).await;
        assert_eq!(refused["error"]["code"], 103, "{channel} is no stream");
    }
    test.end().await;
    // Without a store there are no keyed channels.
    let test = start(ByName, NodeConfig::default());
    let mut client = test.client().await;
    let refused = client.call(&load("map", 1)).await;
    assert_eq!(refused["error"]["code"], 108);
    let refused = client.call(r#""publish":{"channel":"map","type":1,"key":"a","data":1}"#).await;
    assert_eq!(refused["error"]["code"], 108);
    assert_eq!(test.node.map_stats(&Channel::from("map")).await, Err(ReplyError::NOT_AVAILABLE));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_29_delta_05_values_come_as_differences_from_the_one_before_of_their_key() {
    let (test, ..) = start_maps();
    let channel = "map_delta";
    let mut keepers = Vec::new();
    for (at, number) in (0_u32..3).enumerate() {
        set(&test, channel, &format!("k{at}"), &document(number)).await;
    }
    for encoding in BOTH {
        let mut keeper = Keeper::connect(&test, encoding, channel).await.fossil(true);
        keeper.load().await;
        keepers.push(keeper);
    }
    let mut plain = Keeper::connect(&test, Encoding::Json, channel).await;
    plain.load().await;
    keepers.push(plain);
    for number in 10..13 {
        for key in ["k0", "k1"] {
            set(&test, channel, key, &document(number)).await;
        }
    }
    // What is new, or was removed, comes whole.
    remove(&test, channel, "k0").await;
    set(&test, channel, "k0", &document(20)).await;
    set(&test, channel, "k9", &document(20)).await;
    for (keeper, deltas) in keepers.iter_mut().zip([6, 6, 0]) {
        keeper.settle().await;
        assert_eq!(keeper.deltas, deltas, "of six values the one before is there");
        assert_eq!(keeper.values["k0"], document(20).as_bytes());
        assert_eq!(keeper.values["k1"], document(12).as_bytes());
        // What was missed is a chain for each key.
        keeper.unsubscribe().await;
    }
    for number in 30..32 {
        set(&test, channel, "k1", &document(number)).await;
        set(&test, channel, "k2", &document(number)).await;
    }
    remove(&test, channel, "k2").await;
    for (keeper, deltas) in keepers.iter_mut().zip([8, 8, 0]) {
        keeper.step().await.expect("recovered");
        assert_eq!((keeper.phase.clone(), keeper.deltas), (Phase::Live, deltas));
        assert_eq!(keeper.values["k1"], document(31).as_bytes());
        assert!(!keeper.values.contains_key("k2"));
    }
    set(&test, channel, "k1", &document(32)).await;
    for keeper in &mut keepers {
        keeper.settle().await;
        assert_eq!(keeper.values["k1"], document(32).as_bytes());
    }
    assert_eq!(keepers[0].deltas, 9, "and goes on");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_29_no_deltas_where_the_value_before_is_not_certain() {
    let (test, ..) = start_maps();
    let filter =
        TagFilter { key: "t".to_owned(), cmp: "eq".to_owned(), val: "1".to_owned(), ..TagFilter::default() };
    for (channel, filter) in [("map_delta_ephemeral", None), ("map_delta_filter", Some(Box::new(filter)))] {
        let mut keeper = Keeper::connect(&test, Encoding::Json, channel).await.fossil(false);
        keeper.wish.filter = filter;
        keeper.load().await;
        let tags = Arc::new(Tags::from([("t".to_owned(), "1".to_owned())]));
        for number in 0..3 {
            set_with(&test, channel, "k", &document(number), |options| options.tags = Some(tags.clone()))
                .await;
        }
        keeper.settle().await;
        assert_eq!((keeper.deltas, &*keeper.values["k"]), (0, document(2).as_bytes()), "{channel}");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_30_map_31_filters_hide_entries_changes_and_removals() {
    let (test, ..) = start_maps();
    let channel = "map_filter";
    let tags = |value: &str| Some(Arc::new(Tags::from([("t".to_owned(), value.to_owned())])));
    let set_tagged = async |key: &str, value: &str| {
        set_with(&test, channel, key, "1", |options| options.tags = tags(value)).await;
    };
    set_tagged("a", "1").await;
    set_tagged("b", "2").await;
    let mut keeper = Keeper::connect(&test, Encoding::Json, channel).await;
    keeper.wish.filter = Some(Box::new(TagFilter {
        key: "t".to_owned(),
        cmp: "eq".to_owned(),
        val: "1".to_owned(),
        ..TagFilter::default()
    }));
    keeper.load().await;
    assert_eq!(keeper.values.keys().collect::<Vec<_>>(), ["a"]);
    set_tagged("c", "2").await;
    set_tagged("d", "1").await;
    // A removal is of the entry's tags, or of those given.
    remove(&test, channel, "b").await;
    remove(&test, channel, "a").await;
    let mut options = MapRemoveOptions::default();
    options.tags = tags("1");
    test.node.map_remove(Channel::from(channel), "c", options).await.expect("removed");
    keeper.settle().await;
    let changes = [("d", false), ("a", true), ("c", true)].map(|(key, removed)| (key.to_owned(), removed));
    assert_eq!(keeper.changes, changes);
    keeper.unsubscribe().await;
    set_tagged("e", "2").await;
    set_tagged("f", "1").await;
    keeper.step().await.expect("recovered");
    assert_eq!(keeper.changes[3..], [("f".to_owned(), false)]);
    assert_eq!(keeper.position.offset, 9, "it is past what it does not see");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_32_cmd_07_clients_set_and_remove_keys() {
    let (test, ..) = start_maps();
    let (mut ann, id) = named(&test, "ann").await;
    let mut keeper = Keeper::connect(&test, Encoding::Json, "map").await;
    keeper.load().await;
    let done = ann.call(r#""publish":{"channel":"map","type":1,"key":"a","data":[1]}"#).await;
    assert_eq!(done["publish"], json!({}));
    keeper.settle().await;
    assert_eq!(keeper.values["a"], b"[1]");
    let page = test.node.map_state(&Channel::from("map"), &MapQuery::default()).await.expect("a state");
    let info = page.entries[0].info.as_ref().expect("the publisher is told");
    assert_eq!((info.user.as_str(), info.client.map(|id| id.to_string())), ("ann", Some(id.clone())));
    let done = ann.call(r#""publish":{"channel":"map","type":1,"key":"a","removed":true}"#).await;
    assert_eq!(done["publish"], json!({}));
    keeper.settle().await;
    assert!(keeper.values.is_empty());
    // A key is needed, which the application may find.
    for removed in [false, true] {
        let none = format!(r#""publish":{{"channel":"map","type":1,"data":1,"removed":{removed}}}"#);
        assert_eq!(ann.call(&none).await["error"]["code"], 107);
    }
    let done = ann.call(r#""publish":{"channel":"map_mine","type":1,"data":1}"#).await;
    assert_eq!(done["publish"], json!({}));
    assert_eq!(keys(&test, "map_mine").await, [id]);
    // What is removed already is removed.
    let done = ann.call(r#""publish":{"channel":"map","type":1,"key":"a","removed":true}"#).await;
    assert_eq!(done["publish"], json!({}));
    // Channels without rules for keys have none.
    let refused = ann.call(r#""publish":{"channel":"plain","type":1,"key":"a","data":1}"#).await;
    assert_eq!(refused["error"]["code"], 108);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_33_map_34_hid_43_opt_25_subscriptions_show_themselves_as_keys() {
    let (test, maps, clock) = start_maps();
    let (mut ann, ann_id) = named(&test, "ann").await;
    let (mut watcher, _) = named(&test, "watcher").await;
    for channel in ["mapclients_shown", "mapusers_shown"] {
        let kind = if channel.starts_with("mapclients") { 2 } else { 3 };
        assert!(watcher.call(&load(channel, kind)).await["subscribe"].is_object());
    }
    let both = async |client: &[&str], user: &[&str]| {
        assert_eq!(keys(&test, "mapclients_shown").await, client);
        assert_eq!(keys(&test, "mapusers_shown").await, user);
    };
    both(&[], &[]).await;
    ann.subscribe("shown").await;
    both(&[&ann_id], &["ann"]).await;
    let (mut first, mut second) = (watcher.message().await, watcher.message().await);
    if first["push"]["channel"] == "mapusers_shown" {
        std::mem::swap(&mut first, &mut second);
    }
    assert_eq!(first["push"]["pub"]["info"], json!({"user": "ann", "client": ann_id, "conn_info": 1}));
    assert_eq!(
        (&second["push"]["pub"]["key"], &second["push"]["pub"]["info"]),
        (&json!("ann"), &Value::Null)
    );
    // They live on with the connection's presence, of which nobody hears.
    for _ in 0..15 {
        clock.advance(Duration::from_secs(10));
        maps.expire();
        tokio::time::sleep(Duration::from_secs(10)).await;
        ann.silence().await;
        watcher.silence().await;
        both(&[&ann_id], &["ann"]).await;
    }
    // The key of the client ends with the subscription, that of the user by itself.
    ann.call(r#""unsubscribe":{"channel":"shown"}"#).await;
    ann.silence().await;
    both(&[], &["ann"]).await;
    let gone = watcher.message().await;
    assert_eq!(
        (&gone["push"]["pub"]["key"], &gone["push"]["pub"]["removed"]),
        (&json!(ann_id), &json!(true))
    );
    ann.subscribe("shown").await;
    both(&[&ann_id], &["ann"]).await;
    drop(ann);
    let (set, gone) = (watcher.message().await, watcher.message().await);
    assert_eq!(
        [&set["push"]["pub"]["removed"], &gone["push"]["pub"]["removed"]],
        [&Value::Null, &json!(true)]
    );
    both(&[], &["ann"]).await;
    clock.advance(Duration::from_secs(61));
    both(&[], &[]).await;
    // Who has no name is no user.
    let (mut nobody, id) = named(&test, "").await;
    nobody.subscribe("shown").await;
    both(&[&id], &[]).await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_06_a_clients_key_ends_with_its_subscription() {
    let (test, ..) = start_maps();
    let (mut ann, _) = named(&test, "ann").await;
    assert!(ann.call(&load("map_mine_own", 1)).await["subscribe"].is_object());
    ann.send(r#"{"id":20,"publish":{"channel":"map_mine_own","type":1,"data":1}}"#);
    set(&test, "map_mine_own", "other", "1").await;
    for _ in 0..3 {
        ann.message().await;
    }
    assert_eq!(keys(&test, "map_mine_own").await.len(), 2);
    ann.call(r#""unsubscribe":{"channel":"map_mine_own"}"#).await;
    ann.silence().await;
    assert_eq!(keys(&test, "map_mine_own").await, ["other"]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_forgotten_is_loaded_again() {
    let (test, ..) = start_maps();
    for channel in ["map", "map_ephemeral"] {
        set(&test, channel, "a", "1").await;
        let mut live = Keeper::connect(&test, Encoding::Json, channel).await;
        live.load().await;
        for number in 0..6 {
            set(&test, channel, &format!("k{number}"), "1").await;
        }
        let mut loading = Keeper::connect(&test, Encoding::Json, channel).await;
        loading.step().await.expect("a page");
        live.settle().await;
        test.node.map_clear(&Channel::from(channel)).await.expect("cleared");
        live.settle().await;
        assert_eq!(live.unsubscribed, Some(2500), "{channel}");
        set(&test, channel, "b", "1").await;
        for keeper in [&mut live, &mut loading] {
            keeper.load().await;
            assert_eq!(keeper.values.keys().collect::<Vec<_>>(), ["b"], "{channel}");
        }
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn keys_that_end_are_told_as_removed() {
    let (test, maps, clock) = start_maps();
    for channel in ["map", "map_ephemeral"] {
        let mut keeper = Keeper::connect(&test, Encoding::Json, channel).await;
        keeper.load().await;
        set(&test, channel, "a", "1").await;
        clock.advance(Duration::from_secs(30));
        set(&test, channel, "b", "1").await;
        clock.advance(Duration::from_secs(31));
        maps.expire();
        keeper.settle().await;
        assert_eq!(keeper.values.keys().collect::<Vec<_>>(), ["b"], "{channel}");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn hid_41_who_takes_too_long_to_load_is_disconnected() {
    let (test, ..) = start_maps();
    for channel in ["map", "map_ephemeral"] {
        for number in 0..8 {
            set(&test, channel, &format!("k{number}"), "1").await;
        }
        let mut keeper = Keeper::connect(&test, Encoding::Json, channel).await;
        keeper.step().await.expect("a page");
        let others = usize::from(channel == "map_ephemeral");
        assert_eq!(
            test.node.stats().subscriptions,
            others,
            "what has no stream is attached from the beginning"
        );
        tokio::time::sleep(Duration::from_secs(6)).await;
        keeper.settle().await;
        assert_eq!(test.node.stats().subscriptions, 0, "nothing is kept for it");
        keeper.send_next();
        assert_eq!(keeper.closed().await, Disconnect::SLOW);
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_while_it_loads_leaves_nothing_behind() {
    let (test, ..) = start_maps();
    for number in 0..8 {
        set(&test, "map_ephemeral", &format!("k{number}"), "1").await;
    }
    let mut keeper = Keeper::connect(&test, Encoding::Json, "map_ephemeral").await;
    keeper.step().await.expect("a page");
    assert_eq!(test.node.stats().subscriptions, 1);
    keeper.unsubscribe().await;
    assert_eq!(test.node.stats().subscriptions, 0);
    keeper.step().await.expect("a page");
    drop(keeper);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_38_what_the_server_subscribes_to_is_a_stream_of_changes() {
    let (test, ..) = start_maps();
    set(&test, "map", "a", "1").await;
    let mut client = test.open(1 << 20, |_| {});
    let subs = client.call(r#""connect":{"token":"ann"}"#).await;
    assert!(subs["connect"]["client"].is_string());
    let user = tourbillon_node::Target::user("ann".into());
    let mut options = tourbillon_node::SubscriptionOptions::default();
    options.recoverable = true;
    test.node.subscribe(&user, Channel::from("map"), options).await.expect("subscribed");
    let push = client.message().await;
    assert_eq!(push["push"]["subscribe"], json!({}), "without state and position");
    set(&test, "map", "b", "2").await;
    assert_eq!(client.message().await["push"]["pub"]["key"], "b");
    test.end().await;
}

/// Who has no state has nothing that a key's change could be a delta against.
#[tokio::test(start_paused = true)]
async fn map_38_what_the_server_subscribes_to_comes_whole() {
    let (test, ..) = start_maps();
    let document =
        |number| json!({"number": number, "text": "the same words in every one of them, and long enough"});
    set(&test, "map_delta", "a", &document(1).to_string()).await;
    let mut client = test.open(1 << 20, |_| {});
    let reply = client.call(r#""connect":{"subs":{"map_delta":{"delta":"fossil"}}}"#).await;
    assert_eq!(reply["connect"]["subs"]["map_delta"], json!({}));
    for number in 2..4 {
        set(&test, "map_delta", "a", &document(number).to_string()).await;
        let push = client.message().await;
        assert_eq!(push["push"]["pub"]["data"], document(number), "{push}");
        assert!(push["push"]["pub"]["delta"].is_null(), "{push}");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn met_24_recoveries_of_keyed_channels_are_counted() {
    let (test, ..) = start_maps();
    for number in 0..2 {
        set(&test, "map", "a", &number.to_string()).await;
    }
    let mut first = test.client().await;
    let loaded = first.call(&load("map", 1)).await;
    let epoch = loaded["subscribe"]["epoch"].as_str().expect("an epoch").to_owned();
    let counted = |publications: &str, recovered: &str| {
        let labels = [("has_recovered_publications", publications), ("recovered", recovered)];
        value(&test.node, "centrifugo_client_recover", &labels)
    };
    assert_eq!((counted("yes", "yes"), counted("no", "yes"), counted("no", "no")), (0.0, 0.0, 0.0));
    for (epoch, offset) in [(&*epoch, 1), (&*epoch, 2), ("other", 1)] {
        let mut client = test.client().await;
        let place = format!(r#""recover":true,"epoch":"{epoch}","offset":{offset}"#);
        client.call(&format!(r#""subscribe":{{"channel":"map","type":1,{place}}}"#)).await;
    }
    assert_eq!((counted("yes", "yes"), counted("no", "yes"), counted("no", "no")), (1.0, 1.0, 1.0));
    drop(first);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn met_01_met_03_met_40_what_is_done_to_keyed_channels_is_counted() {
    let (test, ..) = start_maps();
    let mut client = test.client().await;
    client.call(&load("map", 1)).await;
    for key in ["a", "b"] {
        set(&test, "map", key, "1").await;
    }
    let channel = Channel::from("map");
    for (key, mode) in [("a", KeyMode::IfNew), ("c", KeyMode::IfExists)] {
        let mut options = MapPublishOptions::default();
        options.mode = mode;
        let changed = test.node.map_publish(channel.clone(), key, Payload::from("2"), options).await;
        assert!(changed.expect("answered").suppressed.is_some(), "{key}");
    }
    remove(&test, "map", "a").await;
    let again = test.node.map_remove(channel.clone(), "a", MapRemoveOptions::default()).await;
    assert!(again.expect("answered").suppressed.is_some());
    test.node.map_state(&channel, &MapQuery::default()).await.expect("read");
    test.node.map_stats(&channel).await.expect("read");
    test.node.notify("anything", "".into()).await.expect("nobody else is there");
    drop(client);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told = |kind| value(&test.node, "centrifugo_node_messages_sent_count", &[("type", kind)]);
    assert_eq!((told("map_publication"), told("map_removal"), told("publication")), (2.0, 1.0, 0.0));
    let done = |action| value(&test.node, "centrifugo_node_action_count", &[("action", action)]);
    for (action, count) in [
        ("map_publish", 4.0),
        ("map_remove", 2.0),
        ("map_state_read", 2.0),
        ("map_stats", 1.0),
        ("map_broker_subscribe", 1.0),
        ("map_broker_unsubscribe", 1.0),
        ("broker_subscribe", 0.0),
        ("notify", 1.0),
    ] {
        assert_eq!(done(action), count, "{action}");
    }
    let suppressed = |what: &str, reason| {
        value(&test.node, &format!("centrifugo_map_broker_{what}_suppressed_count"), &[("reason", reason)])
    };
    assert_eq!(suppressed("publish", "key_exists"), 1.0);
    assert_eq!(suppressed("publish", "key_not_found"), 1.0);
    assert_eq!(suppressed("remove", "key_not_found"), 1.0);
    test.end().await;
}
