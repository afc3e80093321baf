//! A broker and the optional parts around it.

use std::sync::Arc;

use crate::{
    Broker, Capabilities, History, Presence, SharedBroker, SharedHistory, SharedPresence, broker::Parts,
};

/// What a node runs on: a broker and the parts that go with it.
///
/// A broker that has parts of its own brings them along; [`with_presence`](Self::with_presence) and
/// [`with_history`](Self::with_history) replace them, so that each may be kept elsewhere (ENG-03).
#[derive(Clone, Debug)]
pub struct Engine {
    broker: SharedBroker,
    history: Option<SharedHistory>,
    presence: Option<SharedPresence>,
}

impl Engine {
    /// An engine of this broker and the parts that it brings.
    pub fn new(broker: impl Broker) -> Self {
        Self::from_shared(Arc::new(broker))
    }

    /// An engine of a broker that is shared already, and the parts that it brings.
    #[must_use]
    pub fn from_shared(broker: SharedBroker) -> Self {
        let Parts { history, presence } = broker.clone().parts();
        Self { broker, history, presence }
    }

    /// The same engine with its streams read from here. They must be those that the broker publishes to.
    #[must_use]
    pub fn with_history(self, history: impl History) -> Self {
        Self { history: Some(Arc::new(history)), ..self }
    }

    /// The same engine with presence kept here.
    #[must_use]
    pub fn with_presence(self, presence: impl Presence) -> Self {
        Self { presence: Some(Arc::new(presence)), ..self }
    }

    /// The broker.
    #[must_use]
    pub const fn broker(&self) -> &SharedBroker {
        &self.broker
    }

    /// The streams, if there are any.
    #[must_use]
    pub const fn history(&self) -> Option<&SharedHistory> {
        self.history.as_ref()
    }

    /// Who is in which channel, if that is kept.
    #[must_use]
    pub const fn presence(&self) -> Option<&SharedPresence> {
        self.presence.as_ref()
    }

    /// What the broker can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.broker.capabilities()
    }
}

impl<B: Broker> From<B> for Engine {
    fn from(broker: B) -> Self {
        Self::new(broker)
    }
}
