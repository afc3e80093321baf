//! The transport suite, with fastwebsockets at the client's end.

use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket};
use tokio::net::TcpStream;
use tourbillon_transport::conformance::{Harness, Peer, Saw};
use tourbillon_transport::conformance_suite;
use tourbillon_transport_websocket::{WebSocketConfig, WebSocketTransport};

use crate::support::{Server, block_on, open};

struct Tcp {
    query: &'static str,
}

struct Client {
    socket: WebSocket<TcpStream>,
    opcode: OpCode,
}

impl Harness for Tcp {
    type Transport = WebSocketTransport;
    type Peer = Client;

    const LIMIT: usize = 65_536;

    async fn connect(&self) -> (WebSocketTransport, Client) {
        let mut server = Server::start(WebSocketConfig::default()).await;
        let (_, stream) = open(server.address, self.query, "").await;
        let (transport, _) = server.accept().await;
        let opcode = if self.query.is_empty() { OpCode::Text } else { OpCode::Binary };
        (transport, Client { socket: WebSocket::after_handshake(stream, Role::Client), opcode })
    }
}

impl Peer for Client {
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
