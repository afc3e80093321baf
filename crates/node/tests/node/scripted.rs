//! A broker that does what a test says, and channels whose names say what they keep.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tourbillon_broker::{
    Broker, BrokerError, Capabilities, EventSink, History, HistoryQuery, Member, Page, Parts, Presence,
    PresenceStats, Publish, Published, Stop,
};
use tourbillon_node::{
    Batching, ChannelOptions, ConnectDecision, ConnectRequest, HistoryPolicy, HistoryRequest, Hooks,
    MapPublishDecision, MapPublishRequest, MapRemoveDecision, MapRemoveRequest, MapRules, OverflowPolicy,
    PresenceRequest, PublishDecision, PublishRequest, RecoveryMode, Refusal, SubscribeDecision,
    SubscribeRequest, SubscriptionKind,
};
use tourbillon_types::{
    Channel, ClientId, ClientInfo, Epoch, MapPolicy, MapPresence, MapStream, PageSizes, Payload, Publication,
    ReplyError, StreamPosition, UserId,
};

/// A publication that holds its offset.
pub(crate) fn publication(offset: u64, epoch: &str) -> Arc<Publication> {
    let data = Payload::from(offset.to_string().into_bytes());
    Arc::new(Publication { offset, epoch: Epoch::from(epoch), data, ..Publication::default() })
}

pub(crate) fn at(offset: u64, epoch: &str) -> StreamPosition {
    StreamPosition { offset, epoch: Epoch::from(epoch) }
}

/// Everybody may do everything. What a channel keeps is in its name, word by word: `history`, `position`, `recover`,
/// `cache`, `auto`, `presence`, `joins`, `listen`; and what it allows: `delta`, `keep`, `filter`, `compact`, `debounce`;
/// `batch` collects two publications, and of `loose` ones slow clients may miss some.
///
/// Keyed are `map`, `mapclients` and `mapusers`, with eight changes in the stream unless they are `ephemeral` or `long`,
/// and keys that live for a minute unless they are `persistent`. In those that are `mine` a client sets its own key, which
/// ends with its subscription where they are `own`. Who is in `shown` shows itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByName;

