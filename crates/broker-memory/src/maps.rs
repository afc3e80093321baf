//! Keyed channels in memory (MAPB-01).

mod keyed;
mod shard;

use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use foldhash::fast::RandomState;
use keyed::{Change, Changed, Keyed};
use parking_lot::Mutex;
use shard::{Due, Ended, Part, Shard};
use tourbillon_broker::{
    BrokerError, EventSink, MapChanged, MapPublish, MapRemove, MapStats, MapStore, MapSuppressed,
    PublishOptions, Stop,
};
use tourbillon_types::{
    Channel, Clock, Epoch, HistoryQuery, MapPage, MapPolicy, MapQuery, Now, Page, SystemClock,
};

use crate::PERIOD;
use crate::idempotency::Idempotency;

/// In how many parts what is kept is divided, each under a lock of its own.
const SHARDS: usize = 64;

/// How many channels, at most, can be changed at the same time.
const ORDERS: usize = 1024;

/// The most idempotency keys remembered at once.
const KEYS: usize = 1_000_000;

/// The most entries that are read without giving up the lock in between.
const STRETCH: usize = 1000;

/// Keyed channels inside one process. Clones are the same store.
///
/// What it holds is gone when the process ends, and so are the epochs: subscribers that come back read the state again.
/// Changes are delivered inside [`MapStore::publish`] and [`MapStore::remove`], so the order of answers is the order of
/// delivery.
///
/// # What it keeps, and for how long
///
/// * Keys until they are removed or end. One that ends is not shown any more at that very moment; that it has ended is
///   told within two seconds while [`MapStore::run`] runs, or by [`MemoryMaps::expire`]. A key takes about 350 bytes
///   besides its name and its value, which is a copy that does not hold on to the buffer it arrived in.
/// * Changes and positions as the embedded engine keeps those of streams. A channel that is to be kept for ever takes
///   memory from the first time that it is written to: reading it does not.
/// * Idempotency keys for five minutes unless the change says otherwise; the million that have longest to live, if
///   there are more.
///
/// A page costs what is in it and finding where it begins, however large the state is. Pages are in the order of their
/// keys, and a cursor is the last key of the page before.
#[derive(Clone, Debug)]
pub struct MemoryMaps(Arc<Inner>);

/// What a store of keyed channels holds at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryMapsStats {
    /// Channels, those included that hold only a position.
    pub channels: usize,
    /// Keys in all states, those included that ended and are to be told of.
    pub keys: usize,
    /// Changes in all streams.
    pub changes: usize,
    /// Idempotency keys.
    pub idempotency_keys: usize,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    events: OnceLock<EventSink>,
    hasher: RandomState,
    /// Each is held while its channels are changed and that is told, and before all other locks.
    orders: Box<[Mutex<()>]>,
    shards: Box<[Mutex<Shard>]>,
    /// By channel and key: the keys of one busy channel are not all in one place.
    idempotency: Box<[Mutex<Idempotency>]>,
}

impl MemoryMaps {
    /// A store that measures lifetimes by this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let unwritten = Epoch::random();
        Self(Arc::new(Inner {
            clock,
            events: OnceLock::new(),
            hasher: RandomState::default(),
            orders: (0..ORDERS).map(|_| Mutex::default()).collect(),
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(unwritten.clone()))).collect(),
            idempotency: (0..SHARDS).map(|_| Mutex::new(Idempotency::new(KEYS / SHARDS))).collect(),
        }))
    }

    /// Ends what has come to its end by now, and tells of keys that have. [`MapStore::run`] does this every second.
    /// Holds each lock for a short while only, however much has ended.
    pub fn expire(&self) {
        (0..SHARDS).for_each(|number| self.0.expire(number));
    }

    /// What the store holds. Walks through all channels: not for every request.
    #[must_use]
    pub fn stats(&self) -> MemoryMapsStats {
        let mut stats = MemoryMapsStats::default();
        for shard in &self.0.shards {
            let count = shard.lock().count();
            stats.channels += count.channels;
            stats.keys += count.keys;
            stats.changes += count.changes;
        }
        stats.idempotency_keys = self.0.idempotency.iter().map(|keys| keys.lock().len()).sum();
        stats
    }
}

impl Default for MemoryMaps {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }
}

