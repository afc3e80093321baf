//! The endpoints that connections begin at.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, PRAGMA};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use tourbillon_protocol::connect_frame;
use tourbillon_transport::slot::Slot;
use tourbillon_transport::{Accept, ConnContext, Held, TransportInfo};
use tourbillon_types::{Direction, Encoding, PushKinds};
use tower_service::Service;

use crate::failure::{Refused, Verdict};
use crate::framing::Framing;
use crate::places::LastEventId;
use crate::request::{Answer, Answering, BoxError, Cors, answer, encoding, other_method, query_value, read};
use crate::{HttpBody, HttpConfig, HttpTransport, OfferSocket, PendingStream, Tickets};

/// Begins connections whose messages to the client are the body of the answer, and hands them to `A`.
///
/// | status | when |
/// |---|---|
/// | 200 | the connection begins; whether it is accepted, the stream tells |
/// | 204 | `OPTIONS` |
/// | 400 | there is no first command, or it is none |
/// | 403 | there is no such ticket, or no more |
/// | 405 | another method |
/// | 408 | the body did not arrive in time |
/// | 413 | the body is too large |
/// | others | a unidirectional connection is refused and the configuration says how |
///
/// The peer's address is taken from a [`SocketAddr`] among the request's extensions, where the HTTP server put one.
#[derive(Clone, Debug)]
pub struct StreamService<A> {
    kind: Kind,
    accept: A,
    config: Arc<HttpConfig>,
    tickets: Option<Tickets>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    HttpStream,
    Sse,
    UniHttpStream,
    UniSse,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::HttpStream => "http_stream",
            Self::Sse => "sse",
            Self::UniHttpStream => "uni_http_stream",
            Self::UniSse => "uni_sse",
        }
    }

    const fn methods(self) -> &'static str {
        if self.is_events() { "GET, POST, OPTIONS" } else { "POST, OPTIONS" }
    }

    const fn is_events(self) -> bool {
        matches!(self, Self::Sse | Self::UniSse)
    }

    const fn is_unidirectional(self) -> bool {
        matches!(self, Self::UniHttpStream | Self::UniSse)
    }
}

impl<A> StreamService<A> {
    /// HTTP streaming (EMU-01, EMU-02): `POST` with the first commands as its body. JSON, a line for each message; or
    /// Protobuf, if the body is `application/octet-stream`.
    pub fn http_stream(accept: A, config: HttpConfig) -> Self {
        Self::new(Kind::HttpStream, accept, config)
    }

    /// Server-sent events (EMU-03, EMU-04): `GET` with the first commands in the query, as `cf_connect`, or `POST` as
    /// above. JSON, an event for each message.
    pub fn sse(accept: A, config: HttpConfig) -> Self {
        Self::new(Kind::Sse, accept, config)
    }

    /// HTTP streaming to a client that never sends (UNI-06): `POST` with a connect request, in JSON.
    pub fn uni_http_stream(accept: A, config: HttpConfig) -> Self {
        Self::new(Kind::UniHttpStream, accept, config)
    }

    /// Server-sent events to a client that never sends (UNI-05): `GET` with a connect request in the query, as
    /// `cf_connect`, or without, or `POST` with one. In JSON.
    ///
    /// An extension: events say in their `id` where the client stands in the channels that recover, up to 16 of them and
    /// 1 KiB; with more there are no ids. A browser that connects anew by itself says the last one, as the header
    /// `Last-Event-ID`, and its subscriptions recover from there. An id that is none of ours is ignored. Ids are those of
    /// messages with a [`Mark`](tourbillon_types::Mark); clients that know nothing of them lose nothing.
    pub fn uni_sse(accept: A, config: HttpConfig) -> Self {
        Self::new(Kind::UniSse, accept, config)
    }

    fn new(kind: Kind, accept: A, config: HttpConfig) -> Self {
        Self { kind, accept, config: Arc::new(config), tickets: None }
    }

    /// The same, with tickets that stand for the body of a `POST`, as `ticket` in the query of a `GET`. On endpoints
    /// for events only; on others a `GET` is no request.
    #[must_use]
    pub fn with_tickets(self, tickets: Tickets) -> Self {
        Self { tickets: Some(tickets), ..self }
    }
}

