//! Asking the authority.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use tourbillon_tls::rustls::pki_types::ServerName;
use tourbillon_tls::rustls::{self, ClientConfig, RootCertStore};
use tourbillon_tls::trusting;

/// Time for a request and its answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer, in bytes: a chain of certificates is a few thousand.
const LARGEST: usize = 1 << 20;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Asks over TLS, with a connection for each request.
#[derive(Clone)]
pub(super) struct Client(Arc<ClientConfig>);

impl Client {
    /// A client that trusts these roots, or those that everybody trusts.
    pub(super) fn new(roots: Option<RootCertStore>) -> Result<Self, rustls::Error> {
        Ok(Self(Arc::new(trusting(roots)?.with_no_client_auth())))
    }

    async fn ask(self, mut request: Request<BodyWrapper<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
        let uri = request.uri().clone();
        if uri.scheme_str() != Some("https") {
            return Err("the authority must be asked over https".into());
        }
        let authority = uri.authority().ok_or("the address names no host")?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let stream = TcpStream::connect((host.as_str(), authority.port_u16().unwrap_or(443))).await?;
        let stream = TlsConnector::from(self.0).connect(ServerName::try_from(host)?, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        request.headers_mut().insert(HOST, HeaderValue::try_from(authority.as_str())?);
        *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
            Ok(Response::from_parts(head, Full::new(body)))
        };
        let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
        let mut ended = false;
        loop {
            tokio::select! {
                answer = &mut exchange => return answer,
                // The exchange tells what came of it.
                _ = &mut connection, if !ended => ended = true,
            }
        }
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let asked = self.clone().ask(request);
        Box::pin(async move {
            let answer = tokio::time::timeout(TIMEOUT, asked).await;
            answer.map_err(BoxError::from).flatten().map(BytesResponse::from).map_err(Error::Other)
        })
    }
}
