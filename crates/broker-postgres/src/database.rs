//! Connections, and calls over them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Socket};
use tourbillon_broker::BrokerError;
use tourbillon_tls::TlsClient;

use crate::TABLE;
use crate::config::PostgresConfig;
use crate::tls::{Encrypted, Tls};

/// How long the first connection may take.
const START: Duration = Duration::from_secs(10);

/// The most connections.
const CONNECTIONS: usize = 4;

/// Makes the table. Nodes that start at the same time do it one after the other: `IF NOT EXISTS` alone does not.
const CREATE: &str = concat!("SELECT pg_advisory_xact_lock(8390876193); ", include_str!("table.sql"));

/// Whether the table is there, and what we may not do with it.
const LOOK: &str = "SELECT t.oid IS NOT NULL, array_to_string(ARRAY(\
     SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p WHERE NOT has_table_privilege(t.oid, p)), ', ') \
     FROM (SELECT to_regclass('tourbillon_revocations')::oid AS oid) t";

/// Whether the table has its columns.
const PROBE: &str = "SELECT kind, id, name, until, number, life FROM tourbillon_revocations LIMIT 0";

/// PostgreSQL cannot be used as the options say.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL at {at}: {problem}")]
pub struct ConnectError {
    at: String,
    problem: String,
}

/// What went wrong at PostgreSQL: without details, in which there may be names.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct Failure {
    problem: String,
    /// Whether it may go well later.
    passing: bool,
}

impl Failure {
    fn passing(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), passing: true }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Some(said) = error.as_db_error() {
            let problem = format!("{} (SQLSTATE {})", said.message(), said.code().code());
            return Self { problem, passing: is_passing(said.code()) };
        }
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        Self::passing(causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
    }
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        let kind = if failure.passing { Self::unavailable } else { Self::internal };
        kind("PostgreSQL").caused_by(failure)
    }
}

/// Connections, resources, locks and deadlocks, and a server that ends, is started or only read.
fn is_passing(code: &SqlState) -> bool {
    let classes = ["08", "40", "53", "55", "57", "58"];
    *code == SqlState::READ_ONLY_SQL_TRANSACTION || classes.iter().any(|class| code.code().starts_with(class))
}

/// What is asked over a connection.
pub(crate) trait Work: Sync {
    /// What comes back.
    type Answer: Send;

    /// How long it may take, connecting and waiting for others included.
    const DEADLINE: Duration = Duration::from_secs(4);

    /// Asks. May be asked twice: the first connection may have been lost before the answer came.
    fn run(&self, client: &Client) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

type Connection = tokio_postgres::Connection<Socket, Encrypted>;

/// One connection. Nothing is read from it but during a call.
struct Session {
    client: Client,
    connection: Box<Connection>,
}

/// A PostgreSQL that takes us. Clones share their connections.
#[derive(Clone)]
pub struct Postgres(Arc<Shared>);

struct Shared {
    config: PostgresConfig,
    tls: Tls,
    idle: Mutex<Vec<Session>>,
    /// For connections that are in use.
    room: Semaphore,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("at", &self.0.config.at()).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Connects, and makes the table if there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be reached within ten seconds, does not take us, or does not let us have the table.
    ///
    /// # Cancel safety
    ///
    /// The table may be there afterwards.
    pub async fn connect(config: PostgresConfig) -> Result<Self, ConnectError> {
        let at = config.at();
        let wrong = |problem: String| ConnectError { at: at.clone(), problem };
        let tls = match &config.tls {
            Some(tls) => tls.clone(),
            // As `sslmode` means it.
            None => {
                let anybody = TlsClient { insecure_skip_verify: true, ..TlsClient::default() };
                Arc::new(anybody.config().map_err(|error| wrong(error.to_string()))?)
            }
        };
        let shared =
            Shared { config, tls: Tls(tls), idle: Mutex::default(), room: Semaphore::new(CONNECTIONS) };
        match tokio::time::timeout(START, shared.open()).await {
            Ok(Ok(session)) => shared.idle.lock().push(session),
            Ok(Err(failure)) => return Err(wrong(failure.to_string())),
            Err(_) => return Err(wrong("no connection in time".to_owned())),
        }
        Ok(Self(Arc::new(shared)))
    }

