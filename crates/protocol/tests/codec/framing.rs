//! Where messages begin and end, and how long they may be.

use bytes::Bytes;
use tourbillon_protocol::command::{Request, Send};
use tourbillon_protocol::{Command, Commands, DecodeError, Limits, Splitter};
use tourbillon_types::Encoding;

use crate::support::{command, commands};

/// Bytes with their length in front, for lengths below 2^21.
pub(crate) fn delimited(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(0x80 | u8::try_from(length % 0x80).expect("seven bits"));
        length /= 0x80;
    }
    out.push(u8::try_from(length).expect("seven bits"));
    out.extend_from_slice(bytes);
    out
}

/// A field of bytes; its number is below 16.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], delimited(bytes)].concat()
}

/// A `send` command of `length` bytes in all.
fn send_of(encoding: Encoding, length: usize) -> Vec<u8> {
    match encoding {
        Encoding::Json => {
            let frame = format!("{{\"send\":{{\"data\":\"{}\"}}}}", "x".repeat(length - 20));
            assert_eq!(frame.len(), length);
            frame.into_bytes()
        }
        Encoding::Protobuf => {
            let message_around = |rest| field(12, &field(1, &vec![b'x'; length - rest]));
            let message = (2..10).map(message_around).find(|message| message.len() == length);
            delimited(&message.expect("a length that fits"))
        }
    }
}

#[test]
fn a_command_of_the_limit_passes_and_one_byte_more_does_not() {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let limits = Limits::with_max_command_bytes(1000);
        for repeat in [1, 3] {
            // The limit is for each command, not for the frame, and separators do not count.
            let one = send_of(encoding, 1000);
            let separator: &[u8] = if encoding == Encoding::Json { b"\n" } else { b"" };
            let mut frame = vec![one; repeat].join(separator);
            frame.extend_from_slice(separator);
            let mut commands = Commands::new(encoding, frame.into());
            for _ in 0..repeat {
                assert!(matches!(commands.next_command(&limits), Some(Ok(_))), "{encoding}");
            }
            assert_eq!(commands.next_command(&limits), None);
        }
        let mut commands = Commands::new(encoding, send_of(encoding, 1001).into());
        assert_eq!(commands.next_command(&limits), Some(Err(DecodeError::TooLarge { limit: 1000 })));
        assert_eq!(commands.next_command(&limits), None);
    }
}

#[test]
fn the_default_limit_is_the_documented_one() {
    assert_eq!(Limits::default().max_command_bytes, 65_536);
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        assert!(commands(encoding, send_of(encoding, 65_536)).is_ok());
        assert_eq!(
            commands(encoding, send_of(encoding, 65_537)),
            Err(DecodeError::TooLarge { limit: 65_536 })
        );
    }
}

/// A length over the limit is refused though nothing of the content is there.
#[test]
fn a_declared_length_over_the_limit_is_refused_before_reading() {
    let limits = Limits::with_max_command_bytes(1000);
    let mut commands = Commands::new(Encoding::Protobuf, Bytes::from_static(b"\xe9\x07"));
    assert_eq!(commands.next_command(&limits), Some(Err(DecodeError::TooLarge { limit: 1000 })));

    let mut splitter = Splitter::new(Encoding::Protobuf, 1000);
    splitter.push(b"\xe9\x07");
    assert_eq!(splitter.next_frame(), Some(Err(DecodeError::TooLarge { limit: 1000 })));
    splitter.push(&[0; 100]);
    assert_eq!((splitter.next_frame(), splitter.buffered()), (None, 0));
    assert_eq!(splitter.finish(), Ok(None));
}

#[test]
fn commands_are_decoded_one_at_a_time() {
    let frame = Bytes::from_static(b"{\"id\":1}\n{\"id\":2}\nbroken\n{\"id\":3}");
    let limits = Limits::default();
    let mut commands = Commands::new(Encoding::Json, frame);
    assert!(!commands.is_empty());
    for id in [1, 2] {
        assert_eq!(commands.next_command(&limits), Some(Ok(Command { id, request: Request::Empty })));
    }
    assert!(matches!(commands.next_command(&limits), Some(Err(DecodeError::Json { at: 1, .. }))));
    assert!(commands.is_empty());
    assert_eq!(commands.next_command(&limits), None);
    assert!(Commands::default().is_empty());
}

