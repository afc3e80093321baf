//! Keyed channels on Redis (MAPB-02 to MAPB-04, MAPB-09, MAPB-10).
//!
//! A change is one script: what it depends on, the state, the stream and the message. What it needs of Protobuf is
//! made before: where a removal carries the tags of an entry, the script says when the entry is another by then, and it
//! is made anew.
//!
//! Keys that end are told by whichever node looks after them first; until then nobody sees them either.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use futures_util::future::{join_all, try_join, try_join_all};
use tourbillon_broker::{
    BrokerError, EventSink, HistoryQuery, KeyMode, MapChanged, MapPage, MapPolicy, MapPublish, MapQuery,
    MapRemove, MapStats, MapStore, MapSuppressed, Page, PublishOptions, Stop,
};
use tourbillon_protocol::stored::encode_publication;
use tourbillon_types::{Channel, Clock, Epoch, Publication, StreamPosition, SystemClock, Tags};

use crate::client::{ConnectError, bytes, command, number, run, text};
use crate::config::ShardConfig;
use crate::counts::PubSubCounts;
use crate::payload;
use crate::pubsub::{Subscriptions, Workers, by_place, tell_change};
use crate::scripts::{
    MAP_CLEAR, MAP_DUE, MAP_END, MAP_REMOVE, MAP_SET, MAP_STATE, MAP_STATS, MAP_STREAM, Script,
};
use crate::shard::{Shard, Shards};
use crate::streams::{damaged, entry, flag, is_of_another_epoch, millis, page, position};

/// Keys of one channel that are ended at once.
const BATCH: usize = 100;

/// How long the end of a key may take to be told of.
const GRACE: Duration = Duration::from_secs(60);

/// Channels that are looked after at once.
const CHANNELS: usize = 1000;

/// How often a change is tried that finds its key to have ended, or to be another, meanwhile.
const TRIES: usize = 16;

/// What keyed channels on Redis need to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MapsConfig {
    /// The servers, as for an engine. None of them may be a cluster (MAPB-05).
    pub shards: Vec<ShardConfig>,
    /// What all names in Redis begin with.
    pub prefix: String,
    /// How often it is looked for keys that have ended; `None`: other nodes do that.
    pub cleanup_interval: Option<Duration>,
    /// How many keys of a channel are ended at once.
    pub cleanup_batch_size: usize,
    /// How long an idempotency key is remembered where nobody says.
    pub idempotent_result_ttl: Duration,
}

impl MapsConfig {
    /// The usual settings for these servers.
    #[must_use]
    pub fn new(shards: Vec<ShardConfig>) -> Self {
        Self {
            shards,
            prefix: "centrifugo".to_owned(),
            cleanup_interval: Some(Duration::from_secs(1)),
            cleanup_batch_size: BATCH,
            idempotent_result_ttl: PublishOptions::IDEMPOTENCY_TTL,
        }
    }
}

/// Keyed channels on Redis.
#[derive(Debug)]
pub struct RedisMaps {
    clock: Arc<dyn Clock>,
    shards: Shards,
    subscriptions: Vec<Subscriptions>,
    counts: Arc<PubSubCounts>,
    events: OnceLock<EventSink>,
    cleanup_interval: Option<Duration>,
    cleanup_batch_size: usize,
    idempotent_result_ttl: Duration,
}

/// What a script said of a change.
struct Answer {
    changed: MapChanged,
    /// The entry that has ended, or is another.
    found: Option<Found>,
}

enum Found {
    Ended(Bytes),
    Another(Bytes),
}

impl RedisMaps {
    /// Connects to all shards.
    ///
    /// # Errors
    ///
    /// When one of them cannot be reached, does not take us, or is a cluster.
    pub async fn connect(config: MapsConfig) -> Result<Self, ConnectError> {
        let shards = Shards::connect(config.shards, &config.prefix).await?;
        if let Some(cluster) = shards.0.iter().find(|shard| shard.keys.is_of_cluster()) {
            return Err(ConnectError::new(&cluster.config, "keyed channels cannot be in a Redis Cluster"));
        }
        let counts = Arc::<PubSubCounts>::default();
        let connecting = shards.0.iter().cloned().map(|shard| Subscriptions::connect(shard, counts.clone()));
        let subscriptions = try_join_all(connecting).await?;
        Ok(Self {
            clock: Arc::new(SystemClock::new()),
            shards,
            subscriptions,
            counts,
            events: OnceLock::new(),
            cleanup_interval: config.cleanup_interval.map(|interval| interval.max(Duration::from_millis(1))),
            cleanup_batch_size: config.cleanup_batch_size.max(1),
            idempotent_result_ttl: config.idempotent_result_ttl,
        })
    }

