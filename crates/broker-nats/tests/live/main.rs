//! The broker over a real nats-server, which each test starts for itself.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod content;
mod doors;
mod loss;
mod server;
mod suite;
