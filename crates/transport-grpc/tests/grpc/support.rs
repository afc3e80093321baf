//! A server to call, and a client of tonic's.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use tourbillon_transport::{Accept, ConnContext};
use tourbillon_transport_grpc::{GrpcConfig, GrpcTransport, UniStreamService};
use tower_service::Service;

use crate::unistream::{ConnectRequest, Push};

/// Runs a test to its end, or fails it if it hangs.
pub(crate) fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(30), future).await };
    runtime.block_on(limited).expect("the test hangs");
}

pub(crate) type Accepted = (GrpcTransport, ConnContext);

/// Hands every connection to the test.
#[derive(Clone)]
pub(crate) struct ToTest(mpsc::UnboundedSender<Accepted>);

impl Accept<GrpcTransport> for ToTest {
    fn accept(&self, transport: GrpcTransport, context: ConnContext) {
        let _ = self.0.send((transport, context));
    }
}

pub(crate) fn service(config: GrpcConfig) -> (UniStreamService<ToTest>, mpsc::UnboundedReceiver<Accepted>) {
    let (accept, accepted) = mpsc::unbounded_channel();
    (UniStreamService::new(ToTest(accept), config), accepted)
}

/// A hyper server on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: mpsc::UnboundedReceiver<Accepted>,
}

/// Serves calls on a port of its own.
pub(crate) async fn serve<A: Accept<GrpcTransport> + Sync>(service: UniStreamService<A>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let service = service.clone();
            let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
                request.extensions_mut().insert(peer);
                service.clone().call(request)
            });
            let http = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

impl Server {
    pub(crate) async fn start(config: GrpcConfig) -> Self {
        let (service, accepted) = service(config);
        Self { address: serve(service).await, accepted }
    }

    pub(crate) async fn accept(&mut self) -> Accepted {
        self.accepted.recv().await.expect("a connection")
    }

    /// Whether no connection came.
    pub(crate) fn has_accepted_nothing(&mut self) -> bool {
        self.accepted.try_recv().is_err()
    }
}

/// Calls `Consume` as tonic's generated code does.
pub(crate) async fn consume(
    address: SocketAddr,
    request: tonic::Request<ConnectRequest>,
) -> Result<tonic::Response<Streaming<Push>>, Status> {
    let uri = format!("http://{address}").parse().expect("an address");
    let channel = Channel::builder(uri).connect().await.expect("a connection");
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.expect("ready");
    let path = PathAndQuery::from_static(UniStreamService::<ToTest>::PATH);
    let codec: ProstCodec<ConnectRequest, Push> = ProstCodec::default();
    grpc.server_streaming(request, path, codec).await
}
