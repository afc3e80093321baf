//! Both halves over streams that take and give what they like, when they like.

use std::collections::VecDeque;
use std::io::{IoSlice, Result as IoResult};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tourbillon_transport::{
    Message, MessageQueue, Received, Transport, TransportError, TransportInfo, TransportReader,
    TransportWriter,
};
use tourbillon_transport_websocket::{Compression, WebSocketConfig, WebSocketTransport};
use tourbillon_types::{Disconnect, Encoding};

use crate::compression::{deflated, inflated};
use crate::support::{block_on, frame, next_frame};

/// How much a stream takes or gives at each call, over and over; 0 makes the caller wait.
#[derive(Clone, Debug)]
struct Plan {
    steps: VecDeque<usize>,
    waits: usize,
}

impl Plan {
    fn next(&mut self, cx: &Context<'_>) -> Poll<usize> {
        self.steps.rotate_left(1);
        match self.steps.back() {
            Some(0) => {
                self.waits += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            step => Poll::Ready(step.copied().expect("a step")),
        }
    }
}

/// Any plan that comes to an end, and soon.
fn plan() -> impl Strategy<Value = Plan> {
    let step = prop_oneof![2 => Just(0), 3 => 1_usize..20, 2 => 20_usize..20_000];
    (vec(step, 0..12), 5_000_usize..200_000).prop_map(|(steps, last)| {
        let steps = steps.into_iter().chain([last]).collect();
        Plan { steps, waits: 0 }
    })
}

struct Source {
    bytes: Vec<u8>,
    at: usize,
    plan: Arc<Mutex<Plan>>,
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        let Poll::Ready(step) = self.plan.lock().next(cx) else { return Poll::Pending };
        let rest = &self.bytes[self.at..];
        let given = &rest[..step.min(into.remaining()).min(rest.len())];
        into.put_slice(given);
        let length = given.len();
        self.at += length;
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug)]
struct Taken {
    bytes: Vec<u8>,
    plan: Plan,
    ended: bool,
}

#[derive(Clone)]
struct Sink {
    taken: Arc<Mutex<Taken>>,
    vectored: bool,
}

