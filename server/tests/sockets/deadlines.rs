//! Peers that take their time (HTTP-01, LIM-13), in virtual time.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::harness::{KEY, Response, all, start};

/// Seconds from the moment the request was sent to the moment the server ended the connection.
async fn seconds_until_the_end(stream: &mut TcpStream) -> (u64, Response) {
    let begun = Instant::now();
    let everything = tokio::time::timeout(Duration::from_secs(600), all(stream)).await;
    let answer = Response::parse(&everything.expect("the server ends the connection"));
    (begun.elapsed().as_secs(), answer)
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_ends_the_connection() {
    let server = start(|_| {}).await;
    for begun in ["", "GET /health HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(server.external).await.expect("a connection");
        stream.write_all(begun.as_bytes()).await.expect("sent");
        let (seconds, answer) = seconds_until_the_end(&mut stream).await;
        assert!((9..=11).contains(&seconds), "{seconds} s: {answer:?}");
    }
    server.end().await;
}

/// A connection that was answered waits for its next request as long as for a first one.
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_next_request_ends() {
    let server = start(|_| {}).await;
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    for _ in 0..3 {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n{}") {
            answer.push(stream.read_u8().await.expect("an answer"));
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
    }
    let (seconds, answer) = seconds_until_the_end(&mut stream).await;
    assert!((1..=3).contains(&seconds), "{seconds} s: {answer:?}");
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_ends_the_request() {
    let server = start(|_| {}).await;
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    let head =
        format!("POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: 10\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let (seconds, answer) = seconds_until_the_end(&mut stream).await;
    assert!((29..=31).contains(&seconds), "{seconds} s");
    assert_eq!(answer.status, 500, "{answer:?}");
    server.end().await;
}

/// More than the sockets' buffers hold is answered, and not read.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let server = start(|_| {}).await;
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    let channels = vec![r#""""#; 400_000].join(",");
    let body = format!(r#"{{"channels":[{channels}],"data":1}}"#);
    let head = format!(
        "POST /api/broadcast HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(body.as_bytes()).await.expect("sent");
    // The first byte says that the answer is on its way; the rest is left until the server has given up.
    stream.read_u8().await.expect("an answer begins");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let answer = all(&mut stream).await;
    let whole = 400_000 * r#"{"error":{"code":107,"message":"channel is required"}},"#.len();
    assert!(answer.len() < whole / 2, "{} of {whole} bytes came", answer.len());
    server.end().await;
}
