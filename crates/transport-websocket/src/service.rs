//! The HTTP side: upgrades.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, ORIGIN, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use tourbillon_transport::{Accept, ConnContext, Held, TransportInfo};
use tower_service::Service;

use crate::io::split;
use crate::negotiate::{Deflate, Wanted, wanted};
use crate::{WebSocketConfig, WebSocketTransport};

/// Answers WebSocket upgrades and hands the connections to `A`.
///
/// A request that is no upgrade gets 400, 405 or 426; one from a page that is not allowed gets 403; any gets 500
/// from a server that does not pass upgrades on (`serve_connection` without `with_upgrades`).
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

/// The client must ask in another way (RFC 6455 section 4.2.2, RFC 9110 section 15.5.22).
fn upgrade_required(text: &'static str) -> Answer {
    let mut refused = refuse(StatusCode::UPGRADE_REQUIRED, text);
    refused.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    refused.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    refused
}

/// Whether this is 16 bytes in base64: 22 characters and two of padding.
fn is_key(value: &HeaderValue) -> bool {
    let Some((key, b"==")) = value.as_bytes().split_last_chunk::<2>().map(|(key, end)| (key, &end[..]))
    else {
        return false;
    };
    key.len() == 22 && key.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

impl<A: Accept<WebSocketTransport>> WebSocketService<A> {
    /// Answers an upgrade, and leaves what follows it to the caller, who needs no task for it then: a future to be
    /// awaited once the answer is handed to the HTTP server, and best when that is done with the connection. `None`
    /// where the request was refused.
    ///
    /// # Panics
    ///
    /// The future must be polled inside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection.
    pub fn upgrade(
        &self,
        mut request: Request<()>,
    ) -> (Response<Full<Bytes>>, Option<impl Future<Output = ()> + Send + use<A>>) {
        if let Some(refused) = self.refusal(&request) {
            return (refused, None);
        }
        let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
            tracing::error!("the HTTP server does not pass upgrades on");
            let text = "this server does not pass upgrades on\n";
            return (refuse(StatusCode::INTERNAL_SERVER_ERROR, text), None);
        };
        // Only for the accept key: the upgrade is waited for without its buffers.
        let Ok((answer, _)) = fastwebsockets::upgrade::upgrade(&mut request) else {
            return (refuse(StatusCode::BAD_REQUEST, "bad WebSocket handshake\n"), None);
        };
        let wanted = wanted(request.headers(), request.uri().query());
        let deflate = match (self.config.compression, wanted.deflate) {
            (Some(compression), Some(window)) => Some(Deflate { compression, window }),
            _ => None,
        };
        let (mut head, _) = answer.into_parts();
        if let Some(subprotocol) = wanted.subprotocol {
            head.headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        if let Some(deflate) = deflate {
            head.headers.insert(SEC_WEBSOCKET_EXTENSIONS, deflate.answer());
        }
        let peer = request.extensions().get::<SocketAddr>().copied();
        let info = info(wanted, peer);
        let held = request.extensions_mut().remove::<Held>();
        let mut context = ConnContext::new(std::mem::take(request.headers_mut()));
        context.held = held;
        let service = self.clone();
        // The upgrade completes after this answer has been sent.
        let after = async move {
            let upgraded = match upgrade.await {
                Ok(upgraded) => upgraded,
                Err(error) => return tracing::debug!(%error, "WebSocket upgrade failed"),
            };
            let (read, write, early) = split(upgraded);
            let transport = WebSocketTransport::new(info, read, write, &service.config).with_deflate(deflate);
            service.accept.accept(transport.with_early(early), context);
        };
        (Response::from_parts(head, Full::default()), Some(after))
    }

    /// Why a request is no upgrade, or not allowed.
    fn refusal(&self, request: &Request<()>) -> Option<Answer> {
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
        if !has(CONNECTION, "upgrade") || !has(UPGRADE, "websocket") || request.version() < Version::HTTP_11 {
            return Some(upgrade_required("this endpoint speaks WebSocket: an upgrade is needed\n"));
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Some(upgrade_required("bad WebSocket handshake: Sec-WebSocket-Version must be 13\n"));
        }
        if !headers.get(SEC_WEBSOCKET_KEY).is_some_and(is_key) {
            let text = "bad WebSocket handshake: Sec-WebSocket-Key must be 16 bytes in base64\n";
            return Some(refuse(StatusCode::BAD_REQUEST, text));
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
    A: Accept<WebSocketTransport>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (answer, after) = self.upgrade(request.map(drop));
        if let Some(after) = after {
            tokio::spawn(after);
        }
        ready(Ok(answer))
    }
}
