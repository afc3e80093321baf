//! Publish and subscribe.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tourbillon_types::{Channel, ClientInfo};

use crate::{
    Attempt, BrokerError, EventSink, Publish, Published, SharedControl, SharedHistory, SharedPresence,
};

/// What a broker can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Several nodes may share it.
    pub multi_node: bool,
    /// It must be told which channels this node wants; otherwise every publication reaches every node.
    pub needs_interest: bool,
    /// It keeps streams: offsets, epochs, history. Then it [brings](Broker::parts) a
    /// [`History`](crate::History).
    pub history: bool,
    /// It honours [`PublishOptions::idempotency_key`](crate::PublishOptions::idempotency_key).
    pub idempotency: bool,
    /// It honours [`PublishOptions::version`](crate::PublishOptions::version).
    pub versions: bool,
    /// For [`PublishOptions::delta`](crate::PublishOptions::delta) it tells the previous publication of the stream.
    pub deltas: bool,
    /// It carries joins and leaves.
    pub join_leave: bool,
    /// It never loses an event between the stream and its node, so that positions need no periodic check (REC-09).
    pub reliable: bool,
}

/// What a broker brings besides publish and subscribe.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Parts {
    /// Its streams.
    pub history: Option<SharedHistory>,
    /// Who is in which channel.
    pub presence: Option<SharedPresence>,
    /// The way to the other nodes (ENG-06).
    pub control: Option<SharedControl>,
}

/// Publish and subscribe.
///
/// Dropping the future of any method leaves the broker usable; whether the call took effect is then unknown.
pub trait Broker: Debug + Send + Sync + 'static {
    /// What this broker can do. Constant over its life.
    fn capabilities(&self) -> Capabilities;

    /// What it brings besides; usually itself, as it implements [`History`](crate::History) or
    /// [`Presence`](crate::Presence), too. Constant over its life. By default nothing.
    fn parts(self: Arc<Self>) -> Parts {
        Parts::default()
    }

    /// Publishes into a channel.
    ///
    /// Where the broker keeps streams and the publication asks for it, appending and handing to subscribers are
    /// one step per channel: of two publications, the one with the lower offset is delivered first everywhere.
    /// When the answer arrives, delivery has been started, not finished.
    ///
    /// What makes a publication superfluous is looked at in this order: a key that was used has no effect at all, and
    /// a version that is not newer neither appends nor notes the key. Both answer with a position (HID-77, HID-78).
    ///
    /// # Errors
    ///
    /// After a [transient](BrokerError::is_transient) error the publication may have taken effect; publishing
    /// again with the same idempotency key is safe where the broker supports it.
    /// [Invalid](BrokerError::is_invalid) is a [`HistoryPolicy`](crate::HistoryPolicy) that keeps nothing.
    fn publish(&self, publish: Publish) -> impl Future<Output = Result<Published, BrokerError>> + Send;

    /// What [`publish`](Self::publish) does, if it can be done without waiting: no future is made for it then.
    /// Called before every `publish`. Default: it cannot.
    fn publish_now(&self, publish: Publish) -> Attempt {
        Attempt::Later(publish)
    }

    /// Tells the subscribers of a channel that somebody came into it. By default unsupported.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    fn publish_join(
        &self,
        channel: &Channel,
        info: Arc<ClientInfo>,
    ) -> impl Future<Output = Result<(), BrokerError>> + Send {
        let _ = (channel, info);
        std::future::ready(Err(BrokerError::unsupported("joins")))
    }

    /// Tells the subscribers of a channel that somebody left it. By default unsupported.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    fn publish_leave(
        &self,
        channel: &Channel,
        info: Arc<ClientInfo>,
    ) -> impl Future<Output = Result<(), BrokerError>> + Send {
        let _ = (channel, info);
        std::future::ready(Err(BrokerError::unsupported("leaves")))
    }

    /// Whether a channel of this name can be subscribed to, without asking anybody. Called before every
    /// [`subscribe`](Self::subscribe), which takes many channels at once: a name that is none would fail them all. By
    /// default any can.
    ///
    /// # Errors
    ///
    /// [Invalid](BrokerError::is_invalid): it never can.
    fn check(&self, channel: &Channel) -> Result<(), BrokerError> {
        let _ = channel;
        Ok(())
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

    /// Tells the broker where its events go. Called once, before any other method but `capabilities` and `parts`.
    fn attach(&self, events: EventSink);

    /// Whether calls would succeed now, and publications arrive that are made elsewhere. Asked every few seconds where
    /// somebody wants to know whether the node is ready; it need not look at its own deadline. A broker answers for the
    /// parts that it brings, too. Default: always.
    ///
    /// # Errors
    ///
    /// Why not, in words that may be shown to anybody.
    fn ready(&self) -> impl Future<Output = Result<(), BrokerError>> + Send {
        std::future::ready(Ok(()))
    }

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
    /// See [`Broker::parts`].
    fn parts(self: Arc<Self>) -> Parts;
    /// See [`Broker::publish`].
    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>>;
    /// See [`Broker::publish_now`].
    fn publish_now(&self, publish: Publish) -> Attempt;
    /// See [`Broker::publish_join`].
    fn publish_join<'a>(
        &'a self,
        channel: &'a Channel,
        info: Arc<ClientInfo>,
    ) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`Broker::publish_leave`].
    fn publish_leave<'a>(
        &'a self,
        channel: &'a Channel,
        info: Arc<ClientInfo>,
    ) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`Broker::check`].
    fn check(&self, channel: &Channel) -> Result<(), BrokerError>;
    /// See [`Broker::subscribe`].
    fn subscribe<'a>(&'a self, channels: &'a [Channel]) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`Broker::unsubscribe`].
    fn unsubscribe<'a>(&'a self, channels: &'a [Channel]) -> BoxFuture<'a, Result<(), BrokerError>>;
    /// See [`Broker::attach`].
    fn attach(&self, events: EventSink);
    /// See [`Broker::ready`].
    fn ready(&self) -> BoxFuture<'_, Result<(), BrokerError>>;
    /// See [`Broker::run`].
    fn run(&self, stop: Stop) -> BoxFuture<'_, Result<(), BrokerError>>;
}

impl<B: Broker> DynBroker for B {
    fn capabilities(&self) -> Capabilities {
        Broker::capabilities(self)
    }

    fn parts(self: Arc<Self>) -> Parts {
        Broker::parts(self)
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        Box::pin(Broker::publish(self, publish))
    }

    fn publish_now(&self, publish: Publish) -> Attempt {
        Broker::publish_now(self, publish)
    }

    fn publish_join<'a>(
        &'a self,
        channel: &'a Channel,
        info: Arc<ClientInfo>,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(Broker::publish_join(self, channel, info))
    }

    fn publish_leave<'a>(
        &'a self,
        channel: &'a Channel,
        info: Arc<ClientInfo>,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(Broker::publish_leave(self, channel, info))
    }

    fn check(&self, channel: &Channel) -> Result<(), BrokerError> {
        Broker::check(self, channel)
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

    fn ready(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(Broker::ready(self))
    }

    fn run(&self, stop: Stop) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(Broker::run(self, stop))
    }
}

/// A broker behind a shared pointer, as a configuration holds it.
pub type SharedBroker = Arc<dyn DynBroker>;
