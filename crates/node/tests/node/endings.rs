//! What the application hears of the ends of connections and of subscriptions, and when it is not waited for any longer.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tourbillon_node::{
    ChannelOptions, Client as Connection, ConnectDecision, ConnectRequest, Hooks, MessageRequest, NodeConfig,
    PublishDecision, PublishRequest, RefreshDecision, RefreshRequest, Refusal, RpcDecision, RpcRequest,
    SubRefreshRequest, SubscribeDecision, SubscribeRequest, Target, TokenMark,
};
use tourbillon_transport::memory::Sent;
use tourbillon_types::{Channel, Disconnect, Now, Payload, PushKinds, ReplyError, Unsubscribe, UserId};

use crate::harness::{Client, start};
use crate::interest::pass;
use crate::scripted::ByName;

/// Sends away whoever names `away`, as a user, a channel, a method, a message or a token. It hears of ends, but takes
/// none of the channel `hangs`, and answers about the token `late` late.
#[derive(Clone, Default)]
struct Ends(Arc<Inner>);

#[derive(Default)]
struct Inner {
    heard: Mutex<Vec<String>>,
    given_up: Notify,
    asked: Notify,
    go_on: Notify,
}

impl Ends {
    fn hear(&self, what: String) {
        self.0.heard.lock().push(what);
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.heard.lock())
    }

    /// Waits until it has heard so much, for nine seconds: no call is given up by then.
    async fn hears(&self, count: usize) {
        for _ in 0..900 {
            if self.0.heard.lock().len() >= count {
                return;
            }
            tokio::time::advance(Duration::from_millis(10)).await;
        }
    }
}

fn may_stay(named: &str) -> Result<(), Refusal> {
    if named == "away" { Err(away().into()) } else { Ok(()) }
}

fn away() -> Disconnect {
    Disconnect::custom(4000, "away")
}

impl Hooks for Ends {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        may_stay(&request.token)?;
        let mut decision = ConnectDecision::new(UserId::from("ann"));
        let ttl = if request.token == "old" { -1 } else { 600 };
        decision.expire_at = Some(request.unix_seconds + ttl);
        Ok(decision)
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        may_stay(&request.channel)?;
        let mut decision = SubscribeDecision::default();
        decision.options = self.channel_options(&request.channel)?.subscription();
        decision.options.info = Payload::from("1");
        Ok(decision)
    }

    async fn publish(&self, request: PublishRequest) -> Result<PublishDecision, Refusal> {
        may_stay(&request.channel)?;
        Ok(PublishDecision::default())
    }

    async fn rpc(&self, request: RpcRequest) -> Result<RpcDecision, Refusal> {
        may_stay(&request.method)?;
        if request.method == "late" {
            self.0.go_on.notified().await;
        }
        Ok(RpcDecision::default())
    }

    async fn message(&self, _: MessageRequest) -> Result<(), Disconnect> {
        Err(away())
    }

    async fn refresh(&self, request: RefreshRequest) -> Result<RefreshDecision, Refusal> {
        may_stay(&request.token)?;
        Ok(RefreshDecision::until(None))
    }

    async fn sub_refresh(&self, request: SubRefreshRequest) -> Result<RefreshDecision, Refusal> {
        may_stay(&request.token)?;
        if request.token == "late" {
            self.0.asked.notify_one();
            self.0.go_on.notified().await;
        }
        let mut decision = RefreshDecision::until(None);
        decision.info = Some(Payload::from("2"));
        decision.token = TokenMark::new(Some(&request.token), None);
        Ok(decision)
    }

    fn subscription_stays(
        &self,
        _: &Connection,
        channel: &Channel,
        token: &TokenMark,
        _: Now,
    ) -> Result<(), Unsubscribe> {
        self.hear(format!("{channel} by {}", token.id));
        Ok(())
    }

    async fn unsubscribed(&self, _: &Connection, channel: &Channel, why: &Unsubscribe) {
        if &**channel == "slow" {
            self.0.asked.notify_one();
            self.0.go_on.notified().await;
        }
        if &**channel == "hangs" {
            let _guard = Guard(self.clone());
            pending::<()>().await;
        }
        self.hear(format!("{channel} {}", why.code));
    }

    async fn disconnected(&self, client: &Connection, why: &Disconnect) {
        self.hear(format!("{} {}", client.user, why.code));
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        ByName.channel_options(channel)
    }
}

