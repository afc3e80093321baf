//! What others committed, read and delivered (PGS-06).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};
use tourbillon_broker::{BrokerError, EventSink};
use tourbillon_types::{Channel, Publication};

use crate::database::{Pool, Work};
use crate::session::Failure;
use crate::stream::config::{Names, StreamConfig};
use crate::stream::row;

/// The first and the longest pause after a failure.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// After how many deliveries others have their turn.
const AT_ONCE: usize = 64;

/// Reads all shards and delivers.
#[derive(Debug)]
pub(crate) struct Outbox {
    pool: Pool,
    names: Names,
    poll_interval: Duration,
    batch_size: i64,
    read: String,
    tops: String,
    /// The last id that was read, by shard.
    cursors: Mutex<Vec<i64>>,
    /// The channels that this node wants to hear of.
    wanted: Mutex<HashSet<Channel>>,
    /// Somebody says that there is something new.
    pub(crate) news: Notify,
    /// Nothing could be read last.
    failing: AtomicBool,
}

impl Outbox {
    /// What is there by now has been before us: it is not delivered.
    pub(crate) async fn open(pool: Pool, config: &StreamConfig) -> Result<Self, Failure> {
        let names = Names::new(&config.table_prefix, config.binary_data);
        let outbox = Self {
            pool,
            poll_interval: config.poll_interval,
            batch_size: i64::from(config.batch_size.max(1)),
            read: read_sql(&names),
            tops: tops_sql(&names),
            cursors: Mutex::default(),
            wanted: Mutex::default(),
            news: Notify::new(),
            failing: AtomicBool::new(false),
            names,
        };
        outbox.skip(config.num_shards).await?;
        Ok(outbox)
    }

    /// To what one has to listen to hear of news.
    pub(crate) fn notifications(&self) -> String {
        format!("{}notify", self.names.prefix)
    }

    /// What is committed from now on in these channels is delivered.
    pub(crate) fn want(&self, channels: &[Channel]) {
        self.wanted.lock().extend(channels.iter().cloned());
    }

    /// These channels are not delivered any more.
    pub(crate) fn leave(&self, channels: &[Channel]) {
        let mut wanted = self.wanted.lock();
        for channel in channels {
            wanted.remove(channel);
        }
    }

