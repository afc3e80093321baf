//! The in-memory transport passes the suite.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use std::future::poll_fn;
use std::task::{Context, Waker};

use tourbillon_transport::conformance::{Harness, Peer, Saw};
use tourbillon_transport::memory::{MemoryPeer, MemoryTransport, Sent, pair};
use tourbillon_transport::{
    Message, MessageQueue, PingMode, Received, Transport, TransportInfo, TransportReader, TransportWriter,
    conformance_suite,
};
use tourbillon_types::{Disconnect, Encoding};

struct Memory;

struct MemoryClient(MemoryPeer);

impl Harness for Memory {
    type Transport = MemoryTransport;
    type Peer = MemoryClient;

    const LIMIT: usize = 64 * 1024;
    const BOUNDED: bool = false;

    async fn connect(&self) -> (MemoryTransport, MemoryClient) {
        let (transport, peer) = pair(TransportInfo::new("memory", Encoding::Json), 100_000);
        (transport, MemoryClient(peer))
    }
}

impl Peer for MemoryClient {
    async fn send(&mut self, message: &[u8]) {
        self.0.ready().await;
        self.0.send(message.to_vec());
    }

    async fn recv(&mut self) -> Saw {
        loop {
            match self.0.recv().await {
                Sent::Message(message) => return Saw::Message(message.to_vec()),
                Sent::Closed(why) => return Saw::Closed(Some(why.code)),
                Sent::Ping => {}
            }
        }
    }

    async fn leave(self) {}
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future);
}

conformance_suite!(block_on, Memory);

#[test]
fn a_node_that_does_not_read_makes_a_polite_peer_wait() {
    block_on(async {
        let (transport, mut peer) = pair(TransportInfo::new("memory", Encoding::Json), 10);
        let (mut reader, writer) = transport.split();
        for _ in 0..2 {
            peer.ready().await;
            peer.send("6bytes");
        }
        let mut ready = std::pin::pin!(peer.ready());
        let mut poll = || ready.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending());
        assert_eq!(reader.recv().await.ok(), Some(Received::Message("6bytes".into())));
        assert!(poll().is_ready());
        drop((reader, writer));
    });
}

#[test]
fn pings_and_the_end_reach_the_peer() {
    block_on(async {
        let mut info = TransportInfo::new("memory", Encoding::Json);
        info.ping = PingMode::Native;
        let (transport, mut peer) = pair(info, 10);
        let (mut reader, mut writer) = transport.split();
        writer.ping();
        let mut queue = MessageQueue::new();
        poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("room");
        assert_eq!(peer.recv().await, Sent::Ping);
        peer.pong();
        assert_eq!(reader.recv().await.ok(), Some(Received::Pong));
        queue.push(Message::new(*b"unread"));
        poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("room");
        poll_fn(|cx| writer.poll_close(cx, &Disconnect::SHUTDOWN)).await.expect("open");
        assert_eq!(peer.closed().await, Disconnect::SHUTDOWN);
        assert_eq!(peer.try_recv(), None, "it ends once");
    });
}
