//! Where a backend is.

use std::path::PathBuf;

use base64::Engine as _;
use http::Uri;
use http::header::HeaderValue;
use http::uri::{Authority, PathAndQuery, Scheme};
use percent_encoding::percent_decode_str;

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// What an endpoint's text says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Questions are POSTed there.
    Http {
        address: Address,
        uri: Uri,
        /// The name and the password that stand in it, as a header.
        authorization: Option<HeaderValue>,
    },
    /// Questions are calls there.
    Grpc { address: Address, authority: String },
}

/// The port of a GRPC target that names none.
const GRPC_PORT: u16 = 443;

impl Target {
    /// Reads an endpoint (PRX-01, NET-10): `http://` and `https://` are HTTP, anything else is a target of GRPC.
    pub(crate) fn parse(endpoint: &str) -> Result<Self, &'static str> {
        if endpoint.starts_with("http://") || endpoint.starts_with("https://") {
            return http(endpoint);
        }
        let target = endpoint.strip_prefix("grpc://").map_or(endpoint, |rest| {
            // As an address it may have a path, which means nothing.
            rest.split('/').next().unwrap_or(rest)
        });
        grpc(target)
    }

    /// Whether it is asked over HTTP.
    pub(crate) const fn is_http(&self) -> bool {
        matches!(self, Self::Http { .. })
    }

    /// Whether connections to it are with TLS by its own text.
    pub(crate) fn is_https(&self) -> bool {
        matches!(self, Self::Http { uri, .. } if uri.scheme() == Some(&Scheme::HTTPS))
    }

    pub(crate) const fn address(&self) -> &Address {
        match self {
            Self::Http { address, .. } | Self::Grpc { address, .. } => address,
        }
    }
}

fn http(endpoint: &str) -> Result<Target, &'static str> {
    const WRONG: &str = "is not an address of HTTP";
    let uri: Uri = endpoint.parse().map_err(|_| WRONG)?;
    let mut parts = uri.into_parts();
    let authority = parts.authority.take().ok_or(WRONG)?;
    let (authorization, authority) = match authority.as_str().rsplit_once('@') {
        None => (None, authority),
        Some((user, host)) => (Some(basic(user)?), host.parse().map_err(|_| WRONG)?),
    };
    if authority.host().is_empty() {
        return Err(WRONG);
    }
    let https = parts.scheme == Some(Scheme::HTTPS);
    let port = port_of(&authority)?.unwrap_or(if https { 443 } else { 80 });
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    let uri = Uri::from_parts(parts).map_err(|_| WRONG)?;
    Ok(Target::Http { address: Address::Tcp { host, port }, uri, authorization })
}

/// A colon without a number behind it names no port.
fn port_of(authority: &Authority) -> Result<Option<u16>, &'static str> {
    let behind = authority.as_str().get(authority.host().len()..).unwrap_or_default();
    match behind.strip_prefix(':') {
        None | Some("") => Ok(None),
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => Err("has a port that there is not"),
        },
    }
}

fn basic(user: &str) -> Result<HeaderValue, &'static str> {
    let decoded: Vec<u8> = match user.split_once(':') {
        Some((name, password)) => {
            percent_decode_str(name).chain(*b":").chain(percent_decode_str(password)).collect()
        }
        None => percent_decode_str(user).chain(*b":").collect(),
    };
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(decoded));
    let mut value = HeaderValue::try_from(text).map_err(|_| "has credentials that cannot be sent")?;
    value.set_sensitive(true);
    Ok(value)
}

fn grpc(target: &str) -> Result<Target, &'static str> {
    if let Some(path) = target.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err("names no socket");
        }
        return Ok(Target::Grpc { address: Address::Unix(path.into()), authority: "localhost".to_owned() });
    }
    let (scheme, rest) = target.split_once(':').unwrap_or(("", target));
    let known = matches!(scheme, "dns" | "passthrough" | "ipv4" | "ipv6");
    let rest = match rest.strip_prefix("//") {
        Some(behind) if known => match behind.split_once('/') {
            Some(("", name)) => name,
            _ => return Err("asks a name server of its own, which there is not"),
        },
        Some(_) => {
            return Err("has a scheme that is not http, https, grpc, dns, passthrough, ipv4, ipv6 or unix");
        }
        // A host may have any of these names.
        None if known && !rest.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        None => target,
    };
    let authority: Authority = rest.parse().map_err(|_| "is not an address of GRPC")?;
    if authority.host().is_empty() || rest.contains(['@', ',']) {
        return Err("is not an address of GRPC");
    }
    let port = port_of(&authority)?.unwrap_or(GRPC_PORT);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Target::Grpc {
        address: Address::Tcp { host, port },
        authority: rest.trim_end_matches(':').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    fn parsed(endpoint: &str) -> (bool, Address) {
        let target = Target::parse(endpoint).unwrap_or_else(|error| panic!("{endpoint}: {error}"));
        (target.is_http(), target.address().clone())
    }

    #[test]
    fn prx_01_the_text_says_how_it_is_asked() {
        for (endpoint, http, address) in [
            ("http://backend/events", true, tcp("backend", 80)),
            ("https://backend", true, tcp("backend", 443)),
            ("http://[::1]:3000/", true, tcp("::1", 3000)),
            ("https://name:pa%40ss@backend:8443/x?y=z", true, tcp("backend", 8443)),
            ("grpc://127.0.0.1:12000", false, tcp("127.0.0.1", 12000)),
            ("grpc://backend:12000/ignored", false, tcp("backend", 12000)),
            ("backend:12000", false, tcp("backend", 12000)),
            ("backend", false, tcp("backend", 443)),
            ("[::1]:12000", false, tcp("::1", 12000)),
            ("dns:///backend:12000", false, tcp("backend", 12000)),
            ("dns:backend:12000", false, tcp("backend", 12000)),
            ("passthrough:///backend:1", false, tcp("backend", 1)),
            ("ipv4:10.0.0.1:1", false, tcp("10.0.0.1", 1)),
            ("dns:12000", false, tcp("dns", 12000)),
            ("unix:///run/app.sock", false, Address::Unix("/run/app.sock".into())),
            ("unix:app.sock", false, Address::Unix("app.sock".into())),
        ] {
            assert_eq!(parsed(endpoint), (http, address), "{endpoint}");
        }
    }

    #[test]
    fn credentials_in_an_address_become_a_header() {
        let Ok(Target::Http { uri, authorization: Some(value), .. }) =
            Target::parse("http://ann:p%40ss@backend/x")
        else {
            panic!("is an address with credentials")
        };
        assert_eq!(uri, "http://backend/x");
        assert_eq!(value, "Basic YW5uOnBAc3M=");
        assert!(value.is_sensitive());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in [
            "",
            "http://",
            "http://:80/",
            "http://a:0/",
            "http://a:99999/",
            "ftp://a",
            "grpc://",
            "unix:",
            "dns://8.8.8.8/backend:1",
            "a b",
            "a:x",
            "ipv4:1.1.1.1:1,2.2.2.2:2",
            "xds:///service",
        ] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }
}
