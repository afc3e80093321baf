//! The client protocol as a load generator needs it: prepared commands out, a glance at what comes in.
//!
//! A publication's payload carries a number in front, `{"#":17,...}`, the same in JSON and in Protobuf, so that a
//! delivery is recognised without decoding the message around it.

use bytes::Bytes;
use memchr::memmem::Finder;
use tourbillon_protocol::Envelope;
use tourbillon_protocol::client::{Replies, ServerMessage, encode_command};
use tourbillon_protocol::command::{Command, Connect, Publish, Request, Rpc, Subscribe};
use tourbillon_types::{Encoding, Payload, TagFilter};

use crate::frame::{Opcode, encode};

/// What one message of a server is, as far as load modes care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The server's ping, which must be answered.
    Ping,
    /// The answer to a command.
    Reply {
        /// The command's number.
        id: u32,
        /// The error's code, if it is one.
        error: Option<u32>,
    },
    /// A publication of this program, with the number in its payload.
    Publication(u64),
    /// Anything else.
    Other,
}

/// The encoding's prepared commands and its reader.
#[derive(Clone, Debug)]
pub struct Wire {
    encoding: Encoding,
    marker: Finder<'static>,
}

impl Wire {
    /// For one encoding.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, marker: Finder::new("{\"#\":") }
    }

    /// The encoding.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The WebSocket opcode of the encoding.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        match self.encoding {
            Encoding::Json => Opcode::Text,
            Encoding::Protobuf => Opcode::Binary,
        }
    }

    fn command(&self, id: u32, request: Request) -> Vec<u8> {
        // Commands of this program hold only payloads that it wrote as JSON itself.
        encode_command(self.encoding, &Command { id, request }).unwrap_or_default()
    }

    /// A connect command with a token, which may be empty.
    #[must_use]
    pub fn connect(&self, id: u32, token: &str) -> Vec<u8> {
        let connect = Connect { token: token.to_owned(), ..Connect::default() };
        self.command(id, Request::Connect(Box::new(connect)))
    }

    /// A subscribe command.
    #[must_use]
    pub fn subscribe(&self, id: u32, channel: &str) -> Vec<u8> {
        let subscribe = Subscribe { channel: channel.into(), ..Subscribe::default() };
        self.command(id, Request::Subscribe(Box::new(subscribe)))
    }

    /// A subscribe command that asks for everything since the channel began.
    #[must_use]
    pub fn recover(&self, id: u32, channel: &str) -> Vec<u8> {
        // An unknown epoch is any.
        let subscribe = Subscribe { channel: channel.into(), recover: true, ..Subscribe::default() };
        self.command(id, Request::Subscribe(Box::new(subscribe)))
    }

    /// A subscribe command that asks for deltas.
    #[must_use]
    pub fn subscribe_with_deltas(&self, id: u32, channel: &str) -> Vec<u8> {
        let subscribe =
            Subscribe { channel: channel.into(), delta: "fossil".to_owned(), ..Subscribe::default() };
        self.command(id, Request::Subscribe(Box::new(subscribe)))
    }

    /// A subscribe command that asks for publications with this tag.
    #[must_use]
    pub fn subscribe_filtered(&self, id: u32, channel: &str, key: &str, value: &str) -> Vec<u8> {
        let (key, cmp, val) = (key.to_owned(), "eq".to_owned(), value.to_owned());
        let filter = Some(Box::new(TagFilter { key, cmp, val, ..TagFilter::default() }));
        let subscribe = Subscribe { channel: channel.into(), filter, ..Subscribe::default() };
        self.command(id, Request::Subscribe(Box::new(subscribe)))
    }

    /// How many publications of this program are in a message, a reply included.
    #[must_use]
    pub fn stamps(&self, message: &[u8]) -> u64 {
        self.marker.find_iter(message).count() as u64
    }

    /// A publish command.
    #[must_use]
    pub fn publish(&self, id: u32, channel: &str, data: &str) -> Vec<u8> {
        let data = Payload::from(data.as_bytes().to_vec());
        self.command(id, Request::Publish(Publish { channel: channel.into(), data, ..Publish::default() }))
    }

    /// A call of the application.
    #[must_use]
    pub fn rpc(&self, id: u32, method: &str, data: &str) -> Vec<u8> {
        self.command(
            id,
            Request::Rpc(Rpc { method: method.into(), data: Payload::from(data.as_bytes().to_vec()) }),
        )
    }

    /// The answer to a ping.
    #[must_use]
    pub fn pong(&self) -> Vec<u8> {
        self.command(0, Request::Pong)
    }

    /// Appends messages as one frame.
    pub fn frame(&self, messages: &[&[u8]], out: &mut Vec<u8>) {
        match (self.encoding, messages) {
            (_, [message]) => encode(self.opcode(), message, out),
            (Encoding::Json, _) => encode(self.opcode(), &messages.join(&b'\n'), out),
            (Encoding::Protobuf, _) => encode(self.opcode(), &messages.concat(), out),
        }
    }

    /// Every message of a frame, in order.
    pub fn each(&self, frame: &[u8], mut take: impl FnMut(Seen)) {
        match self.encoding {
            Encoding::Json => {
                for line in frame.split(|byte| *byte == b'\n') {
                    // That of an event; lines without anything are between them.
                    let message = line.strip_prefix(b"data: ").unwrap_or(line);
                    if !message.trim_ascii().is_empty() {
                        take(self.json(message));
                    }
                }
            }
            Encoding::Protobuf => {
                let mut rest = frame;
                while let Some((length, head)) = varint(rest) {
                    let Some(message) = rest.get(head..head + length) else { return };
                    take(self.protobuf(message));
                    rest = rest.get(head + length..).unwrap_or_default();
                }
            }
        }
    }

    fn json(&self, message: &[u8]) -> Seen {
        if message == b"{}" {
            return Seen::Ping;
        }
        if let Some(rest) = message.strip_prefix(b"{\"id\":") {
            let (id, after) = digits(rest);
            if let Ok(id) = u32::try_from(id)
                && !after.starts_with(b",\"error\"")
            {
                return Seen::Reply { id, error: None };
            }
            return self.decoded(message.to_vec());
        }
        self.publication(message)
    }

    fn protobuf(&self, message: &[u8]) -> Seen {
        match message {
            [] => Seen::Ping,
            // Field 1, the id: a reply, whose second field may be the error.
            [0x08, rest @ ..] => match varint(rest) {
                Some((id, used)) if rest.get(used) != Some(&0x12) => {
                    Seen::Reply { id: u32::try_from(id).unwrap_or_default(), error: None }
                }
                _ => {
                    let mut framed = Vec::with_capacity(message.len() + 4);
                    put_varint(message.len(), &mut framed);
                    framed.extend_from_slice(message);
                    self.decoded(framed)
                }
            },
            _ => self.publication(message),
        }
    }

    fn publication(&self, message: &[u8]) -> Seen {
        match self.marker.find(message) {
            Some(at) => Seen::Publication(
                digits(message.get(at + self.marker.needle().len()..).unwrap_or_default()).0,
            ),
            None => Seen::Other,
        }
    }

    /// A message that a glance does not tell: the codec reads it.
    fn decoded(&self, framed: Vec<u8>) -> Seen {
        match Replies::new(self.encoding, Envelope::Reply, Bytes::from(framed)).next() {
            Some(Ok(ServerMessage::Reply(reply))) => {
                Seen::Reply { id: reply.id, error: reply.result.err().map(|error| error.code.0) }
            }
            Some(Ok(ServerMessage::Ping)) => Seen::Ping,
            _ => Seen::Other,
        }
    }
}