/// Tells that a call is over.
struct Guard(Ends);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.given_up.notify_one();
    }
}

#[tokio::test(start_paused = true)]
async fn the_application_hears_of_the_end_of_a_connection_that_its_answer_ends() {
    for command in [
        r#""subscribe":{"channel":"away"}"#,
        r#""publish":{"channel":"away","data":1}"#,
        r#""rpc":{"method":"away"}"#,
        r#""send":{"data":1}"#,
        r#""refresh":{"token":"away"}"#,
        r#""sub_refresh":{"channel":"a","token":"away"}"#,
    ] {
        let ends = Ends::default();
        let test = start(ends.clone(), NodeConfig::default());
        let mut client = test.client().await;
        client.subscribe("a").await;
        client.send(&format!(r#"{{"id":9,{command}}}"#));
        assert_eq!(client.closed().await, away(), "{command}");
        drop(client);
        test.end().await;
        let code = Unsubscribe::DISCONNECTED.code;
        assert_eq!(ends.heard(), [format!("a {code}"), "ann 4000".to_owned()], "{command}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_application_hears_nothing_of_the_end_of_what_was_not_accepted() {
    let ends = Ends::default();
    let test = start(ends.clone(), NodeConfig::default());
    let mut refused = test.open(1 << 20, |_| {});
    refused.send(r#"{"id":1,"connect":{"token":"away"}}"#);
    assert_eq!(refused.closed().await, away());
    // What expired meanwhile is answered by an error, after which nothing else may come.
    let mut expired = test.open(1 << 20, |_| {});
    assert_eq!(expired.call(r#""connect":{"token":"old"}"#).await["error"]["code"], 110);
    assert_eq!(test.node.stats().users, 0);
    expired.send(r#"{"id":2,"rpc":{"method":"m"}}"#);
    assert_eq!(expired.closed().await.code, 3501);
    test.end().await;
    assert_eq!(ends.heard(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_application_is_given_some_time_to_take_the_end_of_a_subscription() {
    let ends = Ends::default();
    let mut config = NodeConfig::default();
    config.ping_interval = None;
    let test = start(ends.clone(), config);
    let mut client = test.client().await;
    client.subscribe("hangs").await;
    assert!(client.call(r#""unsubscribe":{"channel":"hangs"}"#).await["unsubscribe"].is_object());
    let given_up = ends.0.given_up.notified();
    tokio::time::timeout(Duration::from_secs(11), given_up).await.expect("it is given up");
    assert!(client.call(r#""rpc":{"method":"m"}"#).await["rpc"].is_object());
    test.end().await;
}

/// What ended before the connection did is told to its end, however long the connection's own end takes; and for no longer
/// than any call.
#[tokio::test(start_paused = true)]
async fn the_application_takes_the_end_of_a_subscription_though_the_connection_ends_meanwhile() {
    let ends = Ends::default();
    let test = start(ends.clone(), NodeConfig::default());
    let mut client = test.client().await;
    for channel in ["slow", "hangs", "a"] {
        client.subscribe(channel).await;
    }
    client.send(concat!(
        r#"{"id":7,"unsubscribe":{"channel":"hangs"}}"#,
        "\n",
        r#"{"id":8,"unsubscribe":{"channel":"slow"}}"#,
    ));
    ends.0.asked.notified().await;
    drop(client);
    let (gone, left) = (Unsubscribe::DISCONNECTED.code, Unsubscribe::CLIENT.code);
    ends.hears(2).await;
    assert_eq!(ends.heard(), [format!("a {gone}"), "ann 3000".to_owned()]);
    ends.0.go_on.notify_waiters();
    ends.hears(1).await;
    assert_eq!(ends.heard(), [format!("slow {left}")]);
    tokio::time::timeout(Duration::from_secs(11), ends.0.given_up.notified()).await.expect("it is given up");
    test.end().await;
    assert_eq!(ends.heard(), [""; 0]);
}

/// What the next that leaves had told of itself.
async fn leaver(watcher: &mut Client) -> Value {
    loop {
        let push = watcher.message().await;
        if push["push"]["leave"].is_object() {
            return push["push"]["leave"]["info"]["chan_info"].clone();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_about_a_subscription_does_not_change_the_one_that_followed() {
    const CHANNEL: &str = "joins_listen";
    let ends = Ends::default();
    let mut config = NodeConfig::default();
    config.concurrency = 2;
    let test = start(ends.clone(), config);
    let mut watcher = test.client().await;
    watcher.subscribe(CHANNEL).await;
    let mut client = test.open(1 << 20, |info| info.suppressed = PushKinds::JOIN | PushKinds::LEAVE);
    client.call(r#""connect":{}"#).await;
    let unsubscribe = format!(r#""unsubscribe":{{"channel":"{CHANNEL}"}}"#);
    for late in [false, true] {
        client.subscribe(CHANNEL).await;
        client.send(&format!(r#"{{"id":90,"sub_refresh":{{"channel":"{CHANNEL}","token":"late"}}}}"#));
        ends.0.asked.notified().await;
        if late {
            client.call(&unsubscribe).await;
            client.subscribe(CHANNEL).await;
            assert_eq!(leaver(&mut watcher).await, 1);
        }
        ends.0.go_on.notify_one();
        assert_eq!(client.message().await["id"], 90);
        client.silence().await;
        ends.heard();
        test.node.recheck(None).await.expect("told");
        client.silence().await;
        let by_token = if late { vec![] } else { vec![format!("{CHANNEL} by late")] };
        assert_eq!(ends.heard(), by_token, "late: {late}");
        client.call(&unsubscribe).await;
        assert_eq!(leaver(&mut watcher).await, if late { 1 } else { 2 }, "late: {late}");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn it_may_change_how_long_the_application_is_waited_for() {
    let ends = Ends::default();
    let mut config = NodeConfig::default();
    config.ping_interval = None;
    let test = start(ends.clone(), config);
    let mut client = test.client().await;
    let seconds = Duration::from_secs;
    for (timeout, waited) in [(10, 9), (20, 19), (5, 4)] {
        test.node.set_call_timeouts(seconds(timeout), seconds(30));
        client.send(r#"{"id":90,"rpc":{"method":"late"}}"#);
        let early = tokio::time::timeout(seconds(waited), client.peer.recv()).await;
        assert!(early.is_err(), "{early:?}");
        let late = tokio::time::timeout(seconds(2), client.message()).await.expect("it is given up");
        assert_eq!((&late["id"], &late["error"]["code"]), (&90.into(), &100.into()));
    }
    test.end().await;
}

/// Ends a connection that `messages` wait for, and whose client takes one every 900 ms. Gives how many it got, and how it
/// ended.
async fn slowly_ended(messages: usize) -> (usize, Disconnect) {
    let test = start(Ends::default(), NodeConfig::default());
    let mut client = test.open(100, |_| {});
    client.call(r#""connect":{}"#).await;
    client.subscribe("a").await;
    let data = format!("\"{}\"", "x".repeat(100));
    for _ in 0..messages {
        test.publish("a", &data).await;
    }
    let target = Target::user(UserId::from("ann"));
    test.node.disconnect(&target, away(), &[]).await.expect("told");
    let mut got = 0;
    let end = loop {
        pass(900).await;
        match client.next().await {
            Sent::Message(message) if message.windows(5).any(|word| word == b"\"pub\"") => got += 1,
            Sent::Message(_) | Sent::Ping => {}
            Sent::Closed(why) => break why,
        }
    };
    test.end().await;
    (got, end)
}

/// Each of its messages is taken within the time for writes, all together are not.
#[tokio::test(start_paused = true)]
async fn a_slow_client_gets_what_is_queued_for_it_and_why_it_ends() {
    assert_eq!(slowly_ended(5).await, (5, away()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_not_waited_for_for_ever() {
    let (got, end) = slowly_ended(100).await;
    assert!((10..=13).contains(&got), "{got}");
    assert_eq!(end, Disconnect::CONNECTION_CLOSED, "the connection is cut");
}
