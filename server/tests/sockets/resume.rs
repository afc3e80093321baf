//! A client of `uni_sse` that comes back by itself: it says the id of the last event that it has, as browsers do, and
//! its subscriptions recover from there. An extension.

use bytes::Bytes;
use h2::RecvStream;
use http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tourbillon::auth::{ConnectToken, Secret, Signer};
use tourbillon::types::Payload;
use tourbillon_server::config::model::Namespace;
use tourbillon_server::config::{GoDuration, Options, SecretText};

use crate::harness::{KEY, Response, Server, Where, ask, start_at};

const TOKEN_KEY: &str = "a key of the tests, at least 32 bytes long";

/// A server with streams, which speaks HTTP/2 in cleartext, too.
async fn start(change: impl FnOnce(&mut Options)) -> Server {
    start_at(Where::Internal, |options| {
        options.http_server.h2c_external = true;
        "1".clone_into(&mut options.http_server.internal_port);
        options.http_api.external = true;
        options.uni_sse.enabled = true;
        options.client.token.hmac_secret_key = SecretText::new(TOKEN_KEY);
        let mut stream = Namespace { name: "stream".to_owned(), ..Namespace::default() };
        stream.rules.history_size = 100;
        stream.rules.history_ttl = GoDuration::from_secs(300);
        stream.rules.force_recovery = true;
        options.channel.namespaces.push(stream);
        change(options);
    })
    .await
}

/// A token whose connections have these channels.
fn token(channels: &[&str]) -> String {
    let subs: Value = channels.iter().map(|channel| ((*channel).to_owned(), json!({}))).collect();
    let more = vec![("subs".to_owned(), Payload::from(subs.to_string().into_bytes()))];
    let token = ConnectToken { user: "1".to_owned(), more, ..ConnectToken::default() };
    Signer::hs256(&Secret::from(TOKEN_KEY)).sign_connect(&token).expect("signed")
}

async fn publish(server: &Server, channel: &str, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let body = json!({"channel": channel, "data": number}).to_string();
        let head = format!("POST /api/publish HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n");
        assert_eq!(ask(server.external, &head, &body).await.status, 200);
    }
}

#[derive(Clone, Copy, Debug)]
enum Http {
    One,
    Two,
}

enum Body {
    /// In chunks.
    One(TcpStream),
    Two(RecvStream),
}

/// The events of an answer.
struct Events {
    body: Body,
    text: String,
    /// What the client would say as it comes back.
    last: String,
}

/// An event: the push in it, and its id if it has one.
struct Event {
    id: Option<String>,
    push: Value,
}

impl Events {
    async fn open(server: &Server, http: Http, connect: &Value, last: &str) -> Self {
        let query: String =
            connect.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let target = format!("/connection/uni_sse?cf_connect={query}");
        let mut stream = TcpStream::connect(server.external).await.expect("a connection");
        let body = match http {
            Http::One => {
                let header =
                    if last.is_empty() { String::new() } else { format!("Last-Event-ID: {last}\r\n") };
                let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
                stream.write_all(request.as_bytes()).await.expect("sent");
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("a head"));
                }
                assert_eq!(Response::parse(&head).status, 200);
                Body::One(stream)
            }
            Http::Two => {
                let (mut requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
                tokio::spawn(connection);
                let mut request = Request::get(format!("http://localhost{target}"));
                if !last.is_empty() {
                    request = request.header("last-event-id", last.as_bytes());
                }
                let request = request.body(()).expect("a request");
                let (response, _) = requests.send_request(request, true).expect("sent");
                let response = response.await.expect("an answer");
                assert_eq!(response.status(), 200);
                Body::Two(response.into_body())
            }
        };
        Self { body, text: String::new(), last: last.to_owned() }
    }

    async fn more(&mut self) {
        let data = match &mut self.body {
            Body::One(stream) => {
                let mut length = String::new();
                while !length.ends_with("\r\n") {
                    length.push(char::from(stream.read_u8().await.expect("a length")));
                }
                let length = usize::from_str_radix(length.trim(), 16).expect("a length");
                assert_ne!(length, 0, "the stream ended");
                let mut chunk = vec![0; length + 2];
                stream.read_exact(&mut chunk).await.expect("a chunk");
                chunk.truncate(length);
                Bytes::from(chunk)
            }
            Body::Two(body) => {
                let data = body.data().await.expect("more").expect("whole");
                body.flow_control().release_capacity(data.len()).expect("taken");
                data
            }
        };
        self.text.push_str(std::str::from_utf8(&data).expect("text"));
    }

    /// The next event, pings passed over.
    async fn next(&mut self) -> Event {
        loop {
            let Some((event, rest)) = self.text.split_once("\n\n") else {
                self.more().await;
                continue;
            };
            let (mut id, mut push) = (None, Value::Null);
            for line in event.trim_start().lines() {
                match line.split_once(": ").unwrap_or((line, "")) {
                    ("id", value) => id = Some(value.to_owned()),
                    ("data", value) => push = serde_json::from_str(value).expect("JSON"),
                    other => panic!("{other:?}"),
                }
            }
            self.text = rest.to_owned();
            if push == json!({}) {
                assert_eq!(id, None, "a ping says nothing");
                continue;
            }
            if let Some(id) = &id {
                self.last.clone_from(id);
            }
            return Event { id, push };
        }
    }

    /// The subscription that the connect push, which comes next, tells of.
    async fn connected(&mut self, channel: &str) -> Value {
        self.next().await.push["connect"]["subs"][channel].take()
    }

    /// The next publications, and what is said with the last of them.
    async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let event = self.next().await;
            assert!(event.id.is_some(), "a publication moves the client: {}", event.push);
            numbers.push(event.push["pub"]["data"].as_u64().expect("a number"));
        }
        numbers
    }

    /// The client is gone: it had events up to the last one, and nothing of what follows.
    fn cut(self) -> String {
        self.last
    }
}

