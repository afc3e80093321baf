//! The embedded engine: publish and subscribe, history and presence inside one process, without anything else to run.
//!
//! What it holds is gone when the process ends: streams begin with a new epoch, and subscribers that come back learn
//! that they cannot recover. Publications are delivered inside [`Broker::publish`], so the order of answers is the
//! order of delivery.
//!
//! # What it keeps, and for how long
//!
//! * The newest publications of a stream, up to the policy's `size`, until nothing was published for `ttl`. They are
//!   shared: delivering one, keeping it and reading it later all refer to the same bytes, which are a copy that does
//!   not hold on to the buffer they arrived in.
//! * A stream's offset and epoch until it was neither published to nor read for `meta_ttl`. Reading a channel that has
//!   no stream makes one, so that what its subscribers were told stays true; this costs about as much memory as the
//!   channel's name and 200 bytes, for `meta_ttl`.
//! * Idempotency keys for five minutes unless the publication says otherwise; the million that have longest to live,
//!   if there are more.
//! * Who is in a channel until they are removed. Counting them does not depend on their number.
//!
//! Lifetimes end exactly when they are due, by the engine's [`Clock`]; the memory is freed within two seconds while
//! [`Broker::run`] runs, or by [`MemoryEngine::expire`].
//!
//! # Order
//!
//! Publishing to a channel with history holds one of 1024 locks, chosen by the channel's name, over appending and
//! delivering, which makes the order of offsets that of deliveries. Reading does not wait for deliveries: streams have
//! other locks, 64 of them, each held for one look-up, append or page.
//!
//! # By itself
//!
//! ```
//! use std::time::Duration;
//!
//! use tourbillon_broker::{Engine, HistoryPolicy, HistoryQuery, Publish};
//! use tourbillon_broker_memory::MemoryEngine;
//! use tourbillon_types::Channel;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(MemoryEngine::default());
//! let policy = HistoryPolicy {
//!     size: 100,
//!     ttl: Duration::from_secs(60),
//!     meta_ttl: Duration::from_secs(3600),
//! };
//! let news = Channel::from("news");
//! let mut publish = Publish::new(news.clone(), r#"{"number":1}"#.into());
//! publish.options.history = Some(policy);
//! let published = engine.broker().publish(publish).await?;
//! assert_eq!(published.position.offset, 1);
//!
//! let history = engine.history().ok_or("no history")?;
//! let page = history.history(&news, &HistoryQuery::latest(10), policy.meta_ttl).await?;
//! assert_eq!(page.position, published.position);
//! assert_eq!(page.publications.len(), 1);
//! # Ok(())
//! # }
//! ```

mod deadlines;
mod idempotency;
mod members;
mod streams;

use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foldhash::fast::RandomState;
use idempotency::Idempotency;
use members::Members;
use parking_lot::Mutex;
use streams::{Append, Appended, Count, Streams};
use tourbillon_broker::{
    Attempt, Broker, BrokerError, Capabilities, EventSink, History, HistoryQuery, Member, Page, Parts, Presence,
    PresenceStats, Publish, PublishOptions, Published, Stop, Suppressed,
};
use tourbillon_types::{
    Channel, ClientId, ClientInfo, Clock, Now, Payload, Publication, StreamPosition, SystemClock, UserId,
};

/// In how many parts what is kept is divided, each under a lock of its own.
const SHARDS: usize = 64;

/// How many channels, at most, can be published to at the same time.
const ORDERS: usize = 1024;

/// The most idempotency keys remembered at once.
const KEYS: usize = 1_000_000;

/// How often memory is freed.
const PERIOD: Duration = Duration::from_secs(1);

/// The embedded engine.
#[derive(Debug)]
pub struct MemoryEngine {
    clock: Arc<dyn Clock>,
    events: OnceLock<EventSink>,
    hasher: RandomState,
    /// Each is held while publications of its channels are appended and delivered, and before all other locks.
    orders: Box<[Mutex<()>]>,
    shards: Box<[Shard]>,
}

