//! Where a server listens, and how it speaks there.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::addresses::Networks;
use crate::check::Checker;
use crate::limits::networks;
use crate::model::{self, Options};
use tourbillon_tls::{TlsConfig, TlsVersion};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// For clients.
    pub external: Place,
    /// For API and health, if elsewhere.
    pub internal: Option<Place>,
}

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket, which is made, and removed in the end.
    Unix(PathBuf),
    /// A socket that the service manager hands over: the one of this name, or else the first.
    Inherited(Option<String>),
}

impl Place {
    /// Changes the port, where it is a TCP port.
    pub fn set_port(&mut self, port: u16) {
        if let Self::Tcp(address) = self {
            address.set_port(port);
        }
    }
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(None) => f.write_str("systemd"),
            Self::Inherited(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

/// How a server speaks at its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSettings {
    /// TLS for clients.
    pub external_tls: Option<TlsSettings>,
    /// TLS of a port of its own for API and health.
    pub internal_tls: Option<TlsSettings>,
    /// TLS of the unidirectional GRPC stream.
    pub uni_grpc_tls: Option<TlsConfig>,
    /// TLS of the API over GRPC.
    pub grpc_api_tls: Option<TlsConfig>,
    /// HTTP/2 without TLS for clients.
    pub h2c_external: bool,
    /// HTTP/3 for clients.
    pub http3: bool,
    /// Networks whose connections for clients begin with a PROXY header; `None` where none do.
    pub proxy_protocol: Option<Networks>,
}

/// Where a port's certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSettings {
    /// From files or options.
    Loaded(TlsConfig),
    /// From an authority.
    Acme(AcmeConfig),
}

/// How certificates are got from an authority by ACME (RFC 8555).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeConfig {
    /// Host names, at least one, in lower case.
    pub hosts: Vec<String>,
    /// Where certificates and the account are kept.
    pub cache_dir: Option<PathBuf>,
    /// Where the authority writes to.
    pub email: Option<String>,
    /// The host that is meant where a client names none.
    pub server_name: Option<String>,
    /// Where the authority is answered over HTTP; `None` where it is over TLS.
    pub http: Option<SocketAddr>,
    /// The authority's directory.
    pub directory_url: String,
    /// The root of the authority's own certificate, if none that everybody knows: PEM, base64 of it or a file.
    pub directory_ca: Option<String>,
}

pub(crate) fn listeners(check: &mut Checker, options: &Options) -> Option<ListenerConfig> {
    let server = &options.http_server;
    let external = place(check, "http_server.address", &server.address, server.port);
    let port = match server.internal_port.as_str() {
        "" => Some(server.port),
        text => {
            let port = text.parse::<u16>().map_err(|_| format!("{text:?} is not a port"));
            check.ok("http_server.internal_port", port)
        }
    };
    let internal = match (server.internal_address.as_str(), &external) {
        ("", Some(Place::Tcp(external))) => port.map(|port| Place::Tcp(SocketAddr::new(external.ip(), port))),
        // A port beside a socket that is none: on every address.
        ("", Some(_)) if !server.internal_port.is_empty() => {
            place(check, "http_server.internal_port", "", port.unwrap_or_default())
        }
        ("", external) => external.clone(),
        (text, _) => place(check, "http_server.internal_address", text, port.unwrap_or_default()),
    };
    let (external, internal) = external.zip(internal)?;
    // Endpoints of the same address and port share a listener (NET-02).
    let internal = Some(internal).filter(|internal| *internal != external);
    Some(ListenerConfig { external, internal })
}

fn place(check: &mut Checker, path: &str, text: &str, port: u16) -> Option<Place> {
    if let Some(socket) = text.strip_prefix("unix:") {
        if socket.is_empty() {
            check.error(path, "a Unix socket needs a path");
            return None;
        }
        // `unix:///path` is a common way to write `unix:/path`.
        return Some(Place::Unix(PathBuf::from(socket.strip_prefix("//").unwrap_or(socket))));
    }
    if text == "systemd" {
        return Some(Place::Inherited(None));
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        return Some(Place::Inherited(Some(name.to_owned())));
    }
    address(check, path, text, port).map(Place::Tcp)
}

pub(crate) fn address(check: &mut Checker, path: &str, text: &str, port: u16) -> Option<SocketAddr> {
    let ip = match text {
        // IPv4 too, where the system has both.
        "" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        text => {
            let parsed = text.trim_matches(['[', ']']).parse::<IpAddr>();
            check.ok(path, parsed.map_err(|_| format!("{text:?} is not an IP address")))?
        }
    };
    Some(SocketAddr::new(ip, port))
}

