//! The Tourbillon server as a library: configuration to a running application.
//!
//! 1. [`config::load`] reads file, environment and flags into [`config::Options`];
//! 2. [`config::Settings::new`] checks them;
//! 3. [`Listeners::bind`] binds ports, [`App::build`] puts the parts together, [`App::run`] runs them.

mod acme;
mod admission;
mod app;
mod backends;
mod body;
pub mod cli;
pub mod configs;
mod consumers;
mod debug;
mod descriptors;
pub mod dev;
mod engine;
mod explain;
pub mod flags;
mod grpc;
mod health;
mod listen;
pub mod logging;
mod metrics;
mod operators;
pub mod pages;
mod pid_file;
mod ports;
mod revoke;
mod router;
mod shared;
mod signals;
pub mod tools;

pub use app::{App, Reload, StartError};
pub use consumers::ConsumerError;
pub use descriptors::raise_descriptor_limit;
pub use engine::EngineError;
pub use listen::Listeners;
pub use pid_file::PidFile;
pub use shared::SharedError;
pub use signals::signals;
pub use tourbillon_config as config;
pub use tourbillon_config::lines;
