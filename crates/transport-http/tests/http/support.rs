//! A server to connect to, and a client that sends exactly the bytes a test says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tourbillon_transport::{Accept, ConnContext, Inject, InjectError, Lender, Mailbox};
use tourbillon_transport_http::{
    EmulationService, HttpBody, HttpConfig, HttpTransport, InitService, OfferSocket, PendingStream,
    StreamService,
};
use tourbillon_types::{NodeId, SessionId};
use tower_service::Service;

/// Runs a test to its end, or fails it if it hangs.
pub(crate) fn block_on(future: impl Future<Output = ()>) {
    run(false, future);
}

/// The same, with a clock that jumps to whatever is waited for.
pub(crate) fn block_on_paused(future: impl Future<Output = ()>) {
    run(true, future);
}

fn run(paused: bool, future: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(paused).build().expect("a runtime");
    let limit = Duration::from_secs(if paused { 3_600 } else { 30 });
    let limited = async { tokio::time::timeout(limit, future).await };
    runtime.block_on(limited).expect("the test hangs");
}

type Accepted = (HttpTransport, ConnContext);

/// Hands every connection to the test.
#[derive(Clone)]
pub(crate) struct ToTest(mpsc::UnboundedSender<Accepted>);

impl ToTest {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Accepted>) {
        let (accept, accepted) = mpsc::unbounded_channel();
        (Self(accept), accepted)
    }
}

impl Accept<HttpTransport> for ToTest {
    fn accept(&self, transport: HttpTransport, context: ConnContext) {
        let _ = self.0.send((transport, context));
    }
}

/// The sessions of a node of this name.
#[derive(Clone)]
pub(crate) struct Sessions {
    pub(crate) node: NodeId,
    pub(crate) mailboxes: Arc<Mutex<HashMap<SessionId, Mailbox>>>,
}

impl Inject for Sessions {
    async fn inject(&self, node: NodeId, session: SessionId, frame: Bytes) -> Result<(), InjectError> {
        if node != self.node {
            return Err(InjectError::NoNode);
        }
        let mailbox = self.mailboxes.lock().get(&session).cloned().ok_or(InjectError::NoSession)?;
        let delivered = tokio::time::timeout(Duration::from_secs(10), mailbox.deliver(frame)).await;
        delivered.unwrap_or(Err(InjectError::Unavailable))
    }
}

