//! Several nodes that know of each other (CTL-03, CTL-04, EMU-09).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tourbillon_broker::{BrokerError, BusControl, Control, ControlBus, ControlSink, Engine, Receiver, Stop};
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{AllowAll, Hooks, Measures, NodeConfig, Refusal, RpcDecision, RpcRequest};
use tourbillon_transport::{Inject, InjectError};
use tourbillon_types::{NodeId, SessionId};

use crate::harness::{Client, TestNode, start, start_on};

pub(crate) fn node_on(bus: &ControlBus, hooks: impl Hooks, name: &str) -> TestNode {
    node_with(bus.join(), hooks, name)
}

pub(crate) fn node_with(control: impl Control, hooks: impl Hooks, name: &str) -> TestNode {
    let mut config = NodeConfig::default();
    name.clone_into(&mut config.name);
    config.call_timeout = Duration::from_secs(2);
    config.measures = Some(Measures::default());
    start_on(Engine::new(MemoryEngine::default()).with_control(control), hooks, config)
}

pub(crate) async fn know_each_other(nodes: &[&TestNode]) {
    for node in nodes {
        while node.node.nodes().await.len() < nodes.len() {
            tokio::time::advance(Duration::from_millis(10)).await;
        }
    }
}

async fn emulated(server: &TestNode) -> (Client, SessionId) {
    let mut client = server.open(1 << 20, |info| info.emulation = true);
    let reply = client.call(r#""connect":{}"#).await;
    let session = reply["connect"]["session"].as_str().expect("a session").parse().expect("an identifier");
    (client, session)
}

async fn inject(by: &TestNode, at: &TestNode, session: SessionId, frame: &str) -> Result<(), InjectError> {
    by.node.inject(at.node.id(), session, frame.to_owned().into()).await
}

#[tokio::test(start_paused = true)]
async fn a_request_to_any_node_reaches_the_session() {
    let bus = ControlBus::default();
    let nodes = [node_on(&bus, AllowAll, "a"), node_on(&bus, AllowAll, "b"), node_on(&bus, AllowAll, "c")];
    know_each_other(&nodes.each_ref()).await;
    let [a, b, c] = nodes;
    let (mut client, session) = emulated(&a).await;
    assert_eq!(inject(&b, &a, session, r#"{"id":5,"subscribe":{"channel":"x"}}"#).await, Ok(()));
    assert_eq!(client.message().await["id"], 5);
    a.publish("x", "1").await;
    assert_eq!(client.publication("x").await, Value::from(1));
    assert_eq!(inject(&c, &a, session, r#"{"id":6,"unsubscribe":{"channel":"x"}}"#).await, Ok(()));
    assert_eq!(client.message().await["id"], 6);
    let stranger = inject(&b, &a, SessionId::random(), "{}").await;
    assert_eq!(stranger, Err(InjectError::NoSession), "as at the node itself");
    let elsewhere = inject(&b, &c, session, "{}").await;
    assert_eq!(elsewhere, Err(InjectError::NoSession));
    // MET-06.
    let surveys = |node: &TestNode| {
        let all = node.node.distributions();
        let one = all.iter().find(|one| one.name == "centrifugo_node_survey_duration_seconds_histogram");
        one.map(|one| (one.labels.clone(), one.count))
    };
    let emulation = |count| Some((vec![("op", "emulation".into())], count));
    assert_eq!([&a, &b, &c].map(surveys), [None, emulation(3), emulation(1)]);
    drop(client);
    for node in [a, b, c] {
        node.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_come_and_go() {
    let bus = ControlBus::default();
    let a = node_on(&bus, AllowAll, "a");
    let b = node_on(&bus, AllowAll, "b");
    know_each_other(&[&a, &b]).await;
    let client = a.client().await;
    tokio::time::advance(Duration::from_secs(4)).await;
    tokio::task::yield_now().await;
    let nodes = b.node.nodes().await;
    let told = nodes.iter().find(|info| info.id == a.node.id()).expect("the other node");
    assert_eq!((told.name.as_str(), told.stats.clients), ("a", 1));
    drop(client);

    let session = SessionId::random();
    assert_eq!(inject(&b, &a, session, "{}").await, Err(InjectError::NoSession));
    let gone = a.node.id();
    a.end().await;
    while b.node.nodes().await.len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(b.node.inject(gone, session, "{}".into()).await, Err(InjectError::NoNode));
    b.end().await;

    let alone = start(AllowAll, NodeConfig::default());
    assert_eq!(alone.node.inject(gone, session, "{}".into()).await, Err(InjectError::NoNode));
    alone.end().await;
}

/// Forwards what is said at its place, and from some time on does not.
#[derive(Debug)]
pub(crate) struct Silenced(pub(crate) BusControl, pub(crate) Arc<AtomicBool>);

impl Control for Silenced {
    fn attach(&self, node: NodeId, sink: ControlSink) {
        Control::attach(&self.0, node, sink);
    }

    async fn send(&self, to: Receiver, message: Bytes) -> Result<(), BrokerError> {
        if self.1.load(Ordering::Relaxed) {
            return Ok(());
        }
        Control::send(&self.0, to, message).await
    }

    async fn run(&self, stop: Stop) -> Result<(), BrokerError> {
        stop.await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_falls_silent_is_unavailable_and_then_gone() {
    let bus = ControlBus::default();
    let silenced = Arc::new(AtomicBool::new(false));
    let place = Silenced(bus.join(), silenced.clone());
    let engine = Engine::new(MemoryEngine::default()).with_control(place);
    let a = start_on(engine, AllowAll, NodeConfig::default());
    let b = node_on(&bus, AllowAll, "b");
    know_each_other(&[&a, &b]).await;
    silenced.store(true, Ordering::Relaxed);
    let session = SessionId::random();
    assert_eq!(inject(&b, &a, session, "{}").await, Err(InjectError::Unavailable), "it does not answer");
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(inject(&b, &a, session, "{}").await, Err(InjectError::NoNode));
    assert_eq!(b.node.nodes().await.len(), 1);
    a.end().await;
    b.end().await;
}

struct Silent;

impl Hooks for Silent {
    async fn rpc(&self, _: RpcRequest) -> Result<RpcDecision, Refusal> {
        std::future::pending().await
    }
}

/// A session that takes nothing keeps nobody else's requests waiting.
#[tokio::test(start_paused = true)]
async fn a_busy_session_is_only_its_own_senders_affair() {
    let bus = ControlBus::default();
    let (a, b) = (node_on(&bus, Silent, "a"), node_on(&bus, AllowAll, "b"));
    know_each_other(&[&a, &b]).await;
    let (busy, session) = emulated(&a).await;
    let (mut other, other_session) = emulated(&a).await;
    let large = format!(r#"{{"id":2,"rpc":{{"data":"{}"}}}}"#, "x".repeat(60_000));
    assert_eq!(inject(&b, &a, session, &large).await, Ok(()), "being worked on");
    tokio::task::yield_now().await;
    let waiting = async { tokio::join!(inject(&b, &a, session, &large), inject(&b, &a, session, &large)).1 };
    let passing = async {
        assert_eq!(inject(&b, &a, other_session, r#"{"id":7,"subscribe":{"channel":"x"}}"#).await, Ok(()));
    };
    let (second, ()) = tokio::join!(waiting, passing);
    assert_eq!(second, Err(InjectError::Unavailable));
    assert_eq!(other.message().await["id"], 7);
    drop((busy, other));
    a.end().await;
    b.end().await;
}

/// However many requests come for a session that takes nothing: those for another find a place, wherever they come to.
#[tokio::test(start_paused = true)]
async fn a_busy_session_leaves_room_for_the_requests_of_others() {
    let bus = ControlBus::default();
    let (a, b) = (node_on(&bus, Silent, "a"), node_on(&bus, AllowAll, "b"));
    know_each_other(&[&a, &b]).await;
    let (busy, session) = emulated(&a).await;
    let (second, second_session) = emulated(&a).await;
    let large = format!(r#"{{"id":2,"rpc":{{"data":"{}"}}}}"#, "x".repeat(60_000));
    for session in [session, second_session] {
        assert_eq!(inject(&b, &a, session, &large).await, Ok(()), "being worked on");
        tokio::task::yield_now().await;
        assert_eq!(inject(&b, &a, session, &large).await, Ok(()), "in the mailbox");
    }
    let begun = tokio::time::Instant::now();
    let flood = futures_util::future::join_all((0..1_100).map(|number| {
        let by = if number % 2 == 0 { &a } else { &b };
        let large = &large;
        async { (inject(by, &a, session, large).await, begun.elapsed().is_zero()) }
    }));
    let other = async {
        tokio::task::yield_now().await;
        // It waits for its own session, as it may.
        let waits = inject(&b, &a, second_session, &large).await;
        (waits, begun.elapsed().is_zero())
    };
    let (refused, other) = tokio::join!(flood, other);
    let count = |outcome| refused.iter().filter(|refused| **refused == outcome).count();
    let at_once = count((Err(InjectError::Busy), true));
    let late = refused.iter().filter(|(outcome, at_once)| outcome.is_err() && !at_once).count();
    assert!(at_once >= 1_084 && at_once + late <= 1_100 && late <= 16, "{at_once} {late}");
    assert_ne!(other, (Err(InjectError::Busy), true), "there is room for those of others");
    drop((busy, second));
    a.end().await;
    b.end().await;
}

/// However many wait for a session that takes nothing: what other nodes say is read, and what they ask is answered.
#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_a_session_keep_no_message_of_another_node_waiting() {
    let bus = ControlBus::default();
    let (a, b) = (node_on(&bus, Silent, "a"), node_on(&bus, AllowAll, "b"));
    know_each_other(&[&a, &b]).await;
    let (mut ann, _) = emulated(&a).await;
    let (busy, session) = emulated(&a).await;
    let large = format!(r#"{{"id":2,"rpc":{{"data":"{}"}}}}"#, "x".repeat(60_000));
    assert_eq!(inject(&b, &a, session, &large).await, Ok(()), "being worked on");
    tokio::task::yield_now().await;
    assert_eq!(inject(&b, &a, session, &large).await, Ok(()), "in the mailbox");
    let waiting = format!(r#"{{"id":3,"rpc":{{"data":"{}"}}}}"#, "x".repeat(6_000));
    // For longer than a node may be silent.
    let (begun, everybody) = (tokio::time::Instant::now(), tourbillon_node::Target::everybody());
    while begun.elapsed() < Duration::from_secs(10) {
        let wave = tokio::time::Instant::now();
        let flood = futures_util::future::join_all((0..1_100).map(|_| async {
            let injected = inject(&b, &a, session, &waiting).await;
            injected == Err(InjectError::Busy) && wave.elapsed().is_zero()
        }));
        let order = async {
            tokio::task::yield_now().await;
            assert_eq!(b.node.send(&everybody, "1".into()).await, Ok(()));
            assert_eq!(wave.elapsed(), Duration::ZERO, "an order is carried out at once");
            assert_eq!(ann.message().await["push"]["message"]["data"], 1);
        };
        let (refused, ()) = tokio::join!(flood, order);
        assert!(refused.contains(&true), "what has no room is told at once");
    }
    assert_eq!((a.node.nodes().await.len(), b.node.nodes().await.len()), (2, 2), "both are known still");
    drop((busy, ann));
    a.end().await;
    b.end().await;
}

/// What is no message of a node, or of a node that nobody needs, does no harm.
#[tokio::test(start_paused = true)]
async fn noise_is_passed_over() {
    let bus = ControlBus::default();
    let (a, b) = (node_on(&bus, AllowAll, "a"), node_on(&bus, AllowAll, "b"));
    know_each_other(&[&a, &b]).await;
    let stranger = bus.join();
    for noise in ["", "noise", "\u{1}\u{2}"] {
        for _ in 0..5_000 {
            assert!(Control::send(&stranger, Receiver::Others, noise.into()).await.is_ok());
        }
        tokio::task::yield_now().await;
    }
    let (mut client, session) = emulated(&a).await;
    while inject(&b, &a, session, r#"{"id":5,"subscribe":{"channel":"x"}}"#).await.is_err() {}
    assert_eq!(client.message().await["id"], 5);
    drop(client);
    a.end().await;
    b.end().await;
}
