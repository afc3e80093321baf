//! Hears that there is something new (PGS-06).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tourbillon_tls::rustls::ClientConfig;

use crate::config::PostgresConfig;
use crate::database::{ConnectError, encryption};
use crate::session::{Failure, PostgresSession};

/// How long it may take until one listens.
const START: Duration = Duration::from_secs(10);

/// The first and the longest pause after a failure. Meanwhile it is polled.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// A connection of its own that listens.
pub(crate) struct Listener {
    config: PostgresConfig,
    tls: Arc<ClientConfig>,
    listen: String,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("at", &self.config.at()).finish_non_exhaustive()
    }
}

impl Listener {
    /// Listens to this name, which needs no quotes.
    pub(crate) fn new(config: PostgresConfig, name: &str) -> Result<Self, ConnectError> {
        let tls = encryption(&config)?;
        Ok(Self { config, tls, listen: format!("LISTEN {name}") })
    }

    /// Tells of news, for ever.
    pub(crate) async fn run(&self, news: &Notify) {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        loop {
            let mut heard = false;
            let failure = self.listen(news, &mut heard).await;
            if heard {
                pause = shortest;
            }
            if pause == shortest {
                tracing::warn!(error = %failure, "PostgreSQL does not tell of what is new: it is polled");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Listens until that fails.
    async fn listen(&self, news: &Notify, heard: &mut bool) -> Failure {
        let opened = async {
            let mut session = PostgresSession::open_with(&self.config, self.tls.clone()).await?;
            session.run(async |client| client.batch_execute(&self.listen).await).await?;
            Ok::<_, Failure>(session)
        };
        let mut session = match tokio::time::timeout(START, opened).await {
            Ok(Ok(session)) => session,
            Ok(Err(failure)) => return failure,
            Err(_) => return Failure::late(),
        };
        *heard = true;
        // What came before.
        news.notify_one();
        loop {
            match session.notified().await {
                Ok(_) => news.notify_one(),
                Err(failure) => return failure,
            }
        }
    }
}
