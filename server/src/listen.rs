//! Listeners: sockets, what is spoken there, and the connections that come of it.
//!
//! A connection passes up to three doors before HTTP begins: a PROXY header that says who the client is, TLS, and
//! the choice between HTTP/1.1 and HTTP/2. All three together have one deadline. A plain TCP connection to a
//! listener that has none of them pays for none, nor for the HTTP library where what it asks for is simple. HTTP/3 has a
//! UDP port of its own beside the one for clients, with TLS in it and the same endpoints behind it.

mod answer;
mod bind;
mod greet;
mod http1;
mod http2;
mod http3;
mod pace;
mod port;
mod quick;
mod turns;

pub use bind::Listeners;
pub(crate) use bind::Socket;
pub(crate) use http2::{Begun, Broken, Streams};
pub(crate) use http3::{QuicPort, announced};
pub(crate) use pace::Pace;
pub(crate) use port::{PAUSE, Port, Speaks, canonical, is_about_one};
