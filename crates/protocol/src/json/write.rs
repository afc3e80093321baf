//! Writing JSON objects that leave out what is zero (PROTO-15, PROTO-16).

use tourbillon_types::Payload;

use crate::EncodeError;

/// Writes one message. Keys are plain ASCII and written as they are.
pub(super) struct Writer {
    out: Vec<u8>,
    /// Whether the next member of the current object is its first.
    first: bool,
}

impl Writer {
    pub(super) fn new(capacity: usize) -> Self {
        Self::within(Vec::new(), capacity)
    }

    /// One that writes into the memory of `buffer`, in place of what is in it.
    pub(super) fn within(mut buffer: Vec<u8>, capacity: usize) -> Self {
        buffer.clear();
        buffer.reserve(capacity);
        Self { out: buffer, first: true }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn open(&mut self) {
        self.out.push(b'{');
        self.first = true;
    }

    pub(super) fn close(&mut self) {
        self.out.push(b'}');
        self.first = false;
    }

    /// Begins a member.
    pub(super) fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Begins a member whose key is any text.
    fn text_key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.string_value(key);
        self.out.push(b':');
    }

    /// Begins a member that is an object.
    pub(super) fn object(&mut self, key: &str) {
        self.key(key);
        self.open();
    }

    /// An object by key, whatever text the keys are.
    pub(super) fn map<'a, T: 'a>(
        &mut self,
        key: &str,
        entries: impl Iterator<Item = (&'a str, &'a T)>,
        mut value: impl FnMut(&mut Self, &'a T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.object(key);
        for (name, entry) in entries {
            self.text_key(name);
            value(self, entry)?;
            self.first = false;
        }
        self.close();
        Ok(())
    }

    pub(super) fn list<T>(
        &mut self,
        key: &str,
        entries: &[T],
        mut value: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.key(key);
        self.out.push(b'[');
        for (at, entry) in entries.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            value(self, entry)?;
        }
        self.out.push(b']');
        self.first = false;
        Ok(())
    }

    /// A text, left out when empty.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.text_always(key, value);
        }
    }

    pub(super) fn text_always(&mut self, key: &str, value: &str) {
        self.key(key);
        self.string_value(value);
    }

    /// A text in place of a member's value.
    pub(super) fn value(&mut self, value: &str) {
        self.string_value(value);
    }

    /// A truth value, left out when false.
    pub(super) fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.key(key);
            self.out.extend_from_slice(b"true");
        }
    }

    /// A number, left out when zero.
    pub(super) fn number(&mut self, key: &str, value: impl Number) {
        if value.parts() != (false, 0) {
            self.number_always(key, value);
        }
    }

    pub(super) fn number_always(&mut self, key: &str, value: impl Number) {
        self.key(key);
        let (negative, mut left) = value.parts();
        // A sign, and the twenty digits that 64 bits have at most.
        let mut digits = [b'-'; 21];
        let mut at = digits.len();
        while at > 1 {
            at -= 1;
            digits[at] = b'0' + u8::try_from(left % 10).unwrap_or_default();
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at - usize::from(negative)..]);
    }

    /// A payload, left out when empty.
    pub(super) fn payload(&mut self, key: &str, payload: &Payload) -> Result<(), EncodeError> {
        if payload.is_empty() {
            return Ok(());
        }
        if !super::is_json(payload) {
            return Err(EncodeError::NotJson);
        }
        self.key(key);
        self.raw(payload.as_ref());
        Ok(())
    }

    /// Copies JSON, leaving out line breaks: between tokens they are only layout, and one would end the message
    /// (HID-06) or, in either form, a line of server-sent events.
    fn raw(&mut self, json: &[u8]) {
        let mut rest = json;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            let (line, after) = rest.split_at(at);
            self.out.extend_from_slice(line);
            rest = after.get(1..).unwrap_or_default();
        }
        self.out.extend_from_slice(rest);
    }

    fn string_value(&mut self, text: &str) {
        self.out.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| SPECIAL[usize::from(*byte)]) {
            let (plain, special) = rest.split_at(at);
            self.out.extend_from_slice(plain);
            rest = self.escape(special);
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    /// Writes the first character of bytes that begin with a special one; the rest is left.
    fn escape<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (escape, length): (&[u8], usize) = match bytes {
            [b'"', ..] => (b"\\\"", 1),
            [b'\\', ..] => (b"\\\\", 1),
            [b'\n', ..] => (b"\\n", 1),
            [b'\r', ..] => (b"\\r", 1),
            [b'\t', ..] => (b"\\t", 1),
            // Line separators, which end lines in JavaScript.
            [0xe2, 0x80, 0xa8, ..] => (b"\\u2028", 3),
            [0xe2, 0x80, 0xa9, ..] => (b"\\u2029", 3),
            // What HTML would understand, and control characters.
            [byte, ..] if *byte < 0x80 => {
                self.out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 0x0f)]);
                (b"", 1)
            }
            // Another character of the line separators' block.
            _ => (bytes.get(..1).unwrap_or_default(), 1),
        };
        self.out.extend_from_slice(escape);
        bytes.get(length..).unwrap_or_default()
    }
}

/// The bytes that may need an escape in a string.
static SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        special[control] = true;
        control += 1;
    }
    let others = *b"\"\\<>&\xe2";
    let mut at = 0;
    while at < others.len() {
        special[others[at] as usize] = true;
        at += 1;
    }
    special
};

const fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}

/// An integer of the schema.
pub(super) trait Number: Copy {
    /// Whether it is negative, and its size.
    fn parts(self) -> (bool, u64);
}

macro_rules! numbers {
    ($($unsigned:ty, $signed:ty;)*) => {$(
        impl Number for $unsigned {
            fn parts(self) -> (bool, u64) {
                (false, u64::from(self))
            }
        }

        impl Number for $signed {
            fn parts(self) -> (bool, u64) {
                (self < 0, u64::from(self.unsigned_abs()))
            }
        }
    )*};
}

numbers! {
    u32, i32;
    u64, i64;
}
