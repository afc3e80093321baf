//! Questions as calls of GRPC.

use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::connector::Connector;
use crate::endpoint::CallError;
use crate::event::Question;
use crate::proto;
use crate::stream::outgoing;

/// A backend that is asked over GRPC.
pub(crate) struct GrpcCaller {
    client: Client<Connector, Body>,
    /// Streams have connections of their own: a backend may limit how many calls a connection has at once.
    streams: Client<Connector, Body>,
    origin: Uri,
    max_answer: usize,
    compression: bool,
}

impl GrpcCaller {
    pub(crate) fn new(connector: Connector, origin: Uri, max_answer: usize, compression: bool) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_only(true)
            // No pings: GRPC servers take them for an attack if they come more often than every five minutes, and end
            // the connection with all streams on it. The connector has TCP look after a backend that vanishes.
            .http2_adaptive_window(true);
        let (client, streams) = (builder.build(connector.clone()), builder.build(connector));
        Self { client, streams, origin, max_answer, compression }
    }

    fn grpc(&self, client: &Client<Connector, Body>) -> Grpc<Client<Connector, Body>> {
        let grpc = Grpc::with_origin(client.clone(), self.origin.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(self.max_answer);
        if self.compression { grpc.send_compressed(CompressionEncoding::Gzip) } else { grpc }
    }

    pub(crate) async fn call<Q: Question>(
        &self,
        question: Q,
        headers: HeaderMap,
    ) -> Result<Q::Answer, CallError> {
        let codec = ProstCodec::<Q, Q::Answer>::default();
        let path = PathAndQuery::from_static(Q::PATH);
        let request = with_metadata(question, headers);
        let response = self.grpc(&self.client).unary(request, path, codec).await;
        response.map(tonic::Response::into_inner).map_err(|status| failure(&status))
    }
}

impl GrpcCaller {
    /// Opens a stream.
    pub(crate) async fn open(&self, asked: Asked, headers: HeaderMap) -> Result<Incoming, CallError> {
        let mut grpc = self.grpc(&self.streams);
        let opened = match asked {
            Asked::Once(question) => {
                let codec = ProstCodec::<_, proto::StreamSubscribeResponse>::default();
                let path = PathAndQuery::from_static(UNIDIRECTIONAL);
                grpc.server_streaming(with_metadata(*question, headers), path, codec).await
            }
            Asked::Both(receiver) => {
                let codec = ProstCodec::<_, proto::StreamSubscribeResponse>::default();
                let path = PathAndQuery::from_static(BIDIRECTIONAL);
                grpc.streaming(with_metadata(outgoing(receiver), headers), path, codec).await
            }
        };
        opened.map(tonic::Response::into_inner).map_err(|status| failure(&status))
    }
}

/// What a stream begins with.
pub(crate) enum Asked {
    /// A question, and nothing more.
    Once(Box<proto::SubscribeRequest>),
    /// The question, and then what the client publishes.
    Both(mpsc::Receiver<proto::StreamSubscribeRequest>),
}

/// What comes of a stream.
pub(crate) type Incoming = Streaming<proto::StreamSubscribeResponse>;

const UNIDIRECTIONAL: &str = "/centrifugal.centrifugo.proxy.CentrifugoProxy/SubscribeUnidirectional";
const BIDIRECTIONAL: &str = "/centrifugal.centrifugo.proxy.CentrifugoProxy/SubscribeBidirectional";

/// A message with headers as its metadata. Values that are no text cannot be.
pub(crate) fn with_metadata<M>(message: M, mut headers: HeaderMap) -> tonic::Request<M> {
    let unfit: Vec<_> =
        headers.iter().filter(|(_, value)| value.to_str().is_err()).map(|(name, _)| name.clone()).collect();
    for name in unfit {
        headers.remove(name);
    }
    tonic::Request::from_parts(MetadataMap::from_headers(headers), tonic::Extensions::default(), message)
}

/// What a status means. Its text is not told: it is the backend's.
pub(crate) fn failure(status: &Status) -> CallError {
    match status.code() {
        Code::Unavailable => CallError::Unreachable,
        Code::OutOfRange => CallError::TooLong,
        code => CallError::Grpc(code as i32),
    }
}
