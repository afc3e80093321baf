//! Names that are kept until a time, for all nodes (PRO-34 to PRO-36).

use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};
use tourbillon_broker::{BrokerError, Record, RecordsVersion};
use tourbillon_types::Epoch;

use crate::database::{Postgres, Work};

/// Begins a change. What has not ended in time ends by itself, whatever has become of us.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '4s'; \
     SET LOCAL idle_in_transaction_session_timeout = '4s'";

/// The next version. From here to its end the change has all records of the kind to itself.
const NEXT: &str = "INSERT INTO tourbillon_revocations AS t (kind, name, number, life) VALUES ($1, '', 1, $2) \
     ON CONFLICT (kind, id) DO UPDATE SET number = t.number + 1";

const DROP_OVER: &str = "DELETE FROM tourbillon_revocations WHERE kind = $1 AND until <= $2";

/// Of what is there already, the later end and the larger number count.
const KEEP: &str = "INSERT INTO tourbillon_revocations AS t (kind, name, until, number) SELECT $1, $2, $3, $4 \
     WHERE (SELECT count(*) FROM tourbillon_revocations WHERE kind = $1) < $5 \
     OR EXISTS (SELECT 1 FROM tourbillon_revocations WHERE kind = $1 AND id = sha256($2)) \
     ON CONFLICT (kind, id) DO UPDATE SET number = greatest(t.number, EXCLUDED.number), until = \
     CASE WHEN t.until IS NULL OR EXCLUDED.until IS NULL THEN NULL ELSE greatest(t.until, EXCLUDED.until) END";

const FORGET: &str = "DELETE FROM tourbillon_revocations WHERE kind = $1 AND id = sha256($2)";

const VERSION: &str = "SELECT life, number FROM tourbillon_revocations WHERE kind = $1";

const ALL: &str =
    "SELECT kind = $2, name, until, number, life FROM tourbillon_revocations WHERE kind IN ($1, $2)";

/// Names of one kind that are kept until a time.
///
/// Whoever wants to know them all reads them, and asks now and then for the version.
#[derive(Clone, Debug)]
pub struct PostgresRecords {
    postgres: Postgres,
    kind: Kind,
    limit: i64,
}

#[derive(Clone, Debug)]
struct Kind {
    records: &'static str,
    version: String,
}

impl Postgres {
    /// The records of a kind, which tells them from others, and of which there may be at most `limit`.
    #[must_use]
    pub fn records(&self, kind: &'static str, limit: usize) -> PostgresRecords {
        let kind = Kind { records: kind, version: format!("{kind}.version") };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        PostgresRecords { postgres: self.clone(), kind, limit }
    }
}

impl PostgresRecords {
    /// Keeps a record. Of one with the same name, the later end and the larger number count. `false`: there is no room.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be asked: then it may be kept or not.
    ///
    /// # Cancel safety
    ///
    /// It may be kept or not.
    pub async fn keep(&self, record: &Record, now: i64) -> Result<bool, BrokerError> {
        self.postgres.call(&Keep { kind: &self.kind, record, now, limit: self.limit }).await
    }

    /// Forgets the record of this name.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be asked: then it may be forgotten or not.
    ///
    /// # Cancel safety
    ///
    /// It may be forgotten or not.
    pub async fn forget(&self, name: &str) -> Result<(), BrokerError> {
        self.postgres.call(&Forget { kind: &self.kind, name }).await
    }

    /// Which state the records are in.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn version(&self) -> Result<RecordsVersion, BrokerError> {
        self.postgres.call(&Version(&self.kind)).await
    }

    /// All records, of one moment. Those that are over may be among them.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn all(&self) -> Result<(RecordsVersion, Vec<Record>), BrokerError> {
        self.postgres.call(&All(&self.kind)).await
    }
}

struct Keep<'a> {
    kind: &'a Kind,
    record: &'a Record,
    now: i64,
    limit: i64,
}

impl Work for Keep<'_> {
    type Answer = bool;

    async fn run(&self, client: &Client) -> Result<bool, Error> {
        let Record { name, until, number, .. } = self.record;
        begin(client, self.kind).await?;
        let kind = (&self.kind.records as &_, Type::TEXT);
        client.execute_typed(DROP_OVER, &[kind.clone(), (&self.now, Type::INT8)]).await?;
        let name = name.as_bytes();
        let values = [
            kind,
            (&name, Type::BYTEA),
            (until, Type::INT8),
            (number, Type::INT8),
            (&self.limit, Type::INT8),
        ];
        end(client, client.execute_typed(KEEP, &values).await? > 0).await
    }
}

struct Forget<'a> {
    kind: &'a Kind,
    name: &'a str,
}

impl Work for Forget<'_> {
    type Answer = ();

    async fn run(&self, client: &Client) -> Result<(), Error> {
        begin(client, self.kind).await?;
        let name = self.name.as_bytes();
        let values = [(&self.kind.records as &_, Type::TEXT), (&name as &_, Type::BYTEA)];
        end(client, client.execute_typed(FORGET, &values).await? > 0).await.map(drop)
    }
}

async fn begin(client: &Client, kind: &Kind) -> Result<(), Error> {
    client.batch_execute(BEGIN).await?;
    let life = Epoch::random();
    let values = [(&kind.version as &_, Type::TEXT), (&life.as_str() as &_, Type::TEXT)];
    client.execute_typed(NEXT, &values).await.map(drop)
}

/// What has changed nothing is no other version.
async fn end(client: &Client, is_changed: bool) -> Result<bool, Error> {
    client.batch_execute(if is_changed { "COMMIT" } else { "ROLLBACK" }).await?;
    Ok(is_changed)
}

struct Version<'a>(&'a Kind);

impl Work for Version<'_> {
    type Answer = RecordsVersion;

    async fn run(&self, client: &Client) -> Result<RecordsVersion, Error> {
        let row = client.query_typed_opt(VERSION, &[(&self.0.version, Type::TEXT)]).await?;
        row.map_or_else(|| Ok(RecordsVersion::default()), |row| version(&row))
    }
}

fn version(row: &Row) -> Result<RecordsVersion, Error> {
    let life: Option<String> = row.try_get("life")?;
    let number: i64 = row.try_get("number")?;
    Ok(RecordsVersion::new(life.unwrap_or_default(), number.unsigned_abs()))
}

struct All<'a>(&'a Kind);

impl Work for All<'_> {
    type Answer = (RecordsVersion, Vec<Record>);

    /// There may be many.
    const DEADLINE: Duration = Duration::from_secs(30);

    async fn run(&self, client: &Client) -> Result<Self::Answer, Error> {
        let Kind { records, version: head } = self.0;
        let rows = client.query_typed(ALL, &[(records, Type::TEXT), (head, Type::TEXT)]).await?;
        let (mut at, mut all) = (RecordsVersion::default(), Vec::with_capacity(rows.len()));
        for row in &rows {
            if row.try_get(0)? {
                at = version(row)?;
            } else if let Ok(name) = String::from_utf8(row.try_get("name")?) {
                all.push(Record::new(name, row.try_get("until")?, row.try_get("number")?));
            }
        }
        Ok((at, all))
    }
}
