//! Tables and functions: made, brought up to date, or only looked at (PGS-08).

use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use crate::database::{ConnectError, Pool, Work};
use crate::session::Failure;
use crate::table::names::Names;

/// What all of them have in common.
const PARTITIONED: &str = include_str!("partitions.sql");

/// The tables that we know.
const TABLES_VERSION: i32 = 1;
/// The functions that we make. To be raised with every change of them.
const FUNCTIONS_VERSION: i32 = 1;

/// The oldest PostgreSQL that has what the functions use.
const OLDEST: i32 = 130_000;

/// How often a schema is tried to be made: other programs may change the catalogue at the same time.
const TRIES: u32 = 5;

/// What is there: the server's version, whether there are tables, and our right to make some.
const LOOK: &str = "SELECT current_setting('server_version_num')::int, \
     to_regclass('{prefix}schema_version') IS NOT NULL, \
     (SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('{stream}'))";

/// The versions of tables and functions.
const VERSIONS: &str = "SELECT (SELECT schema_version FROM {prefix}schema_version WHERE id = 1), \
     (SELECT schema_version FROM {prefix}schema_version WHERE id = 2)";

const SET_VERSION: &str = "INSERT INTO {prefix}schema_version (id, schema_version) VALUES ($1, $2) \
     ON CONFLICT (id) DO UPDATE SET schema_version = EXCLUDED.schema_version";

const SHARDS: &str = "SELECT count(*), coalesce(max(shard_id), -1)::bigint FROM {prefix}shard_lock";

const MAKE_SHARDS: &str = "INSERT INTO {prefix}shard_lock SELECT generate_series(0, $1 - 1)";

const PARTITIONS: &str = "SELECT {prefix}keep_partitions($1, 0)";

/// What is found in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// The versions of tables and of functions.
    Versions(i32, i32),
}

/// What there has to be.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) names: Names,
    /// SQL that makes the tables, and functions. It may be run again.
    pub(crate) sql: [&'static str; 2],
    pub(crate) shards: u8,
    /// For how many days there are partitions.
    pub(crate) ahead: u16,
}

/// Sees to it that there is all that is needed, or that it is there already.
pub(crate) async fn ensure(pool: &Pool, schemas: &[Schema], skip: bool) -> Result<(), ConnectError> {
    let wrong = |problem: &Failure| ConnectError::new(pool.at(), problem);
    let mut tries = 1;
    loop {
        match pool.ask(&Ensure { schemas, skip }).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => return Err(wrong(&problem)),
            // Deadlocks, and catalogues that others change at the same time.
            Err(failure) if tries < TRIES && failure.is_of_concurrency() => tries += 1,
            Err(failure) => return Err(wrong(&failure.about("the tables cannot be made or used"))),
        }
    }
}

struct Ensure<'a> {
    schemas: &'a [Schema],
    skip: bool,
}

impl Work for Ensure<'_> {
    type Answer = Result<(), Failure>;

    const DEADLINE: Duration = Duration::from_secs(60);

    async fn run(&self, client: &Client) -> Result<Self::Answer, Error> {
        // One node after the other. What was begun and is not committed goes with the connection.
        client.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(8390876194)").await?;
        let mut checked = Ok(());
        for schema in self.schemas {
            if checked.is_ok() {
                checked = schema.ensure(client, self.skip).await?;
            }
        }
        client.batch_execute(if checked.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        Ok(checked)
    }
}

impl Schema {
    async fn ensure(&self, client: &Client, skip: bool) -> Result<Result<(), Failure>, Error> {
        let names = &self.names;
        let found = match look(client, names).await? {
            Ok(found) => found,
            Err(problem) => return Ok(Err(problem)),
        };
        if found != Found::Versions(TABLES_VERSION, FUNCTIONS_VERSION) {
            if skip {
                return Ok(Err(missing(names)));
            }
            self.make(client).await?;
        }
        if let Err(problem) = self.shards(client, skip).await? {
            return Ok(Err(problem));
        }
        if !skip {
            let ahead = i32::from(self.ahead);
            client.query_typed(&names.fill(PARTITIONS), &[(&ahead, Type::INT4)]).await?;
        }
        Ok(Ok(()))
    }

    async fn make(&self, client: &Client) -> Result<(), Error> {
        let Self { names, sql: [tables, functions], .. } = self;
        for sql in [tables, functions, PARTITIONED] {
            client.batch_execute(&names.fill(sql)).await?;
        }
        for (id, version) in [(1, TABLES_VERSION), (2, FUNCTIONS_VERSION)] {
            let values = [(&id as &_, Type::INT4), (&version as &_, Type::INT4)];
            client.execute_typed(&names.fill(SET_VERSION), &values).await?;
        }
        Ok(())
    }

    /// How many shards there are is kept with them: nodes that disagree would not read what the others write.
    async fn shards(&self, client: &Client, skip: bool) -> Result<Result<(), Failure>, Error> {
        let Self { names, shards: wanted, .. } = self;
        let row = client.query_typed_one(&names.fill(SHARDS), &[]).await?;
        let (count, last): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if count == 0 && !skip {
            client.execute_typed(&names.fill(MAKE_SHARDS), &[(&i32::from(*wanted), Type::INT4)]).await?;
        } else if count != i64::from(*wanted) || last + 1 != count {
            return Ok(Err(Failure::lasting(format!(
                "{0}shard_lock has {count} shards, and num_shards says {wanted}: all nodes must say the same, and the table is \
                 to be emptied while none runs to change it",
                names.prefix
            ))));
        }
        Ok(Ok(()))
    }
}

async fn look(client: &Client, names: &Names) -> Result<Result<Found, Failure>, Error> {
    let row: Row = client.query_typed_one(&names.fill(LOOK), &[]).await?;
    let (server, is_there, partitioned): (i32, bool, Option<bool>) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if server < OLDEST {
        return Ok(Err(Failure::lasting(format!("version {} is too old: 13 is needed", server / 10_000))));
    }
    if partitioned == Some(false) {
        let problem = format!("the table {} is there and is not ours: it has no partitions", names.stream);
        return Ok(Err(Failure::lasting(problem)));
    }
    if !is_there {
        return Ok(Ok(Found::Nothing));
    }
    let row = client.query_typed_one(&names.fill(VERSIONS), &[]).await?;
    let (tables, functions): (Option<i32>, Option<i32>) = (row.try_get(0)?, row.try_get(1)?);
    let (tables, functions) = (tables.unwrap_or_default(), functions.unwrap_or_default());
    if tables > TABLES_VERSION || functions > FUNCTIONS_VERSION {
        let problem = format!("the tables {}* are those of a newer release", names.prefix);
        return Ok(Err(Failure::lasting(problem)));
    }
    Ok(Ok(Found::Versions(tables, functions)))
}

fn missing(names: &Names) -> Failure {
    Failure::lasting(format!(
        "the tables {}* are missing or those of another release, and skip_schema_init says to leave them alone",
        names.prefix
    ))
}
