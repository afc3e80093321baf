//! The one method.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use tourbillon_protocol::connect_frame;
use tourbillon_transport::slot::Slot;
use tourbillon_transport::{Accept, ConnContext, Held, TransportInfo};
use tourbillon_types::{Direction, Encoding, PushKinds};
use tower_service::Service;

use crate::request::{BoxError, message, time_limit};
use crate::status::{Code, Status};
use crate::{GrpcBody, GrpcConfig, GrpcTransport};

/// Takes calls of `Consume` and hands their streams to `A`. See the [crate](crate) for how calls end.
///
/// Headers of the call are there for authentication, as those of an HTTP request are. The peer's address is taken from
/// a [`SocketAddr`] among the request's extensions, where the HTTP server put one.
#[derive(Clone, Debug)]
pub struct UniStreamService<A> {
    accept: A,
    config: Arc<GrpcConfig>,
}

type Answer = Response<GrpcBody>;

impl<A> UniStreamService<A> {
    /// The path of the method.
    pub const PATH: &'static str = "/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume";

    /// A service that hands streams to `accept`.
    pub fn new(accept: A, config: GrpcConfig) -> Self {
        Self { accept, config: Arc::new(config) }
    }
}

impl<A: Accept<GrpcTransport>> UniStreamService<A> {
    async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (mut head, body) = request.into_parts();
        if let Some(refused) = refusal(&head.method, &head.headers) {
            return refused;
        }
        if head.uri.path() != Self::PATH {
            return Status::new(Code::Unimplemented, "there is no such method").answer();
        }
        // Counted from here, as the client counts from its first byte.
        let deadline = time_limit(&head.headers).map(|limit| Box::pin(tokio::time::sleep(limit)));
        let GrpcConfig { max_receive_message_size, message_timeout } = *self.config;
        let first = match message(body, max_receive_message_size, message_timeout).await {
            Ok(message) => connect_frame(Encoding::Protobuf, &message),
            Err(status) => return status.answer(),
        };
        let Ok(first) = first else {
            return Status::new(Code::InvalidArgument, "the message is no ConnectRequest").answer();
        };
        let mut info = TransportInfo::new("uni_grpc", Encoding::Protobuf);
        info.direction = Direction::Unidirectional;
        info.suppressed = PushKinds::NONE;
        info.peer = head.extensions.get::<SocketAddr>().copied();
        let slot = Arc::new(Slot::new(b""));
        let mut answer = Response::new(GrpcBody::stream(slot.clone(), deadline));
        let kind = head.headers.get(CONTENT_TYPE).cloned();
        let kind = kind.unwrap_or_else(|| HeaderValue::from_static("application/grpc"));
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        let mut context = ConnContext::new(head.headers);
        context.held = head.extensions.remove::<Held>();
        self.accept.accept(GrpcTransport::new(info, first, slot), context);
        answer
    }
}

/// Why a request is no call, as HTTP tells it.
fn refusal(method: &Method, headers: &HeaderMap) -> Option<Answer> {
    let is_grpc = |value: &HeaderValue| {
        let kind = value.as_bytes().strip_prefix(b"application/grpc");
        kind.is_some_and(|rest| matches!(rest, [] | [b';', ..]) || rest.starts_with(b"+proto"))
    };
    let mut refused = Response::new(GrpcBody::empty());
    if method != Method::POST {
        *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(refused);
    }
    if !headers.get(CONTENT_TYPE).is_some_and(is_grpc) {
        *refused.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Some(refused);
    }
    None
}

impl<A, B> Service<Request<B>> for UniStreamService<A>
where
    A: Accept<GrpcTransport> + Sync,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}
