//! WebSocket connections (RFC 6455) with permessage-deflate (RFC 7692).
//!
//! [`WebSocketService`] is a [`tower` service](tower_service::Service) for HTTP requests: it answers upgrades, and
//! over HTTP/2 extended CONNECTs (RFC 8441), and hands the connections to whatever implements
//! [`Accept`](tourbillon_transport::Accept). It runs in a plain hyper server that serves connections *with upgrades*,
//! and as a route of an axum router. [`UniWebSocketService`] is the same for clients that only listen.
//!
//! Only the mask of frames is fastwebsockets'. Handshakes and frames are our own: the reader is strict, can be polled
//! and abandoned at any point and holds no buffer at rest; the writer sends any number of queued messages with one
//! system call, and shares a message's compressed form among all connections.

mod config;
mod control;
mod decoder;
mod deflate;
pub mod frame;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod io;
mod negotiate;
mod reader;
mod scratch;
mod service;
mod transport;
mod uni;
mod writer;

pub use config::{Compression, WebSocketConfig};
pub use io::{UpgradedRead, UpgradedWrite};
pub use reader::WebSocketReader;
pub use service::{TcpUpgrade, WebSocketService};
pub use tourbillon_transport::{OriginError, OriginPolicy};
pub use transport::WebSocketTransport;
pub use uni::{
    GivenConnect, UniWebSocketConfig, UniWebSocketReader, UniWebSocketService, UniWebSocketTransport,
};
pub use writer::WebSocketWriter;
