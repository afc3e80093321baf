//! The engine, as the node sees it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value};
use futures_util::future::{join_all, try_join, try_join_all};
use tourbillon_broker::{
    Broker, BrokerError, Capabilities, Control, ControlSink, EventSink, History, HistoryQuery, Member, Page,
    Parts, Presence, PresenceStats, Publish, Published, Receiver, Stop,
};
use tourbillon_protocol::stored::encode_info;
use tourbillon_types::{Channel, ClientId, ClientInfo, Clock, NodeId, SystemClock, UserId};

use crate::client::ConnectError;
use crate::config::{PresenceConfig, RedisConfig, ShardConfig};
use crate::control;
use crate::counts::PubSubCounts;
use crate::payload::{JOIN, LEAVE};
use crate::presence::Keeper;
use crate::pubsub::{Subscriptions, Workers, by_place, tell};
use crate::shard::{Shard, Shards};
use crate::streams::Streams;

/// The engine on Redis.
#[derive(Debug)]
pub struct RedisEngine {
    clock: Arc<dyn Clock>,
    streams: Streams,
    presence: Keeper,
    subscriptions: Vec<Subscriptions>,
    counts: Arc<PubSubCounts>,
    events: OnceLock<EventSink>,
    ear: OnceLock<(NodeId, ControlSink)>,
}

impl RedisEngine {
    /// Connects to all shards.
    ///
    /// # Errors
    ///
    /// When one of them cannot be reached, does not take us, or lacks what the configuration needs.
    pub async fn connect(config: RedisConfig) -> Result<Self, ConnectError> {
        let shards = Shards::connect(config.shards, &config.prefix).await?;
        check(&shards, config.presence).await?;
        let counts = Arc::<PubSubCounts>::default();
        let connecting = shards.0.iter().cloned().map(|shard| Subscriptions::connect(shard, counts.clone()));
        let subscriptions = try_join_all(connecting).await?;
        Ok(Self {
            clock: Arc::new(SystemClock::new()),
            streams: Streams { shards: shards.clone(), lists: config.lists },
            presence: Keeper { shards, config: config.presence },
            subscriptions,
            counts,
            events: OnceLock::new(),
            ear: OnceLock::new(),
        })
    }

    /// What becomes of the messages that are handed on.
    #[must_use]
    pub fn counts(&self) -> Arc<PubSubCounts> {
        self.counts.clone()
    }

    const fn shards(&self) -> &Shards {
        &self.streams.shards
    }

    async fn hand_on(&self, channel: &Channel, mark: &[u8], info: &ClientInfo) -> Result<(), BrokerError> {
        self.streams.hand_on(channel, [mark, &encode_info(info)].concat()).await
    }

    fn places<'a>(
        &'a self,
        channels: &'a [Channel],
    ) -> impl Iterator<Item = (&'a Subscriptions, Vec<&'a Channel>)> {
        let places = by_place(channels, |channel| self.shards().place(channel));
        places.into_iter().filter_map(|(place, channels)| Some((self.subscriptions.get(place)?, channels)))
    }
}

impl Broker for RedisEngine {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.multi_node = true;
        capabilities.needs_interest = true;
        capabilities.history = true;
        capabilities.idempotency = true;
        capabilities.versions = !self.streams.lists;
        capabilities.deltas = true;
        capabilities.join_leave = true;
        capabilities
    }

    fn parts(self: Arc<Self>) -> Parts {
        let mut parts = Parts::default();
        parts.history = Some(self.clone());
        parts.presence = Some(self.clone());
        parts.control = Some(self);
        parts
    }

    async fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
        self.streams.publish(publish, self.clock.now().unix_millis).await
    }

    async fn publish_join(&self, channel: &Channel, info: Arc<ClientInfo>) -> Result<(), BrokerError> {
        self.hand_on(channel, JOIN, &info).await
    }

    async fn publish_leave(&self, channel: &Channel, info: Arc<ClientInfo>) -> Result<(), BrokerError> {
        self.hand_on(channel, LEAVE, &info).await
    }

    async fn subscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        for channel in channels {
            // What can be nowhere cannot be wanted.
            self.shards().of(channel)?;
        }
        let places = self.places(channels);
        let subscribing =
            places.map(|(subscriptions, channels)| async move { subscriptions.subscribe(&channels).await });
        try_join_all(subscribing).await?;
        Ok(())
    }

    async fn unsubscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        let places = self.places(channels);
        let leaving =
            places.map(|(subscriptions, channels)| async move { subscriptions.unsubscribe(&channels).await });
        try_join_all(leaving).await?;
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        // The node attaches once; the first one would keep it.
        let _ = self.events.set(events);
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        let messages = try_join_all(self.subscriptions.iter().map(Subscriptions::ready));
        try_join(self.shards().ready(), messages).await.map(drop)
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        let Some(events) = self.events.get() else { return Err(BrokerError::internal("nobody listens")) };
        let workers = Workers::start(events, tell, &self.counts);
        let running = join_all(self.subscriptions.iter().map(|it| it.run(events, &workers)));
        let running = futures_util::future::join(running, join_all(self.shards().0.iter().map(Shard::keep)));
        tokio::select! {
            () = stop => (),
            _ = running => (),
        }
        join_all(self.subscriptions.iter().map(Subscriptions::quit)).await;
        self.shards().quit().await;
        Ok(())
    }
}

