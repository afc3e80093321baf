//! What no client should send, each with exactly what comes of it.

use tourbillon_protocol::command::Request;
use tourbillon_protocol::{Commands, DecodeError, Limits};
use tourbillon_types::Encoding;

use crate::support::{command, commands};

/// The commands of a frame until its end or the first error, in words.
fn outcome(encoding: Encoding, frame: &[u8]) -> String {
    let mut commands = Commands::new(encoding, frame.to_vec().into());
    let words =
        std::iter::from_fn(|| commands.next_command(&Limits::default())).map(|command| match command {
            Ok(command) => format!("{} {}", command.request.name(), command.id),
            Err(DecodeError::Protobuf(_)) => "not protobuf".to_owned(),
            Err(error) => error.to_string(),
        });
    words.collect::<Vec<_>>().join(", ")
}

fn check(encoding: Encoding, table: &[(&[u8], &str)]) {
    for (frame, expected) in table {
        assert_eq!(outcome(encoding, frame), *expected, "{}", frame.escape_ascii());
    }
}

const SHAPE: &str = "not a message in JSON: not of the expected shape at byte";
const MALFORMED: &str = "not a message in JSON: malformed at byte";

#[test]
fn json_that_is_no_frame() {
    check(
        Encoding::Json,
        &[
            (b"", "empty frame"),
            (b"\n", "not a message in JSON: unexpected end at byte 0"),
            (b" ", "not a message in JSON: unexpected end at byte 1"),
            (b"{}\n\n", "pong 0, not a message in JSON: unexpected end at byte 0"),
            (b"\n{}", "not a message in JSON: unexpected end at byte 0"),
            (b"{} {}", "not a message in JSON: malformed at byte 4"),
            (b"{}x", "not a message in JSON: malformed at byte 3"),
            (b"{\"id\":1", "not a message in JSON: unexpected end at byte 7"),
            (b"{\"id\":1,}", "not a message in JSON: malformed at byte 9"),
            (b"{\"id\":\n1}", "not a message in JSON: unexpected end at byte 6"),
            (b"\xef\xbb\xbf{}", "not a message in JSON: malformed at byte 1"),
        ],
    );
}

#[test]
fn json_that_is_no_command() {
    for frame in ["null", "[]", "[1]", "5", "\"\"", "true"] {
        let outcome = outcome(Encoding::Json, frame.as_bytes());
        assert!(outcome.starts_with(SHAPE), "{frame}: {outcome}");
    }
}

#[test]
fn json_without_a_request() {
    check(
        Encoding::Json,
        &[
            (b"{}", "pong 0"),
            (b" {\t} ", "pong 0"),
            (b"{}\n", "pong 0"),
            (b"{}\n{}", "pong 0, pong 0"),
            (b"{}\r\n{}\r\n", "pong 0, pong 0"),
            (b"{\"id\":0}", "pong 0"),
            (b"{\"id\":7}", "unknown 7"),
            (b"{\"id\":null}", "pong 0"),
            (b"{\"id\":7,\"publish\":null,\"ping\":null}", "unknown 7"),
            (b"{\"id\":7,\"wish\":{\"a\":[]},\"wish\":1}", "unknown 7"),
            // Keys are compared exactly; the reference ignores their case.
            (b"{\"ID\":7,\"Publish\":{}}", "pong 0"),
        ],
    );
}

