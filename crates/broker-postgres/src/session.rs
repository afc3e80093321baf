//! One connection.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Error, Socket};
use tourbillon_broker::BrokerError;
use tourbillon_tls::rustls::ClientConfig;

use crate::config::PostgresConfig;
use crate::database::encryption;
use crate::tls::{Encrypted, Tls};

/// What went wrong at PostgreSQL: without details, in which there may be names.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Failure {
    problem: String,
    kind: Kind,
    /// Whether it is only that others did something at the same time.
    concurrent: bool,
    /// Whether somebody else had what was waited for too long.
    locked: bool,
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
        Self { problem: problem.into(), kind: Kind::Passing, concurrent: false, locked: false }
    }

    pub(crate) fn lasting(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), kind: Kind::Lasting, concurrent: false, locked: false }
    }

    /// PostgreSQL did not answer in time.
    #[must_use]
    pub fn late() -> Self {
        Self::passing("no answer in time")
    }

    /// Whether somebody else had what was waited for too long.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.locked
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
            let locked = *said.code() == SqlState::LOCK_NOT_AVAILABLE;
            return Self { problem, kind: kind_of(said.code()), concurrent, locked };
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

type Connection = tokio_postgres::Connection<Socket, Encrypted>;

/// One connection. Nothing is read from it but during a call. It has no deadlines of its own, and ends with this.
pub struct PostgresSession {
    client: Client,
    connection: Box<Connection>,
}

impl fmt::Debug for PostgresSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSession").finish_non_exhaustive()
    }
}

impl PostgresSession {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Why there is no connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn open(config: &PostgresConfig) -> Result<Self, Failure> {
        let tls = encryption(config).map_err(|error| Failure::lasting(error.to_string()))?;
        Self::open_with(config, tls).await
    }

    pub(crate) async fn open_with(config: &PostgresConfig, tls: Arc<ClientConfig>) -> Result<Self, Failure> {
        let (client, connection) = config.connection.connect(Tls(tls)).await?;
        Ok(Self { client, connection: Box::new(connection) })
    }

    /// Lets the connection send and receive until there is an answer. After an error nothing is known of what was begun:
    /// it ends with the connection.
    ///
    /// # Errors
    ///
    /// The work's, or that the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// What was asked for may be done, as after an error.
    pub async fn run<R>(
        &mut self,
        work: impl AsyncFnOnce(&Client) -> Result<R, Error>,
    ) -> Result<R, Failure> {
        let Self { client, connection } = self;
        tokio::select! {
            biased;
            answer = work(client) => answer.map_err(Into::into),
            ended = connection => Err(over(ended)),
        }
    }

    /// Waits until the connection ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but notifications.
    pub async fn ended(&mut self) -> Failure {
        over((&mut *self.connection).await)
    }

    /// Waits for a notification, and says what it says.
    ///
    /// # Errors
    ///
    /// That the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn notified(&mut self) -> Result<String, Failure> {
        loop {
            match poll_fn(|cx| self.connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(it))) => return Ok(it.payload().to_owned()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(over(Ok(()))),
            }
        }
    }
}

fn over(ended: Result<(), Error>) -> Failure {
    match ended {
        Ok(()) => Failure::passing("the connection has ended"),
        Err(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
