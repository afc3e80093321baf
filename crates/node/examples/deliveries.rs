//! Delivers so many messages over real sockets and ends. What that costs is counted from outside:
//! `cargo xtask test --only counts` runs it under callgrind for the instructions and under strace for the system
//! calls, with two numbers of publications, so that the start-up drops out of the difference.
//!
//! `deliveries <subscribers> <publications> <together> <kind>` publishes `together` at a time and waits for them to be
//! written. Of kind 0 subscribers are plain, of kind 1 they have a position and a filter on tags, of kind 2 they have
//! permessage-deflate. The clients are in a process of their own, so that their work is not counted.

#![allow(clippy::expect_used, clippy::panic, reason = "it is run by a test")]

use std::io::{IoSlice, Read, Result, Write};
use std::pin::Pin;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedWriteHalf;
use tourbillon_broker_memory::MemoryEngine;
use tourbillon_node::{
    ConnectDecision, ConnectRequest, HistoryPolicy, Hooks, Node, PublishOptions, Refusal, SubscribeDecision,
    SubscribeRequest,
};
use tourbillon_protocol::{Envelope, encode_publication};
use tourbillon_transport::{Accept, ConnContext, TransportInfo};
use tourbillon_transport_websocket::{Compression, WebSocketConfig, WebSocketTransport};
use tourbillon_types::{Channel, Encoding, Payload, Publication, StreamPosition, Tags, UserId};

