//! The sending half: messages to frames.

use std::io::{ErrorKind, IoSlice, Result as IoResult};
use std::pin::Pin;
use std::slice;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::io::AsyncWrite;
use tourbillon_transport::{Entry, Message, MessageQueue, TransportError, TransportWriter};
use tourbillon_types::Disconnect;

use crate::control::{Control, Ending};
use crate::deflate::deflate;
use crate::frame::{Header, MAX_SERVER_HEADER, Opcode};
use crate::negotiate::{Deflate, WINDOW};
use crate::scratch::with_write_buffer;

/// The most messages that one system call sends.
const BATCH: usize = 32;

/// Names the derived form of a message that is its frame, with its opcode and its level of compression. A level by
/// itself names the compressed body.
const FRAMED: u32 = 1 << 8;

/// Where the level is in the name of a frame: behind the opcode.
const LEVEL: u32 = 4;

/// How much is gathered for a stream that takes one piece at a time.
const GATHER: usize = 16 * 1024;

/// A message of up to this many bytes is written as one copy with its header: a system call that takes one piece is
/// cheaper than one that takes two by more than the copy costs.
const SMALL: usize = 2 * 1024;

/// A frame of several messages, and what is gathered of such frames for one system call, ends above this many bytes.
const JOINED: usize = 64 * 1024;

/// The sending half of a WebSocket.
#[derive(Debug)]
pub struct WebSocketWriter<W> {
    io: W,
    control: Control,
    /// Frames begun or bound to come before the queue's.
    unfinished: Unfinished,
    opcode: Opcode,
    /// Boxed, since most connections agree on none.
    deflate: Option<Box<Deflate>>,
    closing: Closing,
    /// How many messages a frame may carry.
    per_frame: u16,
    /// Whether the connection ends without a close frame, where it is we who end it.
    silent: bool,
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

/// What is written for one entry of the queue.
#[derive(Debug)]
struct Piece {
    /// Of length 0 where the body holds whole frames.
    head: Head,
    /// `None`: the message's own bytes.
    body: Option<Bytes>,
}

impl Piece {
    fn body<'a>(&'a self, entry: Entry<'a>) -> &'a [u8] {
        match (&self.body, entry) {
            (Some(bytes), _) => bytes,
            (None, Entry::Message(message)) => message.as_bytes(),
            (None, Entry::Run(_) | Entry::Rest(_)) => &[],
        }
    }
}

/// One frame on its way, or several that were joined.
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
    /// No header: the body holds whole frames.
    const NONE: Self = Self { bytes: [0; MAX_SERVER_HEADER], length: 0 };

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
    pub(crate) fn new(io: W, control: Control, opcode: Opcode, deflate: Option<Deflate>) -> Self {
        Self {
            io,
            control,
            unfinished: None,
            opcode,
            deflate: deflate.map(Box::new),
            closing: Closing::Not,
            per_frame: 1,
            silent: false,
        }
    }

    /// Has a frame carry up to so many messages: text in lines, binary messages one behind the other.
    pub(crate) fn with_messages_in_frame(self, messages: usize) -> Self {
        Self { per_frame: u16::try_from(messages).unwrap_or(u16::MAX).max(1), ..self }
    }

    /// Sends the following messages as text or as binary.
    pub const fn set_opcode(&mut self, opcode: Opcode) {
        self.opcode = opcode;
    }

    /// Sends messages that wait together as lines of one frame (UNI-04).
    pub(crate) const fn join_lines(&mut self) {
        self.per_frame = u16::MAX;
    }

    /// Ends the connection without a close frame (UNI-04).
    pub(crate) const fn close_silently(&mut self) {
        self.silent = true;
    }

    /// What is to be written for an entry of the queue.
    fn piece(&self, entry: Entry<'_>) -> Piece {
        match entry {
            Entry::Message(message) => match self.deflated(message) {
                Some(deflated) => {
                    Piece { head: Head::new(self.opcode, true, deflated.len()), body: Some(deflated) }
                }
                None => Piece { head: Head::new(self.opcode, false, message.len()), body: None },
            },
            Entry::Run(run) => {
                let key = self.run_key();
                Piece { head: Head::NONE, body: Some(run.joined(key, |messages| self.join(messages))) }
            }
            Entry::Rest(messages) => Piece { head: Head::NONE, body: Some(self.join(messages)) },
        }
    }

