//! What of a connection's own headers a backend gets.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::EndpointConfig;

/// The headers of who asks.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// Those of the transport: of an HTTP request, or the metadata of a call.
    pub(crate) transport: &'a HeaderMap,
    /// Whether they are metadata.
    pub(crate) is_grpc: bool,
    /// Those that the client wrote itself.
    pub(crate) emulated: &'a HeaderMap,
}

/// The name of the transport whose headers are metadata.
pub(crate) const UNI_GRPC: &str = "uni_grpc";

/// Which headers go to a backend.
#[derive(Clone)]
pub(crate) struct Forward {
    always: Vec<(HeaderName, HeaderValue)>,
    http_headers: Vec<HeaderName>,
    grpc_metadata: Vec<HeaderName>,
    emulated: Vec<HeaderName>,
}

/// What describes the connection to us, or the message in it, and would be wrong of another.
const OURS: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Forward {
    pub(crate) fn new(config: &EndpointConfig, is_http: bool) -> Self {
        let always = if is_http { &config.http.static_headers } else { &config.grpc.static_metadata };
        let others = |names: &[HeaderName]| -> Vec<HeaderName> {
            names.iter().filter(|name| !OURS.contains(&name.as_str())).cloned().collect()
        };
        Self {
            always: always.iter().filter(|(name, _)| !OURS.contains(&name.as_str())).cloned().collect(),
            http_headers: others(&config.http_headers),
            grpc_metadata: others(&config.grpc_metadata),
            emulated: others(&config.emulated_headers),
        }
    }

    /// The names of those that are taken from what the client wrote.
    pub(crate) fn emulated(&self) -> &[HeaderName] {
        &self.emulated
    }

    /// The headers of a call: what is always there, over that what the client wrote, over that what its transport says
    /// (PRX-08).
    pub(crate) fn headers(&self, origin: Option<Origin<'_>>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.always {
            headers.insert(name, value.clone());
        }
        let Some(origin) = origin else { return headers };
        let listed = if origin.is_grpc { &self.grpc_metadata } else { &self.http_headers };
        for (names, from) in [(&self.emulated, origin.emulated), (listed, origin.transport)] {
            for name in names {
                let mut values = from.get_all(name).iter();
                if let Some(first) = values.next() {
                    headers.insert(name, first.clone());
                    for more in values {
                        headers.append(name, more.clone());
                    }
                }
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&'static str]) -> Vec<HeaderName> {
        all.iter().map(|name| HeaderName::from_static(name)).collect()
    }

    fn map(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let one = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let mut headers = HeaderMap::new();
        all.iter().map(one).for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn config() -> EndpointConfig {
        let mut config = EndpointConfig::new("default", "http://backend");
        config.http_headers = names(&["cookie", "x-user", "x-both", "host", "content-length"]);
        config.grpc_metadata = names(&["x-meta"]);
        config.emulated_headers = names(&["authorization", "x-both", "content-type"]);
        let value = HeaderValue::from_static;
        config.http.static_headers = vec![
            (HeaderName::from_static("x-user"), value("always")),
            (HeaderName::from_static("authorization"), value("always")),
            (HeaderName::from_static("x-always"), value("always")),
        ];
        config.grpc.static_metadata = vec![(HeaderName::from_static("x-static"), value("meta"))];
        config
    }

    #[test]
    fn prx_08_the_transport_wins_over_the_client_and_the_client_over_what_is_always_there() {
        let transport = map(&[
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-both", "transport"),
            ("x-user", "transport"),
            ("x-secret", "no"),
            ("x-meta", "no"),
            ("host", "no"),
        ]);
        let emulated = map(&[
            ("authorization", "Bearer x"),
            ("x-both", "emulated"),
            ("cookie", "no"),
            ("content-type", "no"),
        ]);
        let origin = Origin { transport: &transport, is_grpc: false, emulated: &emulated };
        let headers = Forward::new(&config(), true).headers(Some(origin));
        let expected = map(&[
            ("x-user", "transport"),
            ("authorization", "Bearer x"),
            ("x-always", "always"),
            ("x-both", "transport"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn prx_05_metadata_has_a_list_of_its_own() {
        let transport = map(&[("x-meta", "yes"), ("cookie", "no"), ("x-both", "no")]);
        let emulated = map(&[("x-both", "emulated")]);
        let origin = Origin { transport: &transport, is_grpc: true, emulated: &emulated };
        let headers = Forward::new(&config(), false).headers(Some(origin));
        assert_eq!(headers, map(&[("x-static", "meta"), ("x-both", "emulated"), ("x-meta", "yes")]));
    }

    #[test]
    fn a_call_of_nobody_has_what_is_always_there() {
        assert_eq!(Forward::new(&config(), false).headers(None), map(&[("x-static", "meta")]));
    }
}
