//! Questions as JSON that is POSTed.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::connector::Connector;
use crate::endpoint::CallError;
use crate::event::Question;
use crate::json::from_object;

/// The most connections that are kept while nothing is asked.
const IDLE: usize = 255;

/// How long a connection is kept for.
const IDLE_TIME: std::time::Duration = std::time::Duration::from_secs(90);

/// A backend that is asked over HTTP.
pub(crate) struct HttpCaller {
    client: Client<Connector, Full<Bytes>>,
    uri: Uri,
    authorization: Option<HeaderValue>,
    max_answer: usize,
}

impl HttpCaller {
    pub(crate) fn new(
        connector: Connector,
        uri: Uri,
        authorization: Option<HeaderValue>,
        max_answer: usize,
    ) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE)
            .build(connector);
        Self { client, uri, authorization, max_answer }
    }

    /// Asks, and reads the answer if its status is 200.
    pub(crate) async fn call<Q: Question>(
        &self,
        question: &Q,
        mut headers: HeaderMap,
    ) -> Result<Q::Answer, CallError> {
        let body = serde_json::to_vec(question).map_err(|_| CallError::Unsayable)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = &self.authorization {
            headers.entry(header::AUTHORIZATION).or_insert_with(|| value.clone());
        }
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        let response =
            self.client.request(request).await.map_err(|error| {
                if error.is_connect() { CallError::Unreachable } else { CallError::Broken }
            })?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(CallError::Status(status.as_u16()));
        }
        let body = Limited::new(response.into_body(), self.max_answer).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() { CallError::TooLong } else { CallError::Broken }
        })?;
        from_object(&body.to_bytes()).map_err(|_| CallError::Unreadable)
    }
}
