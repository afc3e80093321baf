//! What is answered to which handshake.

use tourbillon_transport::{PingMode, Transport};
use tourbillon_transport_websocket::{Compression, OriginPolicy, WebSocketConfig};
use tourbillon_types::{Encoding, PushKinds};

use crate::support::{Server, block_on, handshake, open, request};

/// The handshake without the line that begins so.
fn without(line: &str) -> String {
    let all = handshake("", "");
    let kept: Vec<&str> = all.split_inclusive("\r\n").filter(|kept| !kept.starts_with(line)).collect();
    assert_eq!(kept.len(), all.matches("\r\n").count() - 1, "{line}");
    kept.concat()
}

#[test]
fn the_handshake_is_that_of_the_rfc() {
    block_on(async {
        let mut server = Server::start(WebSocketConfig::default()).await;
        let (answer, stream) = open(server.address, "", "Cookie: a=b\r\n").await;
        assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(answer.header("connection"), Some("upgrade"));
        assert_eq!(answer.header("sec-websocket-protocol"), None);
        assert_eq!(answer.header("sec-websocket-extensions"), None);
        let (transport, context) = server.accept().await;
        assert_eq!(context.headers["cookie"], "a=b");
        assert_eq!(transport.info().peer, stream.local_addr().ok());
        assert_eq!(transport.info().name, "websocket");
        assert_eq!(transport.info().suppressed, PushKinds::DISCONNECT);
    });
}

#[test]
fn requests_that_are_no_handshake_are_refused() {
    block_on(async {
        let server = Server::start(WebSocketConfig::default()).await;
        let good = handshake("", "");
        let with_key = |key: &str| good.replace("dGhlIHNhbXBsZSBub25jZQ==", key);
        for (name, sent, status) in [
            ("no upgrade at all", "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 426),
            ("no Upgrade", without("Upgrade"), 426),
            ("no Connection", without("Connection"), 426),
            ("another protocol", good.replace("Upgrade: WebSocket", "Upgrade: h2c"), 426),
            ("a method that is not GET", good.replace("GET", "POST"), 405),
            ("no key", without("Sec-WebSocket-Key"), 400),
            ("an empty key", with_key(""), 400),
            ("a key of 18 bytes", with_key("dGhlIHNhbXBsZSBub25jZWFi"), 400),
            ("a key of 17 bytes", with_key("dGhlIHNhbXBsZSBub25jZWE="), 400),
            ("a key without its padding", with_key("dGhlIHNhbXBsZSBub25jZQ"), 400),
            ("a key that is too short", with_key("c2hvcnQ="), 400),
            ("a key that is not base64", with_key("dGhlIHNhbXBsZSBub25jZQ!!"), 400),
            ("no version", without("Sec-WebSocket-Version"), 426),
            ("an empty version", good.replace("Version: 13", "Version:"), 426),
            ("a later version", good.replace("Version: 13", "Version: 14"), 426),
            ("another version", good.replace("Version: 13", "Version: 8"), 426),
            ("an old HTTP", good.replace("HTTP/1.1", "HTTP/1.0"), 426),
        ] {
            let (answer, _) = request(server.address, &sent).await;
            assert_eq!(answer.status, status, "{name}: {answer:?}");
            if status == 426 {
                assert_eq!(answer.header("upgrade"), Some("websocket"), "{name}");
                assert_eq!(answer.header("sec-websocket-version"), Some("13"), "{name}");
            }
        }
    });
}

#[test]
fn encoding_and_subprotocol_are_negotiated() {
    use Encoding::{Json, Protobuf};
    block_on(async {
        let mut server = Server::start(WebSocketConfig::default()).await;
        for (query, offer, encoding, told) in [
            ("", "", Json, None),
            ("", "centrifuge-json", Json, Some("centrifuge-json")),
            ("", "centrifuge-protobuf", Protobuf, Some("centrifuge-protobuf")),
            ("", "centrifuge-json, centrifuge-protobuf", Json, Some("centrifuge-json")),
            ("", "chat", Json, None),
            ("?format=protobuf", "", Protobuf, None),
            ("?cf_protocol=protobuf", "", Protobuf, None),
            ("?x=y&format=protobuf", "centrifuge-json", Protobuf, Some("centrifuge-json")),
            ("?format=json", "", Json, None),
        ] {
            let offer =
                if offer.is_empty() { String::new() } else { format!("Sec-WebSocket-Protocol: {offer}\r\n") };
            let (answer, _stream) = open(server.address, query, &offer).await;
            assert_eq!(answer.header("sec-websocket-protocol"), told, "{query} {offer}");
            let (transport, _) = server.accept().await;
            assert_eq!(transport.info().encoding, encoding, "{query} {offer}");
            assert_eq!(transport.info().ping, PingMode::Protocol);
        }
    });
}

#[test]
fn frame_pings_are_chosen_by_the_query() {
    block_on(async {
        let mut server = Server::start(WebSocketConfig::default()).await;
        for (query, mode) in [
            ("?cf_ws_frame_ping_pong=true", PingMode::Native),
            ("?format=protobuf&cf_ws_frame_ping_pong=true", PingMode::Native),
            ("?cf_ws_frame_ping_pong=false", PingMode::Protocol),
            ("?cf_ws_frame_ping_pong", PingMode::Protocol),
        ] {
            let (_, _stream) = open(server.address, query, "").await;
            assert_eq!(server.accept().await.0.info().ping, mode, "{query}");
        }
    });
}

/// Origins, empty for none, and whether they may connect.
type Origins = &'static [(&'static str, bool)];

