//! The suite every transport passes, compiled into each transport's tests by
//! [`conformance_suite!`](crate::conformance_suite).

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use parking_lot::Mutex;
use tourbillon_types::Disconnect;

use crate::{Message, MessageQueue, Received, Transport, TransportError, TransportReader, TransportWriter};

/// Makes connections to be tested.
pub trait Harness {
    /// The transport under test.
    type Transport: Transport;
    /// A client of it that is not our code, as far as there is one.
    type Peer: Peer;

    /// The largest message that the transport takes, in bytes.
    const LIMIT: usize;

    /// Whether a message beyond [`LIMIT`](Self::LIMIT) is refused; a transport without a network has no such bound.
    const BOUNDED: bool = true;

    /// Two ends of a fresh connection.
    fn connect(&self) -> impl Future<Output = (Self::Transport, Self::Peer)>;
}

/// The client's end.
pub trait Peer {
    /// Sends one message. A connection that is broken meanwhile is no failure.
    fn send(&mut self, message: &[u8]) -> impl Future<Output = ()>;
    /// What the server sent next.
    fn recv(&mut self) -> impl Future<Output = Saw>;
    /// Goes away in an orderly manner.
    fn leave(self) -> impl Future<Output = ()>;
}

/// What a client saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saw {
    /// A message.
    Message(Vec<u8>),
    /// The end, with the code that it was given.
    Closed(Option<u32>),
}

fn text(number: usize) -> String {
    format!("{{\"number\":{number}}}")
}

async fn received(reader: &mut impl TransportReader) -> Vec<u8> {
    loop {
        match reader.recv().await {
            Ok(Received::Message(message)) => return message.to_vec(),
            Ok(Received::WantsWrite | Received::Pong) => {}
            other => assert_eq!(format!("{other:?}"), "a message"),
        }
    }
}

async fn write(writer: &mut impl TransportWriter, queue: &mut MessageQueue) {
    let written = poll_fn(|cx| writer.poll_write(cx, queue)).await;
    assert!(written.is_ok(), "{written:?}");
    assert!(queue.is_empty(), "ready means that nothing is left");
}

/// The client's messages arrive one by one, whole and in order.
pub async fn messages_reach_the_node(harness: impl Harness) {
    let (transport, mut peer) = harness.connect().await;
    let (mut reader, _writer) = transport.split();
    for number in 0..100 {
        peer.send(text(number).as_bytes()).await;
        assert_eq!(received(&mut reader).await, text(number).as_bytes());
    }
    for number in 0..100 {
        peer.send(text(number).as_bytes()).await;
    }
    for number in 0..100 {
        assert_eq!(received(&mut reader).await, text(number).as_bytes());
    }
}

/// The node's messages arrive one by one, whole and in order, whether queued singly or together.
pub async fn messages_reach_the_client(harness: impl Harness) {
    let (transport, mut peer) = harness.connect().await;
    let (_reader, mut writer) = transport.split();
    let mut queue = MessageQueue::new();
    for number in 0..100 {
        queue.push(Message::new(text(number).into_bytes()));
        if number % 10 < 7 {
            write(&mut writer, &mut queue).await;
        }
    }
    write(&mut writer, &mut queue).await;
    for number in 0..100 {
        assert_eq!(peer.recv().await, Saw::Message(text(number).into_bytes()));
    }
}

/// A message at the limit passes; the same from both sides.
pub async fn large_messages_pass<H: Harness>(harness: H) {
    let (transport, mut peer) = harness.connect().await;
    let (mut reader, mut writer) = transport.split();
    let large = format!("\"{}\"", "x".repeat(H::LIMIT - 2)).into_bytes();
    let mut queue = MessageQueue::new();
    queue.push(Message::new(large.clone()));
    let to_client = async {
        write(&mut writer, &mut queue).await;
    };
    let at_client = async {
        assert_eq!(peer.recv().await, Saw::Message(large.clone()));
        peer.send(&large).await;
    };
    let at_node = async {
        assert_eq!(received(&mut reader).await, large);
    };
    all([&mut pin!(to_client), &mut pin!(at_client), &mut pin!(at_node)]).await;
}

