//! The Protobuf encoding.

mod commands;
mod decode;
mod encode;
mod replies;
mod stored;
mod write;

pub(crate) use commands::{command, emulation};
pub(crate) use decode::{decode_command, decode_emulation};
pub(crate) use encode::{publication_push, push, reply};
pub(crate) use replies::decode_message;
use replies::{client_info, publication};
pub(crate) use stored::{
    carried_push, read_carried_push, read_stored_info, read_stored_publication, stored_info,
    stored_publication,
};

/// What `cargo xtask codegen` makes of the schema.
#[allow(missing_docs, dead_code, clippy::all, clippy::use_self, unreachable_pub, reason = "generated, and decoded types are a part of it")]
#[rustfmt::skip]
pub(crate) mod wire {
    include!("generated/client.rs");
}
