//! A byte stream in memory that counts what a socket would be asked to do, and allocates nothing itself.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One connection's bytes, seen from the client's end.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Arc<Mutex<State>>);

/// What the server did with the stream. A call is what would be a system call on a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Calls that write.
    pub(crate) writes: usize,
    /// Calls that read, those included that find nothing.
    pub(crate) reads: usize,
    /// Messages written: one frame each.
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    incoming: Vec<u8>,
    reader: Option<Waker>,
    over: bool,
    counts: Counts,
    /// Where in memory the body of the last message stood.
    body: usize,
    /// What was written last.
    last: Vec<u8>,
}

/// The server's receiving end.
#[derive(Debug)]
pub(crate) struct WireReader(Wire);

/// The server's sending end. It takes everything.
#[derive(Debug)]
pub(crate) struct WireWriter(Wire);

impl Wire {
    pub(crate) fn new() -> (Self, WireReader, WireWriter) {
        let state = State {
            incoming: Vec::with_capacity(64 * 1024),
            last: Vec::with_capacity(64 * 1024),
            ..State::default()
        };
        let wire = Self(Arc::new(Mutex::new(state)));
        (wire.clone(), WireReader(wire.clone()), WireWriter(wire))
    }

    /// Sends text frames, one for each message.
    pub(crate) fn send<'a>(&self, messages: impl IntoIterator<Item = &'a [u8]>) {
        let mut state = self.0.lock();
        for message in messages {
            frame(&mut state.incoming, message);
        }
        if let Some(waker) = state.reader.take() {
            waker.wake();
        }
    }

    /// The client goes away.
    pub(crate) fn end(&self) {
        let mut state = self.0.lock();
        state.over = true;
        if let Some(waker) = state.reader.take() {
            waker.wake();
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().counts
    }

    /// Where in memory the body of the last message stood when it was written.
    pub(crate) fn body(&self) -> usize {
        self.0.lock().body
    }

    /// Whether the last call wrote this. Allocates nothing.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.0.lock().last.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// What the last call wrote.
    pub(crate) fn last(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().last).into_owned()
    }

    /// Lets everything run until so many messages were written in all.
    pub(crate) async fn until(&self, messages: usize) {
        // Without a clock: what does not come within so many turns does not come at all.
        for _ in 0..1_000_000 {
            if self.counts().messages >= messages {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{messages} messages were expected: {:?}, last {:.300}", self.counts(), self.last());
    }
}

/// How many frames lie one behind the other; every write of a stream that takes everything ends with a frame's end.
fn frames(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [_, length, rest @ ..] = bytes {
        let (extra, length) = match length & 0x7f {
            126 => (2, usize::from(u16::from_be_bytes([rest[0], rest[1]]))),
            127 => panic!("no message is that long"),
            short => (0, usize::from(short)),
        };
        bytes = &rest[extra + length..];
        count += 1;
    }
    count
}

/// One masked text frame. A mask of zeros leaves the text as it is.
fn frame(out: &mut Vec<u8>, text: &[u8]) {
    out.push(0x81);
    match u8::try_from(text.len()) {
        Ok(short) if short < 126 => out.push(0x80 | short),
        _ => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(text.len()).expect("a short message").to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(text);
}

impl AsyncRead for WireReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let mut state = self.0.0.lock();
        state.counts.reads += 1;
        if state.incoming.is_empty() && !state.over {
            if !state.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.reader = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        let length = state.incoming.len().min(into.remaining());
        into.put_slice(&state.incoming[..length]);
        state.incoming.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WireWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(&[]), IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let mut state = self.0.0.lock();
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        state.counts.writes += 1;
        state.counts.bytes += bytes;
        state.body = slices.last().map_or(0, |slice| slice.as_ptr() as usize);
        state.last.clear();
        for slice in slices {
            state.last.extend_from_slice(slice);
        }
        state.counts.messages += frames(&state.last);
        Poll::Ready(Ok(bytes))
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
