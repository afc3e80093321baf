//! What the writer of a connection and whoever takes its messages away share, where that is not the operating system
//! but a library that asks for more when it has room: the body of an HTTP response, as a rule.
//!
//! The writer puts in what is queued, in the [`Form`] of the stream, all in one piece; the library takes the piece. While
//! the slot is full the writer is pending, so that a client that does not read makes the node's queue grow and no buffer
//! of ours. At rest the slot is empty and holds no storage. A message for many connections is put into its form once.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Entry, Message, MessageQueue, Received, TransportError, TransportReader};

/// What a message looks like in a stream.
pub trait Form: Copy + Debug + Send + Sync + 'static {
    /// Names the form among those that are kept with a message ([`Message::derived`]). Chosen at random, each its own.
    fn key(self) -> u32;

    /// How many bytes [`append`](Self::append) appends for a message.
    fn length(self, message: &[u8]) -> usize;

    /// Appends a message with what belongs around it.
    fn append(self, message: &[u8], to: &mut Vec<u8>);
}

fn join<F: Form>(form: F, messages: &[Message]) -> Bytes {
    let length = messages.iter().map(|message| form.length(message.as_bytes())).sum();
    let mut joined = Vec::with_capacity(length);
    for message in messages {
        form.append(message.as_bytes(), &mut joined);
    }
    Bytes::from(joined)
}

/// What waits at one place of a queue, in a form, which all connections of this kind share.
pub fn shared<F: Form>(form: F, entry: Entry<'_>) -> Bytes {
    match entry {
        Entry::Message(message) => message.derived(form.key(), |_| join(form, std::slice::from_ref(message))),
        Entry::Run(run) => run.joined(form.key(), |messages| join(form, messages)),
        Entry::Rest(messages) => join(form, messages),
    }
}

/// How many bytes wait for the other side before the writer is pending. A single message or run always fits.
const CAPACITY: usize = 16 * 1024;

/// Holds what the writer has handed over and the other side has not taken yet.
#[derive(Debug)]
pub struct Slot(Mutex<State>);

/// The receiving half of a connection with such a stream, where the client says nothing through it: what came with its
/// request, and the end.
#[derive(Debug)]
pub struct SlotReader {
    first: Option<Bytes>,
    slot: Arc<Slot>,
}

impl SlotReader {
    /// Reads `first`, a frame of the client protocol, and the end once nothing more is taken out of the slot.
    #[must_use]
    pub const fn new(first: Bytes, slot: Arc<Slot>) -> Self {
        Self { first: Some(first), slot }
    }
}

impl TransportReader for SlotReader {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(Received::Message(first)));
        }
        ready!(self.slot.poll_gone(cx));
        Poll::Ready(Ok(Received::End))
    }
}

#[derive(Debug)]
struct State {
    pending: Pending,
    /// Nothing more is put in.
    ended: bool,
    /// Nothing more is taken out: the client is gone, or has everything.
    gone: bool,
    body: Waiter,
    writer: Waiter,
    reader: Waiter,
}

#[derive(Debug)]
enum Pending {
    Empty,
    /// One message, shared with other connections.
    One(Bytes),
    Many(Vec<u8>),
}

/// The task that waits. Its waker is kept from one wait to the next, which mostly are the same task's.
#[derive(Debug, Default)]
struct Waiter {
    waker: Option<Waker>,
    waits: bool,
}

impl Waiter {
    fn wait(&mut self, cx: &Context<'_>) {
        self.waits = true;
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    fn wake(&mut self) {
        if std::mem::take(&mut self.waits)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }
}

impl Pending {
    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    /// Appends an entry if that leaves it within the capacity, or if it is empty.
    fn append<F: Form>(&mut self, form: F, entry: Entry<'_>) -> bool {
        if let Self::Empty = self {
            *self = Self::One(shared(form, entry));
            return true;
        }
        match entry {
            Entry::Message(message) => {
                let length = form.length(message.as_bytes());
                self.reserve(length).is_some_and(|many| {
                    form.append(message.as_bytes(), many);
                    true
                })
            }
            Entry::Run(_) | Entry::Rest(_) => {
                let joined = shared(form, entry);
                self.reserve(joined.len()).is_some_and(|many| {
                    many.extend_from_slice(&joined);
                    true
                })
            }
        }
    }

