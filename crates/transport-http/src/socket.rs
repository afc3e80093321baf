//! The stream of a connection whose socket was taken over from the HTTP server: chunks, written by us.
//!
//! The HTTP library has written the head and is gone with its buffers; what is left is the rest of one answer. So a
//! chunk (RFC 9112 section 7.1) is made once for all connections that get it, and a flush worker writes all that waits
//! for a connection with one call. To a client of HTTP/1.0 there are no chunks, and the end is that of the connection.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io::{ErrorKind, IoSlice, Result as IoResult};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tourbillon_transport::slot::shared;
use tourbillon_transport::{Entry, MessageQueue, Received, Rewound, TransportError};

use crate::body::END_DELAY;
use crate::framing::{Chunked, Framing};
use crate::places::{Places, begins};

/// The most pieces that one system call sends.
const BATCH: usize = 32;

/// How much is gathered for a stream that takes one piece at a time.
const GATHER: usize = 16 * 1024;

/// How much a client may say after its request, in bytes: nothing of it is answered.
const MOST_SAID: u32 = 64 * 1024;

/// What ends a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Any byte stream.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// What both halves share.
pub(crate) struct Wire {
    io: Io,
    chunked: bool,
}

enum Io {
    Tcp(TcpStream),
    Other(Mutex<Box<dyn Duplex>>),
}

/// A stream as what it is, if it is that.
fn taken<T: 'static>(stream: &mut dyn Any) -> Option<T> {
    stream.downcast_mut::<Option<T>>().and_then(Option::take)
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("chunked", &self.chunked).finish_non_exhaustive()
    }
}

impl Wire {
    /// The rest of an answer whose head went over `stream`. `chunked`: whether that said so. There always is one.
    pub(crate) fn new<S>(stream: S, chunked: bool) -> Option<Arc<Self>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut stream = Some(stream);
        let tcp = taken::<TcpStream>(&mut stream);
        let rewound = taken::<Rewound>(&mut stream).map(Rewound::into_parts);
        let io = match (tcp, rewound, stream) {
            (Some(tcp), ..) => Io::Tcp(tcp),
            (_, Some((tcp, before)), _) if before.is_empty() => Io::Tcp(tcp),
            (_, Some((tcp, before)), _) => Io::Other(Mutex::new(Box::new(Rewound::new(tcp, before)))),
            (.., stream) => Io::Other(Mutex::new(Box::new(stream?))),
        };
        Some(Arc::new(Self { io, chunked }))
    }

    fn poll_read(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<IoResult<usize>> {
        match &self.io {
            Io::Tcp(tcp) => loop {
                ready!(tcp.poll_read_ready(cx))?;
                match tcp.try_read(into) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    read => return Poll::Ready(read),
                }
            },
            Io::Other(other) => {
                let mut read = ReadBuf::new(into);
                ready!(Pin::new(&mut *other.lock()).poll_read(cx, &mut read))?;
                Poll::Ready(Ok(read.filled().len()))
            }
        }
    }

    /// Waits for the end of the client. What it says before is counted and lost: all of it was in the request.
    fn poll_gone(&self, cx: &mut Context<'_>, said: &mut u32) -> Poll<Result<(), TransportError>> {
        let mut some = [0; 256];
        loop {
            let length = ready!(self.poll_read(cx, &mut some))?;
            if length == 0 {
                return Poll::Ready(Ok(()));
            }
            *said = said.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
            if *said > MOST_SAID {
                return Poll::Ready(Err(TransportError::Protocol("requests behind a stream")));
            }
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<IoResult<usize>> {
        match &self.io {
            Io::Tcp(tcp) => loop {
                ready!(tcp.poll_write_ready(cx))?;
                match tcp.try_write(bytes) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    written => return Poll::Ready(written.and_then(some)),
                }
            },
            Io::Other(other) => {
                let written = ready!(Pin::new(&mut *other.lock()).poll_write(cx, bytes));
                Poll::Ready(written.and_then(some))
            }
        }
    }

    /// Writes several pieces with one call: all of them, or what the stream takes of a gathered copy.
    fn poll_write_all(&self, cx: &mut Context<'_>, pieces: &[Bytes]) -> Poll<IoResult<usize>> {
        if let [piece] = pieces {
            return self.poll_write(cx, piece);
        }
        match &self.io {
            Io::Tcp(tcp) => {
                let mut slices = [IoSlice::new(&[]); BATCH + 1];
                for (slice, piece) in slices.iter_mut().zip(pieces) {
                    *slice = IoSlice::new(piece);
                }
                let slices = slices.get(..pieces.len()).unwrap_or(&slices);
                loop {
                    ready!(tcp.poll_write_ready(cx))?;
                    match tcp.try_write_vectored(slices) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        written => return Poll::Ready(written.and_then(some)),
                    }
                }
            }
            Io::Other(_) => {
                let mut gathered = Vec::new();
                for piece in pieces {
                    let room = GATHER.saturating_sub(gathered.len());
                    gathered.extend_from_slice(piece.get(..room).unwrap_or(piece));
                }
                self.poll_write(cx, &gathered)
            }
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        match &self.io {
            // It buffers nothing.
            Io::Tcp(_) => Poll::Ready(Ok(())),
            Io::Other(other) => Pin::new(&mut *other.lock()).poll_flush(cx),
        }
    }

    /// The end of all that is written. A socket is closed when it is dropped; a stream like TLS has a word for it.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        match &self.io {
            Io::Tcp(_) => Poll::Ready(Ok(())),
            Io::Other(other) => Pin::new(&mut *other.lock()).poll_shutdown(cx),
        }
    }
}

