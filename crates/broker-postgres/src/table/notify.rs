//! Hears that there is something new (PGS-06).

use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;

use crate::config::PostgresConfig;
use crate::database::{ConnectError, encryption};
use crate::session::Failure;
use crate::tls::Tls;

/// How long connecting may take.
const START: Duration = Duration::from_secs(10);

/// The first and the longest pause after a failure. Meanwhile it is polled.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// A connection of its own that listens.
pub(crate) struct Listener {
    config: PostgresConfig,
    tls: Tls,
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
        let tls = Tls(encryption(&config)?);
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
        let connecting = tokio::time::timeout(START, self.config.connection.connect(self.tls.clone()));
        let (client, mut connection) = match connecting.await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return error.into(),
            Err(_) => return Failure::passing("no connection in time"),
        };
        let receive = async {
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(_))) => news.notify_one(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Failure::from(error),
                    None => return Failure::passing("the connection has ended"),
                }
            }
        };
        let listen = async {
            match tokio::time::timeout(START, client.batch_execute(&self.listen)).await {
                Ok(Ok(())) => {
                    *heard = true;
                    // What came before.
                    news.notify_one();
                    std::future::pending().await
                }
                Ok(Err(error)) => Failure::from(error),
                Err(_) => Failure::passing("no answer in time"),
            }
        };
        tokio::select! {
            failure = receive => failure,
            failure = listen => failure,
        }
    }
}
