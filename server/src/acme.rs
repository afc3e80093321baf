//! Certificates from an authority, by ACME (RFC 8555; NET-05).
//!
//! Every host of the settings has a certificate of its own, which is got when the server starts, or before the last
//! third of its time begins. The authority asks whether the host is ours in one of two ways: over TLS at the port for
//! clients (TLS-ALPN-01, RFC 8737), or over HTTP at another (HTTP-01). The protocol itself is `instant-acme`'s.

mod certificates;
mod http;
mod issue;
mod store;

pub(crate) use certificates::Certificates;
pub(crate) use issue::Acme;

/// By this protocol, an authority asks over TLS.
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";
