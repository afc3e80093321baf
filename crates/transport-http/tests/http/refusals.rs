//! What is answered to requests that begin nothing.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tourbillon_transport::{InjectError, Mailed, OriginPolicy, Transport};
use tourbillon_transport_http::HttpConfig;
use tourbillon_types::{NodeId, SessionId};

use crate::support::{Server, block_on, block_on_paused, get, post, send};

const STREAMS: [&str; 4] =
    ["/connection/http_stream", "/connection/sse", "/connection/uni_http_stream", "/connection/uni_sse"];

#[test]
fn every_refusal_has_its_status() {
    block_on(async {
        let mut server = Server::start(HttpConfig::default()).await;
        let large = vec![b' '; 65_537];
        let request = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut cases = Vec::new();
        for path in STREAMS.into_iter().chain(["/emulation"]) {
            cases.push((request("PUT", path).into_bytes(), 405));
            cases.push((request("HEAD", path).into_bytes(), 405));
            cases.push((post(path, "", &large), 413));
            let chunked = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = [b"10001\r\n", &large[..], b"\r\n0\r\n\r\n"].concat();
            cases.push(([chunked.into_bytes(), chunk].concat(), 413));
        }
        for path in ["/connection/http_stream", "/connection/uni_http_stream", "/emulation"] {
            cases.push((request("GET", path).into_bytes(), 405));
        }
        for query in
            ["", "?", "?cf_connect", "?cf_connect=", "?cf_connect=%7", "?cf_connect=%x0", "?other=%7B%7D"]
        {
            cases.push((get(&format!("/connection/sse{query}"), "").into(), 400));
        }
        for query in ["?cf_connect=%7B", "?cf_connect=5", "?cf_connect=%zz", "?cf_connect=%5B%5D"] {
            cases.push((get(&format!("/connection/uni_sse{query}"), "").into(), 400));
        }
        for path in ["/connection/uni_http_stream", "/connection/uni_sse"] {
            for body in ["", "{", "[]", "{}{}", "{\"token\":1}", "{}},{\"id\":2", "\u{0}"] {
                cases.push((post(path, "", body), 400));
            }
        }
        cases.push((request("POST", "/connection/init").into_bytes(), 405));
        for (request, status) in cases {
            let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
            let answer = send(server.address, request).await;
            assert_eq!(answer.status, status, "{shown}: {answer:?}");
            assert_eq!(answer.header("allow").is_some(), status == 405, "{answer:?}");
        }
        assert!(server.has_accepted_nothing());
        let mut answer = send(server.address, post("/connection/http_stream", "", &large[1..])).await;
        assert_eq!(answer.status, 200, "as large as it may be");
        drop(server.accept().await);
        assert_eq!(answer.chunk().await, None);
    });
}

