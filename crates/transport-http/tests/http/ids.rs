//! Ids of events: where a client stands, and what it says of that as it comes back.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tourbillon_broker::{Engine, PublishOptions};
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{
    Batching, ChannelOptions, ConnectDecision, ConnectRequest, HistoryPolicy, Hooks, Node, NodeConfig,
    OverflowPolicy, Refusal,
};
use tourbillon_transport::{
    Lane, Message, MessageQueue, Received, Run, Transport, TransportReader, TransportWriter,
};
use tourbillon_transport_http::{HttpBody, HttpConfig, HttpReader, HttpWriter, StreamService};
use tourbillon_types::{
    Channel, Epoch, FilterLimits, Mark, Payload, ReplyError, StreamPosition, TagFilter, TagMatcher, Tags,
    UserId,
};
use tower_service::Service;

use crate::support::{Answer, Server, block_on, get, send};

fn at(channel: &str, offset: u64) -> (Channel, StreamPosition) {
    (Channel::from(channel), StreamPosition { offset, epoch: Epoch::from("e") })
}

fn begin(places: &[(&str, u64)]) -> Message {
    let places = places.iter().map(|(channel, offset)| at(channel, *offset)).collect();
    Message::marked(0, Some(Box::new(Mark::Begin(places))), "{\"connect\":{}}")
}

fn publication(channel: &str, offset: u64) -> Message {
    let (name, position) = at(channel, offset);
    let mark = Mark::Move(name, position);
    Message::marked(0, Some(Box::new(mark)), format!("{channel}{offset}"))
}

async fn write(writer: &mut HttpWriter, messages: impl IntoIterator<Item = Message>) {
    let mut queue = MessageQueue::new();
    messages.into_iter().for_each(|message| queue.push(message));
    poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
    assert!(queue.is_empty());
}

/// All that comes up to this end, behind which nothing comes.
async fn all_to(answer: &mut Answer, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        seen.extend(answer.chunk().await.expect("more"));
    }
    String::from_utf8(seen).expect("text")
}

/// Begins a stream at a server of each kind: with a body, and with the socket for itself, as what it is or not.
async fn servers() -> [Server; 3] {
    [
        Server::start(HttpConfig::default()).await,
        Server::lending(HttpConfig::default(), false).await,
        Server::lending(HttpConfig::default(), true).await,
    ]
}

async fn open(server: &mut Server, request: impl AsRef<[u8]>) -> (Answer, HttpReader, HttpWriter) {
    let (answer, (transport, _)) = tokio::join!(send(server.address, request), server.accept());
    let (mut reader, writer) = transport.split();
    assert!(matches!(reader.recv().await, Ok(Received::Message(_))));
    (answer, reader, writer)
}

#[test]
fn an_event_says_where_the_client_stands_that_has_it() {
    block_on(async {
        for mut server in servers().await {
            let (mut answer, _reader, mut writer) = open(&mut server, get("/connection/uni_sse", "")).await;
            write(&mut writer, [Message::new("{}"), begin(&[("a", 0), ("b", 7)])]).await;
            write(&mut writer, [publication("a", 1), publication("c", 4), publication("b", 8)]).await;
            write(&mut writer, [Message::new("{}")]).await;
            write(&mut writer, [publication("a", 2)]).await;
            let run = Run::new(publication("a", 3));
            run.append(Message::new("x")).expect("open");
            run.append(publication("b", 9)).expect("open");
            let mut queue = MessageQueue::new();
            queue.push_run(run);
            poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
            let gone = Mark::Remove(Channel::from("b"));
            write(&mut writer, [Message::marked(0, Some(Box::new(gone)), "gone")]).await;
            let seen = answer.until(b"gone\n\n").await.expect("all of it");
            assert_eq!(
                String::from_utf8(seen).expect("text"),
                "\r\ndata: {}\n\n\
                 id: tb1;a,e,0;b,e,7\ndata: {\"connect\":{}}\n\n\
                 id: tb1;a,e,1;b,e,7\ndata: a1\n\n\
                 data: c4\n\n\
                 id: tb1;a,e,1;b,e,8\ndata: b8\n\n\
                 data: {}\n\n\
                 id: tb1;a,e,2;b,e,8\ndata: a2\n\n\
                 id: tb1;a,e,3;b,e,8\ndata: a3\n\n\
                 data: x\n\n\
                 id: tb1;a,e,3;b,e,9\ndata: b9\n\n\
                 id: tb1;a,e,3\ndata: gone\n\n"
            );
        }
    });
}

