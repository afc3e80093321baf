//! The Tourbillon server as a library: configuration to a running application.
//!
//! 1. [`config::load`] reads file, environment and flags into [`config::Options`];
//! 2. [`config::Settings::new`] checks them;
//! 3. [`Listeners::bind`] binds ports, [`App::build`] puts the parts together, [`App::run`] runs them.

mod admission;
mod app;
pub mod cli;
pub mod config;
pub mod dev;
mod http;
pub mod logging;
mod router;

pub use app::{App, Listeners, Reload};
