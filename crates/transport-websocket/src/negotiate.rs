//! What is agreed upon in the handshake: encoding, liveness, compression.

use http::HeaderMap;
use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use tourbillon_transport::PingMode;
use tourbillon_types::Encoding;

pub(crate) const JSON: &str = "centrifuge-json";
pub(crate) const PROTOBUF: &str = "centrifuge-protobuf";

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) encoding: Encoding,
    /// The subprotocol to be told back; the first one of ours that the client offers.
    pub(crate) subprotocol: Option<&'static str>,
    pub(crate) ping: PingMode,
    /// Whether an offer of permessage-deflate can be accepted.
    pub(crate) deflate: bool,
}

/// Reads the client's wishes (WS-01, HID-15, PING-04, WS-03).
pub(crate) fn wanted(headers: &HeaderMap, query: Option<&str>) -> Wanted {
    let subprotocol = list(headers, SEC_WEBSOCKET_PROTOCOL.as_str()).find_map(|offer| match offer {
        JSON => Some(JSON),
        PROTOBUF => Some(PROTOBUF),
        _ => None,
    });
    let asks = |name: &str, value: &str| {
        let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.any(|pair| pair == (name, value))
    };
    let protobuf =
        subprotocol == Some(PROTOBUF) || asks("format", "protobuf") || asks("cf_protocol", "protobuf");
    let native = asks("cf_ws_frame_ping_pong", "true");
    Wanted {
        encoding: if protobuf { Encoding::Protobuf } else { Encoding::Json },
        subprotocol,
        ping: if native { PingMode::Native } else { PingMode::Protocol },
        deflate: list(headers, SEC_WEBSOCKET_EXTENSIONS.as_str()).any(acceptable),
    }
}

/// The comma-separated entries of a header that may be repeated.
fn list<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Whether an extension offer is one of permessage-deflate that we can keep (RFC 7692 section 7.1). We answer
/// without context takeover and without naming window sizes, so an offer that asks for a smaller window of ours
/// is declined.
fn acceptable(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return false;
    }
    let mut seen = Vec::new();
    parts.all(|parameter| {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (parameter, None),
        };
        if seen.contains(&name) {
            return false;
        }
        seen.push(name);
        match (name, value) {
            (
                "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                None,
            ) => true,
            ("client_max_window_bits", Some(bits)) => is_window(bits),
            ("server_max_window_bits", Some(bits)) => bits == "15",
            _ => false,
        }
    })
}

fn is_window(bits: &str) -> bool {
    !bits.starts_with('0') && bits.parse::<u8>().is_ok_and(|bits| (8..=15).contains(&bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_of_compression() {
        for (offer, accepted) in [
            ("permessage-deflate", true),
            ("permessage-deflate; client_max_window_bits", true),
            ("permessage-deflate; client_max_window_bits=10; server_no_context_takeover", true),
            ("permessage-deflate; server_max_window_bits=15", true),
            ("permessage-deflate; server_max_window_bits=10", false),
            ("permessage-deflate; client_max_window_bits=7", false),
            ("permessage-deflate; client_max_window_bits=08", false),
            ("permessage-deflate; client_no_context_takeover=1", false),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", false),
            ("permessage-deflate; something_new", false),
            ("x-webkit-deflate-frame", false),
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, offer.parse().expect("a header value"));
            assert_eq!(wanted(&headers, None).deflate, accepted, "{offer}");
        }
    }

    #[test]
    fn encodings_and_subprotocols() {
        use Encoding::{Json, Protobuf};
        for (offer, query, encoding, told) in [
            (None, None, Json, None),
            (Some("centrifuge-json"), None, Json, Some(JSON)),
            (Some("centrifuge-protobuf"), None, Protobuf, Some(PROTOBUF)),
            (Some("other, centrifuge-protobuf"), None, Protobuf, Some(PROTOBUF)),
            (Some("other"), None, Json, None),
            (None, Some("format=protobuf"), Protobuf, None),
            (None, Some("a=b&cf_protocol=protobuf"), Protobuf, None),
            (None, Some("format=json"), Json, None),
            (Some("centrifuge-json"), Some("format=protobuf"), Protobuf, Some(JSON)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(offer) = offer {
                headers.insert(SEC_WEBSOCKET_PROTOCOL, offer.parse().expect("a header value"));
            }
            let wanted = wanted(&headers, query);
            assert_eq!((wanted.encoding, wanted.subprotocol), (encoding, told), "{offer:?} {query:?}");
        }
        assert_eq!(wanted(&HeaderMap::new(), Some("cf_ws_frame_ping_pong=true")).ping, PingMode::Native);
    }
}
