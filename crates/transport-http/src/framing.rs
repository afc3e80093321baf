//! What a stream looks like.

use tourbillon_transport::slot::Form;

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

    /// What comes before the first message (EMU-04).
    pub(crate) const fn preamble(self) -> &'static [u8] {
        match self {
            Self::Events => b"\r\n",
            Self::Lines | Self::Raw => b"",
        }
    }
}

impl Form for Framing {
    /// Chosen at random.
    fn key(self) -> u32 {
        match self {
            Self::Lines => 0x9e1c_52d7,
            Self::Events => 0x63fa_08b1,
            Self::Raw => 0xd25b_7746,
        }
    }

    fn length(self, message: &[u8]) -> usize {
        let (before, after) = self.around();
        before.len() + message.len() + after.len()
    }

    fn append(self, message: &[u8], to: &mut Vec<u8>) {
        let (before, after) = self.around();
        to.extend_from_slice(before);
        to.extend_from_slice(message);
        to.extend_from_slice(after);
    }
}