/// A message beyond the limit ends the connection with the right error.
pub async fn messages_beyond_the_limit_are_refused<H: Harness>(harness: H) {
    if !H::BOUNDED {
        return;
    }
    let (transport, mut peer) = harness.connect().await;
    let (mut reader, writer) = transport.split();
    let giant = format!("\"{}\"", "x".repeat(H::LIMIT)).into_bytes();
    let at_client = async {
        peer.send(&giant).await;
    };
    let at_node = async move {
        let refused = reader.recv().await;
        assert!(
            matches!(refused, Err(TransportError::MessageTooLarge { limit }) if limit == H::LIMIT),
            "{refused:?}"
        );
        // The rest is not waited for.
        drop((reader, writer));
    };
    all([&mut pin!(at_client), &mut pin!(at_node)]).await;
}

/// A client that does not read makes writing wait, and nothing is lost or doubled when it reads again.
pub async fn back_pressure<H: Harness>(harness: H) {
    let (transport, mut peer) = harness.connect().await;
    let (_reader, mut writer) = transport.split();
    let message = Message::new(format!("\"{}\"", "y".repeat(16 * 1024)).into_bytes());
    let mut queue = MessageQueue::new();
    let mut sent = 0;
    loop {
        queue.push(message.clone());
        sent += 1;
        match writer.poll_write(&mut Context::from_waker(Waker::noop()), &mut queue) {
            Poll::Ready(Ok(())) => assert!(sent < 10_000, "160 MB taken without a reader"),
            Poll::Ready(Err(error)) => return assert_eq!(format!("{error:?}"), "no error"),
            Poll::Pending => break,
        }
    }
    let before = queue.len();
    let again = writer.poll_write(&mut Context::from_waker(Waker::noop()), &mut queue);
    assert!(again.is_pending() || queue.len() <= before);
    let at_node = async {
        write(&mut writer, &mut queue).await;
    };
    let at_client = async {
        for _ in 0..sent {
            assert_eq!(peer.recv().await, Saw::Message(message.as_bytes().to_vec()));
        }
    };
    all([&mut pin!(at_node), &mut pin!(at_client)]).await;
}

/// Polling the reader and giving up, any number of times, loses nothing.
pub async fn abandoned_reads_lose_nothing(harness: impl Harness) {
    let (transport, mut peer) = harness.connect().await;
    let (mut reader, _writer) = transport.split();
    for number in 0..50 {
        for _ in 0..3 {
            let polled = reader.poll_recv(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "{polled:?}");
        }
        peer.send(text(number).as_bytes()).await;
        assert_eq!(received(&mut reader).await, text(number).as_bytes());
    }
}

/// The client's leaving is an orderly end.
pub async fn the_clients_end_is_seen(harness: impl Harness) {
    let (transport, peer) = harness.connect().await;
    let (mut reader, _writer) = transport.split();
    let at_client = peer.leave();
    let at_node = async {
        loop {
            match reader.recv().await {
                Ok(Received::WantsWrite) => {}
                other => break assert_eq!(other.ok(), Some(Received::End)),
            }
        }
    };
    all([&mut pin!(at_client), &mut pin!(at_node)]).await;
}

/// The node's close reaches the client, after what was written before it, with its code where one is told.
pub async fn the_nodes_end_is_seen(harness: impl Harness) {
    let (transport, mut peer) = harness.connect().await;
    let (reader, mut writer) = transport.split();
    let mut queue = MessageQueue::new();
    queue.push(Message::new(text(1).into_bytes()));
    write(&mut writer, &mut queue).await;
    let closed = poll_fn(|cx| writer.poll_close(cx, &Disconnect::FORCE_DISCONNECT)).await;
    assert!(closed.is_ok(), "{closed:?}");
    assert_eq!(peer.recv().await, Saw::Message(text(1).into_bytes()));
    match peer.recv().await {
        Saw::Closed(code) => assert_eq!(code.unwrap_or(3503), 3503),
        other @ Saw::Message(_) => assert_eq!(other, Saw::Closed(Some(3503))),
    }
    drop((reader, writer));
}

