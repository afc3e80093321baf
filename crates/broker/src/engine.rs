//! A broker and the optional parts around it.

use std::sync::Arc;

use crate::{
    Broker, Capabilities, Control, History, MapStore, Presence, SharedBroker, SharedControl, SharedHistory,
    SharedMapStore, SharedPresence, broker::Parts,
};

/// What a node runs on: a broker and the parts that go with it.
///
/// A broker that has parts of its own brings them along; [`with_presence`](Self::with_presence),
/// [`with_history`](Self::with_history) and [`with_control`](Self::with_control) replace them, so that each may be kept
/// elsewhere (ENG-03, ENG-05).
#[derive(Clone, Debug)]
pub struct Engine {
    broker: SharedBroker,
    history: Option<SharedHistory>,
    presence: Option<SharedPresence>,
    control: Option<SharedControl>,
    maps: Option<SharedMapStore>,
}

impl Engine {
    /// An engine of this broker and the parts that it brings.
    pub fn new(broker: impl Broker) -> Self {
        Self::from_shared(Arc::new(broker))
    }

    /// An engine of a broker that is shared already, and the parts that it brings.
    #[must_use]
    pub fn from_shared(broker: SharedBroker) -> Self {
        let Parts { history, presence, control } = broker.clone().parts();
        Self { broker, history, presence, control, maps: None }
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

    /// The same engine with this way to the other nodes.
    #[must_use]
    pub fn with_control(self, control: impl Control) -> Self {
        Self { control: Some(Arc::new(control)), ..self }
    }

    /// The same engine with keyed channels, kept here. Without them there are none.
    #[must_use]
    pub fn with_maps(self, maps: impl MapStore) -> Self {
        Self { maps: Some(Arc::new(maps)), ..self }
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

    /// The way to the other nodes, if there may be any. Without it a node stands alone.
    #[must_use]
    pub const fn control(&self) -> Option<&SharedControl> {
        self.control.as_ref()
    }

    /// The keyed channels, if there are any (ENG-04).
    #[must_use]
    pub const fn maps(&self) -> Option<&SharedMapStore> {
        self.maps.as_ref()
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
