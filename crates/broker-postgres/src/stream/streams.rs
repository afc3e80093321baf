//! Publishing, and reading what was kept.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};
use tourbillon_broker::{BrokerError, HistoryQuery, Page, Publish, PublishOptions, Published, Suppressed};
use tourbillon_types::{Channel, ClientInfo, Epoch, StreamPosition};

use crate::database::{Pool, Work};
use crate::stream::config::StreamConfig;
use crate::stream::row;
use crate::table::names::Names;

/// The longest time that is kept: far beyond any use, and within PostgreSQL's calendar.
const LONGEST: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

/// Has a call wait no longer for others who publish than its publisher does: otherwise it could take effect long after
/// its publisher was told that it had failed. It has to come before the lock, so the call depends on it.
const PATIENCE: &str = "(SELECT set_config('lock_timeout', '3000', true) AS patience OFFSET 0) p";
/// The number of shards: as the table says.
const SHARDS: &str = "CASE WHEN p.patience IS NULL THEN 0 END";

/// Calls the SQL functions.
#[derive(Debug)]
pub(crate) struct Streams {
    pool: Pool,
    /// For what waits for no shard.
    reads: Pool,
    names: Names,
    stream_retention: Duration,
    idempotent_result_ttl: Duration,
    publish: String,
    publish_past: String,
    tell: [String; 2],
    history: [String; 2],
    remove: String,
}

impl Streams {
    pub(crate) fn new([pool, reads]: [Pool; 2], names: Names, config: &StreamConfig) -> Self {
        Self {
            stream_retention: config.stream_retention,
            idempotent_result_ttl: config.idempotent_result_ttl,
            publish: publish_sql(&names),
            publish_past: publish_past_sql(&names),
            tell: ["publish_join", "publish_leave"].map(|function| tell_sql(&names, function)),
            history: [history_sql(&names, false), history_sql(&names, true)],
            remove: format!(
                "SELECT f.* FROM {PATIENCE}, LATERAL {}remove_history($1, {SHARDS}) f",
                names.prefix
            ),
            pool,
            reads,
            names,
        }
    }

    /// Whether calls are answered.
    pub(crate) async fn ready(&self) -> Result<(), BrokerError> {
        self.reads.ready().await
    }

    /// See [`Broker::publish`](tourbillon_broker::Broker::publish).
    pub(crate) async fn publish(&self, publish: &Publish) -> Result<Published, BrokerError> {
        let options = &publish.options;
        if options.history.is_some_and(|policy| !policy.keeps()) {
            return Err(BrokerError::invalid("history needs a size and a time"));
        }
        if options.version != 0 && options.history.is_none() {
            return Err(BrokerError::unsupported("versions need history"));
        }
        if i64::try_from(options.version).is_err() {
            return Err(BrokerError::invalid("PostgreSQL keeps versions up to 2^63 - 1"));
        }
        self.pool.call(&Call { streams: self, publish }).await
    }

    /// Tells of who came or left.
    pub(crate) async fn tell(
        &self,
        channel: &Channel,
        info: &ClientInfo,
        left: bool,
    ) -> Result<(), BrokerError> {
        let [join, leave] = &self.tell;
        self.pool.call(&Tell { sql: if left { leave } else { join }, channel, info }).await
    }

    /// See [`History::history`](tourbillon_broker::History::history).
    pub(crate) async fn history(&self, channel: &Channel, query: &HistoryQuery) -> Result<Page, BrokerError> {
        self.reads.call(&Read { streams: self, channel, query }).await
    }

    /// See [`History::remove_history`](tourbillon_broker::History::remove_history).
    pub(crate) async fn remove(&self, channel: &Channel) -> Result<(), BrokerError> {
        self.pool.call(&Remove { sql: &self.remove, channel }).await
    }

    /// Seconds that a position lives; negative for ever.
    fn meta_ttl(&self, meta_ttl: Duration) -> f64 {
        // 0 is what the node has where nothing was said.
        seconds(if meta_ttl.is_zero() { self.stream_retention } else { meta_ttl })
    }
}

fn publish_sql(names: &Names) -> String {
    let [data, connection, channel] = ["$2", "$14", "$15"].map(|parameter| names.into(parameter));
    format!(
        "SELECT out_channel_offset, out_epoch, out_suppress_reason FROM {PATIENCE}, LATERAL {}publish($1, {data}, $3::jsonb, \
         make_interval(secs => $4), $5, make_interval(secs => $6), $7, $8, $9, make_interval(secs => $10), $11, $12, $13, \
         {connection}, {channel}, {SHARDS})",
        names.prefix
    )
}