/// All endpoints under their usual paths.
#[derive(Clone)]
pub(crate) struct Endpoints {
    streams: [(&'static str, StreamService<ToTest>); 4],
    emulation: EmulationService<Sessions>,
    init: InitService,
}

impl Endpoints {
    pub(crate) fn new(config: HttpConfig) -> (Self, Sessions, mpsc::UnboundedReceiver<Accepted>) {
        let (accept, accepted) = ToTest::new();
        let sessions = Sessions { node: NodeId::random(), mailboxes: Arc::default() };
        let endpoints = Self {
            streams: [
                ("/connection/http_stream", StreamService::http_stream(accept.clone(), config.clone())),
                ("/connection/sse", StreamService::sse(accept.clone(), config.clone())),
                (
                    "/connection/uni_http_stream",
                    StreamService::uni_http_stream(accept.clone(), config.clone()),
                ),
                ("/connection/uni_sse", StreamService::uni_sse(accept, config.clone())),
            ],
            emulation: EmulationService::new(sessions.clone(), config.clone()),
            init: InitService::new(config),
        };
        (endpoints, sessions, accepted)
    }

    pub(crate) async fn answer(
        mut self,
        request: Request<Incoming>,
    ) -> Result<Response<HttpBody>, Infallible> {
        let path = request.uri().path().to_owned();
        if let Some((_, stream)) = self.streams.iter_mut().find(|(at, _)| *at == path) {
            return stream.call(request).await;
        }
        match path.as_str() {
            "/emulation" => self.emulation.call(request).await,
            "/connection/init" => self.init.call(request).await,
            path => panic!("{path}"),
        }
    }
}

/// A hyper server on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) sessions: Sessions,
    accepted: mpsc::UnboundedReceiver<Accepted>,
}

/// Takes the stream of an answer when it is asked for something, and leaves it to who has lent the socket.
struct Leaving(HttpBody, Arc<Mutex<Option<PendingStream>>>);

impl Body for Leaving {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(stream) = self.0.take_stream() {
            *self.1.lock() = Some(stream);
        }
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Serves one connection whose streams get the socket. `hidden`: as something that is not plain TCP.
async fn serve_lending(stream: TcpStream, peer: SocketAddr, endpoints: Endpoints, hidden: bool) {
    let pending = Arc::<Mutex<Option<PendingStream>>>::default();
    let left = pending.clone();
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(OfferSocket);
        let (endpoints, left) = (endpoints.clone(), left.clone());
        async move { Ok::<_, Infallible>(endpoints.answer(request).await?.map(|body| Leaving(body, left))) }
    });
    let (lender, lent) = Lender::lend(stream);
    let mut served = Box::pin(http1::Builder::new().serve_connection(TokioIo::new(lent), answer));
    let over = poll_fn(|cx| {
        let over = served.as_mut().poll(cx).is_ready();
        if over || (pending.lock().is_some() && lender.is_flushed()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    over.await;
    drop(served);
    let stream = pending.lock().take();
    if let (Some(stream), Some(socket)) = (stream, lender.take()) {
        if hidden {
            let (read, write) = socket.into_split();
            stream.begin(tokio::io::join(read, write));
        } else {
            stream.begin(socket);
        }
    }
}

impl Server {
    /// One whose streams get their sockets.
    pub(crate) async fn lending(config: HttpConfig, hidden: bool) -> Self {
        let (endpoints, sessions, accepted) = Endpoints::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                tokio::spawn(serve_lending(stream, peer, endpoints.clone(), hidden));
            }
        });
        Self { address, sessions, accepted }
    }

    pub(crate) async fn start(config: HttpConfig) -> Self {
        let (endpoints, sessions, accepted) = Endpoints::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let endpoints = endpoints.clone();
                let answer = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(peer);
                    endpoints.clone().answer(request)
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { address, sessions, accepted }
    }

    pub(crate) async fn accept(&mut self) -> Accepted {
        self.accepted.recv().await.expect("a connection")
    }

    /// Whether no connection came.
    pub(crate) fn has_accepted_nothing(&mut self) -> bool {
        self.accepted.try_recv().is_err()
    }
}

/// An answer as it comes in.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    stream: TcpStream,
    /// What of the body is there and not taken.
    body: Vec<u8>,
    ended: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The next piece of a chunked body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let mut length = String::new();
        while !length.ends_with("\r\n") {
            match self.stream.read_u8().await {
                Ok(byte) => length.push(char::from(byte)),
                Err(_) => {
                    self.ended = true;
                    return None;
                }
            }
        }
        let length = usize::from_str_radix(length.trim(), 16).expect("a length");
        let mut chunk = vec![0; length + 2];
        self.stream.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(length);
        self.ended = length == 0;
        (length > 0).then_some(chunk)
    }

    /// What comes up to and with this end; `None` if the body ends before.
    pub(crate) async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self.body.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return Some(self.body.drain(..at + end.len()).collect());
            }
            let chunk = self.chunk().await?;
            self.body.extend_from_slice(&chunk);
        }
    }

    /// The whole body of an answer that has a length.
    pub(crate) async fn text(mut self) -> String {
        let length = self.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.expect("the body");
        String::from_utf8(body).expect("text")
    }
}

/// Sends a request as it is and reads the head of the answer.
pub(crate) async fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    // A server that refuses early does not read all of it.
    let _ = stream.write_all(request.as_ref()).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head, stream, body: Vec::new(), ended: false }
}

/// A `POST` with these headers, each ended by CR LF.
pub(crate) fn post(path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: a.example\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

pub(crate) fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n")
}
