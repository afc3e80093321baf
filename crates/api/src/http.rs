//! The HTTP front.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
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

/// The server API over HTTP: `POST <prefix>/<method>` with a JSON body, and `POST <prefix>` with a
/// [stream of commands](ApiService::stream).
///
/// | status | when |
/// |---|---|
/// | 200 | the command was carried out, or failed with an error in the body |
/// | 400 | the body is not what the method takes, or no stream |
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

/// What a `POST` says beside its body, as whoever read it off the wire found it.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Posted<'a> {
    /// The path of its target.
    pub path: &'a str,
    /// The query of its target.
    pub query: Option<&'a str>,
    /// The first header `X-API-Key`.
    pub key: Option<&'a [u8]>,
    /// The first header `Authorization`.
    pub authorization: Option<&'a [u8]>,
    /// Whether the header `X-Centrifugo-Error-Mode` asks for errors by the status.
    pub transport_errors: bool,
}

impl<'a> Posted<'a> {
    /// A `POST` to this target without any header.
    #[must_use]
    pub fn to(target: &'a str) -> Self {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        Self { path, query, key: None, authorization: None, transport_errors: false }
    }

    /// Takes a header into account, if it is one that means something here. Names of headers have no case.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &'a [u8]) -> Self {
        match name.len() {
            9 if name.eq_ignore_ascii_case("x-api-key") => self.key = self.key.or(Some(value)),
            13 if name.eq_ignore_ascii_case("authorization") => {
                self.authorization = self.authorization.or(Some(value));
            }
            23 if name.eq_ignore_ascii_case(ERROR_MODE) => self.transport_errors |= value == b"transport",
            _ => {}
        }
        self
    }
}

impl std::fmt::Debug for Posted<'_> {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Posted").field("path", &self.path).finish_non_exhaustive()
    }
}

pub(crate) const ERROR_MODE: &str = "x-centrifugo-error-mode";

/// What a path stands for.
#[derive(Clone, Copy)]
enum Place {
    Method(Method),
    /// Commands that name their methods (API-02).
    Stream,
}

/// A call that was understood and is to be carried out.
pub struct Call {
    work: Work,
    transport_errors: bool,
}

enum Work {
    Command(ApiCommand),
    Stream(Bytes),
}

impl std::fmt::Debug for Call {
    /// Without what is published.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("transport_errors", &self.transport_errors).finish_non_exhaustive()
    }
}

/// An answer that is not put into a form yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plain {
    /// The status.
    pub status: StatusCode,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Plain {
    fn text(status: StatusCode, text: impl Into<String>) -> Self {
        let body = (text.into() + "\n").into_bytes();
        Self { status, content_type: "text/plain; charset=utf-8", body }
    }

    const fn json(status: StatusCode, body: Vec<u8>) -> Self {
        Self { status, content_type: "application/json", body }
    }

    fn too_large() -> Self {
        Self::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
    }
}

