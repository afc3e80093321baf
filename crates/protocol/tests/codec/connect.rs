//! Connect requests without a command around them (UNI-01).

use bytes::Bytes;
use proptest::prelude::*;
use tourbillon_protocol::client::encode_command;
use tourbillon_protocol::command::{Connect, Subscribe};
use tourbillon_protocol::{Command, Commands, Limits, Request, connect_frame, is_json};
use tourbillon_types::{Encoding, Payload, StreamPosition};

/// The one command that a frame holds, which must be a connect.
fn connect_of(encoding: Encoding, frame: Bytes) -> Connect {
    let mut commands = Commands::new(encoding, frame);
    let command = commands.next_command(&Limits::default()).expect("a command").expect("a sound one");
    assert!(commands.is_empty(), "one command");
    assert_eq!(command.id, 1);
    match command.request {
        Request::Connect(connect) => *connect,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn json_connect_requests() {
    for (request, frame) in [
        ("null", Some(r#"{"id":1,"connect":{}}"#)),
        (" {} ", Some(r#"{"id":1,"connect":{}}"#)),
        ("{\"name\":\r\n\"a\"}", Some("{\"id\":1,\"connect\":{\"name\":  \"a\"}}")),
        (r#"{"unknown":[]}"#, Some(r#"{"id":1,"connect":{"unknown":[]}}"#)),
        ("", None),
        ("[]", None),
        ("5", None),
        (r#""{}""#, None),
        ("{", None),
        ("{}{}", None),
        ("nullx", None),
        (r#"{},"rpc":{}"#, None),
        (r#"{}},{"id":2"#, None),
        (r#"{"token":5}"#, None),
        ("{\"token\":\"a\nb\"}", None),
        ("\u{feff}{}", None),
    ] {
        let made = connect_frame(Encoding::Json, &Bytes::from(request)).ok();
        assert_eq!(made.as_deref(), frame.map(str::as_bytes), "{request}");
    }
}

#[test]
fn protobuf_connect_requests() {
    let position = StreamPosition { offset: 3, epoch: "e".into() };
    let subscribe = Subscribe { recover: true, position, ..Subscribe::default() };
    let connect = Connect {
        token: "a".repeat(300),
        data: Payload::from(b"\x00\xff".to_vec()),
        subs: vec![("news".to_owned(), subscribe)],
        ..Connect::default()
    };
    for connect in [Connect::default(), connect] {
        // A frame holds lengths, the number of the command and the request itself.
        let command = Command { id: 1, request: Request::Connect(Box::new(connect.clone())) };
        let frame = encode_command(Encoding::Protobuf, &command).expect("a frame");
        let length = |at: usize| if frame[at] & 0x80 == 0 { 1 } else { 2 };
        let start = length(0) + 3;
        let request = Bytes::copy_from_slice(&frame[start + length(start)..]);
        let made = connect_frame(Encoding::Protobuf, &request).expect("a connect request");
        assert_eq!(made, frame);
        assert_eq!(connect_of(Encoding::Protobuf, made), connect);
    }
    for wrong in [&b"\x0a"[..], b"\x0a\x05a", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
        assert!(connect_frame(Encoding::Protobuf, &Bytes::from_static(wrong)).is_err(), "{wrong:?}");
    }
}

proptest! {
    /// Whatever a client puts together, it never says more than its connect request.
    #[test]
    fn a_connect_request_stays_within_its_command(
        pieces in prop::collection::vec(
            prop::sample::select(&["{", "}", "[", "]", ":", ",", "\n", "\r", " ", "null", "1", "\"token\"",
                "\"data\"", "\"id\"", "\"connect\"", "{\"token\":\"a\"}", "\"a\\nb\"", "\u{2028}"][..]),
            0..9,
        ),
    ) {
        let request = Bytes::from(pieces.concat());
        if let Ok(frame) = connect_frame(Encoding::Json, &request) {
            prop_assert!(!frame.contains(&b'\n'));
            prop_assert!(is_json(&Payload::from(frame.to_vec())));
            connect_of(Encoding::Json, frame);
        }
    }

    #[test]
    fn any_bytes_are_a_request_or_an_error(request in prop::collection::vec(any::<u8>(), 0..100)) {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            if let Ok(frame) = connect_frame(encoding, &Bytes::from(request.clone())) {
                connect_of(encoding, frame);
            }
        }
    }
}
