//! HTTP/3 on a UDP port, and connections of the client protocol over WebTransport on it (HTTP-03, WT-01..04).
//!
//! An [`Http3`] serves whole QUIC connections: requests go to a `tower` service, like those that come over TCP; a
//! WebTransport session becomes a connection of the client protocol, which is handed to whatever implements
//! [`Accept`](tourbillon_transport::Accept). [`endpoint`] makes the UDP side, with bounds for what a peer can make it
//! hold. Nothing here starts a task: [`Http3::serve`] is a future for one QUIC connection, and the caller spawns it.
//! Whether a session may begin, the caller says too ([`Admitted`]).
//!
//! # What goes over a session
//!
//! The client opens one bidirectional stream within ten seconds. Commands and replies go over it as they go over HTTP
//! streaming: in JSON a line each; in Protobuf, which `cf_protocol=protobuf` in the query asks for, each after its
//! length. At the end come the disconnect push, the end of the stream, and a second later the end of the session with
//! code and reason.
//!
//! # Versions
//!
//! WebTransport over HTTP/3 as of draft 2, which is what browsers speak. All that depends on unstable parts of the
//! HTTP/3 library is in the module `h3`.

mod config;
mod framing;
mod h3;
mod listen;
mod reader;
mod serve;
mod transport;

pub use config::WebTransportConfig;
pub use h3::{BodyError, RequestBody};
pub use listen::{alt_svc, endpoint, server_config};
pub use quinn;
pub use serve::{Admitted, Http3, ServeError};
pub use transport::{WebTransport, WebTransportReader, WebTransportWriter};
