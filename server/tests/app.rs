//! A whole server in this process, on ports of the system's choice, spoken to in raw bytes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tourbillon_server::config::model::Namespace;
use tourbillon_server::config::{ListenerConfig, Options, SecretText, Settings};
use tourbillon_server::dev::{self, Dev};
use tourbillon_server::{App, Listeners, Reload};

/// Ends a test that would wait for ever.
const LONG: Duration = Duration::from_secs(60);

struct Server {
    external: SocketAddr,
    internal: SocketAddr,
    reload: Reload,
    options: Options,
    stop: CancellationToken,
    running: JoinHandle<bool>,
}

/// What everybody may do: come without a token.
fn open(options: &mut Options) {
    options.client.allow_anonymous_connect_without_token = true;
    options.http_api.key = SecretText::new("key");
    options.health.enabled = true;
}

async fn start(two_ports: bool, change: impl FnOnce(&mut Options)) -> Server {
    start_as(two_ports, false, change).await
}

async fn start_as(two_ports: bool, dev: bool, change: impl FnOnce(&mut Options)) -> Server {
    let mut options = Options::default();
    open(&mut options);
    change(&mut options);
    if dev {
        dev::prepare(&mut options).expect("randomness");
    }
    let settings = Settings::new(&options).expect("sound options");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ListenerConfig { external: any, internal: two_ports.then_some(any) };
    let listeners = Listeners::bind(config).await.expect("ports");
    let external = listeners.external_address().expect("an address");
    let internal = listeners.internal_address().expect("an address").unwrap_or(external);
    let dev = dev.then(|| Dev::new(&options, external));
    let app = App::build(settings, listeners, dev).expect("a server");
    let (reload, stop) = (app.reload(), CancellationToken::new());
    let running = tokio::spawn(app.run(stop.clone()));
    Server { external, internal, reload, options, stop, running }
}

impl Server {
    async fn end(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(LONG, self.running).await.expect("it ends");
        assert!(ended.expect("no panic"), "connections did not end in time");
    }

