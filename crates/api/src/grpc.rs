//! The GRPC front (API-07).

mod answer;
mod ask;
mod status;

use std::convert::Infallible;
use std::future::{Future, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tonic_reflection::server::Builder;
use tower_service::Service;

use crate::command::{ApiCommand, ApiError, ApiReply};
use crate::http::{ERROR_MODE, Unread, read, same};
use crate::metrics::Protocol;
use crate::service::ApiService;

#[rustfmt::skip]
#[allow(missing_docs, clippy::all, clippy::use_self, unreachable_pub, reason = "generated")]
#[allow(unused_qualifications, unnameable_types, clippy::pedantic, clippy::nursery, reason = "generated")]
pub(crate) mod wire {
    include!("generated/api.rs");
}

/// The schema, as clients that ask for it are told.
const DESCRIPTOR: &[u8] = include_bytes!("generated/api.descriptor");

/// In front of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// How the GRPC front behaves.
#[derive(Clone)]
#[non_exhaustive]
pub struct GrpcApiConfig {
    /// The key that calls must show, in the metadata `authorization: apikey <key>`. Empty: everybody may call (API-08).
    pub key: String,
    /// Tells errors by the status of calls (API-05). Default no.
    pub transport_errors: bool,
    /// The largest message of a client, in bytes. Default 4 MiB.
    pub max_receive_message_size: usize,
    /// Time within which the message of a call must be there. Default 30 s.
    pub message_timeout: Duration,
    /// Tells clients the schema if they ask (`grpc.reflection.v1` and `v1alpha`). Default no.
    pub reflection: bool,
}

impl Default for GrpcApiConfig {
    fn default() -> Self {
        Self {
            key: String::new(),
            transport_errors: false,
            max_receive_message_size: 4 * 1024 * 1024,
            message_timeout: Duration::from_secs(30),
            reflection: false,
        }
    }
}

impl std::fmt::Debug for GrpcApiConfig {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcApiConfig").field("reflection", &self.reflection).finish_non_exhaustive()
    }
}

type Outcome = Result<ApiReply, ApiError>;
/// The body of an answer.
pub type GrpcApiBody = tonic::body::Body;

type Answer = Response<GrpcApiBody>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A message that asks for something.
trait Asks: prost::Message + Default + 'static {
    /// The message that answers it.
    type Answer: prost::Message + Default + 'static;

    fn command(self) -> ApiCommand;

    fn answer(outcome: Outcome) -> Self::Answer;
}

/// The methods of the schema but `Batch`: the last part of the path, its two messages, and the field that the first has in
/// a batch's command and the result of the second in its reply.
macro_rules! methods {
    ($($path:literal $asks:ident $answers:ident $field:ident;)*) => {
        $(impl Asks for wire::$asks {
            type Answer = wire::$answers;

            fn command(self) -> ApiCommand {
                wire::Command { $field: Some(self), ..wire::Command::default() }.into()
            }

            fn answer(outcome: Outcome) -> Self::Answer {
                let wire::Reply { error, $field: result, .. } = wire::Reply::from(outcome);
                wire::$answers { error, result }
            }
        })*

        /// The names of the methods.
        #[cfg(test)]
        const METHODS: &[&str] = &["Batch", $($path,)*];

        impl GrpcApi {
            async fn call(&self, method: &str, request: Request<Full<Bytes>>, transport_errors: bool) -> Answer {
                match method {
                    "Batch" => self.unary::<wire::BatchRequest>(request, transport_errors).await,
                    $($path => self.unary::<wire::$asks>(request, transport_errors).await,)*
                    _ => Status::unimplemented("there is no such method").into_http(),
                }
            }
        }
    };
}

