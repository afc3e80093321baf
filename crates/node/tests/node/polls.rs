//! Polled channels on a node: commands of clients, questions to the application, and what comes of its answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tourbillon_broker::Engine;
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::hooks::{PollMode, PollRules, TrackDecision, TrackRequest};
use tourbillon_node::shared_poll::{Refresh, Refreshed, Value as Held};
use tourbillon_node::{
    Backend, BackendError, ChannelOptions, Form, Hooks, Measures, Node, NodeConfig, Refusal,
    SharedPollUpdate, SubscribeDecision, SubscribeRequest, SubscriptionKind, SubscriptionOptions, Target,
};
use tourbillon_types::{Channel, Epoch, ReplyError};

use crate::harness::{Client, TestNode};
use crate::interest::Asked;
use crate::metrics::{measured, value};

/// The application: what its keys hold, and how it behaves.
#[derive(Clone, Debug, Default)]
struct Shop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    shelf: Mutex<Shelf>,
    /// Lets those go on that hang.
    go_on: Notify,
}

#[derive(Debug, Default)]
struct Shelf {
    values: BTreeMap<String, Held>,
    epoch: String,
    behaviour: Behaviour,
    asked: Vec<Refresh>,
    asking: usize,
    most: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Behaviour {
    #[default]
    Answers,
    Fails,
    Panics,
    Hangs,
}

impl Shop {
    fn hold(&self, value: Held) {
        self.0.shelf.lock().values.insert(value.key.clone(), value);
    }

    fn behave(&self, behaviour: Behaviour) {
        self.0.shelf.lock().behaviour = behaviour;
    }

    fn asked(&self) -> Vec<Vec<(String, u64)>> {
        let asked = std::mem::take(&mut self.0.shelf.lock().asked);
        let items = |refresh: Refresh| {
            refresh.items.into_iter().map(|item| (item.key.to_string(), item.version)).collect()
        };
        asked.into_iter().map(items).collect()
    }
}

impl Backend for Shop {
    async fn refresh(&self, refresh: Refresh) -> Result<Refreshed, BackendError> {
        let behaviour = {
            let mut shelf = self.0.shelf.lock();
            shelf.asked.push(refresh.clone());
            shelf.asking += 1;
            shelf.most = shelf.most.max(shelf.asking);
            shelf.behaviour
        };
        if let Behaviour::Hangs = behaviour {
            self.0.go_on.notified().await;
        }
        let mut shelf = self.0.shelf.lock();
        shelf.asking -= 1;
        match behaviour {
            Behaviour::Fails => return Err(BackendError("closed".to_owned())),
            Behaviour::Panics => panic!("on purpose"),
            Behaviour::Answers | Behaviour::Hangs => {}
        }
        let values = refresh.items.iter().filter_map(|item| shelf.values.get(&*item.key).cloned());
        Ok(Refreshed { values: values.collect(), epoch: Epoch::from(shelf.epoch.as_str()) })
    }
}

/// What a channel is like is in its name.
struct ByName;

impl Hooks for ByName {
    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options = self.channel_options(&request.channel)?.subscription();
        Ok(decision)
    }

    async fn track(&self, request: TrackRequest) -> Result<TrackDecision, Refusal> {
        let end = |batch: &tourbillon_node::hooks::SignedKeys| match batch.signature.as_str() {
            "" => Ok(None),
            "forged" => Err(ReplyError::PERMISSION_DENIED.into()),
            "late" => Err(ReplyError::TOKEN_EXPIRED.into()),
            seconds => Ok(Some(request.unix_seconds + seconds.parse::<i64>().expect("seconds"))),
        };
        let expire_at = request.batches.iter().map(end).collect::<Result<_, Refusal>>()?;
        Ok(TrackDecision { expire_at })
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        let mut options = ChannelOptions::default();
        let is = |what: &str| channel.split('_').any(|part| part == what);
        if is("polled") {
            options.kind = SubscriptionKind::SharedPoll;
            options.allow_delta = true;
            options.poll = Some(PollRules {
                mode: if is("versioned") { PollMode::Versioned } else { PollMode::Versionless },
                publish_enabled: is("direct"),
                keep_latest_data: is("kept"),
                max_keys_per_connection: 3,
                refresh_batch_size: if is("single") { 1 } else { 1000 },
                ..PollRules::default()
            });
        }
        Ok(options)
    }
}