/// Nothing of a payload is copied, in neither encoding.
#[test]
fn payloads_are_slices_of_the_frame() {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let frame = Bytes::from(send_of(encoding, 1000));
        let range = frame.as_ptr_range();
        let Ok(Command { request: Request::Send(Send { data }), .. }) = command(encoding, frame.clone())
        else {
            panic!("a send");
        };
        assert!(range.contains(&data.bytes().as_ptr()), "{encoding}");
        assert_eq!(data.is_known_json(), encoding == Encoding::Json);
        assert!(!frame.is_unique());
    }
}

#[test]
fn the_memory_of_a_frame_is_let_go_with_its_last_command() {
    let frame = Bytes::from(b"{\"id\":1}\n".to_vec());
    let mut commands = Commands::new(Encoding::Json, frame.clone());
    assert!(commands.next_command(&Limits::default()).is_some());
    assert!(frame.is_unique());
}

#[test]
fn a_splitter_yields_lines() {
    let mut splitter = Splitter::new(Encoding::Json, 10);
    splitter.push(b"{}\n\n{\"id\"");
    assert_eq!(splitter.next_frame(), Some(Ok(Bytes::from_static(b"{}"))));
    // A blank line is a frame without a command.
    assert_eq!(splitter.next_frame(), Some(Ok(Bytes::new())));
    assert_eq!(commands(Encoding::Json, Bytes::new()), Err(DecodeError::Empty));
    assert_eq!((splitter.next_frame(), splitter.buffered()), (None, 5));
    splitter.push(b":12}\n");
    assert_eq!(splitter.next_frame(), Some(Ok(Bytes::from_static(b"{\"id\":12}"))));
    assert_eq!((splitter.next_frame(), splitter.buffered()), (None, 0));
    splitter.push(b"0123456789");
    assert_eq!(splitter.next_frame(), None);
    splitter.push(b"0");
    assert_eq!(splitter.next_frame(), Some(Err(DecodeError::TooLarge { limit: 10 })));
    assert_eq!(splitter.next_frame(), None);
}

#[test]
fn a_splitter_yields_protobuf_messages_with_their_length() {
    let mut splitter = Splitter::new(Encoding::Protobuf, 300);
    let long = send_of(Encoding::Protobuf, 300);
    splitter.push(b"\x00\x02\x08");
    assert_eq!(splitter.next_frame(), Some(Ok(Bytes::from_static(b"\x00"))));
    assert_eq!(splitter.next_frame(), None);
    splitter.push(b"\x07\xac");
    assert_eq!(splitter.next_frame(), Some(Ok(Bytes::from_static(b"\x02\x08\x07"))));
    assert_eq!(splitter.next_frame(), None);
    splitter.push(&long[1..]);
    assert_eq!(splitter.next_frame(), Some(Ok(Bytes::from(long))));
    assert_eq!((splitter.next_frame(), splitter.buffered()), (None, 0));
    splitter.push(b"\x80\x80\x80\x80");
    assert_eq!(splitter.next_frame(), None);
    splitter.push(b"\x80");
    assert_eq!(splitter.next_frame(), Some(Err(DecodeError::Length)));
}

#[test]
fn the_end_of_a_stream_may_be_the_end_of_a_line() {
    for (encoding, stream, expected) in [
        (Encoding::Json, &b""[..], Ok(None)),
        (Encoding::Json, b"{}", Ok(Some(Bytes::from_static(b"{}")))),
        (Encoding::Json, b"12345", Err(DecodeError::TooLarge { limit: 4 })),
        (Encoding::Protobuf, b"", Ok(None)),
        (Encoding::Protobuf, b"\x02\x08", Err(DecodeError::Length)),
        (Encoding::Protobuf, b"\x80", Err(DecodeError::Length)),
    ] {
        let mut splitter = Splitter::new(encoding, 4);
        splitter.push(stream);
        assert_eq!(splitter.finish(), expected, "{}", stream.escape_ascii());
    }
}