    /// What becomes of the messages that are handed on.
    #[must_use]
    pub fn counts(&self) -> Arc<PubSubCounts> {
        self.counts.clone()
    }

    /// Runs a script about a channel.
    async fn ask(
        &self,
        channel: &str,
        script: &'static Script,
        (meta_ttl, idempotency): (Option<Duration>, &str),
        args: Vec<Value>,
    ) -> Result<Value, BrokerError> {
        let Shard { keys, commands, .. } = self.shards.of(channel)?;
        let meta_ttl = meta_ttl.map_or_else(|| flag(false), millis);
        let mut all: Vec<Value> =
            vec![channel.into(), meta_ttl, Epoch::random().as_str().into(), keys.pubsub(channel).into()];
        all.extend(args);
        run(commands, script, keys.of_map(channel, idempotency), all).await
    }

    fn result_ttl(&self, key: &str, ttl: Option<Duration>) -> Value {
        if key.is_empty() {
            return flag(false);
        }
        millis(ttl.unwrap_or(self.idempotent_result_ttl).max(Duration::from_millis(1)))
    }

    fn removal(&self, key: &Arc<str>, tags: Option<Arc<Tags>>) -> Value {
        let time = self.clock.now().unix_millis;
        let removal =
            Publication { key: Some(key.clone()), removed: true, tags, time, ..Publication::default() };
        Value::Bytes(encode_publication(&removal).into())
    }

    /// The removal of what an entry says.
    fn removal_of(&self, key: &Arc<str>, entry: &Bytes) -> Result<Value, BrokerError> {
        Ok(self.removal(key, payload::parse_state(entry).map_err(damaged)?.tags))
    }

    /// Ends keys that were found to have ended, with their entries.
    async fn end(&self, channel: &str, ended: Vec<(Arc<str>, Bytes)>) -> Result<(), BrokerError> {
        let mut args = Vec::with_capacity(3 * ended.len());
        for (key, entry) in ended {
            let removal = self.removal_of(&key, &entry)?;
            args.extend([key.as_ref().into(), Value::Bytes(entry), removal]);
        }
        self.ask(channel, &MAP_END, (None, ""), args).await?;
        Ok(())
    }

    /// Ends the keys of a shard whose time is over.
    async fn clean(&self, shard: &Shard) -> Result<(), BrokerError> {
        let now = self.clock.now().unix_millis.to_string();
        let args = vec![
            "-inf".into(),
            now.into(),
            "LIMIT".into(),
            0.into(),
            i64::try_from(CHANNELS).unwrap_or(i64::MAX).into(),
        ];
        let due = command(&shard.commands, "ZRANGEBYSCORE", shard.keys.cleanup(), args).await?;
        let Value::Array(channels) = due else { return Ok(()) };
        for channel in channels {
            let channel = text(&channel)?;
            let batch = self.cleanup_batch_size.to_string();
            let found = self.ask(&channel, &MAP_DUE, (None, ""), vec![batch.into()]).await?;
            let ended = pairs(found)?;
            if !ended.is_empty() {
                self.end(&channel, ended).await?;
            }
        }
        Ok(())
    }

    async fn look_after(&self) {
        let Some(interval) = self.cleanup_interval else { return std::future::pending().await };
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for shard in &self.shards.0 {
                if let Err(error) = self.clean(shard).await {
                    tracing::warn!(%error, "keys of keyed channels in Redis could not be ended");
                }
            }
        }
    }

    async fn try_publish(&self, publish: &MapPublish) -> Result<Answer, BrokerError> {
        let MapPublish { channel, key, data, policy, options } = publish;
        let publication = Publication {
            data: data.clone(),
            info: options.info.clone(),
            tags: options.tags.clone(),
            time: self.clock.now().unix_millis,
            key: Some(key.clone()),
            ..Publication::default()
        };
        let mode = match options.mode {
            KeyMode::Replace => "",
            KeyMode::IfNew => "new",
            KeyMode::IfExists => "exists",
        };
        let [size, ttl] = stream(policy);
        let [offset, epoch] = expected(options.expected.as_ref());
        let args = vec![
            key.as_ref().into(),
            Value::Bytes(encode_publication(&publication).into()),
            size,
            ttl,
            self.result_ttl(&options.idempotency_key, options.idempotency_ttl),
            flag(options.delta),
            options.version.to_string().into(),
            options.version_epoch.as_str().into(),
            mode.into(),
            flag(options.refresh_ttl),
            policy.key_ttl.map_or_else(|| flag(false), millis),
            offset,
            epoch,
        ];
        let about = (lifetime(policy), options.idempotency_key.as_str());
        answer(self.ask(channel, &MAP_SET, about, args).await?)
    }

    /// Tries a removal that was made for this entry, or for any.
    async fn try_remove(&self, remove: &MapRemove, entry: Option<&Bytes>) -> Result<Answer, BrokerError> {
        let MapRemove { channel, key, policy, tags, .. } = remove;
        let (removal, seen) = match (tags, entry) {
            (Some(tags), _) => (self.removal(key, Some(tags.clone())), "*".into()),
            (None, Some(entry)) => (self.removal_of(key, entry)?, Value::Bytes(entry.clone())),
            // Of the first try nothing comes but the entry.
            (None, None) => (self.removal(key, None), "".into()),
        };
        let [size, ttl] = stream(policy);
        let [offset, epoch] = expected(remove.expected.as_ref());
        let result = self.result_ttl(&remove.idempotency_key, remove.idempotency_ttl);
        let args = vec![key.as_ref().into(), removal, size, ttl, result, seen, offset, epoch];
        let about = (lifetime(policy), remove.idempotency_key.as_str());
        answer(self.ask(channel, &MAP_REMOVE, about, args).await?)
    }
}

