//! An outbox: a table of PostgreSQL, 9.6 or newer, into which an application writes commands within its own transactions
//! (CONS-10).
//!
//! The table has the columns `id` (a whole number), `method` (text), `payload` (`jsonb`, `json`, text or `bytea`) and
//! `partition` (a whole number from 0). Rows of a partition are carried out in the order of their ids, by one node at a time:
//! a lock that the database gives up with the transaction sees to that. Its name is Centrifugo's, so that nodes of both can
//! take turns. Rows are deleted in the transaction that has the lock, after they were carried out.
//!
//! # The transaction
//!
//! It lasts as long as a batch of rows is carried out: ten seconds and the row that is under way then, at most. A node that
//! hangs loses it after a minute. A connection that is lost while rows are carried out is noticed at once, and no further
//! row is begun: another node may have the lock by then.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tourbillon_broker_postgres::tokio_postgres::types::{FromSql, Type};
use tourbillon_broker_postgres::tokio_postgres::{Client, Error, Row};
use tourbillon_broker_postgres::{Failure, PostgresConfig, PostgresSession};

use crate::health::Health;
use crate::message::{Message, Mode};
use crate::pause::{chance, pause};
use crate::source::{Batch, Lost, Outcome, Source, SourceError};

/// What has not ended in time ends by itself, whatever has become of us. Who waits for a lock waits in turns.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '10s'; \
     SET LOCAL lock_timeout = '4s'; SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// The attribute that a row's method becomes.
const METHOD: &str = "method";

/// How long connecting may take where nobody else looks after it.
const CONNECT: Duration = Duration::from_secs(10);

/// What is wrong with a table's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be the name of a table, perhaps with that of its schema before it: outbox, app.outbox, \"Outbox\""
)]
pub struct TableError;

/// The name of a table, as SQL has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table(String);

impl Table {
    /// Reads a name such as `outbox`, `app.outbox` or `"Outbox"`.
    ///
    /// # Errors
    ///
    /// When it is no name.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut rest = text;
        for part in 0.. {
            if part > 0 {
                rest = match rest.strip_prefix('.') {
                    Some(rest) if part < 3 => rest,
                    _ => return Err(TableError),
                };
            }
            rest = name_at_start(rest).ok_or(TableError)?;
            if rest.is_empty() {
                break;
            }
        }
        Ok(Self(text.to_owned()))
    }
}

/// What is left after one name.
fn name_at_start(text: &str) -> Option<&str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, rest) = quoted.split_once('"')?;
        return (!name.is_empty() && !name.contains('\0')).then_some(rest);
    }
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let end = text.find(|letter| !is_part(letter)).unwrap_or(text.len());
    let starts = text.starts_with(|letter: char| letter.is_alphabetic() || letter == '_');
    starts.then(|| text.get(end..))?
}

/// Where an outbox is, and how it is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutboxConfig {
    /// The database.
    pub database: PostgresConfig,
    /// The table.
    pub table: Table,
    /// How many partitions there are, from 0; at least one.
    pub partitions: u32,
    /// How many rows are taken at once; at least one.
    pub limit: u32,
    /// How long to wait when there are no more rows.
    pub poll: Duration,
    /// Nodes do not wait for each other's locks, but for `poll`.
    pub try_lock: bool,
    /// The channel on which the database tells of new rows, by the number of their partition, and where it tells it.
    pub notifications: Option<(PostgresConfig, String)>,
}

impl OutboxConfig {
    /// One partition, a hundred rows, polled every 300 ms.
    #[must_use]
    pub const fn new(database: PostgresConfig, table: Table) -> Self {
        Self {
            database,
            table,
            partitions: 1,
            limit: 100,
            poll: Duration::from_millis(300),
            try_lock: false,
            notifications: None,
        }
    }

    /// A source for each partition, and what wakes them if anything does. `consumer` is part of the locks' names.
    #[must_use]
    pub fn sources(self, consumer: &str) -> (Vec<Outbox>, Option<Bell>) {
        let config = Arc::new(self);
        let sources: Vec<_> =
            (0..config.partitions).map(|at| Outbox::new(config.clone(), consumer, at)).collect();
        let bell = config.notifications.is_some().then(|| Bell {
            consumer: consumer.to_owned(),
            rings: sources.iter().map(|source| source.ring.clone()).collect(),
            config,
        });
        (sources, bell)
    }

    /// What rows are: commands, whose method is a column.
    #[must_use]
    pub fn mode() -> Mode {
        Mode::Commands { method: METHOD.to_owned() }
    }
}

impl From<Failure> for SourceError {
    fn from(failure: Failure) -> Self {
        Self(format!("PostgreSQL: {failure}"))
    }
}

/// One partition of an outbox.
pub struct Outbox {
    config: Arc<OutboxConfig>,
    name: String,
    queries: Arc<Queries>,
    session: Option<PostgresSession>,
    ring: Arc<Notify>,
    /// The ids of the rows that are being carried out.
    taken: Vec<i64>,
}

