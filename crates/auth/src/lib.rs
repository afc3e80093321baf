//! Tokens: who a client is and what it may subscribe to, as its application signed it.
//!
//! The crate stands alone. It reads no clock (the present is an argument), starts no task and decides nothing about
//! channels: it says whether a token is genuine and what it claims.
//!
//! ```
//! use tourbillon_auth::{Secret, Signer, Verifier, VerifierConfig, ConnectToken};
//!
//! let secret = Secret::from("a long random text");
//! let token = Signer::hs256(&secret).sign_connect(&ConnectToken {
//!     user: "anna".into(),
//!     expires_at: Some(1_700_000_600),
//!     ..ConnectToken::default()
//! })?;
//! let verifier = Verifier::new(VerifierConfig { hmac_secret_key: secret, ..VerifierConfig::default() })?;
//! let claims = verifier.verify_connect(&token, 1_700_000_000)?;
//! assert_eq!(claims.user.as_str(), "anna");
//! assert_eq!(claims.expire_at, Some(1_700_000_600));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Keys
//!
//! A [`KeySource`] gives the keys that may have signed a token. [`StaticKeys`] holds those of a configuration;
//! [`JwksKeys`] has those of key sets, which a [`JwksFetch`] gets. The algorithm that a token names never decides how
//! a key is used: a [`Key`] knows the algorithms that it serves.
//!
//! # Features
//!
//! * `jwks-http`: [`JwksFetch`] over HTTP/1.1 and TLS, on hyper, rustls and tokio. Without it, the crate does no I/O.

mod algorithm;
mod claims;
mod config;
mod decode;
mod error;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod jwks;
mod key;
mod mapping;
mod pattern;
mod pem;
mod secret;
mod sign;
mod token;
mod track;
mod verifier;

pub use algorithm::{Algorithm, Family};
pub use claims::{Capability, ConnectClaims, Matching, Overrides, SubscribeClaims, SubscriptionClaims};
pub use config::{ConfigError, ConfigProblem, VerifierConfig};
pub use error::{InvalidToken, TokenError};
#[cfg(feature = "jwks-http")]
pub use jwks::HttpJwksFetch;
pub use jwks::{FetchError, JwksConfig, JwksFetch, JwksKeys, JwksProvider};
pub use key::{Key, KeyError, KeyQuery, KeySource, Loading, RemoteKeys, StaticKeys};
pub use mapping::ClaimMapping;
pub use pattern::{Pattern, PatternError};
pub use secret::Secret;
pub use sign::{ConnectToken, SignError, Signer, SubscribeToken};
pub use token::{Unverified, unverified};
pub use track::{TrackKeysConfig, TrackSignatureError, TrackVerifier, TrackedKeys};
pub use verifier::Verifier;
