//! A store of keyed channels whose events a test can lose, and what positions are for then (MAP-37).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tourbillon_broker::{
    BrokerError, BrokerEvents, Engine, EventSink, MapChanged, MapPublish, MapRemove, MapStats, MapStore,
    Page, Stop,
};
use tourbillon_broker_memory::{MemoryEngine, MemoryMaps};
use tourbillon_node::NodeConfig;
use tourbillon_types::{
    Channel, ClientInfo, Encoding, HistoryQuery, MapPage, MapPolicy, MapQuery, Payload, Publication,
};

use crate::harness::{TestNode, start_on};
use crate::keeper::{Keeper, Phase};
use crate::scripted::ByName;

#[derive(Clone, Debug, Default)]
struct Lossy(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    maps: MemoryMaps,
    reliable: bool,
    loses: AtomicBool,
    /// How often it was asked where a stream stands.
    asked: AtomicUsize,
}

#[derive(Debug)]
struct Events(EventSink, Arc<Inner>);

impl BrokerEvents for Events {
    fn publication(&self, channel: &Channel, publication: Arc<Publication>) {
        if !self.1.loses.load(Ordering::Relaxed) {
            self.0.publication(channel, publication);
        }
    }

    fn delta_publication(&self, channel: &Channel, new: Arc<Publication>, old: Option<Arc<Publication>>) {
        if !self.1.loses.load(Ordering::Relaxed) {
            self.0.delta_publication(channel, new, old);
        }
    }

    fn join(&self, _: &Channel, _: Arc<ClientInfo>) {}

    fn leave(&self, _: &Channel, _: Arc<ClientInfo>) {}

    fn position_lost(&self, channel: Option<&Channel>) {
        self.0.position_lost(channel);
    }
}

impl MapStore for Lossy {
    fn is_reliable(&self) -> bool {
        self.0.reliable
    }

    async fn publish(&self, publish: MapPublish) -> Result<MapChanged, BrokerError> {
        self.0.maps.publish(publish).await
    }

    async fn remove(&self, remove: MapRemove) -> Result<MapChanged, BrokerError> {
        self.0.maps.remove(remove).await
    }

    async fn state(
        &self,
        channel: &Channel,
        query: &MapQuery,
        policy: &MapPolicy,
    ) -> Result<MapPage, BrokerError> {
        self.0.maps.state(channel, query, policy).await
    }

    async fn stream(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        policy: &MapPolicy,
    ) -> Result<Page, BrokerError> {
        if *query == HistoryQuery::position() {
            self.0.asked.fetch_add(1, Ordering::Relaxed);
        }
        self.0.maps.stream(channel, query, policy).await
    }

    async fn stats(&self, channel: &Channel) -> Result<MapStats, BrokerError> {
        MapStore::stats(&self.0.maps, channel).await
    }

    async fn clear(&self, channel: &Channel) -> Result<(), BrokerError> {
        self.0.maps.clear(channel).await
    }

    async fn subscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.0.maps.subscribe(channels).await
    }

    async fn unsubscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.0.maps.unsubscribe(channels).await
    }

    fn attach(&self, events: EventSink) {
        self.0.maps.attach(EventSink::new(Arc::new(Events(events, self.0.clone()))));
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        MapStore::run(&self.0.maps, stop).await
    }
}

fn start_lossy(reliable: bool) -> (TestNode, Lossy) {
    let maps = Lossy(Arc::new(Inner { reliable, ..Inner::default() }));
    let engine = Engine::new(MemoryEngine::default()).with_maps(maps.clone());
    let mut config = NodeConfig::default();
    config.ping_interval = None;
    (start_on(engine, ByName, config), maps)
}

async fn set(test: &TestNode, key: &str) {
    let channel = Channel::from("map_delta");
    let set = test.node.map_publish(channel, key, Payload::from("1"), Default::default()).await;
    assert!(set.is_ok(), "{set:?}");
}

#[tokio::test(start_paused = true)]
async fn map_27_a_gap_is_told_as_soon_as_it_shows() {
    let (test, maps) = start_lossy(false);
    let mut keepers = Vec::new();
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let mut keeper = Keeper::connect(&test, encoding, "map_delta").await.fossil(true);
        keeper.load().await;
        keepers.push(keeper);
    }
    set(&test, "a").await;
    maps.0.loses.store(true, Ordering::Relaxed);
    set(&test, "b").await;
    maps.0.loses.store(false, Ordering::Relaxed);
    set(&test, "c").await;
    for keeper in &mut keepers {
        keeper.settle().await;
        assert_eq!(keeper.unsubscribed, Some(2500));
        assert_eq!(keeper.values.keys().collect::<Vec<_>>(), ["a"], "c does not come after a");
        keeper.load().await;
        assert_eq!(keeper.values.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_37_positions_are_checked_where_a_store_may_lose_something() {
    let (test, maps) = start_lossy(false);
    let mut keeper = Keeper::connect(&test, Encoding::Json, "map").await;
    keeper.load().await;
    set(&test, "other").await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    keeper.settle().await;
    assert_eq!((keeper.unsubscribed, keeper.phase.clone()), (None, Phase::Live));
    assert!(maps.0.asked.load(Ordering::Relaxed) >= 1);
    maps.0.loses.store(true, Ordering::Relaxed);
    let channel = Channel::from("map");
    let lost = test.node.map_publish(channel, "a", Payload::from("1"), Default::default()).await;
    assert!(lost.is_ok(), "{lost:?}");
    tokio::time::sleep(Duration::from_secs(100)).await;
    keeper.settle().await;
    assert_eq!(keeper.unsubscribed, Some(2500));
    test.end().await;
}

#[tokio::test(start_paused = true)]
async fn map_37_positions_are_not_checked_where_nothing_gets_lost() {
    let (test, maps) = start_lossy(true);
    let mut keeper = Keeper::connect(&test, Encoding::Json, "map").await;
    keeper.load().await;
    let before = maps.0.asked.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(maps.0.asked.load(Ordering::Relaxed), before);
    test.end().await;
}
