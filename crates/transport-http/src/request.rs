//! What the services have in common: bodies in, short answers out, and who may read them.

use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, CONNECTION,
    CONTENT_TYPE, ORIGIN,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode;
use tourbillon_transport::OriginPolicy;
use tourbillon_types::Encoding;

use crate::{HttpBody, HttpConfig};

pub(crate) type Answer = Response<HttpBody>;

/// An answer on its way.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// What the body of a request may fail with.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

pub(crate) fn answer(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let text = text.into();
    let typed = !text.is_empty();
    let mut answer = Response::new(HttpBody::text(text));
    *answer.status_mut() = status;
    if typed {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    answer
}

/// To a request whose method is not among those of the endpoint (EMU-01): the answer to a browser that asks before it
/// sends, or a refusal. `methods` is a list for a header.
pub(crate) fn other_method(method: &Method, methods: &'static str) -> Answer {
    if method == Method::OPTIONS {
        let mut answer = answer(StatusCode::NO_CONTENT, "");
        answer.headers_mut().insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300"));
        answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        return answer;
    }
    let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, "this endpoint does not take this method\n");
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    refused
}

/// The headers that let a page read an answer (HTTP-04).
#[derive(Debug, Default)]
pub(crate) struct Cors(Option<(HeaderValue, Option<HeaderValue>)>);

impl Cors {
    pub(crate) fn new(origins: &OriginPolicy, headers: &HeaderMap) -> Self {
        let origin = headers.get(ORIGIN);
        if !origins.allows(origin.map(HeaderValue::as_bytes)) {
            tracing::info!(?origin, "not told to the page: its origin is not among client.allowed_origins");
            return Self(None);
        }
        let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
        let asked = asked.filter(|asked| !asked.is_empty() && *asked != "null").cloned();
        Self(Some((origin.cloned().unwrap_or_else(|| HeaderValue::from_static("")), asked)))
    }

    /// What a service does with a request: the answer, which the page may read.
    pub(crate) fn around(self, answering: impl Future<Output = Answer> + Send + 'static) -> Answering {
        Box::pin(async move {
            let mut answer = answering.await;
            self.apply(&mut answer);
            Ok(answer)
        })
    }

    pub(crate) fn apply(self, answer: &mut Answer) {
        let Some((origin, asked)) = self.0 else { return };
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if let Some(asked) = asked {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
        }
    }
}

/// The encoding that a request's type names (EMU-02): JSON whatever it is, unless it is arbitrary bytes.
pub(crate) fn encoding(headers: &HeaderMap) -> Encoding {
    let essence = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/octet-stream")
    };
    if headers.get(CONTENT_TYPE).is_some_and(essence) { Encoding::Protobuf } else { Encoding::Json }
}

/// Takes a `POST` apart, for an endpoint that takes nothing else.
///
/// # Errors
///
/// The answer to another method, or to what is wrong with the [body](read).
pub(crate) async fn posted<B>(config: &HttpConfig, request: Request<B>) -> Result<(Parts, Bytes), Box<Answer>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        return Err(Box::new(other_method(&head.method, "POST, OPTIONS")));
    }
    let body = read(config, body, head.version).await?;
    Ok((head, body))
}

/// Reads a body.
///
/// # Errors
///
/// The answer: 413 for one that is too large, before more than the limit is read; 408 for one that is not there in
/// time; 499 for one that breaks off, which nobody is there to read (EMU-11).
pub(crate) async fn read<B>(config: &HttpConfig, body: B, version: Version) -> Result<Bytes, Box<Answer>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let limit = config.max_request_body_size;
    let too_large = || {
        let text = format!("the body is larger than {limit} bytes\n");
        Box::new(answer(StatusCode::PAYLOAD_TOO_LARGE, text))
    };
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    match tokio::time::timeout(config.body_timeout, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            tracing::debug!(error = &*error as &dyn Error, "a request's body broke off");
            let closed = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
            Err(Box::new(answer(closed, "the body is not whole\n")))
        }
        Err(_) => {
            let mut late = answer(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n");
            // What still comes would be taken for the next request.
            if version < Version::HTTP_2 {
                late.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Err(Box::new(late))
        }
    }
}

/// The first value that a query has under a name, percent-decoded, with `+` for spaces. An error: a `%` that begins
/// nothing.
pub(crate) fn query_value(query: Option<&str>, name: &str) -> Result<Option<Bytes>, ()> {
    let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, value)) = pairs.find(|(key, _)| *key == name) else { return Ok(None) };
    let is_escaped = |rest: &str| {
        rest.as_bytes().first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !value.split('%').skip(1).all(is_escaped) {
        return Err(());
    }
    let spaced: Cow<'_, str> =
        if value.contains('+') { value.replace('+', " ").into() } else { value.into() };
    Ok(Some(percent_decode(spaced.as_bytes()).collect::<Vec<u8>>().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_decoded() {
        for (query, value) in [
            (None, Ok(None)),
            (Some(""), Ok(None)),
            (Some("cf_connect"), Ok(None)),
            (Some("x=1&cf_connect=&cf_connect=2"), Ok(Some(""))),
            (Some("cf_connect=%7B%22a%22%3A+1%7d"), Ok(Some("{\"a\": 1}"))),
            (Some("cf_connect=a%2Bb=c"), Ok(Some("a+b=c"))),
            (Some("cf_connect=%"), Err(())),
            (Some("cf_connect=%2"), Err(())),
            (Some("cf_connect=%zz"), Err(())),
            (Some("cf_connect=%%"), Err(())),
        ] {
            let value = value.map(|value| value.map(Bytes::from));
            assert_eq!(query_value(query, "cf_connect"), value, "{query:?}");
        }
    }

    #[test]
    fn only_arbitrary_bytes_are_protobuf() {
        for (value, encoding_of) in [
            ("application/octet-stream", Encoding::Protobuf),
            ("Application/Octet-Stream; v=1", Encoding::Protobuf),
            ("application/json", Encoding::Json),
            ("text/plain", Encoding::Json),
            ("application/octet-streams", Encoding::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(encoding(&headers), encoding_of, "{value}");
        }
        assert_eq!(encoding(&HeaderMap::new()), Encoding::Json);
    }
}