impl History for RedisEngine {
    async fn history(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        meta_ttl: Duration,
    ) -> Result<Page, BrokerError> {
        self.streams.history(channel, query, meta_ttl).await
    }

    async fn remove_history(&self, channel: &Channel) -> Result<(), BrokerError> {
        self.streams.remove(channel).await
    }
}

impl Control for RedisEngine {
    fn attach(&self, node: NodeId, sink: ControlSink) {
        // As for events.
        let _ = self.ear.set((node, sink));
    }

    async fn send(&self, to: Receiver, message: Bytes) -> Result<(), BrokerError> {
        let Some((node, _)) = self.ear.get() else { return Err(BrokerError::internal("nobody sends")) };
        control::send(self.shards(), node, to, &message).await
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        let Some((node, sink)) = self.ear.get() else { return Err(BrokerError::internal("nobody listens")) };
        control::run(self.shards(), (*node, sink), &self.counts, stop).await;
        Ok(())
    }
}

/// Presence on Redis, beside a broker that is elsewhere (ENG-03).
#[derive(Debug)]
pub struct RedisPresence(Keeper);

impl RedisPresence {
    /// Connects to these shards.
    ///
    /// # Errors
    ///
    /// As [`RedisEngine::connect`].
    pub async fn connect(
        shards: Vec<ShardConfig>,
        prefix: &str,
        config: PresenceConfig,
    ) -> Result<Self, ConnectError> {
        let shards = Shards::connect(shards, prefix).await?;
        check(&shards, config).await?;
        Ok(Self(Keeper { shards, config }))
    }
}

/// Whether the servers can do what is wanted of them.
async fn check(shards: &Shards, config: PresenceConfig) -> Result<(), ConnectError> {
    if !config.hash_field_ttl {
        return Ok(());
    }
    for Shard { config, commands, .. } in &shards.0 {
        let info = CustomCommand::new_static("COMMAND", ClusterHash::Random, false);
        let known: Result<Value, _> = commands.custom(info, vec!["INFO", "HEXPIRE"]).await;
        let known = known.map_err(|error| ConnectError::new(config, error))?;
        let is_known = matches!(&known, Value::Array(known) if known.iter().any(Value::is_array));
        if !is_known {
            let problem = "it has no lifetimes for fields of hashes (presence_hash_field_ttl), Redis 7.4 has";
            return Err(ConnectError::new(config, problem));
        }
    }
    Ok(())
}

/// Gives whoever has a `Keeper` the trait, with what else is to be in it.
macro_rules! presence_of {
    ($name:ty, $keeper:tt $($more:tt)*) => {
        impl Presence for $name {
            async fn add_presence(
                &self,
                channel: &Channel,
                client: ClientId,
                info: Arc<ClientInfo>,
            ) -> Result<(), BrokerError> {
                self.$keeper.add(channel, client, &info).await
            }

            async fn remove_presence(
                &self,
                channel: &Channel,
                client: ClientId,
                user: &UserId,
            ) -> Result<(), BrokerError> {
                self.$keeper.remove(channel, client, user).await
            }

            async fn presence(&self, channel: &Channel) -> Result<Vec<Member>, BrokerError> {
                self.$keeper.list(channel).await
            }

            async fn presence_stats(&self, channel: &Channel) -> Result<PresenceStats, BrokerError> {
                self.$keeper.stats(channel).await
            }

            $($more)*
        }
    };
}

// Whether its shards answer, the engine says as a broker.
presence_of!(RedisEngine, presence);
presence_of! {
    RedisPresence, 0
    async fn ready(&self) -> Result<(), BrokerError> {
        self.0.shards.ready().await
    }
}