    /// A WebSocket connection that has connected.
    async fn client(&self) -> Socket {
        let mut socket = Socket::open(self.external, &upgrade("")).await;
        assert_eq!(socket.head().await.status(), 101);
        let reply = socket.call(r#"{"id":1,"connect":{}}"#).await;
        assert!(reply.contains(r#""client""#), "{reply}");
        socket
    }
}

/// The head of a response.
#[derive(Debug)]
struct Head(String);

impl Head {
    fn status(&self) -> u16 {
        self.0.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.0.lines().skip(1).filter_map(|line| line.split_once(": "));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

struct Socket(TcpStream);

impl Socket {
    async fn open(address: SocketAddr, request: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("written");
        Self(stream)
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = self.0.read_exact(&mut bytes);
        tokio::time::timeout(LONG, read).await.expect("something comes").expect("more bytes");
        bytes
    }

    async fn head(&mut self) -> Head {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.append(&mut self.exactly(1).await);
        }
        Head(String::from_utf8(bytes).expect("text"))
    }

    /// Sends a masked text frame; the mask is zero.
    async fn send(&mut self, text: &str) {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("a short text");
        let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).await.expect("written");
    }

    /// The next frame: its opcode and its payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.exactly(2).await;
        let length = match head[1] {
            126 => {
                let length = self.exactly(2).await;
                usize::from(u16::from_be_bytes([length[0], length[1]]))
            }
            length => usize::from(length),
        };
        (head[0] & 0x0f, self.exactly(length).await)
    }

    async fn call(&mut self, command: &str) -> String {
        self.send(command).await;
        let (opcode, payload) = self.frame().await;
        assert_eq!(opcode, 1, "{payload:?}");
        String::from_utf8(payload).expect("text")
    }

    /// The code and reason of the close frame, which comes next.
    async fn closed(&mut self) -> (u16, String) {
        let (opcode, payload) = self.frame().await;
        assert_eq!(opcode, 8, "{payload:?}");
        let reason = String::from_utf8(payload[2..].to_vec()).expect("text");
        (u16::from_be_bytes([payload[0], payload[1]]), reason)
    }
}

fn upgrade(headers: &str) -> String {
    format!(
        "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// One request on a connection of its own: the response's head and body.
async fn ask(address: SocketAddr, request: &str) -> (Head, String) {
    let mut socket = Socket::open(address, request).await;
    let head = socket.head().await;
    let length = head.header("content-length").and_then(|text| text.parse().ok()).unwrap_or_default();
    let body = socket.exactly(length).await;
    (head, String::from_utf8(body).expect("text"))
}

async fn get(address: SocketAddr, path: &str) -> (Head, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
}

async fn api(address: SocketAddr, method: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "POST /api/{method} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: key\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let (head, body) = ask(address, &request).await;
    (head.status(), body)
}

async fn websocket_status(server: &Server, headers: &str) -> u16 {
    Socket::open(server.external, &upgrade(headers)).await.head().await.status()
}

#[tokio::test]
async fn health_is_told_and_other_paths_are_not_found() {
    let server = start(false, |_| {}).await;
    let (head, body) = get(server.external, "/health").await;
    assert_eq!((head.status(), body.as_str()), (200, "{}"));
    assert_eq!(head.header("content-type"), Some("application/json"));
    for path in
        ["/", "/health/", "/healthy", "/connection", "/apix/info", "/dev/connection.json", "/%2e%2e/x"]
    {
        assert_eq!(get(server.external, path).await.0.status(), 404, "{path}");
    }
    server.end().await;
    let server = start(false, |options| options.health.enabled = false).await;
    assert_eq!(get(server.external, "/health").await.0.status(), 404);
    server.end().await;
}

/// API-01.
#[tokio::test]
async fn api_and_health_are_on_the_internal_port_only() {
    let server = start(true, |_| {}).await;
    assert_eq!(
        api(server.internal, "channels", "{}").await,
        (200, r#"{"result":{"channels":{}}}"#.to_owned())
    );
    assert_eq!(api(server.external, "channels", "{}").await.0, 404);
    assert_eq!(get(server.internal, "/health").await.0.status(), 200);
    assert_eq!(get(server.external, "/health").await.0.status(), 404);
    assert_eq!(websocket_status(&server, "").await, 101);
    assert_eq!(Socket::open(server.internal, &upgrade("")).await.head().await.status(), 404);
    server.end().await;
}

#[tokio::test]
async fn the_api_can_be_external_too_or_off() {
    let server = start(true, |options| options.http_api.external = true).await;
    for address in [server.internal, server.external] {
        assert_eq!(api(address, "channels", "{}").await.0, 200);
    }
    server.end().await;
    let server = start(false, |options| options.http_api.disabled = true).await;
    assert_eq!(api(server.external, "channels", "{}").await.0, 404);
    server.end().await;
}

/// HID-60, LIM-14.
#[tokio::test]
async fn pages_connect_from_allowed_origins_only() {
    let server = start(false, |_| {}).await;
    assert_eq!(websocket_status(&server, "").await, 101);
    assert_eq!(websocket_status(&server, "Origin: http://page.example\r\n").await, 403);
    server.end().await;
    let server = start(false, |options| {
        options.client.allowed_origins = vec!["http://page.example".to_owned()];
    })
    .await;
    assert_eq!(websocket_status(&server, "Origin: http://page.example\r\n").await, 101);
    assert_eq!(websocket_status(&server, "Origin: http://other.example\r\n").await, 403);
    server.end().await;
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused_and_the_endpoint_can_be_off() {
    let server = start(false, |_| {}).await;
    let status = get(server.external, "/connection/websocket").await.0.status();
    assert!((400..500).contains(&status), "{status}");
    server.end().await;
    let server = start(false, |options| options.websocket.disabled = true).await;
    assert_eq!(websocket_status(&server, "").await, 404);
    server.end().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = start(false, |_| {}).await;
    let request = |length: usize| {
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(length))
    };
    assert_eq!(ask(server.external, &request(8 * 1024)).await.0.status(), 200);
    assert_eq!(ask(server.external, &request(20 * 1024)).await.0.status(), 431);
    server.end().await;
}

/// LIM-01.
#[tokio::test]
async fn stopping_tells_clients_to_come_again() {
    let server = start(true, |_| {}).await;
    let mut clients = [server.client().await, server.client().await];
    // Connections that ask for nothing do not hold the server up.
    let _idle = TcpStream::connect(server.external).await.expect("a connection");
    server.stop.cancel();
    for client in &mut clients {
        let (code, reason) = client.closed().await;
        assert_eq!((code, reason.as_str()), (3001, "shutdown"));
    }
    drop(clients);
    let (external, internal) = (server.external, server.internal);
    server.end().await;
    for address in [external, internal] {
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}

/// LIM-05.
#[tokio::test]
async fn connections_above_the_limit_are_turned_away() {
    let server = start(false, |options| options.client.connection_limit = 1).await;
    let client = server.client().await;
    let head = Socket::open(server.external, &upgrade("")).await.head().await;
    assert_eq!((head.status(), head.header("retry-after")), (503, Some("1")));
    // Other endpoints are not meant.
    assert_eq!(get(server.external, "/health").await.0.status(), 200);
    drop(client);
    server.end().await;
}

/// LIM-06, HID-63.
#[tokio::test]
async fn connections_that_come_too_fast_are_turned_away() {
    let server = start(false, |options| options.client.connection_rate_limit = 1).await;
    assert_eq!(websocket_status(&server, "").await, 101);
    // One a second is let in; asking is faster.
    let mut refused = false;
    for _ in 0..1000 {
        let head = Socket::open(server.external, &upgrade("")).await.head().await;
        if head.status() == 503 {
            assert_eq!(head.header("retry-after"), Some("1"));
            refused = true;
            break;
        }
    }
    assert!(refused);
    server.end().await;
}

#[tokio::test]
async fn development_pages_are_for_this_machine_only() {
    let server = start_as(false, true, |_| {}).await;
    let with_host = |path: &str, host: &str| format!("GET {path} HTTP/1.1\r\n{host}\r\n");
    for path in ["/", "/style.css", "/client.js", "/app.js", "/dev/connection.json"] {
        for (host, status) in [
            ("Host: localhost\r\n", 200),
            ("Host: 127.0.0.1:8000\r\n", 200),
            ("Host: [::1]:8000\r\n", 200),
            ("Host: evil.example\r\n", 403),
            ("Host: localhost.evil.example\r\n", 403),
            ("", 403),
        ] {
            let (head, body) = ask(server.external, &with_host(path, host)).await;
            assert_eq!(head.status(), status, "{path} {host}");
            assert!(status == 200 || !body.contains("token"), "{path} {host}: {body}");
        }
    }
    let (head, body) = get(server.external, "/dev/connection.json").await;
    assert_eq!(head.header("cache-control"), Some("no-store"));
    let connection: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(connection["url"], format!("ws://{}/connection/websocket", server.external));
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(ask(server.external, request).await.0.status(), 405);
    server.end().await;
}

/// CONF-10.
#[tokio::test]
async fn other_settings_change_what_clients_may_do() {
    let namespace = |allowed: bool| {
        let mut namespace = Namespace { name: "news".to_owned(), ..Namespace::default() };
        namespace.rules.allow_subscribe_for_client = allowed;
        namespace.rules.allow_subscribe_for_anonymous = allowed;
        vec![namespace]
    };
    let server = start(false, |options| options.channel.namespaces = namespace(false)).await;
    let mut client = server.client().await;
    let refused = client.call(r#"{"id":2,"subscribe":{"channel":"news:a"}}"#).await;
    assert!(refused.contains(r#""code":103"#), "{refused}");
    let mut options = server.options.clone();
    options.channel.namespaces = namespace(true);
    server.reload.apply(Settings::new(&options).expect("sound options"));
    let taken = client.call(r#"{"id":3,"subscribe":{"channel":"news:a"}}"#).await;
    assert!(taken.contains(r#""subscribe":{"#), "{taken}");
    // The namespace is gone: the API knows of it no more.
    options.channel.namespaces.clear();
    server.reload.apply(Settings::new(&options).expect("sound options"));
    let (status, body) = api(server.external, "publish", r#"{"channel":"news:a","data":1}"#).await;
    assert_eq!((status, body.contains(r#""code":102"#)), (200, true), "{body}");
    drop(client);
    server.end().await;
}

/// What the API publishes arrives.
#[tokio::test]
async fn publications_travel_through_the_whole_server() {
    let server = start(true, |options| options.client.insecure = true).await;
    let mut client = server.client().await;
    client.call(r#"{"id":2,"subscribe":{"channel":"a"}}"#).await;
    assert_eq!(api(server.internal, "publish", r#"{"channel":"a","data":{"x":1}}"#).await.0, 200);
    let (opcode, payload) = client.frame().await;
    let push: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!((opcode, push), (1, serde_json::json!({"push": {"channel": "a", "pub": {"data": {"x": 1}}}})));
    drop(client);
    server.end().await;
}
