//! A node over in-memory connections, in virtual time.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod bursts;
mod emulation;
mod harness;
mod limits;
mod pubsub;
mod server_side;