    /// Asks, by a connection that is there or a new one.
    pub(crate) async fn call<W: Work>(&self, work: &W) -> Result<W::Answer, BrokerError> {
        match tokio::time::timeout(W::DEADLINE, self.0.attempt(work)).await {
            Ok(answered) => answered.map_err(Into::into),
            Err(_) => Err(Failure::passing("no answer in time").into()),
        }
    }
}

impl Shared {
    async fn attempt<W: Work>(&self, work: &W) -> Result<W::Answer, Failure> {
        let _room = self.room.acquire().await.map_err(|_| Failure::passing("closed"))?;
        let idle = self.idle.lock().pop();
        if let Some(session) = idle
            && let Ok(answer) = self.over(session, work).await
        {
            return Ok(answer);
        }
        // It may have been lost long ago.
        let session = self.open().await?;
        self.over(session, work).await
    }

    /// A connection over which something went wrong is not used again: whatever it has begun ends with it.
    async fn over<W: Work>(&self, mut session: Session, work: &W) -> Result<W::Answer, Failure> {
        let Session { client, connection } = &mut session;
        let answer = drive(connection, work.run(client)).await?;
        self.idle.lock().push(session);
        Ok(answer)
    }

    async fn open(&self) -> Result<Session, Failure> {
        let (client, connection) = self.config.connection.connect(self.tls.clone()).await?;
        let mut session = Session { client, connection: Box::new(connection) };
        let Session { client, connection } = &mut session;
        drive(connection, async { Ok(prepare(client).await) }).await??;
        Ok(session)
    }
}

/// Lets a connection send and receive until there is an answer.
async fn drive<R>(
    connection: &mut Connection,
    work: impl Future<Output = Result<R, Error>>,
) -> Result<R, Failure> {
    tokio::select! {
        biased;
        answer = work => answer.map_err(Into::into),
        ended = connection => match ended {
            Ok(()) => Err(Failure::passing("the connection has ended")),
            Err(error) => Err(error.into()),
        },
    }
}

/// Sees to it that there is a table that we may use.
async fn prepare(client: &Client) -> Result<(), Failure> {
    let wrong = |problem: String| Failure { problem, passing: false };
    let found = client.query_typed_one(LOOK, &[]).await?;
    let (is_there, denied): (bool, String) = (found.try_get(0)?, found.try_get(1)?);
    if !is_there {
        return client.batch_execute(CREATE).await.map_err(|error| {
            let failure = Failure::from(error);
            let problem = format!("the table {TABLE} is missing and cannot be made: {failure}");
            Failure { problem, passing: failure.passing }
        });
    }
    if !denied.is_empty() {
        return Err(wrong(format!("the table {TABLE} is there, but without the rights to {denied}")));
    }
    match client.query_typed(PROBE, &[]).await {
        Ok(_) => Ok(()),
        Err(error) if error.as_db_error().is_some() => {
            Err(wrong(format!("the table {TABLE} is another than ours: {}", Failure::from(error))))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_called_the_same_everywhere() {
        for text in [CREATE, LOOK, PROBE] {
            assert_eq!(text.matches(TABLE).count(), 1, "{text}");
        }
    }

    #[test]
    fn failures_that_pass_are_told_from_others() {
        for code in ["08006", "40P01", "53300", "55P03", "57P01", "57P03", "25006"] {
            assert!(is_passing(&SqlState::from_code(code)), "{code}");
        }
        for code in ["28P01", "42501", "42P01", "22021", "25001"] {
            assert!(!is_passing(&SqlState::from_code(code)), "{code}");
        }
    }
}
