//! Writing Protobuf in one pass over a buffer that was measured before.
//!
//! The bytes are those of the Go implementation: fields in ascending order, zero values left out, and entries of maps
//! always with both their key and their value. The last is where `prost` differs, which leaves a zero value out of an
//! entry too; centrifuge-js then finds `null` in place of an empty message and fails.

use tourbillon_types::ClientId;
use tourbillon_types::id::IdText;

/// What can be written as the content of a message.
pub(super) trait Message {
    fn write<S: Sink>(&self, sink: &mut S);
}

impl<T: Message> Message for &T {
    fn write<S: Sink>(&self, sink: &mut S) {
        (**self).write(sink);
    }
}

/// A message without fields.
pub(super) struct Empty;

impl Message for Empty {
    fn write<S: Sink>(&self, _: &mut S) {}
}

/// Somewhere to put fields: a buffer, or a count of their bytes.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// A message with its length in front.
    fn nested(&mut self, message: &impl Message);

    fn varint(&mut self, value: u64);

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    /// Text or bytes, left out when empty.
    fn bytes(&mut self, field: u32, bytes: impl AsRef<[u8]>) {
        if !bytes.as_ref().is_empty() {
            self.bytes_always(field, bytes);
        }
    }

    fn bytes_always(&mut self, field: u32, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.put(bytes);
    }

    /// An identifier as text.
    fn client(&mut self, field: u32, client: &ClientId);

    /// A number, left out when zero.
    fn number(&mut self, field: u32, value: impl Into<u64>) {
        let value = value.into();
        if value != 0 {
            self.key(field, 0);
            self.varint(value);
        }
    }

    /// A signed number, which when negative takes ten bytes of two's complement; left out when zero.
    fn signed(&mut self, field: u32, value: impl Into<i64>) {
        self.number(field, value.into().cast_unsigned());
    }

    /// A signed number in zigzag, as `sint64` is; left out when zero.
    fn zigzag(&mut self, field: u32, value: i64) {
        self.signed(field, (value << 1) ^ (value >> 63));
    }

    fn message(&mut self, field: u32, message: &impl Message) {
        self.key(field, 2);
        self.nested(message);
    }

    fn messages<M: Message>(&mut self, field: u32, messages: impl IntoIterator<Item = M>) {
        for message in messages {
            self.message(field, &message);
        }
    }
}

/// Counts, so that nothing is written twice to learn a length.
struct Count(usize);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn varint(&mut self, value: u64) {
        self.0 += varint_length(value);
    }

    fn nested(&mut self, message: &impl Message) {
        let length = measure(message);
        self.varint(length as u64);
        self.0 += length;
    }

    fn client(&mut self, field: u32, _: &ClientId) {
        self.key(field, 2);
        self.varint(IdText::LENGTH as u64);
        self.0 += IdText::LENGTH;
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            // The low seven bits; more follow.
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn nested(&mut self, message: &impl Message) {
        self.varint(measure(message) as u64);
        message.write(self);
    }

    fn client(&mut self, field: u32, client: &ClientId) {
        self.bytes_always(field, client.text().as_str());
    }
}

fn measure(message: &impl Message) -> usize {
    let mut count = Count(0);
    message.write(&mut count);
    count.0
}

/// A byte for each seven bits, and one for zero.
const fn varint_length(value: u64) -> usize {
    ((value | 1).ilog2() / 7 + 1) as usize
}

/// A message by itself.
pub(super) fn plain(message: &impl Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(measure(message));
    message.write(&mut out);
    out
}

/// A message with its length in front, as frames carry it, in the memory of `out`.
pub(super) fn delimited(mut out: Vec<u8>, message: &impl Message) -> Vec<u8> {
    let length = measure(message);
    out.clear();
    out.reserve_exact(varint_length(length as u64) + length);
    out.varint(length as u64);
    message.write(&mut out);
    out
}

/// An entry of a map from text to messages.
pub(super) struct Entry<'a, M>(pub(super) &'a str, pub(super) M);

impl<M: Message> Message for Entry<'_, M> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes_always(1, self.0);
        sink.message(2, &self.1);
    }
}

/// An entry of a map from text to text.
pub(super) struct TextEntry<'a>(pub(super) &'a str, pub(super) &'a str);

impl Message for TextEntry<'_> {
    fn write<S: Sink>(&self, sink: &mut S) {
        sink.bytes_always(1, self.0);
        sink.bytes_always(2, self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Varint(u64);

    impl Message for Varint {
        fn write<S: Sink>(&self, sink: &mut S) {
            sink.varint(self.0);
        }
    }

    struct Signed(i64);

    impl Message for Signed {
        fn write<S: Sink>(&self, sink: &mut S) {
            sink.signed(1, self.0);
            sink.zigzag(2, self.0);
        }
    }

    #[test]
    fn varints_take_seven_bits_a_byte() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            assert_eq!(plain(&Varint(value)), bytes, "{value}");
            assert_eq!(varint_length(value), bytes.len(), "{value}");
        }
    }

    #[test]
    fn signed_numbers_have_two_forms() {
        assert!(plain(&Signed(0)).is_empty());
        assert_eq!(plain(&Signed(1)), [8, 1, 16, 2]);
        assert_eq!(plain(&Signed(-1)), [8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 16, 1]);
        assert!(
            plain(&Signed(i64::MIN)).ends_with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])
        );
    }

    #[test]
    fn buffers_are_measured_exactly() {
        let long = "x".repeat(300);
        let entry = Entry(&long, Entry("", TextEntry(&long, "")));
        let bytes = delimited(Vec::new(), &entry);
        assert_eq!(bytes.len(), bytes.capacity());
        assert_eq!(&bytes[2..], plain(&entry));
    }
}
