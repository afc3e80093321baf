//! Backends, and hooks that ask them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tourbillon_hooks::{ChannelOptions, Client, Refusal};
use tourbillon_proxy::{Endpoint, EndpointConfig, Event, ProxyHooks, Rules};
use tourbillon_types::{ClientId, ReplyError, UserId};

/// One backend for everything.
#[derive(Clone)]
pub(crate) struct One(pub(crate) Arc<Endpoint>);

impl Rules for One {
    fn endpoint(&self, _: Event, subject: &str) -> Result<Option<Arc<Endpoint>>, Refusal> {
        Ok((!subject.starts_with("nobody")).then(|| self.0.clone()))
    }

    fn channel_options(&self, _: &str) -> Result<ChannelOptions, ReplyError> {
        Ok(ChannelOptions::default())
    }
}

/// Hooks that ask this endpoint.
pub(crate) fn hooks(config: &EndpointConfig) -> (ProxyHooks<One>, Arc<Endpoint>) {
    let endpoint = Arc::new(Endpoint::new(config).expect("an endpoint"));
    (ProxyHooks::new(One(endpoint.clone())), endpoint)
}

/// Somebody named `ann`.
pub(crate) fn client() -> Arc<Client> {
    let mut client = Client::new(ClientId::random(), UserId::from("ann"), "websocket");
    let mut headers = HeaderMap::new();
    headers.insert("cookie", HeaderValue::from_static("session=1"));
    client.headers = headers.into();
    Arc::new(client)
}

/// A question as a backend got it over HTTP.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: serde_json::Value,
}

type Answering = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

/// A backend over HTTP that answers each question by a function, and tells what it was asked.
pub(crate) struct HttpBackend {
    pub(crate) address: String,
    pub(crate) asked: mpsc::UnboundedReceiver<Asked>,
    /// One item for each connection.
    pub(crate) connections: mpsc::UnboundedReceiver<()>,
}

impl HttpBackend {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Answering + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (tell, asked) = mpsc::unbounded_channel();
        let (came, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = came.send(());
                let (tell, answer) = (tell.clone(), answer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (tell, answer) = (tell.clone(), answer.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.expect("a body").to_bytes();
                        let asked = Asked {
                            method: parts.method.to_string(),
                            path: parts.uri.path().to_owned(),
                            headers: parts.headers,
                            body: serde_json::from_slice(&body).expect("JSON"),
                        };
                        let answering = answer(&asked);
                        let _ = tell.send(asked);
                        Ok::<_, Infallible>(answering.await)
                    }
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                tokio::spawn(async move {
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, asked, connections }
    }

    /// A backend that answers everything alike.
    pub(crate) async fn saying(status: u16, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self::start(move |_| said(status, body.clone())).await
    }

    pub(crate) fn config(&self) -> EndpointConfig {
        EndpointConfig::new("backend", format!("http://{}/events", self.address))
    }

    pub(crate) async fn asked(&mut self) -> Asked {
        self.asked.recv().await.expect("was asked")
    }
}

/// An answer that is there at once.
pub(crate) fn said(status: u16, body: impl Into<Bytes>) -> Answering {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status.try_into().expect("a status");
    Box::pin(async { response })
}
