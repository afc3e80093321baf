//! HTTP/3 and WebTransport through the whole server (HTTP-03, NET-07, WT-01..04).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, StatusCode};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tourbillon::types::Encoding;
use tourbillon::webtransport::quinn::crypto::rustls::QuicClientConfig;
use tourbillon::webtransport::quinn::{ClientConfig, Endpoint};
use tourbillon_server::config::{Options, Settings};
use wtransport::config::IpBindConfig;
use wtransport::endpoint::endpoint_side::Client as ClientSide;
use wtransport::error::{ConnectingError, ConnectionError};
use wtransport::{Connection, RecvStream, SendStream};

use crate::certificates::{Authority, Speaking};
use crate::harness::{Client, KEY, Response, Server, Where, ask, ask_over, start, start_at};

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\n";

/// HTTP/3 with WebTransport, and no TLS at the internal port.
fn enabled(options: &mut Options, authority: &Authority) {
    authority.issue("localhost").on(options);
    options.http_server.tls_external = true;
    options.http_server.http3.enabled = true;
    options.webtransport.enabled = true;
}

async fn start_with(authority: &Authority, change: impl FnOnce(&mut Options)) -> Server {
    start_at(Where::Internal, |options| {
        enabled(options, authority);
        change(options);
    })
    .await
}

async fn api(server: &Server, method: &str, body: &str) -> Response {
    let head = format!("POST /api/{method} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n");
    ask(server.internal.expect("a second port"), &head, body).await
}

/// An endpoint for clients that speak TLS like this.
fn quic(speaking: &Speaking<'_>) -> Endpoint {
    let mut tls = speaking.config();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a client");
    let tls = QuicClientConfig::try_from(tls).expect("TLS 1.3");
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(tls)));
    endpoint
}

/// The answer to one request on a connection of its own, with as much of the body as comes before it pauses. `None` if
/// the client does not come in.
async fn fetch(
    address: SocketAddr,
    speaking: &Speaking<'_>,
    request: Request<&str>,
) -> Option<(StatusCode, HeaderMap, String)> {
    let quic = quic(speaking).connect(address, "localhost").expect("begun").await.ok()?;
    let (mut connection, mut requests) = h3::client::new(h3_quinn::Connection::new(quic)).await.ok()?;
    tokio::spawn(async move { std::future::poll_fn(|cx| connection.poll_close(cx)).await });
    let (head, body) = request.into_parts();
    let mut stream = requests.send_request(Request::from_parts(head, ())).await.ok()?;
    if !body.is_empty() {
        stream.send_data(Bytes::copy_from_slice(body.as_bytes())).await.ok()?;
    }
    stream.finish().await.ok()?;
    let (head, ()) = stream.recv_response().await.ok()?.into_parts();
    let mut text = Vec::new();
    while let Some(mut data) = stream.recv_data().await.ok()? {
        text.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        if text.ends_with(b"\n") {
            break;
        }
    }
    Some((head.status, head.headers, String::from_utf8(text).expect("text")))
}

fn get(path: &str) -> Request<&'static str> {
    Request::get(format!("https://localhost{path}")).body("").expect("a request")
}

/// Whether a client that speaks TLS like this is answered over HTTP/3.
pub(crate) async fn is_served(server: &Server, speaking: &Speaking<'_>) -> bool {
    let answer = fetch(server.external, speaking, get("/connection/init")).await;
    answer.is_some_and(|(status, ..)| status == StatusCode::OK)
}

/// A session with its stream.
struct Session {
    session: Connection,
    send: SendStream,
    recv: RecvStream,
    received: Vec<u8>,
    _endpoint: wtransport::Endpoint<ClientSide>,
}

impl Session {
    async fn open(server: &Server, query: &str) -> Result<Self, ConnectingError> {
        let (endpoint, session) = begin(server, query).await?;
        let (send, recv) = session.open_bi().await.expect("a stream").await.expect("a stream");
        Ok(Self { session, send, recv, received: Vec::new(), _endpoint: endpoint })
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.expect("sent");
    }