fn publish_past_sql(names: &Names) -> String {
    let [data, connection, channel] = ["$2", "$9", "$10"].map(|parameter| names.into(parameter));
    format!(
        "SELECT out_channel_offset, out_epoch, out_suppress_reason FROM {PATIENCE}, LATERAL {}publish_past($1, {data}, \
         $3::jsonb, $4, make_interval(secs => $5), $6, $7, $8, {connection}, {channel}, {SHARDS})",
        names.prefix
    )
}

fn tell_sql(names: &Names, function: &str) -> String {
    let [connection, channel] = ["$4", "$5"].map(|parameter| names.into(parameter));
    format!(
        "SELECT f.* FROM {PATIENCE}, LATERAL {}{function}($1, $2, $3, {connection}, {channel}, {SHARDS}) f",
        names.prefix
    )
}

/// Position and publications, of one moment. Where a stream stands is in each row, and without publications there is one.
fn history_sql(names: &Names, reverse: bool) -> String {
    let Names { stream, prefix, .. } = names;
    let (columns, order) = (row::columns(names), if reverse { "DESC" } else { "ASC" });
    format!(
        "SELECT m.top_offset, m.epoch AS top_epoch, s.* FROM {prefix}meta m LEFT JOIN LATERAL (\
           SELECT {columns} FROM {stream} WHERE channel = m.channel AND epoch = m.epoch AND kind = 0 \
           AND channel_offset > greatest(m.top_offset - m.history_size, m.history_from, $2) \
           AND channel_offset <= m.top_offset AND channel_offset < $3 \
           AND m.updated_at + m.history_ttl > clock_timestamp() AND ($4 = '' OR $4 = m.epoch) \
           ORDER BY channel_offset {order} LIMIT $5\
         ) s ON true WHERE m.channel = $1 AND m.expires_at > clock_timestamp() ORDER BY s.channel_offset {order}"
    )
}

/// Seconds as PostgreSQL takes them.
fn seconds(time: Duration) -> f64 {
    time.min(LONGEST).as_secs_f64()
}

/// A call of `publish`. What became of one that was not answered is not known, so it is not asked twice.
struct Call<'a> {
    streams: &'a Streams,
    publish: &'a Publish,
}

/// Who published, as parameters. Empty data is none.
struct Who {
    client: Option<String>,
    user: Option<String>,
}

impl Who {
    fn of(info: Option<&ClientInfo>) -> Self {
        let client = info.map(|info| info.client.map(|client| client.to_string()).unwrap_or_default());
        Self { client, user: info.map(|info| info.user.as_str().to_owned()) }
    }
}

fn some(payload: &[u8]) -> Option<&[u8]> {
    (!payload.is_empty()).then_some(payload)
}

fn connection(info: &ClientInfo) -> [Option<&[u8]>; 2] {
    [some(info.connection.as_ref()), some(info.channel.as_ref())]
}

impl Work for Call<'_> {
    type Answer = Published;

    const AGAIN: bool = false;

    async fn run(&self, client: &Client) -> Result<Published, Error> {
        let Self { streams, publish: Publish { channel, data, options } } = self;
        let PublishOptions { info, tags, history, idempotency_key, delta, version, version_epoch, .. } =
            options;
        let who = Who::of(info.as_deref());
        let [connection, about] = info.as_deref().map(connection).unwrap_or_default();
        let tags = tags.as_deref().and_then(|tags| serde_json::to_string(tags).ok());
        let key = (!idempotency_key.is_empty()).then_some(idempotency_key);
        let key_ttl = seconds(options.idempotency_ttl.unwrap_or(streams.idempotent_result_ttl));
        let (channel, data) = (channel.as_str(), data.as_ref());
        let Some(policy) = history else {
            let values: [(&(dyn ToSql + Sync), Type); 10] = [
                (&channel, Type::TEXT),
                (&data, Type::BYTEA),
                (&tags, Type::TEXT),
                (&key, Type::TEXT),
                (&key_ttl, Type::FLOAT8),
                (delta, Type::BOOL),
                (&who.client, Type::TEXT),
                (&who.user, Type::TEXT),
                (&connection, Type::BYTEA),
                (&about, Type::BYTEA),
            ];
            return published(&client.query_typed_one(&streams.publish_past, &values).await?);
        };
        let size = i32::try_from(policy.size).unwrap_or(i32::MAX);
        let (ttl, meta_ttl) = (seconds(policy.ttl), streams.meta_ttl(policy.meta_ttl));
        let version = i64::try_from(*version).unwrap_or(i64::MAX);
        let values: [(&(dyn ToSql + Sync), Type); 15] = [
            (&channel, Type::TEXT),
            (&data, Type::BYTEA),
            (&tags, Type::TEXT),
            (&ttl, Type::FLOAT8),
            (&size, Type::INT4),
            (&meta_ttl, Type::FLOAT8),
            (&version, Type::INT8),
            (version_epoch, Type::TEXT),
            (&key, Type::TEXT),
            (&key_ttl, Type::FLOAT8),
            (delta, Type::BOOL),
            (&who.client, Type::TEXT),
            (&who.user, Type::TEXT),
            (&connection, Type::BYTEA),
            (&about, Type::BYTEA),
        ];
        published(&client.query_typed_one(&streams.publish, &values).await?)
    }
}