/// A stream that takes nothing will never take anything.
fn some(written: usize) -> IoResult<usize> {
    if written == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(written) }
}

/// The writing half.
#[derive(Debug)]
pub(crate) struct SocketWriter {
    wire: Arc<Wire>,
    framing: Framing,
    /// What is to be written before anything that is queued.
    unfinished: Bytes,
    ending: Ending,
}

impl SocketWriter {
    /// `places`: of a client that has an id.
    pub(crate) fn new(wire: Arc<Wire>, framing: Framing, places: Option<Box<Places>>) -> Self {
        let unfinished = Bytes::from_static(match (framing.preamble(), wire.chunked) {
            (b"", _) => b"",
            (preamble, false) => preamble,
            (_, true) => Framing::PREAMBLE_CHUNK,
        });
        Self { wire, framing, unfinished, ending: Ending::Not(places) }
    }

    /// Writes what is unfinished and what is queued, as [`TransportWriter::poll_write`] has to.
    ///
    /// [`TransportWriter::poll_write`]: tourbillon_transport::TransportWriter::poll_write
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut MessageQueue,
    ) -> Poll<IoResult<()>> {
        let form = Chunked { framing: self.framing, chunked: self.wire.chunked };
        while !queue.is_empty() || !self.unfinished.is_empty() {
            if self.gather(form, queue) {
                let written = ready!(self.wire.poll_write(cx, &self.unfinished))?;
                self.unfinished.advance(written);
                continue;
            }
            if self.unfinished.is_empty()
                && let Some(message) = queue.single()
            {
                // What comes alone, as most messages do, needs no lists.
                let piece = shared(form, Entry::Message(message));
                let written = ready!(self.wire.poll_write(cx, &piece))?;
                queue.clear();
                self.unfinished = piece.slice(written..);
                continue;
            }
            let mut pieces: SmallVec<[Bytes; 8]> = SmallVec::new();
            let before = usize::from(!self.unfinished.is_empty());
            if before == 1 {
                pieces.push(self.unfinished.clone());
            }
            let followed = self.framing == Framing::EventsWithIds;
            let waiting = queue.entries().take(BATCH).take_while(|entry| !followed || !begins(*entry));
            pieces.extend(waiting.map(|entry| shared(form, entry)));
            let mut written = ready!(self.wire.poll_write_all(cx, &pieces))?;
            self.unfinished = Bytes::new();
            for (number, mut piece) in pieces.into_iter().enumerate() {
                if written == 0 && number >= before {
                    break;
                }
                if number >= before {
                    queue.pop_entry();
                }
                let taken = written.min(piece.len());
                written -= taken;
                if taken < piece.len() {
                    piece.advance(taken);
                    self.unfinished = piece;
                    break;
                }
            }
        }
        self.wire.poll_flush(cx)
    }

    /// Makes what is written next if that is this client's alone, because it says where the client stands. What it takes
    /// off the queue is unfinished from then on: what is dropped from the queue was not said.
    fn gather(&mut self, form: Chunked, queue: &mut MessageQueue) -> bool {
        if self.framing != Framing::EventsWithIds {
            return false;
        }
        let Ending::Not(places) = &mut self.ending else { return false };
        if places.is_none() && !queue.entries().next().is_some_and(begins) {
            return false;
        }
        // Something that was begun is finished before; the beginning of the stream goes out with the first message.
        if queue.is_empty() || self.unfinished.len() > Framing::PREAMBLE_CHUNK.len() {
            return !self.unfinished.is_empty();
        }
        let places = places.get_or_insert_default();
        let mut gathered = Vec::from(std::mem::take(&mut self.unfinished));
        let mut id = Vec::new();
        while gathered.len() < GATHER
            && let Some(message) = queue.pop()
        {
            id.clear();
            places.take(&message, &mut id);
            form.append_behind(&id, message.as_bytes(), &mut gathered);
        }
        self.unfinished = Bytes::from(gathered);
        true
    }

    /// Ends the answer, [a little after](END_DELAY) its last message, unless the client leaves before. Whoever closes
    /// does not wait for the reader at the same time.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        // Only what was begun is finished.
        ready!(self.poll_write(cx, &mut MessageQueue::new()))?;
        loop {
            match &mut self.ending {
                Ending::Not(_) => self.ending = Ending::Delayed(Box::pin(sleep(END_DELAY))),
                Ending::Delayed(delay) => {
                    if self.wire.poll_gone(cx, &mut 0).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    ready!(delay.as_mut().poll(cx));
                    self.ending = Ending::Last(if self.wire.chunked { 0 } else { LAST_CHUNK.len() });
                }
                Ending::Last(written) => match LAST_CHUNK.get(*written..) {
                    Some(rest) if !rest.is_empty() => *written += ready!(self.wire.poll_write(cx, rest))?,
                    _ => break,
                },
            }
        }
        ready!(self.wire.poll_flush(cx))?;
        self.wire.poll_shutdown(cx)
    }
}

