//! A whole server in this process, over real loopback sockets, in raw bytes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod abuse;
mod acme;
mod admin;
mod admission;
mod api;
mod authority;
mod certificates;
mod deadlines;
mod debug;
mod dev;
mod doors;
mod frames;
mod grpc_api;
mod harness;
mod http;
mod http2;
mod http3;
mod key_sets;
mod log;
mod metrics;
mod programs;
mod quick;
mod reload;
mod resume;
mod revoke;
mod stop;
mod streams;
mod tls;
mod uni_grpc;
mod uni_websocket;
