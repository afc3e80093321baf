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
        Self { out: Vec::with_capacity(capacity), first: true }
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
        let bytes = text.as_bytes();
        let mut copied = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                b'<' => b"\\u003c",
                b'>' => b"\\u003e",
                b'&' => b"\\u0026",
                0..=0x1f => {
                    self.out.extend_from_slice(&bytes[copied..at]);
                    self.out.extend_from_slice(&control(*byte));
                    copied = at + 1;
                    continue;
                }
                // U+2028 and U+2029, which end lines in JavaScript.
                0xe2 if bytes.get(at + 1) == Some(&0x80)
                    && matches!(bytes.get(at + 2), Some(0xa8 | 0xa9)) =>
                {
                    self.out.extend_from_slice(&bytes[copied..at]);
                    let escape = if bytes.get(at + 2) == Some(&0xa8) { b"\\u2028" } else { b"\\u2029" };
                    self.out.extend_from_slice(escape);
                    copied = at + 3;
                    continue;
                }
                _ => continue,
            };
            self.out.extend_from_slice(&bytes[copied..at]);
            self.out.extend_from_slice(escape);
            copied = at + 1;
        }
        self.out.extend_from_slice(&bytes[copied..]);
        self.out.push(b'"');
    }
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

fn control(byte: u8) -> [u8; 6] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [b'\\', b'u', b'0', b'0', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0f)]]
}