    /// The next line; empty at the end.
    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return String::from_utf8(line).expect("text").trim_end().to_owned();
            }
            let mut piece = [0; 4096];
            match self.recv.read(&mut piece).await {
                Ok(Some(length)) => self.received.extend_from_slice(&piece[..length]),
                _ => return String::new(),
            }
        }
    }

    async fn connect(&mut self) {
        self.send(b"{\"id\":1,\"connect\":{}}\n").await;
        assert!(self.line().await.contains(r#""connect""#));
    }

    /// Code and reason of the session's end.
    async fn closed(&self) -> (u64, String) {
        match self.session.accept_uni().await {
            Err(ConnectionError::ApplicationClosed(close)) => {
                (close.code().into_inner(), String::from_utf8_lossy(close.reason()).into_owned())
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A session without a stream.
async fn begin(
    server: &Server,
    query: &str,
) -> Result<(wtransport::Endpoint<ClientSide>, Connection), ConnectingError> {
    let config = wtransport::ClientConfig::builder()
        .with_bind_config(IpBindConfig::LocalV4)
        .with_no_cert_validation()
        .build();
    let endpoint = wtransport::Endpoint::client(config).expect("a client");
    let url = format!("https://{}/connection/webtransport{query}", server.external);
    let session = endpoint.connect(url).await?;
    Ok((endpoint, session))
}

/// TR-05, WT-01, WT-02, WT-04.
#[tokio::test]
async fn a_session_speaks_the_client_protocol_to_the_end() {
    let authority = Authority::new("root");
    let server = start_with(&authority, |_| {}).await;
    let mut json = Session::open(&server, "").await.expect("a session");
    json.connect().await;
    json.send(b"{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n").await;
    assert!(json.line().await.contains(r#""subscribe""#));
    let mut protobuf = Session::open(&server, "?cf_protocol=protobuf").await.expect("a session");
    // Commands with the ids 1 and 2, to connect and to subscribe to `a`.
    protobuf.send(b"\x04\x08\x01\x22\x00\x07\x08\x02\x2a\x03\x0a\x01a").await;
    let mut connected = [0; 2];
    protobuf.recv.read_exact(&mut connected).await.expect("a reply");
    let [length, field] = connected;
    assert_eq!((field, Encoding::Protobuf), (0x08, Encoding::Protobuf), "the id of a reply");
    let mut rest = vec![0; usize::from(length) - 1];
    protobuf.recv.read_exact(&mut rest).await.expect("a reply");
    let mut subscribed = [0; 2];
    protobuf.recv.read_exact(&mut subscribed).await.expect("a reply");
    let mut rest = vec![0; usize::from(subscribed[0]) - 1];
    protobuf.recv.read_exact(&mut rest).await.expect("a reply");
    assert_eq!(api(&server, "publish", r#"{"channel":"a","data":{"x":"over QUIC"}}"#).await.status, 200);
    assert!(json.line().await.contains(r#"{"x":"over QUIC"}"#));
    let mut piece = [0; 256];
    let length = protobuf.recv.read(&mut piece).await.expect("a push").expect("a push");
    let data = br#"{"x":"over QUIC"}"#;
    assert!(piece[..length].windows(data.len()).any(|window| window == data));
    assert_eq!(api(&server, "disconnect", r#"{"user":""}"#).await.status, 200);
    let told = json.line().await;
    assert!(told.contains(r#""disconnect""#) && told.contains("3503"), "{told}");
    assert_eq!(json.line().await, "", "the stream ends");
    let (code, reason) = json.closed().await;
    assert_eq!((code, reason.is_empty()), (3503, false));
    assert_eq!(protobuf.closed().await.0, 3503);
    server.end().await;
}

/// HTTP-03, NET-07.
#[tokio::test]
async fn the_endpoints_for_clients_are_there_over_http3_and_answers_over_tcp_say_so() {
    let authority = Authority::new("root");
    let server = start_with(&authority, |options| {
        options.init.enabled = true;
        options.http_stream.enabled = true;
    })
    .await;
    let trusting = Speaking::trusting(&authority);
    let (status, headers, body) =
        fetch(server.external, &trusting, get("/connection/init")).await.expect("an answer");
    assert_eq!((status.as_u16(), body.as_str()), (200, "{}"));
    assert!(!headers.contains_key("alt-svc"), "who is there need not be told");
    let (status, ..) = fetch(server.external, &trusting, get("/health")).await.expect("an answer");
    assert_eq!(status, StatusCode::NOT_FOUND, "health is internal");
    let (status, ..) =
        fetch(server.external, &trusting, get("/connection/websocket")).await.expect("an answer");
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let stream = Request::post("https://localhost/connection/http_stream");
    let stream = stream.body(r#"{"id":1,"connect":{}}"#).expect("a request");
    let (status, _, body) = fetch(server.external, &trusting, stream).await.expect("an answer");
    assert_eq!(status, StatusCode::OK);
    assert!(body.starts_with(r#"{"id":1,"connect":{"#), "{body}");

    let expected = format!("alt-svc: h3=\":{}\"; ma=2592000", server.external.port());
    let stream = trusting.connect(server.external).await.expect("TLS");
    let answer = ask_over(stream, "GET /connection/init HTTP/1.1\r\nHost: localhost\r\n", "").await;
    assert!(answer.head.contains(&expected), "{}", answer.head);
    let stream = trusting.connect(server.external).await.expect("TLS");
    let mut client = Client::over(stream, "").await.expect("an upgrade");
    client.connect().await;
    let internal = ask(server.internal.expect("a second port"), HEALTH, "").await;
    assert!(!internal.head.contains("alt-svc"), "{}", internal.head);
    drop(client);
    server.end().await;
}

/// LIM-05: sessions count like other connections, and are refused like them.
#[tokio::test]
async fn sessions_are_admitted_like_other_connections() {
    let authority = Authority::new("root");
    let server = start_with(&authority, |options| options.client.connection_limit = 1).await;
    let mut first = Session::open(&server, "").await.expect("a session");
    first.connect().await;
    assert!(matches!(Session::open(&server, "").await, Err(ConnectingError::SessionRejected)));
    let stream = Speaking::trusting(&authority).connect(server.external).await.expect("TLS");
    assert_eq!(Client::over(stream, "").await.err().expect("refused").status, 503);
    drop(first);
    // Its place is free once the server knows that it is gone.
    let mut tries = 0;
    let mut next = loop {
        match Session::open(&server, "").await {
            Ok(session) => break session,
            Err(_) if tries < 1_000 => tries += 1,
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    };
    next.connect().await;
    server.end().await;
}

/// What has not said who it is takes one of a bounded number of places, over UDP too: a connection that asks for
/// nothing, and a session that opens no stream.
#[tokio::test]
async fn half_open_sessions_are_bounded() {
    let authority = Authority::new("root");
    let server = start_with(&authority, |options| options.client.half_open_limit = 2).await;
    let silent = TcpStream::connect(server.external).await.expect("a connection");
    let waiting = begin(&server, "").await.expect("a session");
    assert!(begin(&server, "").await.is_err());
    // Where there is a stream and a connect command, the place is free.
    let (mut send, mut recv) = waiting.1.open_bi().await.expect("a stream").await.expect("a stream");
    send.write_all(b"{\"id\":1,\"connect\":{}}\n").await.expect("sent");
    assert!(recv.read(&mut [0; 4096]).await.expect("a reply").is_some());
    let mut next = Session::open(&server, "").await.expect("a session");
    next.connect().await;
    drop(silent);
    server.end().await;
}

/// The type of the first packet that answers (RFC 9000 section 17.2) a client's first, sent by somebody else.
async fn answered_with(server: &Server, trusting: &Speaking<'_>) -> u8 {
    let [nobody, other] = [
        UdpSocket::bind("127.0.0.1:0").await.expect("a port"),
        UdpSocket::bind("127.0.0.1:0").await.expect("a port"),
    ];
    let client = quic(trusting);
    let address = nobody.local_addr().expect("an address");
    let attempt = client.connect(address, "localhost").expect("begun");
    let mut packet = vec![0; 2048];
    let length = nobody.recv(&mut packet).await.expect("a packet");
    other.send_to(&packet[..length], server.external).await.expect("sent");
    let answer = tokio::time::timeout(Duration::from_secs(5), other.recv(&mut packet)).await;
    answer.expect("in time").expect("an answer");
    drop(attempt);
    (packet[0] >> 4) & 3
}

const HANDSHAKE: u8 = 0;
const RETRY: u8 = 3;

/// So many connections that say nothing, from an address of this machine, that others have to show that theirs is their own.
async fn crowd(server: &Server, trusting: &Speaking<'_>, from: [u8; 4]) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..70 {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("an address");
        crowd.push(socket.connect(server.external).await.expect("a connection"));
    }
    let mut last = answered_with(server, trusting).await;
    for _ in 0..100 {
        if last == RETRY {
            break;
        }
        // Some of the crowd have not been seen yet.
        last = answered_with(server, trusting).await;
    }
    assert_eq!(last, RETRY);
    crowd
}

/// Whose address is not known to be its own takes no place when there are many that say nothing.
#[tokio::test]
async fn in_a_crowd_clients_show_that_their_address_is_theirs() {
    let authority = Authority::new("root");
    let server = start_with(&authority, |options| options.init.enabled = true).await;
    let trusting = Speaking::trusting(&authority);
    assert_eq!(answered_with(&server, &trusting).await, HANDSHAKE);
    let crowd = crowd(&server, &trusting, [127, 0, 0, 1]).await;
    assert!(is_served(&server, &trusting).await, "who has the address comes in");
    drop(crowd);
    server.end().await;
}

/// Who writes the address of somebody else on its packets takes none of the places of that address.
#[tokio::test]
async fn packets_in_the_name_of_an_address_take_none_of_its_places() {
    let authority = Authority::new("root");
    let server = start_with(&authority, |options| one_for_each_address(options, "none")).await;
    let trusting = Speaking::trusting(&authority);
    for _ in 0..3 {
        assert_eq!(answered_with(&server, &trusting).await, HANDSHAKE);
    }
    let stream = trusting.connect(server.external).await.expect("TLS");
    assert!(Client::over(stream, "").await.is_ok());
    server.end().await;
}

/// A session is one connection of its address, though that of QUIC below it stood before.
#[tokio::test]
async fn a_session_takes_one_place_of_its_address() {
    let authority = Authority::new("root");
    let server = start_with(&authority, |options| one_for_each_address(options, "127.0.0.2/32")).await;
    let crowd = crowd(&server, &Speaking::trusting(&authority), [127, 0, 0, 2]).await;
    let mut session = Session::open(&server, "").await.expect("a session, by an address that it has shown");
    session.connect().await;
    assert!(Session::open(&server, "").await.is_err(), "the place is taken");
    drop(crowd);
    server.end().await;
}

fn one_for_each_address(options: &mut Options, trusted: &str) {
    let limit = &mut options.client.rate_limit.ip_connect;
    (limit.enabled, limit.max_concurrent_per_ip) = (true, 1);
    limit.trusted_proxies = vec![trusted.to_owned()];
}

/// What a signal does: other certificates, and other roots of clients.
#[tokio::test]
async fn certificates_and_who_comes_in_change_over_udp_too() {
    let [old, new, clients] = ["old", "new", "clients"].map(Authority::new);
    let server = start_with(&old, |options| options.init.enabled = true).await;
    assert!(is_served(&server, &Speaking::trusting(&old)).await);
    let mut options = server.options.clone();
    new.issue("localhost").on(&mut options);
    server.reload.apply(Settings::new(&options).expect("sound options"));
    assert!(is_served(&server, &Speaking::trusting(&new)).await);
    assert!(!is_served(&server, &Speaking::trusting(&old)).await);
    options.http_server.tls.client_ca_pem = clients.pem();
    server.reload.apply(Settings::new(&options).expect("sound options"));
    assert!(!is_served(&server, &Speaking::trusting(&new)).await, "without a certificate of its own");
    let shows = clients.issue("somebody");
    assert!(is_served(&server, &Speaking { shows: Some(&shows), ..Speaking::trusting(&new) }).await);
    server.end().await;
}

/// WT-03.
#[tokio::test]
async fn a_command_that_is_too_large_ends_its_session() {
    let authority = Authority::new("root");
    let server = start_with(&authority, |options| options.webtransport.message_size_limit = 100).await;
    let mut session = Session::open(&server, "").await.expect("a session");
    session.connect().await;
    session.send(&[b'x'; 101]).await;
    let told = session.line().await;
    assert!(told.contains(r#""disconnect""#), "{told}");
    assert_eq!(session.line().await, "");
    server.end().await;
}

/// A stop tells sessions, and waits for them; nobody else comes in meanwhile.
#[tokio::test]
async fn a_stop_tells_sessions() {
    let authority = Authority::new("root");
    let server = start_with(&authority, |_| {}).await;
    let mut session = Session::open(&server, "").await.expect("a session");
    session.connect().await;
    let idle = quic(&Speaking::trusting(&authority));
    let idle = idle.connect(server.external, "localhost").expect("begun").await.expect("a connection");
    let since = tokio::time::Instant::now();
    let address = server.external;
    let ended = tokio::spawn(server.end());
    let told = session.line().await;
    assert!(told.contains(r#""disconnect""#) && told.contains("3001"), "{told}");
    assert_eq!(session.line().await, "");
    assert_eq!(session.closed().await.0, 3001);
    idle.closed().await;
    ended.await.expect("ended");
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    let late = quic(&Speaking::trusting(&authority)).connect(address, "localhost").expect("begun");
    assert!(tokio::time::timeout(Duration::from_millis(300), late).await.is_err(), "nobody answers");
}

#[tokio::test]
async fn without_the_option_there_is_no_word_of_http3() {
    let authority = Authority::new("root");
    let server = start(|options| authority.issue("localhost").on(options)).await;
    let stream = Speaking::trusting(&authority).connect(server.external).await.expect("TLS");
    let answer = ask_over(stream, HEALTH, "").await;
    assert_eq!(answer.status, 200);
    assert!(!answer.head.contains("alt-svc"), "{}", answer.head);
    server.end().await;
}