impl From<Plain> for Answer {
    fn from(plain: Plain) -> Self {
        let mut answer = Self::new(Full::new(Bytes::from(plain.body)));
        *answer.status_mut() = plain.status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(plain.content_type));
        answer
    }
}

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
        let header = |name: &str| head.headers.get(name).map(HeaderValue::as_bytes);
        let posted = Posted {
            path: head.uri.path(),
            query: head.uri.query(),
            key: header("x-api-key"),
            authorization: header(AUTHORIZATION.as_str()),
            transport_errors: header(ERROR_MODE) == Some(b"transport"),
        };
        let transport_errors = posted.transport_errors;
        let place = match self.asked(&posted, head.method == http::Method::POST) {
            Ok(place) => place,
            Err(refused) if refused.status == StatusCode::METHOD_NOT_ALLOWED => {
                let mut answer = Answer::from(refused);
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                return answer;
            }
            Err(refused) => return refused.into(),
        };
        let limit = self.config.body_limit;
        if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Plain::too_large().into();
        }
        let body = match read(body, limit).await {
            Ok(body) => body,
            Err(Unread::TooLarge) => return Plain::too_large().into(),
            Err(Unread::Broken) => {
                return Plain::text(StatusCode::INTERNAL_SERVER_ERROR, "reading the body failed").into();
            }
        };
        match self.understood(place, &body, transport_errors) {
            Ok(call) => self.carry_out(call).await.into(),
            Err(refused) => refused.into(),
        }
    }

    /// Reads a `POST` whose body is there: the first half of [`answer`](Self::answer), for servers that take requests
    /// apart themselves. [`carry_out`](Self::carry_out) is the second.
    ///
    /// # Errors
    ///
    /// The answer to a request that is not to be carried out.
    pub fn read(&self, posted: &Posted<'_>, body: &Bytes) -> Result<Call, Plain> {
        let place = self.asked(posted, true)?;
        if body.len() > self.config.body_limit {
            return Err(Plain::too_large());
        }
        self.understood(place, body, posted.transport_errors)
    }

    /// Whether there is a method at this path, or the one for streams.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.place(path).is_some()
    }

    /// Carries a call out.
    ///
    /// # Cancel safety
    ///
    /// What the call asks for may have taken effect.
    pub async fn carry_out(&self, call: Call) -> Plain {
        let Call { work, transport_errors } = call;
        let command = match work {
            Work::Command(command) => command,
            Work::Stream(commands) => return self.stream(&commands).await,
        };
        let outcome: Result<ApiReply, ApiError> = self.service.execute(command).await;
        match &outcome {
            Err(error) if transport_errors => Plain::json(status_of(error), bare_error(error)),
            _ => Plain::json(StatusCode::OK, response(&outcome)),
        }
    }

    /// API-02. The future is large, and few ask for it.
    async fn stream(&self, commands: &Bytes) -> Plain {
        match Box::pin(self.service.stream(commands)).await {
            Ok(replies) => Plain::json(StatusCode::OK, replies),
            Err(error) => Plain::text(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }

    /// What is asked for, if whoever asks may.
    fn asked(&self, posted: &Posted<'_>, is_post: bool) -> Result<Place, Plain> {
        let Some(place) = self.place(posted.path) else {
            return Err(Plain::text(StatusCode::NOT_FOUND, "no such method"));
        };
        if !is_post {
            return Err(Plain::text(StatusCode::METHOD_NOT_ALLOWED, "the API takes POST"));
        }
        if !self.authorized(posted) {
            return Err(Plain::text(StatusCode::UNAUTHORIZED, "the API key is missing or wrong"));
        }
        Ok(place)
    }

    fn understood(&self, place: Place, body: &Bytes, transport_errors: bool) -> Result<Call, Plain> {
        let work = match place {
            Place::Stream => Work::Stream(body.clone()),
            Place::Method(method) => Work::Command(
                decode(method, body)
                    .map_err(|error| Plain::text(StatusCode::BAD_REQUEST, error.to_string()))?,
            ),
        };
        Ok(Call { work, transport_errors: transport_errors || self.config.transport_errors })
    }

    fn place(&self, path: &str) -> Option<Place> {
        let rest = path.strip_prefix(self.config.prefix.trim_end_matches('/'))?;
        match rest {
            "" | "/" => Some(Place::Stream),
            rest => Method::named(rest.strip_prefix('/')?).map(Place::Method),
        }
    }

    /// The header `X-API-Key`; else `Authorization: apikey <key>`; else the query `api_key` (HID-81). A wrong
    /// `X-API-Key` is not made good by `Authorization`, but by the query.
    fn authorized(&self, posted: &Posted<'_>) -> bool {
        if self.config.insecure {
            return true;
        }
        let key = self.config.key.as_bytes();
        if key.is_empty() {
            return false;
        }
        let by_header = match posted.key {
            Some(shown) => same(shown, key),
            None => posted.authorization.and_then(by_scheme).is_some_and(|shown| same(shown, key)),
        };
        by_header || by_query(posted.query).is_some_and(|shown| same(&shown, key))
    }
}

/// Why a body was not read.
pub(crate) enum Unread {
    TooLarge,
    Broken,
}

/// Reads a body of up to `limit` bytes. One that comes in one piece, as most do, stays in its place.
pub(crate) async fn read<B: Body>(body: B, limit: usize) -> Result<Bytes, Unread> {
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

fn by_scheme(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked("apikey".len())?;
    let key = key.strip_prefix(b" ")?;
    scheme.eq_ignore_ascii_case(b"apikey").then(|| key.trim_ascii())
}

fn by_query(query: Option<&str>) -> Option<Vec<u8>> {
    let shown = query?.split('&').find_map(|pair| pair.strip_prefix("api_key="))?;
    Some(percent_decode_str(&shown.replace('+', " ")).collect())
}

/// Compares in a time that does not depend on where the difference is.
pub(crate) fn same(shown: &[u8], key: &[u8]) -> bool {
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
