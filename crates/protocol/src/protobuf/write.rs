//! Publication pushes to Protobuf, written in one pass without intermediate values.
//!
//! Lengths come before contents, so each message is measured first; field numbers are those of the schema.

use tourbillon_types::{ClientId, ClientInfo, Publication};

use crate::Envelope;
use crate::encode::live_epoch;

/// Fields of `Reply`, `Push`, `Publication` and `ClientInfo`.
mod field {
    pub(super) const REPLY_PUSH: u32 = 4;
    pub(super) const PUSH_ID: u32 = 1;
    pub(super) const PUSH_CHANNEL: u32 = 2;
    pub(super) const PUSH_PUB: u32 = 4;
    pub(super) const DATA: u32 = 4;
    pub(super) const INFO: u32 = 5;
    pub(super) const OFFSET: u32 = 6;
    pub(super) const TAGS: u32 = 7;
    pub(super) const DELTA: u32 = 8;
    pub(super) const CHANNEL: u32 = 10;
    pub(super) const KEY: u32 = 11;
    pub(super) const REMOVED: u32 = 12;
    pub(super) const SCORE: u32 = 13;
    pub(super) const EPOCH: u32 = 14;
    pub(super) const VERSION: u32 = 16;
    pub(super) const USER: u32 = 1;
    pub(super) const CLIENT: u32 = 2;
    pub(super) const CONN_INFO: u32 = 3;
    pub(super) const CHAN_INFO: u32 = 4;
}

/// Somewhere to put fields: a buffer, or a count of their bytes.
trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn varint(&mut self, value: u64) {
        let (bytes, length) = varint(value);
        self.put(bytes.get(..length).unwrap_or_default());
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    /// Text or bytes, left out when empty.
    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.length(field, bytes.len());
            self.put(bytes);
        }
    }

    /// The key and length of a field whose content follows.
    fn length(&mut self, field: u32, length: usize) {
        self.key(field, 2);
        self.varint(length as u64);
    }

    /// A number, left out when zero.
    fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, 0);
            self.varint(value);
        }
    }
}

struct Count(usize);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

fn varint(mut value: u64) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let mut length = 0;
    for byte in &mut bytes {
        length += 1;
        // The low seven bits; truncation is meant.
        *byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, length)
}

fn measure(write: impl FnOnce(&mut Count)) -> usize {
    let mut count = Count(0);
    write(&mut count);
    count.0
}

pub(crate) fn publication_push(
    envelope: Envelope,
    channel: &str,
    id: i64,
    publication: &Publication,
) -> Vec<u8> {
    let pub_length = measure(|sink| write_publication(sink, publication));
    let push_length = measure(|sink| write_push_head(sink, channel, id, pub_length)) + pub_length;
    let total = match envelope {
        Envelope::Push => push_length,
        Envelope::Reply => measure(|sink| sink.length(field::REPLY_PUSH, push_length)) + push_length,
    };
    let mut out = Vec::with_capacity(total + varint(total as u64).1);
    out.varint(total as u64);
    if envelope == Envelope::Reply {
        out.length(field::REPLY_PUSH, push_length);
    }
    write_push_head(&mut out, channel, id, pub_length);
    write_publication(&mut out, publication);
    out
}

fn write_push_head(sink: &mut impl Sink, channel: &str, id: i64, pub_length: usize) {
    if id == 0 {
        sink.bytes(field::PUSH_CHANNEL, channel.as_bytes());
    } else {
        // Negative numbers are ten bytes of two's complement in Protobuf.
        sink.number(field::PUSH_ID, id as u64);
    }
    sink.length(field::PUSH_PUB, pub_length);
}

fn write_publication(sink: &mut impl Sink, it: &Publication) {
    sink.bytes(field::DATA, it.data.as_ref());
    if let Some(info) = &it.info {
        sink.length(field::INFO, measure(|sink| write_info(sink, info)));
        write_info(sink, info);
    }
    sink.number(field::OFFSET, it.offset);
    for (name, value) in it.tags.iter().flat_map(|tags| tags.iter()) {
        sink.length(field::TAGS, measure(|sink| write_tag(sink, name, value)));
        write_tag(sink, name, value);
    }
    sink.number(field::DELTA, u64::from(it.delta));
    sink.bytes(field::CHANNEL, it.channel.as_deref().unwrap_or_default().as_bytes());
    sink.bytes(field::KEY, it.key.as_deref().unwrap_or_default().as_bytes());
    sink.number(field::REMOVED, u64::from(it.removed));
    // Zigzag, as `sint64` is.
    sink.number(field::SCORE, ((it.score << 1) ^ (it.score >> 63)) as u64);
    sink.bytes(field::EPOCH, live_epoch(it).as_str().as_bytes());
    sink.number(field::VERSION, it.version);
}

fn write_tag(sink: &mut impl Sink, name: &str, value: &str) {
    sink.bytes(1, name.as_bytes());
    sink.bytes(2, value.as_bytes());
}

fn write_info(sink: &mut impl Sink, it: &ClientInfo) {
    sink.bytes(field::USER, it.user.as_bytes());
    let client = it.client.as_ref().map(ClientId::text);
    sink.bytes(field::CLIENT, client.as_ref().map_or("", |text| text.as_str()).as_bytes());
    sink.bytes(field::CONN_INFO, it.connection.as_ref());
    sink.bytes(field::CHAN_INFO, it.channel.as_ref());
}
