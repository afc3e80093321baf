//! Where the load goes.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};

use tourbillon_auth::{ConnectToken, Secret, SignError, Signer};
use tourbillon_types::Encoding;

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not of the form this program speaks.
    #[error("{url}: {why}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The host has no address.
    #[error("{host}: {error}")]
    Resolve {
        /// The host and port.
        host: String,
        /// What the resolver said.
        error: std::io::Error,
    },
}

/// The address of an HTTP endpoint, plain or to be upgraded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The Host header.
    pub host: String,
    /// Path and query.
    pub path: String,
}

impl Endpoint {
    /// Reads `scheme://host:port/path`; the host is resolved here, once.
    ///
    /// # Errors
    ///
    /// [`TargetError`]: another scheme (TLS included), no host, a port that is none, a host without an address.
    pub fn parse(url: &str, scheme: &'static str) -> Result<Self, TargetError> {
        let wrong = |why| TargetError::Url { url: url.to_owned(), why };
        let (given, rest) =
            url.split_once("://").ok_or_else(|| wrong("expected a URL such as ws://host:port/path"))?;
        if given == "wss" || given == "https" {
            return Err(wrong("load over TLS is not supported: give the address without TLS"));
        }
        if given != scheme {
            return Err(wrong(if scheme == "ws" {
                "expected a ws:// address"
            } else {
                "expected a http:// address"
            }));
        }
        let (host, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if host.is_empty() || host.contains('@') {
            return Err(wrong("the host is missing or carries credentials"));
        }
        let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
        let with_port = match port {
            Some(port) if port.parse::<u16>().is_ok() => host.to_owned(),
            Some(_) => return Err(wrong("the port is not a number between 0 and 65535")),
            None => format!("{host}:80"),
        };
        let address = with_port
            .to_socket_addrs()
            .and_then(|mut all| all.next().ok_or_else(|| std::io::ErrorKind::NotFound.into()))
            .map_err(|error| TargetError::Resolve { host: with_port, error })?;
        Ok(Self {
            address,
            host: host.to_owned(),
            path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        })
    }
}

/// A server's WebSocket endpoint, and how to speak to it.
#[derive(Clone)]
pub struct Target {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The encoding.
    pub encoding: Encoding,
    /// Offers permessage-deflate.
    pub compression: bool,
    /// The connection tokens, one after the other, from the start again when there are more connections. Without
    /// any the connect command carries none.
    pub tokens: Vec<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("endpoint", &self.endpoint)
            .field("encoding", &self.encoding)
            .field("compression", &self.compression)
            .field("tokens", &self.tokens.len())
            .finish()
    }
}

impl Target {
    /// For a WebSocket URL: JSON, no compression, no tokens. Without a path it is the server's default one.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::parse`].
    pub fn new(url: &str) -> Result<Self, TargetError> {
        let mut endpoint = Endpoint::parse(url, "ws")?;
        if endpoint.path == "/" {
            "/connection/websocket".clone_into(&mut endpoint.path);
        }
        Ok(Self { endpoint, encoding: Encoding::Json, compression: false, tokens: Vec::new() })
    }

    /// Connections are from now on those of a hundred users, with tokens signed by this HMAC secret.
    ///
    /// # Errors
    ///
    /// When the secret cannot sign.
    pub fn sign_with(&mut self, secret: &str) -> Result<(), SignError> {
        let signer = Signer::hs256(&Secret::from(secret));
        let token = |number| {
            signer.sign_connect(&ConnectToken { user: format!("user{number}"), ..ConnectToken::default() })
        };
        self.tokens = (0..100).map(token).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The token of a connection.
    #[must_use]
    pub fn token(&self, connection: usize) -> &str {
        match self.tokens.len() {
            0 => "",
            count => self.tokens.get(connection % count).map_or("", String::as_str),
        }
    }

    /// The upgrade request.
    #[must_use]
    pub fn handshake(&self) -> String {
        let Endpoint { path, host, .. } = &self.endpoint;
        let protocol = match self.encoding {
            Encoding::Json => "",
            Encoding::Protobuf => "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n",
        };
        let extensions = if self.compression {
            "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n"
        } else {
            ""
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{protocol}{extensions}\r\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let target = Target::new("ws://127.0.0.1:8000").expect("good");
        assert_eq!(target.endpoint.path, "/connection/websocket");
        assert_eq!(target.endpoint.address, "127.0.0.1:8000".parse().expect("good"));
        let target = Target::new("ws://[::1]:8000/other?x=1").expect("good");
        assert_eq!((target.endpoint.path.as_str(), target.endpoint.address.port()), ("/other?x=1", 8000));
        assert_eq!(Endpoint::parse("http://127.0.0.1/api", "http").expect("good").address.port(), 80);
    }

    #[test]
    fn what_is_wrong_with_an_address_is_told() {
        for (url, part) in [
            ("127.0.0.1:8000", "expected a URL"),
            ("wss://127.0.0.1:8000", "TLS"),
            ("http://127.0.0.1:8000", "ws://"),
            ("ws:///path", "host is missing"),
            ("ws://name:secret@127.0.0.1:1/", "credentials"),
            ("ws://127.0.0.1:99999/", "port"),
        ] {
            let error = Target::new(url).expect_err(url).to_string();
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
