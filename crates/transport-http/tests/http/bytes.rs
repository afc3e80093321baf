//! What exactly goes over the wire.

use std::future::poll_fn;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tourbillon_transport::{Message, MessageQueue, Received, Transport, TransportReader, TransportWriter};
use tourbillon_transport_http::{HttpConfig, HttpTransport, StreamService};
use tourbillon_types::{Direction, Disconnect, Encoding};
use tower_service::Service;

use crate::support::{Server, ToTest, block_on, block_on_paused, get, post, send};

async fn first(transport: HttpTransport) -> Vec<u8> {
    match transport.split().0.recv().await {
        Ok(Received::Message(first)) => first.to_vec(),
        other => panic!("{other:?}"),
    }
}

const OCTETS: &str = "Content-Type: application/octet-stream\r\n";

#[test]
fn what_comes_with_the_request_is_the_first_message() {
    block_on(async {
        let mut server = Server::start(HttpConfig::default()).await;
        let connect = r#"{"id":1,"connect":{}}"#;
        let commands = format!("{connect}\n{connect}");
        let encoded = "%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D";
        for (request, name, encoding, expected) in [
            (post("/connection/http_stream", "", &commands), "http_stream", Encoding::Json, &*commands),
            (post("/connection/http_stream", OCTETS, "\x05"), "http_stream", Encoding::Protobuf, "\x05"),
            (post("/connection/http_stream", "", ""), "http_stream", Encoding::Json, ""),
            (post("/connection/sse", OCTETS, connect), "sse", Encoding::Json, connect),
            (
                get(&format!("/connection/sse?a=b&cf_connect={encoded}"), "").into(),
                "sse",
                Encoding::Json,
                connect,
            ),
            (post("/connection/uni_http_stream", "", "{}"), "uni_http_stream", Encoding::Json, connect),
            (post("/connection/uni_http_stream", "", "null"), "uni_http_stream", Encoding::Json, connect),
            (post("/connection/uni_sse", "", "{ }"), "uni_sse", Encoding::Json, r#"{"id":1,"connect":{ }}"#),
            (get("/connection/uni_sse", "").into(), "uni_sse", Encoding::Json, connect),
            (get("/connection/uni_sse?cf_connect=", "").into(), "uni_sse", Encoding::Json, connect),
            (get("/connection/uni_sse?cf_connect=null", "").into(), "uni_sse", Encoding::Json, connect),
            (
                get("/connection/uni_sse?cf_connect=%7B%22token%22:%22a+b%22%7D", "Cookie: a=b\r\n").into(),
                "uni_sse",
                Encoding::Json,
                r#"{"id":1,"connect":{"token":"a b"}}"#,
            ),
        ] {
            let shown = String::from_utf8_lossy(&request).into_owned();
            let answer = send(server.address, request).await;
            assert_eq!(answer.status, 200, "{shown}");
            let (transport, context) = server.accept().await;
            let info = transport.info();
            assert_eq!((info.name, info.encoding), (name, encoding), "{shown}");
            let unidirectional = name.starts_with("uni_");
            assert_eq!(info.direction == Direction::Unidirectional, unidirectional);
            assert_eq!(info.emulation, !unidirectional);
            assert!(info.suppressed.is_empty() && info.peer.is_some());
            assert_eq!(context.headers["host"], "a.example");
            assert_eq!(String::from_utf8_lossy(&first(transport).await), expected, "{shown}");
        }
    });
}

/// EMU-02, EMU-04, HID-01: several messages in one piece, a preamble for events, and nothing else.
#[test]
fn messages_that_are_queued_together_are_one_chunk_byte_for_byte() {
    block_on(async {
        let mut server = Server::start(HttpConfig::default()).await;
        for (request, whole) in [
            (post("/connection/http_stream", "", "{}"), "{\"id\":1}\n{}\n{\"push\":{}}\n"),
            (
                get("/connection/sse?cf_connect=%7B%7D", "").into(),
                "\r\ndata: {\"id\":1}\n\ndata: {}\n\ndata: {\"push\":{}}\n\n",
            ),
            (post("/connection/http_stream", OCTETS, "\x00"), "{\"id\":1}{}{\"push\":{}}"),
        ] {
            let mut answer = send(server.address, request).await;
            let (transport, _) = server.accept().await;
            let (_reader, mut writer) = transport.split();
            let mut seen = Vec::new();
            if whole.starts_with('\r') {
                // Goes out with the head, before anything is said.
                seen.extend(answer.chunk().await.expect("the preamble"));
                assert_eq!(seen, b"\r\n");
            }
            let mut queue = MessageQueue::new();
            for message in ["{\"id\":1}", "{}", "{\"push\":{}}"] {
                queue.push(Message::new(message.as_bytes()));
            }
            assert!(writer.poll_write(&mut Context::from_waker(Waker::noop()), &mut queue).is_ready());
            seen.extend(answer.chunk().await.expect("one chunk"));
            assert_eq!(String::from_utf8_lossy(&seen), whole);
            poll_fn(|cx| writer.poll_close(cx, &Disconnect::SHUTDOWN)).await.expect("an end");
            assert_eq!(answer.chunk().await, None);
        }
    });
}

/// EMU-10: the SDK in a browser looks at what ends a stream before it looks at what came with it.
#[test]
fn the_end_of_a_stream_is_told_after_its_last_message() {
    block_on_paused(async {
        let (accept, mut accepted) = ToTest::new();
        let mut service = StreamService::http_stream(accept, HttpConfig::default());
        let request = Request::post("/").body(Full::<Bytes>::from("{}")).expect("a request");
        let mut body = service.call(request).await.expect("an answer").into_body();
        let (transport, _) = accepted.recv().await.expect("a connection");
        let (_reader, mut writer) = transport.split();
        let mut queue = MessageQueue::new();
        queue.push(Message::new("{\"push\":{\"disconnect\":{}}}"));
        assert!(writer.poll_write(&mut Context::from_waker(Waker::noop()), &mut queue).is_ready());
        poll_fn(|cx| writer.poll_close(cx, &Disconnect::SHUTDOWN)).await.expect("an end");
        assert!(body.frame().await.expect("a frame").expect("data").is_data());
        let said = Instant::now();
        assert!(!body.is_end_stream(), "the end would go out with the message");
        assert!(body.frame().await.is_none());
        assert!(said.elapsed() >= Duration::from_millis(100), "{:?}", said.elapsed());
        assert!(body.is_end_stream());
    });
}

/// EMU-05.
#[test]
fn nobody_between_keeps_a_stream_back() {
    block_on(async {
        let mut server = Server::start(HttpConfig::default()).await;
        for (request, content_type) in [
            (post("/connection/http_stream", "", "{}"), None),
            (post("/connection/uni_http_stream", "", "{}"), None),
            (get("/connection/sse?cf_connect=%7B%7D", "").into(), Some("text/event-stream; charset=utf-8")),
            (get("/connection/uni_sse", "").into(), Some("text/event-stream; charset=utf-8")),
        ] {
            let answer = send(server.address, request).await;
            for (name, value) in [
                ("content-type", content_type),
                ("x-accel-buffering", Some("no")),
                ("cache-control", Some("private, no-cache, no-store, must-revalidate, max-age=0")),
                ("pragma", Some("no-cache")),
                ("expire", Some("0")),
                ("connection", Some("keep-alive")),
                ("content-length", None),
            ] {
                assert_eq!(answer.header(name), value, "{name}: {}", answer.head);
            }
            drop(server.accept().await);
        }
    });
}

/// A client that goes away is noticed at once, also while nothing is written.
#[test]
fn the_end_of_the_client_is_the_end_of_the_connection() {
    block_on(async {
        let mut server = Server::start(HttpConfig::default()).await;
        let answer = send(server.address, post("/connection/http_stream", "", "{}")).await;
        let (transport, _) = server.accept().await;
        let (mut reader, mut writer) = transport.split();
        assert!(matches!(reader.recv().await, Ok(Received::Message(_))));
        drop(answer);
        assert!(matches!(reader.recv().await, Ok(Received::End)));
        let mut queue = MessageQueue::new();
        queue.push(Message::new(*b"{}"));
        assert!(poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.is_err());
    });
}
