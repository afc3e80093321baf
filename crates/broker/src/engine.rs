//! A broker and the optional parts around it.

use std::sync::Arc;

use crate::{Broker, SharedBroker};

/// What a node runs on: a broker and the parts that go with it.
#[derive(Clone, Debug)]
pub struct Engine {
    broker: SharedBroker,
}

impl Engine {
    /// An engine of this broker and nothing else.
    pub fn new(broker: impl Broker) -> Self {
        Self { broker: Arc::new(broker) }
    }

    /// An engine of a broker that is shared already.
    #[must_use]
    pub const fn from_shared(broker: SharedBroker) -> Self {
        Self { broker }
    }

    /// The broker.
    #[must_use]
    pub const fn broker(&self) -> &SharedBroker {
        &self.broker
    }
}

impl<B: Broker> From<B> for Engine {
    fn from(broker: B) -> Self {
        Self::new(broker)
    }
}
