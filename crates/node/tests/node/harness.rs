//! A node, and clients of it that speak JSON over memory.

use std::time::Duration;

use serde_json::Value;
use tourbillon_broker::Engine;
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{Hooks, Node, NodeConfig, PublishOptions};
use tourbillon_transport::memory::{MemoryPeer, Sent, pair};
use tourbillon_transport::{Accept, ConnContext, PingMode, TransportInfo};
use tourbillon_types::{Channel, Disconnect, Encoding, Payload};

/// A node under test. Its end is checked: nothing may be left.
pub(crate) struct TestNode {
    pub(crate) node: Node,
}

pub(crate) fn start(hooks: impl Hooks, config: NodeConfig) -> TestNode {
    start_on(MemoryEngine::default(), hooks, config)
}

/// The same on an engine of the test's own.
pub(crate) fn start_on(engine: impl Into<Engine>, hooks: impl Hooks, config: NodeConfig) -> TestNode {
    let (node, driver) =
        Node::builder(engine).hooks(hooks).config(config).build().expect("a valid configuration");
    tokio::spawn(driver);
    TestNode { node }
}

impl TestNode {
    /// A connection over memory with room for `capacity` unread bytes.
    pub(crate) fn open(&self, capacity: usize, change: impl FnOnce(&mut TransportInfo)) -> Client {
        let mut info = TransportInfo::new("memory", Encoding::Json);
        change(&mut info);
        let native = info.ping == PingMode::Native;
        let (transport, peer) = pair(info, capacity);
        self.node.accept(transport, ConnContext::default());
        Client { peer, last: 0, native }
    }

    /// A client that has connected.
    pub(crate) async fn client(&self) -> Client {
        let mut client = self.open(1 << 20, |_| {});
        let reply = client.call(r#""connect":{"name":"test"}"#).await;
        assert!(reply["connect"]["client"].is_string(), "{reply}");
        client
    }

    pub(crate) async fn publish(&self, channel: &str, data: &str) {
        let data = data.as_bytes().to_vec();
        self.publish_with(channel, data, |_| {}).await;
    }

    pub(crate) async fn publish_with(
        &self,
        channel: &str,
        data: impl Into<Payload>,
        change: impl FnOnce(&mut PublishOptions),
    ) {
        let data = data.into();
        let mut options = PublishOptions::default();
        let rules = self.node.channel_options(channel).expect("a channel");
        options.history = rules.history;
        options.delta = rules.delta_publish;
        change(&mut options);
        let published = self.node.publish(Channel::from(channel), data, options).await;
        assert!(published.is_ok(), "{published:?}");
    }

    /// Ends the node and checks that it leaves nothing behind.
    pub(crate) async fn end(self) {
        self.node.shutdown().await;
        let stats = self.node.stats();
        assert_eq!(stats, Default::default(), "something is left of the connections");
    }
}

/// A client that speaks JSON.
pub(crate) struct Client {
    pub(crate) peer: MemoryPeer,
    last: u32,
    native: bool,
}

impl Client {
    pub(crate) fn send(&self, frame: &str) {
        self.peer.send(frame.to_owned());
    }

    /// Sends a command and waits for its reply; pushes that come before are not expected.
    pub(crate) async fn call(&mut self, request: &str) -> Value {
        self.last += 1;
        self.send(&format!(r#"{{"id":{},{request}}}"#, self.last));
        let reply = self.message().await;
        assert_eq!(reply["id"], self.last, "{reply}");
        reply
    }

    /// The next message; pings are answered.
    pub(crate) async fn message(&mut self) -> Value {
        for _ in 0..50 {
            match self.next().await {
                Sent::Message(message) if &message[..] == b"{}" => self.send("{}"),
                Sent::Message(message) => return serde_json::from_slice(&message).expect("JSON"),
                Sent::Ping => {
                    assert!(self.native);
                    self.peer.pong();
                }
                Sent::Closed(why) => panic!("closed: {why}"),
            }
        }
        panic!("nothing but pings comes");
    }

    pub(crate) async fn next(&mut self) -> Sent {
        tokio::time::timeout(Duration::from_secs(600), self.peer.recv()).await.expect("something happens")
    }

    /// The code that the connection ends with, whatever comes before.
    pub(crate) async fn closed(&mut self) -> Disconnect {
        loop {
            if let Sent::Closed(why) = self.next().await {
                return why;
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, channel: &str) {
        let reply = self.call(&format!(r#""subscribe":{{"channel":"{channel}"}}"#)).await;
        assert!(reply["subscribe"].is_object(), "{reply}");
    }

    /// The data of the next publication, which must belong to the channel.
    pub(crate) async fn publication(&mut self, channel: &str) -> Value {
        let push = self.message().await;
        assert_eq!(push["push"]["channel"], channel, "{push}");
        push["push"]["pub"]["data"].clone()
    }

    /// Lets everything that can happen now happen, and checks that nothing came.
    pub(crate) async fn silence(&mut self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.peer.try_recv(), None);
    }
}
