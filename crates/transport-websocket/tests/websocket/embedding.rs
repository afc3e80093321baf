//! The service inside other people's servers.

use std::net::SocketAddr;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tourbillon_transport::Transport;
use tourbillon_transport_websocket::WebSocketConfig;

use crate::support::{block_on, echo, frame, handshake, next_frame, open, request, service};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

async fn says_it_back(stream: &mut TcpStream) {
    stream.write_all(&frame(0x81, b"hello")).await.expect("send");
    assert_eq!(next_frame(stream).await, Some((0x81, b"hello".to_vec())));
}

#[test]
fn in_an_axum_router() {
    block_on(async {
        let (service, mut accepted) = service(WebSocketConfig::default());
        let app = axum::Router::new()
            .route("/orders", axum::routing::get(|| async { "none" }))
            .route_service("/connection/websocket", service);
        let (listener, address) = listener().await;
        tokio::spawn(async move { axum::serve(listener, app).await });
        tokio::spawn(async move {
            while let Some((transport, _)) = accepted.recv().await {
                echo(transport).await;
            }
        });
        let (_, mut stream) = open(address, "connection/websocket", "").await;
        says_it_back(&mut stream).await;
        let (answer, _) = request(address, "GET /orders HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(answer.status, 200);
    });
}

#[test]
fn in_a_hyper_server_that_takes_both_protocols() {
    block_on(async {
        let (service, mut accepted) = service(WebSocketConfig::default());
        let (listener, address) = listener().await;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                let builder = auto::Builder::new(TokioExecutor::new());
                tokio::spawn(async move {
                    builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await.is_ok()
                });
            }
        });
        // The first frame comes with the handshake: what the HTTP server has read of it is not lost.
        let mut stream = TcpStream::connect(address).await.expect("connect");
        let sent =
            [handshake("", "").as_bytes(), &frame(0x81, b"early"), &frame(0x81, b"bird")[..3]].concat();
        stream.write_all(&sent).await.expect("send");
        let (transport, _) = accepted.recv().await.expect("a connection");
        assert_eq!(transport.info().peer, None);
        tokio::spawn(echo(transport));
        stream.write_all(&frame(0x81, b"bird")[3..]).await.expect("send");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tokio::io::AsyncReadExt::read_u8(&mut stream).await.expect("the answer"));
        }
        assert_eq!(next_frame(&mut stream).await, Some((0x81, b"early".to_vec())));
        assert_eq!(next_frame(&mut stream).await, Some((0x81, b"bird".to_vec())));
        says_it_back(&mut stream).await;
    });
}

#[test]
fn a_server_without_upgrades_is_told_so() {
    block_on(async {
        let (service, _accepted) = service(WebSocketConfig::default());
        let mut service = service;
        let request = http::Request::builder()
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-version", "13")
            .body(())
            .expect("a request");
        let answer = tower_service::Service::call(&mut service, request).await.expect("infallible");
        assert_eq!(answer.status(), 500);
    });
}
