//! A whole server in this process, over real loopback sockets, in raw bytes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod admission;
mod api;
mod deadlines;
mod dev;
mod harness;
mod http;
mod log;
mod reload;
mod revoke;
mod stop;
mod streams;
mod uni_grpc;
mod uni_websocket;