impl Hooks for ByName {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let mut decision = ConnectDecision::new(UserId::from(request.token.as_str()));
        decision.info = Payload::from("1");
        // The server subscribes to what the client names.
        for channel in &request.channels {
            let options = self.channel_options(channel)?.subscription();
            decision.subscriptions.push((channel.clone(), options));
        }
        Ok(decision)
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options = self.channel_options(&request.channel)?.subscription();
        if &*request.channel == "shown" {
            decision.options.map_presence = Some(Box::new(MapPresence {
                clients: Some(Channel::from("mapclients_shown")),
                users: Some(Channel::from("mapusers_shown")),
            }));
        }
        Ok(decision)
    }

    async fn publish(&self, _: PublishRequest) -> Result<PublishDecision, Refusal> {
        Ok(PublishDecision::default())
    }

    async fn map_publish(&self, request: MapPublishRequest) -> Result<MapPublishDecision, Refusal> {
        let mine = request.channel.split('_').any(|part| part == "mine");
        let key = mine.then(|| Arc::from(request.client.id.to_string()));
        Ok(MapPublishDecision::Publish { key, data: None, options: Box::default() })
    }

    async fn map_remove(&self, _: MapRemoveRequest) -> Result<MapRemoveDecision, Refusal> {
        Ok(MapRemoveDecision::default())
    }

    async fn history(&self, request: HistoryRequest) -> Result<(), Refusal> {
        if request.subscribed { Ok(()) } else { Err(ReplyError::PERMISSION_DENIED.into()) }
    }

    async fn presence(&self, request: PresenceRequest) -> Result<(), Refusal> {
        if request.subscribed { Ok(()) } else { Err(ReplyError::PERMISSION_DENIED.into()) }
    }

    fn channel_options(&self, channel: &str) -> Result<ChannelOptions, ReplyError> {
        let has = |word| channel.split(['_', ':']).any(|part| part == word);
        let mut options = ChannelOptions::default();
        let meta_ttl = options.history_meta_ttl;
        options.history =
            has("history").then_some(HistoryPolicy { size: 5, ttl: Duration::from_secs(60), meta_ttl });
        options.force_positioning = has("position");
        options.force_recovery = has("recover");
        if has("cache") {
            options.recovery_mode = RecoveryMode::Cache;
        }
        options.auto_cache_recover = has("auto");
        options.presence = has("presence");
        options.join_leave = has("joins");
        options.force_push_join_leave = has("listen");
        options.allow_delta = has("delta");
        options.delta_publish = has("delta");
        options.keep_latest_publication = has("keep");
        options.allow_tags_filter = has("filter");
        options.allow_channel_compaction = has("compact");
        options.batching = has("batch").then_some(Batching {
            max_size: NonZeroUsize::new(2),
            max_delay: None,
            flush_latest: false,
        });
        if has("loose") {
            options.overflow = OverflowPolicy::DropOldest;
        }
        let kinds = [
            ("map", SubscriptionKind::Map),
            ("mapclients", SubscriptionKind::MapClients),
            ("mapusers", SubscriptionKind::MapUsers),
        ];
        if let Some((_, kind)) = kinds.into_iter().find(|(word, _)| has(word)) {
            options.kind = kind;
            let minute = Duration::from_secs(60);
            let stream = MapStream { size: if has("long") { 20 } else { 8 }, ttl: minute };
            let mut rules = MapRules::new(match (has("ephemeral"), has("persistent")) {
                (true, _) => MapPolicy::ephemeral(minute),
                (_, true) => MapPolicy::persistent(stream),
                _ => MapPolicy::recoverable(minute, stream),
            });
            rules.pages = PageSizes { default: 3, min: 1, max: 5 };
            rules.live_transition_limit = 5;
            rules.remove_client_on_unsubscribe = has("own");
            options.map = Some(rules);
        }
        options.publish_debounce = Duration::from_millis(if has("debounce") { 250 } else { 0 });
        Ok(options)
    }
}

/// Delivers nothing by itself: the test does, by [`events`](Self::events). Its history is what the test puts there, and
/// is told when the test lets it.
#[derive(Clone, Debug)]
pub(crate) struct Scripted(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    events: OnceLock<EventSink>,
    page: Mutex<Result<Page, ()>>,
    open: watch::Sender<bool>,
    asked: watch::Sender<usize>,
    reliable: bool,
}

impl Scripted {
    pub(crate) fn new(position: StreamPosition) -> Self {
        Self::with(position, false)
    }

    pub(crate) fn with(position: StreamPosition, reliable: bool) -> Self {
        let page = Mutex::new(Ok(Page { publications: Vec::new(), position }));
        let events = OnceLock::new();
        let (open, asked) = (watch::Sender::new(true), watch::Sender::new(0));
        Self(Arc::new(Inner { events, page, open, asked, reliable }))
    }

    pub(crate) fn events(&self) -> &EventSink {
        self.0.events.get().expect("the node listens")
    }

    pub(crate) fn deliver(&self, channel: &str, offset: u64, epoch: &str) {
        self.events().publication(&Channel::from(channel), publication(offset, epoch));
    }

    /// What the history says from now on.
    pub(crate) fn keep(&self, offsets: &[u64], position: StreamPosition) {
        let epoch = position.epoch.as_str().to_owned();
        let publications = offsets.iter().map(|offset| publication(*offset, &epoch)).collect();
        *self.0.page.lock() = Ok(Page { publications, position });
    }

    /// The history fails from now on.
    pub(crate) fn fail(&self) {
        *self.0.page.lock() = Err(());
    }

    /// Whether the history answers.
    pub(crate) fn answer(&self, answers: bool) {
        self.0.open.send_replace(answers);
    }

