//! The transport suite, with a client of another maker.

use tourbillon_transport::conformance::{Harness, Peer, Saw};
use tourbillon_transport::conformance_suite;
use tourbillon_transport_webtransport::{WebTransport, WebTransportConfig};
use wtransport::{Connection, Endpoint, RecvStream, SendStream};

use crate::support::{Server, block_on, client, request};

/// Messages in JSON, a line each.
struct Lines;

impl Harness for Lines {
    type Transport = WebTransport;
    type Peer = Client;

    const LIMIT: usize = 65_536;

    async fn connect(&self) -> (WebTransport, Client) {
        let mut server = Server::start(WebTransportConfig::default());
        let endpoint = client();
        let url = server.url("/connection/webtransport");
        let session = endpoint.connect(request(url).build()).await.expect("a session");
        let (send, recv) = session.open_bi().await.expect("a stream").await.expect("a stream");
        let (transport, _) = server.accept().await;
        let client =
            Client { send, recv, received: Vec::new(), session, _endpoint: endpoint, _server: server };
        (transport, client)
    }
}

struct Client {
    send: SendStream,
    recv: RecvStream,
    received: Vec<u8>,
    session: Connection,
    _endpoint: Endpoint<wtransport::endpoint::endpoint_side::Client>,
    _server: Server,
}

impl Client {
    fn next(&mut self) -> Option<Vec<u8>> {
        let end = self.received.iter().position(|&byte| byte == b'\n')?;
        let mut line: Vec<u8> = self.received.drain(..=end).collect();
        line.pop();
        Some(line)
    }
}

impl Peer for Client {
    async fn send(&mut self, message: &[u8]) {
        let _ = self.send.write_all(&[message, b"\n"].concat()).await;
    }

    async fn recv(&mut self) -> Saw {
        loop {
            if let Some(message) = self.next() {
                return Saw::Message(message);
            }
            let mut piece = [0; 4096];
            match self.recv.read(&mut piece).await {
                Ok(Some(length)) => self.received.extend_from_slice(&piece[..length]),
                Ok(None) | Err(_) => return Saw::Closed(None),
            }
        }
    }

    async fn leave(mut self) {
        let _ = self.send.finish().await;
        self.session.close(0_u32.into(), b"");
    }
}

conformance_suite!(block_on, Lines);
