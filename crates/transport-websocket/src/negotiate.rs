//! What is agreed upon in the handshake: encoding, liveness, compression.

use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use tourbillon_transport::PingMode;
use tourbillon_types::Encoding;

use crate::Compression;

pub(crate) const JSON: &str = "centrifuge-json";
pub(crate) const PROTOBUF: &str = "centrifuge-protobuf";

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) encoding: Encoding,
    /// The subprotocol to be told back; the first one of ours that the client offers.
    pub(crate) subprotocol: Option<&'static str>,
    pub(crate) ping: PingMode,
    /// An acceptable offer of permessage-deflate: the window that it leaves us, if it names one.
    pub(crate) deflate: Option<Option<u8>>,
}

/// What was agreed upon about compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deflate {
    pub(crate) compression: Compression,
    /// The window that the client named as what it can hold, as a power of two.
    pub(crate) window: Option<u8>,
}

/// The largest window of DEFLATE.
pub(crate) const WINDOW: u8 = 15;

impl Deflate {
    /// How hard to try, from 1 to 9: whoever embeds this may write any number.
    pub(crate) fn level(self) -> u32 {
        self.compression.level.clamp(1, 9)
    }

    /// Whether a message of this size is compressed.
    ///
    /// Within a message, references reach back over the message at most. So those that fit into a small window are
    /// sent in the form that serves everybody, and larger ones as they are: nobody makes us compress for him alone.
    pub(crate) fn takes(self, length: usize) -> bool {
        let fits = |window: u8| window == WINDOW || length <= 1 << window;
        length > self.compression.min_size && self.window.is_none_or(fits)
    }

    /// The answer to the offer (RFC 7692 section 7.1): neither side keeps a window between messages, so that one
    /// compressed message serves every connection. A window that was named must be in it (section 7.1.2.1).
    pub(crate) fn answer(self) -> HeaderValue {
        const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let Some(window) = self.window else { return HeaderValue::from_static(ANSWER) };
        let answer = format!("{ANSWER}; server_max_window_bits={window}");
        HeaderValue::try_from(answer).unwrap_or_else(|_| HeaderValue::from_static(ANSWER))
    }
}

/// Reads the client's wishes (WS-01, HID-15, PING-04, WS-03).
pub(crate) fn wanted(headers: &HeaderMap, query: Option<&str>) -> Wanted {
    let subprotocol = list(headers, SEC_WEBSOCKET_PROTOCOL).find_map(|offer| match offer {
        JSON => Some(JSON),
        PROTOBUF => Some(PROTOBUF),
        _ => None,
    });
    let asks = |name: &str, value: &str| {
        let mut pairs =
            query.into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
        pairs.any(|pair| pair == (name, value))
    };
    let protobuf =
        subprotocol == Some(PROTOBUF) || asks("format", "protobuf") || asks("cf_protocol", "protobuf");
    let native = asks("cf_ws_frame_ping_pong", "true");
    Wanted {
        encoding: if protobuf { Encoding::Protobuf } else { Encoding::Json },
        subprotocol,
        ping: if native { PingMode::Native } else { PingMode::Protocol },
        deflate: list(headers, SEC_WEBSOCKET_EXTENSIONS).find_map(acceptable),
    }
}

/// The comma-separated entries of a header that may be repeated.
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// The window that an offer names for us, if it is one of permessage-deflate that we can keep (RFC 7692 section 7.1).
/// What we receive is inflated with the largest window, whatever the client uses.
fn acceptable(offer: &str) -> Option<Option<u8>> {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return None;
    }
    let mut window = None;
    let mut seen = Vec::new();
    for parameter in parts {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (parameter, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            (
                "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                None,
            ) => {}
            ("client_max_window_bits", Some(bits)) => _ = window_bits(bits)?,
            ("server_max_window_bits", Some(bits)) => window = Some(window_bits(bits)?),
            _ => return None,
        }
    }
    Some(window)
}

fn window_bits(bits: &str) -> Option<u8> {
    let digits = !bits.starts_with('0') && bits.bytes().all(|digit| digit.is_ascii_digit());
    bits.parse().ok().filter(|bits| digits && (8..=WINDOW).contains(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_of_compression() {
        for (offer, accepted) in [
            ("permessage-deflate", Some(None)),
            ("permessage-deflate; client_max_window_bits", Some(None)),
            ("permessage-deflate; client_max_window_bits=10; server_no_context_takeover", Some(None)),
            ("permessage-deflate; server_max_window_bits=15", Some(Some(15))),
            ("permessage-deflate; server_max_window_bits=10", Some(Some(10))),
            ("permessage-deflate; server_max_window_bits=\"9\"", Some(Some(9))),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; client_max_window_bits=7", None),
            ("permessage-deflate; client_max_window_bits=08", None),
            ("permessage-deflate; client_max_window_bits=+8", None),
            ("permessage-deflate; client_no_context_takeover=1", None),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
            ("permessage-deflate; something_new", None),
            ("x-webkit-deflate-frame", None),
            ("permessage-deflate; server_max_window_bits=7, permessage-deflate", Some(None)),
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", Some(Some(8))),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, offer.parse().expect("a header value"));
            assert_eq!(wanted(&headers, None).deflate, accepted, "{offer}");
        }
    }

    #[test]
    fn a_window_that_was_named_is_told_back() {
        let answer = |window| Deflate { compression: Compression::default(), window }.answer();
        let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer(None), plain);
        for window in 8..=WINDOW {
            assert_eq!(answer(Some(window)), format!("{plain}; server_max_window_bits={window}"));
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