fn published(row: &Row) -> Result<Published, Error> {
    let (offset, reason): (i64, Option<&str>) = (row.try_get(0)?, row.try_get(2)?);
    let position =
        StreamPosition { offset: offset.unsigned_abs(), epoch: Epoch::from(row.try_get::<_, &str>(1)?) };
    let suppressed = reason.map(|reason| match reason {
        "idempotency" => Suppressed::Idempotency,
        _ => Suppressed::Version,
    });
    Ok(Published { position, suppressed })
}

struct Tell<'a> {
    sql: &'a str,
    channel: &'a Channel,
    info: &'a ClientInfo,
}

impl Work for Tell<'_> {
    type Answer = ();

    const AGAIN: bool = false;

    async fn run(&self, client: &Client) -> Result<(), Error> {
        let who = Who::of(Some(self.info));
        let [connection, about] = connection(self.info);
        let channel = self.channel.as_str();
        let values: [(&(dyn ToSql + Sync), Type); 5] = [
            (&channel, Type::TEXT),
            (&who.client, Type::TEXT),
            (&who.user, Type::TEXT),
            (&connection, Type::BYTEA),
            (&about, Type::BYTEA),
        ];
        client.query_typed(self.sql, &values).await.map(drop)
    }
}

struct Remove<'a> {
    sql: &'a str,
    channel: &'a Channel,
}

impl Work for Remove<'_> {
    type Answer = ();

    async fn run(&self, client: &Client) -> Result<(), Error> {
        let channel = self.channel.as_str();
        client.query_typed(self.sql, &[(&channel, Type::TEXT)]).await.map(drop)
    }
}

struct Read<'a> {
    streams: &'a Streams,
    channel: &'a Channel,
    query: &'a HistoryQuery,
}

impl Work for Read<'_> {
    type Answer = Page;

    async fn run(&self, client: &Client) -> Result<Page, Error> {
        let Self { streams, channel, query } = self;
        let [forward, backward] = &streams.history;
        let since = query.since.as_ref();
        let offset = since.map_or(0, |since| i64::try_from(since.offset).unwrap_or(i64::MAX));
        let (after, before) =
            if query.reverse { (0, if offset == 0 { i64::MAX } else { offset }) } else { (offset, i64::MAX) };
        let epoch = since.map(|since| since.epoch.as_str()).unwrap_or_default();
        let limit = query.limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let channel = channel.as_str();
        let values: [(&(dyn ToSql + Sync), Type); 5] = [
            (&channel, Type::TEXT),
            (&after, Type::INT8),
            (&before, Type::INT8),
            (&epoch, Type::TEXT),
            (&limit, Type::INT8),
        ];
        let sql = if query.reverse { backward } else { forward };
        let rows = client.query_typed(sql, &values).await?;
        let mut page = Page::default();
        for row in &rows {
            let (offset, kept): (i64, Option<i64>) =
                (row.try_get("top_offset")?, row.try_get("channel_offset")?);
            page.position.offset = offset.unsigned_abs();
            if page.position.epoch.is_unknown() {
                page.position.epoch = Epoch::from(row.try_get::<_, &str>("top_epoch")?);
            }
            if kept.is_some() {
                let mut publication = row::publication(row, &streams.names)?;
                publication.epoch = page.position.epoch.clone();
                page.publications.push(Arc::new(publication));
            }
        }
        Ok(page)
    }
}
