//! Messages between nodes (ENG-06). What is for all goes to `<prefix>.control`, what is for one to `<prefix>.node.<id>`.
//!
//! Whoever publishes to all hears itself. Messages for all name their sender's subject as the one to answer to, so that a
//! node knows its own.

use std::sync::OnceLock;

use async_nats::Message;
use bytes::Bytes;
use tourbillon_broker::{BrokerError, Control, ControlSink, Receiver, Stop};
use tourbillon_types::{Channel, NodeId};

use crate::client::{Client, Receive};
use crate::config::NatsConfig;
use crate::line::Outgoing;

/// Carries messages between nodes, over a connection of its own: a flood of publications does not hold them up.
#[derive(Debug)]
pub struct NatsControl {
    client: Client<Messages>,
    prefix: String,
}

#[derive(Debug, Default)]
struct Messages(OnceLock<Place>);

/// Where this node's messages come from, and where they go.
#[derive(Debug)]
struct Place {
    subject: String,
    sink: ControlSink,
}

impl Receive for Messages {
    fn subject(&self, name: &str) -> String {
        name.to_owned()
    }

    fn message(&self, _: &Channel, Message { reply, payload, .. }: Message) {
        if let Some(Place { subject, sink }) = self.0.get()
            && reply.as_deref() != Some(subject)
        {
            sink.message(payload);
        }
    }

    fn lost(&self) {}
}

impl NatsControl {
    /// A way to the other nodes that have the same prefix. Nothing is connected yet: [`run`](Control::run) does that.
    #[must_use]
    pub fn new(config: NatsConfig) -> Self {
        let prefix = config.prefix.clone();
        Self { client: Client::new(config, Messages::default()), prefix }
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
        let subject = self.of(node);
        if self.client.receive().0.set(Place { subject: subject.clone(), sink }).is_ok() {
            self.client.want(Channel::from(self.of_all()));
            self.client.want(Channel::from(subject));
        }
    }

    async fn send(&self, to: Receiver, message: Bytes) -> Result<(), BrokerError> {
        let (subject, reply) = match to {
            Receiver::Node(node) => (self.of(node), None),
            Receiver::Others => {
                (self.of_all(), self.client.receive().0.get().map(|place| place.subject.clone()))
            }
        };
        self.client.publish(Outgoing { subject, reply, payload: message }).await
    }

    async fn ready(&self) -> Result<(), BrokerError> {
        self.client.ready().await
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        self.client.run(stop).await;
        Ok(())
    }
}
