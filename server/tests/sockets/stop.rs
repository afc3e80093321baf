//! The graceful stop (LIM-01).

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant};
use tourbillon::node::PublishOptions;
use tourbillon_server::config::{GoDuration, SecretText};

use crate::harness::{Client, KEY, Where, ask, start, start_at};

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

/// Who sends clients here is told first that they had better go elsewhere; they are told to go one after another.
#[tokio::test]
async fn a_server_that_leaves_says_so_before_and_lets_its_clients_go_bit_by_bit() {
    let server = start_at(Where::Internal, |options| {
        options.shutdown.ready_delay = GoDuration::from_secs(1);
        options.shutdown.drain_window = GoDuration::from_secs(3_600);
    })
    .await;
    let internal = server.internal.expect("a second port");
    let ready = async || {
        let answer = ask(internal, "GET /health/ready HTTP/1.1\r\nHost: localhost\r\n", "").await;
        (answer.status, answer.body)
    };
    eventually_ready(&ready).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(Client::subscribed(server.external, "a").await);
    }
    server.stop.cancel();
    while ready().await.0 == 200 {}
    assert_eq!(ready().await, (503, r#"{"status":"leaving"}"#.to_owned()));
    // Whoever comes nevertheless is welcome for a while.
    clients.push(Client::subscribed(server.external, "a").await);
    let refused = loop {
        if let Err(refused) = Client::try_upgrade(server.external, "").await {
            break refused;
        }
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    // Those that are there have most of an hour, and what is published reaches them.
    let published = server.node.publish("a".into(), "1".into(), PublishOptions::default()).await;
    assert!(published.is_ok(), "{published:?}");
    for client in &mut clients {
        assert!(client.text().await.contains(r#""data":1"#));
    }
    // Unless somebody is in a hurry.
    server.hurry.cancel();
    for client in &mut clients {
        assert_eq!(client.closed().await, (3001, "shutdown".to_owned()));
    }
    drop(clients);
    server.end().await;
}

/// Readiness is about what the server depends on, life is not (OBS-04).
#[tokio::test]
async fn a_server_without_its_broker_is_alive_and_not_ready() {
    let server = start(|options| {
        options.broker.enabled = true;
        "nats".clone_into(&mut options.broker.r#type);
        options.broker.nats.url = SecretText::new("nats://127.0.0.1:1");
    })
    .await;
    let error = "broker unavailable: NATS is not connected";
    let reasons = ["broker", "control"].map(|part| json!({ "part": part, "error": error }));
    let reasons = json!({ "status": "unready", "reasons": reasons });
    let told = async {
        loop {
            let answer = server.get("/health/ready").await;
            assert_eq!(answer.status, 503);
            let body: Value = serde_json::from_str(&answer.body).expect("JSON");
            if body == reasons {
                break;
            }
            assert_eq!(body, json!({ "status": "starting" }));
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("the reasons");
    for path in ["/health", "/health/live"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    }
    assert_eq!(server.get("/health/else").await.status, 404);
    server.end().await;
}

async fn eventually_ready(ready: &impl AsyncFn() -> (u16, String)) {
    let asking = async { while ready().await != (200, r#"{"status":"ready"}"#.to_owned()) {} };
    tokio::time::timeout(Duration::from_secs(30), asking).await.expect("ready");
}
