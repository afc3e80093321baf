//! The HTTP front.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use percent_encoding::percent_decode_str;
use tower_service::Service;

use crate::command::{ApiCommand, ApiError, ApiReply};
use crate::decode::decode;
use crate::encode::{bare_error, response};
use crate::method::Method;
use crate::service::ApiService;

/// How the HTTP front behaves.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpApiConfig {
    /// The path before the method's name. Default `/api`.
    pub prefix: String,
    /// The key that requests must show (API-03). Empty: none is right, so every request is refused.
    pub key: String,
    /// Takes requests without a key (API-04). Default no.
    pub insecure: bool,
    /// Tells errors by the HTTP status too (API-05). Default no.
    pub transport_errors: bool,
    /// The largest body, in bytes. Default 32 MiB: a broadcast to tens of thousands of channels fits, and so do
    /// payloads far above what clients are sent.
    pub body_limit: usize,
}

impl Default for HttpApiConfig {
    fn default() -> Self {
        Self {
            prefix: "/api".to_owned(),
            key: String::new(),
            insecure: false,
            transport_errors: false,
            body_limit: 32 * 1024 * 1024,
        }
    }
}

impl std::fmt::Debug for HttpApiConfig {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpApiConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The server API over HTTP: `POST <prefix>/<method>` with a JSON body.
///
/// | status | when |
/// |---|---|
/// | 200 | the command was carried out, or failed with an error in the body |
/// | 400 | the body is not what the method takes |
/// | 401 | the key is missing or wrong |
/// | 404 | no such method |
/// | 405 | not a `POST` |
/// | 413 | the body is too large |
/// | 500 | the body did not arrive whole |
#[derive(Clone, Debug)]
pub struct HttpApi {
    service: ApiService,
    config: Arc<HttpApiConfig>,
}

type Answer = Response<Full<Bytes>>;

impl HttpApi {
    /// The front of this service.
    #[must_use]
    pub fn new(service: ApiService, config: HttpApiConfig) -> Self {
        Self { service, config: Arc::new(config) }
    }

    /// Answers a request, as the service does, without a place of its own for the future.
    ///
    /// # Cancel safety
    ///
    /// What the request asks for may have taken effect.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let Some(method) = self.method(head.uri.path()) else {
            return text(StatusCode::NOT_FOUND, "no such method");
        };
        if head.method != http::Method::POST {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "the API takes POST");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return answer;
        }
        if !self.authorized(&head.headers, head.uri.query()) {
            return text(StatusCode::UNAUTHORIZED, "the API key is missing or wrong");
        }
        let limit = self.config.body_limit;
        if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
        }
        let body = match read(body, limit).await {
            Ok(body) => body,
            Err(Unread::TooLarge) => {
                return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
            }
            Err(Unread::Broken) => {
                return text(StatusCode::INTERNAL_SERVER_ERROR, "reading the body failed");
            }
        };
        let command = match decode(method, &body) {
            Ok(command) => command,
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let transport_errors = self.config.transport_errors
            || head.headers.get("x-centrifugo-error-mode").is_some_and(|mode| mode == "transport");
        self.carry_out(command, transport_errors).await
    }

    async fn carry_out(&self, command: ApiCommand, transport_errors: bool) -> Answer {
        let outcome: Result<ApiReply, ApiError> = self.service.execute(command).await;
        match &outcome {
            Err(error) if transport_errors => json(status_of(error), bare_error(error)),
            _ => json(StatusCode::OK, response(&outcome)),
        }
    }

    fn method(&self, path: &str) -> Option<Method> {
        Method::named(path.strip_prefix(self.config.prefix.trim_end_matches('/'))?.strip_prefix('/')?)
    }

    /// The header `X-API-Key`; else `Authorization: apikey <key>`; else the query `api_key` (HID-81). A wrong
    /// `X-API-Key` is not made good by `Authorization`, but by the query.
    fn authorized(&self, headers: &HeaderMap, query: Option<&str>) -> bool {
        if self.config.insecure {
            return true;
        }
        let key = self.config.key.as_bytes();
        if key.is_empty() {
            return false;
        }
        let by_header = match headers.get("x-api-key") {
            Some(shown) => same(shown.as_bytes(), key),
            None => headers.get(AUTHORIZATION).and_then(by_scheme).is_some_and(|shown| same(shown, key)),
        };
        by_header || by_query(query).is_some_and(|shown| same(&shown, key))
    }
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    Broken,
}

/// Reads a body of up to `limit` bytes. One that comes in one piece, as most do, stays in its place.
async fn read<B: Body>(body: B, limit: usize) -> Result<Bytes, Unread> {
    let mut body = pin!(body);
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing.
        let Ok(mut data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        let length = whole.len() + joined.len();
        if data.remaining() > limit - length.min(limit) {
            return Err(Unread::TooLarge);
        }
        let data = data.copy_to_bytes(data.remaining());
        if length == 0 {
            whole = data;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&std::mem::take(&mut whole));
        }
        joined.extend_from_slice(&data);
    }
    Ok(if joined.is_empty() { whole } else { joined.freeze() })
}

fn by_scheme(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, key) = value.as_bytes().split_at_checked("apikey".len())?;
    let key = key.strip_prefix(b" ")?;
    scheme.eq_ignore_ascii_case(b"apikey").then(|| key.trim_ascii())
}

fn by_query(query: Option<&str>) -> Option<Vec<u8>> {
    let shown = query?.split('&').find_map(|pair| pair.strip_prefix("api_key="))?;
    Some(percent_decode_str(&shown.replace('+', " ")).collect())
}

/// Compares in a time that does not depend on where the difference is.
fn same(shown: &[u8], key: &[u8]) -> bool {
    let mut difference = shown.len() ^ key.len();
    for (at, byte) in key.iter().enumerate() {
        difference |= usize::from(byte ^ shown.get(at).copied().unwrap_or_default());
    }
    std::hint::black_box(difference) == 0
}

/// The HTTP status of an error, where it is told so (API-05).
const fn status_of(error: &ApiError) -> StatusCode {
    match error.code {
        102 | 104 => StatusCode::NOT_FOUND,
        107 | 108 => StatusCode::BAD_REQUEST,
        112 => StatusCode::RANGE_NOT_SATISFIABLE,
        113 => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", (text.into() + "\n").into_bytes())
}

fn json(status: StatusCode, body: Vec<u8>) -> Answer {
    with_type(status, "application/json", body)
}

fn with_type(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

impl<B> Service<Request<B>> for HttpApi
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { Ok(api.answer(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// API-05.
    #[test]
    fn every_error_has_its_status() {
        for (error, status) in [
            (ApiError::INTERNAL, 500),
            (ApiError::UNKNOWN_CHANNEL, 404),
            (ApiError::NOT_FOUND, 404),
            (ApiError::BAD_REQUEST, 400),
            (ApiError::NOT_AVAILABLE, 400),
            (ApiError::UNRECOVERABLE_POSITION, 416),
            (ApiError::CONFLICT, 409),
        ] {
            assert_eq!(status_of(&error).as_u16(), status, "{error}");
        }
    }
}