    /// How often the history was asked.
    pub(crate) fn asked(&self) -> usize {
        *self.0.asked.borrow()
    }

    /// Waits until the history is asked for the so-manieth time.
    pub(crate) async fn until_asked(&self, times: usize) {
        let mut asked = self.0.asked.subscribe();
        asked.wait_for(|asked| *asked >= times).await.expect("the broker lives");
    }
}

impl Broker for Scripted {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.history = true;
        capabilities.reliable = self.0.reliable;
        capabilities
    }

    fn parts(self: Arc<Self>) -> Parts {
        let mut parts = Parts::default();
        parts.history = Some(self);
        parts
    }

    async fn publish(&self, _: Publish) -> Result<Published, BrokerError> {
        Err(BrokerError::unsupported("publish"))
    }

    async fn subscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn unsubscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        let _ = self.0.events.set(events);
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        stop.await;
        Ok(())
    }
}

impl History for Scripted {
    async fn history(&self, _: &Channel, _: &HistoryQuery, _: Duration) -> Result<Page, BrokerError> {
        self.0.asked.send_modify(|asked| *asked += 1);
        let mut open = self.0.open.subscribe();
        open.wait_for(|open| *open).await.map_err(|_| BrokerError::internal("the test ended"))?;
        self.0.page.lock().clone().map_err(|()| BrokerError::unavailable("history"))
    }

    async fn remove_history(&self, _: &Channel) -> Result<(), BrokerError> {
        Ok(())
    }
}

/// An engine that can publish and nothing else.
#[derive(Debug)]
pub(crate) struct Plain(pub(crate) tourbillon_broker_memory::MemoryEngine);

impl Broker for Plain {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
        Broker::publish(&self.0, publish).await
    }

    async fn subscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        Broker::subscribe(&self.0, channels).await
    }

    async fn unsubscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        Broker::unsubscribe(&self.0, channels).await
    }

    fn attach(&self, events: EventSink) {
        Broker::attach(&self.0, events);
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        Broker::run(&self.0, stop).await
    }
}

/// Clients choose whether they have a position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mixed;

impl Hooks for Mixed {
    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options.positioned = request.positioned;
        Ok(decision)
    }
}

/// Counts who is told to be present, and forgets them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forgetful(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    added: AtomicUsize,
    removed: AtomicUsize,
    fails: AtomicBool,
    hangs: watch::Sender<bool>,
}

impl Forgetful {
    pub(crate) fn added(&self) -> usize {
        self.0.added.load(Ordering::SeqCst)
    }

    pub(crate) fn removed(&self) -> usize {
        self.0.removed.load(Ordering::SeqCst)
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.0.fails.store(fails, Ordering::SeqCst);
    }

    /// Whether nothing is answered until further notice.
    pub(crate) fn hang(&self, hangs: bool) {
        self.0.hangs.send_replace(hangs);
    }

    async fn answers(&self) {
        let mut hangs = self.0.hangs.subscribe();
        let _ = hangs.wait_for(|hangs| !hangs).await;
    }
}

impl Presence for Forgetful {
    async fn add_presence(&self, _: &Channel, _: ClientId, _: Arc<ClientInfo>) -> Result<(), BrokerError> {
        self.0.added.fetch_add(1, Ordering::SeqCst);
        self.answers().await;
        if self.0.fails.load(Ordering::SeqCst) { Err(BrokerError::unavailable("presence")) } else { Ok(()) }
    }

    async fn remove_presence(&self, _: &Channel, _: ClientId, _: &UserId) -> Result<(), BrokerError> {
        self.0.removed.fetch_add(1, Ordering::SeqCst);
        self.answers().await;
        Ok(())
    }

    async fn presence(&self, _: &Channel) -> Result<Vec<Member>, BrokerError> {
        Ok(Vec::new())
    }

    async fn presence_stats(&self, _: &Channel) -> Result<PresenceStats, BrokerError> {
        Ok(PresenceStats::default())
    }
}