#[test]
fn json_of_another_shape() {
    for fields in [
        "\"publish\":[]",
        "\"publish\":\"x\"",
        "\"publish\":5",
        "\"ping\":5",
        "\"ping\":[]",
        "\"publish\":{\"channel\":5}",
        "\"publish\":{\"channel\":[\"a\"]}",
        "\"publish\":{\"removed\":1}",
        "\"connect\":{\"subs\":[]}",
        "\"connect\":{\"subs\":{\"a\":[]}}",
        "\"connect\":{\"headers\":{\"a\":1}}",
        "\"history\":{\"since\":[1,\"e\"]}",
        "\"subscribe\":{\"tf\":[]}",
        "\"subscribe\":{\"tf\":{\"nodes\":[null]}}",
        "\"subscribe\":{\"tf\":{\"vals\":[null]}}",
        "\"sub_refresh\":{\"track\":[[]]}",
        "\"sub_refresh\":{\"untrack\":[1]}",
    ] {
        let frame = format!("{{\"id\":1,{fields}}}");
        let outcome = outcome(Encoding::Json, frame.as_bytes());
        assert!(outcome.starts_with(SHAPE), "{frame}: {outcome}");
    }
}

#[test]
fn json_numbers_that_do_not_fit() {
    for id in ["-1", "4294967296", "1.0", "1e2", "\"1\"", "18446744073709551616", "1e999"] {
        let outcome = outcome(Encoding::Json, format!("{{\"id\":{id}}}").as_bytes());
        assert!(outcome.starts_with(SHAPE) || outcome.starts_with(MALFORMED), "{id}: {outcome}");
    }
    check(
        Encoding::Json,
        &[
            (b"{\"id\":4294967295,\"ping\":{}}", "ping 4294967295"),
            (
                b"{\"id\":1,\"history\":{\"limit\":-2147483648,\"since\":{\"offset\":18446744073709551615}}}",
                "history 1",
            ),
            (b"{\"id\":01}", "not a message in JSON: malformed at byte 8"),
        ],
    );
    let limit = outcome(Encoding::Json, b"{\"id\":1,\"history\":{\"limit\":2147483648}}");
    assert!(limit.starts_with(SHAPE), "{limit}");
}

/// The reference takes the last of equal keys; we take no side.
#[test]
fn json_keys_that_come_twice() {
    for frame in [
        "{\"id\":1,\"id\":1}",
        "{\"id\":1,\"ping\":{},\"ping\":{}}",
        "{\"id\":1,\"publish\":{\"channel\":\"a\",\"channel\":\"b\"}}",
        "{\"id\":1,\"publish\":{\"data\":1,\"data\":1}}",
    ] {
        let outcome = outcome(Encoding::Json, frame.as_bytes());
        assert!(outcome.starts_with(SHAPE), "{frame}: {outcome}");
    }
    // In maps of the application the last one counts, as in Protobuf.
    let frame: &[u8] =
        b"{\"id\":1,\"connect\":{\"subs\":{\"a\":{\"offset\":1},\"a\":{\"offset\":2}},\"headers\":{\"h\":\"1\",\"h\":\"2\"}}}";
    let Ok(Request::Connect(connect)) = command(Encoding::Json, frame).map(|it| it.request) else {
        panic!("a connect");
    };
    assert_eq!((connect.subs.len(), connect.subs[0].1.position.offset), (1, 2));
    assert_eq!(connect.headers, [("h".to_owned(), "2".to_owned())]);
}

#[test]
fn json_nulls_are_absent_but_in_payloads() {
    let frame: &[u8] = b"{\"id\":1,\"connect\":{\"token\":null,\"data\":null,\"subs\":{\"a\":null},\"headers\":{\"h\":null},\"flag\":null}}";
    let Ok(Request::Connect(connect)) = command(Encoding::Json, frame).map(|it| it.request) else {
        panic!("a connect");
    };
    assert_eq!((connect.token.as_str(), connect.flag), ("", 0));
    assert_eq!(connect.data.as_ref(), b"null");
    assert_eq!(connect.subs, [("a".to_owned(), Default::default())]);
    assert_eq!(connect.headers, [("h".to_owned(), String::new())]);
}

