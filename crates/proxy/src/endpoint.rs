//! One backend that can be asked.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use http::Uri;
use http::{HeaderMap, HeaderName};
use tourbillon_hooks::Refusal;
use tourbillon_tls::TlsClient;
use tourbillon_tls::rustls::ClientConfig;
use tourbillon_tls::rustls::pki_types::ServerName;
use tourbillon_types::{Clock as _, ReplyError, SystemClock};

use crate::config::{ConfigError, EndpointConfig};
use crate::connector::Connector;
use crate::event::{Envelope, Event, Question, Reply};
use crate::grpc::{Asked, GrpcCaller, Incoming, failure};
use crate::headers::{Forward, Origin};
use crate::http1::HttpCaller;
use crate::proto;
use crate::stats::{Counters, KeyCounters, KeyStats, ProxyStats};
use crate::target::{Address, Target};

/// What came of a question.
type Outcome<Q> = Result<Envelope<<<Q as Question>::Answer as Reply>::Result>, CallError>;

/// Why a call failed. Tells nothing of what was sent or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No connection came about.
    #[error("the backend cannot be reached")]
    Unreachable,
    /// The connection broke before the answer was complete.
    #[error("the backend broke off")]
    Broken,
    /// The answer did not come in time.
    #[error("the backend did not answer in time")]
    TimedOut,
    /// The answer is longer than answers may be.
    #[error("the backend's answer is too long")]
    TooLong,
    /// The answer has another form.
    #[error("the backend's answer cannot be read")]
    Unreadable,
    /// The answer has another status than 200.
    #[error("the backend answered with status {0}")]
    Status(u16),
    /// The answer is a status of GRPC.
    #[error("the backend answered with status {0} of GRPC")]
    Grpc(i32),
    /// The backend is asked over HTTP, which has no streams.
    #[error("streams need a backend over GRPC")]
    NoStreams,
    /// What a client sent is not JSON and cannot be passed on as such.
    #[error("the client's data is not JSON, and the proxy has no binary_encoding")]
    Unsayable,
}

impl CallError {
    /// What the client is told.
    #[must_use]
    pub const fn to_reply_error(self) -> ReplyError {
        match self {
            Self::Unsayable => ReplyError::BAD_REQUEST,
            _ => ReplyError::INTERNAL,
        }
    }
}

enum Caller {
    Http(Box<HttpCaller>),
    Grpc(Box<GrpcCaller>),
}

/// One backend that can be asked. It connects when it is asked, and keeps its connections for a while.
pub struct Endpoint {
    name: String,
    caller: Caller,
    forward: Forward,
    credentials: Option<(HeaderName, http::HeaderValue)>,
    transforms: Vec<crate::StatusTransform>,
    timeout: Duration,
    pub(crate) binary: bool,
    pub(crate) with_meta: bool,
    counters: [Counters; Event::ALL.len()],
    /// Of questions about keys, and of their answers.
    pub(crate) keys: [KeyCounters; 2],
    clock: SystemClock,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Makes an endpoint of its options. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The first option that cannot be used.
    pub fn new(config: &EndpointConfig) -> Result<Self, ConfigError> {
        let wrong = |option, problem| ConfigError { option, problem };
        if config.timeout.is_zero() {
            return Err(wrong("timeout", "must be more than zero"));
        }
        if config.max_answer == 0 {
            return Err(wrong("max_answer", "must be more than zero"));
        }
        if config.endpoint.is_empty() {
            return Err(wrong("endpoint", "must be set"));
        }
        let target = Target::parse(&config.endpoint).map_err(|problem| wrong("endpoint", problem))?;
        let is_http = target.is_http();
        let tls = tls_of(config, &target)?;
        let connector = Connector::new(target.address().clone(), tls.clone(), config.timeout);
        let max_answer = config.max_answer;
        let caller = match target {
            Target::Http { uri, authorization, .. } => {
                Caller::Http(Box::new(HttpCaller::new(connector, uri, authorization, max_answer)))
            }
            Target::Grpc { authority, .. } => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                let origin = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
                let origin = origin.map_err(|_| wrong("endpoint", "is not an address of GRPC"))?;
                Caller::Grpc(Box::new(GrpcCaller::new(
                    connector,
                    origin,
                    max_answer,
                    config.grpc.compression,
                )))
            }
        };
        Ok(Self {
            name: config.name.clone(),
            caller,
            forward: Forward::new(config, is_http),
            credentials: config.grpc.credentials.clone().filter(|_| !is_http),
            transforms: config.http.status_transforms.clone(),
            timeout: config.timeout,
            binary: config.binary_encoding,
            with_meta: config.include_connection_meta,
            counters: Default::default(),
            keys: Default::default(),
            clock: SystemClock::new(),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is asked over HTTP, not GRPC.
    #[must_use]
    pub const fn is_http(&self) -> bool {
        matches!(self.caller, Caller::Http(_))
    }

    /// What was counted so far: an entry for each event it was asked about (PRX-16).
    #[must_use]
    pub fn stats(&self) -> Vec<ProxyStats> {
        let protocol = if self.is_http() { "http" } else { "grpc" };
        let each = Event::ALL.iter().zip(&self.counters);
        each.filter_map(|(event, counters)| counters.read(&self.name, protocol, *event)).collect()
    }

    /// How many keys of polled channels questions were about, and how many answers told of; `None` while there were
    /// none.
    #[must_use]
    pub fn key_stats(&self) -> [Option<KeyStats>; 2] {
        let [asked, told] = &self.keys;
        [asked.read(), told.read()]
    }

    /// Asks, within the time that there is. A future on the heap: a hook that asks nobody, as most calls do, is to be
    /// small.
    pub(crate) fn ask<'a, Q: Question>(
        &'a self,
        question: Q,
        origin: Option<Origin<'_>>,
    ) -> Pin<Box<dyn Future<Output = Outcome<Q>> + Send + 'a>> {
        Box::pin(self.call(question, self.headers(origin)))
    }

