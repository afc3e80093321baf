//! The Protobuf encoding.

mod decode;
mod encode;
mod write;

pub(crate) use decode::decode_command;
pub(crate) use encode::{push, reply};
pub(crate) use write::publication_push;

/// What `cargo xtask codegen` makes of the schema.
#[allow(missing_docs, dead_code, clippy::all, clippy::use_self, unreachable_pub, reason = "generated, and decoded types are a part of it")]
#[rustfmt::skip]
pub(crate) mod wire {
    include!("generated/client.rs");
}
