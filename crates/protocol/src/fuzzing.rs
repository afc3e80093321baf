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

/// Writes and reads. Protobuf loses nothing; JSON loses layout of payloads the first time, and nothing the second.
fn command_again(encoding: Encoding, command: &Command) {
    let through = |command: &Command| {
        let encoded = encode_command(encoding, command).ok()?;
        Commands::new(encoding, encoded.into()).next_command(&Limits::with_max_command_bytes(usize::MAX))
    };
    match through(command) {
        Some(Ok(again)) if encoding == Encoding::Json => assert_eq!(through(&again), Some(Ok(again))),
        // A payload that is not JSON.
        None if encoding == Encoding::Json => {}
        again => assert_eq!(again.as_ref(), Some(&Ok(command.clone()))),
    }
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
    let through = |message: &ServerMessage| {
        let encoded = match message {
            ServerMessage::Reply(reply) => encode_reply(encoding, reply),
            ServerMessage::Push(push) => encode_push(encoding, envelope, push),
            ServerMessage::Ping => Ok(encode_ping(encoding, envelope)),
        };
        Replies::new(encoding, envelope, encoded.ok()?.into()).next()
    };
    // What does not travel, such as a publication's time, is lost the first time.
    let again = through(message);
    assert!(again.is_some() || encoding == Encoding::Json);
    if let Some(again) = again {
        let again = again.ok();
        assert!(again.is_some(), "{message:?} cannot be read again");
        assert_eq!(again.as_ref().and_then(through).and_then(Result::ok), again);
    }
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
