//! The servers, and which of them a channel is on.

use fred::interfaces::{ClientLike, EventInterface};
use futures_util::future::try_join_all;
use tokio::sync::broadcast::error::RecvError;
use tourbillon_broker::BrokerError;

use crate::client::{self, ConnectError, Link, Purpose};
use crate::config::{Servers, ShardConfig};
use crate::keys::Keys;
use crate::pubsub::barrier;
use crate::sharding;

/// One server, or what stands for it.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    /// How it is reached.
    pub(crate) config: ShardConfig,
    /// Its names.
    pub(crate) keys: Keys,
    /// Commands and their answers.
    pub(crate) commands: Link,
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Shards(pub(crate) Vec<Shard>);

impl Shards {
    /// Connects to all of them, one after the other.
    pub(crate) async fn connect(configs: Vec<ShardConfig>, prefix: &str) -> Result<Self, ConnectError> {
        let mut shards = Vec::with_capacity(configs.len());
        for config in configs {
            shards.push(Shard::connect(config, prefix).await?);
        }
        Ok(Self(shards))
    }

    /// Where a channel is.
    ///
    /// # Errors
    ///
    /// When it can be nowhere.
    pub(crate) fn of(&self, channel: &str) -> Result<&Shard, BrokerError> {
        let shard = self.0.get(self.place(channel)).ok_or(BrokerError::internal("no shard"))?;
        shard.keys.check(channel)?;
        Ok(shard)
    }

    /// The number of the shard where a channel is.
    pub(crate) fn place(&self, channel: &str) -> usize {
        sharding::place(channel, self.0.len())
    }

    /// Whether all of them answer to commands.
    pub(crate) async fn ready(&self) -> Result<(), BrokerError> {
        try_join_all(self.0.iter().map(Shard::ready)).await.map(drop)
    }

    /// Ends the connections.
    pub(crate) async fn quit(&self) {
        for shard in &self.0 {
            // There may be none to be ended.
            let _ = shard.commands.quit().await;
        }
    }
}

impl Shard {
    /// Says what connections are called whenever they have come back. Does not end by itself.
    pub(crate) async fn keep(&self) {
        let mut reconnects = self.commands.reconnect_rx();
        while !matches!(reconnects.recv().await, Err(RecvError::Closed)) {
            // It is for those who look at the server, and nothing depends on it.
            let _ = client::introduce(&self.commands, &self.config.connection).await;
        }
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        barrier(&self.commands).await.map_err(|error| client::failed(&self.commands, error))
    }

    pub(crate) async fn connect(mut config: ShardConfig, prefix: &str) -> Result<Self, ConnectError> {
        let mut commands = client::connect(&config, Purpose::Commands).await?;
        if let Servers::Standalone(host) = &config.servers
            && client::is_of_cluster(&commands).await
        {
            let _ = commands.quit().await;
            config.servers = Servers::Cluster(vec![host.clone()]);
            commands = client::connect(&config, Purpose::Commands).await?;
        }
        let keys = Keys::new(prefix.to_owned(), matches!(config.servers, Servers::Cluster(_)));
        Ok(Self { config, keys, commands })
    }
}
