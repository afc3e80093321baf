//! A server to connect to, and a client that sends exactly the bytes a test says.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tourbillon_transport::{
    Accept, ConnContext, Message, MessageQueue, Received, Transport, TransportReader, TransportWriter,
};
use tourbillon_transport_websocket::{
    UniWebSocketConfig, UniWebSocketService, UniWebSocketTransport, WebSocketConfig, WebSocketService,
    WebSocketTransport,
};
use tourbillon_types::Disconnect;
use tower_service::Service;

/// Runs a test to its end, or fails it if it hangs.
pub(crate) fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(30), future).await };
    runtime.block_on(limited).expect("the test hangs");
}

/// Hands every connection to the test.
pub(crate) struct ToTest<T = WebSocketTransport>(mpsc::UnboundedSender<(T, ConnContext)>);

impl<T> Clone for ToTest<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Transport> Accept<T> for ToTest<T> {
    fn accept(&self, transport: T, context: ConnContext) {
        let _ = self.0.send((transport, context));
    }
}

/// A hyper server on a port of its own.
pub(crate) struct Server<T = WebSocketTransport> {
    pub(crate) address: SocketAddr,
    accepted: mpsc::UnboundedReceiver<(T, ConnContext)>,
}

pub(crate) fn service(
    config: WebSocketConfig,
) -> (WebSocketService<ToTest>, mpsc::UnboundedReceiver<(WebSocketTransport, ConnContext)>) {
    let (accept, accepted) = mpsc::unbounded_channel();
    (WebSocketService::new(ToTest(accept), config), accepted)
}

impl Server<UniWebSocketTransport> {
    pub(crate) async fn uni(config: UniWebSocketConfig) -> Self {
        let (accept, accepted) = mpsc::unbounded_channel();
        Self::serve(UniWebSocketService::new(ToTest(accept), config), accepted).await
    }
}

impl Server {
    pub(crate) async fn start(config: WebSocketConfig) -> Self {
        let (service, accepted) = service(config);
        Self::serve(service, accepted).await
    }
}

impl<T: Transport> Server<T> {
    async fn serve<S>(service: S, accepted: mpsc::UnboundedReceiver<(T, ConnContext)>) -> Self
    where
        S: Service<hyper::Request<Incoming>, Response = hyper::Response<Full<Bytes>>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let service = service.clone();
                let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
                    request.extensions_mut().insert(peer);
                    service.clone().call(request)
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(connection.with_upgrades());
            }
        });
        Self { address, accepted }
    }

    pub(crate) async fn accept(&mut self) -> (T, ConnContext) {
        self.accepted.recv().await.expect("a connection")
    }
}

impl Server {
    /// Answers every message with itself, on this connection and all that follow.
    pub(crate) fn echo(mut self) -> SocketAddr {
        let address = self.address;
        tokio::spawn(async move {
            while let Some((transport, _)) = self.accepted.recv().await {
                tokio::spawn(echo(transport));
            }
        });
        address
    }
}

pub(crate) async fn echo(transport: WebSocketTransport) {
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
    let _ = poll_fn(|cx| writer.poll_close(cx, &Disconnect::CONNECTION_CLOSED)).await;
    while let Ok(Received::Message(_) | Received::WantsWrite | Received::Pong) = reader.recv().await {}
}

/// The answer to a handshake.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends a request as it is and reads the head of the answer.
pub(crate) async fn request(address: SocketAddr, request: &str) -> (Answer, TcpStream) {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    (request_on(&mut stream, request).await, stream)
}

/// The same, on a connection that is there already.
pub(crate) async fn request_on<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.expect("send");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head }
}

/// A proper handshake, with more headers (each ended by CR LF) and what follows `/`.
pub(crate) fn handshake(query: &str, headers: &str) -> String {
    format!(
        "GET /{query} HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

pub(crate) async fn open(address: SocketAddr, query: &str, headers: &str) -> (Answer, TcpStream) {
    let (answer, stream) = request(address, &handshake(query, headers)).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    (answer, stream)
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame: the first byte as given, the rest right.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | u8::try_from(length).expect("short")),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(length).expect("medium").to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]));
    out
}

/// The server's next frame, first byte and payload; `None` at the end of the stream.
pub(crate) async fn next_frame<R: AsyncRead + Unpin>(stream: &mut R) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let length = match stream.read_u8().await.ok()? {
        126 => usize::from(stream.read_u16().await.ok()?),
        127 => usize::try_from(stream.read_u64().await.ok()?).ok()?,
        short => {
            assert!(short < 0x80, "a server does not mask");
            usize::from(short)
        }
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    Some((first, payload))
}
