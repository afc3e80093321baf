//! What a program's backend decides, asked over HTTP or GRPC (PRX-01 to PRX-54).
//!
//! [`ProxyHooks`] are [`Hooks`](tourbillon_hooks::Hooks) that leave the decision about connections, subscriptions,
//! publications and calls to an application somewhere else. [`Rules`] says which [`Endpoint`] is asked about what, and how
//! channels behave that a backend grants; where it names none, the question is refused as those hooks do by default. An
//! [`Endpoint`] is made of an [`EndpointConfig`], checked once; it keeps its connections and counts its calls
//! ([`Endpoint::stats`]).
//!
//! ```
//! use std::sync::Arc;
//!
//! use tourbillon_hooks::{ChannelOptions, Refusal};
//! use tourbillon_proxy::{Endpoint, EndpointConfig, Event, ProxyHooks, Rules};
//! use tourbillon_types::ReplyError;
//!
//! /// One backend for everything.
//! struct Everything(Arc<Endpoint>);
//!
//! impl Rules for Everything {
//!     fn endpoint(&self, _: Event, _: &str) -> Result<Option<Arc<Endpoint>>, Refusal> {
//!         Ok(Some(self.0.clone()))
//!     }
//!
//!     fn channel_options(&self, _: &str) -> Result<ChannelOptions, ReplyError> {
//!         Ok(ChannelOptions::default())
//!     }
//! }
//!
//! let mut config = EndpointConfig::new("default", "http://127.0.0.1:3000/events");
//! config.http_headers = vec!["cookie".parse()?];
//! let hooks = ProxyHooks::new(Everything(Arc::new(Endpoint::new(&config)?)));
//! # drop(hooks);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Whatever goes wrong with a call is the backend's fault, and the client gets error 100; what is wrong is logged without
//! any of what was sent or answered. Redirects are not followed.

mod answers;
mod config;
mod connector;
mod endpoint;
mod event;
mod grpc;
mod headers;
mod hooks;
mod http1;
mod json;
mod maps;
mod polls;
mod stats;
mod stream;
mod target;

/// The messages of `proto/proxy.proto`, for backends in Rust and tests. With serde they are the JSON of HTTP.
#[rustfmt::skip]
#[allow(missing_docs, dead_code, clippy::all, clippy::use_self, unreachable_pub, reason = "generated")]
#[allow(unused_qualifications, clippy::pedantic, clippy::nursery, reason = "generated")]
pub mod proto {
    include!("generated/proxy.rs");
}

pub use config::{ConfigError, EndpointConfig, GrpcOptions, HttpOptions, StatusTransform};
pub use endpoint::{CallError, Endpoint};
pub use event::Event;
pub use hooks::{Capability, ProxyHooks, Rules};
pub use polls::ProxyBackend;
pub use stats::{BUCKETS, KeyStats, ProxyStats, SIZES};
