//! Tables that grow by the day, which all nodes read as they do.

pub(crate) mod names;
pub(crate) mod notify;
pub(crate) mod outbox;
pub(crate) mod schema;
pub(crate) mod upkeep;

use futures_util::future::{join3, pending};
use tourbillon_broker::{BrokerError, Stop};

use crate::config::PostgresConfig;
use crate::database::{ConnectError, Pool};
use notify::Listener;
use outbox::{Feed, Outbox, Pace};
use upkeep::Upkeep;

/// What a node does with such a table: it reads what is new, sooner if it is told, and sees to partitions.
#[derive(Debug)]
pub(crate) struct Table<F> {
    outbox: Outbox<F>,
    upkeep: Upkeep,
    listener: Option<Listener>,
}

impl<F: Feed> Table<F> {
    /// A table that is there. `notify` is where one listens to what PostgreSQL tells, if one does.
    pub(crate) async fn open(
        postgres: PostgresConfig,
        pace: Pace,
        feed: F,
        notify: Option<PostgresConfig>,
        upkeep: Upkeep,
    ) -> Result<Self, ConnectError> {
        // Who writes does not keep others from hearing.
        let reading = Pool::new(postgres, 1, None)?;
        let (at, names) = (reading.at(), upkeep.names.clone());
        let listener = notify.map(|place| Listener::new(place, &names.notifications())).transpose()?;
        let outbox = Outbox::open(reading, names, pace, feed).await;
        let outbox = outbox.map_err(|failure| ConnectError::new(at, failure))?;
        Ok(Self { outbox, upkeep, listener })
    }

    /// What rows are for.
    pub(crate) const fn feed(&self) -> &F {
        &self.outbox.feed
    }

    /// Whether what is new arrives.
    pub(crate) fn ready(&self) -> Result<(), BrokerError> {
        self.outbox.ready()
    }

    /// Works until `stop` resolves.
    pub(crate) async fn run(&self, stop: Stop) {
        let listen = async {
            match &self.listener {
                Some(listener) => listener.run(&self.outbox.news).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            _ = join3(self.outbox.run(), self.upkeep.run(), listen) => {}
        }
    }
}
