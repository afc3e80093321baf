//! What is where, and requests that are none.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tourbillon_server::config::{Options, Settings};

use crate::harness::{Client, KEY, UPGRADE, Where, all, ask, start, start_at, start_on};

/// OBS-04: any method.
#[tokio::test]
async fn health_answers_an_empty_object() {
    let server = start(|_| {}).await;
    for method in ["GET", "POST", "PUT"] {
        let answer = server.ask(&format!("{method} /health HTTP/1.1\r\nHost: x\r\n"), "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"), "{method}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    server.end().await;
    let server = start(|options| options.health.enabled = false).await;
    assert_eq!(server.get("/health").await.status, 404);
    server.end().await;
}

/// NET-12.
#[tokio::test]
async fn paths_are_configurable_and_match_exactly() {
    let server = start(|options| {
        "/alive/".clone_into(&mut options.health.handler_prefix);
        "/rpc".clone_into(&mut options.http_api.handler_prefix);
    })
    .await;
    for (path, status) in [
        ("/alive", 200),
        ("/alive/", 404),
        ("/alive/x", 404),
        ("/health", 404),
        ("/", 404),
        ("/rpcx/info", 404),
        ("/connection", 404),
        ("/%2e%2e/alive", 404),
    ] {
        assert_eq!(server.get(path).await.status, status, "{path}");
    }
    let head = format!("POST /rpc/info HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n");
    assert_eq!(server.ask(&head, "{}").await.status, 200);
    server.end().await;
}

/// TR-11.
#[tokio::test]
async fn there_is_no_sockjs() {
    let server = start(|_| {}).await;
    for path in ["/connection/sockjs", "/connection/sockjs/info", "/connection/sockjs/1/a/websocket"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    server.end().await;
}

/// NET-12.
#[tokio::test]
async fn every_endpoint_is_where_its_option_says() {
    const DEFAULTS: [&str; 10] = [
        "/connection/websocket",
        "/connection/uni_websocket",
        "/connection/http_stream",
        "/connection/sse",
        "/connection/uni_http_stream",
        "/connection/uni_sse",
        "/emulation",
        "/connection/init",
        "/connection/ticket",
        "/health",
    ];
    let enable = |options: &mut Options| {
        for enabled in [
            &mut options.uni_websocket.enabled,
            &mut options.http_stream.enabled,
            &mut options.sse.enabled,
            &mut options.uni_http_stream.enabled,
            &mut options.uni_sse.enabled,
            &mut options.init.enabled,
            &mut options.ticket.enabled,
        ] {
            *enabled = true;
        }
    };
    // What comes is nothing that any of them takes, but the health endpoint.
    let put = |path: &str| format!("PUT {path} HTTP/1.1\r\nHost: x\r\n");
    let server = start(enable).await;
    for path in DEFAULTS {
        assert_ne!(server.ask(&put(path), "").await.status, 404, "{path}");
    }
    server.end().await;
    let server = start(|options| {
        enable(options);
        let prefixes = [
            &mut options.websocket.handler_prefix,
            &mut options.uni_websocket.handler_prefix,
            &mut options.http_stream.handler_prefix,
            &mut options.sse.handler_prefix,
            &mut options.uni_http_stream.handler_prefix,
            &mut options.uni_sse.handler_prefix,
            &mut options.emulation.handler_prefix,
            &mut options.init.handler_prefix,
            &mut options.ticket.handler_prefix,
            &mut options.health.handler_prefix,
        ];
        for (prefix, default) in prefixes.into_iter().zip(DEFAULTS) {
            *prefix = format!("/elsewhere{default}");
        }
    })
    .await;
    for path in DEFAULTS {
        assert_eq!(server.ask(&put(path), "").await.status, 404, "{path}");
        assert_ne!(server.ask(&put(&format!("/elsewhere{path}")), "").await.status, 404, "{path}");
    }
    server.end().await;
}

/// PUBS-07, OBS-06, NET-12.
#[tokio::test]
async fn the_api_is_described_where_it_is_asked_for() {
    let server = start(|options| {
        options.swagger.enabled = true;
        "/docs/".clone_into(&mut options.swagger.handler_prefix);
        "/rpc".clone_into(&mut options.http_api.handler_prefix);
    })
    .await;
    let document = server.get("/docs/openapi.json").await;
    assert_eq!(document.header("content-type"), Some("application/json"));
    let document: serde_json::Value = serde_json::from_str(&document.body).expect("JSON");
    let base = document["servers"][0]["url"].as_str().expect("an address");
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 15, "{paths:?}");
    for path in paths.keys() {
        // Each takes an object, and says itself what is missing in it.
        let head = format!("POST {base}{path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n");
        assert_eq!(server.ask(&head, "{}").await.status, 200, "{path}");
    }
    let page = server.get("/docs/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for asset in page.body.split("=\"").filter_map(|rest| rest.split('"').next()) {
        if asset.ends_with(".js") || asset.ends_with(".css") || asset.ends_with(".json") {
            assert_eq!(server.get(&format!("/docs/{asset}")).await.status, 200, "{asset}");
        }
        assert!(!asset.contains("//"), "{asset} comes from elsewhere");
    }
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    let redirect = server.get("/docs").await;
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("/docs/")));
    for (path, status) in [("/docs/x", 404), ("/docsx", 404), ("/swagger/", 404)] {
        assert_eq!(server.get(path).await.status, status, "{path}");
    }
    assert_eq!(server.ask("POST /docs/ HTTP/1.1\r\nHost: x\r\n", "").await.status, 405);
    server.end().await;
    let server = start_at(Where::Internal, |options| options.swagger.enabled = true).await;
    let head = "GET /swagger/ HTTP/1.1\r\nHost: x\r\n";
    assert_eq!(ask(server.internal.expect("a second port"), head, "").await.status, 200);
    assert_eq!(server.ask(head, "").await.status, 404, "it is not for clients");
    server.end().await;
    let server = start(|_| {}).await;
    assert_eq!(server.get("/swagger/").await.status, 404, "it is off by default");
    server.end().await;
}

