//! What a stream looks like.

use std::io::Write;

use tourbillon_transport::slot::Form;

/// How messages are told apart in a stream (HID-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A line for each.
    Lines,
    /// An event for each. JSON is encoded without any kind of line break in it.
    Events,
    /// The same, and some say where the client stands.
    EventsWithIds,
    /// They say how long they are.
    Raw,
}

impl Framing {
    const fn around(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Lines => (b"", b"\n"),
            Self::Events | Self::EventsWithIds => (b"data: ", b"\n\n"),
            Self::Raw => (b"", b""),
        }
    }

    /// What comes before the first message (EMU-04).
    pub(crate) const fn preamble(self) -> &'static [u8] {
        match self {
            Self::Events | Self::EventsWithIds => b"\r\n",
            Self::Lines | Self::Raw => b"",
        }
    }

    /// The preamble of events as a chunk.
    pub(crate) const PREAMBLE_CHUNK: &[u8] = b"2\r\n\r\n\r\n";
}

/// A stream as the body of an answer that we write ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunked {
    pub(crate) framing: Framing,
    /// Whether each message is a chunk (RFC 9112 section 7.1).
    pub(crate) chunked: bool,
}

impl Chunked {
    /// How long the size of a chunk is, with the end of its line.
    const fn head(chunk: usize) -> usize {
        let digits = match chunk.checked_ilog2() {
            Some(bits) => bits as usize / 4 + 1,
            None => 1,
        };
        digits + 2
    }

    /// Appends a message with something before it that is part of it.
    pub(crate) fn append_behind(self, before: &[u8], message: &[u8], to: &mut Vec<u8>) {
        let framed = before.len() + self.framing.length(message);
        // A chunk of nothing would be the end.
        let chunked = self.chunked && framed > 0;
        if chunked {
            // Into a vector nothing fails.
            let _ = write!(to, "{framed:x}\r\n");
        }
        to.extend_from_slice(before);
        self.framing.append(message, to);
        if chunked {
            to.extend_from_slice(b"\r\n");
        }
    }
}

impl Form for Chunked {
    fn key(self) -> u32 {
        // Chosen at random.
        if self.chunked { self.framing.key() ^ 0x4c1d_90e6 } else { self.framing.key() }
    }

    fn length(self, message: &[u8]) -> usize {
        let framed = self.framing.length(message);
        if self.chunked && framed > 0 { Self::head(framed) + framed + 2 } else { framed }
    }

    fn append(self, message: &[u8], to: &mut Vec<u8>) {
        self.append_behind(b"", message, to);
    }
}

impl Form for Framing {
    /// Chosen at random.
    fn key(self) -> u32 {
        match self {
            Self::Lines => 0x9e1c_52d7,
            // Without an id they are the same.
            Self::Events | Self::EventsWithIds => 0x63fa_08b1,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_says_how_long_it_is() {
        let chunk = |framing, message: &[u8]| {
            let form = Chunked { framing, chunked: true };
            let mut chunk = Vec::new();
            form.append(message, &mut chunk);
            assert_eq!(chunk.len(), form.length(message), "{chunk:?}");
            chunk
        };
        assert_eq!(chunk(Framing::Events, b"{}"), b"a\r\ndata: {}\n\n\r\n");
        assert_eq!(chunk(Framing::Lines, b"{}"), b"3\r\n{}\n\r\n");
        assert_eq!(chunk(Framing::Raw, b"\x01a"), b"2\r\n\x01a\r\n");
        assert_eq!(chunk(Framing::Raw, b""), b"", "it would be the last");
        for length in [1, 14, 15, 16, 254, 255, 256, 4_095, 4_096, 65_535, 65_536, 1 << 20] {
            chunk(Framing::Lines, &vec![b'x'; length]);
        }
        let mut preamble = Vec::new();
        Chunked { framing: Framing::Raw, chunked: true }.append(Framing::Events.preamble(), &mut preamble);
        assert_eq!(preamble, Framing::PREAMBLE_CHUNK);
    }

    #[test]
    fn to_old_clients_there_are_no_chunks() {
        let form = Chunked { framing: Framing::Events, chunked: false };
        let mut bytes = Vec::new();
        form.append(b"{}", &mut bytes);
        assert_eq!(bytes, b"data: {}\n\n");
        assert_eq!((form.length(b"{}"), form.key()), (10, Framing::Events.key()));
    }
}
