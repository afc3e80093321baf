//! Frames that other implementations made, as files.

use std::path::Path;

use tourbillon_protocol::client::{ServerMessage, encode_command};
use tourbillon_protocol::{Envelope, encode_ping, encode_push, encode_reply};
use tourbillon_types::Encoding;

use crate::support::{commands, join, replies};

/// One frame in both encodings.
#[derive(Debug, Default)]
struct Block {
    name: String,
    json: Vec<Vec<u8>>,
    protobuf: Vec<u8>,
    /// What each command is in its canonical form, where the frame is not in it.
    means: Vec<Vec<u8>>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut block = Block::default();
        for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "name" => block.name = value.to_owned(),
                "json" => block.json.push(value.as_bytes().to_vec()),
                "protobuf" => block.protobuf = hex(value),
                "means" => block.means.push(value.as_bytes().to_vec()),
                other => panic!("a line that begins with {other:?}"),
            }
        }
        if !block.name.is_empty() {
            blocks.push(block);
        }
    }
    blocks
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16).expect("a hex digit")).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("a byte")).collect()
}

fn load(name: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    blocks(&std::fs::read_to_string(path).expect("the file is there"))
}

#[test]
fn every_golden_file_is_walked() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in UTF-8"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["centrifuge-js.txt", "commands.txt", "pushes.txt", "replies.txt"]);
    assert!(names.iter().all(|name| load(name).len() >= 10));
}

/// Both encodings of a frame mean the same, and each command is written again as the reference writes it.
#[test]
fn frames_of_centrifuge_js_are_understood() {
    for block in load("centrifuge-js.txt") {
        let name = &block.name;
        let by_json = commands(Encoding::Json, join(Encoding::Json, &block.json));
        let by_json = by_json.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(commands(Encoding::Protobuf, block.protobuf).as_ref(), Ok(&by_json), "{name}");
        let written: Vec<_> = by_json
            .iter()
            .map(|command| encode_command(Encoding::Json, command).expect("JSON stays JSON"))
            .collect();
        assert_eq!(written, block.means, "{name}");
    }
}

#[test]
fn commands_are_read_and_written_as_the_reference_does() {
    for block in load("commands.txt") {
        let name = &block.name;
        let by_json = commands(Encoding::Json, join(Encoding::Json, &block.json));
        let by_json = by_json.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(commands(Encoding::Protobuf, block.protobuf.clone()).as_ref(), Ok(&by_json), "{name}");
        let [command] = by_json.as_slice() else { panic!("{name}: one command") };
        assert_eq!(encode_command(Encoding::Json, command).as_ref(), Ok(&block.json[0]), "{name}");
        assert_eq!(encode_command(Encoding::Protobuf, command), Ok(block.protobuf), "{name}");
    }
}

fn server_messages_match(file: &str, envelope: Envelope) {
    for block in load(file) {
        let name = &block.name;
        for (encoding, expected) in [(Encoding::Json, &block.json[0]), (Encoding::Protobuf, &block.protobuf)]
        {
            let messages = replies(encoding, envelope, expected.clone());
            let messages = messages.unwrap_or_else(|error| panic!("{name} in {encoding}: {error}"));
            let [message] = messages.as_slice() else { panic!("{name}: one message") };
            for (encoding, expected) in
                [(Encoding::Json, &block.json[0]), (Encoding::Protobuf, &block.protobuf)]
            {
                let written = match message {
                    ServerMessage::Reply(reply) => encode_reply(encoding, reply).expect("JSON stays JSON"),
                    ServerMessage::Push(push) => {
                        encode_push(encoding, envelope, push).expect("JSON stays JSON")
                    }
                    ServerMessage::Ping => encode_ping(encoding, envelope),
                };
                assert_eq!(
                    String::from_utf8_lossy(&written),
                    String::from_utf8_lossy(expected),
                    "{name} in {encoding}"
                );
                assert_eq!(&written, expected, "{name} in {encoding}");
            }
        }
    }
}

#[test]
fn replies_are_written_as_the_reference_writes_them() {
    server_messages_match("replies.txt", Envelope::Reply);
}

#[test]
fn bare_pushes_are_written_as_the_reference_writes_them() {
    server_messages_match("pushes.txt", Envelope::Push);
}
