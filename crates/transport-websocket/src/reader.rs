//! The receiving half: frames to messages.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncRead;
use tourbillon_transport::{Received, TransportError, TransportReader};

use crate::control::{Control, Ending};
use crate::deflate::{InflateError, inflate};
use crate::frame::{Header, Opcode, is_close_code, mask};
use crate::scratch::poll_read_into;

/// Close codes of RFC 6455 section 7.4.1.
const PROTOCOL_ERROR: u16 = 1002;
const INVALID_DATA: u16 = 1007;
const TOO_LARGE: u16 = 1009;

/// The receiving half of a WebSocket. At rest it holds no buffer.
#[derive(Debug)]
pub struct WebSocketReader<R> {
    io: R,
    control: Control,
    /// What was read and not yet taken apart.
    buffer: BytesMut,
    /// What is there of a fragmented message.
    fragments: Option<Box<Fragments>>,
    limits: ReadLimits,
    state: State,
    /// The kind of the last message.
    last: Opcode,
}

/// How much a client may send at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimits {
    pub(crate) message: usize,
    pub(crate) inflated: usize,
    /// Whether compression was agreed upon.
    pub(crate) deflate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The peer closed, or broke the protocol: what still comes is discarded.
    Discarding,
}

#[derive(Debug)]
struct Fragments {
    opcode: Opcode,
    compressed: bool,
    data: BytesMut,
    /// How much of a text is known to be UTF-8.
    checked: usize,
}

/// One step through the buffer.
enum Step {
    /// The buffer holds no whole frame.
    Starved,
    /// A frame that yields nothing by itself.
    Frame,
    Event(Received),
}

/// The peer broke the protocol: the code it is told, and the error that the node gets.
struct Violation(u16, TransportError);

impl Violation {
    const fn protocol(what: &'static str) -> Self {
        Self(PROTOCOL_ERROR, TransportError::Protocol(what))
    }

    const fn invalid(what: &'static str) -> Self {
        Self(INVALID_DATA, TransportError::Protocol(what))
    }

