//! What is answered.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use tourbillon_api::ApiService;
use tourbillon_types::{Clock, SystemClock};
use tower_service::Service;

use crate::throttle::Throttle;
use crate::token::Tokens;
use crate::{assets, password};

/// The largest login (ADM-03).
const LOGIN_LIMIT: usize = 1024 * 1024;

/// The largest stream of commands.
const STREAM_LIMIT: usize = 32 * 1024 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// How the admin interface behaves.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct AdminConfig {
    /// The path that everything is below, without a slash at its end. Default none.
    pub prefix: String,
    /// The password. Empty: none is right.
    pub password: String,
    /// What tokens are signed with: the same on all nodes, so that a token is good for all of them. Empty: there are no
    /// tokens.
    pub secret: String,
    /// Lets everybody do everything, without a password, who asks for `localhost` or an address as the host. Default no.
    pub insecure: bool,
    /// Where the page's files are. Default none: the embedded page.
    pub web_path: Option<PathBuf>,
}

impl fmt::Debug for AdminConfig {
    /// Without the password and the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminConfig")
            .field("prefix", &self.prefix)
            .field("insecure", &self.insecure)
            .field("web_path", &self.web_path)
            .finish_non_exhaustive()
    }
}

/// The operating system has no randomness to give.
#[derive(Clone, Copy, Debug)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system has no randomness to give")
    }
}

impl std::error::Error for NoRandomness {}

/// The admin interface: the page and what it asks, for requests below a prefix.
///
/// Tries of a password are counted by the client's address, which whoever accepts connections puts into the request's
/// extensions as a [`SocketAddr`]: the peer's, or what a proxy says that is believed. Those without one count together.
#[derive(Clone)]
pub struct AdminService(Arc<Inner>);

struct Inner {
    api: ApiService,
    config: AdminConfig,
    document: Bytes,
    tokens: Option<Tokens>,
    /// Made anew for every process: what it signs is compared in place of passwords, and has always the same length.
    comparison: hmac::Key,
    throttle: Throttle,
    clock: SystemClock,
}

type Answer = Response<Full<Bytes>>;

impl AdminService {
    /// The interface to a node by its API. `version` is the server's.
    ///
    /// # Errors
    ///
    /// The operating system has no randomness to give.
    pub fn new(api: ApiService, config: AdminConfig, version: &str) -> Result<Self, NoRandomness> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| NoRandomness)?;
        let tokens = (!config.secret.is_empty()).then(|| Tokens::new(&config.secret));
        Ok(Self(Arc::new(Inner {
            api,
            document: tourbillon_api::openapi("", version).into(),
            tokens,
            comparison: hmac::Key::new(hmac::HMAC_SHA256, &key),
            throttle: Throttle::default(),
            clock: SystemClock::new(),
            config,
        })))
    }

    /// Whether a path is one of the interface.
    #[must_use]
    pub fn owns(&self, path: &str) -> bool {
        let config = &self.0.config;
        let Some(rest) = path.strip_prefix(config.prefix.as_str()) else { return false };
        match rest {
            "" => !config.prefix.is_empty(),
            "/admin/init" | "/admin/auth" | "/admin/api" => true,
            "/admin/ui/openapi.json" => config.web_path.is_none(),
            _ => rest.starts_with('/') && (config.web_path.is_some() || assets::has(rest)),
        }
    }

    /// Answers a request, as the service does, without a place of its own for the future.
    ///
    /// # Cancel safety
    ///
    /// What the request asks for may have taken effect.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let inner = &*self.0;
        let (head, body) = request.into_parts();
        let Some(rest) = head.uri.path().strip_prefix(inner.config.prefix.as_str()) else {
            return nothing();
        };
        let is_post = head.method == Method::POST;
        match rest {
            "/admin/auth" | "/admin/api" if !is_post => only("POST"),
            "/admin/auth" => {
                let address = head.extensions.get::<SocketAddr>().map(SocketAddr::ip);
                let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                inner.login(address, &head.headers, body).await
            }
            "/admin/api" => {
                // HTTP/2 names the host elsewhere.
                let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
                let host = host.or_else(|| head.uri.authority().map(|authority| authority.as_str()));
                inner.commands(&head.headers, host.unwrap_or_default(), body).await
            }
            _ if head.method != Method::GET && head.method != Method::HEAD => only("GET, HEAD"),
            "/admin/init" => inner.init(&head.headers),
            "" => inner.redirect(),
            _ => match &inner.config.web_path {
                Some(directory) => assets::of_directory(directory, rest).await.unwrap_or_else(nothing),
                None if rest == "/admin/ui/openapi.json" => assets::found(JSON, inner.document.clone()),
                None => assets::embedded(rest).unwrap_or_else(nothing),
            },
        }
    }
}

impl Inner {
    /// ADM-02.
    fn init(&self, headers: &HeaderMap) -> Answer {
        let insecure = self.config.insecure;
        let authenticated = self.authenticated(headers);
        let state = serde_json::json!({
            "insecure": insecure, "edition": "oss", "authenticated": authenticated,
        });
        plain(StatusCode::OK, JSON, state.to_string())
    }

