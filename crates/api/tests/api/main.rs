//! The server API through its HTTP front: requests in, responses out, and what clients see of it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod access;
mod bad_input;
mod batch;
mod connections;
mod explain;
mod harness;
mod kept;
mod openapi;
mod parallel;
mod publish;
mod queries;
mod revoke;
