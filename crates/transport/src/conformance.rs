//! The suite every transport passes, compiled into each transport's tests by
//! [`conformance_suite!`](crate::conformance_suite).

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

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
    /// Sends one message.
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
    let (mut reader, _writer) = transport.split();
    let giant = format!("\"{}\"", "x".repeat(H::LIMIT)).into_bytes();
    let at_client = async {
        peer.send(&giant).await;
    };
    let at_node = async {
        let refused = reader.recv().await;
        assert!(
            matches!(refused, Err(TransportError::MessageTooLarge { limit }) if limit == H::LIMIT),
            "{refused:?}"
        );
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

/// Polls all futures until each is done.
async fn all<const N: usize>(mut futures: [&mut (dyn Future<Output = ()> + Unpin); N]) {
    let mut done = [false; N];
    poll_fn(|cx| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if !*done {
                *done = std::pin::Pin::new(&mut **future).poll(cx).is_ready();
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
            messages_beyond_the_limit_are_refused back_pressure abandoned_reads_lose_nothing
            the_clients_end_is_seen the_nodes_end_is_seen);
    };
    (@tests $block_on:expr, $harness:expr, $($check:ident)*) => {
        $(#[test]
        fn $check() {
            ($block_on)($crate::conformance::$check($harness));
        })*
    };
}
