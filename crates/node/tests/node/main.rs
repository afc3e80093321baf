//! A node over in-memory connections, in virtual time.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod bursts;
mod caches;
mod chains;
mod cluster;
mod compaction;
mod deltas;
mod emulation;
mod endings;
mod filters;
mod flow;
mod follower;
mod gatekeeper;
mod harness;
mod history;
mod interest;
mod keeper;
mod keyed;
mod keyed_model;
mod leaving;
mod limits;
mod link;
mod lossy;
mod metrics;
mod orders;
mod polls;
mod positions;
mod presence;
mod pubsub;
mod scripted;
mod server_side;
mod simulation;
mod suppressed;
mod wishes;
mod writes;
