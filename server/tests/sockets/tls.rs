//! TLS of listeners (NET-03, NET-04).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};
use tourbillon_server::config::model::Tls;
use tourbillon_server::config::{SecretText, Settings};

use crate::certificates::{Authority, Speaking, connect};
use crate::harness::{Client, KEY, Server, Where, all, ask, ask_over, start, start_at};

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\n";

/// A folder of a test's own.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tourbillon-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("a path").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn is_served(server: &Server, authority: &Authority) -> bool {
    let Ok(stream) = Speaking::trusting(authority).connect(server.external).await else { return false };
    ask_over(stream, HEALTH, "").await.status == 200
}

#[tokio::test]
async fn a_certificate_is_taken_as_text_as_base64_and_from_files() {
    let (authority, folder) = (Authority::new("root"), Folder::new("tls-files"));
    let issued = authority.issue("localhost");
    let files = [folder.write("cert.pem", &issued.cert), folder.write("key.pem", &issued.key)];
    let base64 = [STANDARD.encode(&issued.cert), STANDARD.encode(&issued.key)];
    for [cert, key] in [[issued.cert.clone(), issued.key.clone()], base64, files] {
        let server = start(|options| {
            options.http_server.tls =
                Tls { enabled: true, cert_pem: cert, key_pem: SecretText::new(key), ..Tls::default() };
        })
        .await;
        assert!(is_served(&server, &authority).await);
        server.end().await;
    }
}

#[tokio::test]
async fn clients_speak_websocket_and_the_api_over_tls() {
    let authority = Authority::new("root");
    let server = start(|options| authority.issue("localhost").on(options)).await;
    for versions in [&[&TLS12], &[&TLS13]] {
        let speaking = Speaking { versions, protocols: &[b"http/1.1"], ..Speaking::trusting(&authority) };
        let stream = speaking.connect(server.external).await.expect("TLS");
        let mut client = Client::over(stream, "").await.expect("an upgrade");
        client.connect().await;
        client.subscribe("a").await;
        let head = format!("POST /api/publish HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n");
        let stream = speaking.connect(server.external).await.expect("TLS");
        // More than a record holds.
        let data = "x".repeat(50_000);
        let answer = ask_over(stream, &head, &format!(r#"{{"channel":"a","data":"{data}"}}"#)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(client.text().await.contains(&data));
    }
    // Without TLS there is nothing but a word on why.
    let answer = ask(server.external, HEALTH, "").await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "this port speaks TLS\n"), "{answer:?}");
    server.end().await;
}

#[tokio::test]
async fn versions_below_the_oldest_are_refused() {
    let authority = Authority::new("root");
    for (min_version, newest) in [("1.2", ProtocolVersion::TLSv1_2), ("1.3", ProtocolVersion::TLSv1_3)] {
        let server = start(|options| {
            authority.issue("localhost").on(options);
            min_version.clone_into(&mut options.http_server.tls.min_version);
        })
        .await;
        let old = Speaking { versions: &[&TLS12], ..Speaking::trusting(&authority) };
        let spoken = old.connect(server.external).await.map(|stream| stream.get_ref().1.protocol_version());
        match newest {
            ProtocolVersion::TLSv1_2 => assert_eq!(spoken.expect("TLS"), Some(newest)),
            _ => assert!(spoken.is_err()),
        }
        assert!(is_served(&server, &authority).await);
        server.end().await;
    }
}

#[tokio::test]
async fn with_roots_of_clients_only_theirs_come_in() {
    let [authority, clients, others] = ["root", "clients", "others"].map(Authority::new);
    let server = start(|options| {
        authority.issue("localhost").on(options);
        options.http_server.tls.client_ca_pem = clients.pem();
    })
    .await;
    let [member, stranger] = [&clients, &others].map(|authority| authority.issue("somebody"));
    for (shows, comes_in) in [(Some(&member), true), (Some(&stranger), false), (None, false)] {
        for versions in [&[&TLS12], &[&TLS13]] {
            let speaking = Speaking { shows, versions, ..Speaking::trusting(&authority) };
            // With TLS 1.3, clients think that they are in before the server knows them.
            let served = match speaking.connect(server.external).await {
                Ok(mut stream) => {
                    stream.write_all(format!("{HEALTH}Connection: close\r\n\r\n").as_bytes()).await.is_ok()
                        && all(&mut stream).await.starts_with(b"HTTP/1.1 200")
                }
                Err(_) => false,
            };
            assert_eq!(served, comes_in);
        }
    }
    server.end().await;
}

/// NET-03: the internal port has the same TLS, none, or its own.
#[tokio::test]
async fn the_internal_port_may_have_other_tls_or_none() {
    let [one, other] = ["one", "other"].map(Authority::new);
    let [external, internal] = [&one, &other].map(|authority| authority.issue("localhost"));
    for (tls_external, own, expected) in [
        (false, false, Some(&one)),
        (true, false, None),
        (false, true, Some(&other)),
        (true, true, Some(&other)),
    ] {
        let server = start_at(Where::Internal, |options| {
            external.on(options);
            options.http_server.tls_external = tls_external;
            if own {
                options.http_server.internal_tls = internal.options();
            }
        })
        .await;
        let address = server.internal.expect("a second port");
        match expected {
            None => assert_eq!(ask(address, HEALTH, "").await.status, 200),
            Some(authority) => {
                let stream = Speaking::trusting(authority).connect(address).await.expect("TLS");
                assert_eq!(ask_over(stream, HEALTH, "").await.status, 200);
            }
        }
        let stream = Speaking::trusting(&one).connect(server.external).await.expect("TLS");
        assert_eq!(ask_over(stream, HEALTH, "").await.status, 404, "health is internal");
        server.end().await;
    }
}