#[derive(Debug)]
struct Shard {
    streams: Mutex<Streams>,
    members: Mutex<Members>,
    /// By channel and key: the keys of one busy channel are not all in one place.
    idempotency: Mutex<Idempotency>,
}

/// What an engine holds at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Streams, those included that hold only a position.
    pub streams: usize,
    /// Publications in all streams.
    pub publications: usize,
    /// Idempotency keys.
    pub keys: usize,
}

impl MemoryEngine {
    /// An engine that measures lifetimes by this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let shard = || Shard {
            streams: Mutex::default(),
            members: Mutex::default(),
            idempotency: Mutex::new(Idempotency::new(KEYS / SHARDS)),
        };
        Self {
            clock,
            events: OnceLock::new(),
            hasher: RandomState::default(),
            orders: (0..ORDERS).map(|_| Mutex::default()).collect(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    /// Frees the memory of what has gone by now. [`Broker::run`] does this every second. Holds each lock for a short
    /// while only, however much has gone.
    pub fn expire(&self) {
        let now = self.clock.now().instant;
        for shard in &self.shards {
            while shard.streams.lock().expire(now) {}
            shard.idempotency.lock().expire(now);
        }
    }

    /// What the engine holds. Walks through all streams: not for every request.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        let mut stats = MemoryStats::default();
        for shard in &self.shards {
            let Count { streams, publications } = shard.streams.lock().count();
            stats.streams += streams;
            stats.publications += publications;
            stats.keys += shard.idempotency.lock().len();
        }
        stats
    }

    fn shard(&self, of: impl Hash) -> &Shard {
        let hash = self.hasher.hash_one(of);
        &self.shards[usize::try_from(hash >> 58).unwrap_or_default()]
    }

    fn order(&self, channel: &str) -> &Mutex<()> {
        let hash = self.hasher.hash_one(channel);
        &self.orders[usize::try_from(hash >> 48 & 1023).unwrap_or_default()]
    }

    fn publish_in_order(&self, publish: Publish) -> Result<Published, BrokerError> {
        let Publish { channel, data, options } = publish;
        if options.history.is_some_and(|policy| !policy.keeps()) {
            return Err(BrokerError::invalid("history needs a size and a time"));
        }
        if options.version != 0 && options.history.is_none() {
            return Err(BrokerError::unsupported("versions need history"));
        }
        // What is neither numbered nor compared has no order of its own: subscribers get theirs from the hub.
        let ordered = options.history.is_some() || !options.idempotency_key.is_empty();
        let _order = ordered.then(|| self.order(&channel).lock());
        // Read under the lock, so that the times of a channel do not go back.
        let now = self.clock.now();
        if let Some(position) = self.used(now, &channel, &options.idempotency_key) {
            return Ok(Published { position, suppressed: Some(Suppressed::Idempotency) });
        }
        let (publication, previous) = match self.keep(now, &channel, data, &options) {
            Appended::Kept { publication, previous } => (publication, previous),
            Appended::Stale(position) => {
                return Ok(Published { position, suppressed: Some(Suppressed::Version) });
            }
        };
        let position = StreamPosition { offset: publication.offset, epoch: publication.epoch.clone() };
        self.note(now, &channel, &options, &position);
        if let Some(events) = self.events.get() {
            if options.delta {
                events.delta_publication(&channel, publication, previous);
            } else {
                events.publication(&channel, publication);
            }
        }
        Ok(Published { position, suppressed: None })
    }

    /// Appends to the channel's stream, if that is wanted.
    fn keep(&self, now: Now, channel: &Channel, data: Payload, options: &PublishOptions) -> Appended {
        let publication = Publication {
            data,
            info: options.info.clone(),
            tags: options.tags.clone(),
            time: now.unix_millis,
            ..Publication::default()
        };
        let Some(policy) = &options.history else {
            return Appended::Kept { publication: Arc::new(publication), previous: None };
        };
        let data = publication.data.detached();
        let append = Append {
            policy,
            version: options.version,
            version_epoch: &options.version_epoch,
            delta: options.delta,
            publication: Publication { data, ..publication },
        };
        self.shard(channel.as_str()).streams.lock().append(now.instant, channel, append)
    }

    /// The position that the first use of a key got, if it was used.
    fn used(&self, now: Now, channel: &Channel, key: &str) -> Option<StreamPosition> {
        if key.is_empty() {
            return None;
        }
        self.shard((channel.as_str(), key)).idempotency.lock().used(now.instant, channel, key)
    }

    fn note(&self, now: Now, channel: &Channel, options: &PublishOptions, position: &StreamPosition) {
        let key = options.idempotency_key.as_str();
        if key.is_empty() {
            return;
        }
        let ttl = options.idempotency_ttl.unwrap_or(PublishOptions::IDEMPOTENCY_TTL);
        let mut idempotency = self.shard((channel.as_str(), key)).idempotency.lock();
        idempotency.note(now.instant, ttl, (channel, key), position.clone());
    }
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }
}