    /// What the frames of a run depend on: how many messages are in one, and of which messages compression takes which
    /// form. All of it has four bits but the first.
    fn run_key(&self) -> u32 {
        let compressed = self
            .deflate
            .as_deref()
            .map_or(0, |agreed| (u32::from(agreed.window.unwrap_or(WINDOW)) << 12) | (agreed.level() << 8));
        (u32::from(self.per_frame) << 16) | compressed | self.opcode as u32
    }

    /// The level of compression, where that is agreed and the message is worth it.
    #[inline]
    fn level(&self, message: &Message) -> Option<u32> {
        let agreed = self.deflate.as_deref().filter(|agreed| agreed.takes(message.len()))?;
        Some(agreed.level())
    }

    /// The compressed form of such a message.
    fn deflated(&self, message: &Message) -> Option<Bytes> {
        self.level(message).map(|level| deflated(message, level))
    }

    /// The frames of messages, one behind the other.
    fn join(&self, messages: &[Message]) -> Bytes {
        let bytes = messages.iter().map(|message| message.len() + MAX_SERVER_HEADER).sum();
        let mut joined = Vec::with_capacity(bytes);
        let mut left = messages;
        while let Some(message) = left.first() {
            let together = self.fitting(left);
            let (frame, rest) = left.split_at(together);
            let made = self.frame(frame).or_else(|| Some((true, self.deflated(message)?)));
            let (compressed, body) = match &made {
                Some((compressed, body)) => (*compressed, body.as_ref()),
                None => (false, message.as_bytes()),
            };
            joined.extend_from_slice(Head::new(self.opcode, compressed, body.len()).as_bytes());
            joined.extend_from_slice(body);
            left = rest;
        }
        Bytes::from(joined)
    }

