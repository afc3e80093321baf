//! A node with the API over GRPC in front, on a port of its own, and a client of it.

use std::time::Duration;

use http::uri::PathAndQuery;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tourbillon_api::{ApiService, GrpcApi, GrpcApiConfig};

use crate::harness::{self, Test};

pub(crate) const SERVICE: &str = "centrifugal.centrifugo.api.CentrifugoApi";

/// A running API.
pub(crate) struct Api {
    pub(crate) test: Test,
    pub(crate) channel: Channel,
}

/// Runs a test to its end, or fails it if it hangs.
pub(crate) fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(60), future).await };
    runtime.block_on(limited).expect("the test hangs");
}

pub(crate) async fn start(change: impl FnOnce(&mut GrpcApiConfig)) -> Api {
    let test = harness::start();
    let mut config = GrpcApiConfig::default();
    change(&mut config);
    let service = TowerToHyperService::new(GrpcApi::new(ApiService::new(test.node.clone()), config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let http = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service.clone()));
        }
    });
    let uri = format!("http://{address}").parse().expect("an address");
    Api { test, channel: Channel::builder(uri).connect().await.expect("a connection") }
}

impl Api {
    /// Calls a method of a service.
    pub(crate) async fn send<Q, R>(&self, path: &str, request: Request<Q>) -> Result<R, Status>
    where
        Q: prost::Message + Default + 'static,
        R: prost::Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.expect("ready");
        let path = PathAndQuery::try_from(path).expect("a path");
        let codec: ProstCodec<Q, R> = ProstCodec::default();
        grpc.unary(request, path, codec).await.map(tonic::Response::into_inner)
    }

    /// Calls a method that exists.
    pub(crate) async fn call<Q, R>(&self, method: &str, request: Q) -> R
    where
        Q: prost::Message + Default + 'static,
        R: prost::Message + Default + 'static,
    {
        let answer = self.send(&format!("/{SERVICE}/{method}"), Request::new(request)).await;
        answer.expect("an answer in a message")
    }
}