impl<A: Accept<HttpTransport>> StreamService<A> {
    async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        match self.first(&head, body).await {
            Ok(first) => self.begin(head, first).await,
            Err(refused) => *refused,
        }
    }

    /// What came with the request, as a frame of the client protocol.
    async fn first<B>(&self, head: &Parts, body: B) -> Result<Bytes, Box<Answer>>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let bad = |text: &'static str| Box::new(answer(StatusCode::BAD_REQUEST, text));
        let first = if head.method == Method::POST {
            Some(read(&self.config, body, head.version).await?)
        } else if head.method == Method::GET && self.kind.is_events() {
            if let Some(found) = self.by_ticket(head.uri.query()) {
                let first = found?;
                return self.command(Some(first));
            }
            let first = query_value(head.uri.query(), "cf_connect");
            let first = first.map_err(|()| bad("cf_connect is not percent-encoded as it should be\n"))?;
            first.filter(|first| !first.is_empty())
        } else {
            return Err(Box::new(other_method(&head.method, self.kind.methods())));
        };
        self.command(first)
    }

    /// What a ticket in the query stands for; `None` where there is no ticket.
    fn by_ticket(&self, query: Option<&str>) -> Option<Result<Bytes, Box<Answer>>> {
        let redeemed = self.tickets.as_ref()?.in_query(query)?;
        Some(redeemed.map_err(|error| Box::new(answer(StatusCode::FORBIDDEN, format!("{error}\n")))))
    }

    /// The frame that what came with the request is, or stands for.
    fn command(&self, first: Option<Bytes>) -> Result<Bytes, Box<Answer>> {
        let bad = |text: &'static str| Box::new(answer(StatusCode::BAD_REQUEST, text));
        match (first, self.kind) {
            (Some(request), Kind::UniHttpStream | Kind::UniSse) => connect_frame(Encoding::Json, &request)
                .map_err(|_| bad("this is not a connect request in JSON\n")),
            (None, Kind::UniHttpStream | Kind::UniSse) => Ok(Bytes::from_static(EMPTY_CONNECT)),
            (Some(frame), Kind::HttpStream | Kind::Sse) => Ok(frame),
            (None, Kind::HttpStream | Kind::Sse) => {
                Err(bad("the query has to hold the first command, as cf_connect\n"))
            }
        }
    }

    /// Hands the connection over, and begins its stream once there is one.
    async fn begin(&self, mut head: Parts, first: Bytes) -> Answer {
        let (framing, encoding) = match (self.kind, encoding(&head.headers)) {
            (Kind::Sse, _) => (Framing::Events, Encoding::Json),
            (Kind::UniSse, _) => (Framing::EventsWithIds, Encoding::Json),
            (Kind::HttpStream, Encoding::Protobuf) => (Framing::Raw, Encoding::Protobuf),
            (Kind::HttpStream | Kind::UniHttpStream, _) => (Framing::Lines, Encoding::Json),
        };
        let errors = self.config.connect_errors.as_deref().filter(|_| self.kind.is_unidirectional());
        let mut info = TransportInfo::new(self.kind.name(), encoding);
        info.suppressed = PushKinds::NONE;
        info.peer = head.extensions.get::<SocketAddr>().copied();
        info.connect_errors = errors.is_some();
        if self.kind.is_unidirectional() {
            info.direction = Direction::Unidirectional;
        } else {
            info.emulation = true;
        }
        let offered = head.extensions.remove::<OfferSocket>().is_some() && head.version < Version::HTTP_2;
        let mut last = LastEventId::default();
        if framing == Framing::EventsWithIds {
            last = LastEventId::of(&head.headers);
        }
        let mut context = ConnContext::new(head.headers);
        context.resume = last.places;
        context.held = head.extensions.remove::<Held>();
        let style = (framing, last.writer);
        let Some(errors) = errors else {
            let chunked = head.version == Version::HTTP_11;
            let stream = PendingStream::new(self.accept.clone(), (info, context), first, style, chunked);
            let body = if offered { HttpBody::pending(stream) } else { stream.begin_in_slot() };
            return self.stream(body, head.version);
        };
        let slot = Arc::new(Slot::new(framing.preamble()));
        // Ends the connection if this future is dropped.
        let stream = HttpBody::stream(slot.clone());
        let (verdict, told) = Verdict::new();
        self.accept.accept(HttpTransport::new(info, first, style, verdict, slot), context);
        let refused = match told.await {
            Ok(None) => return self.stream(stream, head.version),
            Ok(Some(refused)) => refused,
            Err(_) => Refused { code: 0, message: String::new() },
        };
        match errors.iter().find(|response| response.code == refused.code) {
            Some(response) if response.body.is_empty() => answer(response.status, refused.message),
            Some(response) => answer(response.status, response.body.clone()),
            None => answer(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        }
    }

    /// The answer whose body lasts as long as the connection (EMU-05).
    fn stream(&self, body: HttpBody, version: Version) -> Answer {
        let mut answer = Response::new(body);
        let headers: &mut HeaderMap = answer.headers_mut();
        let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
        set(HeaderName::from_static("x-accel-buffering"), "no");
        set(CACHE_CONTROL, "private, no-cache, no-store, must-revalidate, max-age=0");
        set(PRAGMA, "no-cache");
        set(HeaderName::from_static("expire"), "0");
        if self.kind.is_events() {
            set(CONTENT_TYPE, "text/event-stream; charset=utf-8");
        }
        // Later versions know no such header.
        if version < Version::HTTP_2 {
            set(CONNECTION, "keep-alive");
        }
        answer
    }
}

const EMPTY_CONNECT: &[u8] = br#"{"id":1,"connect":{}}"#;

impl<A, B> Service<Request<B>> for StreamService<A>
where
    A: Accept<HttpTransport> + Sync,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<HttpBody>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        let cors = Cors::new(&self.config.origins, request.headers());
        cors.around(async move { service.answer(request).await })
    }
}
