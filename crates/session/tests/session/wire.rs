//! The JSON form of commands, replies and pushes, so that transcripts read like the protocol's documentation.

use bytes::Bytes;
use tourbillon_protocol::{
    Command, Commands, Envelope, Limits, Push, Reply, encode_ping, encode_push, encode_reply,
};
use tourbillon_types::{Direction, Encoding};

pub(crate) fn command(json: &str) -> Command {
    let mut commands = Commands::new(Encoding::Json, Bytes::copy_from_slice(json.as_bytes()));
    commands.next_command(&Limits::default()).expect("a command").expect("a command well formed")
}

fn text(encoded: Vec<u8>) -> String {
    String::from_utf8(encoded).expect("JSON is UTF-8")
}

pub(crate) fn reply(reply: &Reply) -> String {
    text(encode_reply(Encoding::Json, reply).expect("a reply of the session can be encoded"))
}

pub(crate) fn push(direction: Direction, push: &Push) -> String {
    let envelope = Envelope::from(direction);
    text(encode_push(Encoding::Json, envelope, push).expect("a push of the session can be encoded"))
}

pub(crate) fn ping(direction: Direction) -> String {
    text(encode_ping(Encoding::Json, Envelope::from(direction)))
}