    /// How many of these messages go into the next frame; at least one.
    fn fitting<'a>(&self, messages: impl IntoIterator<Item = &'a Message>) -> usize {
        let mut bytes = 0;
        let messages = messages.into_iter().take(usize::from(self.per_frame));
        let fitting = messages.take_while(|message| {
            bytes += message.len() + 1;
            bytes <= JOINED
        });
        fitting.count().max(1)
    }

    /// The body of a frame of several messages, and whether it is compressed. `None` for a single one, which is sent
    /// from where it lies.
    fn frame(&self, messages: &[Message]) -> Option<(bool, Bytes)> {
        if messages.len() < 2 {
            return None;
        }
        let bytes = messages.iter().map(|message| message.len() + 1).sum();
        let mut body = Vec::with_capacity(bytes);
        for message in messages {
            if !body.is_empty() && self.opcode == Opcode::Text {
                body.push(b'\n');
            }
            body.extend_from_slice(message.as_bytes());
        }
        match self.deflate.as_deref().filter(|agreed| agreed.takes(body.len())) {
            Some(agreed) => Some((true, deflate(&body, agreed.level()))),
            None => Some((false, Bytes::from(body))),
        }
    }

    /// Takes messages off the front of the queue that go into one frame, unless it is one message only or a run, which
    /// is joined for all connections. Yields the size of the frame.
    fn take_frame(&mut self, queue: &mut MessageQueue) -> Option<usize> {
        let until_run = queue.entries().take_while(|entry| !matches!(entry, Entry::Run(_)));
        let messages = until_run.flat_map(|entry| match entry {
            Entry::Message(message) => slice::from_ref(message),
            Entry::Run(_) => &[],
            Entry::Rest(messages) => messages,
        });
        let together = self.fitting(messages);
        if together < 2 {
            return None;
        }
        let taken: SmallVec<[Message; BATCH]> = (0..together).map_while(|_| queue.pop()).collect();
        let (compressed, body) = self.frame(&taken)?;
        let bytes = body.len();
        self.keep(Frame::new(self.opcode, compressed, Body::Bytes(body)));
        Some(bytes)
    }

    /// Puts frames of several messages in front of the queue, as many as are written with one call. `false`: what comes
    /// next in the queue is no such frame.
    #[cold]
    fn take_frames(&mut self, queue: &mut MessageQueue) -> bool {
        let mut bytes = 0;
        while bytes < JOINED
            && let Some(frame) = self.take_frame(queue)
        {
            bytes += frame;
        }
        bytes > 0
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

    /// Writes the only message of the queue. What comes alone, as most messages do, needs no lists; and what many get is
    /// put into one piece once, for a system call that takes one piece is cheaper.
    fn poll_single(&mut self, cx: &mut Context<'_>, queue: &mut MessageQueue) -> Poll<IoResult<()>> {
        let Some(message) = queue.single() else { return Poll::Ready(Ok(())) };
        let level = self.level(message);
        let key = FRAMED | (level.unwrap_or_default() << LEVEL) | self.opcode as u32;
        let framed = if message.is_widely_shared() {
            Some(message.derived(key, |_| self.framed(message, level)))
        } else {
            // The last of the many find what was made for the first.
            message.made(key)
        };
        let (piece, bytes, written) = if let Some(framed) = framed {
            let written = ready!(poll_piece(&mut self.io, cx, &framed))?;
            let bytes = framed.len();
            (Piece { head: Head::NONE, body: Some(framed) }, bytes, written)
        } else {
            // The body stays where it is: what is made for a message is its header.
            let deflated = level.map(|level| deflated(message, level));
            let body = deflated.as_deref().unwrap_or(message.as_bytes());
            let head = Head::new(self.opcode, level.is_some(), body.len());
            let slices = [IoSlice::new(head.as_bytes()), IoSlice::new(body)];
            let written = if body.len() <= SMALL {
                ready!(poll_gathered(&mut self.io, cx, &slices))?
            } else {
                ready!(poll_slices(&mut self.io, cx, &slices))?
            };
            let bytes = head.as_bytes().len() + body.len();
            (Piece { head, body: deflated }, bytes, written)
        };
        if written == bytes {
            queue.clear();
        } else {
            self.settle(queue, [piece], written);
        }
        Poll::Ready(Ok(()))
    }

    /// The frame of a message that goes out at this level of compression, in one piece.
    fn framed(&self, message: &Message, level: Option<u32>) -> Bytes {
        // Among the forms of the message there will be the frame: the body alone needs no place there.
        let deflated =
            level.map(|level| message.made(level).unwrap_or_else(|| deflate(message.as_bytes(), level)));
        let body = deflated.as_deref().unwrap_or(message.as_bytes());
        let head = Head::new(self.opcode, level.is_some(), body.len());
        Bytes::from([head.as_bytes(), body].concat())
    }

    /// Writes one batch of what is queued.
    fn poll_queue(&mut self, cx: &mut Context<'_>, queue: &mut MessageQueue) -> Poll<IoResult<()>> {
        if queue.single().is_some() {
            return self.poll_single(cx, queue);
        }
        let mut pieces: SmallVec<[Piece; BATCH]> = SmallVec::new();
        // What follows may be joined.
        let batch = if self.per_frame > 1 { 1 } else { BATCH };
        for entry in queue.entries().take(batch) {
            pieces.push(self.piece(entry));
        }
        let written = {
            let mut slices = Slices::new();
            for (piece, entry) in pieces.iter().zip(queue.entries()) {
                if piece.head.length > 0 {
                    slices.push(IoSlice::new(piece.head.as_bytes()));
                }
                slices.push(IoSlice::new(piece.body(entry)));
            }
            ready!(poll_slices(&mut self.io, cx, &slices))?
        };
        self.settle(queue, pieces, written);
        Poll::Ready(Ok(()))
    }

    /// Takes `written` bytes off the front of the queue. What is written in part is finished by later calls.
    fn settle(
        &mut self,
        queue: &mut MessageQueue,
        pieces: impl IntoIterator<Item = Piece>,
        mut written: usize,
    ) {
        for piece in pieces {
            if written == 0 {
                break;
            }
            let Some(entry) = queue.entries().next() else { break };
            let left = piece.head.as_bytes().len() + piece.body(entry).len();
            if written < left {
                let body = match (piece.body, entry) {
                    (Some(bytes), _) => Body::Bytes(bytes),
                    (None, Entry::Message(message)) => Body::Message(message.clone()),
                    (None, Entry::Run(_) | Entry::Rest(_)) => Body::Bytes(Bytes::new()),
                };
                self.keep(Frame { head: piece.head, body, written });
                queue.pop_entry();
                break;
            }
            written -= left;
            queue.pop_entry();
        }
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
            None if self.silent || *why == Disconnect::CONNECTION_CLOSED => return,
            None => close_payload(u16::try_from(why.code).unwrap_or(1011), &why.reason),
        };
        self.keep(Frame::new(Opcode::Close, false, Body::Bytes(payload)));
    }
}