methods! {
    "Publish" PublishRequest PublishResponse publish;
    "Broadcast" BroadcastRequest BroadcastResponse broadcast;
    "Subscribe" SubscribeRequest SubscribeResponse subscribe;
    "Unsubscribe" UnsubscribeRequest UnsubscribeResponse unsubscribe;
    "Disconnect" DisconnectRequest DisconnectResponse disconnect;
    "Presence" PresenceRequest PresenceResponse presence;
    "PresenceStats" PresenceStatsRequest PresenceStatsResponse presence_stats;
    "History" HistoryRequest HistoryResponse history;
    "HistoryRemove" HistoryRemoveRequest HistoryRemoveResponse history_remove;
    "Info" InfoRequest InfoResponse info;
    "RPC" RpcRequest RpcResponse rpc;
    "Refresh" RefreshRequest RefreshResponse refresh;
    "Channels" ChannelsRequest ChannelsResponse channels;
    "BlockUser" BlockUserRequest BlockUserResponse block_user;
    "UnblockUser" UnblockUserRequest UnblockUserResponse unblock_user;
    "RevokeToken" RevokeTokenRequest RevokeTokenResponse revoke_token;
    "MapPublish" MapPublishRequest MapPublishResponse map_publish;
    "MapRemove" MapRemoveRequest MapRemoveResponse map_remove;
    "MapReadState" MapReadStateRequest MapReadStateResponse map_read_state;
    "MapReadStream" MapReadStreamRequest MapReadStreamResponse map_read_stream;
    "MapStats" MapStatsRequest MapStatsResponse map_stats;
    "MapClear" MapClearRequest MapClearResponse map_clear;
    "SharedPollPublish" SharedPollPublishRequest SharedPollPublishResponse shared_poll_publish;
    "InvalidateUserTokens" InvalidateUserTokensRequest InvalidateUserTokensResponse invalidate_user_tokens;
}

/// A service of the library's, whose type has no name.
type Answers = Arc<dyn Fn(Request<GrpcApiBody>) -> Answering + Send + Sync>;
type Answering = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

/// Answers questions about the schema, as two versions of the protocol ask them.
#[derive(Clone)]
struct Reflection {
    v1: Answers,
    v1alpha: Answers,
}

impl Reflection {
    /// `None` if the committed schema cannot be read, which a test excludes.
    fn new() -> Option<Self> {
        let builder = || Builder::configure().register_encoded_file_descriptor_set(DESCRIPTOR);
        Some(Self { v1: boxed(builder().build_v1().ok()?), v1alpha: boxed(builder().build_v1alpha().ok()?) })
    }

    fn asked(&self, path: &str) -> Option<&Answers> {
        if path.starts_with("/grpc.reflection.v1.ServerReflection/") {
            return Some(&self.v1);
        }
        path.starts_with("/grpc.reflection.v1alpha.ServerReflection/").then_some(&self.v1alpha)
    }
}

fn boxed<S>(service: S) -> Answers
where
    S: Service<Request<GrpcApiBody>, Response = Answer, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    Arc::new(move |request| Box::pin(service.clone().call(request)))
}

/// The server API over GRPC: the unary methods of `centrifugal.centrifugo.api.CentrifugoApi`, as `proto/api.proto` has
/// them.
///
/// It is a [`tower` service](tower_service::Service) for HTTP requests, and a service for a tonic server. It must be
/// called within a tokio runtime, whose timer it uses.
///
/// | status | when |
/// |---|---|
/// | 0 ok | the command was carried out, or failed with an error in the message |
/// | 3, 5, 6, 11, 13 | the command failed, where errors are told by the status; the error is among the details |
/// | 4 deadline exceeded | the message did not arrive in time |
/// | 8 resource exhausted | the message is too large |
/// | 12 unimplemented | there is no such method, or the message is compressed |
/// | 13 internal | the message is not what the method takes, or did not arrive whole |
/// | 16 unauthenticated | the key is missing or wrong |
#[derive(Clone)]
pub struct GrpcApi {
    service: ApiService,
    config: Arc<GrpcApiConfig>,
    reflection: Option<Reflection>,
}

impl std::fmt::Debug for GrpcApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcApi").field("service", &self.service).finish_non_exhaustive()
    }
}

impl NamedService for GrpcApi {
    const NAME: &'static str = "centrifugal.centrifugo.api.CentrifugoApi";
}

impl GrpcApi {
    /// The front of this service.
    #[must_use]
    pub fn new(service: ApiService, config: GrpcApiConfig) -> Self {
        let reflection = if config.reflection { Reflection::new() } else { None };
        Self { service: service.over(Protocol::Grpc), config: Arc::new(config), reflection }
    }