/// Reads that are interrupted while messages come in pieces, with every wake-up but the last one thrown away, lose
/// nothing.
pub async fn interrupted_reads_lose_nothing<H: Harness>(harness: H) {
    let (transport, mut peer) = harness.connect().await;
    let (mut reader, _writer) = transport.split();
    let sizes = [2, 1_000, H::LIMIT / 2, 130, H::LIMIT];
    let message = |size: usize| format!("\"{}\"", "z".repeat(size - 2)).into_bytes();
    let at_client = async {
        for size in sizes {
            peer.send(&message(size)).await;
        }
    };
    let at_node = async {
        for size in sizes {
            let seen = poll_fn(|cx| {
                loop {
                    for _ in 0..3 {
                        let ignored = reader.poll_recv(&mut Context::from_waker(Waker::noop()));
                        if ignored.is_ready() {
                            return ignored;
                        }
                    }
                    match ready!(reader.poll_recv(cx)) {
                        Ok(Received::WantsWrite | Received::Pong) => {}
                        other => return Poll::Ready(other),
                    }
                }
            });
            match seen.await {
                Ok(Received::Message(seen)) => assert_eq!(seen, message(size)),
                other => assert_eq!(format!("{other:?}"), "a message"),
            }
        }
    };
    all([&mut pin!(at_client), &mut pin!(at_node)]).await;
}

/// Both directions work at the same time, neither waiting for the other.
pub async fn both_ways_at_once(harness: impl Harness) {
    const COUNT: usize = 200;
    let (transport, mut peer) = harness.connect().await;
    let (mut reader, mut writer) = transport.split();
    let down = |number: usize| format!("\"{}\"", "d".repeat(number * 20)).into_bytes();
    let reading = async {
        for number in 0..COUNT {
            assert_eq!(received(&mut reader).await, text(number).as_bytes());
        }
    };
    let writing = async {
        let mut queue = MessageQueue::new();
        for number in 0..COUNT {
            queue.push(Message::new(down(number)));
            write(&mut writer, &mut queue).await;
        }
    };
    let at_client = async {
        for number in 0..COUNT {
            peer.send(text(number).as_bytes()).await;
            assert_eq!(peer.recv().await, Saw::Message(down(number)));
        }
    };
    all([&mut pin!(reading), &mut pin!(writing), &mut pin!(at_client)]).await;
}

/// What was begun is finished before the end, also when the rest of the queue is given up.
pub async fn a_close_does_not_cut_a_message<H: Harness>(harness: H) {
    let (transport, mut peer) = harness.connect().await;
    let (_reader, mut writer) = transport.split();
    let message = Message::new(format!("\"{}\"", "c".repeat(10_000)).into_bytes());
    let mut queue = MessageQueue::new();
    loop {
        queue.push(message.clone());
        if writer.poll_write(&mut Context::from_waker(Waker::noop()), &mut queue).is_pending() {
            break;
        }
    }
    queue.clear();
    let at_node = async {
        let closed = poll_fn(|cx| writer.poll_close(cx, &Disconnect::FORCE_DISCONNECT)).await;
        assert!(closed.is_ok(), "{closed:?}");
    };
    let at_client = async {
        while let Saw::Message(seen) = peer.recv().await {
            assert_eq!(seen, message.as_bytes());
        }
    };
    all([&mut pin!(at_node), &mut pin!(at_client)]).await;
}

/// Once a write is ready nothing of it is kept back: it arrives though the connection ends right then. Dropping both
/// halves, in either order, ends it.
pub async fn ready_means_sent<H: Harness>(harness: H) {
    for reader_first in [true, false] {
        let (transport, mut peer) = harness.connect().await;
        let (reader, mut writer) = transport.split();
        let mut queue = MessageQueue::new();
        for number in 0..20 {
            queue.push(Message::new(text(number).into_bytes()));
        }
        write(&mut writer, &mut queue).await;
        if reader_first {
            drop(reader);
            queue.push(Message::new(text(20).into_bytes()));
            write(&mut writer, &mut queue).await;
            drop(writer);
        } else {
            drop(writer);
            drop(reader);
        }
        for number in 0..if reader_first { 21 } else { 20 } {
            assert_eq!(peer.recv().await, Saw::Message(text(number).into_bytes()));
        }
        assert!(matches!(peer.recv().await, Saw::Closed(_)));
    }
}

