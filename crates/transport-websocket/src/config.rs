//! How WebSocket connections behave.

use crate::OriginPolicy;

/// How WebSocket connections behave. Defaults are Centrifugo's (`websocket.*`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebSocketConfig {
    /// Which pages may connect (ORI-01..03). Default: requests without an `Origin` header only.
    pub origins: OriginPolicy,
    /// The largest message a client may send, in bytes on the wire, over all its fragments (WS-04). Default 65,536.
    pub message_size_limit: usize,
    /// The largest message a client may send, in bytes once inflated. `None`: ten times `message_size_limit`.
    pub decompressed_message_size_limit: Option<usize>,
    /// Whether clients that offer permessage-deflate get it (WS-03). Default: no.
    pub compression: Option<Compression>,
    /// How many messages a frame may carry (LIM-09), up to 64 KiB of them. JSON messages are lines of it, Protobuf messages
    /// stand one behind the other. Default 1, where Centrifugo has 16: several frames are written with one system call
    /// as well, and the JavaScript SDK over npm's `ws` may reorder the publications of one frame.
    pub max_messages_in_frame: usize,
}

/// How messages to clients are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compression {
    /// Effort, 1 to 9; others are brought into that range.
    pub level: u32,
    /// Messages up to this many bytes are sent as they are.
    pub min_size: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self { level: 1, min_size: 0 }
    }
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            origins: OriginPolicy::default(),
            message_size_limit: 65_536,
            decompressed_message_size_limit: None,
            compression: None,
            max_messages_in_frame: 1,
        }
    }
}

impl WebSocketConfig {
    /// The largest message a client may send, once inflated.
    pub(crate) fn inflated_limit(&self) -> usize {
        self.decompressed_message_size_limit.unwrap_or_else(|| self.message_size_limit.saturating_mul(10))
    }
}