    /// Answers a call of a method.
    ///
    /// # Cancel safety
    ///
    /// What the call asks for may have taken effect.
    async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let method = head.uri.path().strip_prefix('/').and_then(|path| path.strip_prefix(Self::NAME));
        let Some(method) = method.and_then(|path| path.strip_prefix('/')).map(str::to_owned) else {
            return Status::unimplemented("there is no such service").into_http();
        };
        let mode = head.headers.get(ERROR_MODE).map(HeaderValue::as_bytes);
        let transport_errors = self.config.transport_errors || mode == Some(b"transport");
        let limit = self.config.max_receive_message_size.saturating_add(PREFIX);
        let body = match tokio::time::timeout(self.config.message_timeout, read(body, limit)).await {
            Ok(Ok(body)) => body,
            Ok(Err(Unread::TooLarge)) => {
                let limit = self.config.max_receive_message_size;
                let text = format!("the message is too large: {limit} bytes are allowed");
                return Status::new(Code::ResourceExhausted, text).into_http();
            }
            Ok(Err(Unread::Broken)) => {
                return Status::internal("the message did not arrive whole").into_http();
            }
            Err(_) => return Status::deadline_exceeded("the message did not arrive in time").into_http(),
        };
        self.call(&method, Request::from_parts(head, Full::new(body)), transport_errors).await
    }

    async fn unary<A: Asks>(&self, request: Request<Full<Bytes>>, transport_errors: bool) -> Answer {
        let codec: ProstCodec<A::Answer, A> = ProstCodec::default();
        // Which the whole body does not exceed.
        let mut grpc = Grpc::new(codec).max_decoding_message_size(usize::MAX);
        let service = self.service.clone();
        grpc.unary(Unary { service, transport_errors, asks: PhantomData::<fn(A)> }, request).await
    }

    /// The metadata `authorization`, to the letter. As in the original, there is no other way.
    fn authorized(&self, headers: &HeaderMap) -> bool {
        let key = self.config.key.as_bytes();
        let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        key.is_empty()
            || shown.and_then(|shown| shown.strip_prefix(b"apikey ")).is_some_and(|shown| same(shown, key))
    }
}

/// One call whose message is there.
struct Unary<A> {
    service: ApiService,
    transport_errors: bool,
    asks: PhantomData<fn(A)>,
}

impl<A: Asks> Service<tonic::Request<A>> for Unary<A> {
    type Response = tonic::Response<A::Answer>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<A>) -> Self::Future {
        let (service, transport_errors) = (self.service.clone(), self.transport_errors);
        Box::pin(async move {
            match service.execute(request.into_inner().command()).await {
                Err(error) if transport_errors => Err(status::of(&error)),
                outcome => Ok(tonic::Response::new(A::answer(outcome))),
            }
        })
    }
}

impl<B> Service<Request<B>> for GrpcApi
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.authorized(request.headers()) {
            let refused = Status::unauthenticated("the API key is missing or wrong").into_http();
            return Box::pin(ready(Ok(refused)));
        }
        let reflection = self.reflection.as_ref();
        if let Some(answers) = reflection.and_then(|reflection| reflection.asked(request.uri().path())) {
            return answers(request.map(GrpcApiBody::new));
        }
        let api = self.clone();
        Box::pin(async move { Ok(api.answer(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Method;

    /// API-07.
    #[test]
    fn every_method_over_http_is_one_over_grpc_but_our_own() {
        let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
        let mut there: Vec<String> = METHODS.iter().map(|name| plain(name)).collect();
        let mut http: Vec<String> = Method::all()
            .filter(|method| *method != Method::Explain)
            .map(|method| plain(method.name()))
            .collect();
        there.sort();
        http.sort();
        assert_eq!(there, http);
    }

    #[test]
    fn the_schema_can_be_told() {
        assert!(Reflection::new().is_some());
    }

    #[test]
    fn a_configuration_does_not_show_its_key() {
        let config = GrpcApiConfig { key: "secret".to_owned(), ..GrpcApiConfig::default() };
        assert!(!format!("{config:?}").contains("secret"));
    }
}