#[test]
fn json_that_is_not_utf8() {
    check(
        Encoding::Json,
        &[
            (b"\xff", "not a message in JSON: not UTF-8 at byte 1"),
            (b"{\"id\":1,\"x\":\"\xff\"}", "not a message in JSON: not UTF-8 at byte 14"),
            (b"{\"id\":1,\"send\":{\"data\":\"\xc3\"}}", "not a message in JSON: not UTF-8 at byte 25"),
            (
                b"{\"id\":1,\"rpc\":{\"method\":\"\xed\xa0\x80\"}}",
                "not a message in JSON: not UTF-8 at byte 26",
            ),
            // Half a surrogate pair is no text; inside a payload nobody looks.
            (b"{\"id\":1,\"rpc\":{\"method\":\"\\ud800\"}}", "not a message in JSON: malformed at byte 32"),
            (b"{\"id\":1,\"send\":{\"data\":\"\\ud800\"}}", "send 1"),
            (b"{\"id\":1,\"send\":{\"data\":\"\t\"}}", "not a message in JSON: malformed at byte 24"),
        ],
    );
}

/// Payloads and unknown members nest as deeply as they like, and no stack grows with them.
#[test]
fn json_that_nests_deeply() {
    const DEPTH: usize = 100_000;
    let limits = Limits::with_max_command_bytes(1 << 20);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let value = format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
        for (member, expected) in [("\"send\":{\"data\":", Some(value.len())), ("\"wish\":{\"x\":", None)] {
            let frame = format!("{{\"id\":1,{member}{value}}}}}");
            let decoded = Commands::new(Encoding::Json, frame.into()).next_command(&limits);
            let sent = match decoded {
                Some(Ok(command)) => match command.request {
                    Request::Send(send) => Some(send.data.len()),
                    _ => None,
                },
                other => panic!("{other:?}"),
            };
            assert_eq!(sent, expected);
        }
    }
    // Where the shape is known, the parser's own bound of 128 levels holds.
    let nodes = format!("{}{}", "{\"nodes\":[".repeat(DEPTH), "]}".repeat(DEPTH));
    let frame = format!("{{\"id\":1,\"subscribe\":{{\"tf\":{nodes}}}}}");
    let decoded =
        Commands::new(Encoding::Json, frame.into()).next_command(&Limits::with_max_command_bytes(1 << 21));
    assert!(matches!(decoded, Some(Err(DecodeError::Json { reason: "malformed", .. }))), "{decoded:?}");
}