fn start(config: NodeConfig) -> (TestNode, Shop) {
    start_on(MemoryEngine::default(), config)
}

fn start_on(engine: impl Into<Engine>, config: NodeConfig) -> (TestNode, Shop) {
    let shop = Shop::default();
    let builder = Node::builder(engine).hooks(ByName).shared_poll(shop.clone());
    let (node, driver) = builder.config(config).build().expect("a valid configuration");
    tokio::spawn(driver);
    (TestNode { node }, shop)
}

fn rig() -> (TestNode, Shop) {
    let mut config = NodeConfig::default();
    config.ping_interval = None;
    start(config)
}

async fn subscribed(test: &TestNode, channel: &str) -> Client {
    let mut client = test.client().await;
    let reply = client.call(&format!(r#""subscribe":{{"channel":"{channel}","type":4}}"#)).await;
    assert_eq!(reply["subscribe"]["type"], 4, "{reply}");
    client
}

async fn track(client: &mut Client, channel: &str, keys: &[(&str, u64)]) -> Value {
    track_by(client, channel, "", keys).await
}

async fn track_by(client: &mut Client, channel: &str, signature: &str, keys: &[(&str, u64)]) -> Value {
    let items: Vec<_> = keys.iter().map(|(key, version)| json!({"key": key, "version": version})).collect();
    let track = json!({"channel": channel, "type": 1, "track": [{"signature": signature, "items": items}]});
    client.call(&format!(r#""sub_refresh":{track}"#)).await
}

/// The next publication.
async fn pushed(client: &mut Client) -> Value {
    client.message().await["push"]["pub"].clone()
}

async fn pass(seconds: u64) {
    // tidy: allow-sleep the clock of every test here is paused
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn sp_11_who_tracks_a_new_key_is_answered_and_sent_its_value_at_once() {
    let (test, shop) = rig();
    shop.hold(Held::new("gold", "12".into()));
    let mut client = subscribed(&test, "polled").await;
    let reply = track(&mut client, "polled", &[("gold", 0), ("lead", 0)]).await;
    assert_eq!(reply["sub_refresh"], json!({}));
    assert_eq!(pushed(&mut client).await, json!({"data": 12, "key": "gold", "version": 1}));
    client.silence().await;
    assert_eq!(shop.asked(), [[("gold".to_owned(), 0), ("lead".to_owned(), 0)]]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn sp_07_a_channel_is_asked_about_once_in_an_interval_for_all_who_track() {
    let (test, shop) = rig();
    shop.hold(Held::new("gold", "12".into()));
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = subscribed(&test, "polled").await;
        track(&mut client, "polled", &[("gold", 0)]).await;
        assert_eq!(pushed(&mut client).await["version"], 1);
        clients.push(client);
    }
    shop.asked();
    shop.hold(Held::new("gold", "13".into()));
    pass(11).await;
    assert_eq!(shop.asked(), [[("gold".to_owned(), 0)]]);
    for client in &mut clients {
        assert_eq!(pushed(client).await, json!({"data": 13, "key": "gold", "version": 2}));
    }
    pass(30).await;
    assert_eq!(shop.asked().len(), 3);
    for client in &mut clients {
        client.silence().await;
        client.call(r#""unsubscribe":{"channel":"polled"}"#).await;
    }
    pass(60).await;
    assert_eq!(shop.asked().len(), 0, "nobody tracks anything");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn sp_08_whatever_goes_wrong_with_an_answer_skips_a_cycle() {
    let (test, shop) = rig();
    shop.hold(Held::versioned("gold", "12".into(), 5));
    let mut client = subscribed(&test, "polled_versioned").await;
    track(&mut client, "polled_versioned", &[("gold", 5)]).await;
    pass(1).await;
    for behaviour in [Behaviour::Fails, Behaviour::Panics] {
        shop.behave(behaviour);
        pass(10).await;
        client.silence().await;
    }
    shop.behave(Behaviour::Hangs);
    pass(10).await;
    assert_eq!(shop.asked().len(), 3);
    shop.behave(Behaviour::Answers);
    shop.hold(Held::versioned("gold", "13".into(), 6));
    // It is given up 30 s later, and the next cycle begins at once.
    pass(28).await;
    client.silence().await;
    assert_eq!(shop.asked().len(), 0, "what is being asked about is not asked about again");
    assert_eq!(pushed(&mut client).await["version"], 6);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn sp_10_another_epoch_ends_all_subscriptions_with_2500() {
    let (test, shop) = rig();
    shop.hold(Held::versioned("gold", "12".into(), 5));
    shop.0.shelf.lock().epoch = "e1".to_owned();
    let mut client = subscribed(&test, "polled_versioned").await;
    track(&mut client, "polled_versioned", &[("gold", 0)]).await;
    let told = client.message().await;
    assert_eq!(told["push"]["unsubscribe"]["code"], 2500, "{told}");
    let reply = client.call(r#""subscribe":{"channel":"polled_versioned","type":4}"#).await;
    assert_eq!(reply["subscribe"]["epoch"], "e1");
    track(&mut client, "polled_versioned", &[("gold", 0)]).await;
    assert_eq!(pushed(&mut client).await, json!({"data": 12, "key": "gold", "version": 5}));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn sp_08_it_may_change_how_long_an_answer_is_waited_for() {
    let (test, shop) = rig();
    let seconds = Duration::from_secs;
    test.node.set_call_timeouts(seconds(10), seconds(5));
    shop.behave(Behaviour::Hangs);
    let mut client = subscribed(&test, "polled").await;
    track(&mut client, "polled", &[("gold", 0)]).await;
    pass(1).await;
    assert_eq!(shop.asked().len(), 1);
    pass(10).await;
    assert_eq!(shop.asked().len(), 1, "it was given up, and the cycle asks again");
    test.end().await;
}

/// HID-25.
#[tokio::test(start_paused = true)]
async fn sp_16_the_broker_is_asked_for_a_channel_no_more_once_another_epoch_ended_all_subscriptions() {
    const CHANNEL: &str = "polled_versioned_direct";
    let (broker, mut config) = (Asked::default(), NodeConfig::default());
    config.ping_interval = None;
    let (test, shop) = start_on(broker.clone(), config);
    shop.hold(Held::versioned("gold", "12".into(), 5));
    let mut client = subscribed(&test, CHANNEL).await;
    assert_eq!(broker.take(), [format!("subscribe {CHANNEL}")]);
    shop.0.shelf.lock().epoch = "e1".to_owned();
    track(&mut client, CHANNEL, &[("gold", 0)]).await;
    assert_eq!(client.message().await["push"]["unsubscribe"]["code"], 2500);
    pass(2).await;
    assert_eq!(broker.take(), [format!("unsubscribe {CHANNEL}")]);
    // Who comes again gets what is published.
    client.call(&format!(r#""subscribe":{{"channel":"{CHANNEL}","type":4}}"#)).await;
    assert_eq!(broker.take(), [format!("subscribe {CHANNEL}")]);
    test.end().await;
}

/// As in keyed channels: what the server subscribes to is what is published.
#[tokio::test(start_paused = true)]
async fn map_38_what_the_server_subscribes_to_is_a_stream_in_a_polled_channel_too_and_ends() {
    let (test, shop) = rig();
    shop.hold(Held::new("gold", "12".into()));
    let mut reader = test.client().await;
    let options = SubscriptionOptions::default();
    test.node.subscribe(&Target::everybody(), Channel::from("polled"), options).await.expect("subscribed");
    assert_eq!(reader.message().await["push"]["subscribe"], json!({}));
    let mut tracker = subscribed(&test, "polled").await;
    track(&mut tracker, "polled", &[("gold", 0)]).await;
    assert_eq!(pushed(&mut tracker).await["data"], 12);
    // Values are published into another one only.
    let _other = subscribed(&test, "polled_versioned_direct").await;
    test.publish("polled", "1").await;
    assert_eq!(pushed(&mut reader).await, json!({"data": 1}));
    tracker.silence().await;
    drop(reader);
    tracker.silence().await;
    assert_eq!((test.node.stats().connections, test.node.stats().subscriptions), (2, 0), "nothing is left");
    // The other is as it was.
    shop.hold(Held::new("gold", "13".into()));
    assert_eq!(pushed(&mut tracker).await["data"], 13);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn sp_12_deltas_of_a_key_are_strings_to_json_clients_and_so_is_its_end() {
    let (test, shop) = rig();
    let long = |end: &str| format!(r#"{{"text":"{}","end":{end}}}"#, "always the same ".repeat(10));
    let hold = |version, end| shop.hold(Held::versioned("gold", long(end).into_bytes().into(), version));
    hold(1, "1");
    let mut client = test.client().await;
    let reply =
        client.call(r#""subscribe":{"channel":"polled_versioned_kept","type":4,"delta":"fossil"}"#).await;
    assert_eq!(reply["subscribe"]["delta"], true);
    track(&mut client, "polled_versioned_kept", &[("gold", 0)]).await;
    assert_eq!(pushed(&mut client).await, json!({"data": long("1"), "key": "gold", "version": 1}));
    hold(2, "2");
    let delta = pushed(&mut client).await;
    assert_eq!((&delta["delta"], &delta["version"]), (&json!(true), &json!(2)));
    let delta = delta["data"].as_str().expect("a string");
    let applied = tourbillon_delta::apply(long("1").as_bytes(), delta.as_bytes(), 1 << 20).expect("a delta");
    assert_eq!(applied, long("2").as_bytes());

    // PRO-84: who comes later has it in its reply, in the form that deltas are applied to.
    let mut other = test.client().await;
    other.call(r#""subscribe":{"channel":"polled_versioned_kept","type":4,"delta":"fossil"}"#).await;
    let reply = track(&mut other, "polled_versioned_kept", &[("gold", 0)]).await;
    let items = &reply["sub_refresh"]["items"];
    assert_eq!(items, &json!([{"data": long("2"), "key": "gold", "version": 2}]));
    hold(3, "3");
    for client in [&mut client, &mut other] {
        assert_eq!(pushed(client).await["delta"], true);
    }
    shop.hold(Held::removed("gold"));
    let removed = json!({"data": "null", "key": "gold", "removed": true});
    for client in [&mut client, &mut other] {
        assert_eq!(pushed(client).await, removed);
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn sp_13_a_removed_key_is_told_and_tracked_no_more() {
    let (test, shop) = rig();
    shop.hold(Held::removed("gold"));
    let mut client = subscribed(&test, "polled").await;
    track(&mut client, "polled", &[("gold", 0)]).await;
    assert_eq!(pushed(&mut client).await, json!({"key": "gold", "removed": true}));
    shop.asked();
    pass(60).await;
    assert!(shop.asked().is_empty());
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn subt_05_the_kind_has_to_be_the_channels() {
    let (test, _) = rig();
    let mut client = test.client().await;
    for (channel, kind, code) in [("polled", 0, 107), ("news", 4, 108)] {
        let reply = client.call(&format!(r#""subscribe":{{"channel":"{channel}","type":{kind}}}"#)).await;
        assert_eq!(reply["error"]["code"], code, "{reply}");
    }
    client.subscribe("news").await;
    assert_eq!(track(&mut client, "news", &[("a", 0)]).await["error"]["code"], 108);
    assert_eq!(track(&mut client, "polled", &[("a", 0)]).await["error"]["code"], 103);
    test.end().await;

    let (node, driver) =
        Node::builder(MemoryEngine::default()).hooks(ByName).build().expect("a valid configuration");
    tokio::spawn(driver);
    let test = TestNode { node };
    let mut client = test.client().await;
    let reply = client.call(r#""subscribe":{"channel":"polled","type":4}"#).await;
    assert_eq!(reply["error"]["code"], 108, "nobody answers: {reply}");
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn sp_03_rights_and_limits_decide_about_all_of_a_track() {
    let (test, shop) = rig();
    let mut client = subscribed(&test, "polled").await;
    for (signature, code) in [("forged", 103), ("late", 109)] {
        let reply = track_by(&mut client, "polled", signature, &[("a", 0)]).await;
        assert_eq!(reply["error"]["code"], code, "{reply}");
    }
    let four = [("a", 0), ("b", 0), ("c", 0), ("d", 0)];
    assert_eq!(track(&mut client, "polled", &four).await["error"]["code"], 106, "SP-06");
    assert!(shop.asked().is_empty());
    let reply = track_by(&mut client, "polled", "60", &four[..3]).await;
    assert_eq!(reply["sub_refresh"], json!({"expires": true, "ttl": 60}));
    assert_eq!(shop.asked().len(), 1);
    // SP-14: 25 s after the signature expired.
    pass(82).await;
    assert_eq!(shop.asked().len(), 8);
    pass(20).await;
    assert_eq!(shop.asked().len(), 0);
    client.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn cmd_17_untracked_keys_are_not_asked_about() {
    let (test, shop) = rig();
    let mut client = subscribed(&test, "polled").await;
    track(&mut client, "polled", &[("a", 0), ("b", 0)]).await;
    let reply = client.call(r#""sub_refresh":{"channel":"polled","type":2,"untrack":["a","z"]}"#).await;
    assert_eq!(reply["sub_refresh"], json!({}));
    client.silence().await;
    shop.asked();
    pass(11).await;
    assert_eq!(shop.asked(), [[("b".to_owned(), 0)]]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn sp_07_no_more_questions_are_asked_at_once_than_allowed() {
    let mut config = NodeConfig::default();
    config.ping_interval = None;
    config.shared_poll_concurrency = 2;
    let (test, shop) = start(config);
    shop.behave(Behaviour::Hangs);
    let mut clients = Vec::new();
    for channel in ["polled_single", "polled_single_b", "polled_single_c"] {
        let mut client = subscribed(&test, channel).await;
        track(&mut client, channel, &[("a", 0), ("b", 0)]).await;
        clients.push(client);
    }
    clients[0].silence().await;
    assert_eq!(shop.asked().len(), 2);
    shop.behave(Behaviour::Answers);
    shop.0.go_on.notify_waiters();
    clients[0].silence().await;
    assert_eq!((shop.asked().len(), shop.0.shelf.lock().most), (4, 2));
    test.end().await;
}

fn update(key: &str, version: u64, epoch: &str) -> SharedPollUpdate {
    let data = version.to_string().into_bytes().into();
    SharedPollUpdate { key: key.to_owned(), version, epoch: Epoch::from(epoch), data }
}

#[tokio::test(start_paused = true)]
async fn api_40_a_published_value_is_sent_to_whoever_tracks_the_key() {
    let (test, _) = rig();
    let channel = || Channel::from("polled_versioned_direct");
    let mut client = subscribed(&test, &channel()).await;
    track(&mut client, &channel(), &[("gold", 3)]).await;
    for version in [4, 4, 3, 7] {
        assert_eq!(test.node.shared_poll_publish(channel(), &update("gold", version, "")).await, Ok(()));
    }
    assert_eq!(pushed(&mut client).await, json!({"data": 4, "key": "gold", "version": 4}));
    assert_eq!(pushed(&mut client).await["version"], 7);
    client.silence().await;
    // What is no such update is not for clients.
    test.publish(&channel(), "{}").await;
    client.silence().await;
    for (channel, update, error) in [
        ("polled_versioned_direct", update("", 1, ""), ReplyError::BAD_REQUEST),
        ("polled_versioned_direct", update("gold", 0, ""), ReplyError::BAD_REQUEST),
        ("polled_versioned", update("gold", 9, ""), ReplyError::NOT_AVAILABLE),
        ("polled_direct", update("gold", 9, ""), ReplyError::NOT_AVAILABLE),
        ("news", update("gold", 9, ""), ReplyError::NOT_AVAILABLE),
    ] {
        assert_eq!(test.node.shared_poll_publish(channel.into(), &update).await, Err(error), "{channel}");
    }
    let published = test.node.shared_poll_publish(channel(), &update("gold", 1, "e1")).await;
    assert_eq!(published, Ok(()));
    assert_eq!(client.message().await["push"]["unsubscribe"]["code"], 2500);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn met_50_to_56_polling_is_counted_and_measured() {
    const CHANNEL: &str = "polled_versioned_direct";
    let mut config = NodeConfig::default();
    config.ping_interval = None;
    config.measures = Some(Measures::new(Form::Classic));
    config.shared_poll_concurrency = 1;
    let (test, shop) = start(config);
    let node = test.node.clone();
    let count =
        |name: &str, labels: &[(&str, &str)]| value(&node, &format!("centrifugo_shared_poll_{name}"), labels);
    let items = |trigger, result| count("items_count", &[("result", result), ("trigger", trigger)]);
    let took = |name: &str, labels: &[(&str, &str)]| {
        measured(&node, &format!("centrifugo_shared_poll_{name}_duration_seconds"), labels)
    };
    assert_eq!((count("num_channels", &[]), count("num_keys", &[])), (0.0, 0.0));

    shop.hold(Held::versioned("gold", "12".into(), 5));
    let mut client = subscribed(&test, CHANNEL).await;
    track(&mut client, CHANNEL, &[("gold", 0), ("lead", 0)]).await;
    assert_eq!(pushed(&mut client).await["version"], 5);
    assert_eq!((count("num_channels", &[]), count("num_keys", &[])), (1.0, 2.0));
    assert_eq!(
        ["polled", "changed", "unchanged"].map(|result| items("notification", result)),
        [2.0, 1.0, 0.0]
    );
    assert_eq!((count("notify_count", &[]), count("dropped_notify_count", &[])), (2.0, 0.0));
    let notification = [("trigger", "notification")];
    assert_eq!(took("handler", &notification), (1, 0.0));

    // A cycle without news, one that fails, and one in which a key is no more.
    pass(11).await;
    assert_eq!(["polled", "changed", "unchanged"].map(|result| items("timer", result)), [2.0, 0.0, 1.0]);
    let timer = [("trigger", "timer")];
    assert_eq!(count("handler_error_count", &timer), 0.0);
    shop.behave(Behaviour::Fails);
    pass(10).await;
    assert_eq!((count("handler_error_count", &timer), items("timer", "unchanged")), (1.0, 1.0));
    shop.behave(Behaviour::Answers);
    shop.hold(Held::removed("lead"));
    pass(10).await;
    assert_eq!((items("timer", "removed"), count("num_keys", &[])), (1.0, 1.0));
    assert_eq!((took("cycle", &[]), took("cycle_work", &[]).0), ((3, 0.0), 3));

    // What is published is newer or not, or of a key that nobody tracks.
    for (key, version) in [("gold", 6), ("gold", 6), ("lead", 9)] {
        let update = update(key, version, "");
        node.shared_poll_publish(Channel::from(CHANNEL), &update).await.expect("published");
    }
    pass(1).await;
    let published = |result| count("publish_count", &[("result", result)]);
    assert_eq!((published("applied"), published("skipped")), (1.0, 1.0));

    // One hangs for a while, and the one behind it waits. What was just published is left out of the first cycle.
    shop.behave(Behaviour::Hangs);
    pass(20).await;
    let mut other = subscribed(&test, "polled").await;
    track(&mut other, "polled", &[("gold", 0)]).await;
    pass(4).await;
    shop.behave(Behaviour::Answers);
    shop.0.go_on.notify_one();
    assert_eq!(pushed(&mut other).await["data"], 12);
    let (calls, waited) = took("sem_wait", &notification);
    assert!(calls == 2 && (3.9..5.0).contains(&waited), "{calls} {waited}");
    let (calls, longest) = took("handler", &timer);
    assert!(calls == 4 && longest > 3.9, "{calls} {longest}");
    test.end().await;
}
