//! Handshakes: over HTTP/1.1 by an upgrade (RFC 6455 section 4.2), over HTTP/2 by an extended CONNECT (RFC 8441).

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, ORIGIN, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use tourbillon_transport::{ConnContext, Held};

use crate::io::split;
use crate::negotiate::{Deflate, Wanted, wanted};
use crate::{UpgradedRead, UpgradedWrite, WebSocketConfig};

pub(crate) type Answer = Response<Full<Bytes>>;

/// A handshake that succeeds.
pub(crate) struct Handshake {
    pub(crate) answer: Answer,
    pub(crate) wanted: Wanted,
    pub(crate) deflate: Option<Deflate>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) context: ConnContext,
    /// `None` where the caller has the connection.
    upgrade: Option<OnUpgrade>,
}

impl Handshake {
    /// Answers a request that an HTTP server passes on. An error is the answer that refuses it. `subprotocols`: whether
    /// one of ours that the client offers is told back.
    pub(crate) fn new(
        config: &WebSocketConfig,
        subprotocols: bool,
        mut request: Request<()>,
    ) -> Result<Self, Box<Answer>> {
        let extensions = request.extensions_mut();
        let (peer, held) = (extensions.get::<SocketAddr>().copied(), extensions.remove::<Held>());
        let upgrade = extensions.remove::<OnUpgrade>();
        let passed_on = upgrade.is_some();
        let mut handshake = Self::agree(config, subprotocols, request)?;
        if !passed_on {
            tracing::error!("the HTTP server does not pass upgrades on");
            let text = "this server does not pass upgrades on\n";
            return Err(Box::new(refuse(StatusCode::INTERNAL_SERVER_ERROR, text)));
        }
        handshake.peer = peer;
        handshake.context.held = held;
        handshake.upgrade = upgrade;
        Ok(handshake)
    }

    /// The same for a request whose connection the caller has. It is not looked into the request's extensions for whose
    /// it is.
    pub(crate) fn agree(
        config: &WebSocketConfig,
        subprotocols: bool,
        mut request: Request<()>,
    ) -> Result<Self, Box<Answer>> {
        let extended = is_extended_connect(&request);
        let refused = if extended { refuse_extended(&request) } else { refuse_upgrade(&request) };
        if let Some(refused) = refused.or_else(|| refuse_page(config, &request)) {
            return Err(Box::new(refused));
        }
        let mut answer = Answer::default();
        if !extended {
            // Only for the accept key: the upgrade is waited for without its buffers.
            let Ok((accepted, _)) = fastwebsockets::upgrade::upgrade(&mut request) else {
                return Err(Box::new(refuse(StatusCode::BAD_REQUEST, "bad WebSocket handshake\n")));
            };
            answer = Response::from_parts(accepted.into_parts().0, Full::default());
        }
        let wanted = wanted(request.headers(), request.uri().query());
        let deflate = match (config.compression, wanted.deflate) {
            (Some(compression), Some(window)) => Some(Deflate { compression, window }),
            _ => None,
        };
        if let Some(subprotocol) = wanted.subprotocol.filter(|_| subprotocols) {
            answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        if let Some(deflate) = deflate {
            answer.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, deflate.answer());
        }
        let context = ConnContext::new(std::mem::take(request.headers_mut()));
        Ok(Self { answer, wanted, deflate, peer: None, context, upgrade: None })
    }

    /// The answer, and the rest.
    pub(crate) fn take_answer(&mut self) -> Answer {
        std::mem::take(&mut self.answer)
    }

    /// Waits for the connection, which is there once the answer has been sent. `None`: it did not come about.
    pub(crate) async fn upgraded(
        self,
    ) -> Option<(UpgradedRead, UpgradedWrite, Bytes, Option<Deflate>, ConnContext)> {
        match self.upgrade?.await {
            Ok(upgraded) => {
                let (read, write, early) = split(upgraded)?;
                Some((read, write, early, self.deflate, self.context))
            }
            Err(error) => {
                tracing::debug!(%error, "WebSocket upgrade failed");
                None
            }
        }
    }
}

pub(crate) fn refuse(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn wrong_method(text: &'static str) -> Answer {
    let mut refused = refuse(StatusCode::METHOD_NOT_ALLOWED, text);
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    refused
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

/// Whether a request asks for a WebSocket on a stream of an HTTP/2 connection (RFC 8441 section 5).
fn is_extended_connect(request: &Request<()>) -> bool {
    let asked = request.extensions().get::<Protocol>();
    request.method() == Method::CONNECT
        && request.version() >= Version::HTTP_2
        && asked.is_some_and(|protocol| protocol.as_str() == "websocket")
}

fn is_version_13(request: &Request<()>) -> bool {
    request.headers().get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
}

/// Why a request is no upgrade.
fn refuse_upgrade(request: &Request<()>) -> Option<Answer> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Some(wrong_method("a WebSocket begins with GET\n"));
    }
    if request.version() >= Version::HTTP_2 {
        // Nothing is upgraded there, and no header may speak of it (RFC 9113 section 8.2.2).
        let text = "in this version of HTTP a WebSocket begins with an extended CONNECT\n";
        return Some(refuse(StatusCode::BAD_REQUEST, text));
    }
    let has = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    if !has(CONNECTION, "upgrade") || !has(UPGRADE, "websocket") || request.version() < Version::HTTP_11 {
        return Some(upgrade_required("this endpoint speaks WebSocket: an upgrade is needed\n"));
    }
    if !is_version_13(request) {
        return Some(upgrade_required("bad WebSocket handshake: Sec-WebSocket-Version must be 13\n"));
    }
    if !headers.get(SEC_WEBSOCKET_KEY).is_some_and(is_key) {
        let text = "bad WebSocket handshake: Sec-WebSocket-Key must be 16 bytes in base64\n";
        return Some(refuse(StatusCode::BAD_REQUEST, text));
    }
    None
}

/// Why an extended CONNECT begins no WebSocket. It has no key: HTTP/2 itself shows that the server meant it.
fn refuse_extended(request: &Request<()>) -> Option<Answer> {
    if is_version_13(request) {
        return None;
    }
    let text = "bad WebSocket handshake: Sec-WebSocket-Version must be 13\n";
    let mut refused = refuse(StatusCode::BAD_REQUEST, text);
    refused.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    Some(refused)
}

/// Why a page may not connect.
fn refuse_page(config: &WebSocketConfig, request: &Request<()>) -> Option<Answer> {
    let origin = request.headers().get(ORIGIN);
    if config.origins.allows(origin.map(HeaderValue::as_bytes)) {
        return None;
    }
    tracing::info!(?origin, "connection refused: origin is not among client.allowed_origins");
    Some(refuse(StatusCode::FORBIDDEN, "this origin may not connect\n"))
}