/// Nobody else's events have ids, and nobody else's word is listened to.
#[test]
fn ids_are_for_clients_that_never_send() {
    block_on(async {
        let header = "Last-Event-ID: tb1;a,e,5\r\n";
        for mut server in servers().await {
            for (request, event) in [
                (get("/connection/sse?cf_connect=%7B%7D", header), "\r\ndata: {\"connect\":{}}\n\n"),
                (
                    get("/connection/uni_sse", "")
                        .replace("GET /connection/uni_sse", "POST /connection/uni_http_stream")
                        .replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n{}"),
                    "{\"connect\":{}}\n",
                ),
            ] {
                let (mut answer, _reader, mut writer) = open(&mut server, request).await;
                write(&mut writer, [begin(&[("a", 1)]), Message::new("end")]).await;
                let seen = answer.until(b"end\n").await.expect("all of it");
                assert!(seen.starts_with(event.as_bytes()), "{}", String::from_utf8_lossy(&seen));
            }
            let asked = get("/connection/sse?cf_connect=%7B%7D", header);
            let (_answer, (_, context)) = tokio::join!(send(server.address, asked), server.accept());
            assert_eq!(context.resume, []);
            let asked = get("/connection/uni_sse", header);
            let (_answer, (_, context)) = tokio::join!(send(server.address, asked), server.accept());
            assert_eq!(context.resume, [at("a", 5)]);
        }
    });
}

/// A connection that is refused takes nothing away; one that is accepted does.
#[test]
fn what_a_client_had_is_kept_until_it_is_accepted() {
    block_on(async {
        let header = "Last-Event-ID: tb1;a,e,5\r\n";
        for mut server in servers().await {
            let (mut answer, _reader, mut writer) =
                open(&mut server, get("/connection/uni_sse", header)).await;
            write(&mut writer, [Message::new("{\"disconnect\":{}}")]).await;
            let seen = answer.until(b"}\n\n").await.expect("an event");
            assert_eq!(seen, b"\r\ndata: {\"disconnect\":{}}\n\n");
            let (mut answer, _reader, mut writer) =
                open(&mut server, get("/connection/uni_sse", header)).await;
            write(&mut writer, [begin(&[]), publication("a", 6)]).await;
            let seen = answer.until(b"a6\n\n").await.expect("events");
            assert_eq!(seen, b"\r\nid\ndata: {\"connect\":{}}\n\ndata: a6\n\n");
        }
    });
}

/// What is dropped from a queue was not said.
#[test]
fn what_is_dropped_before_it_is_written_moves_nothing() {
    block_on(async {
        for mut server in servers().await {
            let (mut answer, _reader, mut writer) = open(&mut server, get("/connection/uni_sse", "")).await;
            write(&mut writer, [begin(&[("a", 0), ("b", 0)])]).await;
            let cx = &mut Context::from_waker(Waker::noop());
            let lane = Lane::new(1, true);
            let mut queue = MessageQueue::new();
            let mut written = 0;
            // Until the peer takes no more.
            let mut rounds = 0;
            while queue.is_empty() {
                rounds += 1;
                assert!(rounds < 10_000, "the peer takes everything");
                for _ in 0..100 {
                    written += 1;
                    let (name, position) = at("b", written);
                    let mark = Some(Box::new(Mark::Move(name, position)));
                    queue.push(Message::marked(0, mark, [b'x'; 1_000]));
                }
                assert!(writer.poll_write(cx, &mut queue).is_pending() || queue.is_empty());
            }
            let waiting = u64::try_from(queue.len()).expect("a number");
            for offset in 1..=5 {
                queue.push_in(publication("a", offset), lane);
            }
            assert!(writer.poll_write(cx, &mut queue).is_pending());
            queue.remove_lane(lane);
            queue.push(publication("b", written + 1));
            let writing = async {
                poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
            };
            let end = format!("data: b{}\n\n", written + 1);
            let ((), seen) = tokio::join!(writing, all_to(&mut answer, &end));
            let ids: Vec<_> = seen.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
            let expected: Vec<_> = (0..=written + 1).map(|b| format!("tb1;a,e,0;b,e,{b}")).collect();
            assert!(waiting > 0 && ids == expected, "{} of {}", ids.len(), expected.len());
        }
    });
}

