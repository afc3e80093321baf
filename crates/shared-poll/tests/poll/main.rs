//! A polled channel in virtual time: rows of the compatibility table, and what holds whatever happens.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

mod properties;
mod rig;
mod rows;
