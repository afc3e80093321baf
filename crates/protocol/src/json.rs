//! The JSON encoding.

mod commands;
mod decode;
mod encode;
mod read;
mod replies;
mod text;
mod write;

pub(crate) use commands::{command, emulation};
pub(crate) use decode::{decode_command, decode_emulation};
pub(crate) use encode::{publication_push, push, reply};
pub(crate) use replies::decode_message;
use serde_json::value::RawValue;
pub use text::json_string;
use tourbillon_types::Payload;

/// Whether a payload is one JSON value. One that is known to be is not read again.
#[must_use]
pub fn is_json(payload: &Payload) -> bool {
    payload.is_known_json() || serde_json::from_slice::<&RawValue>(payload.as_ref()).is_ok()
}
