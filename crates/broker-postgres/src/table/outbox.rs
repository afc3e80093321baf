//! What others committed, read by each node (PGS-06).

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};
use tourbillon_broker::BrokerError;

use crate::database::{Pool, Work};
use crate::session::Failure;
use crate::table::names::Names;

/// The first and the longest pause after a failure.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// After how many rows others have their turn.
const AT_ONCE: usize = 64;

/// What the rows of a table are for.
pub(crate) trait Feed: Debug + Send + Sync {
    /// A row.
    type New: Send;

    /// What it is, for messages.
    const WHAT: &str;

    /// The columns that are needed, besides `id` and `shard_id`.
    fn columns(&self) -> String;

    /// Reads a row.
    fn read(&self, row: &Row) -> Result<Self::New, Error>;

    /// Takes what was read, in the order of commits within a shard.
    fn take(&self, new: Self::New);

    /// Rows may have been lost.
    fn lost(&self);
}

/// How often, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) poll_interval: Duration,
    /// The most rows of a shard at once, from 1.
    pub(crate) batch_size: u32,
    pub(crate) shards: u8,
}

/// Reads all shards of a table.
#[derive(Debug)]
pub(super) struct Outbox<F> {
    pub(super) feed: F,
    pool: Pool,
    names: Names,
    pace: Pace,
    /// The last id that was read, by shard.
    cursors: Mutex<Vec<i64>>,
    /// Somebody says that there is something new.
    pub(super) news: Notify,
    /// Nothing could be read last.
    failing: AtomicBool,
}

impl<F: Feed> Outbox<F> {
    /// What is there by now has been before us: it is not read.
    pub(super) async fn open(pool: Pool, names: Names, pace: Pace, feed: F) -> Result<Self, Failure> {
        let failing = AtomicBool::new(false);
        let outbox =
            Self { feed, pool, names, pace, cursors: Mutex::default(), news: Notify::new(), failing };
        outbox.skip().await?;
        Ok(outbox)
    }

    /// Whether what is new arrives.
    pub(super) fn ready(&self) -> Result<(), BrokerError> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(BrokerError::unavailable("what is published does not arrive from PostgreSQL"));
        }
        Ok(())
    }

    async fn skip(&self) -> Result<(), Failure> {
        let tops = Tops { sql: tops_sql(&self.names), shards: self.pace.shards };
        let tops = self.pool.ask(&tops).await?;
        *self.cursors.lock() = tops;
        Ok(())
    }

    /// Reads, for ever. A connection that is lost loses nothing: it goes on where it was.
    pub(super) async fn run(&self) {
        let [shortest, longest] = PAUSES;
        let sql = read_sql(&self.names, &self.feed.columns());
        let mut pause = shortest;
        loop {
            match self.poll(&sql).await {
                Ok(is_all) => {
                    if pause > shortest {
                        tracing::info!("{} from PostgreSQL again", F::WHAT);
                    }
                    pause = shortest;
                    self.failing.store(false, Ordering::Relaxed);
                    if is_all {
                        let _ = tokio::time::timeout(self.pace.poll_interval, self.news.notified()).await;
                    }
                }
                Err(failure) => {
                    if pause == shortest {
                        tracing::warn!(error = %failure, "no {} from PostgreSQL", F::WHAT);
                    }
                    self.failing.store(true, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    /// Takes what is new. Whether that was all.
    async fn poll(&self, sql: &str) -> Result<bool, Failure> {
        let cursors = self.cursors.lock().clone();
        let most = i64::from(self.pace.batch_size.max(1));
        let batch = Batch { feed: &self.feed, sql, cursors: &cursors, most };
        let (last, rows) = self.pool.ask(&batch).await?;
        if cursors.iter().max() > Some(&last) {
            // Another database, or an older state of it: what was in between is not known.
            tracing::warn!("PostgreSQL does not know any more what was read of it");
            self.skip().await?;
            self.feed.lost();
            return Ok(false);
        }
        let mut counts = vec![0_i64; cursors.len()];
        for (number, (id, shard, new)) in rows.into_iter().enumerate() {
            if let Some(count) = counts.get_mut(shard) {
                *count += 1;
            }
            self.feed.take(new);
            if let Some(cursor) = self.cursors.lock().get_mut(shard) {
                *cursor = id;
            }
            if number % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(counts.into_iter().all(|count| count < most))
    }
}

/// The id that was given last, in each row, and what is new in each shard. Ids of a shard have the order of commits: whoever
/// sees one sees all before it.
fn read_sql(names: &Names, columns: &str) -> String {
    let stream = &names.stream;
    format!(
        "SELECT l.last_value, r.* FROM {stream}_id_seq l LEFT JOIN (\
           SELECT n.* FROM unnest($1::bigint[]) WITH ORDINALITY c(cursor, number) CROSS JOIN LATERAL (\
             SELECT id, shard_id, {columns} FROM {stream} \
             WHERE shard_id = c.number - 1 AND id > c.cursor ORDER BY id LIMIT $2\
           ) n\
         ) r ON true ORDER BY r.id"
    )
}

fn tops_sql(names: &Names) -> String {
    let stream = &names.stream;
    format!(
        "SELECT coalesce((SELECT max(id) FROM {stream} WHERE shard_id = n), 0) FROM generate_series(0, $1 - 1) n ORDER BY n"
    )
}

struct Tops {
    sql: String,
    shards: u8,
}

impl Work for Tops {
    type Answer = Vec<i64>;

    const DEADLINE: Duration = Duration::from_secs(10);

    async fn run(&self, client: &Client) -> Result<Vec<i64>, Error> {
        let rows = client.query_typed(&self.sql, &[(&i32::from(self.shards), Type::INT4)]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}

struct Batch<'a, F> {
    feed: &'a F,
    sql: &'a str,
    cursors: &'a Vec<i64>,
    most: i64,
}

impl<F: Feed> Work for Batch<'_, F> {
    /// The last id that was given, and rows with their ids and shards.
    type Answer = (i64, Vec<(i64, usize, F::New)>);

    /// There may be much.
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn run(&self, client: &Client) -> Result<Self::Answer, Error> {
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(self.cursors, Type::INT8_ARRAY), (&self.most, Type::INT8)];
        let rows = client.query_typed(self.sql, &values).await?;
        let (mut last, mut all) = (0, Vec::with_capacity(rows.len()));
        for row in &rows {
            last = row.try_get("last_value")?;
            if let Some(id) = row.try_get("id")? {
                let shard: i16 = row.try_get("shard_id")?;
                all.push((id, usize::try_from(shard).unwrap_or(usize::MAX), self.feed.read(row)?));
            }
        }
        Ok((last, all))
    }
}
