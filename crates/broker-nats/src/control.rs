//! Messages between nodes (ENG-06).

use std::sync::OnceLock;

use bytes::Bytes;
use tourbillon_broker::{BrokerError, Control, ControlSink, Receiver, Stop};
use tourbillon_types::{Channel, NodeId};

use crate::client::{Client, Receive};
use crate::config::NatsConfig;

/// Carries messages between nodes, over a connection of its own: a flood of publications does not hold them up.
#[derive(Debug)]
pub struct NatsControl {
    client: Client<Messages>,
    prefix: String,
}

#[derive(Debug)]
struct Messages(OnceLock<ControlSink>);

impl Receive for Messages {
    fn subject(&self, name: &str) -> String {
        name.to_owned()
    }

    fn message(&self, _: &Channel, _: &Bytes, payload: Bytes) {
        if let Some(sink) = self.0.get() {
            sink.message(payload);
        }
    }

    fn back(&self) {}
}

impl NatsControl {
    /// A way to the other nodes that have the same prefix. Nothing is connected yet: [`run`](Control::run) does that.
    #[must_use]
    pub fn new(config: NatsConfig) -> Self {
        let prefix = config.prefix.clone();
        // A node hears nothing of itself.
        Self { client: Client::new(config, false, Messages(OnceLock::new())), prefix }
    }

    /// Returns once messages arrive.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn connected(&self) {
        self.client.connected().await;
    }

    fn of_all(&self) -> String {
        format!("{}.control", self.prefix)
    }

    fn of(&self, node: NodeId) -> String {
        format!("{}.node.{node}", self.prefix)
    }
}

impl Control for NatsControl {
    fn attach(&self, node: NodeId, sink: ControlSink) {
        if self.client.receive().0.set(sink).is_ok() {
            self.client.want(Channel::from(self.of_all()));
            self.client.want(Channel::from(self.of(node)));
        }
    }

    async fn send(&self, to: Receiver, message: Bytes) -> Result<(), BrokerError> {
        let subject = match to {
            Receiver::Node(node) => self.of(node),
            Receiver::Others => self.of_all(),
        };
        self.client.publish(&subject, &message).await
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        self.client.run(stop).await;
        Ok(())
    }
}
