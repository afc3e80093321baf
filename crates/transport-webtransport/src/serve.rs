//! One QUIC connection: its requests and its sessions.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tourbillon_transport::{Accept, ConnContext, Held, TransportInfo};
use tourbillon_types::{Disconnect, Encoding, PushKinds};
use tower_service::Service;

use crate::WebTransportConfig;
use crate::framing::Framing;
use crate::h3::{self, Answering, BodyError, Exchange, Purpose, RequestBody, SessionId, Stream, WRITE};
use crate::transport::{WebTransport, WebTransportReader, WebTransportWriter};

/// Time within which a connection is set up.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Time within which a stream says what it is for, as for the head of a request over TCP (HTTP-01).
const HEAD: Duration = Duration::from_secs(10);

/// The same for a piece of an answer whose length is not known before: a stream, of which every piece counts (EMU-06).
const PIECE: Duration = Duration::from_secs(1);

/// How long a connection is kept on which nothing is under way, once there was something. Before, it is [`HEAD`].
const QUIET: Duration = Duration::from_secs(30);

/// Time within which what is under way must end once the server stops.
const FAREWELL: Duration = Duration::from_secs(10);

/// Sessions of one connection at a time. Browsers have one.
const SESSIONS: u64 = 16;

/// Streams of sessions that nobody needs, after which a connection is not worth its memory.
const STRAYS: usize = 256;

/// Serves QUIC connections: requests by a `tower` service, sessions as connections for `A`.
#[derive(Clone, Debug)]
pub struct Http3<A> {
    accept: A,
    sessions: Option<Arc<WebTransportConfig>>,
}

/// What a session that may begin takes up, to be given back by its end.
#[derive(Clone, Debug, Default)]
pub struct Admitted {
    /// For as long as the connection lasts that it becomes.
    pub held: Option<Held>,
    /// Until it is one: a session that opens no stream is nothing yet.
    pub opening: Option<Held>,
}

/// Why a QUIC connection ended out of order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It was not set up.
    #[error("the handshake failed")]
    Handshake(#[from] quinn::ConnectionError),
    /// It was not set up in time.
    #[error("the handshake took too long")]
    Late,
    /// The peer broke off, or broke the rules.
    #[error(transparent)]
    Http(#[from] BodyError),
    /// The peer opened streams again and again that belong to no session.
    #[error("too many streams without a session")]
    Strays,
}

/// Sessions that wait for their stream.
#[derive(Default)]
struct Waiting(Mutex<HashMap<SessionId, oneshot::Sender<Stream>>>);

/// A session that waits; when it does so no longer, nothing is left of it.
struct Awaited<'a> {
    waiting: &'a Waiting,
    session: SessionId,
    stream: oneshot::Receiver<Stream>,
}

impl Waiting {
    fn wait(&self, session: SessionId) -> Awaited<'_> {
        let (sender, stream) = oneshot::channel();
        self.0.lock().insert(session, sender);
        Awaited { waiting: self, session, stream }
    }

    /// Whether somebody waited for it.
    fn arrived(&self, session: SessionId, stream: Stream) -> bool {
        self.0.lock().remove(&session).is_some_and(|waits| waits.send(stream).is_ok())
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.waiting.0.lock().remove(&self.session);
    }
}

impl<A> Http3<A> {
    /// Requests and, if they are configured, sessions, which are handed to `accept`.
    pub fn new(accept: A, sessions: Option<WebTransportConfig>) -> Self {
        Self { accept, sessions: sessions.map(Arc::new) }
    }
}

