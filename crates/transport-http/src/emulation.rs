//! The way of clients that have no way back in their stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use tourbillon_protocol::decode_emulation;
use tourbillon_transport::{Inject, InjectError};
use tower_service::Service;

use crate::request::{Answer, Answering, BoxError, Cors, answer, encoding, posted};
use crate::{HttpBody, HttpConfig};

/// Takes commands in requests of their own and brings them to the session that they are for (EMU-08, EMU-09).
///
/// | status | when |
/// |---|---|
/// | 204 | the session has the commands; or the node has no such session, as in Centrifugo |
/// | 400 | the body is no emulation request |
/// | 404 | there is no such node |
/// | 405 | neither `POST` nor `OPTIONS` |
/// | 408 | the body did not arrive in time |
/// | 413 | the body is too large |
/// | 500 | the node did not answer, or the session took nothing, in time |
/// | 503 | too many requests wait for the session already |
#[derive(Clone, Debug)]
pub struct EmulationService<I> {
    inject: I,
    config: Arc<HttpConfig>,
}

impl<I: Inject> EmulationService<I> {
    /// A service that finds sessions by `inject`.
    pub fn new(inject: I, config: HttpConfig) -> Self {
        Self { inject, config: Arc::new(config) }
    }

    async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (head, body) = match posted(&self.config, request).await {
            Ok(posted) => posted,
            Err(refused) => return *refused,
        };
        let emulation = match decode_emulation(encoding(&head.headers), &body) {
            Ok(emulation) => emulation,
            Err(error) => return answer(StatusCode::BAD_REQUEST, format!("{error}\n")),
        };
        let outcome = match (emulation.node.parse(), emulation.session.parse()) {
            // Every node is named as ours are.
            (Err(_), _) => Err(InjectError::NoNode),
            (Ok(_), Err(_)) => Err(InjectError::NoSession),
            (Ok(node), Ok(session)) => self.inject.inject(node, session, emulation.data).await,
        };
        match outcome {
            Ok(()) => answer(StatusCode::NO_CONTENT, ""),
            // What the client lost with its session it notices by its stream.
            Err(InjectError::NoSession) => answer(StatusCode::NO_CONTENT, ""),
            Err(InjectError::NoNode) => answer(StatusCode::NOT_FOUND, "there is no such node\n"),
            Err(error @ InjectError::Busy) => {
                tracing::debug!(%error, "an emulation request was refused");
                let mut busy = answer(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
                busy.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                busy
            }
            Err(error) => {
                tracing::info!(%error, "an emulation request was not delivered");
                answer(StatusCode::INTERNAL_SERVER_ERROR, "the session took nothing in time\n")
            }
        }
    }
}

impl<I, B> Service<Request<B>> for EmulationService<I>
where
    I: Inject,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<HttpBody>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        let cors = Cors::new(&self.config.origins, request.headers());
        cors.around(async move { service.answer(request).await })
    }
}
