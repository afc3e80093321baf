//! The HTTP side: upgrades.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, ORIGIN, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tourbillon_transport::{Accept, ConnContext, TransportInfo};
use tower_service::Service;

use crate::io::split;
use crate::negotiate::{Wanted, wanted};
use crate::{WebSocketConfig, WebSocketTransport};

/// What a client is told when compression is agreed upon: neither side keeps a window between messages, so that
/// one compressed message serves every connection.
const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Answers WebSocket upgrades and hands the connections to `A`.
///
/// A request that is no upgrade gets 400, 405 or 426; one from a page that is not allowed gets 403.
///
/// The peer's address is taken from a [`SocketAddr`] among the request's extensions, where the HTTP server put one.
///
/// # Panics
///
/// [`Service::call`] must run inside a tokio runtime, which the connection is set up in.
#[derive(Clone, Debug)]
pub struct WebSocketService<A> {
    accept: A,
    config: Arc<WebSocketConfig>,
}

impl<A> WebSocketService<A> {
    /// A service that hands connections to `accept`.
    pub fn new(accept: A, config: WebSocketConfig) -> Self {
        Self { accept, config: Arc::new(config) }
    }
}

type Answer = Response<Full<Bytes>>;

fn refuse(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

impl<A: Accept<WebSocketTransport>> WebSocketService<A> {
    fn answer<B>(&self, mut request: Request<B>) -> Answer {
        if let Some(refused) = self.refusal(&request) {
            return refused;
        }
        let Ok((answer, upgrade)) = fastwebsockets::upgrade::upgrade(&mut request) else {
            let mut refused = refuse(
                StatusCode::BAD_REQUEST,
                "bad WebSocket handshake: Sec-WebSocket-Key and Sec-WebSocket-Version: 13 are needed\n",
            );
            refused.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
            return refused;
        };
        let wanted = wanted(request.headers(), request.uri().query());
        let compression = self.config.compression.filter(|_| wanted.deflate);
        let (mut head, _) = answer.into_parts();
        if let Some(subprotocol) = wanted.subprotocol {
            head.headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        if compression.is_some() {
            head.headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(DEFLATE));
        }
        let peer = request.extensions().get::<SocketAddr>().copied();
        let context = ConnContext::new(std::mem::take(request.headers_mut()));
        let service = self.clone();
        tokio::spawn(async move {
            let upgraded = match upgrade.await {
                Ok(upgraded) => upgraded.into_inner().into_inner(),
                Err(error) => return tracing::debug!(%error, "WebSocket upgrade failed"),
            };
            let (read, write) = split(upgraded);
            let info = info(wanted, peer);
            let mut transport = WebSocketTransport::new(info, read, write, &service.config);
            if let Some(compression) = compression {
                transport = transport.with_compression(compression);
            }
            service.accept.accept(transport, context);
        });
        Response::from_parts(head, Full::default())
    }

    /// Why a request is no upgrade, or not allowed.
    fn refusal<B>(&self, request: &Request<B>) -> Option<Answer> {
        let headers = request.headers();
        if request.method() != Method::GET {
            let mut refused = refuse(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket begins with GET\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return Some(refused);
        }
        let has = |name, token: &str| {
            let values =
                headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
        };
        if !has(CONNECTION, "upgrade") || !has(UPGRADE, "websocket") {
            let mut refused = refuse(
                StatusCode::UPGRADE_REQUIRED,
                "this endpoint speaks WebSocket: an upgrade is needed\n",
            );
            refused.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            return Some(refused);
        }
        if !self.config.origins.allows(headers.get(ORIGIN).map(HeaderValue::as_bytes)) {
            tracing::info!(origin = ?headers.get(ORIGIN), "connection refused: origin is not among client.allowed_origins");
            return Some(refuse(StatusCode::FORBIDDEN, "this origin may not connect\n"));
        }
        None
    }
}

fn info(wanted: Wanted, peer: Option<SocketAddr>) -> TransportInfo {
    let mut info = TransportInfo::new("websocket", wanted.encoding);
    info.ping = wanted.ping;
    info.peer = peer;
    info
}

impl<A, B> Service<Request<B>> for WebSocketService<A>
where
    A: Accept<WebSocketTransport> + Sync,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request)))
    }
}
