//! What the engine is made of.

use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tourbillon_broker::{
    BrokerError, EventSink, HistoryQuery, Page, Publish, PublishOptions, Published, Suppressed,
};
use tourbillon_types::{Channel, Clock, Now, Payload, Publication, StreamPosition};

use crate::MemoryStats;
use crate::idempotency::Idempotency;
use crate::members::Members;
#[cfg(feature = "persistence")]
use crate::persistence::Journal;
use crate::streams::{Append, Appended, Count, Gone, Streams};

/// In how many parts what is kept is divided, each under a lock of its own.
const SHARDS: usize = 64;

/// How many channels, at most, can be published to at the same time.
pub(crate) const ORDERS: usize = 1024;

/// The most idempotency keys remembered at once.
const KEYS: usize = 1_000_000;

/// The engine behind its handle.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: OnceLock<EventSink>,
    hasher: RandomState,
    /// Each is held while publications of its channels are appended and delivered, and before all other locks.
    orders: Box<[Mutex<()>]>,
    pub(crate) shards: Box<[Shard]>,
    #[cfg(feature = "persistence")]
    pub(crate) journal: Option<Journal>,
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) streams: Mutex<Streams>,
    pub(crate) members: Mutex<Members>,
    /// By channel and key: the keys of one busy channel are not all in one place.
    idempotency: Mutex<Idempotency>,
}

impl Inner {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
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
            #[cfg(feature = "persistence")]
            journal: None,
        }
    }

    pub(crate) fn expire(&self) {
        let now = self.clock.now().instant;
        for shard in &self.shards {
            while shard.streams.lock().expire(now, &mut |gone| self.gone(gone)) {}
            shard.idempotency.lock().expire(now);
        }
    }

    /// Takes note of what time has ended.
    fn gone(&self, gone: Gone<'_>) {
        #[cfg(feature = "persistence")]
        if let Some(journal) = &self.journal {
            return journal.note(gone.into());
        }
        // Memory forgets by itself.
        let _ = gone;
    }

    pub(crate) fn stats(&self) -> MemoryStats {
        let mut stats = MemoryStats::default();
        for shard in &self.shards {
            let Count { streams, publications } = shard.streams.lock().count();
            stats.streams += streams;
            stats.publications += publications;
            stats.keys += shard.idempotency.lock().len();
        }
        stats
    }

    pub(crate) fn read(&self, channel: &Channel, query: &HistoryQuery, meta_ttl: Duration) -> Page {
        #[cfg(feature = "persistence")]
        if let Some(journal) = &self.journal {
            return self.read_stored(journal, channel, query, meta_ttl);
        }
        let mut streams = self.shard(channel.as_str()).streams.lock();
        streams.read(self.clock.now().instant, channel, query, meta_ttl)
    }

    pub(crate) fn shard(&self, of: impl Hash) -> &Shard {
        let hash = self.hasher.hash_one(of);
        &self.shards[usize::try_from(hash >> 58).unwrap_or_default()]
    }

    pub(crate) fn order(&self, channel: &str) -> &Mutex<()> {
        &self.orders[self.order_number(channel)]
    }

    /// Which of the orders is a channel's.
    pub(crate) fn order_number(&self, channel: &str) -> usize {
        let hash = self.hasher.hash_one(channel);
        usize::try_from(hash >> 48 & 1023).unwrap_or_default()
    }

    pub(crate) fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
        let Publish { channel, data, options } = publish;
        if options.history.is_some_and(|policy| !policy.keeps()) {
            return Err(BrokerError::invalid("history needs a size and a time"));
        }
        if options.version != 0 && options.history.is_none() {
            return Err(BrokerError::unsupported("versions need history"));
        }
        let _order = is_ordered(&options).then(|| self.order(&channel).lock());
        // Read under the lock, so that the times of a channel do not go back.
        let now = self.clock.now();
        if let Some(position) = self.used(now, &channel, &options.idempotency_key) {
            return Ok(Published { position, suppressed: Some(Suppressed::Idempotency) });
        }
        let (publication, previous) = match self.keep(now, &channel, data, &options)? {
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
    fn keep(
        &self,
        now: Now,
        channel: &Channel,
        data: Payload,
        options: &PublishOptions,
    ) -> Result<Appended, BrokerError> {
        let publication = Publication {
            data,
            info: options.info.clone(),
            tags: options.tags.clone(),
            time: now.unix_millis,
            ..Publication::default()
        };
        let Some(policy) = &options.history else {
            return Ok(Appended::Kept { publication: Arc::new(publication), previous: None });
        };
        let append = Append {
            policy,
            version: options.version,
            version_epoch: &options.version_epoch,
            delta: options.delta,
            publication,
        };
        #[cfg(feature = "persistence")]
        if let Some(journal) = &self.journal {
            return self.append_stored(journal, now, channel, append);
        }
        Ok(self.shard(channel.as_str()).streams.lock().append(now.instant, channel, append))
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

/// Whether a publication's order with regard to others of its channel matters before it gets to the hub. What is
/// neither numbered nor compared has none: subscribers get theirs from the hub.
pub(crate) fn is_ordered(options: &PublishOptions) -> bool {
    options.history.is_some() || !options.idempotency_key.is_empty()
}
