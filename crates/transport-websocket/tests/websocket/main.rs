//! WebSockets over real sockets: the handshake, strict frames, compression, embedding, and the transport suite.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod closing;
mod compression;
mod conformance;
mod embedding;
mod frames;
mod handshake;
mod http2;
mod joined;
mod streams;
mod support;
mod uni;