    async fn call<Q: Question>(&self, question: Q, headers: HeaderMap) -> Outcome<Q> {
        let call = self.counters.get(Q::EVENT as usize).map(Counters::begin);
        let begun = self.clock.now().instant;
        let asked = async {
            match &self.caller {
                Caller::Http(caller) => caller.call(&question, headers).await,
                Caller::Grpc(caller) => caller.call(question, headers).await,
            }
        };
        let answer = tokio::time::timeout(self.timeout, asked).await.unwrap_or(Err(CallError::TimedOut));
        let took = self.clock.now().instant - begun;
        let answer = answer.or_else(|error| self.transformed::<Q>(error));
        if let Some(call) = call {
            call.end(took, answer.is_err());
        }
        match answer {
            Ok(answer) => Ok(answer.take()),
            Err(CallError::Unsayable) => Err(CallError::Unsayable),
            Err(error) => {
                let event = Q::EVENT.name();
                tracing::warn!(proxy = %self.name, event, %error, "a proxy's call failed");
                Err(error)
            }
        }
    }

    /// Opens a stream, and waits within the time that there is for its first message, which has the answer (PRX-50).
    pub(crate) async fn open(
        &self,
        asked: Asked,
        origin: Origin<'_>,
    ) -> Result<(proto::SubscribeResponse, Incoming), CallError> {
        let headers = self.headers(Some(origin));
        let call = self.counters.get(Event::SubscribeStream as usize).map(Counters::begin);
        let begun = self.clock.now().instant;
        let opened = async {
            let Caller::Grpc(caller) = &self.caller else { return Err(CallError::NoStreams) };
            let mut incoming = caller.open(asked, headers).await?;
            let first = incoming.message().await.map_err(|status| failure(&status))?;
            let answer = first.and_then(|first| first.subscribe_response);
            Ok((answer.ok_or(CallError::Unreadable)?, incoming))
        };
        let opened = tokio::time::timeout(self.timeout, opened).await.unwrap_or(Err(CallError::TimedOut));
        let took = self.clock.now().instant - begun;
        if let Some(call) = call {
            call.end(took, opened.is_err());
        }
        if let Err(error) = &opened {
            let event = Event::SubscribeStream.name();
            tracing::warn!(proxy = %self.name, event, %error, "a proxy's stream did not begin");
        }
        opened
    }

    /// How long a call may take.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Which headers are taken from those that clients write themselves.
    pub(crate) fn emulated_headers(&self) -> &[HeaderName] {
        self.forward.emulated()
    }

    fn headers(&self, origin: Option<Origin<'_>>) -> HeaderMap {
        let mut headers = self.forward.headers(origin);
        if let Some((name, value)) = &self.credentials {
            headers.insert(name, value.clone());
        }
        headers
    }

    /// What a status means that is not 200 (PRX-03).
    fn transformed<Q: Question>(&self, error: CallError) -> Result<Q::Answer, CallError> {
        let CallError::Status(status) = error else { return Err(error) };
        let found = self.transforms.iter().find(|transform| transform.status == status).ok_or(error)?;
        let (error, disconnect) = match &found.to {
            Refusal::Error(ReplyError { code, message, temporary }) => {
                let (code, message) = (code.0, message.to_string());
                (Some(proto::Error { code, message, temporary: *temporary }), None)
            }
            Refusal::Disconnect(why) => {
                let (code, reason) = (why.code, why.reason.to_string());
                (None, Some(proto::Disconnect { code, reason }))
            }
        };
        Ok(Q::Answer::refusing(error, disconnect))
    }
}

/// TLS towards a backend, and the name that it must prove.
fn tls_of(
    config: &EndpointConfig,
    target: &Target,
) -> Result<Option<(ClientConfig, ServerName<'static>)>, ConfigError> {
    let http = target.is_http();
    let (given, server_name, option, alpn) = if http {
        (&config.http.tls, &config.http.server_name, "http.tls", &b"http/1.1"[..])
    } else {
        (&config.grpc.tls, &config.grpc.server_name, "grpc.tls", &b"h2"[..])
    };
    if given.is_none() && !target.is_https() || http && !target.is_https() {
        return Ok(None);
    }
    let everybodys = || {
        let config = TlsClient::default().config();
        config.map_err(|_| ConfigError { option, problem: "TLS cannot be set up" })
    };
    let mut tls = given.clone().map_or_else(everybodys, Ok)?;
    tls.alpn_protocols = vec![alpn.to_vec()];
    let host = match target.address() {
        Address::Tcp { host, .. } => host.as_str(),
        Address::Unix(_) => "localhost",
    };
    let name = if server_name.is_empty() { host } else { server_name };
    let name = ServerName::try_from(name.to_owned()).map_err(|_| ConfigError {
        option,
        problem: "the backend has no name that a certificate can have",
    })?;
    Ok(Some((tls, name)))
}
