//! Fetching over HTTP/1.1.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, Either, select};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::{FetchError, JwksFetch};

/// Fetches key sets over HTTP/1.1, with or without TLS: one connection for each request, closed afterwards. It needs
/// a tokio runtime with time and network; it starts no task.
///
/// No redirection is followed, and no proxy is used. A host is resolved once, its addresses are judged, and the
/// connection goes to one of those that passed, so that a name cannot change its mind in between.
#[derive(Clone)]
pub struct HttpJwksFetch {
    tls: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    identity: Option<u64>,
    timeout: Duration,
    allow_private_addresses: bool,
}

/// Heads of answers; a body is bounded by the caller.
const MAX_HEAD_BYTES: usize = 64 * 1_024;

impl HttpJwksFetch {
    /// A fetcher that trusts the certificate authorities that browsers trust, takes at most a second for each
    /// request (KEY-06), and does not go to private addresses.
    ///
    /// # Errors
    ///
    /// The cryptographic library supports no version of TLS, which would be a mistake in this crate.
    pub fn new() -> Result<Self, FetchError> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| FetchError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::with_tls(Arc::new(config)))
    }

    /// A fetcher with other certificate authorities or a certificate of its own.
    #[must_use]
    pub const fn with_tls(tls: Arc<ClientConfig>) -> Self {
        Self {
            tls,
            server_name: None,
            identity: None,
            timeout: Duration::from_secs(1),
            allow_private_addresses: false,
        }
    }

    /// What [`JwksFetch::identity`] is: of all that decides whom this trusts and how it shows itself.
    #[must_use]
    pub const fn identified(mut self, identity: u64) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The name that servers are asked for and must prove to have, instead of the host of the address.
    #[must_use]
    pub fn server_name(mut self, name: ServerName<'static>) -> Self {
        self.server_name = Some(name);
        self
    }

    /// Goes to loopback, link-local and other addresses that are not public too.
    #[must_use]
    pub const fn allow_private_addresses(mut self, allow: bool) -> Self {
        self.allow_private_addresses = allow;
        self
    }

    /// How long a request may take, from the first look-up to the last byte.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn get(&self, address: &str, max_bytes: usize) -> Result<Bytes, FetchError> {
        let uri: Uri = address.parse().map_err(|_| FetchError::Address)?;
        let secure = uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let host = uri.host().ok_or(FetchError::Address)?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = self.connect(&host, port).await?;
        if secure {
            let name = match &self.server_name {
                Some(name) => name.clone(),
                None => ServerName::try_from(host).map_err(|_| FetchError::Address)?,
            };
            let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await;
            request(&uri, stream.map_err(|_| FetchError::Tls)?, max_bytes).await
        } else {
            request(&uri, stream, max_bytes).await
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, FetchError> {
        let found = tokio::net::lookup_host((host, port)).await.map_err(|_| FetchError::Connect)?;
        let mut private = false;
        for address in found {
            if !self.allow_private_addresses && !is_public(address.ip()) {
                private = true;
                continue;
            }
            if let Ok(stream) = TcpStream::connect(SocketAddr::new(address.ip(), port)).await {
                return Ok(stream);
            }
        }
        Err(if private { FetchError::PrivateAddress } else { FetchError::Connect })
    }
}

impl JwksFetch for HttpJwksFetch {
    fn fetch(&self, address: &str, max_bytes: usize) -> BoxFuture<'static, Result<Bytes, FetchError>> {
        let (fetch, address) = (self.clone(), address.to_owned());
        Box::pin(async move {
            let fetched = tokio::time::timeout(fetch.timeout, fetch.get(&address, max_bytes)).await;
            fetched.unwrap_or(Err(FetchError::Timeout))
        })
    }

    fn identity(&self) -> Option<u64> {
        self.identity
    }
}

impl fmt::Debug for HttpJwksFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpJwksFetch")
            .field("timeout", &self.timeout)
            .field("allow_private_addresses", &self.allow_private_addresses)
            .finish_non_exhaustive()
    }
}

/// One request on a connection of its own, which this drives beside.
async fn request<S>(uri: &Uri, stream: S, max_bytes: usize) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| FetchError::Broken)?;
    let authority = uri.authority().ok_or(FetchError::Address)?.as_str();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::get(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::USER_AGENT, "tourbillon")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Address)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|_| FetchError::Broken)?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(FetchError::Redirect),
            status => return Err(FetchError::Status(status.as_u16())),
        }
        let mut body = response.into_body();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| FetchError::Broken)?;
            let Some(data) = frame.data_ref() else { continue };
            if whole.len() + data.len() > max_bytes {
                return Err(FetchError::TooLarge);
            }
            whole.extend_from_slice(data);
        }
        Ok(whole.freeze())
    };
    match select(Box::pin(exchange), connection).await {
        Either::Left((result, _)) => result,
        // The connection may end as soon as everything was read from it.
        Either::Right((_, exchange)) => exchange.await,
    }
}

/// Whether an address is one of the public Internet (IANA's special-purpose registries).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        // This network, multicast, reserved and broadcast.
        || a == 0
        || a >= 224
        // Shared by carriers; protocol assignments; benchmarks.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let embedded = |high: u16, low: u16| {
        let [[w, x], [y, z]] = [high.to_be_bytes(), low.to_be_bytes()];
        is_public_v4(Ipv4Addr::new(w, x, y, z))
    };
    match (a, b, c, d, e, f) {
        // An address of the other version: mapped, translated, 6to4.
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => embedded(g, h),
        (0x2002, ..) => embedded(b, c),
        // Only this part of the space is given out; documentation and tunnels are in it.
        _ => a & 0xe000 == 0x2000 && !(a == 0x2001 && (b == 0xdb8 || b < 0x200)) && a != 0x3fff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in [
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1",
            "::ffff:8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for private in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "2001:db8::1",
            "::7f00:1",
        ] {
            assert!(!is_public(private.parse().expect("an address")), "{private}");
        }
    }
}
