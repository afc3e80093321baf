//! From files, variables and flags to options: what is read, and what is said of everything else.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod complete;
mod consumers;
mod database;
mod harness;
mod http;
mod limits;
mod listeners;
mod maps;
mod mistakes;
mod nats;
mod options;
mod polls;
mod postgres;
mod proxies;
mod redis;
mod reference;
mod strictness;
mod variables;
