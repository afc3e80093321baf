//! A server on ports of its own, and connections to it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tourbillon::node::Node;
use tourbillon_server::config::{ListenerConfig, Options, Settings};
use tourbillon_server::dev::{self, Dev};
use tourbillon_server::{App, Listeners, Reload};

pub(crate) const KEY: &str = "key";

/// Ends a test that would wait for ever.
const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    pub(crate) external: SocketAddr,
    pub(crate) internal: Option<SocketAddr>,
    pub(crate) uni_grpc: Option<SocketAddr>,
    pub(crate) grpc_api: Option<SocketAddr>,
    pub(crate) node: Node,
    pub(crate) options: Options,
    pub(crate) reload: Reload,
    pub(crate) stop: CancellationToken,
    pub(crate) hurry: CancellationToken,
    /// Whether everything ended in time.
    pub(crate) running: JoinHandle<bool>,
}

/// Starts a server with an API key, everybody let in without a name, and `change`.
pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> Server {
    Box::pin(start_at(Where::External, change)).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    External,
    /// With a port of its own for API and health.
    Internal,
    Dev,
}

pub(crate) async fn start_at(place: Where, change: impl FnOnce(&mut Options)) -> Server {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listeners =
        ListenerConfig { external: any.into(), internal: (place == Where::Internal).then(|| any.into()) };
    start_on(listeners, place == Where::Dev, change).await
}

/// Starts a server that listens there, in development mode if `dev`.
pub(crate) async fn start_on(
    listeners: ListenerConfig,
    dev: bool,
    change: impl FnOnce(&mut Options),
) -> Server {
    let mut options = Options::default();
    options.http_api.key = tourbillon_server::config::SecretText::new(KEY);
    options.health.enabled = true;
    options.client.allow_anonymous_connect_without_token = true;
    options.channel.without_namespace.allow_subscribe_for_client = true;
    options.channel.without_namespace.allow_subscribe_for_anonymous = true;
    change(&mut options);
    if dev {
        dev::prepare(&mut options, &dev::Keys::fresh().expect("randomness"));
    }
    let settings = Settings::new(&options).expect("sound options");
    let mut listeners = Listeners::bind(&listeners).await.expect("free ports");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    if settings.grpc_api.is_some() {
        listeners = listeners.with_grpc_api(any).await.expect("a free port");
    }
    if settings.uni_grpc.is_some() {
        listeners = listeners.with_uni_grpc(any).await.expect("a free port");
    }
    if settings.ports.http3 {
        listeners = listeners.with_http3().await.expect("a free port");
    }
    let uni_grpc = listeners.uni_grpc_address().expect("an address");
    let grpc_api = listeners.grpc_api_address().expect("an address");
    let external = listeners.external_address().expect("an address");
    let internal = listeners.internal_address().expect("an address");
    let dev = dev.then(|| Dev::new(&options, external));
    let app = Box::pin(App::build(settings, listeners, dev)).await.expect("a sound server");
    let (node, reload) = (app.node().clone(), app.reload());
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let running = tokio::spawn(app.run(stop.clone(), hurry.clone()));
    Server { external, internal, uni_grpc, grpc_api, node, options, reload, stop, hurry, running }
}

impl Server {
    /// Sends one request, with `Connection: close`, and reads all that comes.
    pub(crate) async fn ask(&self, head: &str, body: &str) -> Response {
        ask(self.external, head, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n"), "").await
    }

    pub(crate) async fn api(&self, method: &str, body: &str) -> Response {
        self.ask(&format!("POST /api/{method} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n"), body)
            .await
    }

    /// Ends the server, which must take nothing with it.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(LONG, self.running).await.expect("it ends");
        assert!(ended.expect("no panic"), "the server did not end in time");
        assert_eq!(self.node.stats(), Default::default(), "something is left of the connections");
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// The header's value, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (of, value) = line.split_once(':')?;
            of.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }
}

/// `head` without the empty line; the length of the body is added.
pub(crate) async fn ask(address: SocketAddr, head: &str, body: &str) -> Response {
    ask_over(TcpStream::connect(address).await.expect("a connection"), head, body).await
}

/// The same over a connection that is there.
pub(crate) async fn ask_over(mut stream: impl Stream, head: &str, body: &str) -> Response {
    let request = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.expect("sent");
    Response::parse(&all(&mut stream).await)
}

