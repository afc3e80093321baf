//! Consumers against the services that they are for, which the tests start (CONS-10 to CONS-13).

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod api;
mod outbox;
#[path = "../../../broker-postgres/tests/live/server.rs"]
#[allow(dead_code, reason = "it is made for other tests")]
mod server;
