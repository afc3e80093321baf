//! What the server side does to connections.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tourbillon_broker::Engine;
use tourbillon_broker_memory::{MemoryEngine, MemoryMaps};
use tourbillon_node::{
    ChannelOptions, ChannelPattern, ClientRights, ConnectDecision, ConnectRequest, Hooks, MapPublishOptions,
    NodeConfig, PublishDecision, PublishRequest, RefreshDecision, RefreshRequest, Refusal, Rights,
    SubscribeDecision, SubscribeRequest, SubscriptionOptions, Target,
};
use tourbillon_types::{
    Channel, Disconnect, Epoch, Payload, Permissions, ReplyError, StreamPosition, Unsubscribe, UserId,
};

use crate::harness::{Client, TestNode, start, start_on};
use crate::scripted::ByName;

/// The token is the user's name; channels that the client names are subscribed to by the server. A user named `only`
/// has a single connection.
struct Names;

impl Hooks for Names {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let mut decision = ConnectDecision::new(UserId::from(request.token));
        decision.single_connection = matches!(decision.user.as_str(), "only" | "");
        for channel in request.channels {
            decision.subscriptions.push((channel, SubscriptionOptions::default()));
        }
        Ok(decision)
    }

    async fn subscribe(&self, _: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        Ok(SubscribeDecision::default())
    }

    async fn publish(&self, _: PublishRequest) -> Result<PublishDecision, Refusal> {
        Ok(PublishDecision::default())
    }
}

