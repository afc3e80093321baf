//! The Tourbillon server as a library: configuration to a running application.
//!
//! 1. [`config::load`] reads file, environment and flags into [`config::Options`];
//! 2. [`config::Settings::new`] checks them;
//! 3. [`Listeners::bind`] binds ports, [`App::build`] puts the parts together, [`App::run`] runs them.

mod acme;
mod admission;
mod app;
mod body;
pub mod cli;
pub mod config;
mod descriptors;
pub mod dev;
mod explain;
mod grpc;
mod listen;
pub mod logging;
mod ports;
mod revoke;
mod router;
mod signals;
pub mod tools;

pub use admission::{IpLimits, Networks};
pub use app::{App, Reload, StartError};
pub use descriptors::raise_descriptor_limit;
pub use listen::Listeners;
pub use signals::signals;

/// Several errors as one text, a line each.
pub fn lines<E: std::fmt::Display>(errors: &[E]) -> String {
    errors.iter().map(E::to_string).collect::<Vec<_>>().join("\nerror: ")
}
