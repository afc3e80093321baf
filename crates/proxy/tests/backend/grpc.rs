//! Backends over GRPC.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Response, Status};
use tonic_prost::ProstCodec;
use tourbillon_hooks::shared_poll::{Backend as _, Item, Refresh};
use tourbillon_hooks::{
    Hooks as _, PublishRequest, RefreshRequest, Refusal, RpcRequest, SubRefreshRequest, SubscribeRequest,
};
use tourbillon_proxy::{Endpoint, EndpointConfig, ProxyBackend, proto};
use tourbillon_types::{Channel, Payload, ReplyError};

use super::harness::{One, client, hooks};

/// What the backend answers to calls of `RPC`.
type Answer = Arc<dyn Fn(&proto::RpcRequest) -> Result<proto::RpcResponse, Status> + Send + Sync>;

#[derive(Clone)]
struct Rpc(Answer, mpsc::UnboundedSender<(MetadataMap, proto::RpcRequest)>);

impl UnaryService<proto::RpcRequest> for Rpc {
    type Response = proto::RpcResponse;
    type Future = std::future::Ready<Result<Response<proto::RpcResponse>, Status>>;

    fn call(&mut self, request: tonic::Request<proto::RpcRequest>) -> Self::Future {
        let (metadata, _, message) = request.into_parts();
        let answer = (self.0)(&message);
        let _ = self.1.send((metadata, message));
        std::future::ready(answer.map(Response::new))
    }
}

/// A backend over GRPC that answers `RPC` by a function, and everything else by an empty message.
pub(crate) async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: Answer,
    tell: mpsc::UnboundedSender<(MetadataMap, proto::RpcRequest)>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, tell) = (answer.clone(), tell.clone());
        async move {
            assert!(request.uri().path().starts_with("/centrifugal.centrifugo.proxy.CentrifugoProxy/"));
            let codec = ProstCodec::<proto::RpcResponse, proto::RpcRequest>::default();
            let mut grpc = Grpc::new(codec)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip);
            Ok::<_, Infallible>(grpc.unary(Rpc(answer, tell), request).await)
        }
    });
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http2_only();
    let _ = server.serve_connection(TokioIo::new(io), service).await;
}

pub(crate) struct GrpcBackend {
    pub(crate) address: String,
    asked: mpsc::UnboundedReceiver<(MetadataMap, proto::RpcRequest)>,
}

impl GrpcBackend {
    async fn start(
        answer: impl Fn(&proto::RpcRequest) -> Result<proto::RpcResponse, Status> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (tell, asked) = mpsc::unbounded_channel();
        let answer: Answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), tell.clone()));
            }
        });
        Self { address, asked }
    }

    fn config(&self) -> EndpointConfig {
        EndpointConfig::new("backend", format!("grpc://{}", self.address))
    }
}

fn data(text: &'static str) -> proto::RpcResponse {
    let result = proto::RpcResult { data: Bytes::from_static(text.as_bytes()), ..Default::default() };
    proto::RpcResponse { result: Some(result), ..Default::default() }
}

async fn rpc(config: &EndpointConfig) -> Result<Payload, Refusal> {
    let (hooks, _) = hooks(config);
    let request = RpcRequest::new(client(), "getUser", Payload::from("\u{1}any bytes"));
    hooks.rpc(request).await.map(|decision| decision.data)
}

