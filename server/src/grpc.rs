//! The ports on which GRPC is spoken: that of the unidirectional stream (UNI-07) and that of the API (NET-08).

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tourbillon::grpc::{GrpcBody, UniStreamService};
use tourbillon::node::Node;
use tourbillon::transport::Held;
use tourbillon_api::{GrpcApi, GrpcApiBody};
use tower_service::Service;

use crate::admission::{Admission, Opening};
use crate::listen::{PAUSE, Pace, Streams, canonical, is_about_one};
use tourbillon_tls::Tls;

/// Time between pings of a connection on which nothing comes, and time for their answers.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(25), Duration::from_secs(5));

/// Time within which a connection must have brought its first call, with TLS once before that and once after, and within which it must be gone once the server
/// stops.
const PATIENCE: Duration = Duration::from_secs(10);

/// After how many times [`PATIENCE`] a connection ends that does nothing. The HTTP library's own pings do not end one
/// whose client reads nothing: the farewell waits to be written then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// Before its first call.
    first: u32,
    /// After its last one.
    last: u32,
}

impl Idle {
    /// Clients that come for a stream.
    pub(crate) const CLIENTS: Self = Self { first: 1, last: 3 };

    /// Backends, which keep connections for the next call: half an hour.
    pub(crate) const BACKENDS: Self = Self { first: 6, last: 180 };
}

/// The largest head of a call, in bytes.
const HEAD_LIMIT: u32 = 16 * 1024;

/// Calls at once on one connection: a proxy has many clients behind it.
const STREAMS: u32 = 1_000;

/// How much of a stream the HTTP library takes in advance.
const SEND_BUFFER: usize = 16 * 1024;

/// What the calls of a port share.
#[derive(Clone, Debug)]
pub(crate) struct GrpcPort<S> {
    pub(crate) service: S,
    /// Who is let in; `None`: everybody.
    pub(crate) admission: Option<Admission>,
    pub(crate) tls: Option<Tls>,
    pub(crate) idle: Idle,
}

/// What answers calls.
pub(crate) trait Answers:
    Service<Request<Incoming>, Response = Response<Self::Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static;
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Answers for UniStreamService<Node> {
    type Body = GrpcBody;
}

impl Answers for GrpcApi {
    type Body = GrpcApiBody;
}

/// Serves the port until `stop` is cancelled, and then the calls that are under way.
pub(crate) async fn serve<S: Answers>(listener: TcpListener, port: GrpcPort<S>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = canonical(peer);
                // One that may not stand is closed by this, without a word.
                let opening = port.admission.as_ref().map(|admission| admission.open(Some(peer)));
                if let Some(opening) = opening.map_or(Some(None), |opening| opening.map(Some)) {
                    let _ = stream.set_nodelay(true);
                    let opening = Arc::new(Mutex::new(Opened::Waiting(opening)));
                    let streams = Streams::new(connections.clone());
                    let calls = Calls { port: port.clone(), peer, opening, streams };
                    let Some(tls) = &port.tls else {
                        connections.spawn(converse(stream, calls, stop.clone()));
                        continue;
                    };
                    let (tls, stop) = (tls.clone(), stop.clone());
                    connections.spawn(async move {
                        if let Some(stream) = secure(&tls, stream, peer).await {
                            converse(stream, calls, stop).await;
                        }
                    });
                }
            }
            Err(error) if is_about_one(error.kind()) => tracing::debug!(%error, "a connection was not taken"),
            Err(error) => {
                tracing::warn!(%error, "connections cannot be accepted");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// TLS on a connection, if it comes about in time.
async fn secure(tls: &Tls, stream: TcpStream, peer: SocketAddr) -> Option<TlsStream<TcpStream>> {
    // Whoever chooses no protocol speaks HTTP/2: nothing else is spoken here.
    let handshake = TlsAcceptor::from(tls.current()).accept(stream);
    match timeout(PATIENCE, handshake).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "GRPC connection refused: TLS"),
        Err(_) => tracing::debug!(%peer, "GRPC connection refused: TLS took too long"),
    }
    None
}

/// Serves one connection.
fn converse<T, S>(
    stream: T,
    calls: Calls<S>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    let (peer, opening, streams) = (calls.peer, calls.opening.clone(), calls.streams.clone());
    let limits = calls.port.idle;
    let served = http2::Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_LIMIT)
        .max_send_buf_size(SEND_BUFFER)
        .serve_connection(TokioIo::new(stream), calls);
    async move {
        let mut served = pin!(served);
        let _gone = streams.end_with();
        let mut patience = pin!(sleep(PATIENCE));
        let (mut idle, mut stopping) = (0, false);
        loop {
            tokio::select! {
                result = &mut served => {
                    if let Err(error) = result {
                        tracing::debug!(%peer, %error, "GRPC connection failed");
                    }
                    return;
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    patience.set(sleep(PATIENCE));
                    served.as_mut().graceful_shutdown();
                }
                () = streams.exhausted() => {
                    tracing::debug!(%peer, "GRPC connection ended: it takes its calls back");
                    return;
                }
                () = &mut patience => {
                    patience.set(sleep(PATIENCE));
                    idle = if streams.is_idle() { idle + 1 } else { 0 };
                    // Where the server stops, calls have ended by now: the node has closed their streams.
                    let late = stopping && (idle > 0 || stop.is_cancelled());
                    if late || (idle >= limits.first && opening.lock().is_waiting()) {
                        tracing::debug!(%peer, stopping, "GRPC connection ended: it did nothing in time");
                        return;
                    }
                    if idle == limits.last && !stopping {
                        stopping = true;
                        served.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    }
}

/// Whether a connection has brought a call.
enum Opened {
    /// Not yet; with its place among those that have not, where these are counted.
    Waiting(#[expect(dead_code, reason = "given back when it is dropped")] Option<Opening>),
    Called,
}

impl Opened {
    const fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }
}

/// The calls of one connection.
struct Calls<S> {
    port: GrpcPort<S>,
    peer: SocketAddr,
    opening: Arc<Mutex<Opened>>,
    streams: Streams,
}

impl<S: Answers> hyper::service::Service<Request<Incoming>> for Calls<S> {
    type Response = Response<Paced<S::Body>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        *self.opening.lock() = Opened::Called;
        request.extensions_mut().insert(self.peer);
        let (pace, begun) = self.streams.begin();
        let admission = self.port.admission.as_ref();
        match admission.map(|admission| admission.admit(self.peer, request.headers())).transpose() {
            Ok(None) => {}
            // The connection that the call begins has it for as long as it lasts.
            Ok(Some(permit)) => {
                request.extensions_mut().insert(Held::new(permit));
            }
            Err(refused) => {
                begun.answered();
                return Box::pin(std::future::ready(Ok(too_many(refused.status()))));
            }
        }
        let mut service = self.port.service.clone();
        Box::pin(async move {
            let answer = service.call(request).await;
            begun.answered();
            answer.map(|answer| answer.map(|body| Paced(Some((body, pace)))))
        })
    }
}

/// A call that is not admitted: 8, resource exhausted, for one address; 14, unavailable, for all.
fn too_many<B>(status: StatusCode) -> Response<Paced<B>> {
    let mut answer = Response::new(Paced(None));
    let code = if status == StatusCode::TOO_MANY_REQUESTS { "8" } else { "14" };
    for (name, value) in [("grpc-status", code), ("grpc-message", "too many connections")] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

/// The answer to a call, which counts among what its connection has to write. `None`: it has no body.
pub(crate) struct Paced<B>(Option<(B, Pace)>);

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some((body, pace)) = &mut self.0 else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| pace.hand(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}
