//! What must hold for any bytes at all. The fuzz targets call these functions, and so does an ordinary test with the
//! seeds of their corpora.

use bytes::Bytes;
use tourbillon_types::Encoding;

use crate::client::{Replies, ServerMessage, encode_command, encode_emulation};
use crate::{
    Command, Commands, DecodeError, Envelope, Limits, Splitter, decode_emulation, encode_ping, encode_push,
    encode_reply,
};

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

/// Commands in JSON: each can be written again in both encodings, and means the same.
pub fn json_commands(data: &[u8]) {
    commands(Encoding::Json, data);
}

/// Commands in Protobuf, likewise; in JSON where their payloads are.
pub fn protobuf_commands(data: &[u8]) {
    commands(Encoding::Protobuf, data);
}

fn commands(encoding: Encoding, data: &[u8]) {
    let mut commands = Commands::new(encoding, Bytes::copy_from_slice(data));
    let limits = Limits::default();
    let mut read = 0;
    while let Some(command) = commands.next_command(&limits) {
        read += 1;
        assert!(read <= data.len().max(1), "more commands than bytes");
        match command {
            Ok(command) => ENCODINGS.iter().for_each(|encoding| command_again(*encoding, &command)),
            Err(_) => assert!(commands.next_command(&limits).is_none(), "something follows an error"),
        }
    }
}

/// Writes, reads and writes once more: the second writing must be as the first, though not as what came, which may
/// have had line breaks in a payload.
fn command_again(encoding: Encoding, command: &Command) {
    let Ok(first) = encode_command(encoding, command) else { return };
    let limits = Limits::with_max_command_bytes(usize::MAX);
    let again = Commands::new(encoding, first.clone().into()).next_command(&limits);
    if encoding == Encoding::Protobuf {
        assert_eq!(again.as_ref(), Some(&Ok(command.clone())));
    }
    let second = again.map(|again| again.map(|again| encode_command(encoding, &again)));
    assert_eq!(second, Some(Ok(Ok(first))), "{command:?}");
}

/// What a server may send, in every encoding and envelope.
pub fn replies(data: &[u8]) {
    for encoding in ENCODINGS {
        for envelope in [Envelope::Reply, Envelope::Push] {
            let mut read = 0;
            for message in Replies::new(encoding, envelope, Bytes::copy_from_slice(data)) {
                read += 1;
                assert!(read <= data.len().max(1), "more messages than bytes");
                if let Ok(message) = message {
                    ENCODINGS.iter().for_each(|encoding| message_again(*encoding, envelope, &message));
                }
            }
        }
    }
}

fn message_again(encoding: Encoding, envelope: Envelope, message: &ServerMessage) {
    let encode = |message: &ServerMessage| match message {
        ServerMessage::Reply(reply) => encode_reply(encoding, reply),
        ServerMessage::Push(push) => encode_push(encoding, envelope, push),
        ServerMessage::Ping => Ok(encode_ping(encoding, envelope)),
    };
    // A reply on a unidirectional connection does not exist.
    let Ok(first) = encode(message) else { return };
    let again = Replies::new(encoding, envelope, first.clone().into()).next();
    assert_eq!(again.map(|again| again.map(|again| encode(&again))), Some(Ok(Ok(first))), "{message:?}");
}

/// A stream in chunks: the first two bytes choose encoding, limit and chunks. It yields what the whole stream yields
/// at once, within bounds.
pub fn frames(data: &[u8]) {
    let [choice, size, stream @ ..] = data else { return };
    let encoding = ENCODINGS[usize::from(choice & 1)];
    let limit = usize::from(choice >> 1);
    let chunked = split(encoding, limit, stream.chunks(usize::from(*size).max(1)));
    assert_eq!(chunked, split(encoding, limit, [stream].into_iter()));
}

fn split<'a>(
    encoding: Encoding,
    limit: usize,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> Vec<Result<Bytes, DecodeError>> {
    let mut splitter = Splitter::new(encoding, limit);
    let mut frames = Vec::new();
    for chunk in chunks {
        splitter.push(chunk);
        while let Some(frame) = splitter.next_frame() {
            assert!(frame.as_ref().map_or(0, Bytes::len) <= limit + 5, "a frame beyond the limit");
            frames.push(frame);
        }
        assert!(splitter.buffered() <= limit + 5, "more is held than a message");
    }
    frames.extend(splitter.finish().transpose());
    frames
}

/// A request to the emulation endpoint in either encoding.
pub fn emulation(data: &[u8]) {
    for encoding in ENCODINGS {
        if let Ok(request) = decode_emulation(encoding, &Bytes::copy_from_slice(data)) {
            let again = encode_emulation(&request).map(Bytes::from);
            assert_eq!(again.map(|body| decode_emulation(encoding, &body)), Ok(Ok(request)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn seeds_of_the_fuzz_targets_pass() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (name, target) in [
            ("json_commands", json_commands as fn(&[u8])),
            ("protobuf_commands", protobuf_commands),
            ("replies", replies),
            ("frames", frames),
            ("emulation", emulation),
        ] {
            let seeds = std::fs::read_dir(corpus.join(name)).expect("the folder of the target");
            let mut count = 0;
            for seed in seeds {
                let path = seed.expect("an entry").path();
                target(&std::fs::read(&path).expect("a readable seed"));
                count += 1;
            }
            assert!(count >= 5, "{name} has {count} seeds");
        }
    }
}