/// The compressed form of a message, which all share who send it by itself.
fn deflated(message: &Message, level: u32) -> Bytes {
    message.derived(level, |bytes| deflate(bytes, level))
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
    if !io.is_write_vectored() {
        return poll_gathered(io, cx, slices);
    }
    some(ready!(Pin::new(io).poll_write_vectored(cx, slices))?)
}

/// Writes one piece, or its beginning.
fn poll_piece<W: AsyncWrite + Unpin>(
    io: &mut W,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<IoResult<usize>> {
    some(ready!(Pin::new(io).poll_write(cx, bytes))?)
}

/// A stream that takes nothing will never take anything.
fn some(written: usize) -> Poll<IoResult<usize>> {
    Poll::Ready(if written == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(written) })
}

/// Writes a gathered copy, or its beginning, with one system call that takes one piece.
fn poll_gathered<W: AsyncWrite + Unpin>(
    io: &mut W,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<IoResult<usize>> {
    with_write_buffer(|gathered| {
        for piece in slices {
            let room = GATHER - gathered.len();
            gathered.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if gathered.len() == GATHER {
                break;
            }
        }
        poll_piece(io, cx, gathered)
    })
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
            if self.per_frame == 1 || !self.take_frames(queue) {
                ready!(self.poll_queue(cx, queue))?;
            }
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
    use std::sync::Arc;

    use tourbillon_transport::Run;

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

    /// Keeps what is written to it, piece by piece.
    #[derive(Default)]
    struct Paper(Vec<Vec<u8>>);

    impl AsyncWrite for Paper {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<IoResult<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<IoResult<usize>> {
            self.0.extend(slices.iter().map(|slice| slice.to_vec()));
            Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn of_a_message_each_gets_the_form_that_was_agreed_upon_in_one_piece() {
        let text = "again and ".repeat(20);
        let level = |level| {
            let compression = crate::Compression { level, ..crate::Compression::default() };
            Some(Deflate { compression, window: None })
        };
        // Shared by many, and by few, and by few of the many.
        for shares in [vec![20; 5], vec![0; 5], vec![20, 20, 20, 0, 0]] {
            let message = Message::new(&text);
            for (shared, deflate_to) in shares.into_iter().zip([None, level(1), level(9), level(0), None]) {
                let others = vec![message.clone(); shared];
                let mut writer =
                    WebSocketWriter::new(Paper::default(), Control::default(), Opcode::Text, deflate_to);
                let mut queue = MessageQueue::new();
                queue.push(message.clone());
                let written =
                    writer.poll_write(&mut Context::from_waker(std::task::Waker::noop()), &mut queue);
                assert!(written.is_ready() && queue.is_empty());
                let body = match deflate_to {
                    Some(agreed) => deflate(text.as_bytes(), agreed.compression.level),
                    None => Bytes::from(text.clone()),
                };
                let head = Head::new(Opcode::Text, deflate_to.is_some(), body.len());
                assert_eq!(writer.io.0, [[head.as_bytes(), &body].concat()], "{shared} {deflate_to:?}");
                drop(others);
            }
        }
    }

    #[test]
    fn of_a_run_each_gets_the_form_that_its_window_holds() {
        // Compressed with a large window, the end would refer to the beginning, out of reach of a small one.
        let text: String =
            (0..400).map(|number: u32| format!("{:x} ", number.wrapping_mul(0x9e37_79b9))).collect();
        let text = format!("{text}{text}");
        let written = |window, run: &Arc<Run>| {
            let agreed = Deflate { compression: crate::Compression::default(), window };
            let mut writer =
                WebSocketWriter::new(Paper::default(), Control::default(), Opcode::Text, Some(agreed));
            let mut queue = MessageQueue::new();
            queue.push_run(run.clone());
            let written = writer.poll_write(&mut Context::from_waker(std::task::Waker::noop()), &mut queue);
            assert!(written.is_ready() && queue.is_empty());
            writer.io.0.concat()
        };
        let run = Run::new(Message::new(&text));
        run.append(Message::new("short")).expect("room");
        let compressed = |bytes: &[u8]| bytes.first().is_some_and(|first| first & 0x40 != 0);
        assert!(compressed(&written(None, &run)));
        assert!(compressed(&written(Some(15), &run)));
        assert!(!compressed(&written(Some(9), &run)));
        assert!(compressed(&written(None, &run)));
    }

    #[test]
    fn the_writer_is_small() {
        let size = size_of::<WebSocketWriter<crate::UpgradedWrite>>();
        assert!(size <= 56, "{size}");
    }
}
