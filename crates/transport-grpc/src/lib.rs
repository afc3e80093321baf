//! The unidirectional GRPC stream `centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume` (UNI-07).
//!
//! [`UniStreamService`] is a [`tower` service](tower_service::Service) for HTTP requests: it takes the call's
//! `ConnectRequest` and answers with a stream of `Push` messages for as long as the connection lasts. It runs in a hyper
//! server for HTTP/2, as a route of an axum router, and with that in a tonic server (`tonic::service::Routes` is made
//! of a router). It must be called within a tokio runtime, whose timer it uses. The schema for clients is
//! `proto/unistream.proto`.
//!
//! GRPC itself is a few bytes around each message (5 in front of it, and trailers at the end), so they are written
//! here: a push is put into the form of the stream once for all streams, and a stream at rest holds no buffer. The
//! libraries for GRPC encode a message for each stream anew, into a buffer that each stream has.
//!
//! | status | when |
//! |---|---|
//! | 0 ok | the connection ended; a push told why |
//! | 3 invalid argument | the message is no `ConnectRequest`, or there is none |
//! | 4 deadline exceeded | the client's own deadline is over, or its message did not arrive in time |
//! | 8 resource exhausted | the message is too large |
//! | 12 unimplemented | the service has no such method, or the message is compressed |
//!
//! A request that is not GRPC at all is answered by HTTP's 405 or 415.

mod body;
mod config;
mod form;
mod request;
mod service;
mod status;
mod transport;

pub use body::GrpcBody;
pub use config::GrpcConfig;
pub use service::UniStreamService;
pub use transport::{GrpcTransport, GrpcWriter};
