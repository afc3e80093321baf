//! Tourbillon: real-time messaging for Rust programs and, through its server, for everybody else.
//!
//! This crate re-exports the parts that make up a node. Each is a crate of its own and can be used alone; their
//! features here are additive and change nothing but what is there. Not here, but made for programs too, are
//! `tourbillon-delta`, `tourbillon-tls` and `tourbillon-admin`.
//!
//! | feature | brings | default |
//! |---|---|---|
//! | `memory` | [`memory`]: the embedded engine | yes |
//! | `persistence` | streams of the embedded engine in a file | |
//! | `nats` | [`nats`]: NATS as a broker, and as the way between nodes | |
//! | `postgres` | [`postgres`]: what nodes keep together in PostgreSQL | |
//! | `redis` | [`redis`]: the engine on Redis, for several nodes | |
//! | `websocket` | [`websocket`]: connections over WebSocket | yes |
//! | `http` | [`http`]: connections over HTTP streaming and server-sent events | |
//! | `grpc` | [`grpc`]: the unidirectional GRPC stream | |
//! | `webtransport` | [`webtransport`]: HTTP/3, and connections over WebTransport | |
//! | `auth` | [`auth`]: connection and subscription tokens | |
//! | `jwks` | fetching the key sets of tokens' issuers (JWKS) | |
//! | `access` | [`access`]: namespaces and permissions as hooks | |
//! | `api` | [`api`]: the server API as a tower service | |
//! | `api-grpc` | the server API over GRPC | |
//! | `proxy` | [`proxy`]: hooks that ask a backend over HTTP or GRPC | |
//! | `full` | all of them | |
//!
//! # Embedding
//!
//! ```
//! # #[cfg(all(feature = "memory", feature = "websocket"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tourbillon::memory::MemoryEngine;
//! use tourbillon::websocket::{WebSocketConfig, WebSocketService};
//! use tourbillon::{AllowAll, Channel, Node, Payload};
//!
//! let (node, driver) = Node::builder(MemoryEngine::default()).hooks(AllowAll).build()?;
//! tokio::spawn(driver);
//!
//! // A tower service: `axum::Router::route_service` takes it, and so does a hyper server.
//! let websocket = WebSocketService::new(node.clone(), WebSocketConfig::default());
//!
//! node.publish(Channel::from("orders"), Payload::from(r#"{"id":1}"#), Default::default()).await?;
//! # drop(websocket);
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "memory", feature = "websocket")))]
//! # fn main() {}
//! ```
//!
//! [`AllowAll`] lets everybody in. A program's own rules are an `impl` of [`Hooks`]; tokens and namespaces as Centrifugo
//! has them are ready-made ones, in `access`. `examples/embed_axum.rs` is a whole program.

#[cfg(feature = "access")]
pub use tourbillon_access as access;
#[cfg(feature = "api")]
pub use tourbillon_api as api;
#[cfg(feature = "auth")]
pub use tourbillon_auth as auth;
pub use tourbillon_broker as broker;
#[cfg(feature = "memory")]
pub use tourbillon_broker_memory as memory;
#[cfg(feature = "nats")]
pub use tourbillon_broker_nats as nats;
#[cfg(feature = "postgres")]
pub use tourbillon_broker_postgres as postgres;
#[cfg(feature = "redis")]
pub use tourbillon_broker_redis as redis;
pub use tourbillon_node::{self as node, *};
pub use tourbillon_protocol as protocol;
#[cfg(feature = "proxy")]
pub use tourbillon_proxy as proxy;
pub use tourbillon_recovery as recovery;
pub use tourbillon_session as session;
pub use tourbillon_transport as transport;
#[cfg(feature = "grpc")]
pub use tourbillon_transport_grpc as grpc;
#[cfg(feature = "http")]
pub use tourbillon_transport_http as http;
#[cfg(feature = "websocket")]
pub use tourbillon_transport_websocket as websocket;
#[cfg(feature = "webtransport")]
pub use tourbillon_transport_webtransport as webtransport;
pub use tourbillon_types::{self as types, *};
