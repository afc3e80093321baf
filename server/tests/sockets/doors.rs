//! Unix sockets, and load balancers that say who clients are.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::time::{Duration, Instant};
use tourbillon_server::config::{ListenerConfig, Options, Place, Settings};
use tourbillon_server::{App, Listeners};

use crate::certificates::{Authority, Speaking};
use crate::harness::{Client, KEY, all, ask_over, start};
use crate::tls::Folder;

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\n";

/// A server with a Unix socket for clients and a TCP port for the rest, and its end.
async fn start_unix(path: &Path) -> (SocketAddr, impl AsyncFnOnce()) {
    let mut options = Options::default();
    options.health.enabled = true;
    options.http_api.key = tourbillon_server::config::SecretText::new(KEY);
    options.client.allow_anonymous_connect_without_token = true;
    let settings = Settings::new(&options).expect("sound options");
    let listeners = ListenerConfig {
        external: Place::Unix(path.to_path_buf()),
        internal: Some(SocketAddr::from(([127, 0, 0, 1], 0)).into()),
    };
    let listeners = Listeners::bind(&listeners).await.expect("free places");
    assert_eq!(listeners.names()[0], format!("unix:{}", path.display()));
    assert!(listeners.external_address().is_err());
    let internal = listeners.internal_address().expect("an address").expect("a second port");
    let app = App::build(settings, listeners, None).await.expect("a sound server");
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(app.run(stop.clone(), stop.clone()));
    (internal, async move || {
        stop.cancel();
        assert!(running.await.expect("no panic"), "it ends in time");
    })
}

#[tokio::test]
async fn clients_come_by_a_unix_socket() {
    let folder = Folder::new("unix");
    let path = folder.0.join("clients.sock");
    // What a server that died has left is no hindrance.
    drop(UnixListener::bind(&path).expect("a socket"));
    let (internal, end) = start_unix(&path).await;
    let mut client =
        Client::over(UnixStream::connect(&path).await.expect("a socket"), "").await.expect("an upgrade");
    client.connect().await;
    assert_eq!(ask_over(UnixStream::connect(&path).await.expect("a socket"), HEALTH, "").await.status, 404);
    assert_eq!(ask_over(TcpStream::connect(internal).await.expect("a port"), HEALTH, "").await.status, 200);
    // One that is served is not taken over, nor is any other file.
    let taken = |path: &Path| ListenerConfig { external: Place::Unix(path.to_path_buf()), internal: None };
    let error = Listeners::bind(&taken(&path)).await.expect_err("it is taken").to_string();
    assert!(error.starts_with(&format!("listening on unix:{}: ", path.display())), "{error}");
    let file = folder.write("file", "something");
    assert!(Listeners::bind(&taken(Path::new(&file))).await.is_err());
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), "something");
    drop(client);
    end().await;
    assert!(!path.exists(), "it is removed in the end");
}

/// What systemd does: sockets are there before the server, which is told their number and names.
#[tokio::test]
async fn sockets_of_the_service_manager_are_taken() {
    let listen = || std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let (internal, external) = (listen(), listen());
    let addresses = [&internal, &external].map(|listener| listener.local_addr().expect("an address"));
    let script = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; \
                  export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=internal:clients; exec \"$0\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_tourbillon")])
        .env("CENTRIFUGO_HTTP_SERVER_ADDRESS", "systemd:clients")
        .env("CENTRIFUGO_HTTP_SERVER_INTERNAL_ADDRESS", "systemd:internal")
        .env("CENTRIFUGO_HEALTH_ENABLED", "true")
        .env("CENTRIFUGO_CLIENT_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN", "true")
        .stdin(OwnedFd::from(internal))
        .stdout(OwnedFd::from(external))
        .stderr(Stdio::null());
    let mut server = command.spawn().expect("it runs");
    let health = async |at: usize| {
        ask_over(TcpStream::connect(addresses[at]).await.expect("a port"), HEALTH, "").await.status
    };
    assert_eq!([health(0).await, health(1).await], [200, 404]);
    drop(Client::connected(addresses[1]).await);
    server.kill().expect("it ends");
    server.wait().expect("it ended");
}

#[tokio::test]
async fn a_socket_that_is_not_handed_over_stops_the_start() {
    for name in [None, Some("clients".to_owned())] {
        let listeners = ListenerConfig { external: Place::Inherited(name), internal: None };
        let error = Listeners::bind(&listeners).await.expect_err("there is none").to_string();
        assert!(error.starts_with("listening on systemd"), "{error}");
    }
}

/// The peer that a server sees, as its log of requests and limits do: the development page is for this machine alone.
async fn status_of_page(address: SocketAddr, header: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(header).await.expect("sent");
    ask_over(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n", "").await.status
}

fn proxied(options: &mut Options, trusted: &str) {
    options.http_server.proxy_protocol.enabled = true;
    options.http_server.proxy_protocol.trusted = vec![trusted.to_owned()];
}

#[tokio::test]
async fn a_load_balancer_says_who_clients_are() {
    let start_dev = async |trusted: &'static str| {
        let any = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        let listeners = ListenerConfig { external: any, internal: None };
        crate::harness::start_on(listeners, true, |options| proxied(options, trusted)).await
    };
    let binary =
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[192, 0, 2, 1, 10, 0, 0, 1, 1, 1, 2, 2]].concat();
    let server = start_dev("127.0.0.0/8").await;
    for (header, status) in [
        (b"PROXY TCP4 127.0.0.1 10.0.0.1 1000 80\r\n".as_slice(), 200),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 1000 80\r\n", 403),
        (b"PROXY UNKNOWN\r\n", 200),
        (&binary, 403),
        // Whoever is trusted has to say.
        (b"", 0),
    ] {
        assert_eq!(status_of_page(server.external, header).await, status, "{header:?}");
    }
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    stream.write_all(b"PROXY TCP4 192.0.2.1 10.0.0.1 1000 80\r\n").await.expect("sent");
    let mut client = Client::over(stream, "").await.expect("an upgrade");
    client.send(r#"{"id":1,"connect":{}}"#).await;
    client.frame().await;
    drop(client);
    server.end().await;
    // Whoever is not is a client, and may say nothing about others.
    let server = start_dev("10.0.0.0/8").await;
    assert_eq!(status_of_page(server.external, b"").await, 200);
    assert_eq!(status_of_page(server.external, b"PROXY TCP4 192.0.2.1 10.0.0.1 1 80\r\n").await, 400);
    server.end().await;
}

/// Before TLS, and within the same time.
#[tokio::test(start_paused = true)]
async fn the_header_comes_before_tls_and_in_time() {
    let authority = Authority::new("root");
    let server = start(|options| {
        authority.issue("localhost").on(options);
        proxied(options, "127.0.0.1");
    })
    .await;
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    stream.write_all(b"PROXY TCP4 192.0.2.1 10.0.0.1 1000 80\r\n").await.expect("sent");
    let config = std::sync::Arc::new(Speaking::trusting(&authority).config());
    let stream = crate::certificates::speak(stream, config).await.expect("TLS");
    assert_eq!(ask_over(stream, HEALTH, "").await.status, 200);
    for begun in [b"".as_slice(), b"PROXY TCP4 ", b"PROXY TCP4 192.0.2.1 10.0.0.1 1000 80\r\n\x16\x03"] {
        let mut stream = TcpStream::connect(server.external).await.expect("a connection");
        stream.write_all(begun).await.expect("sent");
        let since = Instant::now();
        tokio::time::timeout(Duration::from_secs(600), all(&mut stream)).await.expect("it ends");
        assert!((9..=11).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    }
    server.end().await;
}