impl MapStore for MemoryMaps {
    async fn publish(&self, publish: MapPublish) -> Result<MapChanged, BrokerError> {
        let MapPublish { channel, key, policy, options, .. } = &publish;
        check(key, policy)?;
        if policy.stream.is_none() && (options.version != 0 || options.expected.is_some()) {
            return Err(NEEDS_STREAM);
        }
        let key = (options.idempotency_key.as_str(), options.idempotency_ttl);
        Ok(self.0.change(channel, key, options.delta, |shard, now| shard.set(now, &publish)))
    }

    async fn remove(&self, remove: MapRemove) -> Result<MapChanged, BrokerError> {
        let MapRemove { channel, key, policy, expected, .. } = &remove;
        check(key, policy)?;
        if policy.stream.is_none() && expected.is_some() {
            return Err(NEEDS_STREAM);
        }
        let key = (remove.idempotency_key.as_str(), remove.idempotency_ttl);
        Ok(self.0.change(channel, key, false, |shard, now| shard.remove(now, &remove)))
    }

    async fn state(
        &self,
        channel: &Channel,
        query: &MapQuery,
        policy: &MapPolicy,
    ) -> Result<MapPage, BrokerError> {
        Ok(self.0.state(channel, query, policy))
    }

    async fn stream(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        policy: &MapPolicy,
    ) -> Result<Page, BrokerError> {
        Ok(self.0.use_channel(channel, |shard, now| shard.stream(now, channel, query, policy)))
    }

    async fn stats(&self, channel: &Channel) -> Result<MapStats, BrokerError> {
        let keys = self.0.shard(channel).lock().keys(self.0.clock.now().instant, channel);
        Ok(MapStats { keys })
    }

    async fn clear(&self, channel: &Channel) -> Result<(), BrokerError> {
        let _order = self.0.order(channel).lock();
        let gone = self.0.shard(channel).lock().clear(self.0.clock.now().instant, channel);
        if gone.is_some()
            && let Some(events) = self.0.events.get()
        {
            events.position_lost(Some(channel));
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
        // A second node on the same store would be a mistake of the program; the first one keeps its events.
        let _ = self.0.events.set(events);
    }

    /// Ends what has come to its end every second until `stop` resolves. Runs on tokio.
    async fn run(&self, mut stop: Stop) -> Result<(), BrokerError> {
        while tokio::time::timeout(PERIOD, &mut stop).await.is_err() {
            for number in 0..SHARDS {
                self.0.expire(number);
                // A crowd of keys that end together keeps the thread's other tasks waiting for one shard only.
                yield_now().await;
            }
        }
        Ok(())
    }
}

impl Inner {
    fn shard(&self, channel: &Channel) -> &Mutex<Shard> {
        &self.shards[self.number_of(channel.as_str())]
    }

    fn number_of(&self, of: impl Hash) -> usize {
        usize::try_from(self.hasher.hash_one(of) >> 58).unwrap_or_default()
    }

    fn order(&self, channel: &Channel) -> &Mutex<()> {
        let hash = self.hasher.hash_one(channel.as_str());
        &self.orders[usize::try_from(hash >> 48 & 1023).unwrap_or_default()]
    }

    /// Changes a channel and tells of it.
    fn change(
        &self,
        channel: &Channel,
        (key, ttl): (&str, Option<Duration>),
        delta: bool,
        make: impl Fn(&mut Shard, Now) -> Result<Change, Ended>,
    ) -> MapChanged {
        let _order = self.order(channel).lock();
        // Read under the lock, so that the times of a channel do not go back.
        let now = self.clock.now();
        let keys = (!key.is_empty()).then(|| &self.idempotency[self.number_of((channel.as_str(), key))]);
        let used = keys.and_then(|keys| keys.lock().used(now.instant, channel, key));
        if let Some(position) = used
            && self.shard(channel).lock().epoch(now.instant, channel).as_ref() == Some(&position.epoch)
        {
            return MapChanged { position, suppressed: Some(MapSuppressed::Idempotency) };
        }
        let made = make(&mut self.shard(channel).lock(), now);
        let Change { ended, outcome, suppressed, position } = made.unwrap_or_else(|Ended| {
            self.end_due(now, channel);
            make(&mut self.shard(channel).lock(), now).unwrap_or_default()
        });
        if let Some(keys) = keys.filter(|_| suppressed.is_none()) {
            let ttl = ttl.unwrap_or(PublishOptions::IDEMPOTENCY_TTL);
            keys.lock().note(now.instant, ttl, (channel, key), position.clone());
        }
        if let Some(events) = self.events.get() {
            if let Some(ended) = ended {
                events.publication(channel, ended);
            }
            match outcome {
                Some(Changed { publication, previous }) if delta => {
                    events.delta_publication(channel, publication, previous);
                }
                Some(Changed { publication, .. }) => events.publication(channel, publication),
                None => {}
            }
        }
        MapChanged { position, suppressed }
    }

