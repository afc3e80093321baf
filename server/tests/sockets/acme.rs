//! Certificates from an authority (NET-05).

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::rustls::ClientConfig;
use tourbillon_server::config::{ListenerConfig, Options};

use crate::authority::{AcmeServer, Asks};
use crate::certificates::{Authority, Speaking, connect};
use crate::harness::{ask, ask_over, start_on};
use crate::http3::is_served;
use crate::tls::Folder;

/// A port that was free a moment ago.
async fn free_port() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).await.expect("a port").local_addr().expect("an address")
}

fn set(options: &mut Options, server: &AcmeServer, own: &Authority, folder: &Folder) {
    let acme = &mut options.http_server.tls_autocert;
    acme.enabled = true;
    acme.host_whitelist = vec!["LocalHost".to_owned()];
    acme.directory_url = server.directory();
    acme.directory_ca_pem = own.pem();
    acme.email = "who@example.com".to_owned();
    acme.cache_dir = folder.0.join("cache").to_str().expect("a path").to_owned();
}

/// What is answered once there is a certificate.
async fn health(address: SocketAddr, config: &Arc<ClientConfig>) -> u16 {
    loop {
        if let Ok(stream) = connect(address, Arc::clone(config)).await {
            return ask_over(stream, "GET /health HTTP/1.1\r\nHost: localhost\r\n", "").await.status;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn certificates_are_got_kept_and_shown() {
    for asks in [Asks::OverTls, Asks::OverHttp] {
        let folder = Folder::new(if asks == Asks::OverTls { "acme-tls" } else { "acme-http" });
        let (own, issues) = (Authority::new("own"), Authority::new("issues"));
        let config = Arc::new(Speaking::trusting(&issues).config());
        let (external, challenges) = (free_port().await, free_port().await);
        let at = if asks == Asks::OverTls { external } else { challenges };
        let authority = AcmeServer::start(&own, issues, asks, at).await;
        let listeners = || ListenerConfig { external: external.into(), internal: None };
        let change = |options: &mut Options| {
            set(options, &authority, &own, &folder);
            options.http_server.tls_autocert.http = asks == Asks::OverHttp;
            options.http_server.tls_autocert.http_addr = challenges.to_string();
        };
        let server = start_on(listeners(), false, change).await;
        assert_eq!(health(external, &config).await, 200);
        let ordered = (1, vec!["mailto:who@example.com".to_owned()], vec!["localhost".to_owned()]);
        assert_eq!(authority.seen(), ordered);
        if asks == Asks::OverHttp {
            for (path, host, expected) in [
                ("/.well-known/acme-challenge/token-0", "localhost", (404, None)),
                ("/a?b=c", "localhost:80", (302, Some("https://localhost/a?b=c"))),
                ("/a", "elsewhere.example", (400, None)),
                ("/health", "", (400, None)),
            ] {
                let answer = ask(challenges, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n"), "").await;
                assert_eq!((answer.status, answer.header("location")), expected, "{path}");
            }
        }
        server.end().await;
        // After a restart it is still there, and nobody is asked.
        let server = start_on(listeners(), false, change).await;
        let stream = connect(external, Arc::clone(&config)).await.expect("TLS");
        drop(stream);
        assert_eq!(authority.seen(), ordered);
        server.end().await;
    }
}

/// HTTP-03: Centrifugo has HTTP/3 with certificates from files only.
#[tokio::test]
async fn http3_shows_what_was_issued() {
    let folder = Folder::new("acme-http3");
    let (own, issues) = (Authority::new("own"), Arc::new(Authority::new("issues")));
    let config = Arc::new(Speaking::trusting(&issues).config());
    let external = free_port().await;
    let authority = AcmeServer::start(&own, Arc::clone(&issues), Asks::OverTls, external).await;
    let server = start_on(ListenerConfig { external: external.into(), internal: None }, false, |options| {
        set(options, &authority, &own, &folder);
        options.http_server.http3.enabled = true;
        options.init.enabled = true;
    })
    .await;
    let stream = loop {
        match connect(external, Arc::clone(&config)).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let answer = ask_over(stream, "GET /health HTTP/1.1\r\nHost: localhost\r\n", "").await;
    let told = answer.header("alt-svc").map(str::to_owned);
    assert!(told.is_some_and(|told| told.contains(&format!(":{}", external.port()))), "{answer:?}");
    assert!(is_served(&server, &Speaking::trusting(&issues)).await);
    assert!(!is_served(&server, &Speaking::trusting(&own)).await, "it is that certificate");
    server.end().await;
}

/// The authority is not convinced: there is no certificate, and the server goes on.
#[tokio::test]
async fn what_is_not_issued_is_not_shown() {
    let folder = Folder::new("acme-refused");
    let (own, issues) = (Authority::new("own"), Authority::new("issues"));
    let config = Arc::new(Speaking::trusting(&issues).config());
    let elsewhere = crate::harness::start(|_| {}).await;
    let authority = AcmeServer::start(&own, issues, Asks::OverHttp, elsewhere.external).await;
    let challenges = free_port().await;
    let listeners = ListenerConfig { external: free_port().await.into(), internal: None };
    let server = start_on(listeners, false, |options| {
        set(options, &authority, &own, &folder);
        options.http_server.tls_autocert.http = true;
        options.http_server.tls_autocert.http_addr = challenges.to_string();
    })
    .await;
    while authority.refused() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(connect(server.external, Arc::clone(&config)).await.is_err());
    assert!(!folder.0.join("cache/localhost").exists());
    server.end().await;
    elsewhere.end().await;
}
