//! The in-memory transport passes the suite.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use tourbillon_transport::conformance::{Harness, Peer, Saw};
use tourbillon_transport::memory::{MemoryPeer, MemoryTransport, Sent, pair};
use tourbillon_transport::{TransportInfo, conformance_suite};
use tourbillon_types::Encoding;

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
