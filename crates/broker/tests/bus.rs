//! The bus passes the suite for what connects nodes.

use std::sync::Arc;

use tourbillon_broker::conformance::ControlHarness;
use tourbillon_broker::{Control, ControlBus, ControlSink, SharedControl, control_conformance_suite};
use tourbillon_types::NodeId;

impl ControlHarness for Cluster {
    async fn join(&self, node: NodeId, sink: ControlSink) -> SharedControl {
        let control = self.0.join();
        Control::attach(&control, node, sink);
        Arc::new(control)
    }
}

#[derive(Default)]
struct Cluster(ControlBus);

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map(|runtime| runtime.block_on(future)).unwrap_or_default();
}

control_conformance_suite!(block_on, Cluster::default());
