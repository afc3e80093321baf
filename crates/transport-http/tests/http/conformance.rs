//! The transport suite, with both halves of a client over sockets of their own.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use tourbillon_transport::conformance::{Harness, Peer, Saw};
use tourbillon_transport::{
    Mailed, MessageQueue, Received, Transport, TransportError, TransportInfo, TransportReader,
    TransportWriter, conformance_suite,
};
use tourbillon_transport_http::{HttpConfig, HttpReader, HttpWriter};
use tourbillon_types::{NodeId, SessionId};

use crate::support::{Answer, Server, block_on, get, post, send};

/// How messages are told apart.
#[derive(Clone, Copy)]
enum Kind {
    Lines,
    Events,
}

/// What carries the stream.
#[derive(Clone, Copy)]
enum Carrier {
    /// The body of an answer.
    Body,
    /// A socket of its own.
    Tcp,
    /// The same, if it were no plain TCP.
    Other,
}

#[derive(Clone, Copy)]
struct Stream(Kind, Carrier);

impl Harness for Stream {
    type Transport = Emulated;
    type Peer = Client;

    /// As a string in the request that brings it.
    const LIMIT: usize = 60_000;

    /// What is too large is refused with the request that brings it, and ends no connection.
    const BOUNDED: bool = false;

    async fn connect(&self) -> (Emulated, Client) {
        let mut server = match self.1 {
            Carrier::Body => Server::start(HttpConfig::default()).await,
            Carrier::Tcp => Server::lending(HttpConfig::default(), false).await,
            Carrier::Other => Server::lending(HttpConfig::default(), true).await,
        };
        let (request, begin, end): (_, &'static str, _) = match self.0 {
            Kind::Lines => (post("/connection/http_stream", "", "{}"), "", "\n"),
            Kind::Events => (get("/connection/sse?cf_connect=%7B%7D", "").into_bytes(), "data: ", "\n\n"),
        };
        let mut answer = send(server.address, request).await;
        assert_eq!(answer.status, 200);
        let (transport, _) = server.accept().await;
        let info = transport.info().clone();
        let (reader, mut writer) = transport.split();
        if matches!(self.0, Kind::Events) {
            poll_fn(|cx| writer.poll_write(cx, &mut MessageQueue::new())).await.expect("written");
            assert_eq!(answer.until(b"\r\n").await, Some(b"\r\n".to_vec()));
        }
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
    reader: HttpReader,
    first: bool,
}

impl TransportReader for AfterTheFirst {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        if std::mem::take(&mut self.first) {
            let first = self.reader.poll_recv(cx);
            assert!(matches!(first, Poll::Ready(Ok(Received::Message(first))) if first == "{}"));
        }
        loop {
            match ready!(self.reader.poll_recv(cx)) {
                // The harness wrote what comes before the first message.
                Ok(Received::WantsWrite) => {}
                other => return Poll::Ready(other),
            }
        }
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
    conformance_suite!(block_on, Stream(Kind::Lines, Carrier::Body));
}

mod sse {
    use super::*;
    conformance_suite!(block_on, Stream(Kind::Events, Carrier::Body));
}

mod http_stream_over_a_socket {
    use super::*;
    conformance_suite!(block_on, Stream(Kind::Lines, Carrier::Tcp));
}

mod sse_over_a_socket {
    use super::*;
    conformance_suite!(block_on, Stream(Kind::Events, Carrier::Tcp));
}

mod http_stream_over_another_stream {
    use super::*;
    conformance_suite!(block_on, Stream(Kind::Lines, Carrier::Other));
}