    const fn too_large(limit: usize) -> Self {
        Self(TOO_LARGE, TransportError::MessageTooLarge { limit })
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> WebSocketReader<R> {
    pub(crate) const fn new(io: R, control: Control, limits: ReadLimits, buffer: BytesMut) -> Self {
        Self { io, control, buffer, fragments: None, limits, state: State::Open, last: Opcode::Text }
    }

    /// Whether the last message was text or binary. The client protocol does not care (WS-02); other uses may.
    pub const fn opcode(&self) -> Opcode {
        self.last
    }

    fn step(&mut self) -> Result<Step, Violation> {
        let parsed = Header::parse(&self.buffer, self.limits.deflate);
        let parsed = parsed.map_err(|_| Violation::protocol("bad frame header"))?;
        let Some((header, head)) = parsed else { return Ok(Step::Starved) };
        self.check(&header)?;
        // Checked against the limit, which is a `usize`.
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        if self.buffer.len() - head < length {
            return Ok(Step::Starved);
        }
        let mut frame = self.buffer.split_to(head + length);
        let mut payload = frame.split_off(head);
        if let Some(key) = header.mask {
            mask(&mut payload, key);
        }
        match header.opcode {
            Opcode::Ping => {
                self.control.pong(Bytes::copy_from_slice(&payload));
                Ok(Step::Event(Received::WantsWrite))
            }
            Opcode::Pong => Ok(Step::Event(Received::Pong)),
            Opcode::Close => self.close(&payload),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => self.data(&header, payload),
        }
    }

    /// Refuses a frame by its header, before its payload is waited for.
    fn check(&self, header: &Header) -> Result<(), Violation> {
        if header.opcode.is_control() {
            return Ok(());
        }
        let continues = header.opcode == Opcode::Continuation;
        if continues != self.fragments.is_some() {
            return Err(Violation::protocol("fragments out of order"));
        }
        let before = self.fragments.as_ref().map_or(0, |fragments| fragments.data.len());
        let limit = self.limits.message;
        let fits = usize::try_from(header.length).is_ok_and(|length| length <= limit.saturating_sub(before));
        if fits { Ok(()) } else { Err(Violation::too_large(limit)) }
    }

    fn close(&mut self, payload: &[u8]) -> Result<Step, Violation> {
        let code = match payload {
            [] => None,
            [_] => return Err(Violation::protocol("close frame of one byte")),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !is_close_code(code) {
                    return Err(Violation::protocol("bad close code"));
                }
                if simdutf8::basic::from_utf8(reason).is_err() {
                    return Err(Violation::invalid("close reason is not UTF-8"));
                }
                Some(code)
            }
        };
        self.control.end(Ending::Peer(code));
        self.discard();
        Ok(Step::Event(Received::End))
    }

    fn data(&mut self, header: &Header, payload: BytesMut) -> Result<Step, Violation> {
        match self.fragments.take() {
            None if header.fin => self.finish(header.opcode, header.compressed, payload, 0),
            None => {
                let fragments = Fragments {
                    opcode: header.opcode,
                    compressed: header.compressed,
                    // A copy, so that waiting for the rest does not pin the read buffer.
                    data: BytesMut::from(&payload[..]),
                    checked: 0,
                };
                self.keep(Box::new(fragments))
            }
            Some(mut fragments) => {
                fragments.data.extend_from_slice(&payload);
                if header.fin {
                    let Fragments { opcode, compressed, data, checked } = *fragments;
                    self.finish(opcode, compressed, data, checked)
                } else {
                    self.keep(fragments)
                }
            }
        }
    }

    /// Waits for more of a message. A text that is broken already is refused now.
    fn keep(&mut self, mut fragments: Box<Fragments>) -> Result<Step, Violation> {
        if fragments.opcode == Opcode::Text && !fragments.compressed {
            let unchecked = fragments.data.get(fragments.checked..).unwrap_or_default();
            match simdutf8::compat::from_utf8(unchecked) {
                Ok(_) => fragments.checked = fragments.data.len(),
                Err(error) if error.error_len().is_none() => fragments.checked += error.valid_up_to(),
                Err(_) => return Err(Violation::invalid("text is not UTF-8")),
            }
        }
        self.fragments = Some(fragments);
        Ok(Step::Frame)
    }

    fn finish(
        &mut self,
        opcode: Opcode,
        compressed: bool,
        data: BytesMut,
        checked: usize,
    ) -> Result<Step, Violation> {
        let data = if compressed {
            inflate(&data, self.limits.inflated).map_err(|error| match error {
                InflateError::Malformed => Violation::invalid("message is not DEFLATE"),
                InflateError::TooLarge => Violation::too_large(self.limits.inflated),
            })?
        } else {
            data
        };
        let unchecked = data.get(checked..).unwrap_or_default();
        if opcode == Opcode::Text && simdutf8::basic::from_utf8(unchecked).is_err() {
            return Err(Violation::invalid("text is not UTF-8"));
        }
        self.last = opcode;
        Ok(Step::Event(Received::Message(data.freeze())))
    }

    fn discard(&mut self) {
        self.state = State::Discarding;
        self.buffer = BytesMut::new();
        self.fragments = None;
    }

    /// Reads and forgets until the peer is gone. Closing a socket with unread bytes would reset the connection and
    /// could take the close frame with it.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        loop {
            let read = ready!(poll_read_into(&mut self.io, cx, &mut self.buffer))?;
            self.buffer = BytesMut::new();
            if read == 0 {
                return Poll::Ready(Ok(Received::End));
            }
        }
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> TransportReader for WebSocketReader<R> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        loop {
            if self.state == State::Discarding {
                return self.poll_discard(cx);
            }
            match self.step() {
                Ok(Step::Event(received)) => return Poll::Ready(Ok(received)),
                Ok(Step::Frame) => continue,
                Ok(Step::Starved) => {}
                Err(Violation(code, error)) => {
                    self.control.end(Ending::Failed(code));
                    self.discard();
                    return Poll::Ready(Err(error));
                }
            }
            if self.buffer.is_empty() {
                // Lets go of the thread's read buffer.
                self.buffer = BytesMut::new();
            }
            match poll_read_into(&mut self.io, cx, &mut self.buffer) {
                Poll::Ready(Ok(0)) => {
                    self.discard();
                    return Poll::Ready(Ok(Received::End));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    if !self.buffer.is_empty() && self.buffer.capacity() < 4096 {
                        // Part of a frame: a copy of its own instead of a share of the thread's buffer.
                        self.buffer = BytesMut::from(&self.buffer[..]);
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}