/// A payload of `length` bytes (or a little more if that is too short) with a number in front.
#[must_use]
pub fn stamped(number: u64, length: usize) -> String {
    use std::fmt::Write as _;
    let mut data = String::with_capacity(length.max(48));
    let _ = write!(data, "{{\"#\":{number},\"text\":\"");
    let words = "the quick brown fox jumps over the lazy dog and comes back for more ";
    let room = length.saturating_sub(data.len() + 2);
    data.extend(words.chars().cycle().skip(usize::try_from(number % 60).unwrap_or_default()).take(room));
    data.push_str("\"}");
    data
}

/// The number at the start, and what follows it.
fn digits(bytes: &[u8]) -> (u64, &[u8]) {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    let (digits, rest) = bytes.split_at(end);
    let number = digits.iter().fold(0_u64, |number, digit| {
        number.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0')))
    });
    (number, rest)
}

/// A varint at the start, and how many bytes it took.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

fn put_varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use tourbillon_protocol::{Push, PushEvent, Reply, ReplyResult, encode_ping, encode_push, encode_reply};
    use tourbillon_types::{Channel, Publication, ReplyError};

    use super::*;

    fn seen(encoding: Encoding, frames: &[Vec<u8>]) -> Vec<Seen> {
        let joined = match encoding {
            Encoding::Json => frames.join(&b'\n'),
            Encoding::Protobuf => frames.concat(),
        };
        let mut seen = Vec::new();
        Wire::new(encoding).each(&joined, |message| seen.push(message));
        seen
    }

    #[test]
    fn what_a_server_writes_is_recognised_in_both_encodings() {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let publication = Publication {
                data: Payload::from(stamped(4711, 128).into_bytes()),
                ..Publication::default()
            };
            let channel = Channel::from("news");
            let push =
                Push { channel: Some(channel), id: 0, event: PushEvent::Publication(publication.into()) };
            let good = Reply { id: 300, result: Ok(ReplyResult::Publish) };
            let bad = Reply { id: 7, result: Err(ReplyError::PERMISSION_DENIED) };
            let frames = [
                encode_push(encoding, Envelope::Reply, &push).expect("encodes"),
                encode_reply(encoding, &good).expect("encodes"),
                encode_reply(encoding, &bad).expect("encodes"),
                encode_ping(encoding, Envelope::Reply),
            ];
            assert_eq!(
                seen(encoding, &frames),
                [
                    Seen::Publication(4711),
                    Seen::Reply { id: 300, error: None },
                    Seen::Reply { id: 7, error: Some(103) },
                    Seen::Ping,
                ],
                "{encoding:?}",
            );
        }
    }

    #[test]
    fn payloads_have_the_length_asked_for_and_are_json() {
        for length in [0, 40, 128, 4096] {
            let data = stamped(12, length);
            assert!(data.len() == length || length < 30, "{length}: {}", data.len());
            assert!(serde_json::from_str::<serde_json::Value>(&data).is_ok());
        }
    }
}
