//! The unidirectional GRPC stream through the whole server, in raw HTTP/2 (UNI-07, UNI-08, UNI-10, UNI-11).

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tourbillon::node::Target;
use tourbillon::protocol::client::{Replies, ServerMessage};
use tourbillon::protocol::{Envelope, PushEvent};
use tourbillon::types::{Encoding, Payload, UserId};
use tourbillon_server::config::{GoDuration, Options, SecretText, Settings};

use crate::certificates::{Authority, Speaking};
use crate::frames::*;
use crate::harness::{Server, all, start};
use crate::tls::Folder;

const PATH: &str = "/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume";

fn enabled(options: &mut Options) {
    options.uni_grpc.enabled = true;
}

async fn client(server: &Server) -> SendRequest<Bytes> {
    let address = server.uni_grpc.expect("a port of its own");
    over(TcpStream::connect(address).await.expect("a connection")).await
}

/// HTTP/2 over a connection that is there.
async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Bytes> {
    let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    requests
}

/// One call.
struct Stream {
    head: HeaderMap,
    body: RecvStream,
    buffer: BytesMut,
}

impl Stream {
    async fn open(requests: &SendRequest<Bytes>, message: &[u8]) -> Self {
        let request =
            Request::post(format!("http://localhost{PATH}")).header("content-type", "application/grpc");
        let mut ready = requests.clone().ready().await.expect("room for a stream");
        let (response, mut stream) =
            ready.send_request(request.body(()).expect("a request"), false).expect("sent");
        let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
        let call = [&[0], &length[..], message].concat();
        stream.send_data(Bytes::from(call), true).expect("sent");
        let (head, body) = response.await.expect("an answer").into_parts();
        assert_eq!(head.status, 200);
        Self { head: head.headers, body, buffer: BytesMut::new() }
    }

    /// The next push; `None` for a ping.
    async fn next(&mut self) -> Option<(String, PushEvent)> {
        loop {
            if let Some((prefix, rest)) = self.buffer.split_first_chunk::<5>() {
                let [_, length @ ..] = *prefix;
                let length = usize::try_from(u32::from_be_bytes(length)).expect("a length");
                if rest.len() >= length {
                    self.buffer.advance(5);
                    return decoded(&self.buffer.split_to(length));
                }
            }
            let data = self.body.data().await.expect("more").expect("whole");
            self.body.flow_control().release_capacity(data.len()).expect("taken");
            self.buffer.extend_from_slice(&data);
        }
    }

    /// The status that ends the call, which must come next.
    async fn end(&mut self) -> String {
        assert!(self.body.data().await.is_none());
        let trailers = self.body.trailers().await.expect("an end").expect("trailers");
        trailers["grpc-status"].to_str().expect("text").to_owned()
    }
}