/// A new certificate in the file is shown without a restart, and a broken one is not taken. Connections stay.
#[tokio::test(start_paused = true)]
async fn a_changed_file_is_loaded_again() {
    let ([old, new], folder) = (["old", "new"].map(Authority::new), Folder::new("tls-reload"));
    let [before, after] = [&old, &new].map(|authority| authority.issue("localhost"));
    let server = start(|options| {
        before.on(options);
        options.http_server.tls.cert_pem = folder.write("cert.pem", &before.cert);
        options.http_server.tls.key_pem = SecretText::new(folder.write("key.pem", &before.key));
    })
    .await;
    let stream = Speaking::trusting(&old).connect(server.external).await.expect("TLS");
    let mut client = Client::over(stream, "").await.expect("an upgrade");
    client.connect().await;
    // The certificate is there before its key: they do not belong together.
    folder.write("cert.pem", &after.cert);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(is_served(&server, &old).await && !is_served(&server, &new).await);
    folder.write("key.pem", &after.key);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(is_served(&server, &new).await && !is_served(&server, &old).await);
    client.subscribe("a").await;
    drop(client);
    server.end().await;
}

/// What a signal does: the configuration may say other certificates, and other roots of clients.
#[tokio::test]
async fn other_settings_change_certificates_and_who_comes_in() {
    let [old, new, clients] = ["old", "new", "clients"].map(Authority::new);
    let server = start(|options| old.issue("localhost").on(options)).await;
    let mut options = server.options.clone();
    new.issue("localhost").on(&mut options);
    server.reload.apply(Settings::new(&options).expect("sound options"));
    assert!(is_served(&server, &new).await && !is_served(&server, &old).await);
    options.http_server.tls.client_ca_pem = clients.pem();
    server.reload.apply(Settings::new(&options).expect("sound options"));
    assert!(!is_served(&server, &new).await, "without a certificate of its own");
    let shows = clients.issue("somebody");
    let speaking = Speaking { shows: Some(&shows), ..Speaking::trusting(&new) };
    let stream = speaking.connect(server.external).await.expect("TLS");
    assert_eq!(ask_over(stream, HEALTH, "").await.status, 200);
    server.end().await;
}

/// Sessions are resumed by tickets, and not any more when who may come in has changed.
#[tokio::test]
async fn tickets_do_not_outlive_the_roots_of_clients() {
    let [authority, one, other] = ["root", "one", "other"].map(Authority::new);
    let server = start(|options| {
        authority.issue("localhost").on(options);
        options.http_server.tls.client_ca_pem = one.pem();
    })
    .await;
    let member = one.issue("somebody");
    let config = Arc::new(Speaking { shows: Some(&member), ..Speaking::trusting(&authority) }.config());
    let visit = async || {
        let mut stream = connect(server.external, Arc::clone(&config)).await.ok()?;
        stream.write_all(format!("{HEALTH}Connection: close\r\n\r\n").as_bytes()).await.ok()?;
        let answer = all(&mut stream).await;
        answer.starts_with(b"HTTP/1.1 200").then(|| stream.get_ref().1.handshake_kind()).flatten()
    };
    assert_eq!([visit().await, visit().await], [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
    let mut options = server.options.clone();
    options.http_server.tls.client_ca_pem = other.pem();
    server.reload.apply(Settings::new(&options).expect("sound options"));
    assert_eq!(visit().await, None);
    server.end().await;
}

/// Whoever does not come to the point is sent away, at whatever door.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_ends_the_connection() {
    let authority = Authority::new("root");
    let server = start(|options| authority.issue("localhost").on(options)).await;
    for begun in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01", b"\x16"] {
        let mut stream = TcpStream::connect(server.external).await.expect("a connection");
        stream.write_all(begun).await.expect("sent");
        let since = tokio::time::Instant::now();
        let everything = tokio::time::timeout(Duration::from_secs(600), all(&mut stream)).await;
        everything.expect("the server ends the connection");
        assert!((9..=11).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    }
    // After the handshake, a head has its own time.
    let mut stream = Speaking::trusting(&authority).connect(server.external).await.expect("TLS");
    let since = tokio::time::Instant::now();
    let _ = tokio::time::timeout(Duration::from_secs(600), stream.read_u8()).await.expect("an end");
    assert!((9..=11).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    server.end().await;
}

#[tokio::test]
async fn what_is_no_handshake_ends_its_connection_and_nothing_else() {
    let authority = Authority::new("root");
    let server = start(|options| authority.issue("localhost").on(options)).await;
    let record = |length: u16| [&[0x16, 3, 1][..], &length.to_be_bytes()].concat();
    for begun in [
        // A hello that is none, one that is longer than any, an alert, application data, an empty record, heartbeats.
        [record(5), vec![1, 0, 0, 1, 0]].concat(),
        [record(4), vec![1, 0xff, 0xff, 0xff]].concat(),
        record(0xffff),
        vec![0x15, 3, 1, 0, 2, 2, 40],
        vec![0x17, 3, 3, 0, 1, 0],
        [record(0), record(0)].concat(),
        vec![0x18, 3, 2, 0, 3, 1, 0x40, 0],
        vec![0x80, 0x2e, 1, 0, 2],
    ] {
        let mut stream = TcpStream::connect(server.external).await.expect("a connection");
        stream.write_all(&begun).await.expect("sent");
        let _ = stream.shutdown().await;
        let answer = all(&mut stream).await;
        assert!(!answer.starts_with(b"HTTP/1.1"), "{answer:?}");
    }
    assert!(is_served(&server, &authority).await);
    server.end().await;
}
