//! Requests to the emulation endpoint.

use bytes::Bytes;
use tourbillon_protocol::client::encode_emulation;
use tourbillon_protocol::command::EmulationRequest;
use tourbillon_protocol::{DecodeError, EncodeError, decode_emulation};
use tourbillon_types::Encoding;

use crate::support::commands;

fn request(encoding: Encoding, data: &'static [u8]) -> EmulationRequest {
    EmulationRequest {
        node: "n".to_owned(),
        session: "s".to_owned(),
        data: Bytes::from_static(data),
        encoding,
    }
}

/// In JSON the commands are the text of a string.
#[test]
fn emulation_data_is_a_string_in_json() {
    let body =
        Bytes::from_static(br#"{"session":"s","node":"n","data":"{\"id\":1}\n{\"id\":2,\"ping\":{}}"}"#);
    let decoded = decode_emulation(Encoding::Json, &body).expect("a request");
    assert_eq!(decoded, request(Encoding::Json, b"{\"id\":1}\n{\"id\":2,\"ping\":{}}"));
    assert_eq!(commands(Encoding::Json, decoded.data).map(|commands| commands.len()), Ok(2));
}

#[test]
fn emulation_data_is_bytes_in_protobuf() {
    let body = Bytes::from_static(b"\x0a\x01n\x12\x01s\x1a\x03\x02\x08\x07");
    let decoded = decode_emulation(Encoding::Protobuf, &body).expect("a request");
    assert_eq!(decoded, request(Encoding::Protobuf, b"\x02\x08\x07"));
    assert!(body.as_ptr_range().contains(&decoded.data.as_ptr()));
    assert_eq!(commands(Encoding::Protobuf, decoded.data).map(|commands| commands[0].id), Ok(7));
}

#[test]
fn emulation_requests_are_written_as_they_are_read() {
    for sent in [
        request(Encoding::Json, "{\"rpc\":{\"data\":\"é\u{2028}<\"}}\n{}".as_bytes()),
        request(Encoding::Json, b""),
        request(Encoding::Protobuf, b"\x00\xff"),
        request(Encoding::Protobuf, b""),
    ] {
        let body = encode_emulation(&sent).expect("it is text").into();
        assert_eq!(decode_emulation(sent.encoding, &body), Ok(sent));
    }
    assert_eq!(encode_emulation(&request(Encoding::Json, b"\xff")), Err(EncodeError::NotJson));
}

#[test]
fn emulation_requests_may_lack_what_they_like() {
    for (encoding, body) in [(Encoding::Json, &b"{\"x\":1,\"node\":null}"[..]), (Encoding::Protobuf, b"")] {
        let decoded = decode_emulation(encoding, &Bytes::from_static(body)).expect("a request");
        assert_eq!((decoded.node.as_str(), decoded.session.as_str(), &decoded.data[..]), ("", "", &b""[..]));
    }
}

#[test]
fn emulation_requests_of_another_shape_are_refused() {
    for body in [
        "",
        "null",
        "[]",
        "{\"data\":{}}",
        "{\"data\":[1]}",
        "{\"node\":1}",
        "{}{}",
        "{\"data\":\"\\ud800\"}",
    ] {
        let decoded = decode_emulation(Encoding::Json, &Bytes::from_static(body.as_bytes()));
        assert!(matches!(decoded, Err(DecodeError::Json { .. })), "{body}");
    }
    for body in [&b"\x0a"[..], b"\x0a\x01\xff", b"\x1a\x05\x00"] {
        let decoded = decode_emulation(Encoding::Protobuf, &Bytes::from_static(body));
        assert!(matches!(decoded, Err(DecodeError::Protobuf(_))), "{}", body.escape_ascii());
    }
}
