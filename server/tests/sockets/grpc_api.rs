//! The API over GRPC through the whole server, in raw HTTP/2 (API-07, API-08, NET-08).

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tourbillon_server::config::{GoDuration, Options, SecretText, Settings};

use crate::certificates::{Authority, Speaking};
use crate::harness::{Server, all, start};

const SERVICE: &str = "/centrifugal.centrifugo.api.CentrifugoApi";

fn enabled(options: &mut Options) {
    options.grpc_api.enabled = true;
}

async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Option<SendRequest<Bytes>> {
    let (requests, connection) = h2::client::handshake(stream).await.ok()?;
    tokio::spawn(connection);
    requests.ready().await.ok()
}

async fn client(server: &Server) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(server.grpc_api.expect("a port of its own")).await.expect("a connection");
    // Whoever waits for the other side to acknowledge lets simulated time pass.
    stream.set_nodelay(true).expect("no delay");
    over(stream).await.expect("HTTP/2")
}

/// Calls a method: the message that answers, and the status.
async fn call(
    client: &SendRequest<Bytes>,
    method: &str,
    key: Option<&str>,
    message: &[u8],
) -> Option<(Bytes, String)> {
    let mut request = Request::post(format!("http://localhost{SERVICE}/{method}"))
        .header("content-type", "application/grpc");
    if let Some(key) = key {
        request = request.header("authorization", format!("apikey {key}"));
    }
    let mut ready = client.clone().ready().await.ok()?;
    let (response, mut stream) = ready.send_request(request.body(()).expect("a request"), false).ok()?;
    let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
    stream.send_data([&[0], &length[..], message].concat().into(), true).ok()?;
    let (head, mut body) = response.await.ok()?.into_parts();
    let mut answer = Vec::new();
    while let Some(data) = body.data().await {
        answer.extend_from_slice(&data.ok()?);
    }
    let status = |headers: &HeaderMap| Some(headers.get("grpc-status")?.to_str().expect("text").to_owned());
    let trailers = body.trailers().await.ok()?.unwrap_or_default();
    let message = Bytes::from(answer.get(5..).unwrap_or_default().to_vec());
    Some((message, status(&trailers).or_else(|| status(&head.headers)).expect("a status")))
}

