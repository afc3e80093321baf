//! What an endpoint is made of.

use std::fmt;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use tourbillon_hooks::Refusal;
use tourbillon_tls::rustls::ClientConfig;

/// How a backend is asked. `Debug` tells neither headers nor credentials.
#[derive(Clone)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// What it is called in metrics and logs.
    pub name: String,
    /// Where it is (PRX-01): `http://` or `https://` for POSTed JSON; anything else is a target of GRPC, such as
    /// `grpc://host:port`, `dns:///host:port` or `unix:///path` (NET-10). Never logged: it may have a password.
    pub endpoint: String,
    /// Time for a call, connecting included (PRX-02). Default 1 s.
    pub timeout: Duration,
    /// Which headers of a connection's HTTP request are sent along (PRX-04). Over GRPC they are metadata.
    pub http_headers: Vec<HeaderName>,
    /// Which metadata of a connection over GRPC is sent along (PRX-05).
    pub grpc_metadata: Vec<HeaderName>,
    /// Which headers that a client has put into its connect command are sent along (PRX-06). Those of its HTTP request
    /// win.
    pub emulated_headers: Vec<HeaderName>,
    /// Data is not JSON, and goes in base64 (PRX-09).
    pub binary_encoding: bool,
    /// What the application keeps about a connection is sent along (PRX-10).
    pub include_connection_meta: bool,
    /// The most bytes of an answer; a longer one is an error. Default 4 MiB, which is GRPC's.
    pub max_answer: usize,
    /// For backends that are asked over HTTP.
    pub http: HttpOptions,
    /// For backends that are asked over GRPC.
    pub grpc: GrpcOptions,
}

/// What is special to HTTP.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct HttpOptions {
    /// How to be sure of the backend; `None`: whom browsers trust. For `https://`.
    pub tls: Option<ClientConfig>,
    /// The name that the backend's certificate must have; empty for its host.
    pub server_name: String,
    /// Headers of every call (PRX-07). What is sent along wins.
    pub static_headers: Vec<(HeaderName, HeaderValue)>,
    /// What other statuses than 200 mean; the first one of a status counts (PRX-03).
    pub status_transforms: Vec<StatusTransform>,
}

/// What is special to GRPC.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct GrpcOptions {
    /// TLS towards the backend; `None` for none.
    pub tls: Option<ClientConfig>,
    /// The name that the backend's certificate must have; empty for its host.
    pub server_name: String,
    /// Metadata of every call (PRX-07). What is sent along wins.
    pub static_metadata: Vec<(HeaderName, HeaderValue)>,
    /// Metadata that says who we are (PRX-11). Nothing takes its place.
    pub credentials: Option<(HeaderName, HeaderValue)>,
    /// Questions are compressed with gzip (PRX-11). Answers may be in any case.
    pub compression: bool,
}

/// What a status of HTTP means instead of "the backend failed" (PRX-03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusTransform {
    /// The status.
    pub status: u16,
    /// What the client gets.
    pub to: Refusal,
}

impl EndpointConfig {
    /// How long a call takes at most unless it is said otherwise (PRX-02).
    pub const TIMEOUT: Duration = Duration::from_secs(1);

    /// How long an answer is at most unless it is said otherwise, in bytes.
    pub const MAX_ANSWER: usize = 4 * 1024 * 1024;

    /// The defaults for a backend at this place.
    #[must_use]
    pub fn new(name: impl Into<String>, endpoint: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            endpoint: endpoint.into(),
            timeout: Self::TIMEOUT,
            http_headers: Vec::new(),
            grpc_metadata: Vec::new(),
            emulated_headers: Vec::new(),
            binary_encoding: false,
            include_connection_meta: false,
            max_answer: Self::MAX_ANSWER,
            http: HttpOptions::default(),
            grpc: GrpcOptions::default(),
        }
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("name", &self.name)
            .field("timeout", &self.timeout)
            .field("http_headers", &self.http_headers)
            .field("grpc_metadata", &self.grpc_metadata)
            .field("emulated_headers", &self.emulated_headers)
            .field("binary_encoding", &self.binary_encoding)
            .field("include_connection_meta", &self.include_connection_meta)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("status_transforms", &self.status_transforms)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GrpcOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcOptions").field("compression", &self.compression).finish_non_exhaustive()
    }
}

/// An endpoint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {problem}")]
pub struct ConfigError {
    /// Which option is wrong, as Centrifugo calls it.
    pub option: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}
