//! Connections that are too many.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tourbillon_server::config::GoDuration;
use tourbillon_server::config::limits::BucketOption;

use crate::harness::{Client, all, start};

fn from(address: &str) -> String {
    format!("X-Forwarded-For: {address}\r\n")
}

/// PRO-30 and issue 5: an address that connects too often is refused before anything is done, others are not.
#[tokio::test]
async fn an_address_that_connects_too_often_gets_429() {
    let server = start(|options| {
        let limit = &mut options.client.rate_limit.ip_connect;
        limit.enabled = true;
        limit.buckets = vec![BucketOption { interval: GoDuration::from_secs(3_600), rate: 2 }];
        options.uni_sse.enabled = true;
        // A limit for all has room for those who are not refused.
        options.client.connection_rate_limit = 4;
    })
    .await;
    // Tests come from loopback, which may speak for others.
    let (one, other) = (from("203.0.113.1"), from("198.51.100.7, 10.0.0.1"));
    let mut kept = Vec::new();
    for _ in 0..2 {
        kept.push(Client::try_upgrade(server.external, &one).await.expect("taken"));
    }
    for _ in 0..20 {
        let refused = Client::try_upgrade(server.external, &one).await.err().expect("too often");
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    }
    let stream = format!("GET /connection/uni_sse HTTP/1.1\r\nHost: x\r\n{one}");
    assert_eq!(server.ask(&stream, "").await.status, 429, "whatever the endpoint");
    kept.push(Client::try_upgrade(server.external, &other).await.expect("somebody else"));
    kept.push(Client::try_upgrade(server.external, &other).await.expect("somebody else"));
    let health = format!("GET /health HTTP/1.1\r\nHost: x\r\n{one}");
    assert_eq!(server.ask(&health, "").await.status, 200, "other requests are not counted");
    drop(kept);
    server.end().await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_at_once() {
    let server = start(|options| {
        let limit = &mut options.client.rate_limit.ip_connect;
        limit.enabled = true;
        limit.max_concurrent_per_ip = 2;
        options.uni_sse.enabled = true;
    })
    .await;
    let one = from("203.0.113.1");
    let websocket = Client::try_upgrade(server.external, &one).await.expect("taken");
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    let head = format!("GET /connection/uni_sse HTTP/1.1\r\nHost: x\r\n{one}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.read_u8().await.expect("an answer begins");
    assert_eq!(Client::upgrade(server.external, &one).await.err(), Some(429));
    assert!(Client::upgrade(server.external, &from("203.0.113.2")).await.is_ok());
    // Either kind gives its place back.
    drop(stream);
    let mut again = Client::upgrade(server.external, &one).await;
    while again.is_err() {
        tokio::task::yield_now().await;
        again = Client::upgrade(server.external, &one).await;
    }
    drop(websocket);
    while Client::upgrade(server.external, &one).await.is_err() {
        tokio::task::yield_now().await;
    }
    server.end().await;
}

#[tokio::test]
async fn a_dry_run_refuses_nobody_and_nobody_is_believed_where_nobody_is_trusted() {
    for dry_run in [true, false] {
        let server = start(|options| {
            let limit = &mut options.client.rate_limit.ip_connect;
            (limit.enabled, limit.dry_run) = (true, dry_run);
            limit.buckets = vec![BucketOption { interval: GoDuration::from_secs(3_600), rate: 1 }];
            limit.trusted_proxies = vec!["none".to_owned()];
        })
        .await;
        let mut refused = Vec::new();
        for number in 0..3 {
            refused.push(Client::upgrade(server.external, &from(&format!("203.0.113.{number}"))).await.err());
        }
        let expected = if dry_run { [None; 3] } else { [None, Some(429), Some(429)] };
        assert_eq!(refused, expected);
        server.end().await;
    }
}

/// Connections that say nothing take a bounded number of places, and others find room again once they are gone.
#[tokio::test(start_paused = true)]
async fn connections_that_say_nothing_have_so_many_places() {
    let server = start(|options| options.client.half_open_limit = 4).await;
    // Two that only stand, and two that upgraded and do not connect.
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(server.external).await.expect("a connection"));
    }
    let upgraded = [
        Client::upgrade(server.external, "").await.expect("an upgrade"),
        Client::upgrade(server.external, "").await.expect("an upgrade"),
    ];
    let mut refused = TcpStream::connect(server.external).await.expect("the system takes it");
    assert_eq!(all(&mut refused).await, b"", "closed without a word");
    // By their deadlines the silent ones are sent away; whoever is there by then is let in.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut client = Client::connected(server.external).await;
    assert!(client.call(r#"{"id":2,"subscribe":{"channel":"a"}}"#).await.contains("subscribe"));
    drop((silent, upgraded));
    server.end().await;
}

/// A client that connects and goes at once, again and again, leaves nothing behind (issue 6): no session, no queue, no
/// place, no bucket.
#[tokio::test]
async fn a_loop_of_connections_leaves_nothing_behind() {
    let server = start(|options| {
        options.http_stream.enabled = true;
        options.client.connection_limit = 20;
        // So that each connect is answered by a temporary error, which is what made SDKs loop.
        options.client.rate_limit.user_command.enabled = true;
        options.client.allow_anonymous_connect_without_token = true;
    })
    .await;
    let mut listener = Client::subscribed(server.external, "a").await;
    let connect = r#"{"id":1,"connect":{}}"#;
    for round in 0..300 {
        let mut stream = TcpStream::connect(server.external).await.expect("a connection");
        let length = connect.len();
        let head =
            format!("POST /connection/http_stream HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(connect.as_bytes()).await.expect("sent");
        // Some are gone before they are answered.
        if round % 3 != 0 {
            stream.read_u8().await.expect("an answer begins");
        }
        drop(stream);
        if round % 50 == 0 {
            server.api("publish", r#"{"channel":"a","data":1}"#).await;
            assert!(listener.text().await.contains(r#""data":1"#), "the other one is served");
        }
    }
    while server.node.connections() > 1 || server.node.half_open() > 0 {
        tokio::task::yield_now().await;
    }
    let stats = server.node.stats();
    assert_eq!((stats.clients, stats.users, stats.subscriptions, stats.channels), (1, 1, 1, 1));
    drop(listener);
    server.end().await;
}

/// 2,000 connections offered where 40 are allowed and 10 come back: no more than that are let in, the others are told so,
/// and what is published meanwhile reaches those who were there, whole and in order.
#[tokio::test]
async fn a_storm_is_turned_away_and_those_who_are_there_miss_nothing() {
    let server = start(|options| {
        options.client.connection_limit = 30;
        options.client.connection_rate_limit = 40;
    })
    .await;
    let mut there = Vec::new();
    for _ in 0..10 {
        there.push(Client::subscribed(server.external, "a").await);
    }
    let (external, offered) = (server.external, 2_000);
    let storm = async {
        let mut tasks = tokio::task::JoinSet::new();
        let (mut taken, mut refused) = (Vec::new(), 0);
        for _ in 0..offered {
            tasks.spawn(async move { Client::try_upgrade(external, "").await });
            while tasks.len() >= 50 {
                match tasks.join_next().await.expect("a task").expect("no panic") {
                    Ok(client) => taken.push(client),
                    Err(answer) => {
                        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
                        refused += 1;
                    }
                }
            }
        }
        while let Some(ended) = tasks.join_next().await {
            match ended.expect("no panic") {
                Ok(client) => taken.push(client),
                Err(_) => refused += 1,
            }
        }
        (taken, refused)
    };
    let publish = async {
        for number in 0..100 {
            let command = format!(r#"{{"channel":"a","data":{number}}}"#);
            assert_eq!(server.api("publish", &command).await.status, 200);
        }
    };
    let ((taken, refused), ()) = tokio::join!(storm, publish);
    assert_eq!(taken.len() + refused, offered);
    assert!(taken.len() <= 20, "{} were taken", taken.len());
    assert!(server.node.connections() <= 30);
    for client in &mut there {
        for number in 0..100 {
            let text = client.text().await;
            assert!(text.contains(&format!(r#""data":{number}"#)), "{number}: {text}");
        }
    }
    drop((taken, there));
    server.end().await;
}

/// LIM-05: refused before the upgrade, and room is made by leaving.
#[tokio::test]
async fn one_connection_too_many_is_refused() {
    let server = start(|options| options.client.connection_limit = 2).await;
    let first = Client::subscribed(server.external, "a").await;
    let second = Client::subscribed(server.external, "a").await;
    let refused = Client::try_upgrade(server.external, "").await.err().expect("one too many");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(server.get("/health").await.status, 200, "other requests are not counted");
    drop(first);
    // Its place is free once its socket is.
    while Client::upgrade(server.external, "").await.is_err() {
        tokio::task::yield_now().await;
    }
    drop(second);
    server.end().await;
}

/// LIM-06, HID-63: as many at once as the option says, and then one a second. How they come back is shown where the
/// clock can be moved.
#[tokio::test]
async fn connections_that_come_too_fast_are_refused() {
    let server = start(|options| options.client.connection_rate_limit = 3).await;
    let mut refused = 0;
    let mut taken = Vec::new();
    for _ in 0..20 {
        match Client::try_upgrade(server.external, "").await {
            Ok(client) => taken.push(client),
            Err(answer) => {
                assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
                refused += 1;
            }
        }
    }
    assert!(taken.len() >= 3 && refused >= 10, "{} taken, {refused} refused", taken.len());
    assert_eq!(server.get("/health").await.status, 200, "other requests are not counted");
    drop(taken);
    server.end().await;
}
