//! A node over in-memory connections, in virtual time.

mod harness;
mod limits;
mod pubsub;
mod server_side;
