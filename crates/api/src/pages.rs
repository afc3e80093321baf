//! The OpenAPI document of the API over HTTP, and a page to try it (PUBS-07, OBS-06).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

use crate::openapi::openapi;

/// Everything comes from the server itself, and the page talks to nobody else.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                   form-action 'none'; frame-ancestors 'none'";

/// The document at `<prefix>/openapi.json`, and at `<prefix>/` a page that lists the methods and sends what one writes to
/// them. The page takes nothing from elsewhere; where the API wants a key, whoever uses the page has to know it.
#[derive(Clone, Debug)]
pub struct ApiPages {
    /// The path, without a slash at its end.
    prefix: Arc<str>,
    document: Bytes,
}

impl ApiPages {
    /// The pages below `prefix` about an API below `api`, which is in the same place. `version` is the server's.
    #[must_use]
    pub fn new(prefix: &str, api: &str, version: &str) -> Self {
        let document = openapi(api, version).into();
        Self { prefix: prefix.trim_end_matches('/').into(), document }
    }

    /// Answers a request for one of the pages; `None` for any other.
    #[must_use]
    pub fn answer<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
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
            let text = Bytes::from_static(b"GET only\n");
            return Some(answer(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", text));
        }
        let status = if rest.is_empty() { StatusCode::PERMANENT_REDIRECT } else { StatusCode::OK };
        let mut answer = answer(status, content_type, body);
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

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
