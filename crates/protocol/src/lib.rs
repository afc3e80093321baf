//! The Centrifugo client protocol: bytes to [`Command`]s, [`Reply`]s and [`Push`]es to bytes, in JSON and Protobuf.
//!
//! This crate is pure: no I/O, no clock, no runtime.

pub mod command;
pub mod reply;

pub use command::{Command, Request};
pub use reply::{Push, PushEvent, Reply, ReplyResult};
