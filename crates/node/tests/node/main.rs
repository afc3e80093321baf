//! A node over in-memory connections, in virtual time.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod bursts;
mod emulation;
mod gatekeeper;
mod harness;
mod history;
mod limits;
mod positions;
mod presence;
mod pubsub;
mod scripted;
mod server_side;
