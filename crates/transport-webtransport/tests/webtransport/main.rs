//! Sessions and requests over real UDP sockets, with clients of other makers.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod conformance;
mod requests;
mod sessions;
mod support;
