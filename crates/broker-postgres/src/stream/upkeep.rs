//! Partitions of the days to come, and the end of what is over (PGS-07).

use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use crate::database::{Pool, Work};
use crate::session::Failure;
use crate::stream::config::{Names, StreamConfig};

/// The most rows that are deleted at once.
const BATCH: u64 = 1000;

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

const PARTITIONS: &str = "SELECT {prefix}keep_partitions($1, $2)";

/// Keeps the tables small.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pool: Pool,
    names: Names,
    interval: Duration,
    ahead: i32,
    keep: i32,
}

impl Upkeep {
    pub(crate) fn new(pool: Pool, config: &StreamConfig) -> Self {
        Self {
            pool,
            names: Names::new(&config.table_prefix, config.binary_data),
            interval: config.cleanup_interval,
            ahead: i32::from(config.partition_lookahead_days),
            keep: i32::from(config.partition_retention_days),
        }
    }

    /// Cleans, for ever.
    pub(crate) async fn run(&self) {
        loop {
            tokio::time::sleep(self.interval).await;
            if let Err(failure) = self.pass().await {
                tracing::warn!(error = %failure, "tables of streams in PostgreSQL are not cleaned");
            }
        }
    }

    async fn pass(&self) -> Result<(), Failure> {
        let partitions = Partitions { sql: self.names.fill(PARTITIONS), days: [self.ahead, self.keep] };
        self.pool.ask(&partitions).await.map_err(|failure| failure.about("partitions"))?;
        for (name, sql) in PASSES {
            let delete = Delete(self.names.fill(sql));
            loop {
                let deleted = self.pool.ask(&delete).await.map_err(|failure| failure.about(name))?;
                if deleted < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }
}

struct Partitions {
    sql: String,
    days: [i32; 2],
}

impl Work for Partitions {
    type Answer = i64;

    const DEADLINE: Duration = Duration::from_secs(30);

    async fn run(&self, client: &Client) -> Result<i64, Error> {
        let [ahead, keep] = &self.days;
        client.query_typed_one(&self.sql, &[(ahead, Type::INT4), (keep, Type::INT4)]).await?.try_get(0)
    }
}

struct Delete(String);

impl Work for Delete {
    type Answer = u64;

    const DEADLINE: Duration = Duration::from_secs(30);

    async fn run(&self, client: &Client) -> Result<u64, Error> {
        client.execute_typed(&self.0, &[(&i64::try_from(BATCH).unwrap_or(i64::MAX), Type::INT8)]).await
    }
}
