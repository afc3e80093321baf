//! Calls that come to nothing, in raw HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tourbillon_transport_grpc::GrpcConfig;

use crate::support::{Server, block_on};

const PATH: &str = "/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume";

async fn client(server: &Server) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(server.address).await.expect("a connection");
    let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    requests
}

/// Status and headers of the answer.
async fn call(
    requests: &SendRequest<Bytes>,
    (method, path, kind): (&str, &str, &str),
    body: &[&[u8]],
    end: bool,
) -> (u16, HeaderMap) {
    let request = Request::builder().method(method).uri(format!("http://a.example{path}"));
    let request = request.header("content-type", kind).header("te", "trailers").body(()).expect("a request");
    let mut ready = requests.clone().ready().await.expect("room for a stream");
    let (response, mut stream) = ready.send_request(request, body.is_empty() && end).expect("sent");
    for (at, part) in body.iter().enumerate() {
        stream.send_data(Bytes::copy_from_slice(part), end && at + 1 == body.len()).expect("sent");
    }
    let response = response.await.expect("an answer");
    (response.status().as_u16(), response.headers().clone())
}

const CONSUME: (&str, &str, &str) = ("POST", PATH, "application/grpc");

#[test]
fn every_refusal_has_its_status() {
    block_on(async {
        let mut config = GrpcConfig::default();
        config.max_receive_message_size = 10;
        config.message_timeout = Duration::from_millis(50);
        let mut server = Server::start(config).await;
        let requests = client(&server).await;
        for (target, body, end, code) in [
            (("POST", "/other/Consume", "application/grpc"), &[&[0; 5][..]][..], true, "12"),
            (CONSUME, &[&[1, 0, 0, 0, 0]], true, "12"),
            (CONSUME, &[&[0, 0, 0, 0, 11]], false, "8"),
            (CONSUME, &[&[0, 255, 255, 255, 255]], false, "8"),
            (CONSUME, &[&[0, 0, 0, 0, 2, 0x0a, 5]], true, "3"),
            (CONSUME, &[&[0, 0, 0, 0, 2, 0x0a]], true, "3"),
            (CONSUME, &[&[0, 0]], true, "3"),
            (CONSUME, &[], true, "3"),
            (CONSUME, &[&[0, 0, 0, 0, 2, 0x0a]], false, "4"),
        ] {
            let (status, headers) = call(&requests, target, body, end).await;
            assert_eq!(status, 200, "{target:?} {body:?}");
            assert_eq!(headers["grpc-status"], code, "{target:?} {body:?}");
            assert_eq!(headers["content-type"], "application/grpc");
            assert!(headers.contains_key("grpc-message"));
        }
        for (target, status) in [
            (("GET", PATH, "application/grpc"), 405),
            (("POST", PATH, "application/json"), 415),
            (("POST", PATH, "application/grpc-web"), 415),
        ] {
            assert_eq!(call(&requests, target, &[], true).await.0, status, "{target:?}");
        }
        assert!(server.has_accepted_nothing());
    });
}

/// The message may come in any pieces, and nothing after it is waited for.
#[test]
fn a_call_begins_with_its_message() {
    block_on(async {
        let mut server = Server::start(GrpcConfig::default()).await;
        let requests = client(&server).await;
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;v=1"] {
            let pieces: [&[u8]; 4] = [&[0, 0], &[0, 0, 3, 0x0a], &[1], b"a"];
            let (status, headers) = call(&requests, ("POST", PATH, kind), &pieces, false).await;
            assert_eq!((status, headers["content-type"].as_bytes()), (200, kind.as_bytes()));
            assert!(!headers.contains_key("grpc-status"), "that comes at the end");
            server.accept().await;
        }
    });
}
