//! The node, its broker and what was really published.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tourbillon_broker::{
    Broker, BrokerError, BrokerEvents, Capabilities, EventSink, History, HistoryQuery, Page, Parts, Publish,
    Published, Stop,
};
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{
    ChannelOptions, ConnectDecision, ConnectRequest, HistoryPolicy, Hooks, Node, NodeConfig, PublishOptions,
    Refusal, SubscribeDecision, SubscribeRequest,
};
use tourbillon_transport::memory::{MemoryPeer, pair};
use tourbillon_transport::{Accept, ConnContext, TransportInfo};
use tourbillon_types::{
    Channel, ClientInfo, Clock, Encoding, Instant, Now, Payload, Publication, ReplyError, UserId,
};

use super::Weather;

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635_dca2_9a1d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The runtime's paused clock.
#[derive(Debug)]
struct Paused(tokio::time::Instant);

impl Clock for Paused {
    fn now(&self) -> Now {
        let passed = self.0.elapsed();
        let millis = i64::try_from(passed.as_millis()).expect("a short run");
        Now { instant: Instant::ZERO + passed, unix_millis: 1_700_000_000_000 + millis }
    }
}

/// The embedded engine, with deliveries that go astray and histories that take their time.
#[derive(Debug)]
struct Unreliable {
    engine: MemoryEngine,
    random: Arc<Mutex<Random>>,
    /// Whether deliveries go astray.
    astray: Arc<AtomicBool>,
}

impl Broker for Unreliable {
    fn capabilities(&self) -> Capabilities {
        Broker::capabilities(&self.engine)
    }

    fn parts(self: Arc<Self>) -> Parts {
        let mut parts = Parts::default();
        parts.history = Some(self);
        parts
    }

    async fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
        Broker::publish(&self.engine, publish).await
    }

    async fn subscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn unsubscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        let (random, astray) = (self.random.clone(), self.astray.clone());
        let astray = Astray { events, random, astray, held: Mutex::default() };
        Broker::attach(&self.engine, EventSink::new(Arc::new(astray)));
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        Broker::run(&self.engine, stop).await
    }
}

impl Unreliable {
    async fn dawdle(&self) {
        let times = self.random.lock().below(6);
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    }
}

impl History for Unreliable {
    async fn history(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        meta_ttl: Duration,
    ) -> Result<Page, BrokerError> {
        self.dawdle().await;
        let page = History::history(&self.engine, channel, query, meta_ttl).await;
        self.dawdle().await;
        page
    }

    async fn remove_history(&self, channel: &Channel) -> Result<(), BrokerError> {
        History::remove_history(&self.engine, channel).await
    }
}

/// Loses one delivery in twenty, and lets one in twenty be overtaken by the next.
struct Astray {
    events: EventSink,
    random: Arc<Mutex<Random>>,
    astray: Arc<AtomicBool>,
    held: Mutex<Vec<(Channel, Arc<Publication>)>>,
}

impl BrokerEvents for Astray {
    fn publication(&self, channel: &Channel, publication: Arc<Publication>) {
        let fate = if self.astray.load(Ordering::Relaxed) { self.random.lock().below(20) } else { u64::MAX };
        match fate {
            0 => {}
            1 => self.held.lock().push((channel.clone(), publication)),
            _ => self.events.publication(channel, publication),
        }
        if fate != 1 {
            let held = std::mem::take(&mut *self.held.lock());
            held.into_iter()
                .for_each(|(channel, publication)| self.events.publication(&channel, publication));
        }
    }

    fn join(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.events.join(channel, info);
    }

    fn leave(&self, channel: &Channel, info: Arc<ClientInfo>) {
        self.events.leave(channel, info);
    }

    fn position_lost(&self, channel: Option<&Channel>) {
        self.events.position_lost(channel);
    }
}

/// How channels are kept.
#[derive(Clone, Copy, Debug)]
struct Rules {
    positions: bool,
    policy: HistoryPolicy,
}

impl Hooks for Rules {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let mut decision = ConnectDecision::new(UserId::from("user"));
        for channel in request.channels {
            let options = self.channel_options(&channel)?.subscription();
            decision.subscriptions.push((channel, options));
        }
        Ok(decision)
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options = self.channel_options(&request.channel)?.subscription();
        Ok(decision)
    }

    fn channel_options(&self, _: &str) -> Result<ChannelOptions, ReplyError> {
        let mut options = ChannelOptions::default();
        options.history = Some(self.policy);
        options.history_meta_ttl = self.policy.meta_ttl;
        options.force_positioning = self.positions;
        options.force_recovery = self.positions;
        Ok(options)
    }
}

