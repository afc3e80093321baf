//! Partitions of the days to come, and the end of what is over (PGS-07).

use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use crate::database::{Pool, Work};
use crate::session::Failure;
use crate::table::names::Names;

/// The most rows that are deleted at once.
const BATCH: u64 = 1000;

const PARTITIONS: &str = "SELECT {prefix}keep_partitions($1, $2)";

/// Keeps the tables small.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(crate) pool: Pool,
    pub(crate) names: Names,
    pub(crate) interval: Duration,
    /// For how many days partitions are made in advance, and after how many they are dropped; 0 for never.
    pub(crate) days: [u16; 2],
    /// What is over, with a name: SQL that deletes so many rows.
    pub(crate) passes: &'static [(&'static str, &'static str)],
}

impl Upkeep {
    /// Cleans, for ever.
    pub(crate) async fn run(&self) {
        loop {
            // At once, too: nobody may have made partitions for a while.
            if let Err(failure) = self.pass().await {
                tracing::warn!(error = %failure, "tables in PostgreSQL are not cleaned");
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Does all of it, whatever of it fails; the first failure.
    async fn pass(&self) -> Result<(), Failure> {
        let [ahead, keep] = self.days.map(i32::from);
        // Those to come are made even where others cannot be dropped.
        let made = self.partitions([ahead, 0]).await;
        let mut done = if keep > 0 { made.and(self.partitions([ahead, keep]).await) } else { made };
        for (name, sql) in self.passes {
            let deleted = self.delete(&self.names.fill(sql)).await.map_err(|failure| failure.about(name));
            done = done.and(deleted);
        }
        done
    }

    async fn partitions(&self, days: [i32; 2]) -> Result<(), Failure> {
        let partitions = Partitions { sql: self.names.fill(PARTITIONS), days };
        self.pool.ask(&partitions).await.map(drop).map_err(|failure| failure.about("partitions"))
    }

    async fn delete(&self, sql: &str) -> Result<(), Failure> {
        while self.pool.ask(&Delete(sql.to_owned())).await? >= BATCH {}
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

    /// It waits for locks, behind which others wait: once.
    const AGAIN: bool = false;

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
