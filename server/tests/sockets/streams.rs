//! Connections over plain HTTP against the whole server.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tourbillon::types::{Channel, Payload};
use tourbillon_server::config::model::{
    ConnectCodeTransform, DisconnectTransform, HttpResponse, ToldDisconnect,
};
use tourbillon_server::config::{GoDuration, Options, SecretText};

use crate::harness::{Client, Response, Server, all, ask, start};

fn everything(options: &mut Options) {
    options.http_stream.enabled = true;
    options.sse.enabled = true;
    options.uni_http_stream.enabled = true;
    options.uni_sse.enabled = true;
    options.init.enabled = true;
}

/// An answer that does not end.
struct Stream {
    stream: TcpStream,
    head: Response,
    body: Vec<u8>,
}

impl Stream {
    async fn open(server: &Server, method: &str, target: &str, body: &str) -> Self {
        let mut stream = TcpStream::connect(server.external).await.expect("a connection");
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        Self { stream, head: Response::parse(&head), body: Vec::new() }
    }

    /// The next message that ends so, without what is around it; `None` at the end of the body.
    async fn next(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some(at) = self.body.windows(end.len()).position(|window| window == end.as_bytes()) {
                let message: Vec<u8> = self.body.drain(..at + end.len()).collect();
                let text = String::from_utf8(message).expect("text");
                return Some(text.trim().trim_start_matches("data: ").to_owned());
            }
            let mut length = String::new();
            while !length.ends_with("\r\n") {
                length.push(char::from(self.stream.read_u8().await.expect("a length")));
            }
            let length = usize::from_str_radix(length.trim(), 16).expect("a length");
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk).await.expect("a chunk");
            if length == 0 {
                return None;
            }
            self.body.extend_from_slice(&chunk[..length]);
        }
    }
}

/// A field of a reply in JSON whose value is a text.
fn field<'a>(reply: &'a str, name: &str) -> &'a str {
    let (_, rest) = reply.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("{name}: {reply}"));
    rest.split('"').next().expect("a value")
}

async fn emulate(server: &Server, connected: &str, commands: &str) -> u16 {
    let body = serde_json::json!({
        "node": field(connected, "node"), "session": field(connected, "session"), "data": commands,
    });
    let head = "POST /emulation HTTP/1.1\r\nHost: localhost\r\n";
    ask(server.external, head, &body.to_string()).await.status
}

