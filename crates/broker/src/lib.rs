//! The seam between a node and the message broker behind it.
//!
//! A [`Broker`] carries publications between nodes and, where it can, keeps a channel's stream. An [`Engine`]
//! bundles a broker with the optional parts; a configuration that needs a part that the engine lacks fails at
//! start. Implementers write `async fn`s against [`Broker`]; the node holds the object-safe mirror
//! [`DynBroker`], which every `Broker` has for free.
//!
//! # What an implementer may get wrong
//!
//! * **Order.** Publications of one channel must reach [`BrokerEvents::publication`] in the order of their
//!   offsets. A broker that delivers out of order makes positioned subscribers resubscribe for nothing.
//! * **Loss.** A broker that may have lost events of a channel (a reconnect, a full buffer) must say so with
//!   [`BrokerEvents::position_lost`]. Silence there is silent loss for subscribers.
//! * **Deadlines.** A call that cannot be answered ends with [`BrokerError::unavailable`]; the node adds a
//!   deadline of its own, and dropping a future half way must leave the broker usable.

mod engine;
mod error;
mod events;
mod publish;

#[cfg(feature = "conformance")]
pub mod conformance;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use engine::Engine;
pub use error::BrokerError;
pub use events::{BrokerEvents, EventSink};
pub use publish::{Attempt, Publish, PublishOptions, Published, Suppressed};
use tourbillon_types::Channel;
pub use tourbillon_types::{HistoryPolicy, HistoryQuery, Page};

/// What a broker can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Several nodes may share it.
    pub multi_node: bool,
    /// It must be told which channels this node wants; otherwise every publication reaches every node.
    pub needs_interest: bool,
    /// It keeps streams: offsets, epochs, history.
    pub history: bool,
    /// It honours [`PublishOptions::idempotency_key`].
    pub idempotency: bool,
    /// It honours [`PublishOptions::version`].
    pub versions: bool,
}

/// Publish and subscribe.
///
/// Dropping the future of any method leaves the broker usable; whether the call took effect is then unknown.
pub trait Broker: Debug + Send + Sync + 'static {
    /// What this broker can do. Constant over its life.
    fn capabilities(&self) -> Capabilities;

    /// Publishes into a channel.
    ///
    /// Where the broker keeps streams and the publication asks for it, appending and handing to subscribers are
    /// one step per channel: of two publications, the one with the lower offset is delivered first everywhere.
    /// When the answer arrives, delivery has been started, not finished.
    ///
    /// # Errors
    ///
    /// After a [transient](BrokerError::is_transient) error the publication may have taken effect; publishing
    /// again with the same idempotency key is safe where the broker supports it.
    fn publish(&self, publish: Publish) -> impl Future<Output = Result<Published, BrokerError>> + Send;

    /// What [`publish`](Self::publish) does, if it can be done without waiting: no future is made for it then.
    /// Called before every `publish`. Default: it cannot.
    fn publish_now(&self, publish: Publish) -> Attempt {
        Attempt::Later(publish)
    }

    /// Starts the delivery of these channels' publications to this node. When the answer arrives, publications
    /// made from then on are delivered. Subscribing twice is harmless.
    ///
    /// # Errors
    ///
    /// Either all of the channels are subscribed or the call failed and none need be.
    fn subscribe(&self, channels: &[Channel]) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Ends the delivery of these channels' publications. Publications already on their way may still arrive.
    /// Unsubscribing what is not subscribed is harmless.
    ///
    /// # Errors
    ///
    /// The channels may still be subscribed.
    fn unsubscribe(&self, channels: &[Channel]) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Tells the broker where its events go. Called once, before any other method but `capabilities`.
    fn attach(&self, events: EventSink);

    /// Does the broker's background work, such as receiving events, until `stop` resolves. Called once.
    ///
    /// # Errors
    ///
    /// Only what cannot be mended by reconnecting; the node then stops being ready.
    fn run(&self, stop: Stop) -> impl Future<Output = Result<(), BrokerError>> + Send;
}

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Resolves when the node wants its broker to stop.
pub type Stop = BoxFuture<'static, ()>;

/// The object-safe mirror of [`Broker`].
pub trait DynBroker: Debug + Send + Sync + 'static {
    /// See [`Broker::capabilities`].
    fn capabilities(&self) -> Capabilities;
    /// See [`Broker::publish`].
    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>>;
    /// See [`Broker::publish_now`].
    fn publish_now(&self, publish: Publish) -> Attempt;
    /// See [`Broker::subscribe`].
    fn subscribe<'a>(&'a self, channels: &'a [Channel]) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`Broker::unsubscribe`].
    fn unsubscribe<'a>(&'a self, channels: &'a [Channel]) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`Broker::attach`].
    fn attach(&self, events: EventSink);
    /// See [`Broker::run`].
    fn run(&self, stop: Stop) -> BoxFuture<'_, Result<(), BrokerError>>;
}

impl<B: Broker> DynBroker for B {
    fn capabilities(&self) -> Capabilities {
        Broker::capabilities(self)
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        Box::pin(Broker::publish(self, publish))
    }

    fn publish_now(&self, publish: Publish) -> Attempt {
        Broker::publish_now(self, publish)
    }

    fn subscribe<'a>(&'a self, channels: &'a [Channel]) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(Broker::subscribe(self, channels))
    }

    fn unsubscribe<'a>(&'a self, channels: &'a [Channel]) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(Broker::unsubscribe(self, channels))
    }

    fn attach(&self, events: EventSink) {
        Broker::attach(self, events);
    }

    fn run(&self, stop: Stop) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(Broker::run(self, stop))
    }
}

/// A broker behind a shared pointer, as a configuration holds it.
pub type SharedBroker = Arc<dyn DynBroker>;
