//! Connections, and calls over them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_postgres::{Client, Error};
use tourbillon_broker::BrokerError;
use tourbillon_tls::TlsClient;
use tourbillon_tls::rustls::ClientConfig;

use crate::TABLE;
use crate::config::PostgresConfig;
use crate::session::{Failure, PostgresSession};

/// How long the first connection may take.
const START: Duration = Duration::from_secs(10);

/// The most connections for records.
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

impl ConnectError {
    pub(crate) fn new(at: String, problem: impl ToString) -> Self {
        Self { at, problem: problem.to_string() }
    }
}

/// What is asked over a connection.
pub(crate) trait Work: Sync {
    /// What comes back.
    type Answer: Send;

    /// How long it may take, connecting and waiting for others included.
    const DEADLINE: Duration = Duration::from_secs(4);

    /// Whether it may be asked twice: the first connection may have been lost before the answer came.
    const AGAIN: bool = true;

    /// Asks.
    fn run(&self, client: &Client) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// Whether there is an answer.
struct Ping;

impl Work for Ping {
    type Answer = ();

    async fn run(&self, client: &Client) -> Result<(), Error> {
        client.query_typed("SELECT 1", &[]).await.map(drop)
    }
}

/// What is looked at when a connection is new.
type Prepare = for<'a> fn(&'a Client) -> BoxFuture<'a, Result<(), Failure>>;

/// A PostgreSQL that takes us. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Postgres(Pool);

/// Connections, of which there are so many at most. Clones share them.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    config: PostgresConfig,
    tls: Arc<ClientConfig>,
    prepare: Option<Prepare>,
    idle: Mutex<Vec<PostgresSession>>,
    /// For connections that are in use.
    room: Semaphore,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("at", &self.at()).finish_non_exhaustive()
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
        let pool = Pool::new(config, CONNECTIONS, Some(|client| Box::pin(prepare(client))))?;
        pool.begin().await?;
        Ok(Self(pool))
    }

    /// Asks, by a connection that is there or a new one.
    pub(crate) async fn call<W: Work>(&self, work: &W) -> Result<W::Answer, BrokerError> {
        self.0.call(work).await
    }
}

impl Pool {
    /// Connects to nothing yet.
    pub(crate) fn new(
        config: PostgresConfig,
        size: usize,
        prepare: Option<Prepare>,
    ) -> Result<Self, ConnectError> {
        let tls = encryption(&config)?;
        let room = Semaphore::new(size.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self(Arc::new(Shared { config, tls, prepare, idle: Mutex::default(), room })))
    }

    /// The first connection.
    pub(crate) async fn begin(&self) -> Result<(), ConnectError> {
        let wrong = |problem: String| ConnectError::new(self.at(), problem);
        match tokio::time::timeout(START, self.0.open()).await {
            Ok(Ok(session)) => self.0.idle.lock().push(session),
            Ok(Err(failure)) => return Err(wrong(failure.to_string())),
            Err(_) => return Err(wrong("no connection in time".to_owned())),
        }
        Ok(())
    }

    /// The hosts with their ports, for messages.
    pub(crate) fn at(&self) -> String {
        self.0.config.at()
    }

    /// Asks, by a connection that is there or a new one.
    pub(crate) async fn call<W: Work>(&self, work: &W) -> Result<W::Answer, BrokerError> {
        self.ask(work).await.map_err(Into::into)
    }

    /// Whether calls are answered.
    pub(crate) async fn ready(&self) -> Result<(), BrokerError> {
        self.call(&Ping).await
    }

    /// As [`call`](Self::call), with the failure in words.
    pub(crate) async fn ask<W: Work>(&self, work: &W) -> Result<W::Answer, Failure> {
        match tokio::time::timeout(W::DEADLINE, self.0.attempt(work)).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure::late()),
        }
    }
}

/// How connections are encrypted, if they are.
pub(crate) fn encryption(config: &PostgresConfig) -> Result<Arc<ClientConfig>, ConnectError> {
    if let Some(tls) = &config.tls {
        return Ok(tls.clone());
    }
    // As `sslmode` means it.
    let anybody = TlsClient { insecure_skip_verify: true, ..TlsClient::default() };
    anybody.config().map(Arc::new).map_err(|error| ConnectError::new(config.at(), error))
}

impl Shared {
    async fn attempt<W: Work>(&self, work: &W) -> Result<W::Answer, Failure> {
        let _room = self.room.acquire().await.map_err(|_| Failure::passing("closed"))?;
        if !W::AGAIN {
            // So that it is seen which connections have been lost.
            tokio::task::yield_now().await;
        }
        let idle = self.idle();
        if let Some(session) = idle {
            match self.over(session, work).await {
                Err(_) if W::AGAIN => {}
                answered => return answered,
            }
        }
        // It may have been lost long ago.
        let session = self.open().await?;
        self.over(session, work).await
    }

    /// A connection of which nobody knows that it was lost.
    fn idle(&self) -> Option<PostgresSession> {
        loop {
            let mut session = self.idle.lock().pop()?;
            if session.ended().now_or_never().is_none() {
                return Some(session);
            }
        }
    }

    /// A connection over which something went wrong is not used again: whatever it has begun ends with it.
    async fn over<W: Work>(&self, mut session: PostgresSession, work: &W) -> Result<W::Answer, Failure> {
        let answer = session.run(async |client| work.run(client).await).await?;
        self.idle.lock().push(session);
        Ok(answer)
    }

    async fn open(&self) -> Result<PostgresSession, Failure> {
        let mut session = PostgresSession::open_with(&self.config, self.tls.clone()).await?;
        if let Some(prepare) = self.prepare {
            session.run(async |client| Ok(prepare(client).await)).await??;
        }
        Ok(session)
    }
}

/// Sees to it that there is a table that we may use.
async fn prepare(client: &Client) -> Result<(), Failure> {
    let found = client.query_typed_one(LOOK, &[]).await?;
    let (is_there, denied): (bool, String) = (found.try_get(0)?, found.try_get(1)?);
    if !is_there {
        return client.batch_execute(CREATE).await.map_err(|error| {
            let what = format!("the table {TABLE} is missing and cannot be made");
            Failure::from(error).about(what)
        });
    }
    if !denied.is_empty() {
        return Err(Failure::lasting(format!(
            "the table {TABLE} is there, but without the rights to {denied}"
        )));
    }
    match client.query_typed(PROBE, &[]).await {
        Ok(_) => Ok(()),
        Err(error) if error.as_db_error().is_some() => {
            Err(Failure::lasting(format!("the table {TABLE} is another than ours: {}", Failure::from(error))))
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
}