#[tokio::test]
async fn prx_11_a_call_has_data_and_metadata() {
    let mut backend = GrpcBackend::start(|_| Ok(data("answer"))).await;
    let mut config = backend.config();
    config.http_headers = vec![http::header::COOKIE];
    let value = HeaderValue::from_static;
    config.grpc.static_metadata = vec![
        (HeaderName::from_static("x-static"), value("always")),
        (http::header::COOKIE, value("overridden")),
    ];
    config.grpc.credentials = Some((HeaderName::from_static("x-credentials"), value("secret")));
    for compression in [false, true] {
        config.grpc.compression = compression;
        assert_eq!(rpc(&config).await, Ok(Payload::from("answer")));
        let (metadata, asked) = backend.asked.recv().await.expect("was asked");
        assert_eq!((&*asked.method, &*asked.user, &*asked.encoding), ("getUser", "ann", "json"));
        assert_eq!(asked.data, "\u{1}any bytes".as_bytes(), "bytes pass as they are");
        for (name, value) in [("x-static", "always"), ("cookie", "session=1"), ("x-credentials", "secret")] {
            assert_eq!(metadata.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
        }
        let coding = metadata.get("grpc-encoding").map(|value| value.as_bytes().to_vec());
        assert_eq!(coding, compression.then(|| b"gzip".to_vec()));
    }
    assert!(!format!("{config:?}").contains("secret"));
}

#[tokio::test]
async fn statuses_of_grpc_are_errors_whose_texts_are_not_told() {
    for code in [Code::Internal, Code::Unimplemented, Code::PermissionDenied, Code::Unavailable] {
        let backend = GrpcBackend::start(move |_| Err(Status::new(code, "secret"))).await;
        assert_eq!(rpc(&backend.config()).await, Err(ReplyError::INTERNAL.into()), "{code}");
    }
}

#[tokio::test]
async fn errors_of_the_envelope_reach_the_client() {
    let backend = GrpcBackend::start(|_| {
        let error = proto::Error { code: 404, message: "no".to_owned(), temporary: false };
        Ok(proto::RpcResponse { error: Some(error), ..Default::default() })
    })
    .await;
    assert_eq!(rpc(&backend.config()).await, Err(ReplyError::custom(404, "no", false).into()));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_error() {
    let backend = GrpcBackend::start(|_| Ok(data("0123456789012345678901234567890123456789"))).await;
    let mut config = backend.config();
    assert!(rpc(&config).await.is_ok());
    config.max_answer = 30;
    assert_eq!(rpc(&config).await, Err(ReplyError::INTERNAL.into()));
}

#[tokio::test]
async fn backends_that_are_away_or_silent_are_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let mut config = EndpointConfig::new("backend", address.to_string());
    config.timeout = Duration::from_millis(50);
    let silent = async {
        let _stream = listener.accept().await.expect("a connection");
        pending::<()>().await;
    };
    tokio::select! {
        answer = rpc(&config) => assert_eq!(answer, Err(ReplyError::INTERNAL.into())),
        () = silent => {}
    }
    drop(listener);
    config.timeout = Duration::from_secs(30);
    assert_eq!(rpc(&config).await, Err(ReplyError::INTERNAL.into()), "nobody listens");
}

/// GRPC servers end connections on which they are pinged more often than every five minutes, and with them all streams.
#[tokio::test(flavor = "current_thread")]
async fn a_backend_that_takes_its_time_is_not_pinged() {
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    const PING: u8 = 6;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut config = EndpointConfig::new("backend", listener.local_addr().expect("its address").to_string());
    config.timeout = Duration::from_secs(240);
    let (tell, mut told) = mpsc::unbounded_channel();
    let backend = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.read_exact(&mut [0; PREFACE]).await.expect("a preface");
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("settings");
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let [a, b, c, kind, ..] = head;
            let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("a length")];
            stream.read_exact(&mut payload).await.expect("a frame");
            let _ = tell.send(kind);
        }
    });
    let asked = tokio::spawn(async move { rpc(&config).await });
    while told.recv().await.expect("a frame") != HEADERS {}
    tokio::time::pause();
    assert_eq!(asked.await.expect("asked"), Err(ReplyError::INTERNAL.into()), "the time is over");
    backend.await.expect("the connection is closed");
    let mut later = Vec::new();
    while let Ok(kind) = told.try_recv() {
        later.push(kind);
    }
    assert!(!later.contains(&PING), "{later:?}");
}

#[tokio::test]
async fn a_backend_that_comes_back_is_asked_again() {
    let backend = GrpcBackend::start(|_| Ok(data("1"))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let (hooks, endpoint) = hooks(&EndpointConfig::new("backend", address.to_string()));
    let ask = || hooks.rpc(RpcRequest::new(client(), "x", Payload::empty()));
    assert!(ask().await.is_err());
    let listener = TcpListener::bind(address).await.expect("the port");
    let (tell, _asked) = mpsc::unbounded_channel();
    let serving = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        serve(stream, Arc::new(|_| Ok(data("1"))), tell).await;
    };
    tokio::select! {
        answer = ask() => assert_eq!(answer.expect("an answer").data, Payload::from("1")),
        () = serving => panic!("gone"),
    }
    assert_eq!((endpoint.stats()[0].calls, endpoint.stats()[0].errors), (2, 1));
    assert_eq!(endpoint.stats()[0].protocol, "grpc");
    drop(backend);
}

#[cfg(unix)]
#[tokio::test]
async fn net_10_a_backend_may_listen_on_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("tourbillon-proxy-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let (tell, mut asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        serve(stream, Arc::new(|_| Ok(data("2"))), tell).await;
    });
    let config = EndpointConfig::new("backend", format!("unix://{}", path.display()));
    assert_eq!(rpc(&config).await, Ok(Payload::from("2")));
    assert!(asked.recv().await.is_some());
    std::fs::remove_file(&path).expect("removed");
}