    fn redirect(&self) -> Answer {
        let mut answer = plain(StatusCode::PERMANENT_REDIRECT, TEXT, "");
        if let Ok(location) = HeaderValue::from_str(&format!("{}/", self.config.prefix)) {
            answer.headers_mut().insert(LOCATION, location);
        }
        answer
    }

    /// ADM-03.
    async fn login<B>(&self, address: IpAddr, headers: &HeaderMap, body: B) -> Answer
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = match read(body, LOGIN_LIMIT).await {
            Ok(body) => body,
            Err(refused) => return *refused,
        };
        if self.config.insecure {
            return token("insecure");
        }
        let (Some(tokens), false) = (&self.tokens, self.config.password.is_empty()) else {
            return plain(
                StatusCode::BAD_REQUEST,
                TEXT,
                "admin.password and admin.secret are needed to log in\n",
            );
        };
        if let Err(wait) = self.throttle.take(address, self.clock.instant()) {
            tracing::warn!(%address, "too many logins to the admin interface with wrong passwords");
            let mut answer = plain(StatusCode::TOO_MANY_REQUESTS, TEXT, "too many tries: wait a while\n");
            answer.headers_mut().insert(RETRY_AFTER, (wait.as_secs() + 1).into());
            return answer;
        }
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let given = password::of_form(content_type.unwrap_or_default(), &body).unwrap_or_default();
        let expected = hmac::sign(&self.comparison, self.config.password.as_bytes());
        if hmac::verify(&self.comparison, &given, expected.as_ref()).is_err() {
            tracing::warn!(%address, "a login to the admin interface with a wrong password");
            return plain(StatusCode::BAD_REQUEST, TEXT, "the password is wrong\n");
        }
        self.throttle.give_back(address);
        token(&tokens.issue(self.clock.now().unix_seconds()))
    }

    /// ADM-05.
    async fn commands<B>(&self, headers: &HeaderMap, host: &str, body: B) -> Answer
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Without a password, the page of another site could ask through its visitor's browser.
        if is_from_elsewhere(headers) {
            return plain(StatusCode::FORBIDDEN, TEXT, "not for pages of other sites\n");
        }
        if !self.authenticated(headers) {
            if !self.config.insecure {
                return plain(StatusCode::UNAUTHORIZED, TEXT, "log in first\n");
            }
            if !is_own_name(host) {
                let why = "without a password, only for localhost or an address as the host\n";
                return plain(StatusCode::FORBIDDEN, TEXT, why);
            }
        }
        let body = match read(body, STREAM_LIMIT).await {
            Ok(body) => body,
            Err(refused) => return *refused,
        };
        match self.api.stream(&body).await {
            Ok(replies) => plain(StatusCode::OK, JSON, replies),
            Err(error) => plain(StatusCode::BAD_REQUEST, TEXT, format!("{error}\n")),
        }
    }

    /// Whether a token comes with the request: `Authorization: token <token>` (ADM-04).
    fn authenticated(&self, headers: &HeaderMap) -> bool {
        let Some(tokens) = &self.tokens else { return false };
        let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let Some((scheme, token)) = header.and_then(|header| header.split_once(' ')) else { return false };
        scheme.eq_ignore_ascii_case("token") && tokens.knows(token.trim(), self.clock.now().unix_seconds())
    }
}

/// Whether a host, with a port or without, is this machine or an address. Any other name, its owner can have lead here, and
/// then the page of its site is no other site to a browser.
fn is_own_name(host: &str) -> bool {
    let without_port = || host.rsplit_once(':').map_or(host, |(name, _)| name);
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').is_some_and(|(address, port)| {
            (port.is_empty() || port.starts_with(':')) && address.parse::<Ipv6Addr>().is_ok()
        }),
        None => {
            let name = without_port();
            name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok()
        }
    }
}

/// Whether a browser asks for the page of another site. Browsers say so themselves, but not over plain HTTP to other hosts
/// than their own; what is left then is the page's origin, which has to be the host that is asked.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.as_bytes();
    let of_origin = [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| origin.strip_prefix(scheme));
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    !of_origin.zip(host).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// Reads a body. An error is the answer to one that cannot be read.
async fn read<B>(body: B, limit: usize) -> Result<Bytes, Box<Answer>>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Box::new(plain(StatusCode::PAYLOAD_TOO_LARGE, TEXT, "the body is too large\n")))
        }
        Err(_) => Err(Box::new(plain(StatusCode::BAD_REQUEST, TEXT, "the body did not arrive whole\n"))),
    }
}

fn token(token: &str) -> Answer {
    plain(StatusCode::OK, JSON, serde_json::json!({ "token": token }).to_string())
}

fn nothing() -> Answer {
    plain(StatusCode::NOT_FOUND, TEXT, "nothing is here\n")
}

fn only(methods: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("{methods} only\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

impl fmt::Debug for AdminService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminService").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for AdminService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}
