//! A WebSocket server that sends every message back: the peer for conformance suites such as Autobahn's.
//!
//! ```text
//! cargo run --release -p tourbillon-transport-websocket --example echo -- 127.0.0.1:9001
//! ```

use std::error::Error;
use std::future::poll_fn;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tourbillon_transport::{
    Accept, ConnContext, Message, MessageQueue, Received, Transport, TransportReader, TransportWriter,
};
use tourbillon_transport_websocket::{Compression, WebSocketConfig, WebSocketService, WebSocketTransport};
use tourbillon_types::Disconnect;
use tower_service::Service;

#[derive(Clone)]
struct Echo;

impl Accept<WebSocketTransport> for Echo {
    fn accept(&self, transport: WebSocketTransport, _: ConnContext) {
        tokio::spawn(echo(transport));
    }
}

async fn echo(transport: WebSocketTransport) {
    let (mut reader, mut writer) = transport.split();
    let mut queue = MessageQueue::new();
    loop {
        match reader.recv().await {
            Ok(Received::Message(message)) => {
                writer.set_opcode(reader.opcode());
                queue.push(Message::new(message));
            }
            Ok(Received::WantsWrite | Received::Pong) => {}
            Ok(Received::End) | Err(_) => break,
        }
        if poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.is_err() {
            return;
        }
    }
    // What the peer did wrong, or its own close, is told by the transport.
    let closed = poll_fn(|cx| writer.poll_close(cx, &Disconnect::CONNECTION_CLOSED)).await;
    if closed.is_ok() {
        while let Ok(Received::Message(_) | Received::WantsWrite | Received::Pong) = reader.recv().await {}
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut config = WebSocketConfig::default();
    config.message_size_limit = 32 << 20;
    config.compression = Some(Compression::default());
    let service = WebSocketService::new(Echo, config);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address).await?;
    #[expect(clippy::print_stdout, reason = "a program for people")]
    {
        println!("listening on {}", listener.local_addr()?);
    }
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            let service = service_fn(move |request| service.clone().call(request));
            let _ = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}
