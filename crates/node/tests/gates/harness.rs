//! A node on one thread whose clients are WebSockets over counted streams.

use allocation_counter::{AllocationInfo, measure};
use tokio::runtime::Runtime;
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{
    ConnectDecision, ConnectRequest, Hooks, Node, PublishDecision, PublishOptions, PublishRequest, Refusal,
    RpcDecision, RpcRequest, SubscribeDecision, SubscribeRequest,
};
use tourbillon_transport::{Accept, ConnContext, TransportInfo};
use tourbillon_transport_websocket::{WebSocketConfig, WebSocketTransport};
use tourbillon_types::{Channel, Encoding, Payload, UserId};

use crate::wire::{Counts, Wire};

/// Allows everything, and answers a call by its argument. Subscriptions to channels named `position` have one.
struct Echo;

impl Hooks for Echo {
    async fn connect(&self, _: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        Ok(ConnectDecision::new(UserId::anonymous()))
    }

    async fn subscribe(&self, request: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options.positioned = request.positioned || request.channel.starts_with("position");
        decision.options.allow_delta = true;
        decision.options.allow_tags_filter = true;
        Ok(decision)
    }

    async fn publish(&self, _: PublishRequest) -> Result<PublishDecision, Refusal> {
        Ok(PublishDecision::default())
    }

    async fn rpc(&self, request: RpcRequest) -> Result<RpcDecision, Refusal> {
        Ok(RpcDecision { data: request.data })
    }
}

/// A node, and the runtime that it has for itself.
pub(crate) struct Bench {
    runtime: Runtime,
    pub(crate) node: Node,
    config: WebSocketConfig,
}

impl Bench {
    /// The clock stands still: nothing is pinged.
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let entered = runtime.enter();
        let builder = Node::builder(MemoryEngine::default()).hooks(Echo).flush_workers(1);
        let (node, driver) = builder.build().expect("a valid configuration");
        runtime.spawn(driver);
        drop(entered);
        Self { runtime, node, config: WebSocketConfig::default() }
    }

    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// What the memory allocator is asked for meanwhile.
    pub(crate) fn cost(&self, work: impl Future<Output = ()>) -> AllocationInfo {
        measure(|| self.runtime.block_on(work))
    }

    /// A connection that has said nothing yet.
    pub(crate) fn open(&self) -> Wire {
        let (wire, reader, writer) = Wire::new();
        self.accept(reader, writer);
        wire
    }

    pub(crate) fn accept(&self, reader: crate::wire::WireReader, writer: crate::wire::WireWriter) {
        let info = TransportInfo::new("websocket", Encoding::Json);
        let transport = WebSocketTransport::new(info, reader, writer, &self.config);
        self.node.accept(transport, ConnContext::default());
    }

    /// A connection that is accepted.
    pub(crate) async fn client(&self) -> Wire {
        let wire = self.open();
        connect(&wire).await;
        wire
    }

    /// Connections that have a channel.
    pub(crate) async fn subscribers(&self, count: usize, channel: &str) -> Vec<Wire> {
        self.subscribers_of(count, channel, "").await
    }

    /// The same, with what else they ask for.
    pub(crate) async fn subscribers_of(&self, count: usize, channel: &str, asked: &str) -> Vec<Wire> {
        let mut wires = Vec::with_capacity(count);
        for _ in 0..count {
            let wire = self.client().await;
            subscribe_to(&wire, channel, asked).await;
            wires.push(wire);
        }
        wires
    }

    pub(crate) async fn publish(&self, channel: &Channel, data: &Payload) {
        self.publish_with(channel, data, PublishOptions::default()).await;
    }

    pub(crate) async fn publish_with(&self, channel: &Channel, data: &Payload, options: PublishOptions) {
        let published = self.node.publish(channel.clone(), data.clone(), options).await;
        assert!(published.is_ok(), "{published:?}");
    }

    /// Ends everything; nothing may be left.
    pub(crate) fn end(self) {
        // No client answers its close frame: the clock moves on by itself once nothing else does.
        self.run(self.node.shutdown());
        assert_eq!(self.node.stats(), Default::default(), "something is left of the connections");
    }
}

pub(crate) async fn connect(wire: &Wire) {
    wire.send([&br#"{"id":1,"connect":{"name":"js","version":"5.3.0"}}"#[..]]);
    wire.until(1).await;
    assert!(wire.says(r#""connect""#), "{}", wire.last());
}

pub(crate) async fn subscribe(wire: &Wire, channel: &str) {
    subscribe_to(wire, channel, "").await;
}

async fn subscribe_to(wire: &Wire, channel: &str, asked: &str) {
    let before = wire.counts().messages;
    wire.send([format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"{asked}}}}}"#).as_bytes()]);
    wire.until(before + 1).await;
    assert!(wire.says(r#""subscribe""#), "{}", wire.last());
}

/// What was done between two looks at many streams.
pub(crate) fn since(wires: &[Wire], before: Counts) -> Counts {
    let now = total(wires);
    Counts {
        writes: now.writes - before.writes,
        reads: now.reads - before.reads,
        messages: now.messages - before.messages,
        bytes: now.bytes - before.bytes,
    }
}

pub(crate) fn total(wires: &[Wire]) -> Counts {
    wires.iter().map(Wire::counts).fold(Counts::default(), |sum, counts| Counts {
        writes: sum.writes + counts.writes,
        reads: sum.reads + counts.reads,
        messages: sum.messages + counts.messages,
        bytes: sum.bytes + counts.bytes,
    })
}
