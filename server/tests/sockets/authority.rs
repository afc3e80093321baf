//! A small ACME server (RFC 8555) on loopback, which asks whether a host is ours at a port of this machine. It takes
//! any order, and checks what a client must get right: nonces, addresses, and the answers to its questions.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates::Authority;

pub(crate) struct AcmeServer {
    shared: Arc<Shared>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    OverTls,
    OverHttp,
}

struct Shared {
    base: String,
    issues: Arc<Authority>,
    asks: Asks,
    /// Where hosts are.
    at: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nonces: BTreeSet<String>,
    last: u32,
    /// The digests of accounts' keys, by their addresses.
    accounts: BTreeMap<String, String>,
    contacts: Vec<String>,
    orders: BTreeMap<String, Order>,
    mistakes: Vec<String>,
}

#[derive(Clone)]
struct Order {
    host: String,
    status: &'static str,
    chain: Option<String>,
}

impl AcmeServer {
    /// Starts one that finds all hosts at `at`.
    pub(crate) async fn start(
        own: &Authority,
        issues: impl Into<Arc<Authority>>,
        asks: Asks,
        at: SocketAddr,
    ) -> Self {
        let issues = issues.into();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let base = format!("https://localhost:{}", address.port());
        let shared = Arc::new(Shared { base, issues, asks, at, state: Mutex::default() });
        let issued = own.issue("localhost");
        let cert = CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("PEM");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .expect("a pair");
        let (acceptor, serving) = (TlsAcceptor::from(Arc::new(config)), Arc::clone(&shared));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&serving));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                        let shared = Arc::clone(&shared);
                        async move { Ok::<_, Infallible>(shared.answer(request).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { shared }
    }

    pub(crate) fn directory(&self) -> String {
        format!("{}/directory", self.shared.base)
    }

    /// The number of accounts, the contacts they gave, and the hosts of orders that ended well.
    pub(crate) fn seen(&self) -> (usize, Vec<String>, Vec<String>) {
        let state = self.shared.state.lock();
        assert!(state.mistakes.is_empty(), "{:?}", state.mistakes);
        let ended = state.orders.values().filter(|order| order.status == "valid");
        (state.accounts.len(), state.contacts.clone(), ended.map(|order| order.host.clone()).collect())
    }
}

impl AcmeServer {
    /// How many orders ended badly.
    pub(crate) fn refused(&self) -> usize {
        self.shared.state.lock().orders.values().filter(|order| order.status == "invalid").count()
    }
}

fn base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

impl Shared {
    async fn answer(&self, request: Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        let mut location = None;
        let (status, answer) = match path.as_str() {
            "/directory" => (200, self.urls()),
            "/nonce" => (200, Value::Null),
            _ => match self.signed(&path, &body) {
                Err(mistake) => {
                    self.state.lock().mistakes.push(format!("{path}: {mistake}"));
                    (
                        400,
                        json!({"type": "urn:ietf:params:acme:error:malformed", "detail": mistake, "status": 400}),
                    )
                }
                Ok((account, payload)) => {
                    let (status, answer, at) = self.act(&path, &account, &payload).await;
                    location = at;
                    (status, answer)
                }
            },
        };
        let chain = answer.as_str().map(str::to_owned);
        let body = chain.unwrap_or_else(|| if answer.is_null() { String::new() } else { answer.to_string() });
        let mut response = Response::builder().status(status).header("replay-nonce", self.nonce());
        if let Some(location) = location {
            response = response.header("location", location);
        }
        response.body(Full::from(body)).expect("a response")
    }

