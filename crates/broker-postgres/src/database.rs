//! Connections, and calls over them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Socket};
use tourbillon_broker::BrokerError;
use tourbillon_tls::TlsClient;
use tourbillon_tls::rustls::ClientConfig;

use crate::TABLE;
use crate::config::PostgresConfig;
use crate::tls::{Encrypted, Tls};

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

/// What went wrong at PostgreSQL: without details, in which there may be names.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct Failure {
    problem: String,
    kind: Kind,
    /// Whether it is only that others did something at the same time.
    concurrent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It may go well later.
    Passing,
    /// It is about what was sent.
    Refused,
    Lasting,
}

impl Failure {
    pub(crate) fn passing(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), kind: Kind::Passing, concurrent: false }
    }

    pub(crate) fn lasting(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), kind: Kind::Lasting, concurrent: false }
    }

    /// The same failure, with what it was about in front.
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        Self { problem: format!("{what}: {}", self.problem), ..self }
    }

    /// Whether the same may go well when it is tried again at once.
    pub(crate) const fn is_of_concurrency(&self) -> bool {
        self.concurrent
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Some(said) = error.as_db_error() {
            let problem = format!("{} (SQLSTATE {})", said.message(), said.code().code());
            let concurrent =
                [SqlState::T_R_DEADLOCK_DETECTED, SqlState::INTERNAL_ERROR].contains(said.code());
            return Self { problem, kind: kind_of(said.code()), concurrent };
        }
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        Self::passing(causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
    }
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        let error = match failure.kind {
            Kind::Passing => Self::unavailable("PostgreSQL"),
            Kind::Refused => Self::invalid("PostgreSQL cannot keep it"),
            Kind::Lasting => Self::internal("PostgreSQL"),
        };
        error.caused_by(failure)
    }
}

/// Connections, resources, locks and deadlocks, and a server that ends, is started or only read, pass. Data that cannot be is
/// refused.
fn kind_of(code: &SqlState) -> Kind {
    let classes = ["08", "40", "53", "55", "57", "58"];
    let passes = *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || classes.iter().any(|class| code.code().starts_with(class));
    match code.code().get(..2) {
        _ if passes => Kind::Passing,
        Some("22") => Kind::Refused,
        _ => Kind::Lasting,
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

type Connection = tokio_postgres::Connection<Socket, Encrypted>;

/// One connection. Nothing is read from it but during a call.
struct Session {
    client: Client,
    connection: Box<Connection>,
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
    tls: Tls,
    prepare: Option<Prepare>,
    idle: Mutex<Vec<Session>>,
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
        let tls = Tls(encryption(&config)?);
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

    /// As [`call`](Self::call), with the failure in words.
    pub(crate) async fn ask<W: Work>(&self, work: &W) -> Result<W::Answer, Failure> {
        match tokio::time::timeout(W::DEADLINE, self.0.attempt(work)).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure::passing("no answer in time")),
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
    fn idle(&self) -> Option<Session> {
        loop {
            let mut session = self.idle.lock().pop()?;
            if (&mut *session.connection).now_or_never().is_none() {
                return Some(session);
            }
        }
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
        if let Some(prepare) = self.prepare {
            drive(connection, async { Ok(prepare(client).await) }).await??;
        }
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

    #[test]
    fn failures_that_pass_are_told_from_others() {
        for code in ["08006", "40P01", "53300", "55P03", "57P01", "57P03", "25006"] {
            assert_eq!(kind_of(&SqlState::from_code(code)), Kind::Passing, "{code}");
        }
        for code in ["28P01", "42501", "42P01", "25001"] {
            assert_eq!(kind_of(&SqlState::from_code(code)), Kind::Lasting, "{code}");
        }
        for code in ["22021", "22P02", "22P05", "22004"] {
            assert_eq!(kind_of(&SqlState::from_code(code)), Kind::Refused, "{code}");
        }
    }
}