/// A backend that answers questions about keys, and hands over what it was asked.
#[derive(Clone)]
struct Keys(mpsc::UnboundedSender<proto::SharedPollRefreshRequest>);

impl UnaryService<proto::SharedPollRefreshRequest> for Keys {
    type Response = proto::SharedPollRefreshResponse;
    type Future = std::future::Ready<Result<Response<Self::Response>, Status>>;

    fn call(&mut self, request: tonic::Request<proto::SharedPollRefreshRequest>) -> Self::Future {
        let request = request.into_inner();
        let answer = match request.channel.as_str() {
            "fails" => Err(Status::unavailable("planted")),
            "refuses" => Ok(proto::SharedPollRefreshResponse {
                error: Some(proto::Error { code: 1000, ..Default::default() }),
                ..Default::default()
            }),
            _ => {
                let item =
                    |key: &str, data: &'static [u8], version, removed| proto::SharedPollRefreshResultItem {
                        key: key.to_owned(),
                        data: Bytes::from_static(data),
                        version,
                        removed,
                        prev_data: Bytes::from_static(b"before"),
                    };
                let items = vec![item("a", b"\0any bytes", 7, false), item("b", b"", 0, true)];
                let result = proto::SharedPollRefreshResult { items, epoch: "e".to_owned() };
                Ok(proto::SharedPollRefreshResponse { result: Some(result), ..Default::default() })
            }
        };
        let _ = self.0.send(request);
        std::future::ready(answer.map(Response::new))
    }
}

#[tokio::test]
async fn prx_35_keys_of_polled_channels_are_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let config =
        EndpointConfig::new("backend", format!("grpc://{}", listener.local_addr().expect("its address")));
    let (tell, mut asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let service = service_fn(move |request: Request<Incoming>| {
            let keys = Keys(tell.clone());
            async move {
                let path = "/centrifugal.centrifugo.proxy.CentrifugoProxy/SharedPollRefresh";
                assert_eq!(request.uri().path(), path);
                let codec =
                    ProstCodec::<proto::SharedPollRefreshResponse, proto::SharedPollRefreshRequest>::default(
                    );
                Ok::<_, Infallible>(Grpc::new(codec).unary(keys, request).await)
            }
        });
        let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http2_only();
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    });
    let backend = ProxyBackend::new(One(Arc::new(Endpoint::new(&config).expect("an endpoint"))));
    let refresh = |channel: &str| Refresh {
        channel: Channel::from(channel),
        items: vec![Item { key: "a".into(), version: 6 }, Item { key: "b".into(), version: 0 }],
    };
    let answer = backend.refresh(refresh("polled")).await.expect("an answer");
    let question = asked.recv().await.expect("was asked");
    let items: Vec<_> = question.items.iter().map(|item| (item.key.as_str(), item.version)).collect();
    assert_eq!((question.channel.as_str(), items), ("polled", vec![("a", 6), ("b", 0)]));
    let values: Vec<_> =
        answer.values.iter().map(|value| (value.key.as_str(), value.version, value.removed)).collect();
    assert_eq!((answer.epoch.as_str(), values), ("e", vec![("a", 7, false), ("b", 0, true)]));
    assert_eq!(answer.values[0].data, Payload::new("\0any bytes".into()), "bytes pass as they are");
    assert_eq!(answer.values[0].prev_data, Payload::new("before".into()));
    for channel in ["fails", "refuses"] {
        let error = backend.refresh(refresh(channel)).await.expect_err("no answer");
        assert!(!error.0.contains("planted"), "{}", error.0);
    }
}

#[tokio::test]
async fn every_question_has_a_method() {
    // The backend answers everything alike: fields of the same number mean the same in all answers that matter here.
    let backend = GrpcBackend::start(|_| Ok(proto::RpcResponse::default())).await;
    let (hooks, endpoint) = hooks(&backend.config());
    let channel = Channel::from("x");
    hooks.subscribe(SubscribeRequest::new(client(), channel.clone())).await.expect("allowed");
    let publish = PublishRequest::new(client(), channel.clone(), Payload::empty(), false);
    hooks.publish(publish).await.expect("allowed");
    assert!(hooks.refresh(RefreshRequest::new(client(), String::new(), 0)).await.expect("answered").expired);
    let refresh = SubRefreshRequest::new(client(), channel, String::new(), 0);
    assert!(hooks.sub_refresh(refresh).await.expect("answered").expired);
    let names: Vec<_> = endpoint.stats().iter().map(|stats| stats.event.name()).collect();
    assert_eq!(names, ["refresh", "subscribe", "publish", "sub_refresh"]);
}
