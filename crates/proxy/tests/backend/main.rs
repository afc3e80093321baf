//! Hooks that ask real backends over loopback.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod grpc;
mod harness;
mod http;
mod tls;