async fn user(test: &TestNode, name: &str) -> Client {
    let mut client = test.open(1 << 20, |_| {});
    client.call(&format!(r#""connect":{{"token":"{name}"}}"#)).await;
    client
}

fn target(name: &str) -> Target {
    Target::user(UserId::from(name))
}

#[tokio::test(start_paused = true)]
async fn subscribing_takes_effect_before_it_returns() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    let mut ann_too = user(&test, "ann").await;
    let mut bob = user(&test, "bob").await;
    let options = SubscriptionOptions::default();
    test.node.subscribe(&target("ann"), Channel::from("a"), options).await.expect("subscribed");
    test.publish("a", "1").await;
    for client in [&mut ann, &mut ann_too] {
        assert_eq!(client.message().await, json!({"push": {"channel": "a", "subscribe": {}}}));
        assert_eq!(client.publication("a").await, 1);
    }
    bob.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_tells_everybody_meant() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    ann.subscribe("a").await;
    let mut ann_too = user(&test, "ann").await;
    test.node.unsubscribe(&target("ann"), Channel::from("a"), Unsubscribe::SERVER).await.expect("done");
    let push =
        json!({"push": {"channel": "a", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}});
    assert_eq!(ann.message().await, push);
    assert_eq!(ann_too.message().await, push, "not subscribed, and told all the same");
    test.publish("a", "1").await;
    ann.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn disconnecting_spares_the_exceptions() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    let mut spared = test.open(1 << 20, |_| {});
    let reply = spared.call(r#""connect":{"token":"ann"}"#).await;
    let client = reply["connect"]["client"].as_str().expect("an id").parse().expect("an id");
    let mut nobody = user(&test, "").await;
    let why = Disconnect::custom(4321, "go");
    test.node.disconnect(&target("ann"), why.clone(), &[client]).await.expect("done");
    assert_eq!(ann.closed().await, why);
    spared.silence().await;
    test.node.disconnect(&target(""), Disconnect::FORCE_DISCONNECT, &[]).await.expect("done");
    assert_eq!(nobody.closed().await, Disconnect::FORCE_DISCONNECT);
    spared.silence().await;
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn refreshing_changes_the_expiry() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    let expire_at = tourbillon_types::SystemClock::unix_millis() / 1000 + 60;
    test.node.refresh(&target("ann"), RefreshDecision::until(Some(expire_at))).await.expect("done");
    let push = ann.message().await;
    assert_eq!(push["push"]["refresh"]["expires"], true);
    test.node.refresh(&target("ann"), RefreshDecision::until(Some(1))).await.expect("done");
    assert_eq!(ann.closed().await, Disconnect::CONNECTION_EXPIRED);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn refreshing_changes_what_others_are_told() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    let mut bob = user(&test, "bob").await;
    bob.subscribe("a").await;
    let expire_at = tourbillon_types::SystemClock::unix_millis() / 1000 + 60;
    let mut decision = RefreshDecision::until(Some(expire_at));
    decision.info = Some(Payload::from(r#"{"name":"Ann"}"#));
    test.node.refresh(&target("ann"), decision).await.expect("done");
    assert!(ann.message().await["push"]["refresh"].is_object());
    ann.call(r#""publish":{"channel":"a","data":1}"#).await;
    assert_eq!(bob.message().await["push"]["pub"]["info"]["conn_info"], json!({"name": "Ann"}));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn subscriptions_at_connect_come_with_the_reply() {
    let test = start(Names, NodeConfig::default());
    let mut client = test.open(1 << 20, |_| {});
    let reply = client.call(r#""connect":{"token":"ann","subs":{"a":{},"b":{}}}"#).await;
    assert_eq!(reply["connect"]["subs"], json!({"a": {}, "b": {}}));
    test.publish("b", "2").await;
    assert_eq!(client.publication("b").await, 2);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_connections_of_a_user_are_limited() {
    let mut config = NodeConfig::default();
    config.user_connection_limit = Some(1);
    let test = start(Names, config);
    let _first = user(&test, "ann").await;
    let mut second = test.open(1 << 20, |_| {});
    second.send(r#"{"id":1,"connect":{"token":"ann"}}"#);
    assert_eq!(second.closed().await, Disconnect::CONNECTION_LIMIT);
    let _anonymous = (user(&test, "").await, user(&test, "").await);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_node_tells_what_it_carries() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    ann.subscribe("news").await;
    ann.subscribe("chat").await;
    let mut bob = user(&test, "bob").await;
    bob.subscribe("news").await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let info = test.node.info();
    let stats = info.stats;
    assert_eq!((stats.clients, stats.users, stats.subscriptions, stats.channels), (2, 2, 3, 2));
    assert_eq!(info.uptime.as_secs(), 5);
    let mut channels =
        test.node.channels(&ChannelPattern::new("n*").expect("sound")).await.expect("channels");
    channels.sort();
    assert_eq!(channels, [(Channel::from("news"), 2)]);
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_takes_the_place_of_the_others() {
    let mut config = NodeConfig::default();
    config.user_connection_limit = Some(1);
    let test = start(Names, config);
    let mut other = user(&test, "ann").await;
    let mut nobody = user(&test, "").await;
    let mut before = user(&test, "only").await;
    for _ in 0..3 {
        let after = user(&test, "only").await;
        assert_eq!(before.closed().await, Disconnect::CONNECTION_LIMIT);
        before = after;
    }
    // Of several at the same time, one is left.
    let mut crowd: Vec<Client> = (0..5).map(|_| test.open(1 << 20, |_| {})).collect();
    crowd.iter().for_each(|client| client.send(r#"{"id":1,"connect":{"token":"only"}}"#));
    assert_eq!(before.closed().await, Disconnect::CONNECTION_LIMIT);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(test.node.stats().connections, 3);
    let mut last = crowd.pop().expect("a crowd");
    assert!(last.message().await["connect"].is_object());
    last.silence().await;
    let _second_nobody = user(&test, "").await;
    nobody.silence().await;
    other.silence().await;
    test.end().await;
}

/// Three publications in a channel, of which `since` is known to whoever is subscribed now.
async fn subscribed_since(since: &StreamPosition, test: &TestNode, options: SubscriptionOptions) -> Client {
    let client = test.client().await;
    let mut options = options;
    options.recover_since = Some(since.clone());
    test.node.subscribe(&target(""), Channel::from("history_recover"), options).await.expect("subscribed");
    client
}

/// API-22, REC-12. What was recovered follows the push, which has no place for it.
#[tokio::test(start_paused = true)]
async fn a_subscription_made_later_catches_up() {
    let test = start(ByName, NodeConfig::default());
    for number in 1..=3 {
        test.publish("history_recover", &number.to_string()).await;
    }
    let channel = Channel::from("history_recover");
    let page = test.node.history(&channel, &tourbillon_node::HistoryQuery::position()).await.expect("a page");
    let since = StreamPosition { offset: 1, ..page.position.clone() };
    let options = test.node.channel_options(&channel).expect("options").subscription();

    let mut client = subscribed_since(&since, &test, options.clone()).await;
    let push = client.message().await;
    let told =
        json!({"recoverable": true, "positioned": true, "epoch": page.position.epoch.as_str(), "offset": 1});
    assert_eq!(push["push"]["subscribe"], told);
    for number in 2..=3 {
        let push = client.message().await;
        assert_eq!(
            (&push["push"]["pub"]["offset"], &push["push"]["pub"]["data"]),
            (&json!(number), &json!(number))
        );
    }
    test.publish("history_recover", "4").await;
    assert_eq!(client.publication("history_recover").await, 4);
    drop(client);

    // Where it cannot, the position says so.
    let lost = StreamPosition { offset: 1, epoch: Epoch::from("other") };
    let mut client = subscribed_since(&lost, &test, options.clone()).await;
    assert_eq!(client.message().await["push"]["subscribe"]["offset"], 4);
    client.silence().await;
    drop(client);

    // Without recovery it means nothing.
    let mut positioned = options;
    positioned.recoverable = false;
    positioned.positioned = true;
    let mut client = subscribed_since(&since, &test, positioned).await;
    assert_eq!(client.message().await["push"]["subscribe"]["offset"], 4);
    client.silence().await;
    test.end().await;
}

/// HID-28: whoever asks to recover is told so, where nothing can be recovered too; as it connects as well.
#[tokio::test(start_paused = true)]
async fn who_asks_to_recover_as_it_connects_is_told_so() {
    let test = start(ByName, NodeConfig::default());
    let mut client = test.open(1 << 20, |_| {});
    let asked = r#"{"recover":true,"offset":1}"#;
    let subs = format!(r#""subs":{{"plain":{asked},"position":{asked},"recover":{asked},"other":{{}}}}"#);
    let subs = client.call(&format!(r#""connect":{{{subs}}}"#)).await["connect"]["subs"].clone();
    for channel in ["plain", "position", "recover", "other"] {
        assert_eq!(subs[channel]["was_recovering"] == true, channel != "other", "{channel}: {subs}");
        assert!(subs[channel]["recovered"].is_null(), "{channel}: {subs}");
    }
    test.end().await;
}

/// PUSH-05.
#[tokio::test(start_paused = true)]
async fn what_belongs_to_no_channel_is_sent_too() {
    let test = start(Names, NodeConfig::default());
    let mut ann = user(&test, "ann").await;
    let mut bob = user(&test, "bob").await;
    test.node.send(&target("ann"), Payload::from(r#"{"hello":1}"#)).await.expect("sent");
    assert_eq!(ann.message().await, json!({"push": {"message": {"data": {"hello": 1}}}}));
    bob.silence().await;
    test.end().await;
}

/// The channels that a token lists, which may be left as long as it lists them.
#[derive(Debug)]
struct Listed(String);

impl Rights for Listed {
    fn holds(&self, channel: &str) -> bool {
        self.0.split(',').any(|listed| listed == channel)
    }
}

/// Tokens list channels; a subscription to one of them depends on that. About `slow` it has to think.
#[derive(Default)]
struct Lists(Arc<Notify>);

impl Hooks for Lists {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let mut decision = ConnectDecision::new(UserId::from("ann"));
        decision.expire_at = Some(request.unix_seconds + 600);
        decision.labels = Some(Arc::new([("tier".to_owned(), "pro".to_owned())].into()));
        decision.rights = Some(ClientRights::new(Listed(request.token)));
        Ok(decision)
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options = self.channel_options(&request.channel)?.subscription();
        assert!(request.client.terms.labels().is_some_and(|labels| labels["tier"] == "pro"));
        let listed = request.client.terms.rights().and_then(ClientRights::get::<Listed>);
        decision.options.revocable = listed.is_some_and(|listed| listed.holds(&request.channel));
        decision.options.allow = Permissions::PUBLISH;
        if &*request.channel == "slow" {
            self.0.notified().await;
        }
        Ok(decision)
    }

    async fn publish(&self, request: PublishRequest) -> Result<PublishDecision, Refusal> {
        if request.allow.has(Permissions::PUBLISH) {
            Ok(PublishDecision::default())
        } else {
            Err(ReplyError::PERMISSION_DENIED.into())
        }
    }

    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshDecision, Refusal> {
        let mut decision = RefreshDecision::until(Some(request.unix_seconds + 600));
        decision.rights = Some(ClientRights::new(Listed(request.token)));
        Ok(decision)
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        ByName.channel_options(channel)
    }
}

/// PRO-40: what a connection loses by a refresh ends, and nothing else does.
#[tokio::test(start_paused = true)]
async fn subscriptions_end_with_the_rights_that_they_depend_on() {
    let test = start(Lists::default(), NodeConfig::default());
    let mut client = test.open(1 << 20, |_| {});
    client.call(r#""connect":{"token":"kept,lost"}"#).await;
    for channel in ["kept", "lost", "own"] {
        client.call(&format!(r#""subscribe":{{"channel":"{channel}"}}"#)).await;
    }
    client.send(r#"{"id":9,"publish":{"channel":"own","data":1}}"#);
    assert_eq!(client.publication("own").await, 1);
    assert_eq!(client.message().await, json!({"id": 9, "publish": {}}));
    assert!(client.call(r#""refresh":{"token":"kept"}"#).await["refresh"]["expires"].is_boolean());
    assert_eq!(
        client.message().await,
        json!({"push": {"channel": "lost", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}})
    );
    client.silence().await;
    assert_eq!(test.node.stats().subscriptions, 2);
    let refused = client.call(r#""publish":{"channel":"lost","data":1}"#).await;
    assert_eq!(refused["error"]["code"], 103);
    drop(client);
    test.end().await;
}

/// PRO-40: the rights that count are those when the subscription begins.
#[tokio::test(start_paused = true)]
async fn a_subscription_ends_whose_rights_were_lost_while_it_was_decided_about() {
    let lists = Lists::default();
    let decides = lists.0.clone();
    let mut config = NodeConfig::default();
    config.concurrency = 2;
    let test = start(lists, config);
    let mut client = test.open(1 << 20, |_| {});
    client.call(r#""connect":{"token":"kept,slow"}"#).await;
    for (token, lost) in [("kept,slow", false), ("kept", true)] {
        client.send(r#"{"id":90,"subscribe":{"channel":"slow"}}"#);
        assert!(client.call(&format!(r#""refresh":{{"token":"{token}"}}"#)).await["refresh"].is_object());
        client.silence().await;
        decides.notify_one();
        let reply = client.message().await;
        assert_eq!((&reply["id"], reply["subscribe"].is_object()), (&json!(90), true), "{reply}");
        if lost {
            assert_eq!(client.message().await["push"]["unsubscribe"]["code"], 2000);
        }
        client.silence().await;
        assert_eq!(test.node.stats().subscriptions, usize::from(!lost));
        client.call(r#""unsubscribe":{"channel":"slow"}"#).await;
    }
    test.end().await;
}

/// PRO-40: likewise of a keyed channel, whether it is attached at its end or from the beginning.
#[tokio::test(start_paused = true)]
async fn a_keyed_channel_ends_whose_rights_were_lost_while_it_was_loaded() {
    let engine = Engine::new(MemoryEngine::default()).with_maps(MemoryMaps::default());
    let test = start_on(engine, Lists::default(), NodeConfig::default());
    for channel in ["map", "map_ephemeral"] {
        for key in ["a", "b", "c", "d"] {
            let options = MapPublishOptions::default();
            let set = test.node.map_publish(Channel::from(channel), key, Payload::from("1"), options).await;
            assert_eq!(set.expect("set").suppressed, None);
        }
        let mut client = test.open(1 << 20, |_| {});
        client.call(r#""connect":{"token":"map,map_ephemeral"}"#).await;
        let asked = json!({"channel": channel, "type": 1, "phase": 2});
        let page = client.call(&format!(r#""subscribe":{asked}"#)).await["subscribe"].take();
        assert_eq!((&page["phase"], page["cursor"].is_string()), (&json!(2), true), "{page}");
        assert!(client.call(r#""refresh":{"token":"other"}"#).await["refresh"].is_object());
        let mut asked = json!({"channel": channel, "type": 1, "phase": 2, "cursor": page["cursor"]});
        for place in ["offset", "epoch"] {
            asked[place] = page[place].clone();
        }
        let live = client.call(&format!(r#""subscribe":{asked}"#)).await["subscribe"].take();
        assert_eq!(live["phase"], serde_json::Value::Null, "{live}");
        let end = json!({"channel": channel, "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}});
        assert_eq!(client.message().await["push"], end);
        client.silence().await;
        assert_eq!(test.node.stats().subscriptions, 0, "{channel}");
    }
    test.end().await;
}
