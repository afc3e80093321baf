//! Which channels a broker is asked for that delivers only what it is asked for (HID-25).

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_broker::{
    Broker, BrokerError, Capabilities, Engine, EventSink, MapChanged, MapPublish, MapRemove, MapStats,
    MapStore, Publish, Published, Stop,
};
use tourbillon_broker_memory::{MemoryEngine, MemoryMaps};
use tourbillon_node::NodeConfig;
use tourbillon_types::{Channel, Disconnect, Encoding, HistoryQuery, MapPage, MapPolicy, MapQuery, Page};

use crate::harness::{Client, start_on};
use crate::keeper::Keeper;
use crate::scripted::ByName;

/// Notes what it is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(Arc<(Mutex<Vec<String>>, AtomicU8)>);

/// How calls end.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Well,
    Refused,
    /// Not at all.
    Never,
}

impl Asked {
    fn end(&self, ends: Ends) {
        self.0.1.store(ends as u8, Ordering::SeqCst);
    }

    async fn note(&self, what: &str, channels: &[Channel]) -> Result<(), BrokerError> {
        let names = channels.iter().map(|channel| format!("{what} {channel}"));
        self.0.0.lock().extend(names);
        match self.0.1.load(Ordering::SeqCst) {
            ends if ends == Ends::Well as u8 => Ok(()),
            ends if ends == Ends::Refused as u8 => Err(BrokerError::unavailable("gone")),
            _ => std::future::pending().await,
        }
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.0.lock())
    }
}

impl Broker for Asked {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.needs_interest = true;
        capabilities
    }

    async fn publish(&self, _: Publish) -> Result<Published, BrokerError> {
        Err(BrokerError::unsupported("publish"))
    }

    fn check(&self, channel: &Channel) -> Result<(), BrokerError> {
        if channel.contains('*') { Err(BrokerError::invalid("a star")) } else { Ok(()) }
    }

    async fn subscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.note("subscribe", channels).await
    }

    async fn unsubscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.note("unsubscribe", channels).await
    }

    fn attach(&self, _: EventSink) {}

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        stop.await;
        Ok(())
    }
}

