//! Who may do what, row by row.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod capabilities;
mod config;
mod connect;
mod explain;
mod grammar;
mod harness;
mod limits;
mod logs;
mod maps;
mod namespaced;
mod patterns;
mod properties;
mod proxies;
mod publish;
mod reading;
mod refresh;
mod revoked;
mod shared;
mod speed;
mod stored;
mod subscribe;
mod table;
mod tokens;