struct Queries {
    lock: String,
    select: String,
    delete: String,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Outbox {
    fn new(config: Arc<OutboxConfig>, consumer: &str, partition: u32) -> Self {
        let OutboxConfig { table: Table(table), limit, try_lock, .. } = &*config;
        // A consumer's name has letters, digits and underscores.
        let name: String =
            consumer.chars().filter(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        let hash = format!("hashtext('centrifugo_partition_lock_{name}{partition}')");
        let queries = Queries {
            lock: if *try_lock {
                format!("SELECT pg_try_advisory_xact_lock({hash})")
            } else {
                format!("SELECT pg_advisory_xact_lock({hash}) IS NOT NULL")
            },
            select: format!(
                "SELECT id, method, payload FROM {table} WHERE partition = {partition} ORDER BY id ASC LIMIT {limit}"
            ),
            delete: format!("DELETE FROM {table} WHERE partition = {partition} AND id = ANY($1)"),
        };
        Self {
            config,
            name: format!("partition {partition}"),
            queries: Arc::new(queries),
            session: None,
            ring: Arc::default(),
            taken: Vec::new(),
        }
    }

    /// Looks whether the database and the table are there.
    ///
    /// # Errors
    ///
    /// Why they cannot be used.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn check(&mut self) -> Result<(), SourceError> {
        let Table(table) = &self.config.table;
        let probe = format!("SELECT id, method, payload, partition FROM {table} LIMIT 0");
        let rights = "SELECT has_table_privilege($1::text::regclass, 'DELETE')";
        let session = connected(&mut self.session, &self.config.database).await?;
        session.run(async |client| client.query_typed(&probe, &[]).await.map(drop)).await?;
        let asked = session
            .run(async |client| client.query_typed_one(rights, &[(table, Type::TEXT)]).await?.try_get(0));
        let may_delete: bool = asked.await?;
        if may_delete { Ok(()) } else { Err(SourceError("rows may be read and not deleted".to_owned())) }
    }
}

/// The connection, a new one where there is none.
async fn connected<'a>(
    session: &'a mut Option<PostgresSession>,
    config: &PostgresConfig,
) -> Result<&'a mut PostgresSession, Failure> {
    match session {
        Some(session) => Ok(session),
        none => Ok(none.insert(PostgresSession::open(config).await?)),
    }
}

/// The rows of a partition, and a transaction that has its lock, unless there are none.
async fn rows(client: &Client, queries: &Queries) -> Result<Option<Vec<Row>>, Error> {
    client.batch_execute(BEGIN).await?;
    let locked: bool = client.query_typed_one(&queries.lock, &[]).await?.try_get(0)?;
    if locked {
        let rows = client.query_typed(&queries.select, &[]).await?;
        if !rows.is_empty() {
            return Ok(Some(rows));
        }
    }
    client.batch_execute("ROLLBACK").await?;
    Ok(None)
}

impl Source for Outbox {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_ordered(&self) -> bool {
        true
    }

    async fn take(&mut self) -> Result<Batch, SourceError> {
        self.taken.clear();
        let session = connected(&mut self.session, &self.config.database).await?;
        let queries = &*self.queries;
        let rows = match session.run(async |client| rows(client, queries).await).await {
            Ok(rows) => rows.unwrap_or_default(),
            // Another node has been at it for long, and may well be.
            Err(failure) if failure.is_locked() => {
                session.run(async |client| client.batch_execute("ROLLBACK").await).await?;
                return Ok(Batch::default());
            }
            Err(failure) => return Err(failure.into()),
        };
        let mut messages = Vec::with_capacity(rows.len());
        for row in &rows {
            let (id, message) = message(row).map_err(Failure::from)?;
            self.taken.push(id);
            messages.push(message);
        }
        let more = usize::try_from(self.config.limit).is_ok_and(|limit| messages.len() >= limit);
        Ok(Batch::new(messages, more))
    }

    async fn settle(&mut self, outcomes: &[Outcome]) -> Result<(), SourceError> {
        let done = outcomes.iter().zip(&self.taken).filter(|(outcome, _)| **outcome == Outcome::Done);
        let done: Vec<i64> = done.map(|(_, id)| *id).collect();
        self.taken.clear();
        let Some(session) = &mut self.session else { return Err(SourceError("no connection".to_owned())) };
        let delete = &self.queries.delete;
        let settled = session.run(async |client| {
            if done.is_empty() {
                return client.batch_execute("ROLLBACK").await;
            }
            client.execute_typed(delete, &[(&done, Type::INT8_ARRAY)]).await?;
            client.batch_execute("COMMIT").await
        });
        Ok(settled.await?)
    }

