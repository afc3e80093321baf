//! Connections over plain HTTP on real sockets: the transport suite, bytes as they are, refusals, other people's servers.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod bytes;
mod conformance;
mod embedding;
mod ids;
mod nodes;
mod refusals;
mod support;
mod taken;
