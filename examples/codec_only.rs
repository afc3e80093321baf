//! The protocol's codec alone: no node, no runtime. Reads frames of commands and answers pings of a pretended server.
//!
//! ```text
//! cargo run -p tourbillon-examples --bin codec_only
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;

use bytes::Bytes;
use tourbillon_protocol::{Commands, Limits, Reply, ReplyResult, Request, encode_reply};
use tourbillon_types::Encoding;

fn main() -> Result<(), Box<dyn Error>> {
    // What a client sends: two commands in one frame.
    let frame = Bytes::from_static(
        br#"{"id":1,"connect":{"token":"t","name":"js"}}
{"id":2,"subscribe":{"channel":"news"}}"#,
    );

    let limits = Limits::default();
    let mut commands = Commands::new(Encoding::Json, frame);
    while let Some(command) = commands.next_command(&limits) {
        let command = command?;
        println!("command {} is a {}", command.id, command.request.name());
        if let Request::Subscribe(subscribe) = command.request {
            // The same reply in both encodings.
            let reply = Reply { id: command.id, result: Ok(ReplyResult::Subscribe(Box::default())) };
            println!("  to {}", subscribe.channel);
            println!("  JSON      {}", String::from_utf8(encode_reply(Encoding::Json, &reply)?.to_vec())?);
            println!("  Protobuf  {:02x?}", encode_reply(Encoding::Protobuf, &reply)?);
        }
    }

    // What is not a command is an error, not a panic.
    let broken = Commands::new(Encoding::Json, Bytes::from_static(b"[]")).next_command(&limits);
    println!("a list is {}", if matches!(broken, Some(Err(_))) { "refused" } else { "taken?" });
    Ok(())
}
