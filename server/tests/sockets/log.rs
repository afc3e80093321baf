//! What is logged of requests (OBS-08) and of limits.

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::Level;
use tracing::subscriber::DefaultGuard;

use crate::harness::{Client, start};

/// What this test's thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged at that level while it is held.
fn listen(level: Level) -> (Log, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let builder = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
    let subscriber = builder.with_writer(move || writer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

/// The lines of a server at that level that is asked for its health and upgraded, each with a key in the query.
async fn logged(level: Level) -> Vec<String> {
    let (log, _guard) = listen(level);
    let server = start(|_| {}).await;
    assert_eq!(server.get("/health?api_key=hush").await.status, 200);
    assert_eq!(server.ask("POST /no?api_key=hush HTTP/1.1\r\nHost: x\r\n", "").await.status, 404);
    drop(Client::connected(server.external).await);
    server.end().await;
    let text = String::from_utf8(log.0.lock().clone()).expect("text");
    assert!(!text.contains("hush"), "{text}");
    let lines = text.lines().filter(|line| line.contains("HTTP request"));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn requests_are_logged_at_debug_level_without_their_query() {
    let lines = logged(Level::DEBUG).await;
    let expected = [
        ["method=GET", "path=/health ", "status=200"],
        ["method=POST", "path=/no ", "status=404"],
        ["method=GET", "path=/connection/websocket ", "status=101"],
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, parts) in lines.iter().zip(expected) {
        assert!(line.contains("DEBUG") && line.contains("peer=127.0.0.1:"), "{line}");
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
}

#[tokio::test]
async fn requests_are_not_logged_above_it() {
    assert_eq!(logged(Level::INFO).await, [""; 0]);
}

#[tokio::test]
async fn a_reached_limit_is_told_of_and_not_for_each_connection() {
    let (log, _guard) = listen(Level::WARN);
    let server = start(|options| options.client.connection_limit = 1).await;
    let client = Client::connected(server.external).await;
    for _ in 0..3 {
        assert_eq!(Client::upgrade(server.external, "").await.err(), Some(503));
    }
    drop(client);
    server.end().await;
    let text = String::from_utf8(log.0.lock().clone()).expect("text");
    assert_eq!(text.matches("client.connection_limit is reached").count(), 1, "{text}");
}
