//! How messages are told apart in a stream.

use bytes::{Buf, Bytes, BytesMut};
use tourbillon_transport::{Entry, Message, TransportError};
use tourbillon_types::Encoding;

/// How messages are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A line for each.
    Lines,
    /// They say how long they are.
    Lengths,
}

/// What lengths are written in takes no more than this: 32 bits in groups of seven.
const LENGTH: usize = 5;

impl From<Encoding> for Framing {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Json => Self::Lines,
            Encoding::Protobuf => Self::Lengths,
        }
    }
}

impl Framing {
    /// Those of HTTP streaming, where the same bytes are sent: what was made for one is there for the other.
    const fn key(self) -> u32 {
        match self {
            Self::Lines => 0x9e1c_52d7,
            Self::Lengths => 0xd25b_7746,
        }
    }

    fn join(self, messages: &[Message]) -> Bytes {
        let end: &[u8] = if self == Self::Lines { b"\n" } else { b"" };
        let mut joined = Vec::with_capacity(messages.iter().map(|message| message.len() + end.len()).sum());
        for message in messages {
            joined.extend_from_slice(message.as_bytes());
            joined.extend_from_slice(end);
        }
        joined.into()
    }

    /// What waits at one place of a queue, in the form of the stream, which all connections of this kind share.
    pub(crate) fn shared(self, entry: Entry<'_>) -> Bytes {
        match entry {
            Entry::Message(message) => {
                message.derived(self.key(), |_| self.join(std::slice::from_ref(message)))
            }
            Entry::Run(run) => run.joined(self.key(), |messages| self.join(messages)),
            Entry::Rest(messages) => self.join(messages),
        }
    }

    /// Takes the next message off what was received; `None` if it is not whole yet. Empty lines are none.
    pub(crate) fn next(self, from: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, TransportError> {
        match self {
            Self::Lines => line(from, limit),
            Self::Lengths => counted(from, limit),
        }
    }
}

fn line(from: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, TransportError> {
    loop {
        let Some(end) = memchr::memchr(b'\n', from) else {
            return if from.len() > limit {
                Err(TransportError::MessageTooLarge { limit })
            } else {
                Ok(None)
            };
        };
        if end > limit {
            return Err(TransportError::MessageTooLarge { limit });
        }
        let line = from.split_to(end).freeze();
        from.advance(1);
        if !line.is_empty() {
            return Ok(Some(line));
        }
    }
}

/// The message with its length, which is a part of it for whoever decodes it.
fn counted(from: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, TransportError> {
    let mut length: u64 = 0;
    for (at, byte) in from.iter().enumerate().take(LENGTH) {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 != 0 {
            continue;
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limit {
            return Err(TransportError::MessageTooLarge { limit });
        }
        let whole = at + 1 + length;
        return Ok((from.len() >= whole).then(|| from.split_to(whole).freeze()));
    }
    if from.len() >= LENGTH {
        Err(TransportError::Protocol("a length of more than 32 bits"))
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(framing: Framing, bytes: &[u8], piece: usize) -> Result<Vec<Bytes>, TransportError> {
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(message) = framing.next(&mut buffer, 200)? {
                found.push(message);
            }
        }
        Ok(found)
    }

    #[test]
    fn messages_are_told_apart_however_they_come() {
        let mut long = vec![0x80 | 72, 1];
        long.resize(2 + 200, b'x');
        let lengths = [&b"\x02ab\x00\x01c"[..], &long].concat();
        for piece in 1..lengths.len() {
            assert_eq!(all(Framing::Lines, b"{}\n\n[1]\nrest", piece).expect("lines"), ["{}", "[1]"]);
            let found = all(Framing::Lengths, &lengths, piece).expect("messages");
            assert_eq!(found, [&b"\x02ab"[..], b"\x00", b"\x01c", &long]);
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_there() {
        let too_large = |result| matches!(result, Err(TransportError::MessageTooLarge { limit: 200 }));
        assert!(too_large(all(Framing::Lines, &[b'x'; 201], 201)));
        assert!(too_large(all(Framing::Lines, &[&[b'x'; 201][..], b"\n"].concat(), 202)));
        assert!(all(Framing::Lines, &[&[b'x'; 200][..], b"\n"].concat(), 201).is_ok());
        assert!(too_large(all(Framing::Lengths, b"\xc9\x01", 1)));
        assert!(too_large(all(Framing::Lengths, b"\xff\xff\xff\xff\x0f", 1)));
        let never_ending = all(Framing::Lengths, b"\xff\xff\xff\xff\xff\xff", 6);
        assert!(matches!(never_ending, Err(TransportError::Protocol(_))));
    }
}
