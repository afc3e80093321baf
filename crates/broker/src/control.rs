//! Messages between the nodes of a cluster.

use std::fmt::{self, Debug};
use std::sync::Arc;

use bytes::Bytes;
use tourbillon_types::NodeId;

use crate::{BoxFuture, BrokerError, Stop};

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// This node. Nobody, if there is none of this name.
    Node(NodeId),
    /// Every node but the sender.
    Others,
}

/// Carries messages between the nodes of a cluster (CTL-02). What is in them is the nodes' affair.
///
/// A message arrives once or not at all. Those of one sender for all arrive in the order in which they were sent, and so do
/// those for one node; whether those for all or those for one come first is open. Whoever needs to know whether one arrived
/// asks for an answer.
///
/// Dropping the future of any method leaves it usable; whether a message went out is then unknown.
pub trait Control: Debug + Send + Sync + 'static {
    /// Tells under which name this node takes part, and where its messages go. Called once, before any other method.
    fn attach(&self, node: NodeId, sink: ControlSink);

    /// Sends a message. When the answer arrives it is on its way.
    ///
    /// # Errors
    ///
    /// [Transient](BrokerError::is_transient) ones: it may have gone out. [Invalid](BrokerError::is_invalid): it is
    /// too large; 1 MiB has to pass.
    fn send(&self, to: Receiver, message: Bytes) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// As [`Broker::ready`](crate::Broker::ready), for what is not the broker's own.
    ///
    /// # Errors
    ///
    /// Why not, in words that may be shown to anybody.
    fn ready(&self) -> impl Future<Output = Result<(), BrokerError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Does the background work, such as receiving, until `stop` resolves. Called once.
    ///
    /// # Errors
    ///
    /// Only what cannot be mended by reconnecting.
    fn run(&self, stop: Stop) -> impl Future<Output = Result<(), BrokerError>> + Send;
}

/// The node's ear for messages of other nodes. Calls return quickly and send nothing themselves.
pub trait ControlEvents: Send + Sync + 'static {
    /// A message for this node, or for all.
    fn message(&self, message: Bytes);
}

/// A shared handle to the node's ear.
#[derive(Clone)]
pub struct ControlSink(Arc<dyn ControlEvents>);

impl ControlSink {
    /// A handle to this receiver.
    pub fn new(events: Arc<dyn ControlEvents>) -> Self {
        Self(events)
    }
}

impl std::ops::Deref for ControlSink {
    type Target = dyn ControlEvents;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Debug for ControlSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlSink")
    }
}

/// The object-safe mirror of [`Control`].
pub trait DynControl: Debug + Send + Sync + 'static {
    /// See [`Control::attach`].
    fn attach(&self, node: NodeId, sink: ControlSink);
    /// See [`Control::send`].
    fn send(&self, to: Receiver, message: Bytes) -> BoxFuture<'_, Result<(), BrokerError>>;
    /// See [`Control::ready`].
    fn ready(&self) -> BoxFuture<'_, Result<(), BrokerError>>;
    /// See [`Control::run`].
    fn run(&self, stop: Stop) -> BoxFuture<'_, Result<(), BrokerError>>;
}

impl<C: Control> DynControl for C {
    fn attach(&self, node: NodeId, sink: ControlSink) {
        Control::attach(self, node, sink);
    }

    fn send(&self, to: Receiver, message: Bytes) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(Control::send(self, to, message))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(Control::ready(self))
    }

    fn run(&self, stop: Stop) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(Control::run(self, stop))
    }
}

/// Control behind a shared pointer.
pub type SharedControl = Arc<dyn DynControl>;
