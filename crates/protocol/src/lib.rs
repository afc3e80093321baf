//! The Centrifugo client protocol: bytes to [`Command`]s, [`Reply`]s and [`Push`]es to bytes, in JSON and Protobuf.
//!
//! This crate is pure: no I/O, no clock, no runtime.
//!
//! ```
//! use bytes::Bytes;
//! use tourbillon_protocol::{Commands, Limits, Reply, ReplyResult, Request, encode_reply};
//! use tourbillon_types::Encoding;
//!
//! let frame = Bytes::from_static(br#"{"id":1,"publish":{"channel":"news","data":{"n":1}}}"#);
//! let mut commands = Commands::new(Encoding::Json, frame);
//! let command = commands.next_command(&Limits::default()).expect("one command")?;
//! assert!(matches!(&command.request, Request::Publish(publish) if publish.channel == "news"));
//!
//! let reply = Reply { id: command.id, result: Ok(ReplyResult::Publish) };
//! assert_eq!(encode_reply(Encoding::Json, &reply)?, br#"{"id":1,"publish":{}}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod client;
pub mod command;
mod decode;
mod encode;
mod frame;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod json;
mod protobuf;
pub mod reply;

pub use command::{Command, Request};
pub use decode::{Commands, DecodeError, Limits, decode_emulation};
pub use encode::{EncodeError, Envelope, encode_ping, encode_publication, encode_push, encode_reply};
pub use frame::Splitter;
pub use json::is_json;
pub use reply::{Push, PushEvent, Reply, ReplyResult};
