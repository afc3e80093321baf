//! The endpoint that prepares the ground for a connection.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

use crate::request::{Answer, Cors, answer, other_method};
use crate::{HttpBody, HttpConfig};

/// Answers `GET` with `{}` (TR-10): a page may ask it first, so that what stands between sets its cookies and the
/// browser has a connection.
#[derive(Clone, Debug)]
pub struct InitService {
    config: Arc<HttpConfig>,
}

impl InitService {
    /// A service whose answers pages of the configured origins may read. Nothing else of the configuration matters.
    #[must_use]
    pub fn new(config: HttpConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    fn answer<B>(&self, request: &Request<B>) -> Answer {
        let mut told = if request.method() == Method::GET {
            let mut told = answer(StatusCode::OK, "{}");
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            told.headers_mut().insert(CONTENT_TYPE, json);
            told
        } else {
            other_method(request.method(), "GET, OPTIONS")
        };
        Cors::new(&self.config.origins, request.headers()).apply(&mut told);
        told
    }
}

impl<B> Service<Request<B>> for InitService {
    type Response = Response<HttpBody>;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}
