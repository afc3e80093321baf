//! Clients whose commands come by themselves (EMU-07, EMU-09).

use serde_json::Value;
use tourbillon_node::{AllowAll, Hooks, NodeConfig, Refusal, RpcDecision, RpcRequest};
use tourbillon_transport::{Inject, InjectError};
use tourbillon_types::{Disconnect, NodeId, SessionId};

use crate::harness::{Client, TestNode, start};

/// An emulated client, and the secret of its session.
async fn emulated(server: &TestNode) -> (Client, SessionId) {
    let mut client = server.open(1 << 20, |info| info.emulation = true);
    let reply = client.call(r#""connect":{}"#).await;
    assert_eq!(reply["connect"]["node"], server.node.id().to_string());
    let session = reply["connect"]["session"].as_str().expect("a session").parse().expect("an identifier");
    (client, session)
}

async fn inject(server: &TestNode, session: SessionId, frame: &str) -> Result<(), InjectError> {
    server.node.inject(server.node.id(), session, frame.to_owned().into()).await
}

#[tokio::test(start_paused = true)]
async fn commands_reach_the_session_whose_secret_they_know() {
    let server = start(AllowAll, NodeConfig::default());
    let (mut one, first) = emulated(&server).await;
    let (mut other, _) = emulated(&server).await;
    let frame =
        concat!(r#"{"id":5,"subscribe":{"channel":"a"}}"#, "\n", r#"{"id":6,"unsubscribe":{"channel":"b"}}"#);
    assert_eq!(inject(&server, first, frame).await, Ok(()));
    assert_eq!(one.message().await["id"], 5);
    assert_eq!(one.message().await["id"], 6);
    server.publish("a", "1").await;
    assert_eq!(one.publication("a").await, Value::from(1));
    other.silence().await;
    assert_eq!(inject(&server, first, "{").await, Ok(()));
    assert_eq!(one.closed().await, Disconnect::BAD_REQUEST);
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_not_here_is_not_found() {
    let server = start(AllowAll, NodeConfig::default());
    let (client, session) = emulated(&server).await;
    let plain = server.open(1 << 20, |_| {});
    let frame = bytes::Bytes::from_static(b"{}");
    let elsewhere = server.node.inject(NodeId::random(), session, frame).await;
    assert_eq!(elsewhere, Err(InjectError::NoNode));
    assert_eq!(inject(&server, SessionId::random(), "{}").await, Err(InjectError::NoSession));
    drop(client);
    // The node notices when it gets to it.
    while inject(&server, session, "{}").await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(inject(&server, session, "{}").await, Err(InjectError::NoSession));
    drop(plain);
    server.end().await;
}

/// Answers nothing.
struct Silent;

impl Hooks for Silent {
    async fn rpc(&self, _: RpcRequest) -> Result<RpcDecision, Refusal> {
        std::future::pending().await
    }
}

/// A session that is busy bounds what waits for it: whoever brings more waits, and is told when it takes too long.
#[tokio::test(start_paused = true)]
async fn a_busy_session_makes_its_senders_wait() {
    let mut config = NodeConfig::default();
    config.call_timeout = std::time::Duration::from_secs(3);
    let server = start(Silent, config);
    let (mut client, session) = emulated(&server).await;
    let large = format!(r#"{{"id":2,"rpc":{{"data":"{}"}}}}"#, "x".repeat(60_000));
    assert_eq!(inject(&server, session, &large).await, Ok(()), "being worked on");
    tokio::task::yield_now().await;
    let [second, third, fourth] = [(); 3].map(|()| inject(&server, session, &large));
    let (second, third, fourth) = tokio::join!(second, third, fourth);
    let mut outcomes = [second, third, fourth];
    outcomes.sort_by_key(|outcome| outcome.is_err());
    assert_eq!(outcomes[0], Ok(()), "one waits in the mailbox");
    assert_eq!(outcomes[2], Err(InjectError::Unavailable));
    assert_eq!(client.message().await["error"]["code"], 100);
    drop(client);
    server.end().await;
}