/// Where a publication is: its stream's epoch and its offset.
pub(super) type Place = (String, u64);

/// The node and what was published.
pub(super) struct World {
    node: Node,
    rules: Rules,
    astray: Arc<AtomicBool>,
    /// What every publication holds.
    published: HashMap<(String, Place), u64>,
    /// Where each channel stands.
    tops: HashMap<String, Place>,
    last: u64,
    capacity: u64,
    stormy: bool,
}

impl World {
    pub(super) fn start(random: &mut Random, positions: bool, weather: Weather) -> Self {
        let stormy = weather == Weather::Stormy;
        let policy = if stormy {
            let size = 2 + random.below(12) as usize;
            // Without positions a client cannot know which epoch an offset is of.
            let meta_ttl = Duration::from_secs(if positions { 30 } else { 100_000 });
            HistoryPolicy { size, ttl: Duration::from_secs(20), meta_ttl }
        } else {
            let long = Duration::from_secs(100_000);
            HistoryPolicy { size: 100_000, ttl: long, meta_ttl: long }
        };
        let mut config = NodeConfig::default();
        config.ping_interval = None;
        config.channel_position_check_delay = Duration::from_secs(5);
        config.recovery_max_publication_limit = 10_000;
        config.queue_max_size = if stormy { 3_000 } else { 1 << 20 };
        let rules = Rules { positions, policy };
        let clock = Paused(tokio::time::Instant::now());
        // Without positions nobody could tell.
        let astray = Arc::new(AtomicBool::new(stormy && positions));
        let broker = Unreliable {
            engine: MemoryEngine::with_clock(Arc::new(clock)),
            random: Arc::new(Mutex::new(random.clone())),
            astray: astray.clone(),
        };
        let built = Node::builder(broker).hooks(rules).config(config).flush_workers(1).build();
        let (node, driver) = built.expect("a sound node");
        tokio::spawn(driver);
        let capacity = if stormy { 100 + random.below(900) } else { 1 << 20 };
        let (published, tops) = (HashMap::new(), HashMap::new());
        Self { node, rules, astray, published, tops, last: 0, capacity, stormy }
    }

    pub(super) const fn is_stormy(&self) -> bool {
        self.stormy
    }

    /// A new connection.
    pub(super) fn connect(&self) -> MemoryPeer {
        let capacity = usize::try_from(self.capacity).expect("small");
        let (transport, peer) = pair(TransportInfo::new("memory", Encoding::Json), capacity);
        self.node.accept(transport, ConnContext::default());
        peer
    }

    pub(super) async fn publish(&mut self, channel: &str) {
        self.last += 1;
        let mut options = PublishOptions::default();
        options.history = Some(self.rules.policy);
        let data = Payload::from(self.last.to_string().into_bytes());
        let published = self.node.publish(Channel::from(channel), data, options).await.expect("published");
        let place = (published.position.epoch.as_str().to_owned(), published.position.offset);
        self.published.insert((channel.to_owned(), place.clone()), self.last);
        self.tops.insert(channel.to_owned(), place);
    }

    /// What a publication holds.
    pub(super) fn at(&self, channel: &str, place: &Place) -> Option<u64> {
        self.published.get(&(channel.to_owned(), place.clone())).copied()
    }

    /// Where a channel stands, if anything was published to it.
    pub(super) fn top(&self, channel: &str) -> Option<&Place> {
        self.tops.get(channel)
    }

    /// Forgets a channel's publications.
    pub(super) async fn trim(&self, channel: &str) {
        self.node.remove_history(&Channel::from(channel)).await.expect("trimmed");
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }

    /// Lets what can happen happen, up to some point.
    pub(super) async fn settle(&self, turns: u64) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// From now on nothing goes astray.
    pub(super) fn calm_down(&self) {
        self.astray.store(false, Ordering::Relaxed);
    }

    pub(super) async fn end(self) {
        self.node.shutdown().await;
        assert_eq!(self.node.stats(), Default::default(), "something is left of the connections");
    }
}