pub(crate) fn ports(
    check: &mut Checker,
    options: &Options,
    listeners: Option<&ListenerConfig>,
) -> PortSettings {
    let server = &options.http_server;
    let own = tls(check, "http_server.tls", &server.tls).map(TlsSettings::Loaded);
    // ACME takes precedence (NET-05).
    let external_tls = acme(check, &server.tls_autocert).map(TlsSettings::Acme).or(own);
    let internal_tls = if server.internal_tls.enabled {
        tls(check, "http_server.internal_tls", &server.internal_tls).map(TlsSettings::Loaded)
    } else {
        external_tls.clone().filter(|_| !server.tls_external)
    };
    if server.h2c_external {
        let path = "http_server.h2c_external";
        if listeners.is_some_and(|listeners| listeners.internal.is_none())
            || server.internal_port.is_empty()
            || server.internal_port == server.port.to_string()
        {
            check.error(path, "needs http_server.internal_port, another than http_server.port");
        }
        if external_tls.is_some() {
            check.error(path, "is HTTP/2 without TLS, and TLS is on: with it, HTTP/2 is there by itself");
        }
    }
    if server.http3.enabled {
        let path = "http_server.http3.enabled";
        if external_tls.is_none() {
            check.error(path, "needs TLS: http_server.tls or http_server.tls_autocert");
        }
        if matches!(listeners, Some(ListenerConfig { external: Place::Unix(_), .. })) {
            check.error(path, "needs a port: http_server.address is a Unix socket");
        }
    }
    let proxy = &server.proxy_protocol;
    let trusted = networks(check, "http_server.proxy_protocol.trusted", &proxy.trusted);
    // A Unix socket is trusted by who may open it.
    let needs_networks =
        !matches!(listeners, Some(ListenerConfig { external: Place::Unix(_) | Place::Inherited(_), .. }));
    if proxy.enabled && proxy.trusted.is_empty() && needs_networks {
        let message = "must name the networks of the load balancers: anybody else could claim any address";
        check.error("http_server.proxy_protocol.trusted", message);
    }
    PortSettings {
        external_tls,
        internal_tls,
        uni_grpc_tls: tls(check, "uni_grpc.tls", &options.uni_grpc.tls).filter(|_| options.uni_grpc.enabled),
        grpc_api_tls: tls(check, "grpc_api.tls", &options.grpc_api.tls).filter(|_| options.grpc_api.enabled),
        h2c_external: server.h2c_external,
        http3: server.http3.enabled,
        proxy_protocol: proxy.enabled.then_some(trusted),
    }
}

fn tls(check: &mut Checker, path: &str, options: &model::Tls) -> Option<TlsConfig> {
    let min_version = match options.min_version.as_str() {
        "1.2" => TlsVersion::Tls12,
        "1.3" => TlsVersion::Tls13,
        other => {
            check.error(&format!("{path}.min_version"), format!("{other:?} must be 1.2 or 1.3"));
            TlsVersion::default()
        }
    };
    if !options.enabled {
        return None;
    }
    let config = TlsConfig {
        cert: options.cert_pem.clone(),
        key: options.key_pem.expose().to_owned(),
        client_ca: options.client_ca_pem.clone(),
        min_version,
    };
    if let Err(error) = config.check() {
        check.error(&format!("{path}.{}", error.option), error.problem);
    }
    Some(config)
}

fn acme(check: &mut Checker, options: &model::TlsAutocert) -> Option<AcmeConfig> {
    if !options.enabled {
        return None;
    }
    let path = "http_server.tls_autocert";
    let mut hosts: Vec<String> = options.host_whitelist.iter().map(|host| host.to_lowercase()).collect();
    let server_name = Some(options.server_name.to_lowercase()).filter(|name| !name.is_empty());
    if hosts.is_empty() {
        match &server_name {
            Some(name) => hosts.push(name.clone()),
            None => check.error(
                &format!("{path}.host_whitelist"),
                "must name hosts: anybody could have certificates made for any other",
            ),
        }
    }
    for (at, host) in hosts.iter().enumerate() {
        if !is_host(host) {
            let message = format!("{host:?} is not a host name that a certificate can be had for");
            check.error(&format!("{path}.host_whitelist[{at}]"), message);
        }
    }
    if let Some(name) = server_name.as_ref().filter(|name| !hosts.contains(name)) {
        check.error(&format!("{path}.server_name"), format!("{name:?} is not in {path}.host_whitelist"));
    }
    let http = if options.http { http_address(check, path, &options.http_addr) } else { None };
    if !options.directory_url.starts_with("https://") {
        check.error(&format!("{path}.directory_url"), "must begin with https://");
    }
    let directory_ca = Some(options.directory_ca_pem.clone()).filter(|pem| !pem.is_empty());
    if let Some(Err(error)) =
        directory_ca.as_deref().map(|roots| tourbillon_tls::roots("directory_ca_pem", roots))
    {
        check.error(&format!("{path}.directory_ca_pem"), error.problem);
    }
    Some(AcmeConfig {
        hosts,
        cache_dir: Some(&options.cache_dir).filter(|path| !path.is_empty()).map(PathBuf::from),
        email: Some(&options.email).filter(|email| !email.is_empty()).cloned(),
        server_name,
        http,
        directory_url: options.directory_url.clone(),
        directory_ca,
    })
}

/// An address in the way of Go: `:80`, `127.0.0.1:80`, `[::1]:80`.
fn http_address(check: &mut Checker, path: &str, text: &str) -> Option<SocketAddr> {
    let path = format!("{path}.http_addr");
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = parts else {
        check.error(&path, format!("{text:?} is not an address and a port, such as :80"));
        return None;
    };
    address(check, &path, host, port)
}

/// Whether this is a name with dots and without wildcards, which are not given to who answers at the name.
fn is_host(name: &str) -> bool {
    let labels = |name: &str| {
        name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
    };
    name.len() <= 253 && labels(name) && name.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (name, good) in [
            ("example.com", true),
            ("a-b.example", true),
            ("localhost", true),
            ("*.example.com", false),
            ("-a.example", false),
            ("a..example", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_host(name), good, "{name}");
        }
    }
}