/// Errors are logged, so they must not quote what was read.
#[test]
fn json_errors_do_not_quote_the_message() {
    for frame in [
        "{\"id\":\"s3cret\"}",
        "{\"id\":1,\"connect\":\"s3cret\"}",
        "{\"id\":1,\"connect\":{\"flag\":\"s3cret\"}}",
        "{\"id\":1,\"connect\":{\"token\":\"s3cret\",\"token\":\"s3cret\"}}",
        "{\"id\":1,\"s3cret",
    ] {
        let error = command(Encoding::Json, frame).expect_err("it is broken");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}

#[test]
fn protobuf_that_is_no_frame() {
    check(
        Encoding::Protobuf,
        &[
            (b"", "empty frame"),
            (b"\x00", "pong 0"),
            (b"\x00\x00", "pong 0, pong 0"),
            (b"\x01", "bad length prefix"),
            (b"\x80", "bad length prefix"),
            (b"\x03\x08\x01", "bad length prefix"),
            (b"\x02\x08\x01\x01", "unknown 1, bad length prefix"),
            (b"\xff\xff\xff\xff\x0f", "command exceeds 65536 bytes"),
            (b"\xff\xff\xff\xff\x1f", "bad length prefix"),
            (b"\x80\x80\x80\x80\x80\x00", "bad length prefix"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "bad length prefix"),
            // Longer than it needs to be, but within five bytes.
            (b"\x82\x80\x80\x80\x00\x08\x01", "unknown 1"),
        ],
    );
}

#[test]
fn protobuf_that_is_no_command() {
    check(
        Encoding::Protobuf,
        &[
            // A key without its value, wire types that do not exist, field 0, a group that never ends.
            (b"\x01\x08", "not protobuf"),
            (b"\x01\x0e", "not protobuf"),
            (b"\x02\x00\x00", "not protobuf"),
            (b"\x01\x0b", "not protobuf"),
            // A varint of more than ten bytes, and one that is cut off.
            (b"\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "not protobuf"),
            (b"\x02\x08\x80", "not protobuf"),
            // An id of another wire type.
            (b"\x02\x0a\x00", "not protobuf"),
            // A request that is longer than its command.
            (b"\x04\x08\x01\x3a\x05", "not protobuf"),
            // A channel that is not UTF-8.
            (b"\x07\x08\x01\x32\x03\x0a\x01\xff", "not protobuf"),
            (b"\x00\x01\x0e\x00", "pong 0, not protobuf"),
        ],
    );
}

#[test]
fn protobuf_that_is_unusual() {
    check(
        Encoding::Protobuf,
        &[
            (b"\x02\x08\x07", "unknown 7"),
            (b"\x02\x08\x00", "pong 0"),
            // Unknown fields of each wire type.
            (b"\x05\x08\x07\xa0\x06\x01", "unknown 7"),
            (b"\x06\x08\x07\xa2\x06\x01\xff", "unknown 7"),
            (b"\x08\x08\x07\xa5\x06\x01\x02\x03\x04", "unknown 7"),
            (b"\x0c\x08\x07\xa1\x06\x01\x02\x03\x04\x05\x06\x07\x08", "unknown 7"),
            // The last of equal fields counts, and numbers are cut to their width, as Protobuf says.
            (b"\x04\x08\x07\x08\x08", "unknown 8"),
            (b"\x06\x08\xff\xff\xff\xff\x1f", "unknown 4294967295"),
        ],
    );
}

#[test]
fn protobuf_that_nests_deeply() {
    let mut node = Vec::new();
    for _ in 0..10_000 {
        let mut outer = vec![0x32];
        let mut length = node.len();
        while length >= 0x80 {
            outer.push(0x80 | u8::try_from(length % 0x80).expect("seven bits"));
            length /= 0x80;
        }
        outer.push(u8::try_from(length).expect("seven bits"));
        outer.extend_from_slice(&node);
        node = outer;
        if node.len() > 50_000 {
            break;
        }
    }
    assert!(node.len() > 25_000);
    let mut frame = crate::framing::delimited(&crate::framing::field(5, &crate::framing::field(13, &node)));
    let decoded = commands(Encoding::Protobuf, std::mem::take(&mut frame));
    assert!(matches!(decoded, Err(DecodeError::Protobuf(_))), "{decoded:?}");
}

/// Of several requests the first in the protocol's order counts, wherever it stands.
#[test]
fn two_requests_in_one_command() {
    let order = [
        "connect",
        "ping",
        "subscribe",
        "unsubscribe",
        "publish",
        "presence",
        "presence_stats",
        "history",
        "rpc",
        "send",
        "refresh",
        "sub_refresh",
    ];
    let numbers: [u8; 12] = [4, 11, 5, 6, 7, 8, 9, 10, 13, 12, 14, 15];
    for first in 0..order.len() {
        for second in first + 1..order.len() {
            let frame = format!("{{\"{}\":{{}},\"id\":1,\"{}\":{{}}}}", order[second], order[first]);
            assert_eq!(outcome(Encoding::Json, frame.as_bytes()), format!("{} 1", order[first]));
            let frame = [6, 8, 1, numbers[second] << 3 | 2, 0, numbers[first] << 3 | 2, 0];
            assert_eq!(outcome(Encoding::Protobuf, &frame), format!("{} 1", order[first]));
        }
    }
    // One that does not count must still be well formed.
    let outcome = outcome(Encoding::Json, b"{\"id\":1,\"ping\":{},\"rpc\":5}");
    assert!(outcome.starts_with(SHAPE), "{outcome}");
}
