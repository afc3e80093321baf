//! Configuration: from files, environment and flags to checked settings.
//!
//! Names, formats, defaults and precedence are Centrifugo's: flags win over environment variables, these over the
//! file, this over the defaults. Unlike it we are strict: what is not known, or not there yet, is an error.

mod check;
mod describe;
pub(crate) mod dotenv;
mod duration;
mod env;
pub mod limits;
mod listeners;
mod load;
pub mod model;
mod namespace;
mod personal;
mod reference;
mod schema;
mod secret;
mod sieve;
mod streams;
mod tokens;
mod transports;
mod tree;

pub use check::Settings;
pub use duration::GoDuration;
pub use listeners::{AcmeConfig, ListenerConfig, Place, PortSettings, TlsSettings};
pub use load::{ConfigError, Given, Loaded, Problem, Source, load};
pub use model::Options;
pub use reference::reference;
pub use secret::SecretText;
pub use transports::{Endpoint, HttpTransports};

/// The paths of the options that hold secrets.
#[must_use]
pub fn secret_options() -> Vec<String> {
    schema::secrets()
}
