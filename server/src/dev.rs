//! The development mode: a page to try the server with, and what is printed at start.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use tourbillon::auth::{ConnectToken, Secret, Signer};
use tourbillon::types::SystemClock;

use crate::config::{Options, SecretText};
use crate::router::{Answer, reply};

/// How long a development token is good for, in seconds.
const TOKEN_TTL: i64 = 7 * 24 * 3600;

/// Everything comes from the server itself, and the page talks to nobody else.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                   connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'";

/// Keys that are made anew for every run.
#[derive(Clone)]
pub struct Dev {
    signer: Signer,
    api_key: String,
    url: String,
    /// What the address of a page begins with.
    scheme: &'static str,
    paths: Paths,
    /// The certificate of the port, PEM or whatever an option may have.
    certificate: Option<String>,
}

/// Where the endpoints over plain HTTP are.
#[derive(Clone)]
struct Paths {
    http_stream: String,
    sse: String,
    emulation: String,
    /// Where it is on.
    webtransport: Option<String>,
}

impl std::fmt::Debug for Dev {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dev").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A fresh secret of so many random bytes.
///
/// # Errors
///
/// The operating system has no randomness to give.
pub fn fresh_secret<const BYTES: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The keys of a development server whose options set none. They last as long as it runs, however often its configuration is
/// read again: what it has given out stays good.
#[derive(Clone)]
pub struct Keys {
    token: SecretText,
    api: SecretText,
}

impl Keys {
    /// New ones.
    ///
    /// # Errors
    ///
    /// The operating system has no randomness to give.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        let fresh = || fresh_secret::<32>().map(SecretText::new);
        Ok(Self { token: fresh()?, api: fresh()? })
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// Turns options into those of a development server: on loopback, open to pages from there, with these keys where none are
/// set.
pub fn prepare(options: &mut Options, keys: &Keys) {
    if options.http_server.address.is_empty() {
        "127.0.0.1".clone_into(&mut options.http_server.address);
    }
    let client = &mut options.client;
    client.allowed_origins.extend(
        [
            "http://localhost:*",
            "http://127.0.0.1:*",
            "http://[[]::1]:*",
            "https://localhost:*",
            "https://127.0.0.1:*",
        ]
        .map(str::to_owned),
    );
    if client.token.hmac_secret_key.is_empty() {
        client.token.hmac_secret_key = keys.token.clone();
    }
    if options.http_api.key.is_empty() {
        options.http_api.key = keys.api.clone();
    }
    options.health.enabled = true;
    options.http_stream.enabled = true;
    options.sse.enabled = true;
    options.uni_http_stream.enabled = true;
    options.uni_sse.enabled = true;
    let rules = &mut options.channel.without_namespace;
    rules.allow_subscribe_for_client = true;
    rules.allow_publish_for_client = true;
}

impl Dev {
    /// The development endpoints of a server that listens at this address.
    #[must_use]
    pub fn new(options: &Options, address: SocketAddr) -> Self {
        let secret = Secret::from(options.client.token.hmac_secret_key.expose());
        let signer = Signer::hs256(&secret).with_user_id_claim(&options.client.token.user_id_claim);
        let path = &options.websocket.handler_prefix;
        let (scheme, ws) = if options.http_server.tls.enabled { ("https", "wss") } else { ("http", "ws") };
        Self {
            scheme,
            signer,
            api_key: options.http_api.key.expose().to_owned(),
            url: format!("{ws}://{}{path}", shown(address)),
            paths: Paths {
                http_stream: options.http_stream.handler_prefix.clone(),
                sse: options.sse.handler_prefix.clone(),
                emulation: options.emulation.handler_prefix.clone(),
                webtransport: Some(&options.webtransport)
                    .filter(|webtransport| webtransport.enabled)
                    .map(|webtransport| webtransport.handler_prefix.clone()),
            },
            certificate: Some(&options.http_server.tls)
                .filter(|tls| tls.enabled)
                .map(|tls| tls.cert_pem.clone()),
        }
    }

    pub(crate) fn token(&self, user: &str) -> String {
        let now = SystemClock::unix_millis() / 1000;
        let token = ConnectToken {
            user: user.to_owned(),
            issued_at: Some(now),
            expires_at: Some(now + TOKEN_TTL),
            ..ConnectToken::default()
        };
        // With a key of our own making, signing does not fail.
        self.signer.sign_connect(&token).unwrap_or_default()
    }

