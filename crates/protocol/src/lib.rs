//! The Centrifugo client protocol, version 2: bytes to [`Command`]s, [`Reply`]s and [`Push`]es to bytes, in JSON and
//! Protobuf. The [`client`] module is the other half, for clients.
//!
//! This crate is pure: no I/O, no clock, no runtime, nothing shared. It can be used without the rest of Tourbillon.
//!
//! ```
//! use bytes::Bytes;
//! use tourbillon_protocol::{Commands, Envelope, Limits, Reply, ReplyResult, Request};
//! use tourbillon_protocol::{encode_publication, encode_reply};
//! use tourbillon_types::{Encoding, Publication};
//!
//! // A frame off the wire holds any number of commands.
//! let frame = Bytes::from_static(b"{\"id\":1,\"publish\":{\"channel\":\"news\",\"data\":{\"n\":1}}}\n{\"id\":2}");
//! let mut commands = Commands::new(Encoding::Json, frame);
//! let command = commands.next_command(&Limits::default()).expect("two commands")?;
//! let Request::Publish(publish) = &command.request else { panic!("a publish") };
//! assert_eq!(publish.channel, "news");
//!
//! // Its answer.
//! let reply = Reply { id: command.id, result: Ok(ReplyResult::Publish) };
//! assert_eq!(encode_reply(Encoding::Json, &reply)?, br#"{"id":1,"publish":{}}"#);
//!
//! // And what subscribers of the channel receive: encoded once for all of them.
//! let publication = Publication { data: publish.data.clone(), ..Publication::default() };
//! let push = encode_publication(Encoding::Json, Envelope::Reply, "news", 0, &publication)?;
//! assert_eq!(push, br#"{"push":{"channel":"news","pub":{"data":{"n":1}}}}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reading
//!
//! Frames come from peers and are not trusted: whatever they hold, [`Commands`] ends without a panic, in time and
//! memory proportional to the frame's length, on a stack of bounded depth. [`Limits`] bound a command. An error ends
//! the frame, and the protocol wants the connection ended with it (PROTO-13); its text quotes nothing of what was
//! read. Payloads stay slices of the frame, and in JSON are known to be JSON from then on; who keeps one for long
//! should keep a [detached](tourbillon_types::Payload::detached) copy. Unknown fields are skipped (PROTO-06).
//!
//! A transport without frames of its own cuts its stream with a [`Splitter`].
//!
//! # Writing
//!
//! Encoded messages are the bytes that the Go implementation produces, down to the order of fields and the choice of
//! escapes; golden files in the tests hold them. The one exception is the order of a map's entries, which is random
//! there. A payload that is not known to be JSON is checked when it is written as JSON, and
//! [`EncodeError::NotJson`] is the one thing that can go wrong.
//!
//! Several messages of one frame are joined by a line break in JSON and by nothing in Protobuf (PROTO-10, PROTO-11,
//! HID-01).
//!
//! # Where we differ
//!
//! On purpose, and in each case for input that no SDK sends, Tourbillon is stricter than Centrifugo: in JSON, a
//! command that is `null`, a key of the protocol in another case (unknown) or twice (an error), text after a command,
//! invalid UTF-8 and half surrogate pairs in strings are not accepted; a tags filter is bounded in depth; a Protobuf
//! length prefix has at most five bytes. When writing JSON, raw carriage returns between a payload's tokens are left
//! out like line feeds, because they would end a line of server-sent events. Publications of a history or a recovery
//! never carry an epoch of their own: the result states it.

pub mod client;
pub mod command;
mod decode;
mod encode;
mod format;
mod frame;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod json;
mod mark;
mod protobuf;
pub mod reply;
pub mod stored;

pub use command::{Command, Request};
pub use decode::{Commands, DecodeError, Limits, connect_frame, decode_emulation};
pub use encode::{
    EncodeError, Encoder, Envelope, encode_ping, encode_publication, encode_push, encode_reply,
};
pub use format::DataFormat;
pub use frame::Splitter;
pub use json::{is_json, json_string};
pub use reply::{Push, PushEvent, Reply, ReplyResult};
