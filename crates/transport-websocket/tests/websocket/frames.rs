//! What frames are answered by: an abridged form of the well-known conformance suite, with exact close codes.

use tokio::io::AsyncWriteExt;
use tourbillon_transport_websocket::WebSocketConfig;

use crate::support::{Server, block_on, frame, next_frame, open};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const TEXT_BEGINS: u8 = 0x01;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

const LIMIT: usize = 65_536;

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason);
    frame(CLOSE, &payload)
}

/// Sends the bytes, whole and in small pieces, and compares all that comes back up to the end of the stream.
fn check(name: &str, sent: &[u8], expected: &[(u8, &[u8])]) {
    block_on(async {
        for piece in [usize::MAX, 1 + sent.len() / 500] {
            let address = Server::start(WebSocketConfig::default()).await.echo();
            let (_, stream) = open(address, "", "").await;
            stream.set_nodelay(true).expect("an option");
            let (mut read, mut write) = stream.into_split();
            let sending = async {
                for bytes in sent.chunks(piece.min(sent.len())) {
                    if write.write_all(bytes).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            };
            let receiving = async {
                let mut seen = Vec::new();
                while let Some(frame) = next_frame(&mut read).await {
                    seen.push(frame);
                }
                seen
            };
            let ((), seen) = tokio::join!(sending, receiving);
            let seen: Vec<(u8, &[u8])> = seen.iter().map(|(first, bytes)| (*first, &bytes[..])).collect();
            assert_eq!(seen, expected, "{name}, in pieces of {piece}");
        }
    });
}

/// The bytes break the protocol: the server closes with this code, and says nothing else.
fn refused(name: &str, sent: &[u8], code: u16) {
    check(name, sent, &[(CLOSE, &code.to_be_bytes())]);
}

/// The bytes are fine: they are answered so, and a close after them by the same.
fn fine(name: &str, sent: &[Vec<u8>], expected: &[(u8, &[u8])]) {
    let mut sent = sent.concat();
    sent.extend(close(1000, b"done"));
    let mut expected = expected.to_vec();
    expected.push((CLOSE, &[0x03, 0xe8]));
    check(name, &sent, &expected);
}

#[test]
fn messages_come_back() {
    fine("empty text", &[frame(TEXT, b"")], &[(TEXT, b"")]);
    fine("text", &[frame(TEXT, b"hello")], &[(TEXT, b"hello")]);
    fine("binary", &[frame(BINARY, b"\xff\x00")], &[(BINARY, b"\xff\x00")]);
    for length in [125, 126, 127, 128, 65_535, LIMIT] {
        let long = vec![b'x'; length];
        fine("length", &[frame(TEXT, &long)], &[(TEXT, &long)]);
    }
}

#[test]
fn pings_are_answered() {
    fine("empty ping", &[frame(PING, b"")], &[(PONG, b"")]);
    fine("ping", &[frame(PING, b"\x00\xff")], &[(PONG, b"\x00\xff")]);
    fine("long ping", &[frame(PING, &[7; 125])], &[(PONG, &[7; 125])]);
    fine("unasked pong", &[frame(PONG, b"x"), frame(TEXT, b"a")], &[(TEXT, b"a")]);
    fine(
        "pings between",
        &[frame(TEXT, b"a"), frame(PING, b"b"), frame(TEXT, b"c")],
        &[(TEXT, b"a"), (PONG, b"b"), (TEXT, b"c")],
    );
}

#[test]
fn fragments_are_joined() {
    fine("two", &[frame(TEXT_BEGINS, b"ab"), frame(LAST, b"cd")], &[(TEXT, b"abcd")]);
    fine("empty ones", &[frame(TEXT_BEGINS, b""), frame(MORE, b""), frame(LAST, b"")], &[(TEXT, b"")]);
    fine(
        "a ping between",
        &[frame(TEXT_BEGINS, b"ab"), frame(PING, b"p"), frame(LAST, b"cd")],
        &[(PONG, b"p"), (TEXT, b"abcd")],
    );
    fine(
        "a character cut",
        &[frame(TEXT_BEGINS, b"\xce"), frame(MORE, b"\xba"), frame(LAST, b"\xe1\xbd\xb9")],
        &[(TEXT, "\u{3ba}\u{1f79}".as_bytes())],
    );
    check(
        "a close between fragments",
        &[frame(TEXT_BEGINS, b"ab"), close(1000, b""), frame(LAST, b"cd")].concat(),
        &[(CLOSE, &[0x03, 0xe8])],
    );
}

#[test]
fn broken_fragments_are_refused() {
    refused("a continuation of nothing", &frame(LAST, b"x"), 1002);
    refused("more of nothing", &frame(MORE, b"x"), 1002);
    refused("a message in a message", &[frame(TEXT_BEGINS, b"a"), frame(TEXT, b"b")].concat(), 1002);
    refused("a beginning twice", &[frame(TEXT_BEGINS, b"a"), frame(0x02, b"b")].concat(), 1002);
    refused("a fragmented ping", &frame(0x09, b""), 1002);
    refused("a fragmented close", &frame(0x08, b""), 1002);
}

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    for bits in [0x10, 0x20, 0x30, 0x40, 0x70] {
        refused("reserved bits", &frame(TEXT | bits, b"x"), 1002);
        refused("reserved bits", &frame(PING | bits, b"x"), 1002);
    }
    for opcode in (3..=7).chain(0xb..=0xf) {
        refused("reserved opcode", &frame(0x80 | opcode, b""), 1002);
    }
}