/// EMU-08, EMU-09.
#[test]
fn emulation_requests_have_a_status_for_each_end() {
    block_on_paused(async {
        let mut server = Server::start(HttpConfig::default()).await;
        let session = SessionId::random();
        let (node, text) = (server.sessions.node.to_string(), session.text());
        let emulate = |node: &str, session: &str, data: &str| {
            serde_json::json!({ "node": node, "session": session, "data": data }).to_string()
        };
        let _answer = send(server.address, post("/connection/http_stream", "", "{}")).await;
        let (reader, mailbox) = Mailed::new(server.accept().await.0.split().0);
        server.sessions.mailboxes.lock().insert(session, mailbox.clone());
        let other = NodeId::random().to_string();
        let unknown = SessionId::random();
        for (body, headers, status) in [
            (emulate(&node, text.as_str(), "{}"), "", 204),
            (emulate(&node, text.as_str(), "{}"), "Content-Type: text/plain\r\n", 204),
            (emulate(&node, unknown.text().as_str(), "{}"), "", 204),
            (emulate(&node, "no session", "{}"), "", 204),
            (emulate(&other, text.as_str(), "{}"), "", 404),
            (emulate("no node", text.as_str(), "{}"), "", 404),
            ("{}".to_owned(), "", 404),
            (String::new(), "", 400),
            ("{".to_owned(), "", 400),
            ("[]".to_owned(), "", 400),
            (emulate(&node, text.as_str(), "{}"), "Content-Type: application/octet-stream\r\n", 400),
            (format!(r#"{{"node":"{node}","session":"{}","data":{{}}}}"#, text.as_str()), "", 400),
        ] {
            let answer = send(server.address, post("/emulation", headers, &body)).await;
            assert_eq!(answer.status, status, "{body} {headers}: {answer:?}");
        }
        // A connection that takes nothing.
        let large = "x".repeat(60_000);
        for status in [204, 500] {
            let answer =
                send(server.address, post("/emulation", "", emulate(&node, text.as_str(), &large))).await;
            assert_eq!(answer.status, status);
        }
        // So many wait for it already.
        let waiting: Vec<_> = (0..16)
            .map(|_| {
                let (mailbox, large) = (mailbox.clone(), large.clone());
                tokio::spawn(async move { mailbox.deliver(large.into()).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let busy = send(server.address, post("/emulation", "", emulate(&node, text.as_str(), &large))).await;
        assert_eq!((busy.status, busy.header("retry-after")), (503, Some("1")), "{busy:?}");
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        drop(reader);
        assert_eq!(mailbox.deliver(large.into()).await, Err(InjectError::NoSession));
        let answer = send(server.address, post("/emulation", "", emulate(&node, text.as_str(), "{}"))).await;
        assert_eq!(answer.status, 204, "gone is as unknown");
    });
}

/// EMU-01, HTTP-04.
#[test]
fn browsers_are_told_what_pages_may_do() {
    block_on(async {
        let mut config = HttpConfig::default();
        config.origins = OriginPolicy::patterns(["https://*.example"]).expect("a pattern");
        let server = Server::start(config).await;
        for path in STREAMS.into_iter().chain(["/emulation", "/connection/init"]) {
            for (origin, told) in [
                ("https://a.example", Some("https://a.example")),
                ("https://evil.test", None),
                ("null", None),
            ] {
                let ask = format!(
                    "OPTIONS {path} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n\
                     Access-Control-Request-Headers: content-type, x-a\r\n\r\n"
                );
                let answer = send(server.address, ask).await;
                assert_eq!(answer.status, 204);
                let methods = match path {
                    "/connection/init" => "GET, OPTIONS",
                    path if path.ends_with("sse") => "GET, POST, OPTIONS",
                    _ => "POST, OPTIONS",
                };
                assert_eq!(answer.header("access-control-allow-methods"), Some(methods), "{path}");
                assert_eq!(answer.header("access-control-max-age"), Some("300"));
                assert_eq!(answer.header("access-control-allow-origin"), told, "{path}");
                let allowed = told.map(|_| "content-type, x-a");
                assert_eq!(answer.header("access-control-allow-headers"), allowed);
                let credentials = answer.header("access-control-allow-credentials");
                assert_eq!(credentials, told.map(|_| "true"));
            }
        }
        // Refusals can be read by the page too, and who is no page gets what he always gets.
        let answer = send(server.address, post("/emulation", "Origin: https://a.example\r\n", "")).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
        let answer = send(server.address, get("/connection/init", "")).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(""));
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(answer.text().await, "{}");
    });
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    block_on_paused(async {
        let mut config = HttpConfig::default();
        config.body_timeout = Duration::from_secs(7);
        let mut server = Server::start(config).await;
        for path in STREAMS.into_iter().chain(["/emulation"]) {
            let begun = tokio::time::Instant::now();
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{{");
            let mut stream = TcpStream::connect(server.address).await.expect("connect");
            stream.write_all(head.as_bytes()).await.expect("sent");
            let mut answer = String::new();
            // The server ends the connection: what still comes would be taken for a request.
            stream.read_to_string(&mut answer).await.expect("an answer and an end");
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            assert_eq!(begun.elapsed().as_secs(), 7, "{path}");
        }
        assert!(server.has_accepted_nothing());
    });
}

#[test]
fn a_body_that_breaks_off_begins_nothing() {
    block_on(async {
        let mut server = Server::start(HttpConfig::default()).await;
        for path in STREAMS {
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{{");
            let mut stream = TcpStream::connect(server.address).await.expect("connect");
            stream.write_all(head.as_bytes()).await.expect("sent");
            stream.shutdown().await.expect("half closed");
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
        }
        assert!(server.has_accepted_nothing());
    });
}
