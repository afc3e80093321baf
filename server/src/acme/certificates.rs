//! What is shown to clients and to the authority.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, LOCATION};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use parking_lot::RwLock;

use super::PROTOCOL;
use crate::router::{Answer, reply};
use tourbillon_tls::rustls::server::{ClientHello, ResolvesServerCert};
use tourbillon_tls::rustls::sign::CertifiedKey;

/// Where an authority asks over HTTP (RFC 8555 section 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// The certificates of hosts, and answers to questions of the authority.
#[derive(Default)]
pub(crate) struct Certificates {
    hosts: Vec<String>,
    /// The host that is meant where a client names none.
    server_name: Option<String>,
    shown: RwLock<BTreeMap<String, Arc<CertifiedKey>>>,
    over_tls: RwLock<BTreeMap<String, Arc<CertifiedKey>>>,
    over_http: RwLock<BTreeMap<String, String>>,
}

/// An answer to a question, as long as it is held.
pub(super) enum Answering<'a> {
    Tls(&'a Certificates, String),
    Http(&'a Certificates, String),
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        match self {
            Self::Tls(certificates, host) => drop(certificates.over_tls.write().remove(host)),
            Self::Http(certificates, token) => drop(certificates.over_http.write().remove(token)),
        }
    }
}

impl Certificates {
    pub(super) fn new(hosts: Vec<String>, server_name: Option<String>) -> Self {
        Self { hosts, server_name, ..Self::default() }
    }

    pub(super) fn show(&self, host: &str, certificate: Arc<CertifiedKey>) {
        self.shown.write().insert(host.to_owned(), certificate);
    }

    pub(super) fn shown(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.shown.read().get(host).cloned()
    }

    pub(super) fn answer_over_tls(&self, host: &str, certificate: Arc<CertifiedKey>) -> Answering<'_> {
        self.over_tls.write().insert(host.to_owned(), certificate);
        Answering::Tls(self, host.to_owned())
    }

    pub(super) fn answer_over_http(&self, token: &str, authorization: &str) -> Answering<'_> {
        self.over_http.write().insert(token.to_owned(), authorization.to_owned());
        Answering::Http(self, token.to_owned())
    }

    /// Answers the authority over HTTP, and sends everybody else to where TLS is spoken.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Answer {
        const TEXT: &str = "text/plain; charset=utf-8";
        if let Some(token) = request.uri().path().strip_prefix(CHALLENGES) {
            return match self.over_http.read().get(token) {
                Some(authorization) => {
                    reply(StatusCode::OK, "application/octet-stream", authorization.clone())
                }
                None => reply(StatusCode::NOT_FOUND, TEXT, "nothing is asked here\n"),
            };
        }
        self.redirection(request).unwrap_or_else(|| reply(StatusCode::BAD_REQUEST, TEXT, "use HTTPS\n"))
    }

    /// Where a page is meant, at one of our hosts.
    fn redirection<B>(&self, request: &Request<B>) -> Option<Answer> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return None;
        }
        let host = request.headers().get(HOST)?.to_str().ok()?;
        let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        if !self.hosts.contains(&host) || !target.starts_with('/') {
            return None;
        }
        let location = HeaderValue::try_from(format!("https://{host}{target}")).ok()?;
        let mut answer = http::Response::new(Full::new(Bytes::new()));
        *answer.status_mut() = StatusCode::FOUND;
        answer.headers_mut().insert(LOCATION, location);
        Some(answer)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        // An authority offers this protocol and no other.
        if hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == PROTOCOL)) {
            return self.over_tls.read().get(name.as_deref()?).cloned();
        }
        let name = name.or_else(|| self.server_name.clone())?;
        self.shown.read().get(&name).cloned()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}