impl<A: Accept<WebTransport>> Http3<A> {
    /// Serves one connection to its end: of the connection, not of the sessions on it, which end with it.
    ///
    /// A request gets the peer's address among its extensions, like those over TCP. `admit` is asked, by the headers
    /// of its request, whether a session may begin, or answers with a status. After `stop` no more is begun, and what is
    /// under way has ten seconds to end.
    ///
    /// A connection on which nothing is under way ends by itself, after 30 s, or 10 s if there never was anything.
    ///
    /// # Errors
    ///
    /// How the connection ended, for the log.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the connection and everything on it.
    pub async fn serve<S, B>(
        &self,
        connecting: quinn::Connecting,
        service: S,
        admit: impl Fn(&HeaderMap) -> Result<Admitted, StatusCode>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError>
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone,
        B: Body<Data = Bytes>,
        B::Error: fmt::Display,
    {
        let mut stop = pin!(stop);
        let sessions = if self.sessions.is_some() { SESSIONS } else { 0 };
        // The settings are part of it: a peer that has no room for them has not let us begin.
        let set_up = async {
            let quic = connecting.await?;
            let peer =
                SocketAddr::new(quic.remote_address().ip().to_canonical(), quic.remote_address().port());
            Ok::<_, ServeError>((peer, h3::Server::begin(quic, sessions).await?))
        };
        let (peer, mut server) = tokio::select! {
            set_up = timeout(HANDSHAKE, set_up) => set_up.map_err(|_| ServeError::Late)??,
            () = &mut stop => return Ok(()),
        };
        let waiting = Waiting::default();
        let mut work = FuturesUnordered::new();
        let mut strays = 0;
        let mut stopping = false;
        let mut patience = pin!(sleep(HEAD));
        loop {
            tokio::select! {
                opened = server.accept() => match opened? {
                    Some(opened) => work.push(self.stream(opened, peer, service.clone(), &admit, &waiting)),
                    None => break,
                },
                Some(stray) = work.next(), if !work.is_empty() => {
                    strays += usize::from(stray);
                    if strays > STRAYS {
                        return Err(ServeError::Strays);
                    }
                    if work.is_empty() && !stopping {
                        patience.set(sleep(QUIET));
                    }
                }
                () = &mut stop, if !stopping => {
                    stopping = true;
                    server.leave().await?;
                    patience.set(sleep(FAREWELL));
                }
                () = &mut patience, if stopping || work.is_empty() => return Ok(()),
            }
            if stopping && work.is_empty() {
                return Ok(());
            }
        }
        while work.next().await.is_some() {}
        Ok(())
    }

    /// Serves what came on one stream; `true` if it was for nothing.
    async fn stream<S, B>(
        &self,
        opened: h3::Opened,
        peer: SocketAddr,
        service: S,
        admit: impl Fn(&HeaderMap) -> Result<Admitted, StatusCode>,
        waiting: &Waiting,
    ) -> bool
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
        B: Body<Data = Bytes>,
        B::Error: fmt::Display,
    {
        let served = match timeout(HEAD, opened.purpose()).await {
            Err(_) => return true,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "a stream is passed over");
                return true;
            }
            Ok(Ok(Purpose::Session(session, stream))) => return !waiting.arrived(session, stream),
            Ok(Ok(Purpose::Request(asked))) => match &self.sessions {
                Some(config) if h3::asks_for_session(&asked.0) => {
                    self.session(config, *asked, peer, admit, waiting).await
                }
                _ => {
                    let (request, exchange) = *asked;
                    answer(request, exchange, peer, service).await
                }
            },
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "a request over HTTP/3 broke off");
        }
        false
    }

    /// One session, from its request to its end.
    async fn session(
        &self,
        config: &WebTransportConfig,
        asked: (Request<()>, Exchange),
        peer: SocketAddr,
        admit: impl Fn(&HeaderMap) -> Result<Admitted, StatusCode>,
        waiting: &Waiting,
    ) -> Result<(), BodyError> {
        let (request, Exchange { mut answer, mut body }) = asked;
        let (head, ()) = request.into_parts();
        if head.uri.path() != config.path {
            return refuse(&mut answer, StatusCode::NOT_FOUND, "nothing is here\n").await;
        }
        let Admitted { held, opening } = match admit(&head.headers) {
            Ok(admitted) => admitted,
            Err(status) => return refuse(&mut answer, status, "too many connections\n").await,
        };
        if !config.origins.allows(head.headers.get(ORIGIN).map(HeaderValue::as_bytes)) {
            tracing::info!(origin = ?head.headers.get(ORIGIN), "session refused: origin is not among client.allowed_origins");
            return refuse(&mut answer, StatusCode::FORBIDDEN, "this origin may not connect\n").await;
        }
        let mut awaited = waiting.wait(answer.session());
        let mut accepted = Response::new(());
        let draft = HeaderName::from_static("sec-webtransport-http3-draft");
        accepted.headers_mut().insert(draft, HeaderValue::from_static("draft02"));
        answer.head(accepted).await?;

        let mut ended = pin!(body.ended());
        let stream = tokio::select! {
            stream = timeout(config.stream_timeout, &mut awaited.stream) => stream,
            () = &mut ended => return answer.finish().await,
        };
        drop((awaited, opening));
        let Ok(Ok(stream)) = stream else {
            return answer.end_session(&Disconnect::STALE).await;
        };
        let encoding = match head.uri.query() {
            Some(query) if query.split('&').any(|pair| pair == "cf_protocol=protobuf") => Encoding::Protobuf,
            _ => Encoding::Json,
        };
        let mut info = TransportInfo::new("webtransport", encoding);
        info.suppressed = PushKinds::NONE;
        info.peer = Some(peer);
        info.write_timeout = Some(config.write_timeout);
        let framing = Framing::from(encoding);
        let (sending, receiving) = stream.split();
        let (gone, session) = oneshot::channel::<()>();
        let (end, mut why) = oneshot::channel();
        let reader = WebTransportReader::new(receiving, framing, config.message_size_limit, session);
        let writer = WebTransportWriter::new(sending, framing, end);
        let mut context = ConnContext::new(head.headers);
        context.held = held;
        self.accept.accept(WebTransport { info, reader, writer }, context);

        let why = tokio::select! {
            why = &mut why => why.unwrap_or(Disconnect::CONNECTION_CLOSED),
            () = &mut ended => return answer.finish().await,
        };
        // The client has the disconnect push and ends the session itself; if not, it is told the session's way.
        if timeout(config.close_delay, &mut ended).await.is_err() {
            answer.end_session(&why).await?;
            let _ = timeout(config.close_delay, &mut ended).await;
        }
        drop(gone);
        Ok(())
    }
}