    /// The same, or where there is nothing yet.
    fn room(&mut self, more: usize) -> Option<&mut Vec<u8>> {
        if let Self::Empty = self {
            *self = Self::Many(Vec::with_capacity(more));
            let Self::Many(many) = self else { return None };
            return Some(many);
        }
        self.reserve(more)
    }

    /// Where that many more bytes have room, if they have.
    fn reserve(&mut self, more: usize) -> Option<&mut Vec<u8>> {
        let length = self.len() + more;
        if length > CAPACITY {
            return None;
        }
        if let Self::One(first) = self {
            let mut many = Vec::with_capacity(length.next_power_of_two());
            many.extend_from_slice(first);
            *self = Self::Many(many);
        }
        match self {
            Self::Many(many) => Some(many),
            Self::Empty | Self::One(_) => None,
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::replace(self, Self::Empty) {
            Self::Empty => None,
            Self::One(bytes) => Some(bytes),
            Self::Many(bytes) => Some(Bytes::from(bytes)),
        }
    }
}

/// The other side takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl From<Gone> for TransportError {
    fn from(_: Gone) -> Self {
        Self::Io(ErrorKind::BrokenPipe.into())
    }
}

impl Slot {
    /// A slot with what comes before the first message.
    #[must_use]
    pub fn new(preamble: &'static [u8]) -> Self {
        let pending =
            if preamble.is_empty() { Pending::Empty } else { Pending::One(Bytes::from_static(preamble)) };
        Self(Mutex::new(State {
            pending,
            ended: false,
            gone: false,
            body: Waiter::default(),
            writer: Waiter::default(),
            reader: Waiter::default(),
        }))
    }

    /// Puts in what has room, and takes it off the queue. `Pending`: there is more, and the waker is woken when there
    /// is room for it.
    ///
    /// # Errors
    ///
    /// [`Gone`]: nothing is taken out any more.
    pub fn poll_put<F: Form>(
        &self,
        cx: &Context<'_>,
        form: F,
        queue: &mut MessageQueue,
    ) -> Poll<Result<(), Gone>> {
        self.poll_put_while(cx, form, queue, |_| true)
    }

    /// The same, up to the first entry that is not to be put in like this: it is left in front, and the outcome is
    /// `Ready`.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn poll_put_while<F: Form>(
        &self,
        cx: &Context<'_>,
        form: F,
        queue: &mut MessageQueue,
        is_shared: impl Fn(Entry<'_>) -> bool,
    ) -> Poll<Result<(), Gone>> {
        self.poll_fill(cx, |pending| {
            loop {
                let front = queue.entries().next();
                let Some(entry) = front.filter(|entry| is_shared(*entry)) else { return Poll::Ready(()) };
                if !pending.append(form, entry) {
                    return Poll::Pending;
                }
                queue.pop_entry();
            }
        })
    }

    /// Puts in what has room, message by message, as `append` makes it for this stream alone: it adds at most `most`
    /// bytes to those of the message. `append` is called for what is taken off the queue, and only then.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn poll_put_each(
        &self,
        cx: &Context<'_>,
        most: usize,
        queue: &mut MessageQueue,
        mut append: impl FnMut(&Message, &mut Vec<u8>),
    ) -> Poll<Result<(), Gone>> {
        self.poll_fill(cx, |pending| {
            loop {
                let Some(length) = queue.iter().next().map(Message::len) else { return Poll::Ready(()) };
                let Some(many) = pending.room(length + most) else { return Poll::Pending };
                if let Some(message) = queue.pop() {
                    append(&message, many);
                }
            }
        })
    }

    fn poll_fill(
        &self,
        cx: &Context<'_>,
        fill: impl FnOnce(&mut Pending) -> Poll<()>,
    ) -> Poll<Result<(), Gone>> {
        let mut state = self.0.lock();
        if state.gone {
            return Poll::Ready(Err(Gone));
        }
        let outcome = fill(&mut state.pending);
        if outcome.is_pending() {
            state.writer.wait(cx);
        }
        state.body.wake();
        outcome.map(Ok)
    }

