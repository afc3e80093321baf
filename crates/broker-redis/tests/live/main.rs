//! The engine against a real Redis, which the tests start: `cargo test --features live --test live`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod maps;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod wire;
