//! A cluster inside one process.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use tourbillon_types::NodeId;

use crate::{BrokerError, Control, ControlSink, Receiver, Stop};

/// Connects nodes of one process: for tests, and for programs that run several nodes. Clones are the same bus.
#[derive(Clone, Debug, Default)]
pub struct ControlBus(Arc<Mutex<Vec<(NodeId, ControlSink)>>>);

impl ControlBus {
    /// A place on the bus for one more node. The node leaves it when this is dropped.
    #[must_use]
    pub fn join(&self) -> BusControl {
        BusControl { bus: self.clone(), node: OnceLock::new() }
    }

    fn receivers(&self, from: Option<&NodeId>, to: Receiver) -> Vec<ControlSink> {
        let meant = |node: &NodeId| match to {
            Receiver::Node(meant) => meant == *node,
            Receiver::Others => from != Some(node),
        };
        // Not under the lock: whoever receives may take locks of its own.
        self.0.lock().iter().filter(|(node, _)| meant(node)).map(|(_, sink)| sink.clone()).collect()
    }
}

/// One node's place on a [`ControlBus`]. Messages arrive within [`Control::send`].
#[derive(Debug)]
pub struct BusControl {
    bus: ControlBus,
    node: OnceLock<NodeId>,
}

impl Control for BusControl {
    fn attach(&self, node: NodeId, sink: ControlSink) {
        // A second node at one place would be a mistake of the program; the first one keeps it.
        if self.node.set(node).is_ok() {
            self.bus.0.lock().push((node, sink));
        }
    }

    async fn send(&self, to: Receiver, message: Bytes) -> Result<(), BrokerError> {
        for sink in self.bus.receivers(self.node.get(), to) {
            sink.message(message.clone());
        }
        Ok(())
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        stop.await;
        Ok(())
    }
}

impl Drop for BusControl {
    fn drop(&mut self) {
        if let Some(left) = self.node.get() {
            self.bus.0.lock().retain(|(node, _)| node != left);
        }
    }
}
