//! The graceful stop (LIM-01).

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant};
use tourbillon_server::config::GoDuration;

use crate::harness::{Client, KEY, Where, start, start_at};

#[tokio::test]
async fn clients_are_told_and_nothing_is_listened_to_any_more() {
    let server = start_at(Where::Internal, |_| {}).await;
    // Connections that ask for nothing do not hold the server up.
    let _idle = TcpStream::connect(server.external).await.expect("a connection");
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(Client::subscribed(server.external, "a").await);
    }
    server.stop.cancel();
    for client in &mut clients {
        assert_eq!(client.closed().await, (3001, "shutdown".to_owned()));
    }
    drop(clients);
    let addresses = [server.external, server.internal.expect("a second port")];
    server.end().await;
    for address in addresses {
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}

/// A connection between two requests does not hold the stop up.
#[tokio::test]
async fn idle_http_connections_are_ended() {
    let server = start(|_| {}).await;
    let mut idle = TcpStream::connect(server.external).await.expect("a connection");
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut first = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut idle, &mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    server.end().await;
}

/// A request that does not end does not hold the stop up for longer than the option says.
#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_left() {
    let server = start(|options| options.shutdown.timeout = GoDuration::from_secs(5)).await;
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    let head =
        format!("POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: 10\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The server has taken the connection, and a request is under way in it.
    assert_eq!(server.get("/health").await.status, 200);
    server.stop.cancel();
    let begun = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(60), server.running).await.expect("it ends");
    assert!(!ended.expect("no panic"), "something was left");
    assert!((4..=6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}
