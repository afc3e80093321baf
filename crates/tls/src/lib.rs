//! TLS as options describe it, for listeners and towards servers that are asked.
//!
//! [`TlsConfig`] says where a listener's certificate and key come from, [`Tls`] holds what was loaded. A listener asks it
//! for [`Tls::current`] whenever a connection comes; certificates in there follow [`Tls::reload`] without a new one.
//! [`TlsClient`] is the other side: how to be sure of a server, and to make it sure of us.
//!
//! There is one provider of cryptography, aws-lc-rs. Whatever is PEM may be the text itself, base64 of it or the path of
//! a file (CONF-12).
//!
//! ```
//! use tourbillon_tls::TlsClient;
//!
//! // Trusts whom browsers trust, and shows no certificate.
//! let config = TlsClient::default().config()?;
//! assert!(!config.client_auth_cert_resolver.has_certs());
//!
//! let wrong = TlsClient { server_ca: "no such file", ..TlsClient::default() };
//! assert_eq!(wrong.config().unwrap_err().option, "server_ca_pem");
//! # Ok::<(), tourbillon_tls::TlsError>(())
//! ```

mod client;
mod load;
mod pem;
mod server;
mod validity;

pub use client::{TlsClient, trusting};
pub use load::{TlsConfig, TlsError, TlsVersion, certified_key, roots, short_lived_hash};
pub use server::Tls;
pub use validity::Validity;

pub use tokio_rustls::rustls;
