//! Messages out of frames, without I/O.

use bytes::{Buf, Bytes, BytesMut};
use tourbillon_transport::TransportError;

use crate::deflate::{InflateError, inflate};
use crate::frame::{Header, Opcode, is_close_code, mask};

/// Close codes of RFC 6455 section 7.4.1.
const PROTOCOL_ERROR: u16 = 1002;
const INVALID_DATA: u16 = 1007;
const TOO_LARGE: u16 = 1009;

/// How much a client may send at once.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message, in bytes on the wire, over all its fragments; 4 GiB at most.
    pub message: usize,
    /// The largest message, in bytes once inflated.
    pub inflated: usize,
    /// Whether compression was agreed upon.
    pub deflate: bool,
}

impl Limits {
    /// Messages of up to `message` bytes, without compression.
    #[must_use]
    pub const fn new(message: usize) -> Self {
        Self { message, inflated: message, deflate: false }
    }
}

/// What frames amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A whole message, unmasked, joined and inflated.
    Message {
        /// [`Opcode::Text`] or [`Opcode::Binary`].
        opcode: Opcode,
        /// The message; UTF-8 if it is text.
        data: Bytes,
    },
    /// A ping with what its pong must carry.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// The peer's close, with its code if it gave one. Nothing after it counts.
    Close(Option<u16>),
}

/// What the peer did wrong.
#[derive(Debug)]
#[non_exhaustive]
pub struct Violation {
    /// The close code that RFC 6455 has for it: 1002, 1007 or 1009.
    pub code: u16,
    /// The same, for whoever uses the connection.
    pub error: TransportError,
}

impl Violation {
    const fn protocol(what: &'static str) -> Self {
        Self { code: PROTOCOL_ERROR, error: TransportError::Protocol(what) }
    }

    const fn invalid(what: &'static str) -> Self {
        Self { code: INVALID_DATA, error: TransportError::Protocol(what) }
    }

    const fn too_large(limit: usize) -> Self {
        Self { code: TOO_LARGE, error: TransportError::MessageTooLarge { limit } }
    }
}

/// Turns what a client sends into [`Event`]s, strictly (RFC 6455 section 5): it takes masked frames only, knows no
/// opcode or bit that is not agreed upon, and stops at the first thing that is wrong.
///
/// It holds nothing between messages. What it holds of an unfinished message is what has arrived of it, at most
/// [`Limits::message`] bytes; a length that is merely announced allocates nothing.
#[derive(Debug)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
    // The limits, taken apart: every connection has them, and so they take less.
    message: u32,
    inflated: u32,
    deflate: bool,
    /// After the peer's close or its fault.
    ended: bool,
}

/// A message of which not everything is there.
#[derive(Debug)]
struct Partial {
    opcode: Opcode,
    compressed: bool,
    /// Whether the frame that is being received is the message's last.
    last: bool,
    /// Key of that frame, turned so that it fits its next byte.
    key: [u8; 4],
    /// How many bytes of that frame are still to come.
    missing: usize,
    /// What has arrived, unmasked.
    data: BytesMut,
    /// How much of a text is known to be UTF-8.
    checked: usize,
}

impl Partial {
    /// Takes what `buffer` has of the frame.
    fn take(&mut self, buffer: &mut BytesMut) -> Result<(), Violation> {
        let length = self.missing.min(buffer.len());
        let start = self.data.len();
        self.data.extend_from_slice(buffer.get(..length).unwrap_or_default());
        buffer.advance(length);
        self.missing -= length;
        if let Some(arrived) = self.data.get_mut(start..) {
            mask(arrived, self.key);
        }
        self.key.rotate_left(length % 4);
        self.check()
    }

    /// Refuses a text as soon as it is broken, rather than when it is complete.
    fn check(&mut self) -> Result<(), Violation> {
        if self.opcode != Opcode::Text || self.compressed {
            return Ok(());
        }
        let unchecked = self.data.get(self.checked..).unwrap_or_default();
        match simdutf8::compat::from_utf8(unchecked) {
            Ok(_) => self.checked = self.data.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Violation::invalid("text is not UTF-8")),
        }
        Ok(())
    }
}

