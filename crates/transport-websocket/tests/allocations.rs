//! What a message costs in memory: nothing, going either way.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tourbillon_transport::{
    Message, MessageQueue, Received, Transport, TransportInfo, TransportReader, TransportWriter,
};
use tourbillon_transport_websocket::{Compression, WebSocketConfig, WebSocketTransport};
use tourbillon_types::Encoding;

const ROUNDS: usize = 1_000;

/// Gives the same bytes again and again, and makes the reader wait in between.
struct Source {
    bytes: Vec<u8>,
    waits: bool,
}

impl AsyncRead for Source {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.waits = !self.waits;
        if self.waits {
            into.put_slice(&self.bytes);
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}

/// Takes everything.
struct Sink;

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn transport(bytes: Vec<u8>) -> WebSocketTransport<Source, Sink> {
    let info = TransportInfo::new("websocket", Encoding::Json);
    WebSocketTransport::new(info, Source { bytes, waits: false }, Sink, &WebSocketConfig::default())
}

/// A frame of 100 bytes of text, masked by zeros.
fn frame() -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 100, 0, 0, 0, 0];
    frame.resize(frame.len() + 100, b'x');
    frame
}

/// The messages of one reading.
fn receive(reader: &mut impl TransportReader, keep: &mut Vec<Bytes>) -> usize {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut count = 0;
    while let Poll::Ready(received) = reader.poll_recv(cx) {
        let Ok(Received::Message(message)) = received else { panic!("{received:?}") };
        count += 1;
        if keep.len() < keep.capacity() {
            keep.push(message);
        }
    }
    count
}

#[test]
fn receiving_a_message_allocates_nothing() {
    for together in [1, 5, 100] {
        let (mut reader, _writer) = transport(frame().repeat(together)).split();
        receive(&mut reader, &mut Vec::new());
        let cost = measure(|| {
            for _ in 0..ROUNDS {
                assert_eq!(receive(&mut reader, &mut Vec::new()), together);
            }
        });
        assert_eq!((cost.count_total, cost.bytes_current), (0, 0), "{together} at once: {cost:?}");
    }
}

#[test]
fn messages_that_are_kept_cost_little_more_than_their_bytes() {
    let (mut reader, _writer) = transport(frame()).split();
    // The thread's own memory is there before.
    receive(&mut reader, &mut Vec::new());
    let mut kept = Vec::with_capacity(ROUNDS);
    let cost = measure(|| {
        for _ in 0..ROUNDS {
            receive(&mut reader, &mut kept);
        }
    });
    let messages = u64::try_from(kept.len()).expect("few");
    assert!(cost.count_total <= messages / 10, "{cost:?}");
    assert!(cost.bytes_max <= messages * 130, "{cost:?}");
    // One that is kept keeps its neighbours' memory, and not much of it.
    let last = kept.pop();
    let freed = measure(|| kept.clear());
    let left = cost.bytes_current + freed.bytes_current;
    assert!(last.is_some() && left <= 5_000, "{left} bytes");
}

#[test]
fn a_reader_at_rest_holds_nothing() {
    let (mut reader, _writer) = transport(frame()).split();
    receive(&mut reader, &mut Vec::new());
    let cost = measure(|| drop(reader));
    // The source's bytes; the shared control is the writer's too.
    assert_eq!(cost.bytes_current, -106, "{cost:?}");
}

#[test]
fn sending_a_message_allocates_nothing() {
    let compressed = {
        let (reader, writer) = transport(Vec::new()).with_compression(Compression::default()).split();
        drop(reader);
        writer
    };
    let (_reader, plain) = transport(Vec::new()).split();
    for mut writer in [plain, compressed] {
        let message = Message::new([b'x'; 200]);
        let mut queue = MessageQueue::new();
        let mut send = |count: usize| {
            for _ in 0..count {
                queue.push(message.clone());
            }
            let written = writer.poll_write(&mut Context::from_waker(Waker::noop()), &mut queue);
            assert!(matches!(written, Poll::Ready(Ok(()))), "{written:?}");
        };
        send(1);
        let cost = measure(|| {
            for _ in 0..ROUNDS {
                send(1);
            }
        });
        assert_eq!((cost.count_total, cost.bytes_current), (0, 0), "{cost:?}");
        // Beyond one message the queue has storage while it is not empty.
        let cost = measure(|| send(30));
        assert_eq!(cost.bytes_current, 0, "{cost:?}");
    }
}
