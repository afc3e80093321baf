//! Ordinary requests over HTTP/3, on the same port (HTTP-03).

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, StatusCode};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tourbillon_transport_webtransport::quinn::{self, crypto::rustls::QuicClientConfig};
use tourbillon_transport_webtransport::{ServeError, WebTransportConfig};

use crate::support::{Server, block_on};

/// A QUIC connection.
async fn connect(server: &Server) -> quinn::Connection {
    connect_with(server, quinn::TransportConfig::default()).await
}

/// The same, of a client with other limits for what it is sent.
async fn connect_with(server: &Server, limits: quinn::TransportConfig) -> quinn::Connection {
    let mut roots = RootCertStore::empty();
    roots.add(server.certificate.clone()).expect("a certificate");
    let mut tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3")));
    config.transport_config(Arc::new(limits));
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a client");
    endpoint.set_default_client_config(config);
    endpoint.connect(server.address, "localhost").expect("begun").await.expect("connected")
}

#[test]
fn requests_are_answered_beside_sessions() {
    block_on(async {
        let server = Server::start(WebTransportConfig::default());
        let quic = connect(&server).await;
        let (mut connection, mut requests) =
            h3::client::new(h3_quinn::Connection::new(quic)).await.expect("HTTP/3");
        let driven = tokio::spawn(async move { std::future::poll_fn(|cx| connection.poll_close(cx)).await });
        for (method, path) in [("GET", "/health"), ("POST", "/emulation")] {
            let uri = format!("https://localhost{path}?a=b");
            let request = Request::builder().method(method).uri(uri).body(()).expect("a request");
            let mut stream = requests.send_request(request).await.expect("sent");
            if method == "POST" {
                stream.send_data(Bytes::from_static(b"{}")).await.expect("sent");
            }
            stream.finish().await.expect("sent");
            let answer = stream.recv_response().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            let mut body = Vec::new();
            while let Some(mut data) = stream.recv_data().await.expect("the body") {
                body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
            assert_eq!(String::from_utf8_lossy(&body), format!("{method} {path} peer: true"));
        }
        drop(requests);
        driven.abort();
    });
}

/// A connection is there for what is under way on it.
#[test]
fn a_connection_on_which_nothing_is_under_way_ends() {
    block_on(async {
        let mut server = Server::start(WebTransportConfig::default());
        let silent = connect(&server).await;
        let (_connection, mut requests) =
            h3::client::new(h3_quinn::Connection::new(connect(&server).await)).await.expect("HTTP/3");
        let request = Request::get("https://localhost/").body(()).expect("a request");
        let mut stream = requests.send_request(request).await.expect("sent");
        stream.finish().await.expect("sent");
        assert_eq!(stream.recv_response().await.expect("an answer").status(), StatusCode::OK);
        tokio::time::pause();
        let since = tokio::time::Instant::now();
        assert!(matches!(silent.closed().await, quinn::ConnectionError::ApplicationClosed(_)));
        assert!((8..12).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
        assert!(matches!(server.ended.recv().await, Some(Ok(()))));
        assert!(matches!(server.ended.recv().await, Some(Ok(()))));
        assert!((28..32).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    });
}

/// Of a stream each piece must be taken within a second; the connection goes on.
#[test]
fn a_stream_that_is_not_taken_ends_alone() {
    block_on(async {
        let server = Server::start(WebTransportConfig::default());
        let (_connection, mut requests) =
            h3::client::new(h3_quinn::Connection::new(connect(&server).await)).await.expect("HTTP/3");
        let request = Request::get("https://localhost/endless").body(()).expect("a request");
        let mut stalled = requests.send_request(request).await.expect("sent");
        stalled.finish().await.expect("sent");
        assert_eq!(stalled.recv_response().await.expect("an answer").status(), StatusCode::OK);
        tokio::time::pause();
        let since = tokio::time::Instant::now();
        server.given_up.notified().await;
        assert!(since.elapsed().as_secs() < 5, "{:?}", since.elapsed());
        tokio::time::resume();
        while let Ok(data) = stalled.recv_data().await {
            assert!(data.is_some(), "what was given up is not taken for the whole");
        }
        let request = Request::get("https://localhost/after").body(()).expect("a request");
        let mut stream = requests.send_request(request).await.expect("sent");
        stream.finish().await.expect("sent");
        assert_eq!(stream.recv_response().await.expect("an answer").status(), StatusCode::OK);
    });
}

/// Whoever gives no room for the server's settings would otherwise be a connection that is set up for ever, and as many of
/// these as may be half open would shut everybody else out.
#[test]
fn a_peer_without_room_for_settings_is_not_waited_for() {
    block_on(async {
        let mut server = Server::start(WebTransportConfig::default());
        let mut limits = quinn::TransportConfig::default();
        limits.max_concurrent_uni_streams(0_u32.into());
        let stingy = connect_with(&server, limits).await;
        tokio::time::pause();
        let since = tokio::time::Instant::now();
        assert!(matches!(server.ended.recv().await, Some(Err(ServeError::Late))));
        assert!((8..12).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
        stingy.closed().await;
    });
}

/// The same at a stop: it has no need to wait.
#[test]
fn a_stop_does_not_wait_for_a_peer_without_room_for_settings() {
    block_on(async {
        let mut server = Server::start(WebTransportConfig::default());
        let mut limits = quinn::TransportConfig::default();
        limits.max_concurrent_uni_streams(0_u32.into());
        let _stingy = connect_with(&server, limits).await;
        tokio::time::pause();
        let since = tokio::time::Instant::now();
        let ended = tokio::time::timeout(Duration::from_secs(1), server.ended.recv()).await;
        assert!(ended.is_err(), "it is being set up: {ended:?}");
        server.stop.send_replace(true);
        assert!(matches!(server.ended.recv().await, Some(Ok(()))));
        assert!(since.elapsed().as_secs() < 8, "{:?}", since.elapsed());
    });
}

/// Nor has a head to be waited for that there is no room for: the request is over, and then nothing is under way.
#[test]
fn a_head_that_is_not_taken_ends_its_request() {
    block_on(async {
        let mut server = Server::start(WebTransportConfig::default());
        let mut limits = quinn::TransportConfig::default();
        limits.stream_receive_window(256_u32.into());
        let (_connection, mut requests) =
            h3::client::new(h3_quinn::Connection::new(connect_with(&server, limits).await))
                .await
                .expect("HTTP/3");
        let request = Request::get("https://localhost/long-head").body(()).expect("a request");
        let mut stream = requests.send_request(request).await.expect("sent");
        stream.finish().await.expect("sent");
        tokio::time::pause();
        let since = tokio::time::Instant::now();
        // Ten seconds for the head, thirty in which nothing is under way.
        assert!(matches!(server.ended.recv().await, Some(Ok(()))));
        assert!((35..45).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    });
}
