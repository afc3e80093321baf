//! The JSON encoding.

mod decode;
mod encode;
mod write;

pub(crate) use decode::decode_command;
pub(crate) use encode::{publication_push, push, reply};