#[test]
fn origins_are_checked() {
    block_on(async {
        let lists: [(&[&str], Origins); 3] = [
            (&[], &[("", true), ("https://a.example", false), ("null", false)]),
            (&["*"], &[("", true), ("https://a.example", true), ("null", true)]),
            (
                &["https://*.example", "http://localhost:*"],
                &[
                    ("", true),
                    ("https://a.example", true),
                    ("HTTPS://A.B.EXAMPLE", true),
                    ("https://a.example:8443", false),
                    ("http://a.example", false),
                    ("http://localhost:3000", true),
                ],
            ),
        ];
        for (patterns, origins) in lists {
            let mut config = WebSocketConfig::default();
            config.origins = OriginPolicy::patterns(patterns).expect("patterns");
            let server = Server::start(config).await;
            for (origin, allowed) in origins {
                let header = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
                let (answer, _) = request(server.address, &handshake("", &header)).await;
                assert_eq!(answer.status, if *allowed { 101 } else { 403 }, "{patterns:?} {origin}");
            }
        }
    });
}

#[test]
fn compression_is_agreed_upon_where_both_want_it() {
    const OURS: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    block_on(async {
        let plain = Server::start(WebSocketConfig::default()).await;
        let mut config = WebSocketConfig::default();
        config.compression = Some(Compression::default());
        let deflating = Server::start(config).await;
        for (offer, told) in [
            ("permessage-deflate", Some(OURS.to_owned())),
            ("permessage-deflate; client_max_window_bits", Some(OURS.to_owned())),
            (
                "permessage-deflate; server_max_window_bits=9",
                Some(format!("{OURS}; server_max_window_bits=9")),
            ),
            ("permessage-deflate; server_max_window_bits=7", None),
            ("x-other", None),
            ("permessage-deflate; what=1, permessage-deflate", Some(OURS.to_owned())),
        ] {
            let header = format!("Sec-WebSocket-Extensions: {offer}\r\n");
            let (answer, _) = open(deflating.address, "", &header).await;
            assert_eq!(answer.header("sec-websocket-extensions"), told.as_deref(), "{offer}");
            let (answer, _) = open(plain.address, "", &header).await;
            assert_eq!(answer.header("sec-websocket-extensions"), None, "{offer}");
        }
    });
}