    /// What a developer needs to begin with, ready to paste.
    #[must_use]
    pub fn banner(&self, address: SocketAddr) -> String {
        let Self { url, api_key, paths, .. } = self;
        let Paths { http_stream, sse, .. } = paths;
        let token = self.token("dev");
        let base = format!("{}://{}", self.scheme, shown(address));
        format!(
            r#"
Tourbillon, development mode. Do not expose this server: its keys are printed.

  playground  {base}/
  WebSocket   {url}
  streaming   {base}{http_stream}
  events      {base}{sse}
  token       {token}
  API key     {api_key}

In Node (npm install centrifuge ws) or a page (the `centrifuge` script):

  import {{ Centrifuge }} from 'centrifuge'; // not in a page that has the script
  import WebSocket from 'ws'; // not in a page

  const client = new Centrifuge('{url}', {{
    token: '{token}',
    websocket: globalThis.WebSocket ?? WebSocket,
  }});
  const sub = client.newSubscription('chat');
  sub.on('publication', (ctx) => console.log(ctx.data));
  sub.subscribe();
  client.connect();

From a backend:

  curl -X POST {base}/api/publish -H 'X-API-Key: {api_key}' \
    -H 'Content-Type: application/json' -d '{{"channel":"chat","data":{{"text":"hello"}}}}'
"#
        )
    }

    /// Answers a request for one of the development pages.
    pub(crate) fn answer<B>(&self, request: &Request<B>, peer: Option<SocketAddr>) -> Option<Answer> {
        let (content_type, body) = match request.uri().path() {
            "/" => (
                "text/html; charset=utf-8",
                Bytes::from_static(include_bytes!("../assets/playground/index.html")),
            ),
            "/style.css" => (
                "text/css; charset=utf-8",
                Bytes::from_static(include_bytes!("../assets/playground/style.css")),
            ),
            "/client.js" => (
                "text/javascript; charset=utf-8",
                Bytes::from_static(include_bytes!("../assets/playground/client.js")),
            ),
            "/links.js" => (
                "text/javascript; charset=utf-8",
                Bytes::from_static(include_bytes!("../assets/playground/links.js")),
            ),
            "/protobuf.js" => (
                "text/javascript; charset=utf-8",
                Bytes::from_static(include_bytes!("../assets/playground/protobuf.js")),
            ),
            "/app.js" => (
                "text/javascript; charset=utf-8",
                Bytes::from_static(include_bytes!("../assets/playground/app.js")),
            ),
            "/dev/connection.json" => ("application/json", self.connection().into()),
            _ => return None,
        };
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Some(reply(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "GET only\n"));
        }
        // The keys are for whoever sits at this machine, whatever name leads here.
        let is_near = peer.is_some_and(|peer| peer.ip().is_loopback());
        // HTTP/2 names the host elsewhere.
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
        if !is_near || !host.is_some_and(is_loopback_host) {
            return Some(reply(
                StatusCode::FORBIDDEN,
                "text/plain; charset=utf-8",
                "for this machine only\n",
            ));
        }
        let mut answer = reply(StatusCode::OK, content_type, body);
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
        Some(answer)
    }

    fn connection(&self) -> String {
        let user = format!("user-{}", fresh_secret::<6>().unwrap_or_default());
        let Paths { http_stream, sse, emulation, webtransport } = &self.paths;
        // Read anew: a file may have changed, and with it what is shown.
        let certificate = self.certificate.as_deref().and_then(tourbillon_tls::short_lived_hash);
        serde_json::json!({
            "url": self.url,
            "http_stream": http_stream,
            "sse": sse,
            "emulation": emulation,
            "webtransport": webtransport,
            "certificate": certificate,
            "token": self.token(&user),
            "api_key": self.api_key,
        })
        .to_string()
    }
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}

/// An address that a browser on this machine can be given.
fn shown(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], address.port())) } else { address }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_served() {
        for (host, served) in [
            ("localhost:8000", true),
            ("127.0.0.1", true),
            ("[::1]:8000", true),
            ("evil.example", false),
            ("localhost.evil.example:8000", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_host(host), served, "{host:?}");
        }
    }
}