/// The numbers that a subscription recovered.
fn recovered(subscription: &Value) -> Vec<u64> {
    let publications = subscription["publications"].as_array().map(Vec::as_slice).unwrap_or_default();
    publications.iter().map(|publication| publication["data"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn a_client_that_comes_back_has_what_it_missed() {
    let server = start(|_| {}).await;
    for http in [Http::One, Http::Two] {
        let (one, two) = (format!("stream:{http:?}"), format!("stream:{http:?}, ü;2"));
        let connect = json!({"token": token(&[&one, &two])});
        let mut events = Events::open(&server, http, &connect, "").await;
        let first = events.next().await;
        let position = first.push["connect"]["subs"][&one].clone();
        assert_eq!((&position["recoverable"], &position["offset"]), (&json!(true), &Value::Null));
        assert!(first.id.is_some_and(|id| id.contains(position["epoch"].as_str().expect("an epoch"))));
        publish(&server, &one, 1..=3).await;
        assert_eq!(events.numbers(3).await, [1, 2, 3]);
        publish(&server, &two, [10]).await;
        assert_eq!(events.numbers(1).await, [10]);
        let last = events.cut();
        publish(&server, &one, 4..=8).await;
        let mut events = Events::open(&server, http, &connect, &last).await;
        let connected = events.next().await;
        let subs = &connected.push["connect"]["subs"];
        assert_eq!(recovered(&subs[&one]), [4, 5, 6, 7, 8], "{http:?}");
        assert_eq!(recovered(&subs[&two]), [0; 0]);
        for channel in [&one, &two] {
            assert_eq!(
                (&subs[channel]["was_recovering"], &subs[channel]["recovered"]),
                (&json!(true), &json!(true))
            );
        }
        // It may be cut off again before anything else comes: what was recovered is not recovered twice.
        publish(&server, &two, [11, 12]).await;
        assert_eq!(events.numbers(2).await, [11, 12]);
        let last = events.cut();
        publish(&server, &one, [9]).await;
        let mut events = Events::open(&server, http, &connect, &last).await;
        assert_eq!(recovered(&events.connected(&one).await), [9]);
        let last = events.cut();
        let mut events = Events::open(&server, http, &connect, &last).await;
        let subscription = events.connected(&one).await;
        assert_eq!((recovered(&subscription), &subscription["recovered"]), (vec![], &json!(true)));
    }
    server.end().await;
}

/// A stream that is another one by now, or has gone on for too long, is not what the client had: it is told so.
#[tokio::test]
async fn a_position_that_cannot_be_recovered_is_told() {
    let server = start(|_| {}).await;
    for (channel, last) in
        [("stream:a", "tb1;stream%3Aa,another,1"), ("stream:b", "tb1;stream%3Ab,another,99")]
    {
        let connect = json!({"token": token(&[channel])});
        publish(&server, channel, 1..=3).await;
        let mut events = Events::open(&server, Http::One, &connect, last).await;
        let subscription = events.connected(channel).await;
        assert_eq!(subscription["was_recovering"], json!(true), "{last}");
        assert_eq!((&subscription["recovered"], recovered(&subscription)), (&Value::Null, vec![]));
        assert_eq!(subscription["offset"], json!(3), "where it stands from here on");
        let last = events.cut();
        publish(&server, channel, [4]).await;
        let mut events = Events::open(&server, Http::One, &connect, &last).await;
        assert_eq!(recovered(&events.connected(channel).await), [4]);
        publish(&server, channel, 5..=120).await;
        let mut events = Events::open(&server, Http::One, &connect, &last).await;
        let subscription = events.connected(channel).await;
        assert_eq!((&subscription["recovered"], recovered(&subscription)), (&Value::Null, vec![]), "too old");
    }
    server.end().await;
}

/// What is no id of ours costs nothing but what it would have brought; and an id says nothing of channels that the
/// connection does not get.
#[tokio::test]
async fn an_id_that_means_nothing_is_ignored() {
    let server = start(|_| {}).await;
    publish(&server, "stream:a", 1..=3).await;
    let connect = json!({"token": token(&["stream:a"])});
    let long = format!("tb1;stream%3Aa,{},1", "x".repeat(4_000));
    for last in
        ["17", "tb1", "tb1;stream%3Aa", "tb9;stream%3Aa,e,1", "tb1;stream%3Ab,e,1", "\u{1f4af}", &long]
    {
        for http in [Http::One, Http::Two] {
            let mut events = Events::open(&server, http, &connect, last).await;
            let subscription = events.connected("stream:a").await;
            assert_eq!(subscription["was_recovering"], Value::Null, "{last}");
            assert_eq!(recovered(&subscription), [0; 0]);
            assert!(events.cut().starts_with("tb1;stream%3Aa,"), "and it is replaced");
        }
    }
    server.end().await;
}

/// A browser repeats the request of the first time, whatever happened since.
#[tokio::test]
async fn where_a_client_stood_at_last_counts_and_not_what_its_request_asks_for() {
    let server = start(|_| {}).await;
    let channel = "stream:a";
    let connect = json!({"token": token(&[channel])});
    publish(&server, channel, 1..=5).await;
    let mut events = Events::open(&server, Http::One, &connect, "").await;
    let epoch = events.connected(channel).await["epoch"].take();
    let at = |offset: u64| format!("tb1;stream%3Aa,{},{offset}", epoch.as_str().expect("an epoch"));
    assert_eq!(events.cut(), at(5));
    for (asked, last, found) in [
        (json!({"recover": true, "offset": 1, "epoch": epoch}), at(3), vec![4, 5]),
        (json!({"recover": true, "offset": 4, "epoch": epoch}), at(3), vec![4, 5]),
        (json!({"recover": true, "offset": 1}), at(3), vec![4, 5]),
        (json!({"offset": 4, "epoch": epoch}), at(2), vec![3, 4, 5]),
        (json!({"recover": true, "offset": 3, "epoch": epoch}), String::new(), vec![4, 5]),
        (json!({"recover": true, "offset": 9, "epoch": "another"}), at(3), vec![4, 5]),
    ] {
        let connect = json!({"token": token(&[channel]), "subs": {channel: asked}});
        let mut events = Events::open(&server, Http::One, &connect, &last).await;
        assert_eq!(recovered(&events.connected(channel).await), found, "{asked} and {last}");
    }
    server.end().await;
}

/// With more channels than an id has room for there is none, and what a client had is taken away once.
#[tokio::test]
async fn with_more_channels_than_an_id_holds_there_is_none() {
    let server = start(|_| {}).await;
    let channels: Vec<_> = (0..17).map(|number| format!("stream:{number}")).collect();
    let names: Vec<_> = channels.iter().map(String::as_str).collect();
    let mut events = Events::open(&server, Http::One, &json!({"token": token(&names[..16])}), "").await;
    assert!(events.next().await.id.is_some_and(|id| id.matches(';').count() == 16));
    let last = events.cut();
    publish(&server, "stream:0", [1]).await;
    let mut events = Events::open(&server, Http::One, &json!({"token": token(&names)}), &last).await;
    let connected = events.next().await;
    assert_eq!(recovered(&connected.push["connect"]["subs"]["stream:0"]), [1], "this time it does");
    assert_eq!(connected.id.as_deref(), Some(""));
    publish(&server, "stream:0", [2]).await;
    let event = events.next().await;
    assert_eq!((&event.push["pub"]["data"], event.id), (&json!(2), None));
    drop(events);
    server.end().await;
}

/// The server subscribes a connection, and ends that.
#[tokio::test]
async fn channels_that_come_and_go_do_so_in_the_id() {
    let server = start(|_| {}).await;
    let connect = json!({"token": token(&[])});
    let mut events = Events::open(&server, Http::Two, &connect, "").await;
    assert_eq!(events.next().await.id, None, "there is nothing to recover");
    let api = async |method: &str, body: Value| {
        let head = format!("POST /api/{method} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n");
        assert_eq!(ask(server.external, &head, &body.to_string()).await.status, 200);
    };
    publish(&server, "stream:a", 1..=4).await;
    api("subscribe", json!({"user": "1", "channel": "plain"})).await;
    assert_eq!(events.next().await.id, None);
    api("subscribe", json!({"user": "1", "channel": "stream:a"})).await;
    let subscribed = events.next().await;
    assert!(subscribed.push["subscribe"].is_object(), "{}", subscribed.push);
    assert!(subscribed.id.is_some_and(|id| id.starts_with("tb1;stream%3Aa,") && id.ends_with(",4")));
    publish(&server, "stream:a", [5]).await;
    assert_eq!(events.numbers(1).await, [5]);
    publish(&server, "plain", [6]).await;
    assert_eq!(events.next().await.id, None, "it moves nothing");
    api("unsubscribe", json!({"user": "1", "channel": "stream:a"})).await;
    let gone = events.next().await;
    assert_eq!((gone.push["unsubscribe"]["code"].as_u64(), gone.id.as_deref()), (Some(2000), Some("")));
    drop(events);
    server.end().await;
}