#[test]
fn frames_without_a_mask_are_refused() {
    refused("text", b"\x81\x05hello", 1002);
    refused("ping", b"\x89\x00", 1002);
    refused("close", b"\x88\x02\x03\xe8", 1002);
}

#[test]
fn bad_lengths_are_refused() {
    let head = |first: u8, length: &[u8]| [&[first], length, &[0; 4]].concat();
    refused("125 in two bytes", &head(TEXT, &[0xfe, 0, 125]), 1002);
    refused("0 in two bytes", &head(TEXT, &[0xfe, 0, 0]), 1002);
    refused("65,535 in eight bytes", &head(BINARY, &[0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), 1002);
    refused("a negative length", &head(BINARY, &[0xff, 0x80, 0, 0, 0, 0, 1, 0, 0]), 1002);
    refused("a long ping", &frame(PING, &[0; 126]), 1002);
    refused("a long close", &frame(CLOSE, &[0; 126]), 1002);
}

#[test]
fn messages_beyond_the_limit_are_refused_by_their_header() {
    let head = |length: u64| [&[BINARY, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    refused("one byte too many", &head(LIMIT as u64 + 1), 1009);
    refused("an absurd length", &head(u64::MAX >> 1), 1009);
    let half = vec![b'x'; LIMIT / 2];
    let rest = frame(LAST, &vec![b'x'; LIMIT / 2 + 1]);
    refused("the sum of fragments", &[frame(TEXT_BEGINS, &half), rest[..8].to_vec()].concat(), 1009);
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    for bad in [
        &b"\xff"[..],
        b"ok \xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"cut \xe2\x82",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    ] {
        refused("in one frame", &frame(TEXT, bad), 1007);
        refused("in the last fragment", &[frame(TEXT_BEGINS, b"a"), frame(LAST, bad)].concat(), 1007);
    }
    // Refused at once, though the message is not complete.
    refused("in the first fragment", &frame(TEXT_BEGINS, b"\xff"), 1007);
    refused("over fragments", &[frame(TEXT_BEGINS, b"\xf4"), frame(MORE, b"\x90")].concat(), 1007);
    let unfinished = frame(TEXT, b"\xce\xba\xf4\x90\x80\x80edited");
    refused("in a frame that is not complete", &unfinished[..unfinished.len() - 4], 1007);
}

#[test]
fn closes_are_answered_by_the_same_code() {
    check("without a code", &frame(CLOSE, b""), &[(CLOSE, b"")]);
    let long = "x".repeat(123);
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        check("code", &close(code, long.as_bytes()), &[(CLOSE, &code.to_be_bytes())]);
    }
    check(
        "nothing after it counts",
        &[close(1000, b""), frame(TEXT, b"a"), b"\xff\xff".to_vec()].concat(),
        &[(CLOSE, &[0x03, 0xe8])],
    );
}

#[test]
fn bad_closes_are_refused() {
    refused("one byte", &frame(CLOSE, b"\x03"), 1002);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        refused("code", &close(code, b""), 1002);
    }
    refused("reason", &close(1000, b"\xce\xba\xff"), 1007);
}
