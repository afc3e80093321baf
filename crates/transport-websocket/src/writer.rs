//! The sending half: messages to frames.

use std::io::{IoSlice, Result as IoResult};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::io::AsyncWrite;
use tourbillon_transport::{Message, MessageQueue, TransportError, TransportWriter};
use tourbillon_types::Disconnect;

use crate::control::{Control, Ending};
use crate::deflate::deflate;
use crate::frame::{Header, MAX_SERVER_HEADER, Opcode};
use crate::negotiate::Deflate;
use crate::scratch::with_write_buffer;

/// The most messages that one system call sends.
const BATCH: usize = 32;

/// How much is gathered for a stream that takes one piece at a time.
const GATHER: usize = 16 * 1024;

/// The sending half of a WebSocket.
#[derive(Debug)]
pub struct WebSocketWriter<W> {
    io: W,
    control: Control,
    /// Frames begun or bound to come before the queue's.
    unfinished: Unfinished,
    opcode: Opcode,
    deflate: Option<Deflate>,
    closing: Closing,
}

/// Usually none.
type Unfinished = Option<Box<Vec<Frame>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    Not,
    /// The close frame is among the unfinished ones.
    Queued,
}

/// The header of a frame.
#[derive(Clone, Copy, Debug)]
struct Head {
    bytes: [u8; MAX_SERVER_HEADER],
    length: u8,
}

/// One frame on its way.
#[derive(Debug)]
struct Frame {
    head: Head,
    body: Body,
    /// How many bytes of header and body are written.
    written: usize,
}

#[derive(Debug)]
enum Body {
    Message(Message),
    Bytes(Bytes),
}