    fn urls(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.base);
        json!({"newNonce": at("/nonce"), "newAccount": at("/account"), "newOrder": at("/order")})
    }

    fn nonce(&self) -> String {
        let mut state = self.state.lock();
        state.last += 1;
        let nonce = format!("nonce{}", state.last);
        state.nonces.insert(nonce.clone());
        nonce
    }

    /// The account's digest and what it says (RFC 8555 section 6.2).
    fn signed(&self, path: &str, body: &[u8]) -> Result<(String, Value), String> {
        let jws: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let part = |name: &str| jws[name].as_str().ok_or_else(|| format!("no {name}")).map(base64url);
        let head: Value = serde_json::from_slice(&part("protected")?).map_err(|error| error.to_string())?;
        let payload = part("payload")?;
        let payload =
            if payload.is_empty() { Value::Null } else { serde_json::from_slice(&payload).expect("JSON") };
        if head["url"] != format!("{}{path}", self.base) {
            return Err(format!("another address: {}", head["url"]));
        }
        if !self.state.lock().nonces.remove(head["nonce"].as_str().unwrap_or_default()) {
            return Err("a nonce that is not good".to_owned());
        }
        if part("signature")?.len() != 64 || head["alg"] != "ES256" {
            return Err("no signature".to_owned());
        }
        let jwk = &head["jwk"];
        let digest = if jwk.is_null() {
            let account = head["kid"].as_str().unwrap_or_default();
            self.state.lock().accounts.get(account).cloned().ok_or("an account that is not known")?
        } else {
            // RFC 7638.
            let canonical =
                format!(r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#, jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]);
            URL_SAFE_NO_PAD.encode(sha256(canonical.as_bytes()))
        };
        Ok((digest, payload))
    }

    async fn act(&self, path: &str, account: &str, payload: &Value) -> (u16, Value, Option<String>) {
        let at = |path: &str| format!("{}{path}", self.base);
        let (what, id) = path[1..].split_once('/').unwrap_or_else(|| (&path[1..], ""));
        match what {
            "account" => {
                let mut state = self.state.lock();
                let address = at(&format!("/account/{}", state.accounts.len()));
                state.accounts.insert(address.clone(), account.to_owned());
                let contacts = payload["contact"].as_array().cloned().unwrap_or_default();
                state.contacts.extend(contacts.iter().filter_map(Value::as_str).map(str::to_owned));
                assert_eq!(payload["termsOfServiceAgreed"], true);
                (201, json!({"status": "valid"}), Some(address))
            }
            "order" if id.is_empty() => {
                let host = payload["identifiers"][0]["value"].as_str().expect("a host").to_owned();
                let id = {
                    let mut state = self.state.lock();
                    let id = state.orders.len().to_string();
                    state.orders.insert(id.clone(), Order { host, status: "pending", chain: None });
                    id
                };
                (201, self.order(&id), Some(at(&format!("/order/{id}"))))
            }
            "order" => (200, self.order(id), None),
            "authorization" => {
                let order = self.state.lock().orders[id].clone();
                let kind = if self.asks == Asks::OverTls { "tls-alpn-01" } else { "http-01" };
                let status = if order.status == "pending" { "pending" } else { "valid" };
                let other = json!({"type": "dns-01", "url": at("/none"), "token": "x", "status": "pending"});
                let url = at(&format!("/challenge/{id}"));
                let challenge =
                    json!({"type": kind, "url": url, "token": format!("token-{id}"), "status": "pending"});
                let identifier = json!({"type": "dns", "value": order.host});
                (
                    200,
                    json!({"identifier": identifier, "status": status, "challenges": [other, challenge]}),
                    None,
                )
            }
            "challenge" => {
                let host = self.state.lock().orders[id].host.clone();
                let authorization = format!("token-{id}.{account}");
                let good = match self.asks {
                    Asks::OverTls => self.ask_over_tls(&host, &authorization).await,
                    Asks::OverHttp => self.ask_over_http(&host, id, &authorization).await,
                };
                let status = if good { "ready" } else { "invalid" };
                self.state.lock().orders.get_mut(id).expect("an order").status = status;
                let kind = if self.asks == Asks::OverTls { "tls-alpn-01" } else { "http-01" };
                let url = at(&format!("/challenge/{id}"));
                (200, json!({"type": kind, "url": url, "token": "x", "status": "processing"}), None)
            }
            "finalize" => {
                let request = base64url(payload["csr"].as_str().expect("a request"));
                let mut state = self.state.lock();
                let order = state.orders.get_mut(id).expect("an order");
                order.chain = Some(self.issues.certify(&order.host, &request));
                order.status = "valid";
                drop(state);
                (200, self.order(id), None)
            }
            "certificate" => {
                let chain = self.state.lock().orders[id].chain.clone().expect("issued");
                (200, Value::String(chain), None)
            }
            _ => (404, json!({"type": "urn:ietf:params:acme:error:malformed", "status": 404}), None),
        }
    }

    fn order(&self, id: &str) -> Value {
        let at = |what: &str| format!("{}/{what}/{id}", self.base);
        let order = self.state.lock().orders[id].clone();
        let mut answer = json!({
            "status": order.status,
            "identifiers": [{"type": "dns", "value": order.host}],
            "authorizations": [at("authorization")],
            "finalize": at("finalize"),
        });
        if order.chain.is_some() {
            answer["certificate"] = Value::String(at("certificate"));
        }
        answer
    }

    /// RFC 8737: a certificate with the digest in it, for this protocol alone.
    async fn ask_over_tls(&self, host: &str, authorization: &str) -> bool {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let stream = TcpStream::connect(self.at).await.expect("a connection");
        let Ok(stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else {
            return false;
        };
        let session = stream.get_ref().1;
        let shown = session.peer_certificates().expect("a certificate")[0].to_vec();
        let digest = sha256(authorization.as_bytes());
        // The extension's name, that it is critical, and the digest.
        let wanted =
            [b"\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x1f\x01\x01\xff\x04\x22\x04\x20".as_slice(), &digest];
        let wanted = wanted.concat();
        session.alpn_protocol() == Some(b"acme-tls/1")
            && shown.windows(wanted.len()).any(|window| window == wanted)
    }

    async fn ask_over_http(&self, host: &str, id: &str, authorization: &str) -> bool {
        let head = format!("GET /.well-known/acme-challenge/token-{id} HTTP/1.1\r\nHost: {host}\r\n");
        let answer = crate::harness::ask(self.at, &head, "").await;
        answer.status == 200 && answer.body == authorization
    }
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