#[tokio::test]
async fn calls_of_the_api_are_carried_out_until_the_server_stops() {
    let server = start(|options| {
        enabled(options);
        options.grpc_api.key = SecretText::new("a key");
        options.channel.without_namespace.history_size = 2;
        options.channel.without_namespace.history_ttl = GoDuration::from_secs(60);
    })
    .await;
    let client = client(&server).await;
    // channel "c", data `{}`
    let publish = b"\x0a\x01c\x12\x02{}";
    for key in [None, Some("another"), Some("a key of more")] {
        let refused = call(&client, "Publish", key, publish).await.expect("an answer");
        assert_eq!(refused, (Bytes::new(), "16".to_owned()));
    }
    let (message, status) = call(&client, "Publish", Some("a key"), publish).await.expect("an answer");
    assert_eq!(status, "0");
    // A result with offset 1.
    assert_eq!((message[0], &message[2..4]), (0x12, &b"\x08\x01"[..]), "{message:?}");
    let answer = server.api("history", r#"{"channel":"c","limit":-1}"#).await;
    assert!(answer.body.contains(r#""publications":[{"data":{},"offset":1}]"#), "{}", answer.body);
    let other = call(&client, "DeviceList", Some("a key"), b"").await.expect("an answer");
    assert_eq!(other.1, "12");
    // A second client, whose connection does nothing, does not hold the server up.
    let idle = self::client(&server).await;
    let address = server.grpc_api.expect("a port");
    server.end().await;
    assert!(call(&client, "Info", Some("a key"), b"").await.is_none(), "the server has stopped");
    assert!(TcpStream::connect(address).await.is_err(), "and its port is gone");
    drop(idle);
}

/// MET-62, MET-63: by the protocol that they come over.
#[tokio::test]
async fn calls_are_told_to_prometheus() {
    let server = start(|options| {
        enabled(options);
        options.prometheus.enabled = true;
    })
    .await;
    let client = client(&server).await;
    for (channel, times) in [("c", 2), ("x:y", 1)] {
        let length = u8::try_from(channel.len()).expect("short");
        let publish = [&[0x0a, length][..], channel.as_bytes(), b"\x12\x02{}"].concat();
        for _ in 0..times {
            assert_eq!(call(&client, "Publish", None, &publish).await.expect("an answer").1, "0");
        }
    }
    let told = server.get("/metrics").await.body;
    for line in [
        r#"centrifugo_api_command_errors_total{error="102",method="publish",protocol="grpc"} 1"#,
        r#"centrifugo_api_command_duration_seconds_count{method="publish",protocol="grpc"} 3"#,
        r#"centrifugo_api_command_duration_seconds_histogram_count{method="publish",protocol="grpc"} 3"#,
    ] {
        assert!(told.lines().any(|told| told == line), "{line} in\n{told}");
    }
    server.end().await;
}

/// API-05: by the configuration.
#[tokio::test]
async fn errors_are_told_by_the_status_where_the_configuration_says_so() {
    for (mode, status) in [("", "0"), ("transport", "5")] {
        let server = start(|options| {
            enabled(options);
            mode.clone_into(&mut options.grpc_api.error_mode);
        })
        .await;
        let answer = call(&client(&server).await, "Publish", None, b"\x0a\x03x:y\x12\x01{").await;
        assert_eq!(answer.expect("an answer").1, status);
        server.end().await;
    }
}

/// NET-08.
#[tokio::test]
async fn calls_of_the_api_come_over_tls_from_those_who_may() {
    let [authority, clients, others] = ["root", "clients", "others"].map(Authority::new);
    let server = start(|options| {
        enabled(options);
        options.grpc_api.tls = authority.issue("localhost").options();
        options.grpc_api.tls.client_ca_pem = clients.pem();
    })
    .await;
    let address = server.grpc_api.expect("a port");
    let [member, stranger] = [&clients, &others].map(|authority| authority.issue("somebody"));
    for (shows, comes_in) in [(Some(&member), true), (Some(&stranger), false), (None, false)] {
        let speaking = Speaking { shows, protocols: &[b"h2"], ..Speaking::trusting(&authority) };
        let answer = async {
            let requests = over(speaking.connect(address).await.ok()?).await?;
            call(&requests, "Info", None, b"").await
        };
        assert_eq!(answer.await.is_some_and(|(_, status)| status == "0"), comes_in);
    }
    let mut plain = TcpStream::connect(address).await.expect("a connection");
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    assert!(!all(&mut plain).await.starts_with(&[0, 0]), "no frame of HTTP/2");
    // Other settings change the certificate without a restart.
    let newer = Authority::new("newer");
    let mut options = server.options.clone();
    options.grpc_api.tls = newer.issue("localhost").options();
    server.reload.apply(Settings::new(&options).expect("sound options"));
    let speaking = Speaking { protocols: &[b"h2"], ..Speaking::trusting(&newer) };
    let requests = over(speaking.connect(address).await.expect("TLS")).await.expect("HTTP/2");
    assert!(call(&requests, "Info", None, b"").await.is_some());
    server.end().await;
}

/// LIM-05 is about clients: backends come in whatever clients there are.
#[tokio::test(start_paused = true)]
async fn backends_take_no_places_of_clients_and_keep_their_connections() {
    let server = start(|options| {
        enabled(options);
        options.client.connection_limit = 1;
        options.client.half_open_limit = 1;
    })
    .await;
    let clients = [client(&server).await, client(&server).await, client(&server).await];
    for client in &clients {
        assert_eq!(call(client, "Info", None, b"").await.expect("an answer").1, "0");
    }
    // In steps, so that pings of connections are answered in time.
    for _ in 0..20 * 60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for client in &clients {
        assert_eq!(call(client, "Info", None, b"").await.expect("an answer").1, "0", "after a while");
    }
    drop(clients);
    server.end().await;
}