impl MapStore for RedisMaps {
    async fn publish(&self, publish: MapPublish) -> Result<MapChanged, BrokerError> {
        let needs_stream = publish.options.version != 0 || publish.options.expected.is_some();
        check(&publish.key, &publish.policy, needs_stream)?;
        for _ in 0..TRIES {
            let Answer { changed, found } = self.try_publish(&publish).await?;
            let Some(Found::Ended(entry) | Found::Another(entry)) = found else { return Ok(changed) };
            self.end(&publish.channel, vec![(publish.key.clone(), entry)]).await?;
        }
        Err(BrokerError::unavailable("the key changed all the time"))
    }

    async fn remove(&self, remove: MapRemove) -> Result<MapChanged, BrokerError> {
        check(&remove.key, &remove.policy, remove.expected.is_some())?;
        let mut seen = None;
        for _ in 0..TRIES {
            let Answer { changed, found } = self.try_remove(&remove, seen.as_ref()).await?;
            match found {
                None => return Ok(changed),
                Some(Found::Ended(entry)) => {
                    self.end(&remove.channel, vec![(remove.key.clone(), entry)]).await?;
                }
                Some(Found::Another(entry)) => seen = Some(entry),
            }
        }
        Err(BrokerError::unavailable("the key changed all the time"))
    }

    async fn state(
        &self,
        channel: &Channel,
        query: &MapQuery,
        policy: &MapPolicy,
    ) -> Result<MapPage, BrokerError> {
        let args = vec![
            query.cursor.as_str().into(),
            query.limit.map(|limit| limit.to_string()).unwrap_or_default().into(),
            query.key.as_deref().unwrap_or_default().into(),
        ];
        let answer = self.ask(channel, &MAP_STATE, (lifetime(policy), ""), args).await?;
        let [offset, epoch, entries, cursor] = crate::client::parts(answer)?;
        let mut page = MapPage { position: position(&offset, &epoch)?, ..MapPage::default() };
        page.cursor = text(&cursor)?;
        for (key, entry) in pairs(entries)? {
            let publication = payload::parse_state(&entry).map_err(damaged)?;
            page.entries.push(Arc::new(Publication { key: Some(key), ..publication }));
        }
        Ok(page)
    }

    async fn stream(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        policy: &MapPolicy,
    ) -> Result<Page, BrokerError> {
        let from = query.since.as_ref().map(|since| {
            if query.reverse { since.offset.saturating_sub(1) } else { since.offset.saturating_add(1) }
        });
        let limit = if policy.is_positioned() { query.limit } else { Some(0) };
        let args = vec![
            from.map(|offset| offset.to_string()).unwrap_or_default().into(),
            limit.map(|limit| limit.to_string()).unwrap_or_default().into(),
            flag(query.reverse),
        ];
        let (position, entries) = page(self.ask(channel, &MAP_STREAM, (lifetime(policy), ""), args).await?)?;
        if is_of_another_epoch(query, &position) {
            return Ok(Page { publications: Vec::new(), position });
        }
        let publications =
            entries.into_iter().map(|it| entry(it, &position.epoch)).collect::<Result<_, _>>()?;
        Ok(Page { publications, position })
    }

    async fn stats(&self, channel: &Channel) -> Result<MapStats, BrokerError> {
        let keys = number(&self.ask(channel, &MAP_STATS, (None, ""), Vec::new()).await?)?;
        Ok(MapStats { keys: usize::try_from(keys).unwrap_or(usize::MAX) })
    }

    async fn clear(&self, channel: &Channel) -> Result<(), BrokerError> {
        self.ask(channel, &MAP_CLEAR, (None, ""), Vec::new()).await?;
        Ok(())
    }

