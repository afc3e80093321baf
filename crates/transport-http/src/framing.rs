//! What a stream looks like.

use bytes::Bytes;
use tourbillon_transport::{Entry, Message};

/// How messages are told apart in a stream (HID-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A line for each.
    Lines,
    /// An event for each. JSON is encoded without any kind of line break in it.
    Events,
    /// They say how long they are.
    Raw,
}

impl Framing {
    const fn around(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Lines => (b"", b"\n"),
            Self::Events => (b"data: ", b"\n\n"),
            Self::Raw => (b"", b""),
        }
    }

    /// Chosen at random.
    const fn key(self) -> u32 {
        match self {
            Self::Lines => 0x9e1c_52d7,
            Self::Events => 0x63fa_08b1,
            Self::Raw => 0xd25b_7746,
        }
    }

    /// What comes before the first message (EMU-04).
    pub(crate) const fn preamble(self) -> &'static [u8] {
        match self {
            Self::Events => b"\r\n",
            Self::Lines | Self::Raw => b"",
        }
    }

    pub(crate) const fn length(self, message: usize) -> usize {
        let (before, after) = self.around();
        before.len() + message + after.len()
    }

    pub(crate) fn append(self, message: &[u8], to: &mut Vec<u8>) {
        let (before, after) = self.around();
        to.extend_from_slice(before);
        to.extend_from_slice(message);
        to.extend_from_slice(after);
    }

    fn join(self, messages: &[Message]) -> Bytes {
        let length = messages.iter().map(|message| self.length(message.len())).sum();
        let mut joined = Vec::with_capacity(length);
        for message in messages {
            self.append(message.as_bytes(), &mut joined);
        }
        Bytes::from(joined)
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
}