#[test]
fn a_large_event_with_an_id_arrives_whole() {
    block_on(async {
        for mut server in servers().await {
            let (mut answer, _reader, mut writer) = open(&mut server, get("/connection/uni_sse", "")).await;
            let large = "x".repeat(3 << 20);
            let (name, position) = at("a", 1);
            let message = Message::marked(0, Some(Box::new(Mark::Move(name, position))), &large);
            let mut queue = MessageQueue::new();
            queue.push(begin(&[("a", 0)]));
            queue.push(message);
            queue.push(publication("a", 2));
            let writing = async {
                poll_fn(|cx| writer.poll_write(cx, &mut queue)).await.expect("written");
            };
            let end = "id: tb1;a,e,2\ndata: a2\n\n";
            let ((), seen) = tokio::join!(writing, all_to(&mut answer, end));
            assert!(seen.ends_with(&format!("{{}}}}\n\nid: tb1;a,e,1\ndata: {large}\n\n{end}")));
        }
    });
}

#[test]
fn an_old_client_gets_ids_without_chunks() {
    block_on(async {
        let mut server = Server::lending(HttpConfig::default(), false).await;
        let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("connect");
        let request = b"GET /connection/uni_sse HTTP/1.0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.expect("sent");
        let (_reader, mut writer) = server.accept().await.0.split();
        write(&mut writer, [begin(&[("a", 1)])]).await;
        let mut seen = Vec::new();
        while !seen.ends_with(b"}\n\n") {
            seen.push(stream.read_u8().await.expect("more"));
        }
        assert!(seen.ends_with(b"\r\n\r\n\r\nid: tb1;a,e,1\ndata: {\"connect\":{}}\n\n"));
    });
}

/// Everybody gets the channels that he names, which recover; a token is a tag that publications must have.
#[derive(Clone, Copy, Default)]
struct Streams {
    batching: Option<Batching>,
    overflow: OverflowPolicy,
}

impl Hooks for Streams {
    async fn connect(&self, request: ConnectRequest) -> Result<ConnectDecision, Refusal> {
        let mut decision = ConnectDecision::new(UserId::from("1"));
        for channel in request.channels {
            let mut options = self.channel_options(&channel)?.subscription();
            if !request.token.is_empty() {
                let (key, cmp, val) = ("tag".to_owned(), "eq".to_owned(), request.token.clone());
                let filter = TagFilter { key, cmp, val, ..TagFilter::default() };
                let matcher = TagMatcher::new(&filter, FilterLimits::default()).expect("a filter");
                options.server_tags_filter = Some(Arc::new(matcher));
            }
            decision.subscriptions.push((channel, options));
        }
        Ok(decision)
    }

    fn channel_options(&self, _: &str) -> Result<ChannelOptions, ReplyError> {
        let mut options = ChannelOptions::default();
        let hour = Duration::from_secs(3_600);
        options.history = Some(HistoryPolicy { size: 1_000, ttl: hour, meta_ttl: hour });
        options.force_recovery = true;
        options.allow_delta = true;
        options.delta_publish = true;
        options.batching = self.batching;
        options.overflow = self.overflow;
        Ok(options)
    }
}

/// A node, and its endpoint.
struct Place {
    node: Node,
    service: StreamService<Node>,
}