/// TR-02..04, EMU-07..10.
#[tokio::test]
async fn both_directions_work_by_emulation_to_the_end() {
    let server = start(everything).await;
    for (method, target, body, end) in [
        ("POST", "/connection/http_stream", r#"{"id":1,"connect":{}}"#, "\n"),
        ("GET", "/connection/sse?cf_connect=%7B%22id%22:1,%22connect%22:%7B%7D%7D", "", "\n\n"),
        ("POST", "/connection/sse", r#"{"id":1,"connect":{}}"#, "\n\n"),
    ] {
        let mut stream = Stream::open(&server, method, target, body).await;
        assert_eq!(stream.head.status, 200);
        let connected = stream.next(end).await.expect("a reply");
        assert!(connected.starts_with(r#"{"id":1,"connect":{"#), "{connected}");
        assert_eq!(field(&connected, "node"), server.node.id().to_string());
        assert_ne!(field(&connected, "session"), field(&connected, "client"));
        let commands = r#"{"id":2,"subscribe":{"channel":"a"}}"#.to_owned() + "\n" + r#"{"id":3,"rpc":{}}"#;
        assert_eq!(emulate(&server, &connected, &commands).await, 204);
        assert_eq!(stream.next(end).await.as_deref(), Some(r#"{"id":2,"subscribe":{}}"#));
        assert!(stream.next(end).await.expect("a reply").starts_with(r#"{"id":3,"error":{"code":1"#));
        server.api("publish", r#"{"channel":"a","data":{"text":"line\nbreak"}}"#).await;
        assert_eq!(
            stream.next(end).await.as_deref(),
            Some(r#"{"push":{"channel":"a","pub":{"data":{"text":"line\nbreak"}}}}"#)
        );
        // What is no command ends the connection, told within the stream (EMU-10).
        assert_eq!(emulate(&server, &connected, "{").await, 204);
        let told = stream.next(end).await;
        assert_eq!(told.as_deref(), Some(r#"{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}"#));
        assert_eq!(stream.next(end).await, None);
        assert_eq!(emulate(&server, &connected, "{}").await, 204, "EMU-09: as to any unknown session");
    }
    server.end().await;
}

#[tokio::test]
async fn a_first_message_that_is_none_ends_the_stream_at_once() {
    let server = start(everything).await;
    for body in ["", "{", r#"{"id":1,"subscribe":{"channel":"a"}}"#, "\n"] {
        let mut stream = Stream::open(&server, "POST", "/connection/http_stream", body).await;
        let told = stream.next("\n").await.expect("a push");
        assert_eq!(told, r#"{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}"#, "{body}");
        assert_eq!(stream.next("\n").await, None);
    }
    server.end().await;
}

/// UNI-01, UNI-05, UNI-06, UNI-10, UNI-11: bare pushes, a session, no pong, and the server's word for everything.
#[tokio::test]
async fn one_way_clients_get_bare_pushes() {
    let server = start(everything).await;
    for (method, target, body, end) in [
        ("POST", "/connection/uni_http_stream", "{\n\"name\":\"x\"\n}", "\n"),
        ("POST", "/connection/uni_http_stream", "null", "\n"),
        ("GET", "/connection/uni_sse", "", "\n\n"),
        ("GET", "/connection/uni_sse?cf_connect=%7B%7D", "", "\n\n"),
        ("POST", "/connection/uni_sse", "{}", "\n\n"),
    ] {
        let mut stream = Stream::open(&server, method, target, body).await;
        assert_eq!(stream.head.status, 200, "{target}");
        let connected = stream.next(end).await.expect("a push");
        assert!(connected.starts_with(r#"{"connect":{"client":""#), "{connected}");
        assert!(connected.contains(r#""ping":25"#), "{connected}");
        assert!(!connected.contains("pong") && !connected.contains("node"), "{connected}");
        let client = field(&connected, "client");
        assert_ne!(field(&connected, "session"), client);
        let subscribe = format!(r#"{{"user":"","client":"{client}","channel":"b"}}"#);
        assert_eq!(server.api("subscribe", &subscribe).await.status, 200);
        assert_eq!(stream.next(end).await.as_deref(), Some(r#"{"channel":"b","subscribe":{}}"#));
        server.api("publish", r#"{"channel":"b","data":1}"#).await;
        assert_eq!(stream.next(end).await.as_deref(), Some(r#"{"channel":"b","pub":{"data":1}}"#));
        let unsubscribe = format!(r#"{{"user":"","client":"{client}","channel":"b"}}"#);
        server.api("unsubscribe", &unsubscribe).await;
        let told = stream.next(end).await.expect("a push");
        assert!(told.starts_with(r#"{"channel":"b","unsubscribe":{"code":2000"#), "{told}");
        server.api("disconnect", &format!(r#"{{"user":"","client":"{client}"}}"#)).await;
        let told = stream.next(end).await.expect("a push");
        assert!(told.starts_with(r#"{"disconnect":{"code":3503,"#), "{told}");
        assert_eq!(stream.next(end).await, None);
    }
    server.end().await;
}

/// UNI-08.
#[tokio::test]
async fn a_refused_one_way_client_is_told_by_a_disconnect() {
    let server = start(|options| {
        everything(options);
        options.client.token.hmac_secret_key = SecretText::new(TOKEN_KEY);
    })
    .await;
    for (token, told) in [
        ("x", r#"{"disconnect":{"code":3500,"reason":"invalid token"}}"#),
        (&expired(), r#"{"disconnect":{"code":3005,"reason":"connection expired"}}"#),
    ] {
        let body = format!(r#"{{"token":"{token}"}}"#);
        let mut stream = Stream::open(&server, "POST", "/connection/uni_http_stream", &body).await;
        assert_eq!(stream.head.status, 200);
        assert_eq!(stream.next("\n").await.as_deref(), Some(told));
        assert_eq!(stream.next("\n").await, None);
    }
    server.end().await;
}

/// A ticket stands for what was put down for it, once.
#[tokio::test]
async fn an_address_with_a_ticket_needs_hold_no_token() {
    let server = start(|options| {
        everything(options);
        options.ticket.enabled = true;
    })
    .await;
    let head = "POST /connection/ticket HTTP/1.1\r\nHost: localhost\r\n";
    for (path, body, reply) in [
        ("/connection/sse", r#"{"id":7,"connect":{}}"#, r#"{"id":7,"connect":{"#),
        ("/connection/uni_sse", r#"{"name":"x"}"#, r#"{"connect":{"#),
    ] {
        let answer = server.ask(head, body).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{path}");
        assert!(answer.body.ends_with(r#","ttl":30}"#), "{}", answer.body);
        let target = format!("{path}?ticket={}", field(&answer.body, "ticket"));
        let mut stream = Stream::open(&server, "GET", &target, "").await;
        assert_eq!(stream.head.status, 200);
        let connected = stream.next("\n\n").await.expect("a reply");
        assert!(connected.starts_with(reply), "{connected}");
        assert_eq!(server.get(&target).await.status, 403, "once");
    }
    // What is put down is looked at when it is picked up.
    let answer = server.ask(head, "{").await;
    let target = format!("/connection/uni_sse?ticket={}", field(&answer.body, "ticket"));
    assert_eq!(server.get(&target).await.status, 400);
    assert_eq!(server.get("/connection/ticket").await.status, 405);
    server.end().await;
    let server = start(everything).await;
    assert_eq!(server.ask(head, "{}").await.status, 404, "it is off");
    assert_eq!(server.get("/connection/sse?ticket=a").await.status, 400, "and means nothing");
    server.end().await;
}

/// One address does not take the room that tickets of others have, and a proxy that is trusted stands for many.
#[tokio::test]
async fn an_address_gets_so_many_tickets_and_others_get_theirs() {
    let server = start(|options| {
        everything(options);
        options.ticket.enabled = true;
        options.ticket.max_memory_per_address = 1_000;
        options.client.rate_limit.ip_connect.trusted_proxies = vec!["127.0.0.1".to_owned()];
    })
    .await;
    let ask = async |by: &str| {
        let head =
            format!("POST /connection/ticket HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {by}\r\n");
        let answer = server.ask(&head, "{}").await;
        (answer.status, answer.header("retry-after").map(str::to_owned))
    };
    let refused = (429, Some("1".to_owned()));
    for by in ["192.0.2.1", "2001:db8::1"] {
        for _ in 0..3 {
            assert_eq!(ask(by).await, (200, None), "{by}");
        }
        assert_eq!(ask(by).await, refused, "{by}");
    }
    assert_eq!(ask("192.0.2.1, 192.0.2.2").await, (200, None), "another, whatever it says of itself");
    assert_eq!(ask("2001:db8::2").await, refused, "the same network");
    server.end().await;
}

/// UNI-08: unless the configuration says something else.
#[tokio::test]
async fn a_refused_one_way_client_is_told_what_is_configured() {
    let transform = |code, to, reason: &str| DisconnectTransform {
        code,
        to: ToldDisconnect { code: to, reason: reason.to_owned() },
    };
    for enabled in [true, false] {
        let server = start(|options| {
            everything(options);
            options.client.token.hmac_secret_key = SecretText::new(TOKEN_KEY);
            let option = &mut options.client.connect_code_to_unidirectional_disconnect;
            option.enabled = enabled;
            option.transforms = vec![transform(109, 4109, "get a new token")];
        })
        .await;
        let body = format!(r#"{{"token":"{}"}}"#, expired());
        for (path, end) in [("/connection/uni_http_stream", "\n"), ("/connection/uni_sse", "\n\n")] {
            let mut stream = Stream::open(&server, "POST", path, &body).await;
            let told = if enabled {
                r#"{"disconnect":{"code":4109,"reason":"get a new token"}}"#
            } else {
                r#"{"disconnect":{"code":3005,"reason":"connection expired"}}"#
            };
            assert_eq!(stream.next(end).await.as_deref(), Some(told), "{path}");
            assert_eq!(stream.next(end).await, None);
        }
        server.end().await;
    }
}

/// A token that was good long ago, signed with the key that the tests' servers get.
fn expired() -> String {
    use tourbillon::auth::{ConnectToken, Secret, Signer};
    let token = ConnectToken { user: "1".to_owned(), expires_at: Some(1), ..ConnectToken::default() };
    Signer::hs256(&Secret::from(TOKEN_KEY)).sign_connect(&token).expect("signed")
}

const TOKEN_KEY: &str = "a key of the tests, at least 32 bytes long";

/// UNI-09.
#[tokio::test]
async fn a_refused_one_way_client_is_told_by_a_status_where_that_is_configured() {
    let transform = |code, status_code, body: &str| ConnectCodeTransform {
        code,
        to: HttpResponse { status_code, body: body.to_owned() },
    };
    let server = start(|options| {
        everything(options);
        options.client.token.hmac_secret_key = SecretText::new(TOKEN_KEY);
        for option in [
            &mut options.uni_http_stream.connect_code_to_http_response,
            &mut options.uni_sse.connect_code_to_http_response,
        ] {
            option.enabled = true;
            option.transforms = vec![transform(109, 401, ""), transform(3500, 403, "go away")];
        }
    })
    .await;
    for path in ["/connection/uni_http_stream", "/connection/uni_sse"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n");
        for (token, status, body) in [(expired(), 401, "token expired"), ("x".to_owned(), 403, "go away")] {
            let answer = ask(server.external, &head, &format!(r#"{{"token":"{token}"}}"#)).await;
            assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path}");
        }
        let end = if path.ends_with("sse") { "\n\n" } else { "\n" };
        let mut stream = Stream::open(&server, "POST", path, "{}").await;
        assert_eq!(stream.head.status, 200, "who is accepted gets a stream");
        assert!(stream.next(end).await.expect("a push").starts_with(r#"{"connect""#));
    }
    server.end().await;
    let server = start(|options| {
        everything(options);
        options.uni_sse.connect_code_to_http_response.enabled = true;
        options.client.allow_anonymous_connect_without_token = false;
    })
    .await;
    let answer = server.get("/connection/uni_sse").await;
    assert_eq!((answer.status, answer.body.as_str()), (500, "Internal Server Error"), "no entry is 500");
    server.end().await;
}

#[tokio::test]
async fn endpoints_are_where_they_are_configured_and_nowhere_else() {
    let server = start(|_| {}).await;
    for path in [
        "/connection/http_stream",
        "/connection/sse",
        "/connection/uni_http_stream",
        "/connection/uni_sse",
        "/emulation",
        "/connection/init",
    ] {
        assert_eq!(server.get(path).await.status, 404, "{path} is off");
    }
    server.end().await;
    let server = start(|options| {
        everything(options);
        "/s/".clone_into(&mut options.http_stream.handler_prefix);
        "/e".clone_into(&mut options.emulation.handler_prefix);
        "/i".clone_into(&mut options.init.handler_prefix);
        options.http_stream.max_request_body_size = 10;
        options.emulation.max_request_body_size = 20;
    })
    .await;
    for (path, status) in
        [("/s", 405), ("/s/", 404), ("/connection/http_stream", 404), ("/e", 405), ("/i", 200)]
    {
        assert_eq!(server.get(path).await.status, status, "{path}");
    }
    for (path, length, status) in [("/s", 11, 413), ("/e", 20, 400), ("/e", 21, 413)] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n");
        let answer = ask(server.external, &head, &"x".repeat(length)).await;
        assert_eq!(answer.status, status, "{path} {length}");
    }
    server.end().await;
    // TR-04: one that needs it is enough.
    for (http_stream, sse) in [(true, false), (false, true), (false, false)] {
        let server = start(|options| {
            options.http_stream.enabled = http_stream;
            options.sse.enabled = sse;
            options.uni_sse.enabled = true;
        })
        .await;
        let expected = if http_stream || sse { 405 } else { 404 };
        assert_eq!(server.get("/emulation").await.status, expected);
        server.end().await;
    }
}

/// LIM-05 for all ways in.
#[tokio::test]
async fn connections_of_all_kinds_count_for_the_limit() {
    let server = start(|options| {
        everything(options);
        options.client.connection_limit = 1;
    })
    .await;
    let mut stream =
        Stream::open(&server, "POST", "/connection/http_stream", r#"{"id":1,"connect":{}}"#).await;
    assert!(stream.next("\n").await.is_some());
    assert_eq!(Client::upgrade(server.external, "").await.err(), Some(503));
    assert_eq!(server.get("/connection/uni_sse").await.status, 503);
    let options = "OPTIONS /connection/sse HTTP/1.1\r\nHost: localhost\r\n";
    assert_eq!(server.ask(options, "").await.status, 204, "asking is no connection");
    server.end().await;
}

/// HID-100: a stream that is quiet for longer than any answer may take is not cut off.
#[tokio::test(start_paused = true)]
async fn a_quiet_stream_outlives_the_deadline_of_answers() {
    let server = start(|options| {
        everything(options);
        options.client.ping_interval = GoDuration::from_secs(300);
    })
    .await;
    let mut stream = Stream::open(&server, "GET", "/connection/uni_sse", "").await;
    assert!(stream.next("\n\n").await.is_some());
    tokio::time::sleep(Duration::from_secs(200)).await;
    server.api("broadcast", r#"{"channels":["a"],"data":1}"#).await;
    assert_eq!(stream.next("\n\n").await.as_deref(), Some("{}"), "the ping");
    server.end().await;
}

/// A stream to which so many messages of so many KB are published, of which the client takes nothing.
async fn untaken(server: &Server, messages: usize, size: usize) -> Stream {
    let connect = r#"{"id":1,"connect":{}}"#;
    let mut stream = Stream::open(server, "POST", "/connection/http_stream", connect).await;
    let connected = stream.next("\n").await.expect("a reply");
    assert_eq!(emulate(server, &connected, r#"{"id":2,"subscribe":{"channel":"a"}}"#).await, 204);
    assert!(stream.next("\n").await.is_some());
    // Not over a socket: who waits for one lets the clock jump.
    let large = Payload::from(format!("\"{}\"", "x".repeat(size * 1024)).into_bytes());
    for _ in 0..messages {
        server.node.publish(Channel::from("a"), large.clone(), Default::default()).await.expect("published");
    }
    stream
}

/// EMU-06: whoever takes nothing is left after a second, and keeps nothing of the server.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_taken_ends() {
    let server = start(|options| {
        everything(options);
        options.client.queue_max_size = 64 * 1024 * 1024;
    })
    .await;
    let mut stream = untaken(&server, 16, 1024).await;
    let begun = Instant::now();
    while server.node.connections() > 0 && begun.elapsed() < Duration::from_secs(100) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.node.connections(), 0);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let taken = all(&mut stream.stream).await;
    assert!(taken.len() < 15 * 1024 * 1024, "{} bytes came", taken.len());
    server.end().await;
}

/// EMU-06, LIM-13: the second is for a chunk, not for all of them, and no deadline of answers is a stream's.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_taken_slowly_goes_on() {
    let server = start(|options| {
        everything(options);
        options.client.queue_max_size = 64 * 1024 * 1024;
    })
    .await;
    let stream = untaken(&server, 800, 64).await;
    let mut some = vec![0; 64 * 1024];
    // For longer than any answer may take. The system tells of room when there is some megabyte of it.
    for round in 0..24 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut taken = 0;
        while taken < 2 * 1024 * 1024
            && let Ok(length) = stream.stream.try_read(&mut some)
        {
            taken += length;
        }
        assert_eq!(server.node.connections(), 1, "{round}");
    }
    server.end().await;
}

/// The socket is the stream's alone once the head is written, whatever came before and behind.
#[tokio::test]
async fn a_stream_may_follow_other_requests_and_is_the_last_answer() {
    let server = start(everything).await;
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    let body = r#"{"id":1,"connect":{}}"#;
    let get = "GET /connection/init HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = format!(
        "POST /connection/sse HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(format!("{get}{get}{post}{get}").as_bytes()).await.expect("sent");
    let mut seen = Vec::new();
    while !seen.ends_with(b"\n\n\r\n") {
        seen.push(stream.read_u8().await.expect("a stream"));
    }
    let seen = String::from_utf8(seen).expect("text");
    assert_eq!(seen.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{seen}");
    assert!(
        seen.contains("connection: close\r\n") && seen.contains("transfer-encoding: chunked\r\n"),
        "{seen}"
    );
    let (_, stream_of) =
        seen.rsplit_once("\r\n\r\n2\r\n\r\n\r\n").expect("what comes before the first event");
    let (length, event) = stream_of.split_once("\r\n").expect("a chunk");
    assert_eq!(usize::from_str_radix(length, 16), Ok(event.len() - 2));
    assert!(event.starts_with(r#"data: {"id":1,"connect":{"#), "{event}");
    let client = field(event, "client");
    server.api("disconnect", &format!(r#"{{"user":"","client":"{client}"}}"#)).await;
    let end = String::from_utf8(all(&mut stream).await).expect("text");
    assert!(end.ends_with("0\r\n\r\n"), "{end}");
    server.end().await;
}

/// To a client of HTTP/1.0 the end of the connection is that of the answer.
#[tokio::test]
async fn an_old_client_gets_no_chunks() {
    let server = start(everything).await;
    let mut stream = TcpStream::connect(server.external).await.expect("a connection");
    stream.write_all(b"GET /connection/uni_sse HTTP/1.0\r\n\r\n").await.expect("sent");
    let mut seen = Vec::new();
    while !seen.ends_with(b"}\n\n") {
        seen.push(stream.read_u8().await.expect("a stream"));
    }
    let seen = String::from_utf8(seen).expect("text");
    let (head, stream_of) = seen.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n") && !head.contains("transfer-encoding"), "{head}");
    assert!(stream_of.starts_with("\r\ndata: {\"connect\":{"), "{stream_of}");
    server.end().await;
}
