//! The server API: what an application's backend asks of a node.
//!
//! * [`ApiService`] carries [`ApiCommand`]s out; it is a [`tower` service](tower_service::Service).
//! * [`HttpApi`] is its HTTP front, a `tower` service for requests: `POST <prefix>/<method>` with a JSON body. It
//!   runs in a hyper server and as a route of an axum router.
//! * `GrpcApi` is its GRPC front, with the feature `grpc`: the same commands as Protobuf messages.
//! * [`ApiPages`] describes it: an OpenAPI document, and a page to try the methods.
//!
//! Methods, fields and errors are Centrifugo's (API-01 to API-42).

pub mod command;
mod decode;
mod decode_map;
mod encode;
mod encode_channel;
mod encode_map;
mod explain;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
mod maps;
mod method;
mod metrics;
mod openapi;
mod pages;
mod revoke;
mod service;
mod stream;

pub use command::{ApiCommand, ApiError, ApiReply};
pub use decode::DecodeError;
pub use explain::{Explain, ExplainedRule, ExplainedToken, Explains, Explanation};
#[cfg(feature = "grpc")]
pub use grpc::{GrpcApi, GrpcApiBody, GrpcApiConfig};
pub use http::{Call, HttpApi, HttpApiConfig, Plain, Posted};
pub use metrics::{ApiMetrics, Protocol};
pub use openapi::openapi;
pub use pages::ApiPages;
pub use revoke::Revoke;
pub use service::ApiService;
pub use stream::StreamError;