/// After the client's end the node's own comes to an end too, in success or failure.
pub async fn an_end_is_answered(harness: impl Harness) {
    let (transport, peer) = harness.connect().await;
    let (mut reader, mut writer) = transport.split();
    let at_client = peer.leave();
    let at_node = async {
        while !matches!(reader.recv().await, Ok(Received::End) | Err(_)) {}
        let _ = poll_fn(|cx| writer.poll_close(cx, &Disconnect::CONNECTION_CLOSED)).await;
    };
    all([&mut pin!(at_client), &mut pin!(at_node)]).await;
}

/// After an error no message comes any more, whatever the client still sends.
pub async fn nothing_follows_an_error<H: Harness>(harness: H) {
    if !H::BOUNDED {
        return;
    }
    let (transport, mut peer) = harness.connect().await;
    let (mut reader, mut writer) = transport.split();
    let giant = format!("\"{}\"", "x".repeat(H::LIMIT)).into_bytes();
    let at_client = async {
        peer.send(&giant).await;
        peer.send(text(1).as_bytes()).await;
        peer.leave().await;
    };
    let at_node = async {
        assert!(reader.recv().await.is_err());
        let _ = poll_fn(|cx| writer.poll_close(cx, &Disconnect::BAD_REQUEST)).await;
        loop {
            match reader.recv().await {
                Ok(Received::End) | Err(_) => break,
                other => assert!(!matches!(other, Ok(Received::Message(_))), "{other:?}"),
            }
        }
    };
    all([&mut pin!(at_client), &mut pin!(at_node)]).await;
}

/// Tells whether one of several futures was woken, so that a wake-up that is lost shows.
struct Woken {
    this: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.this.store(true, Ordering::SeqCst);
        if let Some(outer) = self.outer.lock().take() {
            outer.wake();
        }
    }
}

/// Polls all futures until each is done; each only when it was woken itself.
async fn all<const N: usize>(mut futures: [&mut (dyn Future<Output = ()> + Unpin); N]) {
    let woken: [_; N] =
        std::array::from_fn(|_| Arc::new(Woken { this: AtomicBool::new(true), outer: Mutex::new(None) }));
    let mut done = [false; N];
    poll_fn(|cx| {
        for woken in &woken {
            *woken.outer.lock() = Some(cx.waker().clone());
        }
        for ((future, done), woken) in futures.iter_mut().zip(&mut done).zip(&woken) {
            if !*done && woken.this.swap(false, Ordering::SeqCst) {
                let waker = Waker::from(woken.clone());
                *done = Pin::new(&mut **future).poll(&mut Context::from_waker(&waker)).is_ready();
            }
        }
        if done.iter().all(|done| *done) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Compiles the suite into a test module: one test a check. `$block_on` runs a future to its end; `$harness` makes a
/// [`Harness`].
#[macro_export]
macro_rules! conformance_suite {
    ($block_on:expr, $harness:expr) => {
        $crate::conformance_suite!(@tests $block_on, $harness,
            messages_reach_the_node messages_reach_the_client large_messages_pass
            messages_beyond_the_limit_are_refused nothing_follows_an_error back_pressure
            abandoned_reads_lose_nothing interrupted_reads_lose_nothing both_ways_at_once
            a_close_does_not_cut_a_message ready_means_sent the_clients_end_is_seen an_end_is_answered
            the_nodes_end_is_seen);
    };
    (@tests $block_on:expr, $harness:expr, $($check:ident)*) => {
        $(#[test]
        fn $check() {
            ($block_on)($crate::conformance::$check($harness));
        })*
    };
}
