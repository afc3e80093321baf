//! The embedded engine: publish and subscribe, history and presence inside one process, without anything else to run.
//!
//! What it holds is gone when the process ends: streams begin with a new epoch, and subscribers that come back learn
//! that they cannot recover. With the feature `persistence` an engine can keep its streams in a file instead
//! (`MemoryEngine::open`). Publications are delivered inside [`Broker::publish`], so the order of answers is the
//! order of delivery.
//!
//! # What it keeps, and for how long
//!
//! * The newest publications of a stream, up to the policy's `size`, until nothing was published for `ttl`. They take
//!   56 bytes besides their data, and a place in a list; all who read one share the bytes that are kept, which are a
//!   copy that does not hold on to the buffer they arrived in.
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
//! # Keyed channels
//!
//! [`MemoryMaps`] is a store of keyed channels, independent of the engine, with locks and lifetimes of the same kind.
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
mod engine;
mod idempotency;
mod maps;
mod members;
#[cfg(feature = "persistence")]
mod persistence;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use engine::Inner;
pub use maps::{MemoryMaps, MemoryMapsStats};
#[cfg(feature = "persistence")]
use persistence::Ticket;
#[cfg(feature = "persistence")]
pub use persistence::{Fsync, OpenError, Persistence};
use tourbillon_broker::{
    Attempt, Broker, BrokerError, Capabilities, EventSink, History, HistoryQuery, Member, Page, Parts,
    Presence, PresenceStats, Publish, Published, Stop,
};
use tourbillon_types::{Channel, ClientId, ClientInfo, Clock, SystemClock, UserId};

/// How often memory is freed.
const PERIOD: Duration = Duration::from_secs(1);

/// The embedded engine. Clones are the same engine.
#[derive(Clone, Debug)]
pub struct MemoryEngine(Arc<Inner>);

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
        Self(Arc::new(Inner::new(clock)))
    }

    /// An engine whose streams are kept in a file, with those that are in it already. Blocks while it reads the file.
    ///
    /// Its calls that wait for the disk need a tokio runtime. The time that a program is down counts for
    /// publications, and a start counts as a use of all positions. The end of [`Broker::run`] stores what there is;
    /// from then on the engine takes no more publications with history.
    ///
    /// # Errors
    ///
    /// When the file cannot be used, or is not what this version writes.
    #[cfg(feature = "persistence")]
    pub fn open(clock: Arc<dyn Clock>, persistence: &Persistence) -> Result<Self, OpenError> {
        let mut inner = Inner::new(clock);
        // The database gives up where its own structures make no sense; nothing of it is kept then.
        let restored = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inner.restore(persistence)));
        restored.map_err(|_| OpenError::Unreadable)??;
        Ok(Self(Arc::new(inner)))
    }

    /// Frees the memory of what has gone by now. [`Broker::run`] does this every second. Holds each lock for a short
    /// while only, however much has gone.
    pub fn expire(&self) {
        self.0.expire();
    }

    /// What the engine holds. Walks through all streams: not for every request.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        self.0.stats()
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
        #[cfg(feature = "persistence")]
        if self.0.waits_for_disk(&publish.options) {
            let ticket = self.ticket(&publish.channel).await?;
            return self.blocking(ticket, move |inner| inner.publish_after_flush(publish)).await;
        }
        self.0.publish(publish)
    }

    fn publish_now(&self, publish: Publish) -> Attempt {
        #[cfg(feature = "persistence")]
        if self.0.waits_for_disk(&publish.options) {
            return Attempt::Later(publish);
        }
        Attempt::Done(self.0.publish(publish))
    }

    async fn publish_join(&self, channel: &Channel, info: Arc<ClientInfo>) -> Result<(), BrokerError> {
        if let Some(events) = self.0.events.get() {
            events.join(channel, info);
        }
        Ok(())
    }

    async fn publish_leave(&self, channel: &Channel, info: Arc<ClientInfo>) -> Result<(), BrokerError> {
        if let Some(events) = self.0.events.get() {
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
        let _ = self.0.events.set(events);
    }

    /// Not where writing to its file has failed: streams take nothing more then.
    #[cfg(feature = "persistence")]
    async fn ready(&self) -> Result<(), BrokerError> {
        self.0.check_stored()
    }

    /// Frees memory every second until `stop` resolves, and stores streams that are kept in a file. Runs on tokio.
    async fn run(&self, mut stop: Stop) -> Result<(), BrokerError> {
        #[cfg(feature = "persistence")]
        if let Some(period) = self.0.storing_period() {
            while tokio::time::timeout(period.min(PERIOD), &mut stop).await.is_err() {
                // Whoever asks is told of a failure (`ready`), and memory has to be freed all the same.
                let _ = self.blocking((), Inner::store_due).await;
            }
            return self.blocking((), Inner::close).await;
        }
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
        Ok(self.0.read(channel, query, meta_ttl))
    }

    async fn remove_history(&self, channel: &Channel) -> Result<(), BrokerError> {
        #[cfg(feature = "persistence")]
        if self.0.storing_period().is_some() {
            let (channel, ticket) = (channel.clone(), self.ticket(channel).await?);
            return self.blocking(ticket, move |inner| inner.clear_stored(&channel)).await;
        }
        self.0.shard(channel.as_str()).streams.lock().clear(channel);
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
        self.0.shard(channel.as_str()).members.lock().add(channel, client, info);
        Ok(())
    }

    async fn remove_presence(
        &self,
        channel: &Channel,
        client: ClientId,
        _: &UserId,
    ) -> Result<(), BrokerError> {
        self.0.shard(channel.as_str()).members.lock().remove(channel, client);
        Ok(())
    }

    async fn presence(&self, channel: &Channel) -> Result<Vec<Member>, BrokerError> {
        Ok(self.0.shard(channel.as_str()).members.lock().list(channel))
    }

    async fn presence_stats(&self, channel: &Channel) -> Result<PresenceStats, BrokerError> {
        Ok(self.0.shard(channel.as_str()).members.lock().stats(channel))
    }
}

#[cfg(feature = "persistence")]
impl MemoryEngine {
    /// Waits until something of this channel may go to the disk.
    async fn ticket(&self, channel: &Channel) -> Result<Option<Ticket>, BrokerError> {
        match &self.0.journal {
            Some(journal) => journal.desk().ticket(self.0.order_number(channel)).await.map(Some),
            None => Ok(None),
        }
    }

    /// Does what waits for the disk where it keeps nobody else waiting. Goes on when the future is dropped, and holds on
    /// to `ticket` for as long.
    async fn blocking<T: Send + 'static>(
        &self,
        ticket: impl Send + 'static,
        work: impl FnOnce(&Inner) -> Result<T, BrokerError> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let inner = self.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&inner);
            drop(ticket);
            done
        })
        .await;
        done.unwrap_or_else(|error| Err(BrokerError::internal("storing ended early").caused_by(error)))
    }
}
