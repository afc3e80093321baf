//! WebSockets on streams of HTTP/2 connections (RFC 8441), with a client that is not ours.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{OpCode, Role, WebSocket};
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response, Version};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tourbillon_transport::conformance::Harness;
use tourbillon_transport::{
    ConnContext, Received, Transport, TransportReader, TransportWriter, conformance_suite,
};
use tourbillon_transport_websocket::{Compression, OriginPolicy, WebSocketConfig, WebSocketTransport};
use tourbillon_types::{Disconnect, Encoding};
use tower_service::Service;

use crate::conformance::Client;
use crate::support::{block_on, echo, frame, next_frame, service};

const TEXT: u8 = 0x81;

type Accepted = UnboundedReceiver<(WebSocketTransport, ConnContext)>;

/// Serves one HTTP/2 connection, and connects to it.
async fn connection(config: WebSocketConfig) -> (SendRequest<Bytes>, Accepted, SocketAddr) {
    let (service, accepted) = service(config);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let near = TcpStream::connect(address).await.expect("a connection");
    let (far, peer) = listener.accept().await.expect("a connection");
    let answer = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        service.clone().call(request)
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.enable_connect_protocol();
    tokio::spawn(http.serve_connection(TokioIo::new(far), answer));
    let (requests, connection) = h2::client::handshake(near).await.expect("HTTP/2");
    tokio::spawn(connection);
    // An answer shows that the server's settings are there.
    let get = Request::get("http://a.example/").version(Version::HTTP_2).body(()).expect("a request");
    assert_eq!(send(&requests, get, true).await.0.status(), 400);
    assert!(requests.is_extended_connect_protocol_enabled());
    (requests, accepted, peer)
}

async fn send(
    requests: &SendRequest<Bytes>,
    request: Request<()>,
    end: bool,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    let mut ready = requests.clone().ready().await.expect("room for a stream");
    let (response, stream) = ready.send_request(request, end).expect("sent");
    (response.await.expect("an answer"), stream)
}

fn connect(protocol: &'static str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri(format!("http://a.example{target}"))
        .extension(Protocol::from_static(protocol));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

const VERSION: (&str, &str) = ("sec-websocket-version", "13");

/// Both ways of a stream as one stream of bytes.
fn tunnel(mut sender: SendStream<Bytes>, mut receiver: RecvStream) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1_000);
    let (mut read, mut write) = tokio::io::split(far);
    tokio::spawn(async move {
        let mut chunk = vec![0; 8_000];
        while let Ok(length) = read.read(&mut chunk).await {
            if length == 0 {
                let _ = sender.send_data(Bytes::new(), true);
                return;
            }
            let mut rest = Bytes::copy_from_slice(&chunk[..length]);
            while !rest.is_empty() {
                sender.reserve_capacity(rest.len());
                let Some(Ok(room)) = poll_fn(|cx| sender.poll_capacity(cx)).await else { return };
                if sender.send_data(rest.split_to(room.min(rest.len())), false).is_err() {
                    return;
                }
            }
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(data)) = receiver.data().await {
            if write.write_all(&data).await.is_err() {
                return;
            }
            let _ = receiver.flow_control().release_capacity(data.len());
        }
        let _ = write.shutdown().await;
    });
    near
}

/// Opens a WebSocket.
async fn open(
    requests: &SendRequest<Bytes>,
    target: &str,
    headers: &[(&str, &str)],
) -> (Response<()>, DuplexStream) {
    let headers = [&[VERSION], headers].concat();
    let (response, sender) = send(requests, connect("websocket", target, &headers), false).await;
    assert_eq!(response.status(), 200, "{response:?}");
    let (head, body) = response.into_parts();
    (Response::from_parts(head, ()), tunnel(sender, body))
}

