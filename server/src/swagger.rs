//! The OpenAPI document of the server API, and a page to try it (PUBS-07, OBS-06).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, StatusCode};

use crate::router::{Answer, reply};

/// Everything comes from the server itself, and the page talks to nobody else.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                   form-action 'none'; frame-ancestors 'none'";

/// The document and its page, below a path.
#[derive(Clone, Debug)]
pub(crate) struct Swagger {
    /// The path, without a slash at its end.
    prefix: Arc<str>,
    document: Bytes,
}

impl Swagger {
    /// The pages below `prefix` about an API below `api`.
    pub(crate) fn new(prefix: &str, api: &str, version: &str) -> Self {
        let document = tourbillon_api::openapi(api, version).into();
        Self { prefix: prefix.trim_end_matches('/').into(), document }
    }

    /// Answers a request for one of the pages.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<Answer> {
        let rest = request.uri().path().strip_prefix(&*self.prefix)?;
        let (content_type, body) = match rest {
            "" => ("text/plain; charset=utf-8", Bytes::new()),
            "/" => (
                "text/html; charset=utf-8",
                Bytes::from_static(include_bytes!("../assets/swagger/index.html")),
            ),
            "/style.css" => {
                ("text/css; charset=utf-8", Bytes::from_static(include_bytes!("../assets/swagger/style.css")))
            }
            "/app.js" => (
                "text/javascript; charset=utf-8",
                Bytes::from_static(include_bytes!("../assets/swagger/app.js")),
            ),
            "/openapi.json" => ("application/json", self.document.clone()),
            _ => return None,
        };
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Some(reply(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "GET only\n"));
        }
        let status = if rest.is_empty() { StatusCode::PERMANENT_REDIRECT } else { StatusCode::OK };
        let mut answer = reply(status, content_type, body);
        let headers = answer.headers_mut();
        if rest.is_empty() {
            // The page finds what belongs to it below this.
            headers.insert(LOCATION, HeaderValue::from_str(&format!("{}/", self.prefix)).ok()?);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        Some(answer)
    }
}
