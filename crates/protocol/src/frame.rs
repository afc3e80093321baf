//! Framing: where one message ends and the next begins (PROTO-10, PROTO-11).
//!
//! In JSON messages are separated by one line break, and one may stand at the end. In Protobuf each message has its
//! length in front, as a varint of at most five bytes that states at most 2^32 - 1; a varint longer than it needs to
//! be is accepted within those five bytes.

use bytes::{Buf, Bytes, BytesMut};
use tourbillon_types::Encoding;

use crate::DecodeError;

/// The length that a varint prefix states, and how long the prefix is; nothing while the prefix is cut off.
fn split_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    const LONGEST: usize = 5;
    let mut length: u64 = 0;
    for (at, byte) in bytes.iter().take(LONGEST).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let length = u32::try_from(length).map_err(|_| DecodeError::Length)?;
            return Ok(Some((at + 1, usize::try_from(length).map_err(|_| DecodeError::Length)?)));
        }
    }
    if bytes.len() < LONGEST { Ok(None) } else { Err(DecodeError::Length) }
}

/// A frame as a transport delivers it, cut into messages one at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    encoding: Encoding,
    rest: Bytes,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    Fresh,
    More,
    #[default]
    Done,
}

impl Frame {
    pub(crate) const fn new(encoding: Encoding, bytes: Bytes) -> Self {
        Self { encoding, rest: bytes, state: State::Fresh }
    }

    pub(crate) const fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Gives up what is left, and its memory.
    pub(crate) fn finish(&mut self) {
        self.state = State::Done;
        self.rest = Bytes::new();
    }

    /// The bytes of the next message, without what separates it from others.
    pub(crate) fn next_message(&mut self, limit: usize) -> Option<Result<Bytes, DecodeError>> {
        if self.is_done() {
            return None;
        }
        if self.state == State::Fresh && self.rest.is_empty() {
            self.finish();
            return Some(Err(DecodeError::Empty));
        }
        self.state = State::More;
        let message = self.split(limit);
        if message.is_err() || self.rest.is_empty() {
            self.finish();
        }
        Some(message)
    }

    fn split(&mut self, limit: usize) -> Result<Bytes, DecodeError> {
        let (skip, length) = match self.encoding {
            Encoding::Json => (0, memchr::memchr(b'\n', &self.rest).unwrap_or(self.rest.len())),
            Encoding::Protobuf => split_length(&self.rest)?.ok_or(DecodeError::Length)?,
        };
        if length > limit {
            return Err(DecodeError::TooLarge { limit });
        }
        if length > self.rest.len() - skip {
            return Err(DecodeError::Length);
        }
        self.rest.advance(skip);
        let message = self.rest.split_to(length);
        if self.encoding == Encoding::Json && !self.rest.is_empty() {
            self.rest.advance(1);
        }
        Ok(message)
    }
}

/// Cuts a stream of bytes that arrives in any chunks into frames of one message each.
///
/// For transports that have no frames of their own. What it yields is a frame for [`Commands`](crate::Commands) or
/// [`Replies`](crate::client::Replies): a line without its line break, or a Protobuf message with its length.
///
/// Push a chunk, then take frames until there is none; so no more is held than one message within the limit and one
/// chunk. A message over the limit is refused as soon as that shows, in Protobuf before its content arrives. After an
/// error everything is dropped and the stream is over. An empty splitter holds no memory.
///
/// ```
/// use tourbillon_protocol::Splitter;
/// use tourbillon_types::Encoding;
///
/// let mut splitter = Splitter::new(Encoding::Json, 65_536);
/// splitter.push(b"{\"id\":1}\n{\"id\"");
/// assert_eq!(splitter.next_frame().transpose()?.as_deref(), Some(&br#"{"id":1}"#[..]));
/// assert_eq!(splitter.next_frame(), None);
/// splitter.push(b":2}");
/// assert_eq!(splitter.finish()?.as_deref(), Some(&br#"{"id":2}"#[..]));
/// # Ok::<(), tourbillon_protocol::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Splitter {
    encoding: Encoding,
    limit: usize,
    buffer: BytesMut,
    /// How much of the buffer is known to have no line break.
    searched: usize,
    failed: bool,
}

impl Splitter {
    /// A splitter at the start of a stream whose messages have at most `limit` bytes, not counting what separates
    /// them.
    #[must_use]
    pub fn new(encoding: Encoding, limit: usize) -> Self {
        Self { encoding, limit, buffer: BytesMut::new(), searched: 0, failed: false }
    }

    /// Takes what arrived.
    pub fn push(&mut self, chunk: &[u8]) {
        if !self.failed {
            self.buffer.extend_from_slice(chunk);
        }
    }

    /// How many bytes wait for the rest of their message.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole frame, or nothing until more is pushed.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLarge`] and [`DecodeError::Length`], once; then nothing.
    pub fn next_frame(&mut self) -> Option<Result<Bytes, DecodeError>> {
        match self.end_of_frame() {
            Ok(end) => {
                let frame = self.buffer.split_to(end?).freeze();
                if self.encoding == Encoding::Json {
                    self.buffer.advance(1);
                    self.searched = 0;
                }
                if self.buffer.is_empty() {
                    self.buffer = BytesMut::new();
                }
                Some(Ok(frame))
            }
            Err(error) => {
                self.failed = true;
                self.buffer = BytesMut::new();
                Some(Err(error))
            }
        }
    }

    fn end_of_frame(&mut self) -> Result<Option<usize>, DecodeError> {
        let (skip, length, whole) = match self.encoding {
            Encoding::Json => {
                let unknown = self.buffer.get(self.searched..).unwrap_or_default();
                let found = memchr::memchr(b'\n', unknown).map(|at| self.searched + at);
                self.searched = found.unwrap_or(self.buffer.len());
                (0, self.searched, found.is_some())
            }
            Encoding::Protobuf => match split_length(&self.buffer)? {
                None => return Ok(None),
                Some((skip, length)) => (skip, length, length <= self.buffer.len() - skip),
            },
        };
        if length > self.limit {
            return Err(DecodeError::TooLarge { limit: self.limit });
        }
        Ok(whole.then_some(skip + length))
    }

    /// What is left when the stream has ended: in JSON a last message may lack its line break.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLarge`], and [`DecodeError::Length`] where a Protobuf message is cut off.
    pub fn finish(self) -> Result<Option<Bytes>, DecodeError> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        match self.encoding {
            Encoding::Json if self.buffer.len() > self.limit => {
                Err(DecodeError::TooLarge { limit: self.limit })
            }
            Encoding::Json => Ok(Some(self.buffer.freeze())),
            Encoding::Protobuf => Err(DecodeError::Length),
        }
    }
}