/// WS-09.
#[test]
fn one_connection_has_many_websockets() {
    block_on(async {
        let (requests, mut accepted, peer) = connection(WebSocketConfig::default()).await;
        let mut streams = Vec::new();
        for (target, offer, encoding) in [
            ("/", "centrifuge-json", Encoding::Json),
            ("/?format=protobuf", "", Encoding::Protobuf),
            ("/", "centrifuge-protobuf", Encoding::Protobuf),
        ] {
            let offers = [("sec-websocket-protocol", offer), ("cookie", "a=b")];
            let (response, stream) = open(&requests, target, &offers).await;
            let told = response.headers().get("sec-websocket-protocol").map(|told| told.as_bytes());
            assert_eq!(told, (!offer.is_empty()).then_some(offer.as_bytes()));
            for header in ["sec-websocket-accept", "upgrade", "connection"] {
                assert!(!response.headers().contains_key(header), "{header} has no place in HTTP/2");
            }
            let (transport, context) = accepted.recv().await.expect("a connection");
            assert_eq!(context.headers["cookie"], "a=b");
            assert_eq!((transport.info().encoding, transport.info().peer), (encoding, Some(peer)));
            tokio::spawn(echo(transport));
            streams.push(stream);
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let message = vec![b'a' + u8::try_from(number).expect("few"); 20_000];
            let (mut read, mut write) = tokio::io::split(stream);
            let sent = write.write_all(&frame(TEXT, &message)).await;
            sent.expect("sent");
            assert_eq!(next_frame(&mut read).await, Some((TEXT, message)));
        }
        // One ends, the others stay.
        let mut first = streams.remove(0);
        first.write_all(&frame(0x88, b"\x03\xe8")).await.expect("sent");
        assert_eq!(next_frame(&mut first).await, Some((0x88, b"\x03\xe8".to_vec())));
        assert_eq!(next_frame(&mut first).await, None);
        streams[0].write_all(&frame(TEXT, b"still")).await.expect("sent");
        assert_eq!(next_frame(&mut streams[0]).await, Some((TEXT, b"still".to_vec())));
    });
}

#[test]
fn handshakes_over_http2_are_checked() {
    block_on(async {
        let mut config = WebSocketConfig::default();
        config.origins = OriginPolicy::patterns(["https://a.example"]).expect("patterns");
        config.compression = Some(Compression::default());
        let (requests, mut accepted, _) = connection(config).await;
        let origin = |origin| ("origin", origin);
        for (name, protocol, headers, status) in [
            ("no version", "websocket", vec![], 400),
            ("another version", "websocket", vec![("sec-websocket-version", "8")], 400),
            ("another protocol", "connect-udp", vec![VERSION], 405),
            ("another page", "websocket", vec![VERSION, origin("https://b.example")], 403),
            ("a good page", "websocket", vec![VERSION, origin("https://a.example")], 200),
        ] {
            let (response, _stream) = send(&requests, connect(protocol, "/", &headers), false).await;
            assert_eq!(response.status(), status, "{name}");
        }
        accepted.recv().await.expect("the good one");
        let offer = [("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")];
        let (response, _stream) = open(&requests, "/", &offer).await;
        assert_eq!(
            response.headers()["sec-websocket-extensions"],
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        );
    });
}

#[test]
fn a_stream_that_ends_ends_its_connection() {
    block_on(async {
        for reset in [false, true] {
            let (requests, mut accepted, _) = connection(WebSocketConfig::default()).await;
            let request = connect("websocket", "/", &[VERSION]);
            let (_response, mut stream) = send(&requests, request, false).await;
            let (mut reader, mut writer) = accepted.recv().await.expect("a connection").0.split();
            if reset {
                stream.send_reset(h2::Reason::CANCEL);
                assert!(!matches!(reader.recv().await, Ok(Received::Message(_))));
            } else {
                stream.send_data(Bytes::new(), true).expect("ended");
                assert_eq!(reader.recv().await.expect("the end"), Received::End);
                // What the server says last is still taken.
                poll_fn(|cx| writer.poll_close(cx, &Disconnect::SHUTDOWN)).await.expect("closed");
            }
        }
    });
}

/// The transport suite.
struct Http2;

impl Harness for Http2 {
    type Transport = WebSocketTransport;
    type Peer = Client<DuplexStream>;

    const LIMIT: usize = 65_536;

    async fn connect(&self) -> (WebSocketTransport, Client<DuplexStream>) {
        let (requests, mut accepted, _) = connection(WebSocketConfig::default()).await;
        let (_, stream) = open(&requests, "/", &[]).await;
        let (transport, _) = tokio::time::timeout(Duration::from_secs(10), accepted.recv())
            .await
            .expect("in time")
            .expect("a connection");
        let socket = WebSocket::after_handshake(stream, Role::Client);
        (transport, Client { socket, opcode: OpCode::Text })
    }
}

conformance_suite!(block_on, Http2);