fn decoded(message: &[u8]) -> Option<(String, PushEvent)> {
    let length = u8::try_from(message.len()).ok().filter(|length| *length < 0x80);
    let length = length.map_or_else(
        || {
            vec![
                0x80 | u8::try_from(message.len() & 0x7f).expect("bits"),
                u8::try_from(message.len() >> 7).expect("short"),
            ]
        },
        |length| vec![length],
    );
    let frame = Bytes::from([&length[..], message].concat());
    match Replies::new(Encoding::Protobuf, Envelope::Push, frame).next() {
        Some(Ok(ServerMessage::Push(push))) => {
            Some((push.channel.map(|channel| channel.to_string()).unwrap_or_default(), push.event))
        }
        Some(Ok(ServerMessage::Ping)) => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_gets_what_the_server_gives_to_the_end() {
    let server = start(enabled).await;
    let requests = client(&server).await;
    let (mut first, mut second) =
        (Stream::open(&requests, b"").await, Stream::open(&requests, b"\x22\x01x").await);
    for stream in [&mut first, &mut second] {
        let Some((_, PushEvent::Connect(connected))) = stream.next().await else { panic!("no connect push") };
        assert_eq!((connected.ping, connected.pong, connected.node.as_str()), (25, false, ""));
        assert_ne!(connected.session, connected.client);
        let client = &connected.client;
        let subscribe = format!(r#"{{"user":"","client":"{client}","channel":"b"}}"#);
        assert_eq!(server.api("subscribe", &subscribe).await.status, 200);
        assert!(matches!(stream.next().await, Some((channel, PushEvent::Subscribe(_))) if channel == "b"));
    }
    server.api("publish", r#"{"channel":"b","data":{"a":1}}"#).await;
    for stream in [&mut first, &mut second] {
        let Some((channel, PushEvent::Publication(publication))) = stream.next().await else {
            panic!("none")
        };
        assert_eq!((channel.as_str(), publication.data.bytes().as_ref()), ("b", &br#"{"a":1}"#[..]));
    }
    server.api("disconnect", r#"{"user":""}"#).await;
    for stream in [&mut first, &mut second] {
        let Some((_, PushEvent::Disconnect(told))) = stream.next().await else { panic!("no disconnect") };
        assert_eq!(told.code, 3503);
        assert_eq!(stream.end().await, "0");
    }
    server.end().await;
}

/// UNI-08, LIM-05.
#[tokio::test]
async fn refusals_are_told_by_push_or_status() {
    let server = start(|options| {
        enabled(options);
        options.client.allow_anonymous_connect_without_token = false;
        options.client.connection_limit = 1;
        options.uni_grpc.max_receive_message_size = 10;
    })
    .await;
    let requests = client(&server).await;
    let mut refused = Stream::open(&requests, b"").await;
    let Some((_, PushEvent::Disconnect(told))) = refused.next().await else { panic!("no disconnect") };
    assert!((3500..4500).contains(&told.code), "{told:?}");
    assert_eq!(refused.end().await, "0");
    // The place comes back with the end of the connection, which the client may be faster than.
    let mut large = Stream::open(&requests, &[0; 11]).await;
    while large.head["grpc-status"] == "14" {
        large = Stream::open(&requests, &[0; 11]).await;
    }
    assert_eq!(large.head["grpc-status"], "8");
    server.end().await;
    let server = start(|options| {
        enabled(options);
        options.client.connection_limit = 1;
    })
    .await;
    let requests = client(&server).await;
    let mut first = Stream::open(&requests, b"").await;
    assert!(first.next().await.is_some());
    assert_eq!(Stream::open(&requests, b"").await.head["grpc-status"], "14");
    drop(first);
    while Stream::open(&requests, b"").await.head.contains_key("grpc-status") {}
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn quiet_calls_are_pinged_and_quiet_connections_ended() {
    let server = start(enabled).await;
    let requests = client(&server).await;
    let mut stream = Stream::open(&requests, b"").await;
    assert!(stream.next().await.is_some());
    for _ in 0..3 {
        assert_eq!(stream.next().await.map(|(channel, _)| channel), None, "a ping");
    }
    // One that never calls is not kept.
    let address = server.uni_grpc.expect("a port");
    let mut silent = TcpStream::connect(address).await.expect("a connection");
    let began = Instant::now();
    let _ = all(&mut silent).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    drop(stream);
    server.end().await;
}

/// A call in frames, on a connection that gives each stream such a window, once its answer has begun.
async fn call_in_frames(server: &Server, window: u32) -> Raw {
    let mut raw = Raw::silent(server.uni_grpc.expect("a port")).await;
    let window = [&[0, 4], window.to_be_bytes().as_slice()].concat();
    raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &window)].concat()).await;
    let head = [begin("POST", PATH), field("content-type", "application/grpc")].concat();
    raw.send(&[frame(HEADERS, END_HEADERS, 1, &head), frame(DATA, END_STREAM, 1, &[0; 5])].concat()).await;
    raw.until(|seen| seen.answers == [(1, 200)]).await;
    raw
}

/// UNI-07: Centrifugo sends away who pings more often than every 5 s. The HTTP library answers here, one ping at a time,
/// and reads nothing while an answer is not taken.
#[tokio::test(start_paused = true)]
async fn pings_of_clients_are_answered_however_many_and_not_piled_up() {
    let server = start(enabled).await;
    let mut raw = call_in_frames(&server, 65_535).await;
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(1_000);
    for _ in 0..50 {
        raw.send(&pings).await;
        raw.until_heard().await;
    }
    assert!(!raw.seen.ended && raw.seen.goaway.is_none() && raw.seen.resets.is_empty(), "{:?}", raw.seen);
    let before = raw.seen.body.len();
    let everybody = Target::user(UserId::anonymous());
    server.node.send(&everybody, Payload::from("1")).await.expect("sent");
    assert!(!raw.until(|seen| seen.body.len() > before).await.ended);
    // Who reads no answer is soon not read, and is gone when its call is: what is pushed to it is not taken.
    let (begun, mut sent) = (Instant::now(), 0);
    while raw.stream.write_all(&pings).await.is_ok() {
        sent += pings.len();
        assert!(sent < 1 << 26, "it takes everything");
    }
    assert!((30..=80).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    while server.node.connections() > 0 {
        tokio::task::yield_now().await;
    }
    server.end().await;
}

/// UNI-07: after 25 s in which nothing came the server asks, and waits 5 s.
#[tokio::test(start_paused = true)]
async fn who_does_not_answer_pings_of_the_connection_is_left() {
    let server = start(enabled).await;
    let mut raw = call_in_frames(&server, 65_535).await;
    let (begun, mut asked) = (Instant::now(), None);
    let mut head = [0; 9];
    while raw.stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        raw.stream.read_exact(&mut vec![0; usize::try_from(length).expect("small")]).await.expect("a frame");
        if head[3] == PING {
            asked.get_or_insert_with(|| begun.elapsed().as_secs());
        }
    }
    assert_eq!((asked, begun.elapsed().as_secs()), (Some(25), 30));
    while server.node.connections() > 0 {
        tokio::task::yield_now().await;
    }
    server.end().await;
}

/// HID-101: Centrifugo pings every 25 s here, whatever its options say.
#[tokio::test(start_paused = true)]
async fn pings_of_calls_follow_the_options() {
    let server = start(|options| {
        enabled(options);
        options.client.ping_interval = GoDuration::from_secs(10);
    })
    .await;
    let requests = client(&server).await;
    let mut stream = Stream::open(&requests, b"").await;
    let Some((_, PushEvent::Connect(connected))) = stream.next().await else { panic!("no connect push") };
    assert_eq!((connected.ping, connected.pong), (10, false));
    assert!(stream.next().await.is_none(), "a ping");
    let begun = Instant::now();
    for _ in 0..3 {
        assert!(stream.next().await.is_none(), "a ping");
    }
    assert!((29..=31).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    drop(stream);
    server.end().await;
}

/// As any stream over HTTP/2 (EMU-06), and its place is free then.
#[tokio::test(start_paused = true)]
async fn a_call_whose_pushes_are_not_taken_ends_after_a_second() {
    hold_time();
    let server = start(|options| {
        enabled(options);
        options.client.connection_limit = 1;
    })
    .await;
    let mut raw = call_in_frames(&server, 10).await;
    raw.until(|seen| seen.body.len() == 10).await;
    let begun = Instant::now();
    while raw.until_heard().await.resets.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(100), "{:?} {}", raw.seen, server.node.connections());
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    let millis = begun.elapsed().as_millis();
    assert!((900..=1_300).contains(&millis), "{millis} ms");
    assert_eq!((raw.seen.resets.as_slice(), raw.seen.ended), ([(1, CANCEL)].as_slice(), false));
    while server.node.connections() > 0 {
        tokio::task::yield_now().await;
    }
    drop(raw);
    let requests = client(&server).await;
    assert!(Stream::open(&requests, b"").await.next().await.is_some(), "there is a place");
    server.end().await;
}

/// Whether a call over TLS gets its connect push.
async fn is_served(server: &Server, speaking: &Speaking<'_>) -> bool {
    let address = server.uni_grpc.expect("a port of its own");
    let Ok(stream) = speaking.connect(address).await else { return false };
    if !speaking.protocols.is_empty() {
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    }
    let Ok((mut requests, connection)) = h2::client::handshake(stream).await else { return false };
    tokio::spawn(connection);
    let request =
        Request::post(format!("https://localhost{PATH}")).header("content-type", "application/grpc");
    let Ok(()) = std::future::poll_fn(|cx| requests.poll_ready(cx)).await else { return false };
    let Ok((response, mut stream)) = requests.send_request(request.body(()).expect("a request"), false)
    else {
        return false;
    };
    let _ = stream.send_data(Bytes::from_static(&[0; 5]), true);
    let Ok(response) = response.await else { return false };
    response.into_body().data().await.is_some_and(|data| data.is_ok_and(|data| data.len() > 5))
}

/// UNI-07, NET-04, NET-09.
#[tokio::test]
async fn calls_come_over_tls_from_those_who_may() {
    let [authority, clients, others] = ["root", "clients", "others"].map(Authority::new);
    let server = start(|options| {
        enabled(options);
        options.uni_grpc.tls = authority.issue("localhost").options();
        options.uni_grpc.tls.client_ca_pem = clients.pem();
    })
    .await;
    let [member, stranger] = [&clients, &others].map(|authority| authority.issue("somebody"));
    for (shows, comes_in) in [(Some(&member), true), (Some(&stranger), false), (None, false)] {
        for protocols in [&[&b"h2"[..]][..], &[]] {
            let speaking = Speaking { shows, protocols, ..Speaking::trusting(&authority) };
            assert_eq!(is_served(&server, &speaking).await, comes_in);
        }
    }
    let speaking =
        Speaking { shows: Some(&member), protocols: &[b"http/1.1"], ..Speaking::trusting(&authority) };
    assert!(speaking.connect(server.uni_grpc.expect("a port")).await.is_err(), "HTTP/2 alone is spoken");
    // Without TLS there is nothing.
    let mut plain = TcpStream::connect(server.uni_grpc.expect("a port")).await.expect("a connection");
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    assert!(!all(&mut plain).await.starts_with(&[0, 0]), "no frame of HTTP/2");
    server.end().await;
}

/// A changed file, and other settings: both change the certificate without a restart.
#[tokio::test(start_paused = true)]
async fn the_certificate_of_calls_is_replaced() {
    let [old, new, newest] = ["old", "new", "newest"].map(Authority::new);
    let folder = Folder::new("grpc-reload");
    let issued = old.issue("localhost");
    let server = start(|options| {
        enabled(options);
        options.uni_grpc.tls = issued.options();
        options.uni_grpc.tls.cert_pem = folder.write("cert.pem", &issued.cert);
        options.uni_grpc.tls.key_pem = SecretText::new(folder.write("key.pem", &issued.key));
    })
    .await;
    let [by_old, by_new, by_newest] = [&old, &new, &newest].map(Speaking::trusting);
    assert!(is_served(&server, &by_old).await);
    let issued = new.issue("localhost");
    folder.write("cert.pem", &issued.cert);
    folder.write("key.pem", &issued.key);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(is_served(&server, &by_new).await && !is_served(&server, &by_old).await);
    let mut options = server.options.clone();
    options.uni_grpc.tls = newest.issue("localhost").options();
    server.reload.apply(Settings::new(&options).expect("sound options"));
    assert!(is_served(&server, &by_newest).await && !is_served(&server, &by_new).await);
    server.end().await;
}

/// A handshake that does not come takes no place for ever.
#[tokio::test(start_paused = true)]
async fn a_call_whose_handshake_does_not_come_is_not_waited_for() {
    let authority = Authority::new("root");
    let server = start(|options| {
        enabled(options);
        options.uni_grpc.tls = authority.issue("localhost").options();
    })
    .await;
    let mut silent = TcpStream::connect(server.uni_grpc.expect("a port")).await.expect("a connection");
    let began = Instant::now();
    let _ = all(&mut silent).await;
    assert!((9..=11).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    server.end().await;
}
