//! The UDP side, with bounds for what a peer can make it hold.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig, VarInt};
use tokio_rustls::rustls::ServerConfig;

/// Requests and sessions of one connection at a time, as RFC 9114 section 6.1 wants at least.
const BIDI_STREAMS: u32 = 100;

/// The three streams of HTTP/3, and some whose types we need not know.
const UNI_STREAMS: u32 = 8;

/// What a peer may have sent of one stream before somebody takes it, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same of all streams of a connection together.
const WINDOW: u32 = 256 * 1024;

/// What waits for a peer's acknowledgement, in bytes; beyond it writers wait.
const SEND_WINDOW: u64 = 256 * 1024;

/// Datagrams are part of WebTransport, and nobody takes them: the oldest are dropped.
const DATAGRAMS: usize = 4 * 1024;

/// A connection on which nothing comes for so long has ended. Browsers say 30 s themselves.
const IDLE: Duration = Duration::from_secs(60);

/// Before the 30 s of browsers are over; pings of the client protocol come sooner, as a rule.
const KEEP_ALIVE: Duration = Duration::from_secs(27);

/// Connections whose handshake nobody looks at yet, and what each and all of them may have sent meanwhile, in bytes.
const INCOMING: usize = 1024;
const INCOMING_BYTES: u64 = 16 * 1024;
const INCOMING_TOTAL: u64 = 4 * 1024 * 1024;

/// An endpoint on this socket, with a [`server_config`] for new connections.
///
/// A peer can make a connection hold 256 KiB that it sent, 256 KiB that it does not acknowledge, 4 KiB of datagrams
/// and 100 streams; a connection ends after 60 s in which nothing comes.
///
/// # Errors
///
/// The operating system's, and TLS settings without TLS 1.3.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn endpoint(socket: UdpSocket, tls: &ServerConfig) -> io::Result<Endpoint> {
    Endpoint::new(EndpointConfig::default(), Some(server_config(tls)?), socket, Arc::new(TokioRuntime))
}

/// What a connection begins with; `Incoming::accept_with` takes another than that of the endpoint. `tls` needs
/// certificates, and TLS 1.3; its protocols are replaced by HTTP/3.
///
/// # Errors
///
/// TLS settings without TLS 1.3.
pub fn server_config(tls: &ServerConfig) -> io::Result<quinn::ServerConfig> {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    // A replayed request would be carried out twice.
    tls.max_early_data_size = 0;
    let tls = QuicServerConfig::try_from(tls)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(bounds()))
        .max_incoming(INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_TOTAL);
    Ok(config)
}

fn bounds() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(BIDI_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAMS))
        .datagram_send_buffer_size(DATAGRAMS)
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        .keep_alive_interval(Some(KEEP_ALIVE));
    transport
}

/// The header by which answers over TCP tell that the same is to be had by HTTP/3 at this UDP port: `Alt-Svc`
/// (RFC 7838).
#[must_use]
pub fn alt_svc(port: u16) -> HeaderValue {
    let text = format!("h3=\":{port}\"; ma=2592000");
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("clear"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_the_port() {
        assert_eq!(alt_svc(8443), "h3=\":8443\"; ma=2592000");
    }
}
