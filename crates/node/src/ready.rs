//! Whether a node can do its work: what a load balancer wants to know.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::timeout;
use tourbillon_broker::{BoxFuture, BrokerError};

use crate::Node;

/// How long a part may take to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a node depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// What carries publications and keeps streams.
    Broker,
    /// What keeps who is where, if that is elsewhere.
    Presence,
    /// The way to the other nodes, if that is elsewhere.
    Control,
    /// What keeps keyed channels.
    Maps,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "broker",
            Self::Presence => "presence",
            Self::Control => "control",
            Self::Maps => "map_broker",
        })
    }
}

/// Something that is in the way of a node's work.
#[derive(Debug, thiserror::Error)]
#[error("{part}: {error}")]
#[non_exhaustive]
pub struct Unready {
    /// The part that cannot do its own.
    pub part: Part,
    /// Why not, in words that may be shown to anybody.
    pub error: BrokerError,
}

/// Parts that will do no more work.
#[derive(Debug, Default)]
pub(crate) struct Ended(Mutex<Vec<Part>>);

impl Ended {
    /// Notes that a part stopped for good, which was not wanted.
    pub(crate) fn add(&self, part: Part, error: &BrokerError) {
        tracing::error!(%error, "{part} stopped for good");
        self.0.lock().push(part);
    }
}

impl Node {
    /// What is in the way of the node's work at this moment: parts that cannot be reached, or that stopped for good.
    /// Nothing, if calls are served and publications of other nodes arrive. Asks the parts; returns within 2 s.
    ///
    /// # Cancel safety
    ///
    /// May be dropped.
    pub async fn unready(&self) -> Vec<Unready> {
        let (engine, ended) = (&self.shared.engine, self.shared.ended.0.lock().clone());
        let parts: [Option<(Part, BoxFuture<'_, _>)>; 4] = [
            Some((Part::Broker, engine.broker().ready())),
            engine.presence().map(|presence| (Part::Presence, presence.ready())),
            engine.control().map(|control| (Part::Control, control.ready())),
            engine.maps().map(|maps| (Part::Maps, maps.ready())),
        ];
        let ended = &ended;
        let asked = parts.into_iter().flatten().map(|(part, ready)| async move {
            let ready = if ended.contains(&part) {
                Err(BrokerError::internal("it stopped for good"))
            } else {
                let late = |_| Err(BrokerError::unavailable("no answer in time"));
                timeout(PATIENCE, ready).await.unwrap_or_else(late)
            };
            ready.err().map(|error| Unready { part, error })
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Whether the node turns new connections away, as it is about to stop.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.shared.is_draining()
    }
}