async fn leave(client: &mut Client, channel: &str) {
    let reply = client.call(&format!(r#""unsubscribe":{{"channel":"{channel}"}}"#)).await;
    assert!(reply["unsubscribe"].is_object(), "{reply}");
}

pub(crate) async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await; // tidy: allow-sleep the clock of the caller is paused
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_kept_for_a_second_after_its_last_subscriber() {
    let asked = Asked::default();
    let test = start_on(asked.clone(), ByName, NodeConfig::default());
    let (mut ann, mut bob) = (test.client().await, test.client().await);
    ann.subscribe("a").await;
    bob.subscribe("a").await;
    assert_eq!(asked.take(), ["subscribe a"], "once for both");
    leave(&mut ann, "a").await;
    pass(5_000).await;
    assert!(asked.take().is_empty(), "somebody has it still");
    leave(&mut bob, "a").await;
    pass(900).await;
    assert!(asked.take().is_empty());
    ann.subscribe("a").await;
    pass(5_000).await;
    assert!(asked.take().is_empty(), "it came back in time");
    drop(ann);
    pass(900).await;
    assert!(asked.take().is_empty());
    pass(200).await;
    assert_eq!(asked.take(), ["unsubscribe a"]);
    bob.subscribe("a").await;
    assert_eq!(asked.take(), ["subscribe a"]);
    test.end().await;
}

/// CH-07: 107, which clients do not take for passing, and no call that others' channels would be part of.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_no_channel_of_the_broker_is_refused_before_it_is_asked() {
    let asked = Asked::default();
    let test = start_on(asked.clone(), ByName, NodeConfig::default());
    let mut ann = test.client().await;
    let reply = ann.call(r#""subscribe":{"channel":"a*"}"#).await;
    assert_eq!(reply["error"]["code"], 107, "{reply}");
    assert!(asked.take().is_empty());
    ann.subscribe("a").await;
    assert_eq!(asked.take(), ["subscribe a"]);
    drop(ann);
    pass(2_000).await;
    assert_eq!(asked.take(), ["unsubscribe a"], "nothing is left of the other");
    test.end().await;
}

/// A broker that failed to give a channel up may have dropped it: to answer the next subscriber without asking would leave
/// it without a word for good.
#[tokio::test(start_paused = true)]
async fn a_channel_that_could_not_be_given_up_is_asked_for_anew() {
    let asked = Asked::default();
    let test = start_on(asked.clone(), ByName, NodeConfig::default());
    for ends in [Ends::Refused, Ends::Never] {
        let mut ann = test.client().await;
        ann.subscribe("a").await;
        assert_eq!(asked.take(), ["subscribe a"], "{ends:?}");
        asked.end(ends);
        leave(&mut ann, "a").await;
        pass(1_200).await;
        assert_eq!(asked.take(), ["unsubscribe a"]);
        asked.end(Ends::Well);
        ann.subscribe("a").await;
        assert_eq!(asked.take(), ["subscribe a"], "it may be gone: {ends:?}");
        pass(10_000).await;
        assert!(asked.take().is_empty(), "it is wanted");
        leave(&mut ann, "a").await;
        pass(10_000).await;
        assert_eq!(asked.take(), ["unsubscribe a"], "once: {ends:?}");
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_could_not_be_given_up_is_given_up_later() {
    let asked = Asked::default();
    let test = start_on(asked.clone(), ByName, NodeConfig::default());
    let mut ann = test.client().await;
    ann.subscribe("a").await;
    asked.end(Ends::Refused);
    leave(&mut ann, "a").await;
    pass(2_300).await;
    assert_eq!(asked.take(), ["subscribe a", "unsubscribe a", "unsubscribe a"]);
    asked.end(Ends::Well);
    pass(10_000).await;
    assert_eq!(asked.take(), ["unsubscribe a"]);
    test.end().await;
}

/// Whether a call took effect that was not answered is not known.
#[tokio::test(start_paused = true)]
async fn a_channel_that_was_asked_for_in_vain_is_given_up() {
    let asked = Asked::default();
    let test = start_on(asked.clone(), ByName, NodeConfig::default());
    let mut ann = test.client().await;
    for ends in [Ends::Never, Ends::Refused] {
        asked.end(ends);
        let reply = ann.call(r#""subscribe":{"channel":"a"}"#).await;
        assert_eq!(reply["error"]["code"], 100, "{reply}");
        asked.end(Ends::Well);
        pass(10_000).await;
        assert_eq!(asked.take(), ["subscribe a", "unsubscribe a"], "{ends:?}");
    }
    test.end().await;
}

/// Keyed channels that note the same.
#[derive(Debug)]
struct AskedMaps(MemoryMaps, Asked);

impl MapStore for AskedMaps {
    fn is_reliable(&self) -> bool {
        true
    }

    async fn publish(&self, publish: MapPublish) -> Result<MapChanged, BrokerError> {
        self.0.publish(publish).await
    }

    async fn remove(&self, remove: MapRemove) -> Result<MapChanged, BrokerError> {
        self.0.remove(remove).await
    }

    async fn state(
        &self,
        channel: &Channel,
        query: &MapQuery,
        policy: &MapPolicy,
    ) -> Result<MapPage, BrokerError> {
        self.0.state(channel, query, policy).await
    }

    async fn stream(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        policy: &MapPolicy,
    ) -> Result<Page, BrokerError> {
        self.0.stream(channel, query, policy).await
    }

    async fn stats(&self, channel: &Channel) -> Result<MapStats, BrokerError> {
        MapStore::stats(&self.0, channel).await
    }

    async fn clear(&self, channel: &Channel) -> Result<(), BrokerError> {
        self.0.clear(channel).await
    }

    async fn subscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.1.note("subscribe", channels).await
    }

    async fn unsubscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.1.note("unsubscribe", channels).await
    }

    fn attach(&self, events: EventSink) {
        self.0.attach(events);
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        MapStore::run(&self.0, stop).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_keyed_channel_that_could_not_be_given_up_is_asked_for_anew() {
    let asked = Asked::default();
    let engine =
        Engine::new(MemoryEngine::default()).with_maps(AskedMaps(MemoryMaps::default(), asked.clone()));
    let test = start_on(engine, ByName, NodeConfig::default());
    let mut keeper = Keeper::connect(&test, Encoding::Json, "map").await;
    keeper.load().await;
    assert_eq!(asked.take(), ["subscribe map"]);
    asked.end(Ends::Refused);
    drop(keeper);
    pass(1_200).await;
    assert_eq!(asked.take(), ["unsubscribe map"]);
    asked.end(Ends::Well);
    let mut keeper = Keeper::connect(&test, Encoding::Json, "map").await;
    keeper.load().await;
    assert_eq!(asked.take(), ["subscribe map"]);
    test.end().await;
}

/// LIM-03: a frame has room for thousands of names.
#[tokio::test(start_paused = true)]
async fn lim_03_who_connects_with_too_many_channels_is_refused_before_the_broker_is_asked() {
    let asked = Asked::default();
    let mut config = NodeConfig::default();
    config.channel_limit = 3;
    let test = start_on(asked.clone(), ByName, config);
    let connect = |count| {
        let subs: Vec<_> = (0..count).map(|number| format!(r#""c{number}":{{}}"#)).collect();
        format!(r#""connect":{{"subs":{{{}}}}}"#, subs.join(","))
    };
    let mut client = test.open(1 << 20, |_| {});
    client.send(&format!(r#"{{"id":1,{}}}"#, connect(4)));
    assert_eq!(client.closed().await, Disconnect::CHANNEL_LIMIT);
    assert!(asked.take().is_empty());
    let mut client = test.open(1 << 20, |_| {});
    assert!(client.call(&connect(3)).await["connect"].is_object());
    assert_eq!(asked.take().len(), 3);
    test.end().await;
}