/// What a client speaks over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// All that comes until the peer ends the connection, in whatever way.
pub(crate) async fn all(stream: &mut impl Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

pub(crate) const UPGRADE: &str = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A client that has upgraded and speaks JSON in unmasked-looking frames (its mask is zero).
pub(crate) struct Client<S = TcpStream>(S);

impl Client {
    /// Upgrades; the response's status where it is not 101.
    pub(crate) async fn upgrade(address: SocketAddr, headers: &str) -> Result<Self, u16> {
        Self::try_upgrade(address, headers).await.map_err(|refused| refused.status)
    }

    /// Upgrades; the response where it is not 101.
    pub(crate) async fn try_upgrade(address: SocketAddr, headers: &str) -> Result<Self, Response> {
        Self::upgrade_at(address, "/connection/websocket", headers).await
    }

    /// Upgrades at that path, with a query or without.
    pub(crate) async fn upgrade_at(
        address: SocketAddr,
        target: &str,
        headers: &str,
    ) -> Result<Self, Response> {
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self::over_at(stream, target, headers).await
    }

    /// Upgrades and connects.
    pub(crate) async fn connected(address: SocketAddr) -> Self {
        let mut client = Self::upgrade(address, "").await.expect("an upgrade");
        client.connect().await;
        client
    }

    /// Connects and subscribes.
    pub(crate) async fn subscribed(address: SocketAddr, channel: &str) -> Self {
        let mut client = Self::connected(address).await;
        client.subscribe(channel).await;
        client
    }
}

impl<S: Stream> Client<S> {
    /// Upgrades a connection that is there; the response where it is not 101.
    pub(crate) async fn over(stream: S, headers: &str) -> Result<Self, Response> {
        Self::over_at(stream, "/connection/websocket", headers).await
    }

    async fn over_at(mut stream: S, target: &str, headers: &str) -> Result<Self, Response> {
        let request = format!("GET {target} HTTP/1.1\r\n{UPGRADE}{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a response"));
        }
        let response = Response::parse(&head);
        if response.status == 101 { Ok(Self(stream)) } else { Err(response) }
    }

    /// Sends a text message of less than 64 KiB.
    pub(crate) async fn send(&mut self, text: &str) {
        let length = u16::try_from(text.len()).expect("a short message");
        let mut frame = vec![0x81, 0xfe];
        match u8::try_from(length).ok().filter(|length| *length < 126) {
            Some(length) => frame[1] = 0x80 | length,
            None => frame.extend_from_slice(&length.to_be_bytes()),
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).await.expect("sent");
    }

    /// The next frame: its opcode and what it holds.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
        tokio::time::timeout(LONG, self.read_frame()).await.expect("something comes")
    }

    async fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let opcode = self.0.read_u8().await.expect("a frame") & 0x0f;
        let length = match self.0.read_u8().await.expect("a length") {
            126 => usize::from(self.0.read_u16().await.expect("a length")),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.expect("a payload");
        (opcode, payload)
    }

    pub(crate) async fn text(&mut self) -> String {
        let (opcode, payload) = self.frame().await;
        assert_eq!(opcode, 1, "{payload:?}");
        String::from_utf8(payload).expect("text")
    }

    /// The code and the reason of the close frame, which must come next.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let (opcode, payload) = self.frame().await;
        assert_eq!(opcode, 8, "{payload:?}");
        let (code, reason) = payload.split_at(2);
        (u16::from_be_bytes([code[0], code[1]]), String::from_utf8_lossy(reason).into_owned())
    }

    /// Answers a ping.
    pub(crate) async fn pong(&mut self) {
        self.0.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.expect("sent");
    }

    /// All that still comes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        all(&mut self.0).await
    }

    pub(crate) async fn call(&mut self, command: &str) -> String {
        self.send(command).await;
        self.text().await
    }

    pub(crate) async fn connect(&mut self) {
        assert!(self.call(r#"{"id":1,"connect":{}}"#).await.contains(r#""connect""#));
    }

    pub(crate) async fn subscribe(&mut self, channel: &str) {
        let command = format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#);
        assert!(self.call(&command).await.contains(r#""subscribe""#));
    }
}
