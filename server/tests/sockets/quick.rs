//! What is answered without the HTTP library is answered as with it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{KEY, Response, Server, all, start};

/// The answer to a request whose bytes come in these parts.
async fn answer(server: &Server, parts: &[&str]) -> Response {
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    for part in parts {
        stream.write_all(part.as_bytes()).await.expect("sent");
        // In virtual time: until the server has read it.
        tokio::time::sleep(Duration::from_millis(10)).await; // tidy: allow-sleep the clock is paused
    }
    Response::parse(&all(&mut stream).await)
}

/// The lines of a head, without when it was made.
fn lines(answer: &Response) -> Vec<String> {
    let mut lines: Vec<_> = answer.head.lines().map(str::to_owned).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("date: ")).count(), 1, "{answer:?}");
    lines.retain(|line| !line.starts_with("date: "));
    lines.sort();
    lines
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn keyed(path: &str, body: &str) -> String {
    post(path, &format!("X-API-Key: {KEY}\r\n"), body)
}

#[tokio::test(start_paused = true)]
async fn a_request_in_pieces_is_answered_as_one_that_comes_whole() {
    let server = start(|_| {}).await;
    let publish = r#"{"channel":"a","data":1}"#;
    let handshake = |more: &str| {
        format!(
            "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{more}\r\n"
        )
    };
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for (request, status) in [
        (keyed("/api/publish", publish), 200),
        (keyed("/api/publish?a=b", publish), 200),
        (post(&format!("/api/publish?api_key={KEY}"), "", publish), 200),
        (post("/api/publish", &format!("authorization: apikey {KEY}\r\n"), publish), 200),
        (post("/api/publish", "", publish), 401),
        (post("/api/publish", "X-API-Key: wrong\r\n", publish), 401),
        (keyed("/api/publish", "{"), 400),
        (keyed("/api/publish", ""), 400),
        (keyed("/api/nothing", "{}"), 404),
        (keyed("/apia/publish", publish), 404),
        (keyed("/api/history", r#"{"channel":"a"}"#), 200),
        (
            post(
                "/api/history",
                &format!("X-API-Key: {KEY}\r\nX-Centrifugo-Error-Mode: transport\r\n"),
                r#"{"channel":"a"}"#,
            ),
            400,
        ),
        (keyed("/api/info", "{}").replace("POST", "GET"), 405),
        (handshake("Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n"), 400),
        (handshake("Sec-WebSocket-Version: 12\r\n"), 426),
        (handshake(&format!("{key}Origin: http://elsewhere\r\n")), 403),
    ] {
        let whole = answer(&server, &[&request]).await;
        let (begin, end) = request.split_at(20);
        let parts = answer(&server, &[begin, end]).await;
        assert_eq!(whole.status, status, "{request}\n{whole:?}");
        assert_eq!((lines(&whole), &whole.body), (lines(&parts), &parts.body), "{request}");
    }
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_together_are_answered_in_order() {
    let server = start(|_| {}).await;
    let open = |request: String| request.replace("Connection: close\r\n", "");
    let requests = [
        open(keyed("/api/publish", r#"{"channel":"a","data":1}"#)),
        open(post("/api/publish", "", "{}")),
        open(keyed("/api/publish", r#"{"channel":"","data":1}"#)),
        "GET /health HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        keyed("/api/publish", r#"{"channel":"a","data":2}"#),
    ];
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    stream.write_all(requests.concat().as_bytes()).await.expect("sent");
    let everything = String::from_utf8_lossy(&all(&mut stream).await).into_owned();
    let told: Vec<_> = everything.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(told, ["200", "401", "200", "200", "200"], "{everything}");
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_a_handshake_is_not_lost() {
    let server = start(|_| {}).await;
    let head = "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut connect = vec![0x81, 0x80 | 21, 0, 0, 0, 0];
    connect.extend_from_slice(br#"{"id":1,"connect":{}}"#);
    for cut in [0, 10] {
        let mut stream = TcpStream::connect(server.external).await.expect("a connection");
        let (begin, end) = head.split_at(cut);
        stream.write_all(begin.as_bytes()).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(10)).await; // tidy: allow-sleep the clock is paused
        stream.write_all(&[end.as_bytes(), &connect].concat()).await.expect("sent");
        let mut everything = String::new();
        while !everything.contains(r#""connect":{"client""#) {
            everything.push(char::from(stream.read_u8().await.expect("a reply")));
        }
        assert!(everything.starts_with("HTTP/1.1 101 "), "{everything}");
        assert!(everything.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{everything}");
    }
    server.end().await;
}
