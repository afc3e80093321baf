//! The API where it is served.

use crate::harness::{Client, start};

#[tokio::test]
async fn the_key_is_asked_for() {
    let server = start(|_| {}).await;
    for header in ["", "X-API-Key: wrong\r\n", "Authorization: apikey wrong\r\n"] {
        let head = format!("POST /api/info HTTP/1.1\r\nHost: x\r\n{header}");
        assert_eq!(server.ask(&head, "{}").await.status, 401, "{header}");
    }
    assert_eq!(server.api("info", "{}").await.status, 200);
    server.end().await;
}

#[tokio::test]
async fn publishing_to_nobody_succeeds() {
    let server = start(|_| {}).await;
    let answer = server.api("publish", r#"{"channel":"a","data":1}"#).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"result":{}}"#));
    server.end().await;
}

#[tokio::test]
async fn what_is_published_reaches_a_subscriber() {
    let server = start(|_| {}).await;
    let mut client = Client::subscribed(server.external, "a").await;
    server.api("publish", r#"{"channel":"a","data":{"n":1}}"#).await;
    assert_eq!(client.text().await, r#"{"push":{"channel":"a","pub":{"data":{"n":1}}}}"#);
    drop(client);
    server.end().await;
}

#[tokio::test]
async fn a_body_may_come_in_chunks() {
    let server = start(|_| {}).await;
    let head = "POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: key\r\nTransfer-Encoding: chunked\r\n\
        Connection: close\r\n\r\n";
    let mut stream = tokio::net::TcpStream::connect(server.external).await.expect("a connection");
    for part in [head, "b\r\n{\"channel\":\r\n", "e\r\n\"a\", \"data\":1}\r\n", "0\r\n\r\n"] {
        tokio::io::AsyncWriteExt::write_all(&mut stream, part.as_bytes()).await.expect("sent");
    }
    let answer = crate::harness::Response::parse(&crate::harness::all(&mut stream).await);
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"result":{}}"#));
    server.end().await;
}

#[tokio::test]
async fn explain_tells_the_rules_and_the_verdict() {
    let server = start(|_| {}).await;
    let answer = server.api("explain", r#"{"channel":"a","user":"anna","action":"publish"}"#).await;
    let told: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    let told = &told["result"];
    assert_eq!(
        (&told["namespace"], &told["allowed"], &told["code"]),
        (&"".into(), &false.into(), &103.into())
    );
    assert_eq!(told["verdict"], "refused: permission denied (103)");
    let rules = told["rules"].as_array().expect("a list");
    let last = serde_json::json!({"rule": "otherwise", "outcome": "refuses", "why": "no rule allows it"});
    assert_eq!(rules.last(), Some(&last));
    let answer = server.api("explain", r#"{"channel":"a","user":"anna"}"#).await;
    assert!(
        answer.body.contains(r#""allowed":true,"verdict":"allowed by allow_subscribe_for_client","rules""#)
    );
    let answer = server.api("explain", r#"{"channel":"a","action":"dance"}"#).await;
    assert!(answer.body.contains(r#""code":107,"message":"action: "#), "{}", answer.body);
    let answer = server.api("explain", r#"{"user":"anna"}"#).await;
    assert!(answer.body.contains(r#""code":107,"message":"channel is required"#), "{}", answer.body);
    let answer = server.api("explain", r#"{"channel":"a","token":"x.y.z"}"#).await;
    assert!(answer.body.contains(r#""token":{"problem":"invalid token: "#), "{}", answer.body);
    let head = "POST /api/explain HTTP/1.1\r\nHost: x\r\n";
    assert_eq!(server.ask(head, r#"{"channel":"a"}"#).await.status, 401);
    server.end().await;
}
