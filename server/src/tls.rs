//! TLS of listeners: what certificates are loaded from, and how they are replaced while the server runs.
//!
//! [`TlsConfig`] says where things come from, [`Tls`] holds what was loaded. A listener asks it for
//! [`Tls::current`] whenever a connection comes; certificates in there follow [`Tls::reload`] without a new one. There is one provider of cryptography, aws-lc-rs.

mod client;
mod load;
mod pem;
mod server;
mod validity;

pub(crate) use client::{TlsClient, trusting};
pub use load::{TlsConfig, TlsError, TlsVersion};
pub(crate) use load::{certified_key, roots, short_lived_hash};
pub use server::Tls;
pub(crate) use validity::Validity;

pub(crate) use tokio_rustls::rustls;
