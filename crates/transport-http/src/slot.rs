//! What a connection's two halves and the body of its response share.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tourbillon_transport::{Entry, MessageQueue};

use crate::framing::Framing;

/// How many bytes wait for the HTTP library before the writer is pending. A single message or run always fits.
pub(crate) const CAPACITY: usize = 16 * 1024;

/// Holds what the writer has handed over and the HTTP library has not taken yet.
#[derive(Debug)]
pub(crate) struct Slot(Mutex<State>);

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
    fn append(&mut self, framing: Framing, entry: Entry<'_>) -> bool {
        if let Self::Empty = self {
            *self = Self::One(framing.shared(entry));
            return true;
        }
        match entry {
            Entry::Message(message) => {
                let length = framing.length(message.len());
                self.reserve(length).is_some_and(|many| {
                    framing.append(message.as_bytes(), many);
                    true
                })
            }
            Entry::Run(_) | Entry::Rest(_) => {
                let joined = framing.shared(entry);
                self.reserve(joined.len()).is_some_and(|many| {
                    many.extend_from_slice(&joined);
                    true
                })
            }
        }
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
pub(crate) struct Gone;

impl Slot {
    /// A slot with what comes before the first message.
    pub(crate) fn new(preamble: &'static [u8]) -> Self {
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

    /// Puts in what has room.
    pub(crate) fn poll_put(
        &self,
        cx: &Context<'_>,
        framing: Framing,
        queue: &mut MessageQueue,
    ) -> Poll<Result<(), Gone>> {
        let mut state = self.0.lock();
        if state.gone {
            return Poll::Ready(Err(Gone));
        }
        let mut outcome = Poll::Ready(Ok(()));
        loop {
            let Some(entry) = queue.entries().next() else { break };
            if !state.pending.append(framing, entry) {
                state.writer.wait(cx);
                outcome = Poll::Pending;
                break;
            }
            queue.pop_entry();
        }
        state.body.wake();
        outcome
    }

    /// Takes out all that is there; `None` at the end.
    pub(crate) fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
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
    pub(crate) fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.gone {
            return Poll::Ready(());
        }
        state.reader.wait(cx);
        Poll::Pending
    }

    /// Nothing more is put in.
    pub(crate) fn end(&self) -> Result<(), Gone> {
        let mut state = self.0.lock();
        state.ended = true;
        state.body.wake();
        if state.gone { Err(Gone) } else { Ok(()) }
    }

    /// Nothing more is taken out.
    pub(crate) fn leave(&self) {
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
    use tourbillon_transport::{Message, Run};

    use super::*;

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
        for (framing, expected) in [
            (Framing::Lines, "{\"a\":1}\n{}\n3\n"),
            (Framing::Events, "\r\ndata: {\"a\":1}\n\ndata: {}\n\ndata: 3\n\n"),
            (Framing::Raw, "{\"a\":1}{}3"),
        ] {
            let slot = Slot::new(framing.preamble());
            assert_eq!(slot.poll_put(cx, framing, &mut queue(&["{\"a\":1}", "{}"])), Poll::Ready(Ok(())));
            assert_eq!(slot.poll_put(cx, framing, &mut queue(&["3"])), Poll::Ready(Ok(())));
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
            assert!(slot.poll_put(cx, Framing::Events, &mut queue).is_ready());
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
            assert!(slot.poll_put(cx, Framing::Lines, &mut queue).is_ready());
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
            assert!(slot.poll_put(cx, Framing::Lines, &mut queue).is_ready());
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
        assert!(slot.poll_put(cx, Framing::Lines, &mut queue).is_pending(), "one always fits, and no more");
        assert_eq!(queue.len(), 2);
        assert_eq!(slot.poll_take(cx), Poll::Ready(Some(Bytes::from(large + "\n"))));
        assert!(slot.poll_put(cx, Framing::Lines, &mut queue).is_ready());
        assert_eq!(slot.end(), Ok(()));
        assert_eq!(slot.poll_take(cx), Poll::Ready(Some(Bytes::from_static(b"1\n2\n"))));
        assert!(slot.poll_gone(cx).is_pending());
        assert_eq!(slot.poll_take(cx), Poll::Ready(None));
        assert!(slot.poll_gone(cx).is_ready());
        assert_eq!(slot.poll_put(cx, Framing::Lines, &mut queue), Poll::Ready(Err(Gone)));
    }

    #[test]
    fn the_slot_is_small() {
        assert!(size_of::<Slot>() <= 128, "{}", size_of::<Slot>());
    }
}