async fn refuse(answer: &mut Answering, status: StatusCode, text: &'static str) -> Result<(), BodyError> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.head(head).await?;
    answer.data(Bytes::from_static(text.as_bytes()), WRITE).await?;
    answer.finish().await
}

/// One request.
async fn answer<S, B>(
    request: Request<()>,
    exchange: Exchange,
    peer: SocketAddr,
    mut service: S,
) -> Result<(), BodyError>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
    B::Error: fmt::Display,
{
    let Exchange { mut answer, body } = exchange;
    let mut request = request.map(|()| body);
    request.extensions_mut().insert(peer);
    if let Err(never) = std::future::poll_fn(|cx| service.poll_ready(cx)).await {
        match never {}
    }
    let (head, body) = match service.call(request).await {
        Ok(told) => told.into_parts(),
        Err(never) => match never {},
    };
    answer.head(Response::from_parts(head, ())).await?;
    let limit = if body.size_hint().exact().is_some() { WRITE } else { PIECE };
    let mut body = pin!(body);
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => answer.data(data, limit).await?,
            // Trailers, of which we send none.
            Ok(Err(_)) => {}
            Err(error) => {
                tracing::debug!(%peer, %error, "an answer over HTTP/3 ended early");
                answer.give_up();
                return Ok(());
            }
        }
    }
    answer.finish().await
}
