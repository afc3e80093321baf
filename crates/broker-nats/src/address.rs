//! Where servers are.

use std::fmt;
use std::io;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;

/// The port of NATS.
const PORT: u16 = 4222;

/// A server, and what it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsServer {
    /// The host: a name or an address, an IPv6 one without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether it speaks TLS whatever the configuration says.
    pub(crate) tls: bool,
    pub(crate) shows: Shows,
}

/// What a server is shown by whoever connects.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Shows {
    #[default]
    Nothing,
    Token(String),
    Password {
        user: String,
        password: String,
    },
}

impl fmt::Debug for NatsServer {
    /// Without what it is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NatsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

/// What is wrong with an address. The address is not part of it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing is there.
    #[error("names no server")]
    Empty,
    /// Another protocol.
    #[error("must begin with nats:// or tls://")]
    Scheme,
    /// No host.
    #[error("has no host, or one that is none")]
    Host,
    /// No number of a port.
    #[error("has a port that is no number from 1 to 65535")]
    Port,
    /// A path or more.
    #[error("has something after the port")]
    Rest,
    /// User or password are not UTF-8 once they are decoded.
    #[error("has a user or a password that is no text")]
    Credentials,
}

impl NatsServer {
    /// The servers of a list such as `nats://user:password@10.0.0.1:4222,nats://10.0.0.2`. The scheme may be left out.
    ///
    /// # Errors
    ///
    /// What is wrong with the first that is wrong.
    pub fn list(text: &str) -> Result<Vec<Self>, AddressError> {
        text.split(',').map(|one| Self::parse(one.trim())).collect()
    }

    fn parse(text: &str) -> Result<Self, AddressError> {
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("nats", rest)) => (false, rest),
            Some(("tls", rest)) => (true, rest),
            Some(_) => return Err(AddressError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (shows, place) = match rest.rsplit_once('@') {
            Some((shows, place)) => (Shows::parse(shows)?, place),
            None => (Shows::Nothing, rest),
        };
        if place.is_empty() {
            return Err(AddressError::Empty);
        }
        let (host, port) = place_of(place)?;
        Ok(Self { host: host.to_owned(), port, tls, shows })
    }

    /// A server that another one told of: what is shown is the same.
    pub(crate) fn told(&self, place: &str) -> Option<Self> {
        let (host, port) = place_of(place).ok()?;
        Some(Self { host: host.to_owned(), port, ..self.clone() })
    }

    /// Where it is, for the library. What it is shown is not part of that.
    pub(crate) fn address(&self) -> io::Result<ServerAddr> {
        format!("nats://{self}").parse()
    }

    pub(crate) fn is_at(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }
}

fn place_of(place: &str) -> Result<(&str, u16), AddressError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(AddressError::Host)?;
            let port =
                if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(AddressError::Rest)?) };
            (host, port)
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let is_odd =
        |byte: u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"/?#[]@".contains(&byte);
    if port.is_some_and(|port| port.contains('/')) {
        return Err(AddressError::Rest);
    }
    if host.is_empty() || host.bytes().any(is_odd) {
        return Err(AddressError::Host);
    }
    let port = port.map_or(Ok(PORT), str::parse).ok().filter(|port| *port != 0);
    Ok((host, port.ok_or(AddressError::Port)?))
}

impl Shows {
    fn parse(text: &str) -> Result<Self, AddressError> {
        let decoded = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map(std::borrow::Cow::into_owned).map_err(|_| AddressError::Credentials)
        };
        Ok(match text.split_once(':') {
            Some((user, password)) => Self::Password { user: decoded(user)?, password: decoded(password)? },
            None if text.is_empty() => Self::Nothing,
            None => Self::Token(decoded(text)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> (String, bool, Shows) {
        let server = NatsServer::list(text).expect("an address").remove(0);
        (server.to_string(), server.tls, server.shows)
    }

    #[test]
    fn opt_nats_addresses() {
        for text in ["nats://localhost:4222", "localhost", "nats://localhost/", "localhost:4222"] {
            assert_eq!(at(text), ("localhost:4222".to_owned(), false, Shows::Nothing), "{text}");
        }
        let password = Shows::Password { user: "u".to_owned(), password: "p@:/".to_owned() };
        assert_eq!(at("tls://u:p%40%3A%2F@[::1]:4223"), ("[::1]:4223".to_owned(), true, password));
        assert_eq!(at("nats://secret@a").2, Shows::Token("secret".to_owned()));
        let all = NatsServer::list("nats://a:1, nats://b:2,c").expect("addresses");
        assert_eq!(format!("{all:?}"), "[a:1, b:2, c:4222]");
        assert!(
            !format!("{:?}", NatsServer::list("nats://u:secret@a").expect("an address")).contains("secret")
        );
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for (text, error) in [
            ("", AddressError::Empty),
            ("nats://a,", AddressError::Empty),
            ("nats://", AddressError::Empty),
            ("http://a", AddressError::Scheme),
            ("nats://:4222", AddressError::Host),
            ("nats://a b", AddressError::Host),
            ("nats://[::1", AddressError::Host),
            ("nats://a:0", AddressError::Port),
            ("nats://a:70000", AddressError::Port),
            ("nats://a:x", AddressError::Port),
            ("nats://a:1/path", AddressError::Rest),
            ("nats://[::1]4222", AddressError::Rest),
            ("nats://%ff:x@a", AddressError::Credentials),
        ] {
            assert_eq!(NatsServer::list(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_server_that_was_told_of_is_shown_the_same() {
        let server = NatsServer::list("tls://t@a:1").expect("an address").remove(0);
        let told = server.told("10.0.0.2:5").expect("an address");
        assert_eq!(
            (told.to_string(), told.tls, told.shows == server.shows),
            ("10.0.0.2:5".to_owned(), true, true)
        );
        assert_eq!(server.told("x:y"), None);
    }
}
