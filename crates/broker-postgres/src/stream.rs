//! Streams in PostgreSQL.

mod config;
mod notify;
mod outbox;
mod row;
mod schema;
mod streams;
mod upkeep;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{join3, pending};
use tourbillon_broker::{
    Broker, BrokerError, Capabilities, EventSink, History, HistoryQuery, Page, Parts, Publish, Published,
    Stop,
};
use tourbillon_types::{Channel, ClientInfo};

pub use config::{PrefixError, StreamConfig, TablePrefix};

use crate::config::PostgresConfig;
use crate::database::{ConnectError, Pool};
use notify::Listener;
use outbox::Outbox;
use streams::Streams;
use upkeep::Upkeep;

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
    outbox: Outbox,
    upkeep: Upkeep,
    listener: Option<Listener>,
    events: OnceLock<EventSink>,
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
        schema::ensure(&pool, &config).await?;
        // Who publishes does not keep others from hearing.
        let reading = Pool::new(postgres, 1, None)?;
        let outbox = Outbox::open(reading, &config).await;
        let outbox = outbox.map_err(|failure| ConnectError::new(pool.at(), failure))?;
        let listen = |place: PostgresConfig| Listener::new(place, &outbox.notifications());
        Ok(Self {
            streams: Streams::new(pool.clone(), &config),
            upkeep: Upkeep::new(pool, &config),
            listener: config.notify.map(listen).transpose()?,
            outbox,
            events: OnceLock::new(),
        })
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
        self.outbox.want(channels);
        Ok(())
    }

    async fn unsubscribe(&self, channels: &[Channel]) -> Result<(), BrokerError> {
        self.outbox.leave(channels);
        Ok(())
    }

    fn attach(&self, events: EventSink) {
        // The node attaches once; the first one would keep it.
        let _ = self.events.set(events);
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        self.outbox.ready()?;
        self.streams.ready().await
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        let Some(events) = self.events.get() else { return Err(BrokerError::internal("nobody listens")) };
        let listen = async {
            match &self.listener {
                Some(listener) => listener.run(&self.outbox.news).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = stop => Ok(()),
            _ = join3(self.outbox.run(events), self.upkeep.run(), listen) => Ok(()),
        }
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
