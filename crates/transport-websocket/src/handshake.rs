//! Handshakes: over HTTP/1.1 by an upgrade (RFC 6455 section 4.2), over HTTP/2 by an extended CONNECT (RFC 8441).

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use sha1::{Digest as _, Sha1};
use tourbillon_transport::{ConnContext, Held};

use crate::io::split;
use crate::negotiate::{Deflate, Wanted, wanted};
use crate::{UpgradedRead, UpgradedWrite, WebSocketConfig};

pub(crate) type Answer = Response<Full<Bytes>>;

/// What the answer to a handshake that succeeds says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    /// `None` where nothing is upgraded: over HTTP/2.
    accept: Option<AcceptKey>,
    subprotocol: Option<&'static str>,
    pub(crate) deflate: Option<Deflate>,
}

impl Agreed {
    /// Gives the headers of the answer one by one.
    pub(crate) fn each_header(&self, mut each: impl FnMut(HeaderName, &[u8])) {
        if let Some(AcceptKey(key)) = &self.accept {
            each(CONNECTION, b"upgrade");
            each(UPGRADE, b"websocket");
            each(SEC_WEBSOCKET_ACCEPT, key);
        }
        if let Some(subprotocol) = self.subprotocol {
            each(SEC_WEBSOCKET_PROTOCOL, subprotocol.as_bytes());
        }
        if let Some(deflate) = self.deflate {
            each(SEC_WEBSOCKET_EXTENSIONS, deflate.answer().as_bytes());
        }
    }

    /// The answer for an HTTP server.
    fn answer(&self) -> Answer {
        let mut answer = Answer::default();
        if self.accept.is_some() {
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        self.each_header(|name, value| {
            // They are what they may be.
            if let Ok(value) = HeaderValue::from_bytes(value) {
                answer.headers_mut().insert(name, value);
            }
        });
        answer
    }
}

/// Shows the client that the server has understood what its key is: the hash of that and of a text that no other
/// protocol has, in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AcceptKey([u8; 28]);

impl AcceptKey {
    fn of(key: &[u8]) -> Option<Self> {
        let hash =
            Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
        let mut text = [0; 28];
        // 20 bytes are 28 characters.
        STANDARD.encode_slice(hash, &mut text).ok()?;
        Some(Self(text))
    }
}

/// A handshake that succeeds.
pub(crate) struct Handshake {
    pub(crate) agreed: Agreed,
    pub(crate) wanted: Wanted,
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
        let key = request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| !extended);
        let accept = key.and_then(|key| AcceptKey::of(key.as_bytes()));
        let wanted = wanted(request.headers(), request.uri().query());
        let deflate = match (config.compression, wanted.deflate) {
            (Some(compression), Some(window)) => Some(Deflate { compression, window }),
            _ => None,
        };
        let agreed = Agreed { accept, subprotocol: wanted.subprotocol.filter(|_| subprotocols), deflate };
        let context = ConnContext::new(std::mem::take(request.headers_mut()));
        Ok(Self { agreed, wanted, peer: None, context, upgrade: None })
    }

    /// The answer.
    pub(crate) fn answer(&self) -> Answer {
        self.agreed.answer()
    }

    /// Waits for the connection, which is there once the answer has been sent. `None`: it did not come about.
    pub(crate) async fn upgraded(
        self,
    ) -> Option<(UpgradedRead, UpgradedWrite, Bytes, Option<Deflate>, ConnContext)> {
        match self.upgrade?.await {
            Ok(upgraded) => {
                let (read, write, early) = split(upgraded)?;
                Some((read, write, early, self.agreed.deflate, self.context))
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

const fn is_comma(byte: &u8) -> bool {
    *byte == b','
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
        let tokens = headers.get_all(name).into_iter().flat_map(|value| value.as_bytes().split(is_comma));
        tokens.map(<[u8]>::trim_ascii).any(|given| given.eq_ignore_ascii_case(token.as_bytes()))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn the_key_is_accepted_as_the_rfc_has_it() {
        let accepted = AcceptKey::of(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accepted, Some(AcceptKey(*b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    }
}