/// What subscribers ask for, by kind.
const ASKED: [&str; 3] = ["", r#","positioned":true,"tf":{"key":"place","cmp":"eq","val":"here"}"#, ""];

/// The kind of subscribers that get their messages compressed.
const DEFLATED: usize = 2;

/// Gives whatever is asked for.
struct Generous;

impl Hooks for Generous {
    async fn connect(&self, _: ConnectRequest) -> std::result::Result<ConnectDecision, Refusal> {
        Ok(ConnectDecision::new(UserId::anonymous()))
    }

    async fn subscribe(&self, request: SubscribeRequest) -> std::result::Result<SubscribeDecision, Refusal> {
        let mut decision = SubscribeDecision::default();
        decision.options.positioned = request.positioned;
        decision.options.allow_tags_filter = true;
        Ok(decision)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<usize>().ok());
    let asked = number(3).and_then(|kind| ASKED.get(kind));
    if let (Some("clients"), Some(address), Some(count), Some(asked)) =
        (arguments.first().map(String::as_str), arguments.get(1), number(2), asked)
    {
        return clients(address, count, asked);
    }
    let (Some(subscribers), Some(publications), Some(together), Some(kind)) =
        (number(0), number(1), number(2), number(3))
    else {
        panic!("deliveries <subscribers> <publications> <together> <kind>");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(serve(subscribers, publications, together, kind));
}

async fn serve(subscribers: usize, publications: usize, together: usize, kind: usize) {
    let (node, driver) =
        Node::builder(MemoryEngine::default()).hooks(Generous).flush_workers(1).build().expect("a node");
    tokio::spawn(driver);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut clients = start_clients(&address, subscribers, kind);
    let written =
        Arc::new(Written { replies: AtomicUsize::new(2 * subscribers), bytes: AtomicUsize::new(0) });
    for _ in 0..subscribers {
        let (stream, _) = listener.accept().await.expect("a client");
        stream.set_nodelay(true).expect("a socket");
        let (read, io) = stream.into_split();
        let info = TransportInfo::new("websocket", Encoding::Json);
        let write = Counted { io, written: written.clone() };
        let mut transport = WebSocketTransport::new(info, read, write, &WebSocketConfig::default());
        if kind == DEFLATED {
            transport = transport.with_compression(Compression::default());
        }
        node.accept(transport, ConnContext::default());
    }
    // To connect and to subscribe.
    until(|| written.replies.load(Ordering::Relaxed) == 0).await;
    let (channel, data) = (
        Channel::from("news"),
        Payload::from(
            r#"{"text":"one hundred and twenty bytes or so of an ordinary message, which says little but says it at some length"}"#,
        ),
    );
    let mut options = PublishOptions::default();
    if kind == 1 {
        let (ttl, meta_ttl) = (Duration::from_secs(60), Duration::from_secs(3600));
        options.history = Some(HistoryPolicy { size: 10, ttl, meta_ttl });
        options.tags = Some(Arc::new(Tags::from([("place".to_owned(), "here".to_owned())])));
    }
    // Every delivery is a frame of this size, however many are written together.
    let frame = |position: StreamPosition| {
        let (data, tags, offset) = (data.clone(), options.tags.clone(), position.offset);
        let publication = Publication { data, tags, offset, epoch: position.epoch, ..Publication::default() };
        let push = encode_publication(Encoding::Json, Envelope::Reply, &channel, 0, &publication);
        let push = push.expect("a push");
        let length = if kind == DEFLATED { deflated(&push) } else { push.len() };
        length + if length > 125 { 4 } else { 2 }
    };
    // Without a position they are all of one size, and finding it out is not counted.
    let plain = frame(StreamPosition::default());
    let mut expected = written.bytes.load(Ordering::Relaxed);
    for _ in 0..publications / together {
        for _ in 0..together {
            let published = node.publish(channel.clone(), data.clone(), options.clone()).await;
            let position = published.expect("published").position;
            expected += subscribers * if position.offset == 0 { plain } else { frame(position) };
        }
        until(|| written.bytes.load(Ordering::Relaxed) >= expected).await;
    }
    clients.kill().expect("the clients run");
    clients.wait().expect("the clients end");
}

/// How many bytes a message is once it is compressed as the transport does.
fn deflated(message: &[u8]) -> usize {
    let level = flate2::Compression::new(Compression::default().level);
    let mut bytes = Vec::with_capacity(message.len() + 64);
    let mut state = flate2::Compress::new(level, false);
    state.compress_vec(message, &mut bytes, flate2::FlushCompress::Sync).expect("it is compressed");
    // The end of a flush is not sent.
    bytes.len() - 4
}

async fn until(reached: impl Fn() -> bool) {
    while !reached() {
        tokio::task::yield_now().await;
    }
}

/// What was written to all clients.
struct Written {
    /// Replies that are yet to be written. Only before they are is it looked which frames a write holds.
    replies: AtomicUsize,
    bytes: AtomicUsize,
}

impl Written {
    #[inline]
    fn note(&self, bytes: usize, slices: &[IoSlice<'_>]) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.replies.load(Ordering::Relaxed) > 0 {
            self.note_replies(slices);
        }
    }

    /// Apart, so that a delivery does not pay for it.
    #[cold]
    fn note_replies(&self, slices: &[IoSlice<'_>]) {
        let written: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.replies.fetch_sub(frames(&written), Ordering::Relaxed);
    }
}

/// How many frames lie one behind the other. None is longer than 65,535 bytes.
fn frames(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [_, length, rest @ ..] = bytes {
        bytes = match (length, rest) {
            (126, [high, low, body @ ..]) => &body[usize::from(u16::from_be_bytes([*high, *low]))..],
            _ => &rest[usize::from(*length)..],
        };
        count += 1;
    }
    count
}

/// Counts what is written.
struct Counted {
    io: OwnedWriteHalf,
    written: Arc<Written>,
}

impl Counted {
    fn poll_write_with(
        &mut self,
        write: impl FnOnce(Pin<&mut OwnedWriteHalf>) -> Poll<Result<usize>>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = write(Pin::new(&mut self.io));
        if let Poll::Ready(Ok(bytes)) = &written {
            self.written.note(*bytes, slices);
        }
        written
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_with(|io| io.poll_write(cx, bytes), &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.poll_write_with(|io| io.poll_write_vectored(cx, slices), slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn start_clients(address: &str, count: usize, kind: usize) -> Child {
    let own = std::env::current_exe().expect("this program has a path");
    Command::new(own)
        .args(["clients", address, &count.to_string(), &kind.to_string()])
        .spawn()
        .expect("it runs again")
}

/// Subscribes so many times, and reads until the server goes.
fn clients(address: &str, count: usize, asked: &str) {
    let connect = || {
        let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
        let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"news"{asked}}}}}"#);
        for command in [r#"{"id":1,"connect":{}}"#, &subscribe] {
            let length = u8::try_from(command.len()).expect("a short command");
            // A masked text frame; a mask of zeros changes nothing.
            let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
            frame.extend_from_slice(command.as_bytes());
            stream.write_all(&frame).expect("the server takes it");
        }
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
        })
    };
    let readers: Vec<_> = (0..count).map(|_| connect()).collect();
    for reader in readers {
        let _ = reader.join();
    }
}
