//! The stream over real sockets: a tonic client, raw HTTP/2, embedding, and the transport suite.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod calls;
mod embedding;
mod matrix;
mod refusals;
mod support;
#[allow(missing_docs, unreachable_pub, reason = "generated")]
#[path = "generated/unistream.rs"]
mod unistream;