    async fn subscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        let places = by_place(channels, |channel| self.shards.place(channel));
        let subscribing = places.into_iter().filter_map(|(place, channels)| {
            let subscriptions = self.subscriptions.get(place)?;
            Some(async move { subscriptions.subscribe(&channels).await })
        });
        try_join_all(subscribing).await?;
        Ok(())
    }

    async fn unsubscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        let places = by_place(channels, |channel| self.shards.place(channel));
        let leaving = places.into_iter().filter_map(|(place, channels)| {
            let subscriptions = self.subscriptions.get(place)?;
            Some(async move { subscriptions.unsubscribe(&channels).await })
        });
        try_join_all(leaving).await?;
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        // The node attaches once; the first one would keep it.
        let _ = self.events.set(events);
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        let messages = try_join_all(self.subscriptions.iter().map(Subscriptions::ready));
        try_join(self.shards.ready(), messages).await.map(drop)
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        let Some(events) = self.events.get() else { return Err(BrokerError::internal("nobody listens")) };
        let workers = Workers::start(events, tell_change, &self.counts);
        let running = join_all(self.subscriptions.iter().map(|it| it.run(events, &workers)));
        let named = join_all(self.shards.0.iter().map(Shard::keep));
        tokio::select! {
            () = stop => (),
            _ = running => (),
            _ = named => (),
            () = self.look_after() => (),
        }
        join_all(self.subscriptions.iter().map(Subscriptions::quit)).await;
        self.shards.quit().await;
        Ok(())
    }
}

fn check(key: &str, policy: &MapPolicy, needs_stream: bool) -> Result<(), BrokerError> {
    if key.is_empty() {
        return Err(BrokerError::invalid("a key needs a name"));
    }
    if needs_stream && !policy.is_positioned() {
        return Err(BrokerError::invalid("versions and expected places need a stream"));
    }
    Ok(())
}

/// How long a channel is kept after its last use. Long enough for somebody to tell of its last key's end.
fn lifetime(policy: &MapPolicy) -> Option<Duration> {
    let meta_ttl = policy.meta_ttl?;
    Some(policy.key_ttl.map_or(meta_ttl, |key_ttl| meta_ttl.max(key_ttl.saturating_add(GRACE))))
}

/// Size and lifetime of the stream; no size where there is none.
fn stream(policy: &MapPolicy) -> [Value; 2] {
    match &policy.stream {
        Some(stream) => {
            [stream.size.max(1).to_string().into(), millis(stream.ttl.max(Duration::from_millis(1)))]
        }
        None => [flag(false), flag(false)],
    }
}

fn expected(position: Option<&StreamPosition>) -> [Value; 2] {
    match position {
        Some(position) => [position.offset.to_string().into(), position.epoch.as_str().into()],
        None => ["".into(), "".into()],
    }
}

fn answer(answer: Value) -> Result<Answer, BrokerError> {
    let wrong = || BrokerError::internal("Redis answered something else than was asked for");
    let Value::Array(parts) = answer else { return Err(wrong()) };
    let mut parts = parts.into_iter();
    let (Some(offset), Some(epoch), Some(why)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let found = parts.next().and_then(bytes);
    let (suppressed, found) = match (text(&why)?.as_str(), found) {
        ("", None) => (None, None),
        ("idempotency", None) => (Some(MapSuppressed::Idempotency), None),
        ("version", None) => (Some(MapSuppressed::Version), None),
        ("key_exists", None) => (Some(MapSuppressed::KeyExists), None),
        ("key_not_found", None) => (Some(MapSuppressed::KeyNotFound), None),
        ("position_mismatch", None) => (Some(MapSuppressed::PositionMismatch), None),
        ("due", Some(entry)) => (None, Some(Found::Ended(entry))),
        ("changed", Some(entry)) => (None, Some(Found::Another(entry))),
        _ => return Err(wrong()),
    };
    let position = position(&offset, &epoch)?;
    Ok(Answer { changed: MapChanged { position, suppressed }, found })
}

/// Keys and their entries, in turn.
fn pairs(answer: Value) -> Result<Vec<(Arc<str>, Bytes)>, BrokerError> {
    let Value::Array(parts) = answer else {
        return Err(BrokerError::internal("Redis answered something else than keys"));
    };
    let mut pairs = Vec::with_capacity(parts.len() / 2);
    let mut parts = parts.into_iter();
    while let (Some(key), Some(entry)) = (parts.next(), parts.next()) {
        let key = Arc::from(text(&key)?);
        pairs.push((key, bytes(entry).ok_or(BrokerError::internal("an entry is no text"))?));
    }
    Ok(pairs)
}