impl Place {
    fn new(hooks: Streams, queue_max_size: usize) -> Self {
        let mut config = NodeConfig::default();
        config.queue_max_size = queue_max_size;
        let engine = Engine::new(MemoryEngine::default());
        let (node, driver) = Node::builder(engine).config(config).hooks(hooks).build().expect("a node");
        tokio::spawn(driver);
        Self { service: StreamService::uni_sse(node.clone(), HttpConfig::default()), node }
    }

    async fn open(&mut self, connect: &Value, last: &str) -> Events {
        let request = Request::post("/").header("Last-Event-ID", last);
        let request = request.body(Full::new(Bytes::from(connect.to_string()))).expect("a request");
        let answer = self.service.call(request).await.unwrap_or_else(|never| match never {});
        Events { body: answer.into_body(), text: String::new(), last: last.to_owned() }
    }

    /// The client is gone, and comes back.
    async fn again(&mut self, before: Events, connect: &Value) -> Events {
        let last = before.last.clone();
        drop(before);
        self.open(connect, &last).await
    }

    async fn end(self, events: Events) {
        drop(events);
        self.node.shutdown().await;
    }

    async fn publish(&self, data: &str, tag: &str) {
        let mut options = PublishOptions::default();
        let rules = self.node.channel_options("a").expect("a channel");
        options.history = rules.history;
        options.delta = rules.delta_publish;
        options.tags = Some(Arc::new(Tags::from([("tag".to_owned(), tag.to_owned())])));
        let data = Payload::from(data.as_bytes().to_vec());
        assert!(self.node.publish(Channel::from("a"), data, options).await.is_ok());
    }
}

struct Events {
    body: HttpBody,
    text: String,
    last: String,
}

impl Events {
    /// The next push; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let mut push = Value::Null;
                for line in event.trim_start().lines() {
                    match line.split_once(": ").unwrap_or((line, "")) {
                        ("id", id) => id.clone_into(&mut self.last),
                        (_, data) => push = serde_json::from_str(data).expect("JSON"),
                    }
                }
                self.text = rest.to_owned();
                return Some(push);
            }
            let frame = self.body.frame().await?.expect("no failure").into_data().expect("data");
            self.text.push_str(std::str::from_utf8(&frame).expect("text"));
        }
    }

    async fn subscription(&mut self) -> Value {
        self.next().await.expect("a push")["connect"]["subs"]["a"].take()
    }

    async fn publication(&mut self) -> Value {
        self.next().await.expect("a push")["pub"].take()
    }

    /// The offset in the last id.
    fn offset(&self) -> u64 {
        self.last.rsplit(',').next().and_then(|offset| offset.parse().ok()).expect("an offset")
    }
}

/// What a filter hides moves the position without a word. The id follows with the next event, and is never ahead.
#[test]
fn an_id_is_not_ahead_of_what_a_filter_shows() {
    block_on(async {
        let mut place = Place::new(Streams::default(), 1 << 20);
        let connect = json!({"token": "even", "subs": {"a": {}}});
        let mut events = place.open(&connect, "").await;
        assert_eq!(events.subscription().await["recoverable"], json!(true));
        assert_eq!(events.offset(), 0);
        for (data, tag) in [("1", "odd"), ("2", "even"), ("3", "odd")] {
            place.publish(data, tag).await;
        }
        assert_eq!(events.publication().await["offset"], json!(2));
        assert_eq!(events.offset(), 2);
        let mut events = place.again(events, &connect).await;
        let subscription = events.subscription().await;
        assert_eq!((&subscription["recovered"], &subscription["publications"]), (&json!(true), &Value::Null));
        assert_eq!(events.offset(), 2, "3 was not shown");
        place.publish("4", "even").await;
        place.publish("5", "odd").await;
        place.publish("6", "even").await;
        for offset in [4, 6] {
            assert_eq!(events.publication().await["offset"], json!(offset));
            assert_eq!(events.offset(), offset);
        }
        place.end(events).await;
    });
}

