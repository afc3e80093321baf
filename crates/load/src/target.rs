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

/// What carries the messages of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// A WebSocket.
    #[default]
    WebSocket,
    /// HTTP streaming.
    HttpStream,
    /// Server-sent events, in JSON.
    Sse,
}

impl Carrier {
    /// The last part of its endpoint's path.
    const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::HttpStream => "http_stream",
            Self::Sse => "sse",
        }
    }
}

/// A server's WebSocket endpoint, and how to speak to it.
#[derive(Clone)]
pub struct Target {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What carries the messages of clients that listen. Those that publish or call have a WebSocket. A client of
    /// another kind says all it has to say when it comes, and answers no pings: its server's interval of pings has to
    /// be longer than the load.
    pub carrier: Carrier,
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
            .field("carrier", &self.carrier)
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
        let carrier = Carrier::WebSocket;
        Ok(Self { endpoint, carrier, encoding: Encoding::Json, compression: false, tokens: Vec::new() })
    }

    /// Clients that listen do it over this.
    ///
    /// # Errors
    ///
    /// The WebSocket endpoint is not at a path that ends in `/websocket`, beside which the others are.
    pub fn listen_over(&mut self, carrier: Carrier) -> Result<(), TargetError> {
        let path = self.endpoint.path.split('?').next().unwrap_or_default();
        if carrier != Carrier::WebSocket && !path.ends_with("/websocket") {
            let why =
                "the path of the address must end in /websocket: other endpoints are looked for beside it";
            return Err(TargetError::Url { url: self.endpoint.path.clone(), why });
        }
        self.carrier = carrier;
        Ok(())
    }

    /// The request that a stream is the answer to, with this body.
    #[must_use]
    pub fn stream_request(&self, carrier: Carrier, body: &[u8]) -> Vec<u8> {
        let path = self.endpoint.path.split('?').next().unwrap_or_default();
        let base = path.strip_suffix(Carrier::WebSocket.name()).unwrap_or(path);
        let kind = match self.encoding {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/octet-stream",
        };
        let head = format!(
            "POST {base}{} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            carrier.name(),
            self.endpoint.host,
            body.len()
        );
        [head.as_bytes(), body].concat()
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
    fn streams_are_looked_for_beside_the_websocket() {
        let mut target = Target::new("ws://127.0.0.1:8000/a/websocket?x=1").expect("good");
        target.listen_over(Carrier::Sse).expect("beside");
        let request = target.stream_request(Carrier::Sse, b"{}");
        assert!(
            request.starts_with(b"POST /a/sse HTTP/1.1\r\n")
                && request.ends_with(b"Content-Length: 2\r\n\r\n{}")
        );
        let mut target = Target::new("ws://127.0.0.1:8000/other").expect("good");
        assert!(target.listen_over(Carrier::HttpStream).is_err());
        assert!(target.listen_over(Carrier::WebSocket).is_ok());
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