    /// A page of the state. What is long is read in stretches, as if it had been asked for in pages.
    fn state(&self, channel: &Channel, query: &MapQuery, policy: &MapPolicy) -> MapPage {
        if let Some(key) = &query.key {
            let part = self.use_channel(channel, |shard, now| shard.one(now, channel, key, policy));
            return MapPage { entries: part.entries, position: part.position, cursor: String::new() };
        }
        let mut left = query.limit.unwrap_or(usize::MAX);
        let mut page = MapPage { cursor: query.cursor.clone(), ..MapPage::default() };
        loop {
            let range = (page.cursor.as_str(), left.min(STRETCH));
            let Part { mut entries, more, position } =
                self.use_channel(channel, |shard, now| shard.after(now, channel, range, policy));
            if page.position.epoch.is_unknown() {
                page.position = position;
            } else if page.position.epoch != position.epoch {
                // Cleared meanwhile: what was read is not there any more.
                page = MapPage { cursor: query.cursor.clone(), ..MapPage::default() };
                left = query.limit.unwrap_or(usize::MAX);
                continue;
            }
            left -= entries.len();
            page.cursor = match entries.last().and_then(|last| last.key.as_deref()) {
                Some(last) if more => last.to_owned(),
                _ => String::new(),
            };
            page.entries.append(&mut entries);
            if left == 0 || page.cursor.is_empty() {
                return page;
            }
        }
    }

    /// Uses a channel without changing it.
    fn use_channel<T>(&self, channel: &Channel, use_it: impl Fn(&mut Shard, Now) -> Result<T, Ended>) -> T {
        loop {
            let now = self.clock.now();
            if let Ok(used) = use_it(&mut self.shard(channel).lock(), now) {
                return used;
            }
            let _order = self.order(channel).lock();
            self.end_due(now, channel);
        }
    }

    fn expire(&self, number: usize) {
        let now = self.clock.now();
        loop {
            let due = self.shards[number].lock().next_due(now.instant);
            let Some(channel) = due else { break };
            let mut more = true;
            while more {
                // Whoever changes the channel gets a turn between batches.
                let _order = self.order(&channel).lock();
                more = self.end_batch(now, &channel);
            }
        }
        self.idempotency[number].lock().expire(now.instant);
    }

    /// Ends all that has come to its end of a channel. Under the channel's order.
    fn end_due(&self, now: Now, channel: &Channel) {
        while self.end_batch(now, channel) {}
    }

    /// Ends what has come to its end of a channel, as far as one batch gets. Under the channel's order. `true`: there
    /// may be more.
    fn end_batch(&self, now: Now, channel: &Channel) -> bool {
        let Due { ended, more, gone } = self.shard(channel).lock().end_due(now, channel);
        let Some(events) = self.events.get() else { return more };
        for ended in ended {
            events.publication(channel, ended);
        }
        if gone.as_ref().is_some_and(Keyed::has_keys) {
            events.position_lost(Some(channel));
        }
        more
    }
}

const NEEDS_STREAM: BrokerError =
    BrokerError::invalid("versions and expected positions need a keyed channel with a stream");

/// Whether a change makes sense.
fn check(key: &str, policy: &MapPolicy) -> Result<(), BrokerError> {
    if key.is_empty() {
        return Err(BrokerError::invalid("a key is empty"));
    }
    if policy.stream.is_some_and(|stream| stream.size == 0 || stream.ttl.is_zero()) {
        return Err(BrokerError::invalid("a stream needs a size and a time"));
    }
    if policy.key_ttl.is_some_and(|ttl| ttl.is_zero()) {
        return Err(BrokerError::invalid("keys need a time"));
    }
    Ok(())
}

/// Lets other tasks of the thread go on.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