/// NET-02, API-01: what is not for clients is on the internal port alone, unless it is said to be external.
#[tokio::test]
async fn the_internal_port_has_what_is_not_for_clients() {
    for external in [false, true] {
        let server = start_at(Where::Internal, |options| options.http_api.external = external).await;
        let internal = server.internal.expect("a second port");
        let head = format!("POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n");
        let health = "GET /health HTTP/1.1\r\nHost: x\r\n";
        assert_eq!(ask(internal, &head, "{}").await.status, 200);
        assert_eq!(ask(internal, health, "").await.status, 200);
        assert_eq!(server.ask(&head, "{}").await.status, if external { 200 } else { 404 });
        assert_eq!(server.ask(health, "").await.status, 404);
        assert!(Client::upgrade(server.external, "").await.is_ok());
        assert_eq!(Client::upgrade(internal, "").await.err(), Some(404));
        server.end().await;
    }
}

#[tokio::test]
async fn what_is_disabled_is_not_there() {
    let server = start(|options| {
        options.websocket.disabled = true;
        options.http_api.disabled = true;
    })
    .await;
    assert_eq!(server.api("info", "{}").await.status, 404);
    assert_eq!(Client::upgrade(server.external, "").await.err(), Some(404));
    server.end().await;
}

#[tokio::test]
async fn upgrades_that_are_none_are_refused() {
    let server = start(|_| {}).await;
    let path = "/connection/websocket";
    for (head, status) in [
        (format!("GET {path} HTTP/1.1\r\nHost: x\r\n"), 400..=426),
        (format!("POST {path} HTTP/1.1\r\n{UPGRADE}"), 400..=405),
        (format!("GET {path} HTTP/1.1\r\n{}", UPGRADE.replace("13", "8")), 400..=426),
        (format!("GET {path} HTTP/1.1\r\n{}", UPGRADE.replace("dGhl", "!!!!")), 400..=400),
        (format!("GET {path}/ HTTP/1.1\r\n{UPGRADE}"), 404..=404),
    ] {
        let answer = server.ask(&head, "").await;
        assert!(status.contains(&answer.status), "{head}{answer:?}");
    }
    server.end().await;
}

/// ORI-01..03.
#[tokio::test]
async fn pages_that_are_not_allowed_are_refused() {
    let origin = |origin: &str| format!("Origin: {origin}\r\n");
    let server =
        start(|options| options.client.allowed_origins = vec!["https://*.example.com".to_owned()]).await;
    for (origin, allowed) in [
        (origin("https://app.example.com"), true),
        (origin("HTTPS://APP.EXAMPLE.COM"), true),
        (origin("http://app.example.com"), false),
        (origin("https://example.com.evil"), false),
        (origin("null"), false),
        (String::new(), true),
    ] {
        let refused = Client::upgrade(server.external, &origin).await.err();
        assert_eq!(refused, (!allowed).then_some(403), "{origin}");
    }
    server.end().await;
    let server = start(|_| {}).await;
    assert_eq!(Client::upgrade(server.external, &origin("https://a")).await.err(), Some(403));
    assert!(Client::upgrade(server.external, "").await.is_ok());
    server.end().await;
}

#[tokio::test]
async fn requests_that_are_none_end_their_connection_and_nothing_else() {
    let server = start(|_| {}).await;
    let head = format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n", "x".repeat(8 * 1024));
    assert_eq!(server.ask(&head, "").await.status, 200);
    let long = format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(20 * 1024));
    let many = format!("GET /health HTTP/1.1\r\n{}\r\n", "X-Many: x\r\n".repeat(500));
    for (request, status) in [
        (long.as_bytes(), 431),
        (many.as_bytes(), 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", 400),
        // HTTP/2 in cleartext is not spoken, and not answered either.
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0),
    ] {
        let mut stream = TcpStream::connect(server.external).await.expect("a connection");
        stream.write_all(request).await.expect("sent");
        let _ = stream.shutdown().await;
        let answer = crate::harness::Response::parse(&all(&mut stream).await);
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.head.is_empty(), status == 0, "{answer:?}");
    }
    assert_eq!(server.get("/health").await.status, 200);
    server.end().await;
}

/// Where no address is given, both versions of IP are listened to, where the system has both.
#[tokio::test]
async fn no_address_is_every_address() {
    let mut listeners = Settings::new(&Options::default()).expect("sound options").listeners;
    listeners.external.set_port(0);
    let server = start_on(listeners, false, |_| {}).await;
    let port = server.external.port();
    let mut addresses = vec![SocketAddr::from(([127, 0, 0, 1], port))];
    if server.external.is_ipv6() {
        addresses.push(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)));
    }
    for address in addresses {
        assert_eq!(ask(address, "GET /health HTTP/1.1\r\nHost: x\r\n", "").await.status, 200, "{address}");
    }
    server.end().await;
}