    /// Takes out all that is there; `None` at the end.
    pub fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.0.lock();
        if let Some(bytes) = state.pending.take() {
            state.writer.wake();
            return Poll::Ready(Some(bytes));
        }
        if state.ended {
            state.leave();
            return Poll::Ready(None);
        }
        state.body.wait(cx);
        Poll::Pending
    }

    /// Waits until the other side takes nothing any more.
    pub fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.gone {
            return Poll::Ready(());
        }
        state.reader.wait(cx);
        Poll::Pending
    }

    /// Nothing more is put in. What is there is still taken.
    ///
    /// # Errors
    ///
    /// [`Gone`]: it is not.
    pub fn end(&self) -> Result<(), Gone> {
        let mut state = self.0.lock();
        state.ended = true;
        state.body.wake();
        if state.gone { Err(Gone) } else { Ok(()) }
    }

    /// Nothing more is taken out.
    pub fn leave(&self) {
        self.0.lock().leave();
    }
}

impl State {
    fn leave(&mut self) {
        self.gone = true;
        self.pending = Pending::Empty;
        self.reader.wake();
        self.writer.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Run;

    /// What comes before and after each message.
    #[derive(Clone, Copy, Debug)]
    struct Around(&'static str, &'static str);

    impl Form for Around {
        fn key(self) -> u32 {
            0
        }

        fn length(self, message: &[u8]) -> usize {
            self.0.len() + message.len() + self.1.len()
        }

        fn append(self, message: &[u8], to: &mut Vec<u8>) {
            to.extend_from_slice(self.0.as_bytes());
            to.extend_from_slice(message);
            to.extend_from_slice(self.1.as_bytes());
        }
    }

    const LINES: Around = Around("", "\n");
    const EVENTS: Around = Around("data: ", "\n\n");

    fn queue(messages: &[&str]) -> MessageQueue {
        let mut queue = MessageQueue::new();
        for message in messages {
            queue.push(Message::new(message.as_bytes()));
        }
        queue
    }

    #[test]
    fn what_is_queued_together_goes_out_in_one_piece() {
        let cx = &Context::from_waker(Waker::noop());
        for (form, preamble, expected) in [
            (LINES, &b""[..], "{\"a\":1}\n{}\n3\n"),
            (EVENTS, b"\r\n", "\r\ndata: {\"a\":1}\n\ndata: {}\n\ndata: 3\n\n"),
            (Around("", ""), b"", "{\"a\":1}{}3"),
        ] {
            let slot = Slot::new(preamble);
            assert_eq!(slot.poll_put(cx, form, &mut queue(&["{\"a\":1}", "{}"])), Poll::Ready(Ok(())));
            assert_eq!(slot.poll_put(cx, form, &mut queue(&["3"])), Poll::Ready(Ok(())));
            assert_eq!(slot.poll_take(cx), Poll::Ready(Some(Bytes::from(expected))));
            assert!(slot.poll_take(cx).is_pending());
            assert!(matches!(slot.0.lock().pending, Pending::Empty), "no storage at rest");
        }
    }

    #[test]
    fn one_message_is_shared_by_all_streams_of_a_kind() {
        let cx = &Context::from_waker(Waker::noop());
        let message = Message::new(*b"{}");
        let taken = [Slot::new(b""), Slot::new(b"")].map(|slot| {
            let mut queue = MessageQueue::new();
            queue.push(message.clone());
            assert!(slot.poll_put(cx, EVENTS, &mut queue).is_ready());
            match slot.poll_take(cx) {
                Poll::Ready(Some(bytes)) => bytes,
                other => unreachable!("{other:?}"),
            }
        });
        assert_eq!(taken[0], "data: {}\n\n");
        assert_eq!(taken[0].as_ptr(), taken[1].as_ptr());
    }

    #[test]
    fn a_run_is_joined_once_for_all_streams_of_a_kind() {
        let cx = &Context::from_waker(Waker::noop());
        let run = Run::new(Message::new("1"));
        run.append(Message::new("2")).expect("open");
        let put = |before: &[&str], rest: bool| {
            let slot = Slot::new(b"");
            let mut queue = queue(before);
            queue.push_run(run.clone());
            queue.push(Message::new("3"));
            if rest {
                queue.pop();
            }
            assert!(slot.poll_put(cx, LINES, &mut queue).is_ready());
            slot.0.lock().pending.take().expect("something")
        };
        assert_eq!(
            [put(&[], false), put(&["0"], false), put(&[], true)],
            ["1\n2\n3\n", "0\n1\n2\n3\n", "2\n3\n"]
        );
        let shared = [(); 2].map(|()| {
            let slot = Slot::new(b"");
            let mut queue = MessageQueue::new();
            queue.push_run(run.clone());
            assert!(slot.poll_put(cx, LINES, &mut queue).is_ready());
            slot.0.lock().pending.take().expect("something")
        });
        assert_eq!(shared[0].as_ptr(), shared[1].as_ptr());
    }

    #[test]
    fn a_full_slot_makes_the_writer_wait_and_nothing_is_lost() {
        let cx = &Context::from_waker(Waker::noop());
        let slot = Slot::new(b"");
        let large = "x".repeat(CAPACITY * 2);
        let mut queue = queue(&[&large, "1", "2"]);
        assert!(slot.poll_put(cx, LINES, &mut queue).is_pending(), "one always fits, and no more");
        assert_eq!(queue.len(), 2);
        assert_eq!(slot.poll_take(cx), Poll::Ready(Some(Bytes::from(large + "\n"))));
        assert!(slot.poll_put(cx, LINES, &mut queue).is_ready());
        assert_eq!(slot.end(), Ok(()));
        assert_eq!(slot.poll_take(cx), Poll::Ready(Some(Bytes::from_static(b"1\n2\n"))));
        assert!(slot.poll_gone(cx).is_pending());
        assert_eq!(slot.poll_take(cx), Poll::Ready(None));
        assert!(slot.poll_gone(cx).is_ready());
        assert_eq!(slot.poll_put(cx, LINES, &mut queue), Poll::Ready(Err(Gone)));
    }

    #[test]
    fn what_is_one_streams_own_is_made_for_it_in_its_turn() {
        let cx = &Context::from_waker(Waker::noop());
        let slot = Slot::new(b"");
        let mut queue = queue(&["1", "own", "2", "3"]);
        let is_shared =
            |entry: Entry<'_>| matches!(entry, Entry::Message(message) if message.as_bytes() != b"own");
        assert!(slot.poll_put_while(cx, LINES, &mut queue, is_shared).is_ready());
        assert_eq!(queue.len(), 3, "the first that is not shared is left");
        assert!(slot.poll_put_while(cx, LINES, &mut queue, is_shared).is_ready());
        let mut count = 0;
        let mut numbered = |message: &Message, to: &mut Vec<u8>| {
            count += 1;
            LINES.append(format!("{count}:").as_bytes(), to);
            LINES.append(message.as_bytes(), to);
        };
        assert_eq!(slot.poll_put_each(cx, 4, &mut queue, &mut numbered), Poll::Ready(Ok(())));
        assert_eq!(slot.poll_take(cx), Poll::Ready(Some(Bytes::from_static(b"1\n1:\nown\n2:\n2\n3:\n3\n"))));
        // As a run, into an empty slot and up to its capacity.
        let run = Run::new(Message::new("x".repeat(CAPACITY)));
        for _ in 0..3 {
            run.append(Message::new("y".repeat(CAPACITY / 2 - 8))).expect("open");
        }
        queue.push_run(run);
        for (left, length) in [(3, CAPACITY), (1, 2 * (CAPACITY / 2 - 8)), (0, CAPACITY / 2 - 8)] {
            assert_eq!(slot.poll_put_each(cx, 4, &mut queue, &mut numbered).is_pending(), left > 0);
            assert_eq!(queue.len(), left);
            let Poll::Ready(Some(taken)) = slot.poll_take(cx) else { unreachable!("nothing") };
            assert!(taken.len() > length && taken.len() < length + 16, "{}", taken.len());
        }
        slot.leave();
        queue.push(Message::new("1"));
        assert_eq!(slot.poll_put_each(cx, 4, &mut queue, &mut numbered), Poll::Ready(Err(Gone)));
        assert_eq!((count, queue.len()), (7, 1), "what is not taken is not made");
    }

    #[test]
    fn the_slot_is_small() {
        assert!(size_of::<Slot>() <= 128, "{}", size_of::<Slot>());
    }
}