impl Decoder {
    /// A decoder for the beginning of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let few = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let (message, inflated) = (few(limits.message), few(limits.inflated));
        Self { partial: None, message, inflated, deflate: limits.deflate, ended: false }
    }

    /// The next event that `buffer` holds, taken off its front. `Ok(None)`: more bytes are needed; what is left in
    /// the buffer then is less than one header or one control frame.
    ///
    /// After the peer's close or an error there are no more events, and whatever is in the buffer is dropped.
    ///
    /// # Errors
    ///
    /// The first [`Violation`].
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, Violation> {
        if self.ended {
            buffer.clear();
            return Ok(None);
        }
        let decoded = self.advance(buffer);
        if matches!(decoded, Err(_) | Ok(Some(Event::Close(_)))) {
            self.ended = true;
            self.partial = None;
            buffer.clear();
        }
        decoded
    }

    fn advance(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, Violation> {
        loop {
            if let Some(mut partial) = self.partial.take() {
                partial.take(buffer)?;
                if partial.missing == 0 && partial.last {
                    let Partial { opcode, compressed, data, checked, .. } = *partial;
                    return self.finish(opcode, compressed, data, checked).map(Some);
                }
                let starved = partial.missing > 0;
                self.partial = Some(partial);
                if starved {
                    return Ok(None);
                }
            }
            let parsed = Header::parse(buffer, self.deflate);
            let parsed = parsed.map_err(|_| Violation::protocol("bad frame header"))?;
            let Some((header, head)) = parsed else { return Ok(None) };
            let length = self.check(&header)?;
            let whole = buffer.len() - head >= length;
            if header.opcode.is_control() && !whole {
                return Ok(None);
            }
            buffer.advance(head);
            if whole && (header.opcode.is_control() || (header.fin && self.partial.is_none())) {
                let mut payload = buffer.split_to(length);
                mask(&mut payload, header.mask);
                return self.whole(&header, payload).map(Some);
            }
            self.begin(&header, length);
        }
    }

    /// Refuses a frame by its header, before its payload is waited for. Yields its length.
    fn check(&self, header: &Header) -> Result<usize, Violation> {
        let before = self.partial.as_ref().map_or(0, |partial| partial.data.len());
        let limit = many(self.message);
        let length = usize::try_from(header.length).map_err(|_| Violation::too_large(limit))?;
        if header.opcode.is_control() {
            return Ok(length);
        }
        if (header.opcode == Opcode::Continuation) != self.partial.is_some() {
            return Err(Violation::protocol("fragments out of order"));
        }
        if length > limit.saturating_sub(before) {
            return Err(Violation::too_large(limit));
        }
        Ok(length)
    }

    /// A frame that is complete, and the whole of what it belongs to.
    fn whole(&self, header: &Header, payload: BytesMut) -> Result<Event, Violation> {
        match header.opcode {
            // A copy: a pong may wait for a while, and must not keep a read buffer meanwhile.
            Opcode::Ping => Ok(Event::Ping(Bytes::copy_from_slice(&payload))),
            Opcode::Pong => Ok(Event::Pong),
            Opcode::Close => close(&payload),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                self.finish(header.opcode, header.compressed, payload, 0)
            }
        }
    }

    /// Begins a message, or its next fragment, that will come piece by piece.
    fn begin(&mut self, header: &Header, length: usize) {
        let partial = self.partial.get_or_insert_with(|| {
            Box::new(Partial {
                opcode: header.opcode,
                compressed: header.compressed,
                last: false,
                key: [0; 4],
                missing: 0,
                data: BytesMut::new(),
                checked: 0,
            })
        });
        partial.last = header.fin;
        partial.key = header.mask;
        partial.missing = length;
    }

    fn finish(
        &self,
        opcode: Opcode,
        compressed: bool,
        data: BytesMut,
        checked: usize,
    ) -> Result<Event, Violation> {
        let data = if compressed {
            inflate(&data, many(self.inflated)).map_err(|error| match error {
                InflateError::Malformed => Violation::invalid("message is not DEFLATE"),
                InflateError::TooLarge => Violation::too_large(many(self.inflated)),
            })?
        } else {
            data.freeze()
        };
        let unchecked = data.get(checked..).unwrap_or_default();
        if opcode == Opcode::Text && simdutf8::basic::from_utf8(unchecked).is_err() {
            return Err(Violation::invalid("text is not UTF-8"));
        }
        Ok(Event::Message { opcode, data })
    }
}

/// A limit as a number of bytes.
fn many(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Reads a close frame (RFC 6455 section 5.5.1).
fn close(payload: &[u8]) -> Result<Event, Violation> {
    match payload {
        [] => Ok(Event::Close(None)),
        [_] => Err(Violation::protocol("close frame of one byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_close_code(code) {
                return Err(Violation::protocol("bad close code"));
            }
            if simdutf8::basic::from_utf8(reason).is_err() {
                return Err(Violation::invalid("close reason is not UTF-8"));
            }
            Ok(Event::Close(Some(code)))
        }
    }
}

#[cfg(test)]
mod tests;
