//! The transport suite, with fastwebsockets at the client's end.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tourbillon_transport::conformance::{Harness, Peer, Saw};
use tourbillon_transport::conformance_suite;
use tourbillon_transport_websocket::{WebSocketConfig, WebSocketTransport};

use crate::support::{Server, block_on, handshake, open, request_on, service};

/// Over TCP.
struct Tcp {
    query: &'static str,
}

impl Harness for Tcp {
    type Transport = WebSocketTransport;
    type Peer = Client<TcpStream>;

    const LIMIT: usize = 65_536;

    async fn connect(&self) -> (WebSocketTransport, Client<TcpStream>) {
        let mut server = Server::start(WebSocketConfig::default()).await;
        let (_, stream) = open(server.address, self.query, "").await;
        let (transport, _) = server.accept().await;
        let opcode = if self.query.is_empty() { OpCode::Text } else { OpCode::Binary };
        (transport, Client { socket: WebSocket::after_handshake(stream, Role::Client), opcode })
    }
}

/// Over a stream that is not TCP, such as one with TLS: it stays behind what the HTTP server made of it.
struct Layered {
    /// Whether it takes several pieces at once.
    vectored: bool,
}

struct Stream {
    below: DuplexStream,
    vectored: bool,
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.below).poll_read(cx, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.below).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        assert!(self.vectored, "several pieces for a stream that takes one");
        Pin::new(&mut self.below).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.below).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.below).poll_shutdown(cx)
    }
}

impl Harness for Layered {
    type Transport = WebSocketTransport;
    type Peer = Client<DuplexStream>;

    const LIMIT: usize = 65_536;

    async fn connect(&self) -> (WebSocketTransport, Client<DuplexStream>) {
        let (service, mut accepted) = service(WebSocketConfig::default());
        let (mut near, below) = tokio::io::duplex(3_000);
        let stream = TokioIo::new(Stream { below, vectored: self.vectored });
        let connection = http1::Builder::new().serve_connection(stream, TowerToHyperService::new(service));
        tokio::spawn(connection.with_upgrades());
        let answer = request_on(&mut near, &handshake("", "")).await;
        assert_eq!(answer.status, 101);
        let (transport, _) = accepted.recv().await.expect("a connection");
        let socket = WebSocket::after_handshake(near, Role::Client);
        (transport, Client { socket, opcode: OpCode::Text })
    }
}

pub(crate) struct Client<S> {
    pub(crate) socket: WebSocket<S>,
    pub(crate) opcode: OpCode,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer for Client<S> {
    async fn send(&mut self, message: &[u8]) {
        let frame = Frame::new(true, self.opcode, None, Payload::Owned(message.to_vec()));
        // The server may have had enough already.
        let _ = self.socket.write_frame(frame).await;
    }

    async fn recv(&mut self) -> Saw {
        let Ok(frame) = self.socket.read_frame().await else { return Saw::Closed(None) };
        match frame.opcode {
            OpCode::Close => {
                let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code).into());
                Saw::Closed(code)
            }
            opcode => {
                assert_eq!(opcode, self.opcode);
                Saw::Message(frame.payload.to_vec())
            }
        }
    }

    async fn leave(mut self) {
        let _ = self.socket.write_frame(Frame::close(1000, b"")).await;
    }
}

mod json {
    use super::*;
    conformance_suite!(block_on, Tcp { query: "" });
}

mod protobuf {
    use super::*;
    conformance_suite!(block_on, Tcp { query: "?format=protobuf" });
}

mod layered {
    use super::*;
    conformance_suite!(block_on, Layered { vectored: true });
}

mod layered_piece_by_piece {
    use super::*;
    conformance_suite!(block_on, Layered { vectored: false });
}
