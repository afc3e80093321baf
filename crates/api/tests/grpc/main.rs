//! The server API over GRPC (API-07, API-08, API-05), as a client of tonic's sees it over a real socket.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod calls;
mod doors;
#[allow(dead_code, reason = "that of the API over HTTP, which needs more of it")]
#[path = "../api/harness.rs"]
mod harness;
mod support;
#[allow(missing_docs, unreachable_pub, dead_code, clippy::use_self, reason = "generated")]
#[path = "../../src/generated/api.rs"]
mod wire;