    /// Whether what is published arrives.
    pub(crate) fn ready(&self) -> Result<(), BrokerError> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(BrokerError::unavailable("what is published does not arrive from PostgreSQL"));
        }
        Ok(())
    }

    async fn skip(&self, shards: u8) -> Result<(), Failure> {
        let tops = self.pool.ask(&Tops { sql: &self.tops, shards }).await?;
        *self.cursors.lock() = tops;
        Ok(())
    }

    /// Delivers, for ever. A connection that is lost loses nothing: it goes on where it was.
    pub(crate) async fn run(&self, events: &EventSink) {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        loop {
            match self.poll(events).await {
                Ok(is_all) => {
                    if pause > shortest {
                        tracing::info!("what is published arrives from PostgreSQL again");
                    }
                    pause = shortest;
                    self.failing.store(false, Ordering::Relaxed);
                    if is_all {
                        let _ = tokio::time::timeout(self.poll_interval, self.news.notified()).await;
                    }
                }
                Err(failure) => {
                    if pause == shortest {
                        tracing::warn!(error = %failure, "what is published does not arrive from PostgreSQL");
                    }
                    self.failing.store(true, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    /// Delivers what is new. Whether that was all.
    async fn poll(&self, events: &EventSink) -> Result<bool, Failure> {
        let cursors = self.cursors.lock().clone();
        let batch = Batch { outbox: self, cursors: &cursors };
        let (last, news) = self.pool.ask(&batch).await?;
        if cursors.iter().max() > Some(&last) {
            // Another database, or an older state of it: what was in between is not known.
            tracing::warn!("PostgreSQL does not know any more what it has delivered");
            self.skip(u8::try_from(cursors.len()).unwrap_or(u8::MAX)).await?;
            events.position_lost(None);
            return Ok(false);
        }
        let mut counts = vec![0_i64; cursors.len()];
        for (number, New { id, shard, channel, what }) in news.into_iter().enumerate() {
            if let Some(count) = counts.get_mut(shard) {
                *count += 1;
            }
            match what {
                What::Publication(publication) => events.publication(&channel, publication),
                What::Delta(publication, before) => events.delta_publication(&channel, publication, before),
                What::Join(info) => events.join(&channel, info),
                What::Leave(info) => events.leave(&channel, info),
                What::Nothing => {}
            }
            if let Some(cursor) = self.cursors.lock().get_mut(shard) {
                *cursor = id;
            }
            if number % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(counts.into_iter().all(|count| count < self.batch_size))
    }
}

/// A row of the outbox.
struct New {
    id: i64,
    shard: usize,
    channel: Channel,
    what: What,
}

enum What {
    Publication(Arc<Publication>),
    Delta(Arc<Publication>, Option<Arc<Publication>>),
    Join(Arc<tourbillon_types::ClientInfo>),
    Leave(Arc<tourbillon_types::ClientInfo>),
    /// Of a channel that nobody wants, or of a kind that is not known.
    Nothing,
}

/// The id that was given last, in each row, and what is new in each shard. Ids of a shard have the order of commits: whoever
/// sees one sees all before it.
fn read_sql(names: &Names) -> String {
    let (columns, before, stream) = (row::columns(names), names.out("prev_data"), &names.stream);
    format!(
        "SELECT l.last_value, r.* FROM {stream}_id_seq l LEFT JOIN (\
           SELECT n.* FROM unnest($1::bigint[]) WITH ORDINALITY c(cursor, number) CROSS JOIN LATERAL (\
             SELECT id, shard_id, channel, kind, use_delta, {before} AS prev_data, {columns} FROM {stream} \
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

struct Tops<'a> {
    sql: &'a str,
    shards: u8,
}

impl Work for Tops<'_> {
    type Answer = Vec<i64>;

    const DEADLINE: Duration = Duration::from_secs(10);

    async fn run(&self, client: &Client) -> Result<Vec<i64>, Error> {
        let rows = client.query_typed(self.sql, &[(&i32::from(self.shards), Type::INT4)]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}

struct Batch<'a> {
    outbox: &'a Outbox,
    cursors: &'a Vec<i64>,
}

impl Work for Batch<'_> {
    type Answer = (i64, Vec<New>);

    /// There may be much.
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn run(&self, client: &Client) -> Result<Self::Answer, Error> {
        let Outbox { read, batch_size, .. } = self.outbox;
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(self.cursors, Type::INT8_ARRAY), (batch_size, Type::INT8)];
        let rows = client.query_typed(read, &values).await?;
        let (mut last, mut all) = (0, Vec::with_capacity(rows.len()));
        for row in &rows {
            last = row.try_get("last_value")?;
            if let Some(id) = row.try_get("id")? {
                all.push(new(row, self.outbox, id)?);
            }
        }
        Ok((last, all))
    }
}

fn new(row: &Row, outbox: &Outbox, id: i64) -> Result<New, Error> {
    let names = &outbox.names;
    let channel = Channel::from(row.try_get::<_, &str>("channel")?);
    let is_wanted = outbox.wanted.lock().contains(&channel);
    let (shard, kind): (i16, i16) = (row.try_get("shard_id")?, row.try_get("kind")?);
    let what = match kind {
        _ if !is_wanted => What::Nothing,
        0 | 3 => {
            let publication = row::publication(row, names)?;
            if row.try_get("use_delta")? {
                let before = row::payload(row, "prev_data", names)?;
                let before = (!before.is_empty()).then(|| {
                    let offset = publication.offset.saturating_sub(1);
                    let epoch = publication.epoch.clone();
                    Arc::new(Publication { data: before, offset, epoch, ..Publication::default() })
                });
                What::Delta(Arc::new(publication), before)
            } else {
                What::Publication(Arc::new(publication))
            }
        }
        1 | 2 => match row::info(row, names)?.map(Arc::new) {
            Some(info) if kind == 1 => What::Join(info),
            Some(info) => What::Leave(info),
            None => What::Nothing,
        },
        _ => What::Nothing,
    };
    Ok(New { id, shard: usize::try_from(shard).unwrap_or(usize::MAX), channel, what })
}
