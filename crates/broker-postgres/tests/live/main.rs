//! What is kept in a real PostgreSQL, which the tests start: `cargo test --features live --test live`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod control;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod records;
#[cfg(test)]
mod server;
#[cfg(test)]
mod streams;
