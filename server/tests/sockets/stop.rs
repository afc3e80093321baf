//! The graceful stop (LIM-01).

use tokio::net::TcpStream;

use crate::harness::{Client, Where, start, start_at};

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
    tokio::io::AsyncWriteExt::write_all(&mut idle, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sent");
    let mut first = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut idle, &mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    server.end().await;
}