impl Body {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Message(message) => message.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Head {
    fn new(opcode: Opcode, compressed: bool, body: usize) -> Self {
        let (bytes, length) = Header::encode(opcode, compressed, body);
        Self { bytes, length: u8::try_from(length).unwrap_or_default() }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl Frame {
    fn new(opcode: Opcode, compressed: bool, body: Body) -> Self {
        Self { head: Head::new(opcode, compressed, body.as_bytes().len()), body, written: 0 }
    }

    /// What is left to write: of the header and of the body.
    fn rest(&self) -> (&[u8], &[u8]) {
        let header = self.head.as_bytes();
        let body = self.body.as_bytes();
        match self.written.checked_sub(header.len()) {
            None => (header.get(self.written..).unwrap_or_default(), body),
            Some(of_body) => (&[], body.get(of_body..).unwrap_or_default()),
        }
    }

    fn left(&self) -> usize {
        let (header, body) = self.rest();
        header.len() + body.len()
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> WebSocketWriter<W> {
    pub(crate) const fn new(io: W, control: Control, opcode: Opcode, deflate: Option<Deflate>) -> Self {
        Self { io, control, unfinished: None, opcode, deflate, closing: Closing::Not }
    }

    /// Sends the following messages as text or as binary.
    pub const fn set_opcode(&mut self, opcode: Opcode) {
        self.opcode = opcode;
    }

    fn frame(&self, message: &Message) -> Frame {
        match self.deflate {
            Some(agreed) if agreed.takes(message.len()) => {
                let level = agreed.compression.level;
                let deflated = message.derived(level, |bytes| deflate(bytes, level));
                Frame::new(self.opcode, true, Body::Bytes(deflated))
            }
            _ => Frame::new(self.opcode, false, Body::Message(message.clone())),
        }
    }

    fn keep(&mut self, frame: Frame) {
        self.unfinished.get_or_insert_default().push(frame);
    }

    /// Puts pongs and pings, which are not queued, in front of the queue. Yields whether there are any.
    ///
    /// Only what can be written next is taken: what the reader leaves is bounded, and stays so behind a peer that
    /// asks and does not listen.
    fn take_control(&mut self) -> bool {
        let Some((pongs, ping)) = self.control.take() else { return false };
        for payload in pongs {
            self.keep(Frame::new(Opcode::Pong, false, Body::Bytes(payload)));
        }
        if ping {
            self.keep(Frame::new(Opcode::Ping, false, Body::Bytes(Bytes::new())));
        }
        self.unfinished.is_some()
    }

    /// Writes the frames that come before the queue's.
    fn poll_unfinished(&mut self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let Some(frames) = &mut self.unfinished else { return Poll::Ready(Ok(())) };
        while !frames.is_empty() {
            let written = ready!(poll_frames(&mut self.io, cx, frames))?;
            settle(frames, written);
        }
        self.unfinished = None;
        Poll::Ready(Ok(()))
    }

    /// Writes one batch of queued messages.
    fn poll_queue(&mut self, cx: &mut Context<'_>, queue: &mut MessageQueue) -> Poll<IoResult<()>> {
        if self.deflate.is_some() {
            return self.poll_deflated(cx, queue);
        }
        // The bodies stay where they are: what is made for a message is its header.
        if let ([message], []) = queue.as_slices() {
            // What comes alone, as most messages do, needs no lists.
            let head = Head::new(self.opcode, false, message.len());
            let slices = [IoSlice::new(head.as_bytes()), IoSlice::new(message.as_bytes())];
            let written = ready!(poll_slices(&mut self.io, cx, &slices))?;
            self.settle(queue, &[head], written);
            return Poll::Ready(Ok(()));
        }
        let mut heads: SmallVec<[Head; BATCH]> = SmallVec::new();
        for message in queue.iter().take(BATCH) {
            heads.push(Head::new(self.opcode, false, message.len()));
        }
        let written = {
            let mut slices = Slices::new();
            for (head, message) in heads.iter().zip(queue.iter()) {
                slices.push(IoSlice::new(head.as_bytes()));
                slices.push(IoSlice::new(message.as_bytes()));
            }
            ready!(poll_slices(&mut self.io, cx, &slices))?
        };
        self.settle(queue, &heads, written);
        Poll::Ready(Ok(()))
    }

    /// Takes `written` bytes off the front of the queue. A message that is written in part is finished by later calls.
    fn settle(&mut self, queue: &mut MessageQueue, heads: &[Head], mut written: usize) {
        for head in heads {
            if written == 0 {
                break;
            }
            let Some(message) = queue.pop() else { break };
            let left = head.as_bytes().len() + message.len();
            if written < left {
                self.keep(Frame { head: *head, body: Body::Message(message), written });
                break;
            }
            written -= left;
        }
    }

    /// The same, compressed where that is agreed.
    fn poll_deflated(&mut self, cx: &mut Context<'_>, queue: &mut MessageQueue) -> Poll<IoResult<()>> {
        let mut frames: SmallVec<[Frame; BATCH]> = SmallVec::new();
        for message in queue.iter().take(BATCH) {
            frames.push(self.frame(message));
        }
        let mut written = ready!(poll_frames(&mut self.io, cx, &frames))?;
        for mut frame in frames.drain(..) {
            if written == 0 {
                break;
            }
            queue.pop();
            let left = frame.left();
            if written < left {
                frame.written = written;
                self.keep(frame);
                break;
            }
            written -= left;
        }
        Poll::Ready(Ok(()))
    }

    /// Queues the close frame, unless the connection ends without one.
    fn begin_close(&mut self, why: &Disconnect) {
        if self.closing == Closing::Queued {
            return;
        }
        self.take_control();
        self.closing = Closing::Queued;
        let payload = match self.control.ending() {
            Some(Ending::Peer(None)) => Bytes::new(),
            Some(Ending::Peer(Some(code)) | Ending::Failed(code)) => close_payload(code, ""),
            // The peer is gone (HID-14).
            None if *why == Disconnect::CONNECTION_CLOSED => return,
            None => close_payload(u16::try_from(why.code).unwrap_or(1011), &why.reason),
        };
        self.keep(Frame::new(Opcode::Close, false, Body::Bytes(payload)));
    }
}

/// Headers and bodies in turn.
type Slices<'a> = SmallVec<[IoSlice<'a>; 2 * BATCH]>;

/// Writes the frames, at most one batch.
fn poll_frames<W: AsyncWrite + Unpin>(
    io: &mut W,
    cx: &mut Context<'_>,
    frames: &[Frame],
) -> Poll<IoResult<usize>> {
    let mut slices = Slices::new();
    for frame in frames.iter().take(BATCH) {
        let (header, body) = frame.rest();
        slices.push(IoSlice::new(header));
        slices.push(IoSlice::new(body));
    }
    poll_slices(io, cx, &slices)
}

/// Writes with one system call: all of it, or what the stream takes of a gathered copy.
fn poll_slices<W: AsyncWrite + Unpin>(
    io: &mut W,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<IoResult<usize>> {
    let written = if io.is_write_vectored() {
        ready!(Pin::new(io).poll_write_vectored(cx, slices))?
    } else {
        ready!(with_write_buffer(|gathered| {
            for piece in slices {
                let room = GATHER - gathered.len();
                gathered.extend_from_slice(piece.get(..room).unwrap_or(piece));
                if gathered.len() == GATHER {
                    break;
                }
            }
            Pin::new(io).poll_write(cx, gathered)
        }))?
    };
    if written == 0 {
        return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
    }
    Poll::Ready(Ok(written))
}

/// Takes `written` bytes off the front of the frames.
fn settle(frames: &mut Vec<Frame>, mut written: usize) {
    let mut done = 0;
    for frame in frames.iter_mut() {
        let left = frame.left();
        if written < left {
            frame.written += written;
            break;
        }
        written -= left;
        done += 1;
    }
    frames.drain(..done);
}

/// The payload of a close frame: a code and as much of the reason as fits, cut between characters.
fn close_payload(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(Disconnect::MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = reason.get(..end).unwrap_or_default();
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    Bytes::from(payload)
}

impl<W: AsyncWrite + Unpin + Send + 'static> TransportWriter for WebSocketWriter<W> {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut MessageQueue,
    ) -> Poll<Result<(), TransportError>> {
        if self.unfinished.is_some() {
            ready!(self.poll_unfinished(cx))?;
        }
        // What the reader leaves from here on comes with its own call.
        if self.control.is_waiting() && self.closing == Closing::Not && self.take_control() {
            ready!(self.poll_unfinished(cx))?;
        }
        while !queue.is_empty() {
            ready!(self.poll_queue(cx, queue))?;
            if self.unfinished.is_some() {
                ready!(self.poll_unfinished(cx))?;
            }
        }
        // For streams that buffer, such as TLS.
        Poll::Ready(Ok(ready!(Pin::new(&mut self.io).poll_flush(cx))?))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, why: &Disconnect) -> Poll<Result<(), TransportError>> {
        self.begin_close(why);
        ready!(self.poll_unfinished(cx))?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        // The peer's answer can still be read.
        Poll::Ready(Ok(ready!(Pin::new(&mut self.io).poll_shutdown(cx))?))
    }

    fn ping(&mut self) {
        self.control.ping();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(&close_payload(3501, "bad request")[..], b"\x0d\xadbad request");
        let long = "\u{e9}".repeat(100);
        let payload = close_payload(4000, &long);
        assert_eq!(payload.len(), 2 + 122);
        assert!(std::str::from_utf8(&payload[2..]).is_ok());
    }

    /// Takes nothing.
    struct Blocked;

    impl AsyncWrite for Blocked {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<IoResult<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
            Poll::Pending
        }
    }

    #[test]
    fn pings_of_a_peer_that_does_not_listen_use_up_no_memory() {
        let control = Control::default();
        let mut writer = WebSocketWriter::new(Blocked, control.clone(), Opcode::Text, None);
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        for _ in 0..1_000 {
            control.pong(Bytes::from_static(&[0; 125]));
            control.ping();
            assert!(writer.poll_write(cx, &mut MessageQueue::new()).is_pending());
        }
        assert!(writer.poll_close(cx, &Disconnect::BAD_REQUEST).is_pending());
        let waiting = writer.unfinished.as_ref().map_or(0, |frames| frames.len());
        // Those begun, those left by the reader, and the close.
        assert!(waiting <= 2 + 17 + 1, "{waiting} frames wait");
    }

    #[test]
    fn the_writer_is_small() {
        let size = size_of::<WebSocketWriter<crate::UpgradedWrite>>();
        assert!(size <= 72, "{size}");
    }
}
