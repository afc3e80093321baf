//! HTTP/2 as raw frames (RFC 9113), so that a test may break any rule of it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Stream;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// What a ping holds that asks whether the server is still there.
const STILL_THERE: [u8; 8] = *b"stillth?";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field that is added to no table, and not compressed (RFC 7541 section 6.2.2).
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        match u8::try_from(text.len()).ok().filter(|length| *length < 127) {
            Some(length) => block.push(length),
            None => {
                block.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    block.push(u8::try_from(rest % 128).expect("small") | 0x80);
                    rest /= 128;
                }
                block.push(u8::try_from(rest).expect("small"));
            }
        }
        block.extend_from_slice(text.as_bytes());
    }
    block
}

pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// What every request has.
pub(crate) fn begin(method: &str, path: &str) -> Vec<u8> {
    fields(&[(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")])
}

/// A whole request for something that is not there.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &begin("GET", "/nothing"))
}

/// The head of a request with a body, which is worked on while that is awaited.
pub(crate) fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let block = [begin("POST", "/api/info"), field("x-api-key", crate::harness::KEY), fields(more)].concat();
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// Time passes where the test says so, and not while bytes are on their way: the runtime is never idle.
pub(crate) fn hold_time() {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
}

/// What a server said so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The codes of streams that were reset.
    pub(crate) resets: Vec<(u32, u32)>,
    /// The status of answers.
    pub(crate) answers: Vec<(u32, u16)>,
    /// Streams whose answer is complete.
    pub(crate) complete: Vec<u32>,
    /// The last farewell's code.
    pub(crate) goaway: Option<u32>,
    /// Bodies, one after the other.
    pub(crate) body: Vec<u8>,
    /// The server takes the extended CONNECT (RFC 8441).
    pub(crate) takes_connect: bool,
    /// The last question was answered.
    pub(crate) alive: bool,
    pub(crate) ended: bool,
}

/// A client that does as it is told.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) seen: Seen,
}

impl Raw {
    /// Connects and sends nothing.
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self { stream, seen: Seen::default() }
    }

    /// Connects as a client must.
    pub(crate) async fn new(address: SocketAddr) -> Self {
        let mut raw = Self::silent(address).await;
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        raw
    }
}

impl<S: Stream> Raw<S> {
    pub(crate) async fn over(stream: S) -> Self {
        let mut raw = Self { stream, seen: Seen::default() };
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        raw
    }

    /// Sends, as far as the server takes it: it may have had enough.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Reads until this is so, or the connection ends.
    pub(crate) async fn until(&mut self, is_so: impl Fn(&Seen) -> bool) -> &Seen {
        let work = async {
            while !is_so(&self.seen) && !self.seen.ended {
                if self.read().await.is_none() {
                    self.seen.ended = true;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(600), work).await.expect("an outcome");
        &self.seen
    }

    /// Reads until a ping that is sent now comes back, or the connection ends.
    pub(crate) async fn until_heard(&mut self) -> &Seen {
        self.seen.alive = false;
        self.send(&frame(PING, 0, 0, &STILL_THERE)).await;
        self.until(|seen| seen.alive).await
    }

    async fn read(&mut self) -> Option<()> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; usize::try_from(length).expect("small")];
        self.stream.read_exact(&mut payload).await.ok()?;
        let code = |at: usize| {
            payload.get(at..at + 4).map(|code| u32::from_be_bytes(code.try_into().expect("four")))
        };
        let (kind, flags) = (head[3], head[4]);
        match kind {
            RST_STREAM => self.seen.resets.push((stream, code(0)?)),
            GOAWAY => self.seen.goaway = code(4),
            HEADERS => self.seen.answers.push((stream, status(&payload))),
            DATA => self.seen.body.extend_from_slice(&payload),
            SETTINGS => self.seen.takes_connect |= payload.chunks(6).any(|one| one == [0, 8, 0, 0, 0, 1]),
            PING if flags & ACK != 0 => self.seen.alive = payload == STILL_THERE,
            PING => self.send(&frame(PING, ACK, 0, &payload)).await,
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            self.seen.complete.push(stream);
        }
        Some(())
    }
}

/// The status, which is an answer's first field: indexed, or a literal of compressed digits (RFC 7541).
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may come before.
    let block = block.iter().position(|byte| byte & 0xe0 != 0x20).map_or(block, |at| &block[at..]);
    match block {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8a, ..] => 206,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [_, length, rest @ ..] if length & 0x80 != 0 => {
            let bits: Vec<u8> = rest[..usize::from(length & 0x7f)]
                .iter()
                .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
                .collect();
            let (mut number, mut rest) = (0, bits.as_slice());
            for _ in 0..3 {
                let value = |bits: &[u8]| bits.iter().fold(0, |value, bit| value * 2 + u16::from(*bit));
                let five = value(&rest[..5]);
                let (digit, length) = if five < 3 { (five, 5) } else { (value(&rest[..6]) - 0x16, 6) };
                number = number * 10 + digit;
                rest = &rest[length..];
            }
            number
        }
        [_, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).expect("digits").parse().expect("a status"),
        other => panic!("no status: {other:x?}"),
    }
}
