//! The transport suite, with both halves of a client over sockets of their own.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use tourbillon_transport::conformance::{Harness, Peer, Saw};
use tourbillon_transport::slot::SlotReader;
use tourbillon_transport::{
    Mailed, Received, Transport, TransportError, TransportInfo, TransportReader, conformance_suite,
};
use tourbillon_transport_http::{HttpConfig, HttpWriter};
use tourbillon_types::{NodeId, SessionId};

use crate::support::{Answer, Server, block_on, get, post, send};

/// How messages are told apart.
#[derive(Clone, Copy)]
enum Stream {
    Lines,
    Events,
}

impl Harness for Stream {
    type Transport = Emulated;
    type Peer = Client;

    /// As a string in the request that brings it.
    const LIMIT: usize = 60_000;

    /// What is too large is refused with the request that brings it, and ends no connection.
    const BOUNDED: bool = false;

    async fn connect(&self) -> (Emulated, Client) {
        let mut server = Server::start(HttpConfig::default()).await;
        let (request, begin, end): (_, &'static str, _) = match self {
            Self::Lines => (post("/connection/http_stream", "", "{}"), "", "\n"),
            Self::Events => (get("/connection/sse?cf_connect=%7B%7D", "").into_bytes(), "data: ", "\n\n"),
        };
        let mut answer = send(server.address, request).await;
        assert_eq!(answer.status, 200);
        if matches!(self, Self::Events) {
            assert_eq!(answer.until(b"\r\n").await, Some(b"\r\n".to_vec()));
        }
        let (transport, _) = server.accept().await;
        let info = transport.info().clone();
        let (reader, writer) = transport.split();
        let (reader, mailbox) = Mailed::new(AfterTheFirst { reader, first: true });
        let session = SessionId::random();
        server.sessions.mailboxes.lock().insert(session, mailbox);
        let client =
            Client { answer, begin, end, address: server.address, node: server.sessions.node, session };
        (Emulated { info, reader, writer }, client)
    }
}

/// A connection whose client sends by the emulation endpoint.
struct Emulated {
    info: TransportInfo,
    reader: Mailed<AfterTheFirst>,
    writer: HttpWriter,
}

impl Transport for Emulated {
    type Reader = Mailed<AfterTheFirst>;
    type Writer = HttpWriter;

    fn info(&self) -> &TransportInfo {
        &self.info
    }

    fn split(self) -> (Self::Reader, HttpWriter) {
        (self.reader, self.writer)
    }
}

/// Without the message that began the connection.
struct AfterTheFirst {
    reader: SlotReader,
    first: bool,
}

impl TransportReader for AfterTheFirst {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        if std::mem::take(&mut self.first) {
            let first = self.reader.poll_recv(cx);
            assert!(matches!(first, Poll::Ready(Ok(Received::Message(first))) if first == "{}"));
        }
        self.reader.poll_recv(cx)
    }
}

struct Client {
    answer: Answer,
    begin: &'static str,
    end: &'static str,
    address: SocketAddr,
    node: NodeId,
    session: SessionId,
}

impl Peer for Client {
    async fn send(&mut self, message: &[u8]) {
        let message = String::from_utf8(message.to_vec()).expect("text");
        let body = serde_json::json!({
            "node": self.node.to_string(),
            "session": self.session.text().as_str(),
            "data": message,
        });
        let answer = send(self.address, post("/emulation", "", body.to_string())).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    async fn recv(&mut self) -> Saw {
        let Some(message) = self.answer.until(self.end.as_bytes()).await else { return Saw::Closed(None) };
        let message = message.strip_suffix(self.end.as_bytes()).expect("an end");
        Saw::Message(message.strip_prefix(self.begin.as_bytes()).expect("a beginning").to_vec())
    }

    async fn leave(self) {}
}

mod http_stream {
    use super::*;
    conformance_suite!(block_on, Stream::Lines);
}

mod sse {
    use super::*;
    conformance_suite!(block_on, Stream::Events);
}
