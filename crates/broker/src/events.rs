//! What a broker tells its node.

use std::fmt;
use std::sync::Arc;

use tourbillon_types::{Channel, ClientInfo, Publication};

/// The node's ear. Calls return quickly, never block on a connection and do not call the broker back: a broker may
/// hold locks that keep a channel's order.
pub trait BrokerEvents: Send + Sync + 'static {
    /// A publication of a channel, in the order of the channel's stream.
    fn publication(&self, channel: &Channel, publication: Arc<Publication>);

    /// A publication of which subscribers may be sent what is different from `previous`, the one before it in the
    /// channel's stream; `None` if that is not known (DELTA-02). In the same order as all others. By default as if it
    /// were [any other](Self::publication).
    fn delta_publication(
        &self,
        channel: &Channel,
        publication: Arc<Publication>,
        previous: Option<Arc<Publication>>,
    ) {
        let _ = previous;
        self.publication(channel, publication);
    }

    /// Somebody came into a channel.
    fn join(&self, channel: &Channel, info: Arc<ClientInfo>);

    /// Somebody left a channel.
    fn leave(&self, channel: &Channel, info: Arc<ClientInfo>);

    /// Events of this channel may have been lost: positioned subscribers must be told. `None`: of any channel.
    fn position_lost(&self, channel: Option<&Channel>);
}

/// A shared handle to the node's ear.
#[derive(Clone)]
pub struct EventSink(Arc<dyn BrokerEvents>);

impl EventSink {
    /// A handle to this receiver.
    pub fn new(events: Arc<dyn BrokerEvents>) -> Self {
        Self(events)
    }
}

impl std::ops::Deref for EventSink {
    type Target = dyn BrokerEvents;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSink")
    }
}
