//! The development mode: for whoever sits at this machine, and nobody else.

use serde_json::Value;

use crate::harness::{Client, Where, start, start_at};

#[tokio::test]
async fn the_playground_is_served_with_its_parts() {
    let server = start_at(Where::Dev, |_| {}).await;
    for (path, content_type) in [
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/client.js", "text/javascript"),
        ("/style.css", "text/css"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").is_some_and(|of| of.starts_with(content_type)), "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .is_some_and(|policy| policy.contains("default-src 'none'"))
        );
        assert!(answer.body.len() > 100, "{path}");
    }
    server.end().await;
}

/// A page of somebody else that made its name lead here (DNS rebinding) gets nothing.
#[tokio::test]
async fn keys_are_told_to_loopback_hosts_only() {
    let server = start_at(Where::Dev, |_| {}).await;
    for (host, status) in [
        ("localhost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ] {
        for path in ["/", "/dev/connection.json"] {
            let answer = server.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n"), "").await;
            assert_eq!(answer.status, status, "{host}{path}");
            assert_eq!(answer.body.contains("api_key"), status == 200 && path != "/", "{host}{path}");
        }
    }
    let answer = server.ask("GET /dev/connection.json HTTP/1.0\r\n", "").await;
    assert_eq!(answer.status, 403, "without a host");
    let answer = server.ask("POST /dev/connection.json HTTP/1.1\r\nHost: localhost\r\n", "").await;
    assert_eq!(answer.status, 405);
    server.end().await;
}

#[tokio::test]
async fn each_page_gets_a_user_of_its_own_and_is_let_in() {
    let server =
        start_at(Where::Dev, |options| options.client.allow_anonymous_connect_without_token = false).await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let answer = server.get("/dev/connection.json").await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let told: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(told["url"], format!("ws://{}/connection/websocket", server.external));
        tokens.push(told["token"].as_str().expect("a token").to_owned());
    }
    assert_ne!(tokens[0], tokens[1]);
    let origin = format!("Origin: http://localhost:{}\r\n", server.external.port());
    assert!(Client::upgrade(server.external, &origin).await.is_ok());
    assert!(Client::upgrade(server.external, "Origin: http://[::1]:8000\r\n").await.is_ok());
    assert_eq!(Client::upgrade(server.external, "Origin: http://evil.example\r\n").await.err(), Some(403));
    server.end().await;
}

#[tokio::test]
async fn without_development_mode_there_is_nothing_of_it() {
    let server = start(|_| {}).await;
    for path in ["/", "/app.js", "/dev/connection.json"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    server.end().await;
}

/// What a client that asks for a channel of this name is answered.
async fn refusal(place: Where) -> String {
    let server = start_at(place, |_| {}).await;
    let mut client = Client::connected(server.external).await;
    client.send(r#"{"id":2,"publish":{"channel":"a","data":1}}"#).await;
    let answer = client.text().await;
    // Rules that are read again are told of, too.
    server.reload.apply(tourbillon_server::config::Settings::new(&server.options).expect("sound options"));
    client.send(r#"{"id":2,"publish":{"channel":"a","data":1}}"#).await;
    assert_eq!(client.text().await, answer);
    drop(client);
    server.end().await;
    answer
}

#[tokio::test]
async fn developers_are_told_why_and_nobody_else() {
    let reason = "otherwise: refuses (no rule allows it)";
    assert_eq!(
        refusal(Where::Dev).await,
        format!(r#"{{"id":2,"error":{{"code":103,"message":"permission denied: {reason}"}}}}"#)
    );
    assert_eq!(
        refusal(Where::External).await,
        r#"{"id":2,"error":{"code":103,"message":"permission denied"}}"#
    );
}
