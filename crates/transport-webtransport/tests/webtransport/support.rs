//! A server on a port of its own, and clients of it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::sync::{Notify, mpsc, watch};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tourbillon_transport::{Accept, ConnContext, Held};
use tourbillon_transport_webtransport::quinn::Endpoint;
use tourbillon_transport_webtransport::{
    Admitted, Http3, RequestBody, ServeError, WebTransport, WebTransportConfig, endpoint,
};
use tower_service::Service;
use wtransport::config::IpBindConfig;

/// Runs a test to its end, or fails it if it hangs.
pub(crate) fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(60), future).await };
    runtime.block_on(limited).expect("the test hangs");
}

/// Hands every connection to the test.
#[derive(Clone)]
struct ToTest(mpsc::UnboundedSender<(WebTransport, ConnContext)>);

impl Accept<WebTransport> for ToTest {
    fn accept(&self, transport: WebTransport, context: ConnContext) {
        let _ = self.0.send((transport, context));
    }
}

/// A stream without an end, which tells when nobody sends it any more.
pub(crate) struct Endless(Arc<Notify>);

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'.'; 16 * 1024])))))
    }
}

/// A header's value of 600 bytes, which no code makes short.
const LONG: &str = match std::str::from_utf8(&[b'~'; 600]) {
    Ok(text) => text,
    Err(_) => "",
};

/// Tells what was asked for; `/endless` is a stream, `/long-head` has a long header.
#[derive(Clone)]
struct Echo(Arc<Notify>);

impl Service<Request<RequestBody>> for Echo {
    type Response = Response<Either<Full<Bytes>, Endless>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        if request.uri().path() == "/endless" {
            return ready(Ok(Response::new(Either::Right(Endless(self.0.clone())))));
        }
        if request.uri().path() == "/long-head" {
            let mut answer = Response::new(Either::Left(Full::default()));
            answer.headers_mut().insert("x-long", HeaderValue::from_static(LONG));
            return ready(Ok(answer));
        }
        let peer = request.extensions().get::<SocketAddr>().is_some();
        let text = format!("{} {} peer: {peer}", request.method(), request.uri().path());
        ready(Ok(Response::new(Either::Left(Full::from(text)))))
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) ended: mpsc::UnboundedReceiver<Result<(), ServeError>>,
    pub(crate) door: Arc<Door>,
    pub(crate) stop: watch::Sender<bool>,
    /// Told of the end of each stream without an end.
    pub(crate) given_up: Arc<Notify>,
    accepted: mpsc::UnboundedReceiver<(WebTransport, ConnContext)>,
    _endpoint: Endpoint,
}

/// Who may begin a session, and how many have a place.
#[derive(Default)]
pub(crate) struct Door {
    pub(crate) shut: Arc<AtomicBool>,
    held: Arc<()>,
    opening: Arc<()>,
}

impl Door {
    fn admit(&self, headers: &HeaderMap) -> Result<Admitted, StatusCode> {
        assert!(headers.contains_key("x-mine"), "these are the headers of the request");
        if self.shut.load(Ordering::Relaxed) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let (held, opening) = (Arc::clone(&self.held), Arc::clone(&self.opening));
        Ok(Admitted { held: Some(Held::new(held)), opening: Some(Held::new(opening)) })
    }

    /// Places of connections, and of sessions that are none yet.
    pub(crate) fn places(&self) -> [usize; 2] {
        [&self.held, &self.opening].map(|place| Arc::strong_count(place) - 1)
    }
}

impl Server {
    pub(crate) fn start(config: WebTransportConfig) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a certificate with its key");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let endpoint = endpoint(socket, &tls).expect("an endpoint");
        let (accept, accepted) = mpsc::unbounded_channel();
        let (end, ended) = mpsc::unbounded_channel();
        let (door, (stop, stopped)) = (Arc::<Door>::default(), watch::channel(false));
        let http3 = Http3::new(ToTest(accept), Some(config));
        let given_up = Arc::<Notify>::default();
        tokio::spawn({
            let (endpoint, door, given_up) = (endpoint.clone(), door.clone(), given_up.clone());
            async move {
                while let Some(incoming) = endpoint.accept().await {
                    let (http3, end, door) = (http3.clone(), end.clone(), door.clone());
                    let echo = Echo(given_up.clone());
                    let mut stopped = stopped.clone();
                    tokio::spawn(async move {
                        let stop = async { drop(stopped.wait_for(|stopped| *stopped).await) };
                        let connecting = incoming.accept().expect("a sound packet");
                        let served = http3.serve(connecting, echo, |headers| door.admit(headers), stop);
                        let _ = end.send(served.await);
                    });
                }
            }
        });
        Self {
            address,
            certificate: cert.der().clone(),
            ended,
            door,
            stop,
            given_up,
            accepted,
            _endpoint: endpoint,
        }
    }

    pub(crate) fn url(&self, path_and_query: &str) -> String {
        format!("https://{}{path_and_query}", self.address)
    }

    pub(crate) async fn accept(&mut self) -> (WebTransport, ConnContext) {
        self.accepted.recv().await.expect("a connection")
    }

    pub(crate) fn has_accepted_nothing(&mut self) -> bool {
        self.accepted.try_recv().is_err()
    }
}

/// What a client begins a session with.
pub(crate) fn request(url: String) -> wtransport::endpoint::ConnectRequestBuilder {
    wtransport::endpoint::ConnectOptions::builder(url).add_header("x-mine", "1")
}

/// A WebTransport client that trusts everybody.
pub(crate) fn client() -> wtransport::Endpoint<wtransport::endpoint::endpoint_side::Client> {
    let config = wtransport::ClientConfig::builder()
        .with_bind_config(IpBindConfig::LocalV4)
        .with_no_cert_validation()
        .build();
    wtransport::Endpoint::client(config).expect("a client")
}