#[derive(Debug)]
enum Ending {
    /// What is written is followed for a client that has a place in streams.
    Not(Option<Box<Places>>),
    /// Once all is said, for as long as the end keeps back.
    Delayed(Pin<Box<Sleep>>),
    /// So much of the last chunk is written.
    Last(usize),
}

/// The reading half: what came with the request, and the end.
#[derive(Debug)]
pub(crate) struct SocketReader {
    first: Option<Bytes>,
    wire: Arc<Wire>,
    /// Bytes that came after the request.
    said: u32,
    /// The writer has something to say before the first message, and that is not yet asked for.
    begins: bool,
}

impl SocketReader {
    pub(crate) const fn new(first: Bytes, wire: Arc<Wire>, framing: Framing) -> Self {
        let begins = !framing.preamble().is_empty();
        Self { first: Some(first), wire, said: 0, begins }
    }

    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(Received::Message(first)));
        }
        if std::mem::take(&mut self.begins) {
            return Poll::Ready(Ok(Received::WantsWrite));
        }
        ready!(self.wire.poll_gone(cx, &mut self.said))?;
        Poll::Ready(Ok(Received::End))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tourbillon_transport::Message;
    use tourbillon_types::{Channel, Mark, StreamPosition};

    use super::*;

    /// What a client is told of its places is made for it alone, and not of more than is about to be written.
    #[tokio::test]
    async fn not_much_is_taken_off_a_queue_for_a_peer_that_takes_nothing() {
        let (stream, _peer) = tokio::io::duplex(64);
        let wire = Wire::new(stream, true).expect("a stream");
        let mut writer = SocketWriter::new(wire, Framing::EventsWithIds, None);
        let mut queue = MessageQueue::new();
        let places = vec![(Channel::from("a"), StreamPosition::default())];
        queue.push(Message::marked(0, Some(Box::new(Mark::Begin(places))), "{}"));
        for _ in 0..100 {
            queue.push(Message::new([b'x'; 1_000]));
        }
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(writer.poll_write(cx, &mut queue).is_pending());
            assert_eq!(queue.len(), 83, "16 KiB");
        }
    }
}
