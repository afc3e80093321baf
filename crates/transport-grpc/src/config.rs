//! How the service behaves.

use std::time::Duration;

/// How the service behaves. Defaults are Centrifugo's (`uni_grpc.*`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GrpcConfig {
    /// The largest message of a client, in bytes. Default 4 MiB.
    pub max_receive_message_size: usize,
    /// Time within which the message of a call must be there. Default 30 s.
    pub message_timeout: Duration,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self { max_receive_message_size: 4 * 1024 * 1024, message_timeout: Duration::from_secs(30) }
    }
}
