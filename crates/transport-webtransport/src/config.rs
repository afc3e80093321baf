//! How sessions behave.

use std::time::Duration;

use tourbillon_transport::OriginPolicy;

/// How sessions behave. Defaults are Centrifugo's (`webtransport.*`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebTransportConfig {
    /// The path at which sessions begin. Default `/connection/webtransport`.
    pub path: String,
    /// Which pages may connect (ORI-01..03). Default: requests without an `Origin` header only.
    pub origins: OriginPolicy,
    /// The largest command, in bytes (WT-03). Default 65,536.
    pub message_size_limit: usize,
    /// Time within which a client must take what is written to it (WT-03). Default 1 s.
    pub write_timeout: Duration,
    /// Time within which a client opens its stream (WT-01). Default 10 s.
    pub stream_timeout: Duration,
    /// How long after the end of its stream a session ends with code and reason (WT-04): until then the client may
    /// end it itself. Default 1 s.
    pub close_delay: Duration,
}

impl Default for WebTransportConfig {
    fn default() -> Self {
        Self {
            path: "/connection/webtransport".to_owned(),
            origins: OriginPolicy::default(),
            message_size_limit: 65_536,
            write_timeout: Duration::from_secs(1),
            stream_timeout: Duration::from_secs(10),
            close_delay: Duration::from_secs(1),
        }
    }
}
