//! Streams in PostgreSQL.

mod config;
mod deliveries;
mod row;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use tourbillon_broker::{
    Broker, BrokerError, Capabilities, EventSink, History, HistoryQuery, Page, Parts, Publish, Published,
    Stop,
};
use tourbillon_types::{Channel, ClientInfo};

pub use config::{PrefixError, StreamConfig, TablePrefix};

use crate::config::PostgresConfig;
use crate::database::{ConnectError, Pool};
use crate::table::Table;
use crate::table::names::Names;
use crate::table::outbox::Pace;
use crate::table::schema::{Schema, ensure};
use crate::table::upkeep::Upkeep;
use deliveries::Deliveries;
use streams::Streams;

/// Connections for reading and for what is done besides.
const READS: usize = 4;

/// Deletes what is over. What was removed from the history stays for a minute, for nodes that have yet to deliver it.
const PASSES: [(&str, &str); 3] = [
    (
        "meta",
        "DELETE FROM {prefix}meta WHERE channel IN (SELECT channel FROM {prefix}meta \
         WHERE expires_at < clock_timestamp() LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        "idempotency",
        "DELETE FROM {prefix}idempotency WHERE (channel, idempotency_key) IN (SELECT channel, idempotency_key \
         FROM {prefix}idempotency WHERE expires_at < clock_timestamp() LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
    (
        "removed",
        "DELETE FROM {stream} WHERE (id, created_at) IN (SELECT id, created_at FROM {stream} \
         WHERE kind = 3 AND created_at < clock_timestamp() - interval '1 minute' LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ),
];

/// A broker whose streams are tables, into which applications publish with the transactions of their own (PGS-02).
///
/// # Delivery
///
/// A publication is a row, and is delivered when the transaction that made it is committed: every node reads what is new,
/// in the order of commits within a channel. Where the connection breaks, a node goes on where it was, so that nothing is
/// lost for as long as the rows are there. A publication that was not answered for is not tried again: its publisher gets a
/// [transient](BrokerError::is_transient) error and can tell with an idempotency key whether it took effect.
///
/// # What others do
///
/// One transaction at a time publishes into a shard, until it ends. Nodes wait for a transaction of an application for three
/// seconds.
#[derive(Debug)]
pub struct PostgresBroker {
    streams: Streams,
    table: Table<Deliveries>,
}

impl PostgresBroker {
    /// Connects, and makes the tables and functions if they are missing or older.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be reached, does not take us, or has tables that cannot be used as the configuration says.
    ///
    /// # Cancel safety
    ///
    /// The tables may be there afterwards.
    pub async fn connect(postgres: PostgresConfig, config: StreamConfig) -> Result<Self, ConnectError> {
        let pool = Pool::new(postgres.clone(), config.pool_size, None)?;
        pool.begin().await?;
        // Whoever waits for a shard, which an application may hold, does not keep others from reading.
        let reads = Pool::new(postgres.clone(), READS, None)?;
        let schema = |binary| Schema {
            names: Names::streams(&config.table_prefix, binary),
            sql: [include_str!("stream/tables.sql"), include_str!("stream/functions.sql")],
            shards: config.num_shards,
            ahead: config.partition_lookahead_days,
        };
        let (used, other) = (schema(config.binary_data), schema(!config.binary_data));
        let names = used.names.clone();
        if config.skip_schema_init {
            // The other kind is nobody's affair.
            ensure(&pool, &[used], true).await?;
        } else {
            ensure(&pool, &[used, other], false).await?;
        }
        let (poll_interval, batch_size, shards) =
            (config.poll_interval, config.batch_size, config.num_shards);
        let pace = Pace { poll_interval, batch_size, shards };
        let streams = Streams::new([pool, reads.clone()], names.clone(), &config);
        let feed = Deliveries::new(names.clone());
        let upkeep = Upkeep {
            pool: reads,
            names,
            interval: config.cleanup_interval,
            days: [config.partition_lookahead_days, config.partition_retention_days],
            passes: &PASSES,
        };
        Ok(Self { streams, table: Table::open(postgres, pace, feed, config.notify, upkeep).await? })
    }
}

impl Broker for PostgresBroker {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.multi_node = true;
        capabilities.needs_interest = true;
        capabilities.history = true;
        capabilities.idempotency = true;
        capabilities.versions = true;
        capabilities.deltas = true;
        capabilities.join_leave = true;
        capabilities
    }

    fn parts(self: Arc<Self>) -> Parts {
        let mut parts = Parts::default();
        parts.history = Some(self);
        parts
    }

    async fn publish(&self, publish: Publish) -> Result<Published, BrokerError> {
        self.streams.publish(&publish).await
    }

    async fn publish_join(&self, channel: &Channel, info: Arc<ClientInfo>) -> Result<(), BrokerError> {
        self.streams.tell(channel, &info, false).await
    }

    async fn publish_leave(&self, channel: &Channel, info: Arc<ClientInfo>) -> Result<(), BrokerError> {
        self.streams.tell(channel, &info, true).await
    }

    async fn subscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.table.feed().want(channels);
        Ok(())
    }

    async fn unsubscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.table.feed().leave(channels);
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        // The node attaches once; the first one would keep it.
        let _ = self.table.feed().events.set(events);
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        self.table.ready()?;
        self.streams.ready().await
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        if self.table.feed().events.get().is_none() {
            return Err(BrokerError::internal("nobody listens"));
        }
        self.table.run(stop).await;
        Ok(())
    }
}

impl History for PostgresBroker {
    async fn history(
        &self,
        channel: &Channel,
        query: &HistoryQuery,
        // Reading does not keep a position alive (PGS-10).
        _: Duration,
    ) -> Result<Page, BrokerError> {
        self.streams.history(channel, query).await
    }

    async fn remove_history(&self, channel: &Channel) -> Result<(), BrokerError> {
        self.streams.remove(channel).await
    }
}