impl Sink {
    fn new(plan: Plan, vectored: bool) -> Self {
        Self { taken: Arc::new(Mutex::new(Taken { bytes: Vec::new(), plan, ended: false })), vectored }
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<IoResult<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<IoResult<usize>> {
        let mut taken = self.taken.lock();
        assert!(!taken.ended, "a write after the end");
        assert!(self.vectored || slices.len() == 1, "this stream takes one piece at a time");
        let Poll::Ready(step) = taken.plan.next(cx) else { return Poll::Pending };
        let before = taken.bytes.len();
        for slice in slices {
            let room = step - (taken.bytes.len() - before);
            taken.bytes.extend_from_slice(&slice[..room.min(slice.len())]);
        }
        Poll::Ready(Ok(taken.bytes.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        self.taken.lock().plan.next(cx).map(|_| Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
        self.taken.lock().ended = true;
        Poll::Ready(Ok(()))
    }
}

fn transport(
    bytes: Vec<u8>,
    plan: &Arc<Mutex<Plan>>,
    sink: Sink,
    compressed: bool,
) -> WebSocketTransport<Source, Sink> {
    let source = Source { bytes, at: 0, plan: plan.clone() };
    let info = TransportInfo::new("websocket", Encoding::Protobuf);
    let transport = WebSocketTransport::new(info, source, sink, &WebSocketConfig::default());
    if compressed { transport.with_compression(Compression::default()) } else { transport }
}

/// Reads to the end, giving up at every wait: what came, and how it ended. A wait that the stream did not ask for
/// would never be over.
fn read_all(
    reader: &mut impl TransportReader,
    plan: &Mutex<Plan>,
) -> (Vec<Vec<u8>>, usize, Result<(), TransportError>) {
    let (mut messages, mut pings) = (Vec::new(), 0);
    loop {
        let waits = plan.lock().waits;
        match reader.poll_recv(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => assert!(plan.lock().waits > waits, "nobody wakes the reader"),
            Poll::Ready(Ok(Received::Message(message))) => messages.push(message.to_vec()),
            Poll::Ready(Ok(Received::WantsWrite)) => pings += 1,
            Poll::Ready(Ok(Received::Pong)) => {}
            Poll::Ready(Ok(Received::End)) => return (messages, pings, Ok(())),
            Poll::Ready(Err(error)) => return (messages, pings, Err(error)),
        }
    }
}

/// A message of a client and how it is sent.
#[derive(Clone, Debug)]
struct Sent {
    data: Vec<u8>,
    compressed: bool,
    cuts: Vec<Index>,
    /// Whether pings stand between its fragments and after it.
    pings: bool,
}

impl Sent {
    fn frames(&self) -> Vec<u8> {
        let wire = if self.compressed { deflated(&self.data) } else { self.data.clone() };
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(wire.len());
        let (mut out, mut start) = (Vec::new(), 0);
        for (number, end) in cuts.iter().enumerate() {
            let fin = if number + 1 == cuts.len() { 0x80 } else { 0 };
            let kind = if number > 0 { 0 } else { 0x02 | (u8::from(self.compressed) << 6) };
            out.extend(frame(fin | kind, &wire[start..*end]));
            start = *end;
            if self.pings {
                out.extend(frame(0x89, b"ping"));
            }
        }
        out
    }

    fn pings(&self) -> usize {
        if self.pings { self.cuts.len() + 1 } else { 0 }
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let data = prop_oneof![
        4 => vec(any::<u8>(), 0..300),
        1 => (16_000_usize..20_000).prop_map(|length| vec![b'x'; length]),
    ];
    (data, any::<bool>(), vec(any::<Index>(), 0..4), any::<bool>())
        .prop_map(|(data, compressed, cuts, pings)| Sent { data, compressed, cuts, pings })
}

/// What happens to a server's end.
#[derive(Clone, Debug)]
enum Step {
    /// A message of this size is queued.
    Push(usize),
    /// The reader is polled: it finds a ping, or has to wait.
    Read,
    /// The writer is polled.
    Write,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![
        8 => 0_usize..10,
        4 => 100_usize..300,
        1 => 16_000_usize..17_000,
        1 => 65_530_usize..65_540,
    ];
    prop_oneof![4 => size.prop_map(Step::Push), 1 => Just(Step::Read), 3 => Just(Step::Write)]
}

/// As many pings as are answered one by one.
const PINGS: u8 = 16;

/// Takes the steps and closes, and checks all that the peer gets.
fn written(steps: &[Step], plan: Plan, reads: Plan, vectored: bool, compressed: bool, drain: bool) {
    let sink = Sink::new(plan, vectored);
    let pings = (0..PINGS).flat_map(|number| frame(0x89, &[number])).collect();
    let (mut reader, mut writer) =
        transport(pings, &Arc::new(Mutex::new(reads)), sink.clone(), compressed).split();
    let mut cx = Context::from_waker(Waker::noop());
    let (mut queue, mut sent, mut heard) = (MessageQueue::new(), Vec::new(), 0);
    let write = |queue: &mut MessageQueue, writer: &mut dyn FnMut(&mut MessageQueue) -> bool| {
        let waits = sink.taken.lock().plan.waits;
        let ready = writer(queue);
        assert!(ready || sink.taken.lock().plan.waits > waits, "nobody wakes the writer");
        ready
    };
    for step in steps {
        match step {
            Step::Push(size) => {
                let number = u8::try_from(sent.len() % 256).expect("a byte");
                sent.push(vec![number; *size]);
                queue.push(Message::new(vec![number; *size]));
            }
            Step::Read => {
                if heard < PINGS && reader.poll_recv(&mut cx).is_ready() {
                    heard += 1;
                }
            }
            Step::Write => {
                write(&mut queue, &mut |queue| match writer.poll_write(&mut cx, queue) {
                    Poll::Ready(done) => done.map(|()| assert!(queue.is_empty())).is_ok(),
                    Poll::Pending => false,
                });
            }
        }
    }
    while drain && !write(&mut queue, &mut |queue| writer.poll_write(&mut cx, queue).is_ready()) {}
    // What is still queued is lost; what was begun is not.
    sent.truncate(sent.len() - queue.len());
    let why = Disconnect::FORCE_DISCONNECT;
    while !write(&mut queue, &mut |_| writer.poll_close(&mut cx, &why).is_ready()) {}
    let taken = sink.taken.lock();
    assert!(taken.ended);
    let mut expected_end = 3503_u16.to_be_bytes().to_vec();
    expected_end.extend_from_slice(why.reason.as_bytes());
    block_on(async {
        let (mut stream, mut messages, mut pongs) = (&taken.bytes[..], Vec::new(), Vec::new());
        let end = loop {
            match next_frame(&mut stream).await.expect("a whole frame") {
                (0x82, payload) => messages.push(payload),
                (0xc2, payload) if compressed => messages.push(inflated(&payload)),
                (0x8a, payload) => pongs.extend(payload),
                end => break end,
            }
        };
        assert_eq!(end, (0x88, expected_end));
        assert!(stream.is_empty(), "{} bytes after the close", stream.len());
        assert_eq!(pongs, (0..heard).collect::<Vec<u8>>());
        assert!(messages == sent, "{} messages of {}", messages.len(), sent.len());
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_in_any_pieces_is_read_the_same(
        all in vec(sent(), 0..6),
        plan in plan(),
        early in any::<Index>(),
        cut in any::<Index>(),
    ) {
        let mut stream = Vec::new();
        all.iter().for_each(|sent| stream.extend(sent.frames()));
        // The first bytes may have come with the handshake.
        let early = stream.drain(..early.index(stream.len() + 1)).collect::<Vec<u8>>();
        let whole = early.len() + stream.len();
        let expected: Vec<Vec<u8>> = all.iter().map(|sent| sent.data.clone()).collect();
        let plan = Arc::new(Mutex::new(plan));
        let sink = Sink::new(Plan { steps: VecDeque::from([1]), waits: 0 }, true);
        let (mut reader, _writer) =
            transport(stream.clone(), &plan, sink.clone(), true).with_early(&early[..]).split();
        let (messages, pings, end) = read_all(&mut reader, &plan);
        prop_assert!(end.is_ok(), "{:?}", end);
        prop_assert!(messages == expected);
        prop_assert_eq!(pings, all.iter().map(Sent::pings).sum::<usize>());
        // Cut anywhere, it gives the messages that are complete.
        let kept = cut.index(stream.len() + 1);
        stream.truncate(kept);
        let (mut reader, _writer) = transport(stream, &plan, sink, true).with_early(&early[..]).split();
        let (messages, _, end) = read_all(&mut reader, &plan);
        prop_assert!(end.is_ok(), "{:?}", end);
        prop_assert!(messages.len() <= expected.len() && messages[..] == expected[..messages.len()]);
        prop_assert!(kept + early.len() < whole || messages.len() == expected.len());
    }

    #[test]
    fn a_damaged_stream_ends(
        all in vec(sent(), 1..4),
        damage in vec((any::<Index>(), any::<u8>()), 1..6),
        plan in plan(),
    ) {
        let mut stream: Vec<u8> = all.iter().flat_map(Sent::frames).collect();
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let plan = Arc::new(Mutex::new(plan));
        let sink = Sink::new(Plan { steps: VecDeque::from([1000]), waits: 0 }, true);
        let (mut reader, mut writer) = transport(stream, &plan, sink.clone(), true).split();
        let (_, _, end) = read_all(&mut reader, &plan);
        if end.is_err() {
            // Nothing more comes out, and the peer is told a code of the RFC.
            let (messages, pings, _) = read_all(&mut reader, &plan);
            prop_assert_eq!((messages.len(), pings), (0, 0));
            let mut cx = Context::from_waker(Waker::noop());
            prop_assert!(writer.poll_close(&mut cx, &Disconnect::CONNECTION_CLOSED).is_ready());
            let taken = sink.taken.lock();
            let told = taken.bytes.last_chunk::<4>();
            prop_assert!(
                matches!(told, Some([0x88, 2, 0x03, 0xea | 0xef | 0xf1])),
                "{:?}: {:?}", end, told
            );
        }
    }

    #[test]
    fn a_writer_loses_and_doubles_nothing(
        steps in vec(step(), 0..80),
        plan in plan(),
        reads in plan(),
        vectored in any::<bool>(),
        compressed in any::<bool>(),
        drain in any::<bool>(),
    ) {
        written(&steps, plan, reads, vectored, compressed, drain);
    }
}