impl Broker for MemoryEngine {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.history = true;
        capabilities.idempotency = true;
        capabilities.versions = true;
        capabilities.deltas = true;
        capabilities.join_leave = true;
        capabilities
    }

    fn parts(self: Arc<Self>) -> Parts {
        let mut parts = Parts::default();
        parts.history = Some(self.clone());
        parts.presence = Some(self);
        parts
    }

    async fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
        self.publish_in_order(publish)
    }

    fn publish_now(&self, publish: Publish) -> Attempt {
        Attempt::Done(self.publish_in_order(publish))
    }

    async fn publish_join(&self, channel: &Channel, info: Arc<ClientInfo>) -> Result<(), BrokerError> {
        if let Some(events) = self.events.get() {
            events.join(channel, info);
        }
        Ok(())
    }

    async fn publish_leave(&self, channel: &Channel, info: Arc<ClientInfo>) -> Result<(), BrokerError> {
        if let Some(events) = self.events.get() {
            events.leave(channel, info);
        }
        Ok(())
    }

    async fn subscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn unsubscribe(&self, _: &[Channel]) -> Result<(), BrokerError> {
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        // A second node on the same engine would be a mistake of the program; the first one keeps its events.
        let _ = self.events.set(events);
    }

    /// Frees memory every second until `stop` resolves. Runs on tokio.
    async fn run(&self, mut stop: Stop) -> Result<(), BrokerError> {
        while tokio::time::timeout(PERIOD, &mut stop).await.is_err() {
            self.expire();
        }
        Ok(())
    }
}

impl History for MemoryEngine {
    async fn history(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        meta_ttl: Duration,
    ) -> Result<Page, BrokerError> {
        let mut streams = self.shard(channel.as_str()).streams.lock();
        Ok(streams.read(self.clock.now().instant, channel, query, meta_ttl))
    }

    async fn remove_history(&self, channel: &Channel) -> Result<(), BrokerError> {
        self.shard(channel.as_str()).streams.lock().clear(channel);
        Ok(())
    }
}

impl Presence for MemoryEngine {
    async fn add_presence(
        &self,
        channel: &Channel,
        client: ClientId,
        info: Arc<ClientInfo>,
    ) -> Result<(), BrokerError> {
        self.shard(channel.as_str()).members.lock().add(channel, client, info);
        Ok(())
    }

    async fn remove_presence(
        &self,
        channel: &Channel,
        client: ClientId,
        _: &UserId,
    ) -> Result<(), BrokerError> {
        self.shard(channel.as_str()).members.lock().remove(channel, client);
        Ok(())
    }

    async fn presence(&self, channel: &Channel) -> Result<Vec<Member>, BrokerError> {
        Ok(self.shard(channel.as_str()).members.lock().list(channel))
    }

    async fn presence_stats(&self, channel: &Channel) -> Result<PresenceStats, BrokerError> {
        Ok(self.shard(channel.as_str()).members.lock().stats(channel))
    }
}