    async fn idle(&mut self) {
        let ended = async {
            match &mut self.session {
                Some(session) => session.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep(self.config.poll) => {}
            () = self.ring.notified() => {}
            // The next call opens another.
            _ = ended => self.session = None,
        }
    }

    async fn lost(&mut self) -> Lost {
        match &mut self.session {
            Some(session) => session.ended().await.into(),
            None => std::future::pending().await,
        }
    }

    fn reset(&mut self) {
        self.session = None;
        self.taken.clear();
    }
}

fn message(row: &Row) -> Result<(i64, Message), Error> {
    let Number(id) = row.try_get(0)?;
    let method: Option<String> = row.try_get(1)?;
    let payload: Option<Content> = row.try_get(2)?;
    let attributes = vec![(METHOD.to_owned(), method.unwrap_or_default())];
    let body = payload.map(|Content(body)| body).unwrap_or_default();
    // How often a row was tried, nobody counts.
    Ok((id, Message { id: id.to_string(), deliveries: 1, body, attributes }))
}

/// A whole number of any size.
struct Number(i64);

impl<'a> FromSql<'a> for Number {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT2 => i16::from_sql(ty, raw)?.into(),
            Type::INT4 => i32::from_sql(ty, raw)?.into(),
            _ => i64::from_sql(ty, raw)?,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT2, Type::INT4, Type::INT8].contains(ty)
    }
}

/// JSON, text or bytes, as they are.
struct Content(Bytes);

impl<'a> FromSql<'a> for Content {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let raw = match (ty, raw) {
            // The version of the format comes first.
            (&Type::JSONB, [1, raw @ ..]) => raw,
            (&Type::JSONB, _) => return Err("jsonb of an unknown version".into()),
            (_, raw) => raw,
        };
        Ok(Self(Bytes::copy_from_slice(raw)))
    }

    fn accepts(ty: &Type) -> bool {
        [Type::JSONB, Type::JSON, Type::TEXT, Type::VARCHAR, Type::BYTEA].contains(ty)
    }
}

/// Listens to what the database tells of new rows, and wakes the sources of their partitions.
pub struct Bell {
    consumer: String,
    rings: Vec<Arc<Notify>>,
    config: Arc<OutboxConfig>,
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

impl Bell {
    /// Listens until `stop` is cancelled. Without a connection rows are found by polling.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn run(self, health: Arc<Health>, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let error = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                error = self.listen(&mut failures) => error,
            };
            failures += 1;
            tracing::error!(consumer = self.consumer, %error, "nobody tells of new rows of an outbox: it is polled");
            health.stumbled();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(pause(failures, chance())) => {}
            }
        }
    }

    async fn listen(&self, failures: &mut u32) -> Failure {
        let Some((database, channel)) = &self.config.notifications else {
            return std::future::pending().await;
        };
        let listen = format!("LISTEN \"{}\"", channel.replace('"', "\"\""));
        let opened = async {
            let mut session = PostgresSession::open(database).await?;
            session.run(async |client| client.batch_execute(&listen).await).await?;
            Ok::<_, Failure>(session)
        };
        let mut session = match tokio::time::timeout(CONNECT, opened).await {
            Ok(Ok(session)) => session,
            Ok(Err(failure)) => return failure,
            Err(_) => return Failure::late(),
        };
        // What was told before this was told to nobody.
        self.rings.iter().for_each(|ring| ring.notify_one());
        loop {
            match session.notified().await {
                Ok(text) => self.told(&text),
                Err(failure) => return failure,
            }
            *failures = 0;
        }
    }

    fn told(&self, text: &str) {
        let ring = text.trim().parse().ok().and_then(|partition: usize| self.rings.get(partition));
        match ring {
            Some(ring) => ring.notify_one(),
            None => tracing::warn!(
                consumer = self.consumer,
                partitions = self.rings.len(),
                "a notification of an outbox names no partition that there is"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_are_told_from_other_sql() {
        for name in ["outbox", "app.outbox", "a.b.c", "\"Out box\"", "app.\"x\"", "_a1$", "\u{e9}t\u{e9}"] {
            assert_eq!(Table::parse(name), Ok(Table(name.to_owned())), "{name}");
        }
        for text in
            ["", ".", "a.", ".a", "a b", "a;b", "a--", "\"", "\"\"", "a.b.c.d", "1a", "a\"b\"", "a'b", "(a)"]
        {
            assert_eq!(Table::parse(text), Err(TableError), "{text}");
        }
    }

    #[test]
    fn values_of_several_types_are_read() {
        let number =
            |ty, raw: &[u8]| Number::from_sql(&ty, raw).map(|Number(number)| number).expect("a number");
        assert_eq!(number(Type::INT2, &[0, 7]), 7);
        assert_eq!(number(Type::INT4, &[255; 4]), -1);
        assert_eq!(number(Type::INT8, &[0, 0, 0, 0, 0, 0, 1, 0]), 256);
        let content = |ty, raw| Content::from_sql(&ty, raw).map(|Content(body)| body).ok();
        assert_eq!(content(Type::JSONB, &b"\x01{}"[..]), Some(Bytes::from("{}")));
        assert_eq!(content(Type::JSONB, &b"\x02{}"[..]), None);
        assert_eq!(content(Type::TEXT, &b"{}"[..]), Some(Bytes::from("{}")));
        assert!(!Number::accepts(&Type::UUID) && !Content::accepts(&Type::UUID));
    }
}
