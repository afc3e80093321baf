//! Connections over plain HTTP: a response that never ends, and requests beside it.
//!
//! | service | path in Centrifugo | direction |
//! |---|---|---|
//! | [`StreamService::http_stream`] | `/connection/http_stream` | both, with the [`EmulationService`] |
//! | [`StreamService::sse`] | `/connection/sse` | both, with the [`EmulationService`] |
//! | [`StreamService::uni_http_stream`] | `/connection/uni_http_stream` | to the client |
//! | [`StreamService::uni_sse`] | `/connection/uni_sse` | to the client |
//! | [`EmulationService`] | `/emulation` | to the server |
//! | [`InitService`] | `/connection/init` | none |
//! | [`TicketService`] | an extension, `/connection/ticket` | none |
//!
//! All are [`tower` services](tower_service::Service) for HTTP requests and run in a plain hyper server, in HTTP/1 and
//! HTTP/2, and as routes of an axum router. They must be called within a tokio runtime, whose timer they use.
//!
//! # How it flows
//!
//! A connection's writer and the body of its response share a slot. The writer puts encoded messages into it, as many
//! as are queued in one piece; the HTTP library takes the piece when it has room. While the slot is full the writer is
//! pending, so that a client that does not read makes the node's queue grow and no buffer of ours. At rest the slot is
//! empty and holds no storage. A message for many connections is put into the form of the stream once.
//!
//! An HTTP library keeps buffers for as long as it has a connection, which is most of what an idle stream takes. A
//! server that can get the socket back [offers it](OfferSocket); then the writer of the connection writes to it itself,
//! in chunks, like that of a WebSocket.
//!
//! # Clients that come back
//!
//! Events of [`uni_sse`](StreamService::uni_sse) say in their `id` where the client stands in the channels that recover, as
//! far as their messages have a [`Mark`](tourbillon_types::Mark). A browser's `EventSource` connects anew by itself when
//! its stream breaks, and says the id of the last event that it has whole: the header `Last-Event-ID`, which becomes
//! [`ConnContext::resume`](tourbillon_transport::ConnContext::resume). The id is made as the message is written, for this
//! client alone; a stream without such channels shares the bytes of its events with others, and holds nothing.
//!
//! A browser repeats the address, so a [ticket](TicketService), which is good once, does not bring it back.
//!
//! # Cross-origin requests
//!
//! Pages of allowed origins may read the answers (HTTP-04). Requests of other pages are answered too, without the
//! headers that would let the browser show the answer to the page: what a browser sends without asking first it sends
//! anyway, and a page of the same origin needs no permission.

mod body;
mod config;
mod emulation;
mod failure;
mod framing;
mod init;
mod places;
mod request;
mod service;
mod socket;
mod takeover;
mod tickets;
mod transport;

pub use body::HttpBody;
pub use config::{ErrorResponse, HttpConfig};
pub use emulation::EmulationService;
pub use init::InitService;
pub use service::StreamService;
pub use takeover::{OfferSocket, PendingStream};
pub use tickets::{BadTicket, TicketHolder, TicketLimits, TicketService, Tickets};
pub use transport::{HttpReader, HttpTransport, HttpWriter};
