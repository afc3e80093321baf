//! Deltas are as small as those of Centrifuge, whose authors published what they measured.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use std::time::Duration;

use tourbillon_broker_memory::MemoryEngine;
use tourbillon_load::football::{Form, PACKET, states};
use tourbillon_load::wire::Wire;
use tourbillon_node::{
    ConnectDecision, ConnectRequest, HistoryPolicy, Hooks, Node, PublishOptions, Refusal, SubscribeDecision,
    SubscribeRequest,
};
use tourbillon_transport::memory::{MemoryPeer, Sent, pair};
use tourbillon_transport::{Accept, ConnContext, TransportInfo};
use tourbillon_types::{Channel, Encoding, Payload, UserId};

struct Positions;

impl Hooks for Positions {
    async fn connect(&self, _: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        Ok(ConnectDecision::new(UserId::anonymous()))
    }

    async fn subscribe(&self, _: SubscribeRequest) -> Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options.recoverable = true;
        decision.options.allow_delta = true;
        Ok(decision)
    }
}

async fn next(peer: &mut MemoryPeer) -> usize {
    match tokio::time::timeout(Duration::from_secs(10), peer.recv()).await.expect("something comes") {
        Sent::Message(message) => message.len(),
        other => panic!("{other:?}"),
    }
}

/// What a subscriber gets of the match: packets with frames with messages.
async fn bytes(form: Form, encoding: Encoding, deltas: bool) -> u64 {
    let (node, driver) =
        Node::builder(MemoryEngine::default()).hooks(Positions).build().expect("a configuration");
    tokio::spawn(driver);
    let channel = Channel::from(if form == Form::Json { "match:js:1" } else { "match:pb:1" });
    let (transport, mut peer) = pair(TransportInfo::new("memory", encoding), 1 << 20);
    node.accept(transport, ConnContext::default());
    let wire = Wire::new(encoding);
    let subscribe =
        if deltas { wire.subscribe_with_deltas(2, &channel) } else { wire.subscribe(2, &channel) };
    for command in [wire.connect(1, ""), subscribe] {
        peer.send(command);
        next(&mut peer).await;
    }
    let mut bytes = 0;
    for state in states(form) {
        let mut options = PublishOptions::default();
        let (ttl, meta_ttl) = (Duration::from_secs(60), Duration::from_secs(600));
        options.history = Some(HistoryPolicy { size: 10, ttl, meta_ttl });
        options.delta = true;
        node.publish(channel.clone(), Payload::from(state), options).await.expect("published");
        let message = next(&mut peer).await;
        // RFC 6455 section 5.2.
        let header = if message < 126 { 2 } else { 4 };
        bytes += PACKET + header + message as u64;
    }
    node.shutdown().await;
    bytes
}

/// The figures are those of the compression example of Centrifuge, without permessage-deflate and delay.
#[tokio::test(start_paused = true)]
async fn a_match_costs_the_bytes_of_the_published_figures_and_fewer_with_deltas() {
    for (form, encoding, deltas, published) in [
        (Form::Json, Encoding::Json, false, 40_251),
        (Form::Json, Encoding::Protobuf, false, 39_180),
        (Form::Protobuf, Encoding::Protobuf, false, 16_562),
        (Form::Json, Encoding::Json, true, 6_043),
        (Form::Json, Encoding::Protobuf, true, 4_287),
        (Form::Protobuf, Encoding::Protobuf, true, 4_382),
    ] {
        let ours = bytes(form, encoding, deltas).await;
        let what =
            format!("{form:?} in {encoding:?}, deltas: {deltas}: {ours} bytes, published are {published}");
        assert!(ours * 100 <= published * 101, "{what}");
        // Less would mean that something is missing, unless deltas are better ones.
        assert!(ours * 100 >= published * if deltas { 93 } else { 99 }, "{what}");
    }
}