/// A publication that stands for those before it stands for them in the id, too.
#[test]
fn an_id_goes_over_what_a_batch_leaves_out() {
    block_on(async {
        let batching =
            |flush_latest| Some(Batching { max_size: NonZeroUsize::new(3), max_delay: None, flush_latest });
        for (flush_latest, offsets) in [(true, vec![3, 6]), (false, (1..=6).collect())] {
            let hooks = Streams { batching: batching(flush_latest), ..Streams::default() };
            let mut place = Place::new(hooks, 1 << 20);
            let connect = json!({"subs": {"a": {}}});
            let mut events = place.open(&connect, "").await;
            events.subscription().await;
            for data in ["1", "2", "3", "4", "5", "6", "7"] {
                place.publish(data, "").await;
            }
            for offset in offsets {
                assert_eq!(events.publication().await["offset"], json!(offset));
                assert_eq!(events.offset(), offset, "one by one");
            }
            let mut events = place.again(events, &connect).await;
            assert_eq!(
                events.subscription().await["publications"][0]["offset"],
                json!(7),
                "not delivered yet"
            );
            place.end(events).await;
        }
    });
}

/// Whoever is too slow loses the connection, whatever the policy, and then nothing.
#[test]
fn nothing_is_lost_to_a_client_that_was_too_slow() {
    block_on(async {
        for overflow in [OverflowPolicy::Disconnect, OverflowPolicy::DropOldest, OverflowPolicy::KeepLatest] {
            // Room for what is recovered, and less than the same takes one by one.
            let mut place = Place::new(Streams { overflow, ..Streams::default() }, 14 * 1024);
            let connect = json!({"subs": {"a": {}}});
            let mut events = place.open(&connect, "").await;
            events.subscription().await;
            let mut had = 0;
            while had < 3 {
                had += 1;
                place.publish("1", "").await;
                assert_eq!((&events.publication().await["offset"], events.offset()), (&json!(had), had));
            }
            for _ in 3..290 {
                place.publish("1", "").await;
            }
            let mut code = None;
            while let Some(push) = events.next().await {
                code = push["disconnect"]["code"].as_u64();
                if code.is_some() {
                    break;
                }
                had += 1;
                assert_eq!((&push["pub"]["offset"], events.offset()), (&json!(had), had));
            }
            assert!((3..290).contains(&had), "{had}");
            // To a client that takes nothing nothing is said any more.
            let told = (overflow != OverflowPolicy::Disconnect).then_some(3010);
            assert_eq!(code, told, "{overflow:?}");
            let mut events = place.again(events, &connect).await;
            let subscription = events.subscription().await;
            let found = subscription["publications"].as_array().expect("publications");
            let offsets: Vec<_> = found.iter().filter_map(|found| found["offset"].as_u64()).collect();
            assert_eq!((offsets, events.offset()), ((had + 1..=290).collect(), 290));
            place.end(events).await;
        }
    });
}

/// One that takes deltas has them after it came back as before.
#[test]
fn deltas_go_on_where_a_client_comes_back() {
    block_on(async {
        let mut place = Place::new(Streams::default(), 1 << 20);
        let connect = json!({"subs": {"a": {"delta": "fossil"}}});
        let text =
            |number: u32| format!("{{\"text\":\"{}\",\"number\":{number}}}", "much the same ".repeat(20));
        let mut events = place.open(&connect, "").await;
        assert_eq!(events.subscription().await["delta"], json!(true));
        for number in 1..=3 {
            place.publish(&text(number), "").await;
            let publication = events.publication().await;
            assert_eq!(publication["delta"].as_bool().unwrap_or_default(), number > 1);
            assert_eq!(events.offset(), u64::from(number));
        }
        for number in 4..=5 {
            place.publish(&text(number), "").await;
        }
        let mut events = place.again(events, &connect).await;
        let subscription = events.subscription().await;
        let publications = subscription["publications"].as_array().expect("publications");
        let deltas: Vec<_> =
            publications.iter().map(|found| found["delta"].as_bool().unwrap_or_default()).collect();
        assert_eq!((deltas, events.offset()), (vec![false, true], 5));
        assert_eq!(publications[0]["data"], json!(text(4)), "whole, as text");
        place.publish(&text(6), "").await;
        assert_eq!(events.publication().await["delta"], json!(true));
        place.end(events).await;
    });
}
