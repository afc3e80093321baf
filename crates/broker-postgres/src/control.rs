//! Messages between nodes, in a table (CTL-01).

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};
use tourbillon_broker::{BrokerError, Control, ControlSink, Receiver, Stop};
use tourbillon_types::NodeId;

use crate::config::PostgresConfig;
use crate::database::{ConnectError, Pool, Work};
use crate::stream::TablePrefix;
use crate::table::Table;
use crate::table::names::Names;
use crate::table::outbox::{Feed, Pace};
use crate::table::schema::{Schema, ensure};
use crate::table::upkeep::Upkeep;

/// How messages between nodes are kept and read. `Default` has the values of the options.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ControlConfig {
    /// In front of the names of all tables and functions.
    pub table_prefix: TablePrefix,
    /// The most connections for sending, from 1. Two more are for what arrives.
    pub pool_size: usize,
    /// Into how many parts messages are divided, each of which has one sender at a time. The same at all nodes.
    pub num_shards: u8,
    /// How often it is looked for what is new.
    pub poll_interval: Duration,
    /// The most messages of a shard that are read at once, from 1.
    pub batch_size: u32,
    /// Look sooner when PostgreSQL tells that there is something new, by a connection of this place; `None` does not.
    pub notify: Option<PostgresConfig>,
    /// How often partitions are looked after.
    pub partition_cleanup_interval: Duration,
    /// For how many days partitions are made in advance, from 1.
    pub partition_lookahead_days: u16,
    /// After how many days partitions are dropped; 0 for never.
    pub partition_retention_days: u16,
    /// Take the tables as they are, and fail if they are not ours.
    pub skip_schema_init: bool,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            table_prefix: TablePrefix::default(),
            pool_size: 8,
            num_shards: 1,
            poll_interval: Duration::from_millis(50),
            batch_size: 1000,
            notify: None,
            partition_cleanup_interval: Duration::from_secs(60),
            partition_lookahead_days: 2,
            partition_retention_days: 1,
            skip_schema_init: false,
        }
    }
}

/// The way between nodes through PostgreSQL, for brokers that bring none (ENG-05).
///
/// A message is a row that all nodes read. Where the connection breaks, a node goes on where it was; what was not answered for
/// is not sent again.
#[derive(Debug)]
pub struct PostgresControl {
    pool: Pool,
    send: String,
    table: Table<Messages>,
}

impl PostgresControl {
    /// Connects, and makes the table and functions if they are missing or older.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be reached, does not take us, or has tables that cannot be used as the configuration says.
    ///
    /// # Cancel safety
    ///
    /// The tables may be there afterwards.
    pub async fn connect(postgres: PostgresConfig, config: ControlConfig) -> Result<Self, ConnectError> {
        let pool = Pool::new(postgres.clone(), config.pool_size, None)?;
        pool.begin().await?;
        let names = Names::messages(&config.table_prefix);
        let schema = Schema {
            names: names.clone(),
            sql: [include_str!("control/tables.sql"), include_str!("control/functions.sql")],
            shards: config.num_shards,
            ahead: config.partition_lookahead_days,
        };
        ensure(&pool, &[schema], config.skip_schema_init).await?;
        let (poll_interval, batch_size, shards) =
            (config.poll_interval, config.batch_size, config.num_shards);
        let pace = Pace { poll_interval, batch_size, shards };
        let send = format!("SELECT {}publish($1, $2, p_sender => $3)", names.prefix);
        let upkeep = Upkeep {
            pool: pool.clone(),
            names,
            interval: config.partition_cleanup_interval,
            days: [config.partition_lookahead_days, config.partition_retention_days],
            passes: &[],
        };
        let feed = Messages(OnceLock::new());
        Ok(Self { pool, send, table: Table::open(postgres, pace, feed, config.notify, upkeep).await? })
    }
}

impl Control for PostgresControl {
    fn attach(&self, node: NodeId, sink: ControlSink) {
        // The node attaches once; the first one would keep it.
        let _ = self.table.feed().0.set((node, sink));
    }

    async fn send(&self, to: Receiver, message: Bytes) -> Result<(), BrokerError> {
        let Some((node, _)) = self.table.feed().0.get() else {
            return Err(BrokerError::internal("nobody sends"));
        };
        let to = match to {
            Receiver::Node(to) => to.to_string(),
            Receiver::Others => String::new(),
        };
        self.pool.call(&Send { sql: &self.send, to, from: node.to_string(), message: &message }).await
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        self.table.ready()?;
        self.pool.ready().await
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        if self.table.feed().0.get().is_none() {
            return Err(BrokerError::internal("nobody listens"));
        }
        self.table.run(stop).await;
        Ok(())
    }
}

/// A message on its way out. Whether one that was not answered for was sent is not known, so it is not sent twice.
struct Send<'a> {
    sql: &'a str,
    to: String,
    from: String,
    message: &'a [u8],
}

impl Work for Send<'_> {
    type Answer = ();

    const AGAIN: bool = false;

    async fn run(&self, client: &Client) -> Result<(), Error> {
        let values: [(&(dyn ToSql + Sync), Type); 3] =
            [(&self.message, Type::BYTEA), (&self.to, Type::TEXT), (&self.from, Type::TEXT)];
        client.query_typed(self.sql, &values).await.map(drop)
    }
}

/// Messages for this node.
#[derive(Debug)]
struct Messages(OnceLock<(NodeId, ControlSink)>);

impl Feed for Messages {
    /// Nothing where it is for others.
    type New = Option<Bytes>;

    const WHAT: &str = "messages of other nodes";

    fn columns(&self) -> String {
        // A name of hexadecimal digits and hyphens.
        let node = self.0.get().map(|(node, _)| node.to_string()).unwrap_or_default();
        format!("CASE WHEN node_id IN ('', '{node}') AND sender <> '{node}' THEN data END AS data")
    }

    fn read(&self, row: &Row) -> Result<Option<Bytes>, Error> {
        Ok(row.try_get::<_, Option<&[u8]>>("data")?.map(Bytes::copy_from_slice))
    }

    fn take(&self, message: Option<Bytes>) {
        if let (Some((_, sink)), Some(message)) = (self.0.get(), message) {
            sink.message(message);
        }
    }

    fn lost(&self) {
        // Nodes ask again for what they do not hear.
    }
}
